//! `omnihal bench`.

mod bandwidth;
mod dispatch;
mod model;
mod ops;
mod record;

use crate::failure::{Failure, Outcome};
use clap::{Args, Subcommand};

/// Measure speed. Nothing here passes or fails
#[derive(Args)]
pub struct Bench {
    #[command(subcommand)]
    what: What,
}

#[derive(Subcommand)]
enum What {
    Dispatch(dispatch::Dispatch),
    Model(model::Model),
    Ops(ops::Ops),
}

impl Bench {
    pub fn run(self) -> Result<Outcome, Failure> {
        match self.what {
            What::Dispatch(dispatch) => dispatch.run()?,
            What::Model(model) => model.run()?,
            What::Ops(ops) => ops.run()?,
        }
        Ok(Outcome::Good)
    }
}

/// The middle value; of an even number, the lower of the two in the middle. 0 of none.
fn median(values: &[f64]) -> f64 {
    let mut sorted = values.to_vec();
    sorted.sort_by(f64::total_cmp);
    sorted.get(sorted.len().saturating_sub(1) / 2).copied().unwrap_or(0.0)
}

/// The largest value. 0 of none.
fn best(values: &[f64]) -> f64 {
    values.iter().copied().fold(0.0, f64::max)
}
