//! `omnihal conform bisect`.

use super::conform::DeviceArgs;
use crate::failure::{Failure, Outcome};
use crate::open::{ActArg, ModelArgs, TierArg};
use crate::output;
use clap::Args;
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use omnihal_conformance::model::{self, Options};
use omnihal_deepseek::config::Precision;
use std::time::Duration;

/// Find the operator, layer and element where a device leaves its bound in a whole model
///
/// Runs the judge and the device side by side through the graph and gives the device the judge's inputs at each call, so that an error is seen where it is
/// made and not where it has spread to. The device runs in this process: if it crashes there, --profile runtime and core say where.
#[derive(Args)]
#[command(after_help = "\
Examples:
  omnihal conform bisect --backend cpu
  omnihal conform bisect --model DIR --plugin ./libvendor.so --act bf16
  omnihal conform bisect --plugin ./libvendor.so --tier core --all --json

Exit code 0 if every call is within its bounds, 1 if one is not.")]
pub struct Bisect {
    #[command(flatten)]
    model: ModelArgs,
    #[command(flatten)]
    device: DeviceArgs,
    /// Text to run; a model without tokenizer.json needs --ids
    #[arg(long, default_value = "OmniHAL is")]
    prompt: String,
    /// Token ids to run instead of a text, separated by commas
    #[arg(long, value_delimiter = ',', conflicts_with = "prompt")]
    ids: Vec<u32>,
    /// Steps of one token after the prompt
    #[arg(long, default_value_t = 4)]
    decode: usize,
    /// Activation type
    #[arg(long, value_enum, default_value = "f32")]
    act: ActArg,
    /// Operators that may run natively
    #[arg(long, value_enum, default_value = "all")]
    tier: TierArg,
    /// Rounding: plain, qat_kv, qat_kv_idx or qat_all [default: as suits the checkpoint]
    #[arg(long, value_name = "MODE")]
    precision: Option<Precision>,
    /// Go on after the first call that is wrong
    #[arg(long)]
    all: bool,
    /// Print one JSON object
    #[arg(long)]
    json: bool,
}

impl Bisect {
    pub fn run(self) -> Result<Outcome, Failure> {
        let checkpoint = self.model.checkpoint()?;
        let prompt = self.tokens()?;
        self.device.probe()?;
        let (target, _) = self.device.open()?;
        let mut options = Options::new(prompt);
        options.decode = self.decode;
        options.act = self.act.into();
        options.limit = self.tier.into();
        options.precision = self.precision;
        options.all = self.all;
        let bar = ProgressBar::with_draw_target(None, ProgressDrawTarget::stderr());
        if let Ok(style) = ProgressStyle::with_template("{spinner} {pos} calls, {msg}, {elapsed}") {
            bar.set_style(style);
        }
        bar.enable_steady_tick(Duration::from_millis(200));
        let shown = bar.clone();
        let report = model::bisect(&checkpoint, target.device(), &options, move |progress| {
            shown.set_position(progress.calls);
            shown.set_message(format!("{} in {}", progress.op, progress.layer));
        });
        bar.finish_and_clear();
        let report = report?;
        match self.json {
            true => output::text(report.json().map_err(Failure::input)? + "\n")?,
            false => output::text(report.render())?,
        }
        Ok(Outcome::of(report.passed()))
    }

    fn tokens(&self) -> Result<Vec<u32>, Failure> {
        if !self.ids.is_empty() {
            return Ok(self.ids.clone());
        }
        let tokenizer = self
            .model
            .tokenizer()?
            .ok_or_else(|| Failure::input("the model has no tokenizer.json: give token ids with --ids 1,2,3"))?;
        Ok(tokenizer.encode(&self.prompt)?)
    }
}
