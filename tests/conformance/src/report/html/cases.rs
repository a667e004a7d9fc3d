//! Lists of cases: what fails, what is unsupported, what takes long.

use super::{Escaped, badge, class, duration, section};
use crate::outcome::Worst;
use crate::report::{Report, short, verdict};
use crate::{CaseResult, Finding, Outcome};
use std::fmt::Write;

/// Cases of a group that are shown with all they have; the others follow as lines.
const IN_FULL: usize = 40;
/// Groups that are open from the start.
const OPEN: usize = 3;
/// Slowest cases shown.
const SLOWEST: usize = 20;
/// Longest text shown: `report.json` has it whole.
const MAX_TEXT: usize = 1200;

/// Cases by operator, in the order of the report.
fn grouped<'a>(cases: impl Iterator<Item = &'a CaseResult>) -> Vec<(&'a str, Vec<&'a CaseResult>)> {
    let mut groups: Vec<(&str, Vec<&CaseResult>)> = Vec::new();
    for case in cases {
        match groups.iter_mut().find(|g| g.0 == case.op) {
            Some(group) => group.1.push(case),
            None => groups.push((&case.op, vec![case])),
        }
    }
    groups
}

/// The bad cases, by operator.
pub(super) fn failing(out: &mut String, report: &Report) {
    let groups = grouped(report.cases().filter(|c| verdict::is_bad(c.outcome)));
    section(out, "failing", "Failing cases", "");
    if groups.is_empty() {
        out.push_str("<p class=\"none\">None.</p></section>");
        return;
    }
    for (at, (op, cases)) in groups.iter().enumerate() {
        let open = if at < OPEN { " open" } else { "" };
        let _ = write!(out, "<details class=\"op\"{open} data-g><summary><code>{}</code>", Escaped(op));
        for outcome in super::BY_WEIGHT {
            let n = cases.iter().filter(|c| c.outcome == outcome).count();
            if n > 0 {
                let _ = write!(out, " <span class=\"badge {}\">{n} {outcome}</span>", class(outcome));
            }
        }
        out.push_str("</summary>");
        cases.iter().take(IN_FULL).for_each(|case| full(out, report, case));
        if cases.len() > IN_FULL {
            let _ = write!(
                out,
                "<p class=\"note\">{} more, in one line each:</p><ul class=\"lines\">",
                cases.len() - IN_FULL
            );
            cases.iter().skip(IN_FULL).for_each(|case| line(out, case));
            out.push_str("</ul>");
        }
        out.push_str("</details>");
    }
    out.push_str("</section>");
}

fn line(out: &mut String, case: &CaseResult) {
    let share = case.worst_share().map(|s| format!(" {}&times; bound", short(s))).unwrap_or_default();
    let _ = write!(out, "<li data-f>{} <code>{}</code>{share}</li>", badge(case.outcome), Escaped(&case.id));
}

fn full(out: &mut String, report: &Report, case: &CaseResult) {
    let _ = write!(
        out,
        "<article class=\"case {}\" data-f><h4>{} <code>{}</code></h4>",
        class(case.outcome),
        badge(case.outcome),
        Escaped(&case.id)
    );
    match case.findings.first() {
        Some(finding) => first(out, case, finding),
        None => text(out, case.message.as_deref().unwrap_or("no message")),
    }
    if case.findings.len() > 1 {
        let _ = write!(out, "<details><summary>Every finding ({})</summary><ul>", case.findings.len());
        for finding in &case.findings {
            let _ = write!(out, "<li>{}</li>", Escaped(&cut(&finding.to_string())));
        }
        out.push_str("</ul></details>");
    }
    let _ = write!(out, "<pre class=\"run\">{}</pre></article>", Escaped(&report.replay(&case.id)));
}

fn text(out: &mut String, text: &str) {
    let _ = write!(out, "<p class=\"why\">{}</p>", Escaped(&cut(text)));
}

