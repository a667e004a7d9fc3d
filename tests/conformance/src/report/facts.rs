//! What a report says about the kit, the device and the run.

use crate::Profile;
use omnihal::op::OpKind;
use omnihal::{Caps, DeviceInfo};
use serde::{Deserialize, Serialize};

/// The kit that wrote the report.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Kit {
    /// Version of the crate.
    pub version: String,
    /// The commit that it was built from, as the caller knows it.
    pub commit: String,
}

/// What was asked to run.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Selection {
    /// Profiles asked for.
    pub profiles: Vec<Profile>,
    /// Number that the random inputs follow from, beside the cases' names.
    pub salt: u64,
    /// Only the quick cases.
    pub quick: bool,
    /// Only part `i` of `n`, counted from 1.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub fraction: Option<(usize, usize)>,
    /// Only cases whose names fit one of these patterns; all if there is none.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub filters: Vec<String>,
}

impl Selection {
    /// How the run was cut down, in words. A run that leaves cases out can never say that a device conforms.
    pub fn cuts(&self) -> Vec<String> {
        let mut cuts = Vec::new();
        if self.quick {
            cuts.push("only the quick cases ran".to_owned());
        }
        if let Some((part, of)) = self.fraction {
            cuts.push(format!("only part {part} of {of} of the cases ran"));
        }
        if !self.filters.is_empty() {
            cuts.push(format!("only cases that fit `{}` ran", self.filters.join("` or `")));
        }
        cuts
    }

    /// True if the run was asked to leave cases out.
    pub fn is_partial(&self) -> bool {
        !self.cuts().is_empty()
    }
}

/// The device under test.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct DeviceFacts {
    /// Name of the backend.
    pub backend: String,
    /// Index among the backend's devices.
    pub index: usize,
    /// What the vendor calls it.
    pub name: String,
    /// Bytes of memory, if the vendor tells.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub memory: Option<u64>,
    /// Driver and library versions, in the vendor's words.
    pub versions: Vec<(String, String)>,
    /// It is a loopback library under a vendor's names and no hardware: nothing can be stated about a chip.
    pub stand_in: bool,
    /// Which fused operators were run as sequences of the device's smaller ones: `missing` or `all`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub composed: Option<String>,
    /// The plug-in that it came from.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub plugin: Option<PluginFacts>,
    /// Version of the plug-in interface, if it was judged through that.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub abi: Option<String>,
    /// What it declares.
    pub caps: CapsFacts,
}

/// A plug-in file.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct PluginFacts {
    /// Where it was loaded from.
    pub path: String,
    /// SHA-256 of the file.
    pub sha256: String,
}

/// What a device declares about itself.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct CapsFacts {
    /// Activation types.
    pub activations: Vec<String>,
    /// Operators with at least one native descriptor.
    pub ops: Vec<String>,
    /// Device addresses are host pointers.
    pub host_addressable: bool,
    /// Streams capture graphs themselves.
    pub native_graphs: bool,
    /// Alignment of allocations in bytes.
    pub alignment: usize,
}

impl DeviceFacts {
    /// The facts of an opened device. Whether it is a stand-in, and which plug-in it came from, only the caller knows.
    pub fn new(info: &DeviceInfo, caps: &Caps) -> DeviceFacts {
        let ops = OpKind::ALL.iter().filter(|k| caps.ops.contains(**k)).map(|k| k.name().to_owned()).collect();
        DeviceFacts {
            backend: info.backend.to_owned(),
            index: info.index,
            name: info.name.clone(),
            memory: info.memory,
            versions: info.versions.clone(),
            caps: CapsFacts {
                activations: caps.activations.iter().map(|t| t.name().to_owned()).collect(),
                ops,
                host_addressable: caps.host_addressable,
                native_graphs: caps.native_graphs,
                alignment: caps.alignment,
            },
            ..DeviceFacts::default()
        }
    }

    /// Backend, index and name in one line; says so if it is a stand-in.
    pub fn title(&self) -> String {
        let stand_in = if self.stand_in { " (stand-in: no hardware)" } else { "" };
        format!("{}:{} {}{stand_in}", self.backend, self.index, self.name)
    }
}

/// Speed of one case. Never part of a verdict.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct PerfRow {
    /// The case.
    pub id: String,
    /// The operator.
    pub op: String,
    /// Types that matter.
    pub types: String,
    /// Runs that were timed.
    pub runs: u64,
    /// Median of their times, in microseconds.
    pub median_us: f64,
    /// Shortest of them, in microseconds.
    pub fastest_us: f64,
    /// Floating-point operations of a run, as the plan says.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub flops: Option<f64>,
    /// Bytes that a run moves, as the plan says.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub bytes: Option<f64>,
    /// Share of what the device could do, where that is known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub peak_share: Option<f64>,
}
