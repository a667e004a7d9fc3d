//! A run of the kit, from the selection to the report.

use super::{Conform, facts, perf, write};
use crate::failure::{Failure, Outcome};
use crate::output;
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use omnihal_conformance::report::{DeviceFacts, Report, Selection};
use omnihal_conformance::supervisor::{self, Limits};
use omnihal_conformance::waiver::{self, Waiver};
use omnihal_conformance::{CaseResult, Outcome as Verdict, Profile, lists};
use std::process::Command;
use std::time::{Duration, Instant};

/// Limits of a case, as asked for.
pub fn limits(conform: &Conform) -> Limits {
    Limits { time: Duration::from_secs(conform.case_timeout), memory: conform.case_memory << 20 }
}

/// How this program starts a worker of itself.
pub fn starter(conform: &Conform) -> Result<impl Fn() -> Command + Sync + use<>, Failure> {
    let program = std::env::current_exe().map_err(Failure::device)?;
    let (device, salt, quick, jobs) =
        (conform.device.clone(), conform.selection.salt, conform.selection.quick, conform.jobs);
    Ok(move || {
        let mut command = Command::new(&program);
        command.arg("conform-worker").arg("--salt").arg(salt.to_string());
        device.to_command(&mut command);
        if quick {
            command.arg("--brief");
        }
        // Workers share the processor.
        let all = std::thread::available_parallelism().map_or(1, |n| n.get());
        command.env("OMNIHAL_THREADS", (all / jobs.max(1)).max(1).to_string());
        command
    })
}

/// Runs the selection, prints the outcome, writes the report.
pub fn execute(conform: &Conform) -> Result<Outcome, Failure> {
    let items = conform.selection.items();
    let timed = conform.selection.profile.contains(&Profile::Perf);
    if items.is_empty() && !timed {
        return Err(Failure::input("the selection has no case: see `omnihal conform --list`"));
    }
    let waivers = conform.waivers.as_deref().map(waiver::open).transpose().map_err(Failure::input)?.unwrap_or_default();
    conform.device.probe()?;
    let start = starter(conform)?;
    let device = supervisor::device(&start, limits(conform)).map_err(Failure::device)?;
    let (started, clock) = (facts::now(), Instant::now());
    let bar = progress(items.len() as u64);
    let mut results: Vec<Option<CaseResult>> = vec![None; items.len()];
    let (mut bad, mut done) = (0u64, 0u64);
    supervisor::run(&items, &start, conform.jobs, limits(conform), |index, result| {
        done += 1;
        bad += u64::from(!result.outcome.conforms());
        bar.set_position(done);
        bar.set_message(format!("{bad} not passed"));
        results[index] = Some(result);
    })
    .map_err(Failure::device)?;
    bar.finish_and_clear();
    let missing = |(result, item): (Option<CaseResult>, &omnihal_conformance::suite::Item)| {
        let (op, types) = item.place();
        result.unwrap_or_else(|| CaseResult::new(item.id(), op, &types, Verdict::NotRun))
    };
    let results: Vec<CaseResult> = results.into_iter().zip(&items).map(missing).collect();
    let mut report = assemble(conform, device, &started, results, &waivers)?;
    if timed {
        report.perf = perf::rows(conform, |_, _| {})?;
    }
    report.seconds = clock.elapsed().as_secs_f64();
    report.conclude(&lists::must_pass().map_err(Failure::input)?);
    let written = conform.out.as_deref().map(|out| write::write(conform, out, &report, &waivers)).transpose()?;
    output::text(write::summary(&report, written.as_deref()))?;
    Ok(Outcome::of(report.exit_code() == 0))
}

fn assemble(
    conform: &Conform,
    device: DeviceFacts,
    started: &str,
    results: Vec<CaseResult>,
    waivers: &[Waiver],
) -> Result<Report, Failure> {
    let selection = Selection {
        profiles: conform.selection.profile.clone(),
        salt: conform.selection.salt,
        quick: conform.selection.quick,
        fraction: conform.selection.fraction,
        filters: conform.selection.filter.clone(),
    };
    let partial = selection.is_partial();
    let command = format!("omnihal conform {}", conform.device.to_words());
    let mut report = Report::new(facts::kit(), &command, started, selection, device);
    report.host = facts::host();
    report.results = results;
    let required = lists::must_pass().map_err(Failure::input)?;
    let context = waiver::Context { today: &started[..10], device: &report.device, required: &required, partial };
    report.waivers = waiver::apply(waivers, &mut report.results, &context).map_err(|errors| {
        let words: Vec<String> = errors.iter().map(ToString::to_string).collect();
        Failure::input(format!("the waivers cannot be used: {}", words.join("; ")))
    })?;
    let of = |profile: Profile| move |c: &CaseResult| c.id.starts_with(profile.name());
    let (soak, rest): (Vec<_>, Vec<_>) = std::mem::take(&mut report.results).into_iter().partition(of(Profile::Soak));
    let (fault, rest): (Vec<_>, Vec<_>) = rest.into_iter().partition(of(Profile::Fault));
    (report.soak, report.fault, report.results) = (soak, fault, rest);
    Ok(report)
}

/// A bar on a terminal, and nothing elsewhere.
fn progress(len: u64) -> ProgressBar {
    let bar = ProgressBar::with_draw_target(Some(len), ProgressDrawTarget::stderr());
    if let Ok(style) = ProgressStyle::with_template("{bar:30} {pos}/{len} cases, {msg}, {elapsed} so far, {eta} left") {
        bar.set_style(style);
    }
    bar.enable_steady_tick(Duration::from_millis(200));
    bar
}