fn first(out: &mut String, case: &CaseResult, finding: &Finding) {
    text(out, &finding.to_string());
    let output = finding.arg.as_ref().and_then(|a| case.outputs.iter().find(|o| o.arg == *a));
    out.push_str("<dl class=\"numbers\">");
    let mut pair = |name: &str, value: &str| {
        let _ = write!(out, "<div><dt>{name}</dt><dd>{}</dd></div>", Escaped(value));
    };
    if let Some(Worst { found, expected, bound, share, .. }) = output.and_then(|o| o.worst.as_ref()) {
        pair("worst found", &exponent(*found));
        pair("expected", &exponent(*expected));
        pair("bound", &format!("{bound:.3e}"));
        pair("share of bound", &short(*share));
    } else if let Some(share) = finding.share {
        pair("share of bound", &short(share));
    }
    if finding.count > 0 {
        let of = output.map(|o| format!(" of {}", o.compared)).unwrap_or_default();
        pair("elements", &format!("{}{of}", finding.count));
    }
    if let Some(emulated) = &case.emulated {
        pair("how", emulated);
    }
    if let Some(accumulation) = &case.accumulation {
        pair("accumulation", accumulation);
    }
    if let Some(determinism) = &case.determinism {
        pair("determinism", determinism);
    }
    out.push_str("</dl>");
}

/// A number whole if it is short, as those of 16 and 32 bits are, else to nine digits.
fn exponent(x: f64) -> String {
    let whole = format!("{x:e}");
    if whole.len() <= 16 { whole } else { format!("{x:.8e}") }
}

fn cut(text: &str) -> String {
    match text.char_indices().nth(MAX_TEXT) {
        Some((at, _)) => format!("{} ... ({} bytes, whole in report.json)", &text[..at], text.len()),
        None => text.to_owned(),
    }
}

/// What the device says that it does not run, by operator and reason.
pub(super) fn unsupported(out: &mut String, report: &Report) {
    let groups = grouped(report.cases().filter(|c| c.outcome == Outcome::Unsupported));
    section(out, "unsupported", "Unsupported", "");
    if groups.is_empty() {
        out.push_str("<p class=\"none\">None.</p>");
    }
    for (op, cases) in groups {
        let (op, n) = (Escaped(op), cases.len());
        let _ = write!(
            out,
            "<details class=\"op\" data-g><summary><code>{op}</code> <span class=\"badge unsup\">{n} UNSUPPORTED</span></summary>"
        );
        let mut reasons: Vec<(&str, Vec<&CaseResult>)> = Vec::new();
        for case in cases {
            let why = case.message.as_deref().unwrap_or("no reason given");
            match reasons.iter_mut().find(|r| r.0 == why) {
                Some(reason) => reason.1.push(case),
                None => reasons.push((why, vec![case])),
            }
        }
        for (why, cases) in reasons {
            let _ = write!(out, "<p class=\"why\">{}</p><ul class=\"lines\">", Escaped(&cut(why)));
            for case in cases {
                let _ = write!(out, "<li data-f><code>{}</code></li>", Escaped(&case.id));
            }
            out.push_str("</ul>");
        }
        out.push_str("</details>");
    }
    out.push_str("</section>");
}

/// The cases that took longest.
pub(super) fn slowest(out: &mut String, report: &Report) {
    let mut cases: Vec<&CaseResult> = report.cases().filter(|c| c.millis > 0.0).collect();
    cases.sort_by(|a, b| b.millis.total_cmp(&a.millis));
    section(out, "slowest", "Slowest cases", "The judge's time included.");
    out.push_str("<div class=\"scroll\"><table><tbody>");
    for case in cases.iter().take(SLOWEST) {
        let _ = write!(
            out,
            "<tr data-f><td class=\"num\">{}</td><td>{}</td><td><code>{}</code></td></tr>",
            duration(case.millis),
            badge(case.outcome),
            Escaped(&case.id)
        );
    }
    out.push_str("</tbody></table></div></section>");
}
