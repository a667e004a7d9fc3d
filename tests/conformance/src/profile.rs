//! Profiles: what a device is measured against.

use serde::{Deserialize, Serialize};
use std::fmt;
use std::str::FromStr;

/// A set of cases that belong together, with a must-pass list of its own.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Profile {
    /// Devices, memory, streams, events, graphs, errors.
    Runtime,
    /// The core operators: enough to run the whole model by composition.
    Core,
    /// Every operator of the model with plain weights, and the model itself.
    V4,
    /// Weights in FP8 and FP4, packed state rows, rounding of activations.
    V4Quant,
    /// Time, and share of what the device can do. Never part of a verdict.
    Perf,
    /// Many steps: memory stays flat, results stay the same.
    Soak,
    /// Errors in the middle of work.
    Fault,
}

impl Profile {
    /// Every profile.
    pub const ALL: [Profile; 7] =
        [Profile::Runtime, Profile::Core, Profile::V4, Profile::V4Quant, Profile::Perf, Profile::Soak, Profile::Fault];

    /// True if this profile requires the cases of another one too: the model's operators stand on the core ones.
    pub fn includes(self, other: Profile) -> bool {
        self == other || (self == Profile::V4 && other == Profile::Core)
    }

    /// As on the command line.
    pub const fn name(self) -> &'static str {
        match self {
            Profile::Runtime => "runtime",
            Profile::Core => "core",
            Profile::V4 => "v4",
            Profile::V4Quant => "v4-quant",
            Profile::Perf => "perf",
            Profile::Soak => "soak",
            Profile::Fault => "fault",
        }
    }
}

impl fmt::Display for Profile {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

impl FromStr for Profile {
    type Err = String;

    fn from_str(name: &str) -> Result<Profile, String> {
        Profile::ALL.into_iter().find(|p| p.name() == name).ok_or_else(|| {
            let names: Vec<_> = Profile::ALL.iter().map(|p| p.name()).collect();
            format!("`{name}` is no profile, expected one of {}", names.join(", "))
        })
    }
}
