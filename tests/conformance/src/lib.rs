//! The conformance kit: whether a device runs DeepSeek-V4 correctly, operator by operator, and what it does when things go wrong.
//!
//! A [`Case`] is data: an operator with its full descriptor, a recipe for its inputs, a layout, a seed that follows from the case's
//! name. The kit draws the inputs, lets the judge compute every result with the error that an honest device may have, runs the
//! case on the device in several ways and compares. No tolerance is chosen anywhere.
//!
//! The supervisor runs cases in worker processes, so that a crash or a hang of a case is that case's outcome and nothing else.

pub mod batch;
pub mod bench;
pub mod case;
pub mod cases;
pub mod draw;
pub mod fault;
pub mod glob;
pub mod image;
pub mod judge;
pub mod lists;
pub mod model;
pub mod outcome;
pub mod perf;
pub mod profile;
pub mod random;
pub mod rejudge;
pub mod report;
pub mod rows;
pub mod run;
pub mod runtime;
pub mod script;
pub mod shrink;
pub mod soak;
pub mod suite;
pub mod supervisor;
pub mod target;
pub mod waiver;

pub use case::Case;
pub use outcome::{CaseResult, Check, Finding, Outcome};
pub use profile::Profile;
pub use target::Target;
