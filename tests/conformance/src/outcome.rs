//! What became of a case.

use serde::{Deserialize, Serialize};
use std::fmt;

/// The verdict on one case.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum Outcome {
    /// Every check held.
    Pass,
    /// A check did not hold.
    Fail,
    /// The worker process died.
    Crash,
    /// The worker did not answer within the case's time.
    Timeout,
    /// The device says that it does not run this.
    Unsupported,
    /// What the device does is not what it declared: it accepts what it said it would not, refuses what it said it would do,
    /// or lets something else than itself compute.
    Undeclared,
    /// Fails, as a waiver says it does, and within the error that the waiver allows.
    Waived,
    /// Passes although a waiver says that it fails.
    Xpass,
    /// Was not run.
    NotRun,
}

impl Outcome {
    /// Every outcome, in the order in which reports count them.
    pub const ALL: [Outcome; 9] = [
        Outcome::Pass,
        Outcome::Fail,
        Outcome::Crash,
        Outcome::Timeout,
        Outcome::Unsupported,
        Outcome::Undeclared,
        Outcome::Waived,
        Outcome::Xpass,
        Outcome::NotRun,
    ];

    /// True where a case of a must-pass list may stand so in a conformant run.
    pub fn conforms(self) -> bool {
        matches!(self, Outcome::Pass | Outcome::Waived)
    }

    /// As in reports.
    pub const fn name(self) -> &'static str {
        match self {
            Outcome::Pass => "PASS",
            Outcome::Fail => "FAIL",
            Outcome::Crash => "CRASH",
            Outcome::Timeout => "TIMEOUT",
            Outcome::Unsupported => "UNSUPPORTED",
            Outcome::Undeclared => "UNDECLARED",
            Outcome::Waived => "WAIVED",
            Outcome::Xpass => "XPASS",
            Outcome::NotRun => "NOT_RUN",
        }
    }
}

impl fmt::Display for Outcome {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

/// What was checked when something was found.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Check {
    /// A value lies within the judge's computed bound.
    Bound,
    /// A value has exactly the bits that every device must give.
    Exact,
    /// A chosen set is one that an honest device may choose.
    Set,
    /// Errors point both ways.
    Bias,
    /// NaN and infinities stand where the operator puts them.
    NonFinite,
    /// Every specified element was written.
    Written,
    /// Inputs are as they were.
    Inputs,
    /// Bytes beside the tensors, and state that the operator must not touch, are as they were.
    Guards,
    /// The same call gives the same bits again, where that is declared.
    Repeat,
    /// A row's bits depend on the row alone, where that is declared.
    Rows,
    /// Replay of a captured graph gives the bits of the eager call.
    Graph,
    /// A second stream gives the bits of the first.
    Stream,
    /// The device computes it itself, as it declared.
    Placement,
    /// Calls are refused, accepted and answered as the interface says.
    Interface,
    /// A whole model gives what the oracle or the judge gives.
    Model,
}

impl Check {
    /// As in reports.
    pub const fn name(self) -> &'static str {
        match self {
            Check::Bound => "bound",
            Check::Exact => "exact",
            Check::Set => "set",
            Check::Bias => "bias",
            Check::NonFinite => "non-finite",
            Check::Written => "written",
            Check::Inputs => "inputs",
            Check::Guards => "guards",
            Check::Repeat => "repeat",
            Check::Rows => "rows",
            Check::Graph => "graph",
            Check::Stream => "stream",
            Check::Placement => "placement",
            Check::Interface => "interface",
            Check::Model => "model",
        }
    }
}

/// One thing that did not hold.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Finding {
    /// What was checked.
    pub check: Check,
    /// The argument that it was found in.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub arg: Option<String>,
    /// First element concerned, in view order, as indices.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub element: Option<Vec<usize>>,
    /// Number of elements concerned.
    #[serde(default)]
    pub count: u64,
    /// Largest error over bound among them, where there is a bound.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub share: Option<f64>,
    /// One line for people: what was found, what was expected.
    pub text: String,
}

