//! `omnihal conform`.

mod device;
mod execute;
mod facts;
mod list;
mod perf;
mod saved;
mod shrink;
mod worker;
mod write;

pub use device::DeviceArgs;
pub use worker::Worker;

use crate::failure::{Failure, Outcome};
use clap::{Args, Subcommand};
use omnihal_conformance::{Profile, suite};
use std::path::PathBuf;

/// Judge a device: every operator against computed error bounds, memory, streams, graphs and errors
///
/// Each case runs in a worker process: a crash or a hang is that case's outcome. What falls back to the host never passes. Exit code 0 if everything
/// that ran conforms, 1 if not.
#[derive(Args)]
#[command(
    args_conflicts_with_subcommands = true,
    after_help = "\
Examples:
  omnihal conform --backend cpu --profile core --quick --out report
  omnihal conform --plugin ./libvendor.so --profile runtime --profile core --out report
  omnihal conform --backend cpu --replay 'norm.rms/rows=1,.../normal/dense'
  omnihal conform --backend cpu --shrink 'gemm.linear/rows=33,.../wide/apart'
  omnihal conform --list --profile v4 --filter 'attention.*'
  omnihal conform verify report/bundle.tar.zst
  omnihal conform diff before/report.json after/report.json
  omnihal conform bisect --model DIR --plugin ./libvendor.so

The report folder holds report.html, report.json, junit.xml, bundle.tar.zst and, for a complete and conformant run on a real device, statement.txt.
docs/conformance.md explains every word in it."
)]
pub struct Conform {
    #[command(subcommand)]
    saved: Option<Other>,
    #[command(flatten)]
    device: DeviceArgs,
    #[command(flatten)]
    selection: SelectionArgs,
    /// List the cases of the selection and run nothing
    #[arg(long)]
    list: bool,
    /// Run one case, by its name or as JSON, and print everything that was found
    #[arg(long, value_name = "CASE", conflicts_with_all = ["list", "shrink"])]
    replay: Option<String>,
    /// Find the smallest case next to this one that still fails
    #[arg(long, value_name = "CASE", conflicts_with = "list")]
    shrink: Option<String>,
    /// Say how long the selection takes, from a sample of it
    #[arg(long, conflicts_with_all = ["list", "replay", "shrink"])]
    estimate: bool,
    /// Known failures that are accepted for now (a JSON file; docs/conformance.md)
    #[arg(long, value_name = "FILE")]
    waivers: Option<PathBuf>,
    /// Worker processes
    #[arg(long, value_name = "N", default_value_t = 1)]
    jobs: usize,
    /// Longest time of one case, in seconds
    #[arg(long, value_name = "S", default_value_t = 120)]
    case_timeout: u64,
    /// Most memory of one worker, in MiB
    #[arg(long, value_name = "MIB", default_value_t = 8192)]
    case_memory: u64,
    /// An earlier report.json to compare with
    #[arg(long, value_name = "FILE")]
    since: Option<PathBuf>,
    /// Folder for the report; it is made, and files of an earlier report in it are replaced
    #[arg(long, value_name = "DIR")]
    out: Option<PathBuf>,
}

/// What can be done without running the cases.
#[derive(Subcommand)]
enum Other {
    Verify(saved::Verify),
    Diff(saved::Diff),
    Bisect(Box<super::bisect::Bisect>),
}

/// Which cases.
#[derive(Args, Clone, Debug)]
pub struct SelectionArgs {
    /// runtime, core, v4, v4-quant, perf, soak or fault; may be given several times
    #[arg(long, value_name = "NAME", default_value = "core")]
    profile: Vec<Profile>,
    /// Only the short cases
    #[arg(long)]
    quick: bool,
    /// Only cases whose names fit this pattern (* and ?); may be given several times
    #[arg(long, value_name = "GLOB")]
    filter: Vec<String>,
    /// Only part i of n
    #[arg(long, value_name = "I/N", value_parser = fraction)]
    fraction: Option<(usize, usize)>,
    /// Changes every random number
    #[arg(long, value_name = "N", default_value_t = 0)]
    salt: u64,
}

fn fraction(text: &str) -> Result<(usize, usize), String> {
    let parts = text.split_once('/').and_then(|(i, n)| Some((i.parse::<usize>().ok()?, n.parse::<usize>().ok()?)));
    parts.filter(|&(i, n)| 1 <= i && i <= n).ok_or_else(|| format!("`{text}` is no part, expected one such as 2/10"))
}

impl SelectionArgs {
    /// The items of every profile asked for, each once.
    fn items(&self) -> Vec<suite::Item> {
        let selection = suite::Selection { quick: self.quick, filters: self.filter.clone(), fraction: self.fraction };
        let mut items: Vec<suite::Item> = Vec::new();
        for profile in self.profile.iter().filter(|p| **p != Profile::Perf) {
            for item in selection.of(*profile) {
                if !items.iter().any(|known| known.id() == item.id()) {
                    items.push(item);
                }
            }
        }
        items
    }
}

impl Conform {
    pub fn run(self) -> Result<Outcome, Failure> {
        match self.saved {
            Some(Other::Verify(command)) => return command.run(),
            Some(Other::Diff(command)) => return command.run(),
            Some(Other::Bisect(command)) => return command.run(),
            None => {}
        }
        if self.list {
            return list::list(&self.selection);
        }
        if let Some(id) = &self.replay {
            return list::replay(&self, id);
        }
        if let Some(id) = &self.shrink {
            return shrink::shrink(&self, id);
        }
        if self.estimate {
            return list::estimate(&self);
        }
        execute::execute(&self)
    }
}
