//! The top of the page: device, verdicts, counts, facts.

use super::{Escaped, class, duration, sign};
use crate::Outcome;
use crate::report::{Report, Verdict, verdict};
use std::fmt::Write;

pub(super) fn write(out: &mut String, report: &Report) {
    let device = &report.device;
    out.push_str("<header>");
    let _ = write!(
        out,
        "<p class=\"over\">OmniHAL conformance report</p><h1>{}</h1><p class=\"under\">{}:{} &middot; {} &middot; {}</p>",
        Escaped(&device.name),
        Escaped(&device.backend),
        device.index,
        Escaped(&report.started),
        duration(report.seconds * 1e3)
    );
    if device.stand_in {
        out.push_str(
            "<p class=\"banner\"><b>device: stand-in.</b> This is a loopback library under a vendor's names, no hardware. \
             Nothing here is said about a chip, and no statement can follow.</p>",
        );
    }
    verdicts(out, report);
    counts(out, report);
    facts(out, report);
    navigation(out, report);
    out.push_str("</header>");
}

fn verdicts(out: &mut String, report: &Report) {
    out.push_str("<div class=\"cards\">");
    for v in &report.verdicts {
        let (style, mark) = match v.verdict {
            Verdict::Conformant => ("good", "✓"),
            Verdict::NotConformant(_) => ("bad", "✗"),
            Verdict::Incomplete(_) => ("open", "…"),
        };
        let waived = if v.waived > 0 { format!(" + {} waived", v.waived) } else { String::new() };
        let _ = write!(
            out,
            "<article class=\"card {style}\"><h3>{}</h3><p class=\"verdict\"><span>{mark}</span> {}</p>\
             <p class=\"of\"><b>{}</b>{waived} of <b>{}</b> required cases pass</p>",
            v.profile, v.verdict, v.passed, v.required
        );
        if !v.verdict.reasons().is_empty() {
            out.push_str("<ul>");
            for reason in v.verdict.reasons() {
                let reason = Escaped(reason);
                let _ = write!(out, "<li title=\"{reason}\">{reason}</li>");
            }
            out.push_str("</ul>");
        }
        out.push_str("</article>");
    }
    out.push_str("</div>");
}

fn counts(out: &mut String, report: &Report) {
    let total: u64 = report.counts.values().sum();
    out.push_str("<div class=\"bar\" role=\"img\" aria-label=\"share of each outcome\">");
    for outcome in Outcome::ALL.into_iter().filter(|o| report.count(*o) > 0) {
        let (n, style) = (report.count(outcome), class(outcome));
        let _ = write!(out, "<i class=\"{style}\" style=\"flex:{n}\" title=\"{outcome}: {n} of {total}\"></i>");
    }
    out.push_str("</div><p class=\"chips\">");
    for outcome in Outcome::ALL.into_iter().filter(|o| report.count(*o) > 0) {
        let _ = write!(
            out,
            "<span class=\"chip {}\"><b>{} {}</b> {outcome}</span>",
            class(outcome),
            sign(outcome),
            report.count(outcome)
        );
    }
    let _ = write!(out, "<span class=\"chip\"><b>{total}</b> cases</span></p>");
}

fn facts(out: &mut String, report: &Report) {
    let device = &report.device;
    let mut rows: Vec<(&str, String)> = Vec::new();
    for (name, version) in &device.versions {
        rows.push((name, version.clone()));
    }
    if let Some(memory) = device.memory {
        rows.push(("memory", format!("{:.1} GiB", memory as f64 / f64::from(1 << 30))));
    }
    if let Some(plugin) = &device.plugin {
        rows.push(("plug-in", format!("{}\nsha256 {}", plugin.path, plugin.sha256)));
    }
    if let Some(abi) = &device.abi {
        rows.push(("plug-in interface", abi.clone()));
    }
    let caps = &device.caps;
    let yes = |b: bool| if b { "yes" } else { "no" };
    rows.push(("activations", caps.activations.join(", ")));
    rows.push(("operators declared", caps.ops.len().to_string()));
    let (graphs, host) = (yes(caps.native_graphs), yes(caps.host_addressable));
    rows.push(("native graphs", format!("{graphs}; host-addressable: {host}; alignment {} B", caps.alignment)));
    let profiles: Vec<&str> = report.selection.profiles.iter().map(|p| p.name()).collect();
    rows.push(("profiles asked", profiles.join(", ")));
    let cuts = report.selection.cuts();
    rows.push(("selection", if cuts.is_empty() { "every case".to_owned() } else { cuts.join("; ") }));
    rows.push(("salt", report.selection.salt.to_string()));
    rows.push(("must-pass lists", format!("version {}\nsha256 {}", report.must_pass.version, report.must_pass.sha256)));
    rows.push(("kit", format!("{}\ncommit {}", report.kit.version, report.kit.commit)));
    for (name, value) in &report.host {
        rows.push((name, value.clone()));
    }
    out.push_str("<details class=\"facts\" open><summary>Device, kit, host</summary><dl>");
    for (name, value) in rows {
        let _ = write!(out, "<div><dt>{}</dt><dd>{}</dd></div>", Escaped(name), Escaped(&value));
    }
    out.push_str("</dl></details>");
}

fn navigation(out: &mut String, report: &Report) {
    let bad = report.cases().filter(|c| verdict::is_bad(c.outcome)).count();
    let _ = write!(
        out,
        "<nav><a href=\"#matrix\">Operators</a><a href=\"#failing\">Failing ({bad})</a>\
         <a href=\"#unsupported\">Unsupported ({})</a><a href=\"#slowest\">Slowest</a>\
         <input id=\"filter\" type=\"search\" placeholder=\"filter: words that must all occur\" aria-label=\"filter\"></nav>",
        report.count(Outcome::Unsupported)
    );
}
