use super::sample::{case, full, full_with, lists, script, waived};
use crate::report::diff::diff;
use crate::report::{html, junit};
use crate::{CaseResult, Outcome, Profile};

const NASTY: &str = "</script><script>alert(1)</script> & \"quoted\" 'single' \u{7}\u{1b}[31m \u{202e}gnp.exe \u{fffe}";

fn nasty() -> crate::report::Report {
    let mut report = full_with([
        CaseResult::new("gemm.linear/a<b>&\"'", NASTY, "F32 x <i>", Outcome::Crash).because(NASTY),
        CaseResult::new("gemm.linear/u", "gemm.linear", "F32", Outcome::Unsupported).because(NASTY),
    ]);
    report.device.name = NASTY.into();
    report.command = NASTY.into();
    report.host.insert(NASTY.into(), NASTY.into());
    report
}

/// Fails unless every element is closed in order: enough of an XML reader for what the kit writes.
fn elements(xml: &str) -> Vec<String> {
    let (mut open, mut seen) = (Vec::new(), Vec::new());
    let mut rest = xml.strip_prefix("<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n").unwrap();
    while let Some(start) = rest.find('<') {
        assert!(!rest[..start].contains('>'), "loose `>` in {}", &rest[..start]);
        let end = rest[start..].find('>').unwrap() + start;
        let tag = &rest[start + 1..end];
        assert_eq!(tag.matches('"').count() % 2, 0, "{tag}");
        if let Some(name) = tag.strip_prefix('/') {
            assert_eq!(open.pop().as_deref(), Some(name));
        } else {
            let name = tag.split([' ', '/']).next().unwrap().to_owned();
            seen.push(name.clone());
            if !tag.ends_with('/') {
                open.push(name);
            }
        }
        rest = &rest[end + 1..];
    }
    assert!(open.is_empty(), "{open:?}");
    seen
}

#[test]
fn junit_has_a_suite_for_each_family_and_tells_failures_from_errors_and_skips() {
    let mut report = full_with([
        case("gemm.linear/b", 4.0),
        CaseResult::new("norm.rms/t", "norm.rms", "F32", Outcome::Timeout).because("no answer within 60 s"),
    ]);
    report.conclude(&lists());
    let xml = junit::xml(&report);
    let seen = elements(&xml);
    let number = |name: &str| seen.iter().filter(|s| *s == name).count();
    assert_eq!((number("testsuite"), number("testcase")), (4, 7));
    assert_eq!((number("failure"), number("error"), number("skipped")), (1, 1, 1));
    assert!(xml.contains("tests=\"6\" failures=\"1\" errors=\"1\" skipped=\"1\" time=\"65.000\">"), "{xml}");
    assert!(xml.contains("--replay &apos;gemm.linear/b&apos; --salt 7</failure>"), "{xml}");
    assert!(xml.contains("<skipped message=\"UNSUPPORTED: no F16 kernel\"/>"), "{xml}");
}

#[test]
fn waived_failures_pass_in_junit_and_are_named() {
    let xml = junit::xml(&waived());
    assert!(xml.contains("<system-out>WAIVED: "), "{xml}");
    assert!(!elements(&xml).contains(&"failure".to_owned()));
}

#[test]
fn text_of_others_stays_text() {
    let report = nasty();
    let xml = junit::xml(&report);
    elements(&xml);
    assert!(xml.chars().all(|c| c == '\n' || (!c.is_control() && c != '\u{fffe}')));
    assert!(!xml.contains("<script"));
    let page = html::page(&report, Some(&diff(&full(), &report)));
    assert_eq!(page.matches("<script").count(), 1, "the page's own");
    assert!(!page.contains("<i>\"") && !page.contains("x <i>"));
    assert!(!page.contains('\u{1b}') && !page.contains('\u{202e}'));
}

#[test]
fn the_page_needs_nothing_from_elsewhere() {
    let page = html::page(&full(), None);
    assert!(page.contains("default-src 'none'"));
    for word in ["http://", "https://", "src=", "@import", "url(", "<link", "fetch("] {
        assert!(!page.contains(word), "{word}");
    }
}

#[test]
fn the_page_shows_verdicts_matrix_failures_and_how_to_run_them_again() {
    let mut report = full_with([
        case("gemm.linear/b", 4.0),
        script("runtime/copy/every_size", Outcome::Timeout).because("no answer within 60 s"),
    ]);
    report.selection.profiles = vec![Profile::Runtime, Profile::Core];
    report.conclude(&lists());
    let page = html::page(&report, None);
    for part in [
        "<span>✗</span> NOT CONFORMANT",
        "1 of 3 required cases: FAIL, first `gemm.linear/b`",
        "title=\"gemm.linear BF16 x F8E4M3: FAIL 1, PASS 1\"><b>✗</b> 4.00<small>1/2</small>",
        "<dt>expected</dt><dd>0e0</dd>",
        "<dt>bound</dt><dd>1.000e0</dd>",
        "omnihal conform --plugin libexample.so --replay &#39;gemm.linear/b&#39; --salt 7",
        "no F16 kernel",
        "no answer within 60 s",
    ] {
        assert!(page.contains(part), "{part}");
    }
    let clean = html::page(&full(), None);
    assert!(clean.contains("<h2>Failing cases</h2><p class=\"none\">None.</p>"));
}

#[test]
fn a_stand_in_is_called_so_on_the_page_and_in_junit() {
    let mut report = full();
    report.device.stand_in = true;
    report.conclude(&lists());
    assert!(html::page(&report, None).contains("device: stand-in."));
    assert!(junit::xml(&report).contains("(stand-in: no hardware)"));
}
