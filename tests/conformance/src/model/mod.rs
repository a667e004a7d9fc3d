//! The whole model on a device: every call of recorded steps, texts and logits, and the search for the call that is wrong.

mod bisect;
mod compare;
pub mod demo;
mod places;
mod report;
mod runs;
mod scripts;
mod steps;
pub mod tap;
mod whole;

pub use bisect::{Options, Phase, Progress, bisect};
pub use compare::{Comparator, Compared, Element};
pub use report::{Composed, Failure, OperatorRow, Report};
pub use scripts::SCRIPTS;
