//! The commands, one file each.

mod bench;
mod bisect;
mod conform;
mod devices;
mod doctor;
mod generate;
mod ops;
mod parity;
mod placement;
mod plan;

use crate::failure::{Failure, Outcome};
use clap::Subcommand;

/// What `omnihal` can be asked to do.
#[derive(Subcommand)]
pub enum Command {
    Devices(devices::Devices),
    Doctor(doctor::Doctor),
    Generate(Box<generate::Generate>),
    Parity(parity::Parity),
    Placement(placement::Placement),
    Plan(plan::Plan),
    Ops(ops::Ops),
    Bench(bench::Bench),
    Conform(Box<conform::Conform>),
    #[command(hide = true)]
    ConformWorker(conform::Worker),
    /// Try a plug-in and print what it is
    #[command(hide = true)]
    PluginProbe {
        path: std::path::PathBuf,
    },
}

impl Command {
    /// Runs it.
    pub fn run(self) -> Result<Outcome, Failure> {
        match self {
            Command::Devices(command) => command.run(),
            Command::Doctor(command) => command.run(),
            Command::Generate(command) => command.run(),
            Command::Parity(command) => command.run(),
            Command::Placement(command) => command.run(),
            Command::Plan(command) => command.run(),
            Command::Ops(command) => command.run(),
            Command::Bench(command) => command.run(),
            Command::Conform(command) => command.run(),
            Command::ConformWorker(command) => command.run(),
            Command::PluginProbe { path } => Ok(Outcome::Exit(omnihal_abi::probe_child(&path))),
        }
    }
}
