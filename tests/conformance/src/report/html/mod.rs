//! `report.html`: the report for people. One file that needs no network; its script only filters.

mod cases;
mod extra;
mod head;
mod matrix;

use super::Report;
use super::diff::Diff;
use crate::Outcome;
use std::fmt::{self, Display, Write};

const STYLE: &str = include_str!("style.css");
const SCRIPT: &str = include_str!("filter.js");

/// The report as a page. `since` is what changed from an earlier run, if there is one to compare with.
pub fn page(report: &Report, since: Option<&Diff>) -> String {
    let mut out = String::new();
    let title = Escaped(&report.device.title()).to_string();
    // The policy lets the page load nothing, whatever text of others stands in it.
    let _ = write!(
        out,
        "<!doctype html>\n<html lang=\"en\"><head><meta charset=\"utf-8\">\
         <meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\
         <meta http-equiv=\"Content-Security-Policy\" content=\"default-src 'none'; style-src 'unsafe-inline'; script-src 'unsafe-inline'\">\
         <meta name=\"color-scheme\" content=\"light dark\"><title>{title} - OmniHAL conformance</title>\
         <style>{STYLE}</style></head><body>"
    );
    head::write(&mut out, report);
    out.push_str("<main>");
    matrix::write(&mut out, report);
    cases::failing(&mut out, report);
    if let Some(diff) = since {
        extra::since(&mut out, diff);
    }
    extra::waivers(&mut out, report);
    cases::unsupported(&mut out, report);
    cases::slowest(&mut out, report);
    extra::perf(&mut out, report);
    out.push_str("</main>");
    extra::footer(&mut out, report);
    let _ = writeln!(out, "<script>{SCRIPT}</script></body></html>");
    out
}

/// Text of others in a page, inside attributes too.
struct Escaped<'a>(&'a str);

impl Display for Escaped<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for c in self.0.chars() {
            match c {
                '&' => f.write_str("&amp;")?,
                '<' => f.write_str("&lt;")?,
                '>' => f.write_str("&gt;")?,
                '"' => f.write_str("&quot;")?,
                '\'' => f.write_str("&#39;")?,
                '\n' | '\t' => f.write_char(c)?,
                c if c.is_control() => f.write_char('\u{FFFD}')?,
                // Marks that turn the direction of text could make a line read as another one.
                '\u{202A}'..='\u{202E}' | '\u{2066}'..='\u{2069}' => f.write_char('\u{FFFD}')?,
                c => f.write_char(c)?,
            }
        }
        Ok(())
    }
}

/// The style of an outcome.
const fn class(outcome: Outcome) -> &'static str {
    match outcome {
        Outcome::Pass => "pass",
        Outcome::Fail => "fail",
        Outcome::Crash => "crash",
        Outcome::Timeout => "timeout",
        Outcome::Unsupported => "unsup",
        Outcome::Undeclared => "undecl",
        Outcome::Waived => "waived",
        Outcome::Xpass => "xpass",
        Outcome::NotRun => "notrun",
    }
}

/// The sign of an outcome: one that tells it without its colour.
const fn sign(outcome: Outcome) -> &'static str {
    match outcome {
        Outcome::Pass => "✓",
        Outcome::Fail => "✗",
        Outcome::Crash => "‼",
        Outcome::Timeout => "∞",
        Outcome::Unsupported => "–",
        Outcome::Undeclared => "≠",
        Outcome::Waived => "≈",
        Outcome::Xpass => "+",
        Outcome::NotRun => "·",
    }
}

/// Outcomes from the one that a reader must see first to the one that says least.
const BY_WEIGHT: [Outcome; 9] = [
    Outcome::Crash,
    Outcome::Timeout,
    Outcome::Fail,
    Outcome::Undeclared,
    Outcome::Xpass,
    Outcome::Waived,
    Outcome::Pass,
    Outcome::Unsupported,
    Outcome::NotRun,
];

/// An outcome as a coloured word.
fn badge(outcome: Outcome) -> String {
    format!("<b class=\"badge {}\">{} {outcome}</b>", class(outcome), sign(outcome))
}

/// Milliseconds for people.
fn duration(millis: f64) -> String {
    match millis {
        ms if ms < 1e3 => format!("{ms:.0} ms"),
        ms if ms < 60e3 => format!("{:.1} s", ms / 1e3),
        ms if ms < 3600e3 => format!("{:.0} min {:02.0} s", (ms / 60e3).floor(), (ms / 1e3) % 60.0),
        ms => format!("{:.0} h {:02.0} min", (ms / 3600e3).floor(), (ms / 60e3) % 60.0),
    }
}

/// Opens a section.
fn section(out: &mut String, id: &str, title: &str, note: &str) {
    let _ = write!(out, "<section id=\"{id}\"><h2>{title}</h2>");
    if !note.is_empty() {
        let _ = write!(out, "<p class=\"note\">{note}</p>");
    }
}