impl Finding {
    /// A finding that concerns no element.
    pub fn new(check: Check, text: impl Into<String>) -> Finding {
        Finding { check, arg: None, element: None, count: 0, share: None, text: text.into() }
    }

    /// Names the argument.
    #[must_use]
    pub fn in_arg(mut self, name: &str) -> Finding {
        self.arg = Some(name.to_owned());
        self
    }
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: ", self.check.name())?;
        if let Some(arg) = &self.arg {
            write!(f, "`{arg}`")?;
            if let Some(element) = &self.element {
                write!(f, "{element:?}")?;
            }
            f.write_str(": ")?;
        }
        f.write_str(&self.text)
    }
}

/// One output as the device left it, for whoever wants to judge again.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct OutputRecord {
    /// Its argument.
    pub arg: String,
    /// Element type.
    pub dtype: String,
    /// Dimensions.
    pub shape: Vec<usize>,
    /// SHA-256 of its elements in view order.
    pub sha256: String,
    /// Elements compared.
    pub compared: u64,
    /// Largest error over bound, and where; `None` where every element is exact.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub worst: Option<Worst>,
    /// Its elements in view order, if they are few enough to be kept whole. In a bundle they lie in files of their own.
    #[serde(skip)]
    pub bytes: Option<Vec<u8>>,
}

/// The element that uses most of its bound.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Worst {
    /// Its place in view order.
    pub element: usize,
    /// What the device gave.
    pub found: f64,
    /// What the judge has.
    pub expected: f64,
    /// Distance allowed.
    pub bound: f64,
    /// Error over bound.
    pub share: f64,
}

/// What became of one case.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct CaseResult {
    /// The case.
    pub id: String,
    /// The operator, or for a case without one the group that it belongs to, as `runtime.copy`.
    pub op: String,
    /// Types that matter, as `BF16` or `BF16 x F8E4M3`: the column of the report's matrix.
    pub types: String,
    /// The verdict.
    pub outcome: Outcome,
    /// Why, in one line, where it is not a pass.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub message: Option<String>,
    /// Everything that did not hold.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub findings: Vec<Finding>,
    /// The outputs.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub outputs: Vec<OutputRecord>,
    /// How the plan adds up, as declared.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub accumulation: Option<String>,
    /// The determinism that the plan declares.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub determinism: Option<String>,
    /// How the device runs the operator, in its words, where it says more than that it does.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub emulated: Option<String>,
    /// Milliseconds that the case took, the judge included.
    pub millis: f64,
}

impl CaseResult {
    /// A result without details.
    pub fn new(id: &str, op: &str, types: &str, outcome: Outcome) -> CaseResult {
        CaseResult {
            id: id.to_owned(),
            op: op.to_owned(),
            types: types.to_owned(),
            outcome,
            message: None,
            findings: Vec::new(),
            outputs: Vec::new(),
            accumulation: None,
            determinism: None,
            emulated: None,
            millis: 0.0,
        }
    }

    /// Says why, in one line.
    #[must_use]
    pub fn because(mut self, message: impl Into<String>) -> CaseResult {
        self.message = Some(message.into());
        self
    }

    /// A failure if anything was found, else a pass.
    #[must_use]
    pub fn with_findings(mut self, findings: Vec<Finding>) -> CaseResult {
        if let Some(first) = findings.first() {
            let more = if findings.len() > 1 { format!(" (and {} more)", findings.len() - 1) } else { String::new() };
            self.message = Some(format!("{first}{more}"));
            self.outcome = match first.check {
                Check::Placement => Outcome::Undeclared,
                _ => Outcome::Fail,
            };
        }
        self.findings = findings;
        self
    }

    /// Largest error over bound among its outputs.
    pub fn worst_share(&self) -> Option<f64> {
        let shares = self.outputs.iter().filter_map(|o| o.worst.as_ref().map(|w| w.share));
        shares.chain(self.findings.iter().filter_map(|f| f.share)).reduce(f64::max)
    }
}
