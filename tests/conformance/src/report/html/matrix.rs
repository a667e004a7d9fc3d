//! Operators against types, and groups of behaviour.

use super::{BY_WEIGHT, Escaped, class, section, sign};
use crate::report::{Counts, Report, short, verdict};
use crate::{CaseResult, Outcome};
use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write;

/// The column of cases that have no types.
const NO_TYPES: &str = "-";

/// Cases of one operator and one choice of types.
struct Cell {
    counts: Counts,
    worst: Option<f64>,
}

impl Cell {
    fn of(cases: &[&CaseResult]) -> Cell {
        let worst = cases.iter().filter_map(|c| c.worst_share()).reduce(f64::max);
        Cell { counts: verdict::count(cases.iter().copied()), worst }
    }

    fn number(&self, outcome: Outcome) -> u64 {
        self.counts.get(&outcome).copied().unwrap_or(0)
    }

    fn outcome(&self) -> Outcome {
        BY_WEIGHT.into_iter().find(|o| self.number(*o) > 0).unwrap_or(Outcome::NotRun)
    }

    /// Counts in words: `FAIL 3, PASS 37`.
    fn words(&self) -> String {
        let some = BY_WEIGHT.into_iter().filter(|o| self.number(*o) > 0);
        some.map(|o| format!("{o} {}", self.number(o))).collect::<Vec<_>>().join(", ")
    }
}

pub(super) fn write(out: &mut String, report: &Report) {
    let mut rows: Vec<(&str, BTreeMap<&str, Vec<&CaseResult>>)> = Vec::new();
    for case in report.cases() {
        let row = match rows.iter().position(|r| r.0 == case.op) {
            Some(at) => at,
            None => {
                rows.push((&case.op, BTreeMap::new()));
                rows.len() - 1
            }
        };
        rows[row].1.entry(&case.types).or_default().push(case);
    }
    let (behaviour, operators): (Vec<_>, Vec<_>) =
        rows.into_iter().partition(|(_, by)| by.keys().all(|t| *t == NO_TYPES));
    section(
        out,
        "matrix",
        "Operators by types",
        "The number is the worst error as a share of the judge's bound: above 1 fails. The bar shows the same. Below it: cases \
         that pass, of all. Hover for the counts.",
    );
    if operators.is_empty() {
        out.push_str("<p class=\"none\">No operator was run.</p>");
    } else {
        table(out, &operators);
    }
    out.push_str("</section>");
    if !behaviour.is_empty() {
        section(out, "behaviour", "Behaviour", "Memory, streams, graphs, errors: what a device does beside computing.");
        groups(out, &behaviour);
        out.push_str("</section>");
    }
}

fn table(out: &mut String, rows: &[(&str, BTreeMap<&str, Vec<&CaseResult>>)]) {
    let columns: BTreeSet<&str> = rows.iter().flat_map(|r| r.1.keys().copied()).collect();
    out.push_str("<div class=\"scroll\"><table class=\"matrix\"><thead><tr><th>operator</th>");
    for types in &columns {
        let _ = write!(out, "<th>{}</th>", Escaped(types).to_string().replace(" x ", " &times;<br>"));
    }
    out.push_str("</tr></thead><tbody>");
    let mut family = "";
    for (op, by) in rows {
        let (head, tail) = op.split_once('.').unwrap_or(("", op));
        let first = if head == family { "" } else { " class=\"first\"" };
        family = head;
        let dot = if head.is_empty() { "" } else { "." };
        let _ = write!(out, "<tr{first} data-f><th><i>{}{dot}</i>{}</th>", Escaped(head), Escaped(tail));
        for types in &columns {
            match by.get(types) {
                Some(cases) => cell(out, op, types, &Cell::of(cases)),
                None => out.push_str("<td class=\"empty\"></td>"),
            }
        }
        out.push_str("</tr>");
    }
    out.push_str("</tbody></table></div>");
}

fn cell(out: &mut String, op: &str, types: &str, cell: &Cell) {
    let outcome = cell.outcome();
    let total: u64 = cell.counts.values().sum();
    let bar = cell.worst.map(|w| format!(" style=\"--share:{:.2}\"", w.clamp(0.0, 1.0))).unwrap_or_default();
    let _ = write!(
        out,
        "<td class=\"{}\"{bar} title=\"{} {}: {}\"><b>{}</b> {}<small>{}/{total}</small></td>",
        class(outcome),
        Escaped(op),
        Escaped(types),
        cell.words(),
        sign(outcome),
        cell.worst.map_or(String::new(), short),
        cell.number(Outcome::Pass) + cell.number(Outcome::Waived)
    );
}

fn groups(out: &mut String, rows: &[(&str, BTreeMap<&str, Vec<&CaseResult>>)]) {
    out.push_str("<div class=\"groups\">");
    for (group, by) in rows {
        let cases: Vec<&CaseResult> = by.values().flatten().copied().collect();
        let cell = Cell::of(&cases);
        let outcome = cell.outcome();
        let _ = write!(
            out,
            "<div class=\"group {}\" data-f title=\"{}\"><b>{}</b> <span>{}</span> <small>{}/{}</small></div>",
            class(outcome),
            cell.words(),
            sign(outcome),
            Escaped(group),
            cell.number(Outcome::Pass),
            cases.len()
        );
    }
    out.push_str("</div>");
}
