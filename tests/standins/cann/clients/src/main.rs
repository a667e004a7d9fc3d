//! Runs every wrong client in a process of its own over the stand-ins of a folder, and says which were caught.
//!
//! `wrong_clients FOLDER`, or `wrong_clients FOLDER INDEX` for one.

mod calls;
mod clients;
mod groups;
mod libraries;
mod rig;

use clients::{ALL, Caught, Client};
use libraries::Cann;
use rig::Rig;
use std::os::unix::process::ExitStatusExt;
use std::path::Path;
use std::process::{Command, ExitCode};

const SEGMENTATION_FAULT: i32 = 11;

fn one(folder: &Path, index: usize) -> ExitCode {
    let (Some((_, _, act)), Ok(cann)) = (ALL.get(index), Cann::open(folder)) else {
        eprintln!("no client {index}, or no stand-ins in {}", folder.display());
        return ExitCode::FAILURE;
    };
    act(&Rig::new(cann));
    ExitCode::SUCCESS
}

/// Why a client was not caught as it should be.
fn judge(folder: &Path, index: usize, (_, expected, _): &Client) -> Result<(), String> {
    let log = std::env::temp_dir().join(format!("wrong-client-{}-{index}", std::process::id()));
    let program = std::env::current_exe().map_err(|e| e.to_string())?;
    let ended = Command::new(program)
        .arg(folder)
        .arg(index.to_string())
        .env("FAKE_CANN_LOG", &log)
        .output()
        .map_err(|e| e.to_string())?;
    let broken = std::fs::read_to_string(&log).unwrap_or_default();
    _ = std::fs::remove_file(&log);
    let rules: Vec<&str> = broken.lines().filter_map(|line| line.split_once(": ").map(|(rule, _)| rule)).collect();
    let words =
        || format!("rules broken {rules:?}, {}: {}", ended.status, String::from_utf8_lossy(&ended.stderr).trim());
    let caught = match expected {
        Caught::Rule(rule) => rules.contains(rule) && ended.status.success(),
        Caught::Fault => ended.status.signal() == Some(SEGMENTATION_FAULT),
        Caught::Not => rules.is_empty() && ended.status.success(),
    };
    if caught { Ok(()) } else { Err(words()) }
}

fn main() -> ExitCode {
    let words: Vec<String> = std::env::args().skip(1).collect();
    let (folder, index) = match &words[..] {
        [folder] => (Path::new(folder), None),
        [folder, index] => (Path::new(folder), index.parse().ok()),
        _ => {
            eprintln!("asked for {words:?}, expected a folder with the stand-ins");
            return ExitCode::FAILURE;
        }
    };
    if let Some(index) = index {
        return one(folder, index);
    }
    let (mut wrong, mut caught, mut failed) = (0, 0, false);
    for (index, client) in ALL.iter().enumerate() {
        let is_wrong = client.1 != Caught::Not;
        wrong += is_wrong as usize;
        match judge(folder, index, client) {
            Ok(()) => caught += is_wrong as usize,
            Err(why) => {
                failed = true;
                println!("not as expected: {}: wanted {:?}, {why}", client.0, client.1);
            }
        }
    }
    let rules: std::collections::BTreeSet<_> = ALL
        .iter()
        .filter_map(|client| match client.1 {
            Caught::Rule(rule) => Some(rule),
            Caught::Fault => Some("unreadable memory"),
            Caught::Not => None,
        })
        .collect();
    println!(
        "wrong clients: {wrong}, of {} rules, caught {caught}; right ones left alone: {}",
        rules.len(),
        ALL.len() - wrong
    );
    if failed { ExitCode::FAILURE } else { ExitCode::SUCCESS }
}
