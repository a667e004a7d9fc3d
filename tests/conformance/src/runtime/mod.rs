//! The `runtime` profile: devices, memory, copies, streams, events, graphs, errors, plans, threads. What every device must do before any
//! operator is worth judging.
//!
//! Scripts work on whatever device they are given and know no backend. Where a rule shows only while a stream is busy, they look for work that
//! keeps it busy first; a device that does its work inside the calls has nothing to show there, and passes.

mod capture;
mod chain;
mod copies;
mod discovery;
mod errors;
mod events;
mod foreign;
mod lifetime;
mod load;
mod memory;
mod order;
mod plans;
pub mod poison;
mod process;
mod rig;
pub(crate) mod samples;
mod threads;

pub(crate) use chain::{Chain, Step};
pub(crate) use lifetime::flat;
pub(crate) use process::Resident;
pub(crate) use rig::{Notes, PATIENCE, Queue, Rig};

use crate::Profile;
use crate::script::{Script, Verdict};
use crate::target::Target;
use omnihal::Result;

type Run = fn(&Target, u64) -> Result<Verdict>;

/// A script that every run of the profile makes.
const fn quick(id: &'static str, group: &'static str, run: Run) -> Script {
    Script { id, group, profile: Profile::Runtime, quick: true, run }
}

/// A script that takes longer.
const fn full(id: &'static str, group: &'static str, run: Run) -> Script {
    Script { id, group, profile: Profile::Runtime, quick: false, run }
}

/// Every script of the profile.
pub fn scripts() -> Vec<Script> {
    let tables = [
        discovery::SCRIPTS,
        memory::SCRIPTS,
        copies::SCRIPTS,
        order::SCRIPTS,
        events::SCRIPTS,
        capture::SCRIPTS,
        capture::CALLS,
        errors::SCRIPTS,
        plans::SCRIPTS,
        threads::SCRIPTS,
        lifetime::SCRIPTS,
    ];
    tables.concat()
}
