//! Waivers, changes since an earlier run, speed, and what the page is.

use super::{Escaped, badge, section};
use crate::Outcome;
use crate::report::diff::{Diff, OutcomeChange};
use crate::report::{Report, short};
use crate::waiver::Status;
use std::fmt::Write;

/// Most lines of a part of a comparison.
const SHOWN: usize = 200;

pub(super) fn waivers(out: &mut String, report: &Report) {
    if report.waivers.is_empty() {
        return;
    }
    section(out, "waivers", "Waivers", "Known failures, measured and dated. A waiver widens no bound.");
    out.push_str(
        "<div class=\"scroll\"><table><thead><tr><th>state</th><th>reason</th><th>cases</th><th>device, versions</th>\
         <th>worst</th><th>allowed</th><th>until</th></tr></thead><tbody>",
    );
    for used in &report.waivers {
        let (state, style) = match used.status {
            Status::Used => ("used", "waived"),
            Status::Stale => ("stale", "xpass"),
            Status::Exceeded => ("exceeded", "fail"),
            Status::NotForThisDevice => ("other device", "unsup"),
            Status::NotRun => ("not run", "notrun"),
        };
        let waiver = &used.waiver;
        let versions: Vec<String> = waiver.versions.iter().map(|v| v.to_string()).collect();
        let cases = if used.waived.is_empty() { &waiver.cases } else { &used.waived };
        let cases: Vec<String> = cases.iter().map(|c| format!("<code>{}</code>", Escaped(c))).collect();
        let _ = write!(
            out,
            "<tr data-f><td><b class=\"badge {style}\">{state}</b></td><td>{}<br><small>{}</small></td><td>{}</td>\
             <td>{}<br><small>{}</small></td><td class=\"num\">{}</td><td class=\"num\">{}</td><td class=\"date\">{}</td></tr>",
            Escaped(&waiver.reason),
            Escaped(&waiver.link),
            cases.join("<br>"),
            Escaped(&waiver.device),
            Escaped(&versions.join(", ")),
            used.worst_share.map_or(String::new(), short),
            short(waiver.allowed_share),
            Escaped(&waiver.expires)
        );
    }
    out.push_str("</tbody></table></div></section>");
}

pub(super) fn since(out: &mut String, diff: &Diff) {
    section(out, "since", &format!("Since the run of {}", Escaped(&diff.started[0])), "");
    if diff.is_empty() {
        out.push_str("<p class=\"none\">No difference.</p>");
    }
    let facts = diff
        .facts
        .iter()
        .map(|f| format!("<b>{}</b>: {} &rarr; {}", Escaped(&f.what), Escaped(&f.before), Escaped(&f.after)));
    list(out, "Facts that differ", facts.collect(), true);
    list(out, "New failures", diff.new_failures.iter().map(change).collect(), true);
    list(out, "Fixed", diff.fixed.iter().map(change).collect(), true);
    list(out, "Other changes of outcome", diff.outcomes.iter().map(change).collect(), false);
    let shares = diff
        .shares
        .iter()
        .map(|s| format!("<b>{} &rarr; {}</b> <code>{}</code>", short(s.before), short(s.after), Escaped(&s.id)));
    list(out, "Worst share of the bound changed", shares.collect(), false);
    let alone = |cases: &[(String, Outcome)]| {
        cases.iter().map(|(id, o)| format!("{} <code>{}</code>", badge(*o), Escaped(id))).collect()
    };
    list(out, "Only in the earlier run", alone(&diff.only_before), false);
    list(out, "Only in this run", alone(&diff.only_after), false);
    out.push_str("</section>");
}

fn change(c: &OutcomeChange) -> String {
    let why = c.message.as_ref().map(|m| format!("<br><small>{}</small>", Escaped(m))).unwrap_or_default();
    format!("{} &rarr; {} <code>{}</code>{why}", badge(c.before), badge(c.after), Escaped(&c.id))
}

fn list(out: &mut String, title: &str, items: Vec<String>, open: bool) {
    if items.is_empty() {
        return;
    }
    let open = if open { " open" } else { "" };
    let _ = write!(
        out,
        "<details class=\"op\"{open} data-g><summary>{title} ({})</summary><ul class=\"lines\">",
        items.len()
    );
    for item in items.iter().take(SHOWN) {
        let _ = write!(out, "<li data-f>{item}</li>");
    }
    if items.len() > SHOWN {
        let _ = write!(out, "<li>and {} more</li>", items.len() - SHOWN);
    }
    out.push_str("</ul></details>");
}

pub(super) fn perf(out: &mut String, report: &Report) {
    if report.perf.is_empty() {
        return;
    }
    section(out, "perf", "Speed", "Never part of a verdict.");
    out.push_str(
        "<div class=\"scroll\"><table><thead><tr><th>case</th><th>types</th><th>median</th><th>fastest</th><th>GFLOP/s</th>\
         <th>GB/s</th><th>of peak</th></tr></thead><tbody>",
    );
    for row in &report.perf {
        // Operations in a microsecond are thousandths of a giga-operation in a second.
        let rate = |amount: Option<f64>| amount.map_or(String::new(), |a| short(a / row.median_us.max(1e-9) / 1e3));
        let peak = row.peak_share.map_or(String::new(), |p| format!("{:.0}%", p * 100.0));
        let _ = write!(
            out,
            "<tr data-f><td><code>{}</code></td><td>{}</td><td class=\"num\">{} µs</td><td class=\"num\">{} µs</td>\
             <td class=\"num\">{}</td><td class=\"num\">{}</td><td class=\"num\">{peak}</td></tr>",
            Escaped(&row.id),
            Escaped(&row.types),
            short(row.median_us),
            short(row.fastest_us),
            rate(row.flops),
            rate(row.bytes)
        );
    }
    out.push_str("</tbody></table></div></section>");
}

pub(super) fn footer(out: &mut String, report: &Report) {
    let _ = write!(
        out,
        "<footer><p>Made from report.json (schema {}) by the OmniHAL conformance kit {}, commit {}. Bounds are computed by the \
         judge for each element; no tolerance was chosen. The results are the submitter's own: a bundle's integrity can be \
         verified, its origin cannot.</p></footer>",
        report.schema,
        Escaped(&report.kit.version),
        Escaped(&report.kit.commit)
    );
}
