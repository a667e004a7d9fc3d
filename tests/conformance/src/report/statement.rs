//! `statement.txt`: what a vendor signs with its name.

use super::{Report, Verdict};
use crate::waiver::Status;
use std::fmt::Write;

const WIDTH: usize = 78;

/// What the statement proves, and what it cannot: the same words in every statement and every verification.
pub const PROVES: &str = "What this says: the named kit ran every case that the named must-pass lists require, on a device that \
called itself by the name above, and each result stood within the error that the judge computed for it, or failed as a waiver \
listed here says. The hash covers the report, the lists, the waivers and the outputs kept in the bundle: whoever has the bundle \
can check that nothing in it was changed since, and judge the kept outputs again without the device.";

/// The limits.
pub const PROVES_NOT: &str = "What this does not say: the results are the submitter's own. Integrity can be verified, origin \
cannot: nothing in the bundle shows on which machine the outputs were made, or that the device is what it calls itself. Checks \
that need the device (bytes beside the tensors, repeated runs, captured graphs, second streams, behaviour, outputs too large to \
be kept) are taken from the report. Nothing is said about speed.";

/// Why a run yields no statement; empty if it does.
pub fn obstacles(report: &Report) -> Vec<String> {
    let mut obstacles = report.selection.cuts();
    if report.device.stand_in {
        obstacles.push("the device is a stand-in".to_owned());
    }
    if report.verdicts.is_empty() {
        obstacles.push("no profile with a must-pass list was asked for".to_owned());
    }
    let open = report.verdicts.iter().filter(|v| v.verdict != Verdict::Conformant);
    obstacles.extend(open.map(|v| format!("profile {} is {}", v.profile, v.verdict.name().to_lowercase())));
    if report.exit_code() != 0 && obstacles.is_empty() {
        obstacles.push("a case that no list requires failed".to_owned());
    }
    obstacles
}

/// The statement of a conformant run, or why there is none. `contents` is the SHA-256 of the bundle's contents
/// ([`super::bundle::contents_sha256`]).
pub fn text(report: &Report, contents: &str) -> Result<String, Vec<String>> {
    let obstacles = obstacles(report);
    if !obstacles.is_empty() {
        return Err(obstacles);
    }
    let mut text = String::from("OmniHAL conformance statement\n=============================\n\n");
    let mut line = |name: &str, value: &str| {
        let _ = writeln!(text, "{name:<18}{}", one_line(value));
    };
    line("Device", &report.device.title());
    for (name, version) in &report.device.versions {
        line("", &format!("{name} {version}"));
    }
    if let Some(plugin) = &report.device.plugin {
        line("Plug-in", &format!("{} (sha256 {})", plugin.path, plugin.sha256));
    }
    if let Some(abi) = &report.device.abi {
        line("Plug-in interface", abi);
    }
    if let Some(which) = &report.device.composed {
        let which = if which == "all" { "all" } else { "those that the device lacks" };
        line("Fused operators", &format!("{which} run as sequences of its smaller ones"));
    }
    for v in &report.verdicts {
        let waived = if v.waived > 0 { format!(", {} waived", v.waived) } else { String::new() };
        line(
            "Profile",
            &format!("{}: {}, {} of {} required cases pass{waived}", v.profile, v.verdict, v.passed, v.required),
        );
    }
    line("Must-pass lists", &format!("version {} (sha256 {})", report.must_pass.version, report.must_pass.sha256));
    line("Kit", &format!("{} (commit {})", report.kit.version, report.kit.commit));
    line("Date", &report.started);
    line("Salt", &report.selection.salt.to_string());
    line("Bundle contents", &format!("sha256 {contents}"));
    waivers(report, &mut text);
    let _ = write!(text, "\n{}\n\n{}\n", wrap(PROVES), wrap(PROVES_NOT));
    Ok(text)
}

fn waivers(report: &Report, text: &mut String) {
    let used: Vec<_> = report.waivers.iter().filter(|w| w.status == Status::Used).collect();
    let _ = writeln!(text, "\nWaivers used: {}", if used.is_empty() { "none" } else { "" });
    for used in used {
        let waiver = &used.waiver;
        let share = used.worst_share.map_or("no measure".to_owned(), super::short);
        let _ = writeln!(
            text,
            "- {} (until {}, worst {share} of the bound, at most {} allowed)\n  {}",
            one_line(&waiver.reason),
            waiver.expires,
            super::short(waiver.allowed_share),
            one_line(&waiver.link)
        );
        for id in &used.waived {
            let _ = writeln!(text, "  {}", one_line(id));
        }
    }
}

/// Text of others on one line: whoever names a device cannot add lines to the statement.
fn one_line(text: &str) -> String {
    text.chars().map(|c| if c.is_control() { ' ' } else { c }).collect()
}

fn wrap(text: &str) -> String {
    let mut out = String::new();
    let mut column = 0;
    for word in text.split_whitespace() {
        if column > 0 && column + 1 + word.len() > WIDTH {
            out.push('\n');
            column = 0;
        } else if column > 0 {
            out.push(' ');
            column += 1;
        }
        out.push_str(word);
        column += word.len();
    }
    out
}
