//! The whole model on a device: every call of recorded steps, texts and logits, and the search for the call that is wrong.

mod bisect;
mod compare;
pub mod demo;
mod places;
mod report;
pub mod tap;

pub use bisect::{OnProgress, Options, Phase, Progress, bisect};
pub use compare::{Comparator, Compared, Element};
pub use report::{Composed, Failure, OperatorRow, Report};
