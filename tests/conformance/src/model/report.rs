//! What a search for the wrong operator found, as text and as JSON.

use super::compare::Element;
use crate::outcome::Finding;
use serde::Serialize;
use std::fmt::{self, Write};

/// The outcome of [`super::bisect`].
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Report {
    /// Backend of the device.
    pub backend: String,
    /// The device.
    pub device: String,
    /// Activation type.
    pub act: String,
    /// Where values were rounded.
    pub precision: String,
    /// Only core operators ran natively.
    pub core_only: bool,
    /// Tokens of the prompt.
    pub prompt: usize,
    /// Steps of one token asked for.
    pub decode: usize,
    /// All steps were run; false where the search ended at a wrong call.
    pub finished: bool,
    /// Calls judged.
    pub calls: u64,
    /// Elements compared.
    pub elements: u64,
    /// Calls that were wrong, in the order of the run.
    pub failures: Vec<Failure>,
    /// Every operator that was called.
    pub operators: Vec<OperatorRow>,
    /// Operators that the device does not run itself, and runs as smaller ones.
    pub composed: Vec<Composed>,
}

/// A wrong call.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Failure {
    /// `load`, `prefill`, `decode 3`.
    pub step: String,
    /// Its number in that part of the run, from 1.
    pub call: u64,
    /// Operator.
    pub op: String,
    /// Descriptor.
    pub descriptor: String,
    /// `layers.2`, `mtp.0`, `embed`, `head`: of the weights or the state that it reads, or of the last call before that read any.
    pub layer: String,
    /// These weights and this state; none for calls on intermediate values only.
    pub tensors: Vec<String>,
    /// The first element that is not what it may be.
    pub element: Option<Element>,
    /// Everything that did not hold.
    pub findings: Vec<Finding>,
}

/// One operator in the calls of a run.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct OperatorRow {
    /// Operator.
    pub op: String,
    /// Calls judged.
    pub calls: u64,
    /// Elements compared.
    pub elements: u64,
    /// Calls that were wrong.
    pub failed: u64,
    /// Largest error over bound; `None` where every element is exact.
    pub worst: Option<f64>,
    /// Where that was: step, layer, argument.
    pub worst_at: String,
}

/// An operator that runs as smaller ones.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Composed {
    /// Operator.
    pub op: String,
    /// Calls in the step of the prompt.
    pub calls: usize,
    /// Why.
    pub reason: String,
}

impl OperatorRow {
    pub(super) fn new(op: &str) -> OperatorRow {
        let worst_at = String::new();
        OperatorRow { op: op.to_owned(), calls: 0, elements: 0, failed: 0, worst: None, worst_at }
    }
}

/// Wrong calls that the text tells of one by one.
const SHOWN: usize = 20;

impl Report {
    /// True if no call was wrong.
    pub fn passed(&self) -> bool {
        self.failures.is_empty()
    }

    /// The first wrong call.
    pub fn first(&self) -> Option<&Failure> {
        self.failures.first()
    }

    /// For people.
    pub fn render(&self) -> String {
        let mut text = String::new();
        // Writing to a string does not fail.
        let _ = self.write(&mut text);
        text
    }

    /// For programs.
    ///
    /// # Errors
    /// None that is known: every field has a JSON form.
    pub fn json(&self) -> serde_json::Result<String> {
        serde_json::to_string_pretty(self)
    }

    fn write(&self, out: &mut String) -> fmt::Result {
        let tier = if self.core_only { "core operators only" } else { "all operators" };
        writeln!(out, "{} ({}), {}, {}, {tier}", self.backend, self.device, self.act, self.precision)?;
        writeln!(out, "prompt of {} tokens, then {} steps of one token", self.prompt, self.decode)?;
        writeln!(out, "{} calls judged, {} elements compared\n", self.calls, self.elements)?;
        match self.first() {
            None => writeln!(
                out,
                "every call is within its bounds. If the model is wrong all the same, the fault is not in a single call: it is in memory, streams, \
                 graphs, private weight layouts or what is left from call to call. See the runtime profile, and the cases of single operators.\n"
            )?,
            Some(first) => {
                writeln!(out, "first wrong call: {} in {}, {}\n", first.op, first.layer, first.step)?;
                self.failures.iter().take(SHOWN).try_for_each(|failure| failure.write(out))?;
                if self.failures.len() > SHOWN {
                    writeln!(out, "... and {} more\n", self.failures.len() - SHOWN)?;
                }
            }
        }
        self.write_tables(out)
    }

    fn write_tables(&self, out: &mut String) -> fmt::Result {
        writeln!(out, "{:<22} {:>6} {:>7} {:>12}  where", "operator", "calls", "wrong", "error/bound")?;
        for row in &self.operators {
            let worst = row.worst.map_or("exact".to_owned(), |share| format!("{share:.3}"));
            writeln!(out, "{:<22} {:>6} {:>7} {worst:>12}  {}", row.op, row.calls, row.failed, row.worst_at)?;
        }
        if !self.composed.is_empty() {
            writeln!(out, "\nrun as smaller operators on the device, as its placement has it:")?;
        }
        self.composed.iter().try_for_each(|c| writeln!(out, "{:<22} {:>6} calls: {}", c.op, c.calls, c.reason))
    }
}

impl Failure {
    fn write(&self, out: &mut String) -> fmt::Result {
        writeln!(out, "{}, call {}: {} in {}", self.step, self.call, self.op, self.layer)?;
        writeln!(out, "  {}", self.descriptor)?;
        if !self.tensors.is_empty() {
            writeln!(out, "  reads {}", self.tensors.join(", "))?;
        }
        if let Some(e) = &self.element {
            let at = format!("`{}`{:?}", e.arg, e.at);
            writeln!(out, "  first at {at}: found {:e}, expected {:e}, bound {:.3e}", e.found, e.expected, e.bound)?;
        }
        for finding in &self.findings {
            let count = if finding.count > 1 { format!(" ({} elements)", finding.count) } else { String::new() };
            let share = finding.share.map_or(String::new(), |s| format!(", at most {s:.3} times the bound"));
            writeln!(out, "  {finding}{count}{share}")?;
        }
        writeln!(out)
    }
}
