//! `omnihal plan`.

use crate::failure::{Failure, Outcome};
use crate::output;
use clap::Args;
use omnihal_deepseek::account::{Account, CacheFormat, Fit, Query};
use omnihal_deepseek::config::Config;
use omnihal_deepseek::released;
use serde::Serialize;
use std::path::Path;

/// Say what a model needs: parameters, bytes, FLOPs, and whether it fits
///
/// Everything follows from the config; no weights are read.
#[derive(Args)]
#[command(after_help = "\
Examples:
  omnihal plan --config flash --context 1M
  omnihal plan --config pro --context 128K --batch 32 --device-memory 80 --tp 16
  omnihal plan --config DIR/config.json --context 4096 --json

K and M stand for 1024 and 1048576 tokens. Exit code 1 if --device-memory is given and the model does not fit.")]
pub struct Plan {
    /// Config file, a folder with config.json, or a released model: flash, pro
    #[arg(long, value_name = "FILE")]
    config: String,
    /// Tokens cached in each sequence
    #[arg(long, value_name = "N", value_parser = tokens)]
    context: u64,
    /// Sequences decoded together
    #[arg(long, value_name = "B", default_value_t = 1)]
    batch: u64,
    /// Memory of one device in GiB
    #[arg(long, value_name = "G", allow_negative_numbers = true)]
    device_memory: Option<f64>,
    /// Devices that share the model (tensor parallel)
    #[arg(long, value_name = "N", default_value_t = 1)]
    tp: u64,
    /// How the pools hold keys: packed, bf16 or f32
    #[arg(long, value_name = "FORMAT", default_value_t = CacheFormat::Packed)]
    cache: CacheFormat,
    /// Print one JSON object
    #[arg(long)]
    json: bool,
}

#[derive(Serialize)]
struct Report<'a> {
    config: &'a str,
    #[serde(flatten)]
    account: &'a Account,
    fit: Option<Fit>,
}

/// Parses a number of tokens, with K or M for binary thousands and millions.
fn tokens(text: &str) -> Result<u64, String> {
    let (digits, unit) = match text.trim_end_matches(['k', 'K', 'm', 'M']) {
        digits if digits.len() + 1 == text.len() => {
            (digits, if text.ends_with(['k', 'K']) { 1 << 10 } else { 1 << 20 })
        }
        _ => (text, 1),
    };
    let value = digits.parse::<u64>().ok().and_then(|n| n.checked_mul(unit));
    value.ok_or_else(|| "expected a number of tokens such as 4096, 128K or 1M".to_owned())
}

/// GiB to bytes.
fn gib(size: f64) -> Result<u64, Failure> {
    // 2^33 GiB is beyond any memory, and its bytes fit 64 bits.
    match size > 0.0 && size < (1u64 << 33) as f64 {
        true => Ok((size * (1u64 << 30) as f64) as u64),
        false => Err(Failure::input(format!("--device-memory is {size}: expected GiB above 0, such as 80"))),
    }
}

impl Plan {
    pub fn run(self) -> Result<Outcome, Failure> {
        let memory = self.device_memory.map(gib).transpose()?;
        let query =
            Query { context: self.context, batch: self.batch, tensor_parallel: self.tp, cache_format: self.cache };
        let account = Account::new(&self.config()?, query)?;
        let fit = memory.map(|bytes| account.fits(bytes));
        if self.json {
            output::json(&Report { config: &self.config, account: &account, fit })?;
        } else {
            let fit = fit.map_or(String::new(), |fit| format!("{fit}\n"));
            output::text(format!("{account}{fit}"))?;
        }
        Ok(Outcome::of(fit.is_none_or(|fit| fit.fits)))
    }

    fn config(&self) -> Result<Config, Failure> {
        let path = Path::new(&self.config);
        if path.is_dir() {
            return Ok(Config::from_file(&path.join("config.json"))?);
        }
        if path.exists() {
            return Ok(Config::from_file(path)?);
        }
        match released::config(&self.config) {
            Some(config) => Ok(config?),
            None => Err(Failure::input(format!(
                "--config {}: no such file, and no released model of that name: give a config.json, or one of {}",
                self.config,
                released::NAMES.join(", ")
            ))),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn contexts_are_read_with_binary_units() {
        let read = |text| tokens(text).ok();
        assert_eq!([read("4096"), read("128K"), read("1m")], [Some(4096), Some(131_072), Some(1_048_576)]);
        for wrong in ["", "K", "12X", "1KK", "-1", "1.5M", "99999999999999999999", "18446744073709551615M"] {
            assert_eq!(read(wrong), None, "{wrong}");
        }
    }

    #[test]
    fn memory_is_a_positive_number_of_gib() {
        assert_eq!(gib(1.5).ok(), Some(3 << 29));
        for wrong in [0.0, -1.0, f64::NAN, f64::INFINITY] {
            assert!(gib(wrong).is_err(), "{wrong}");
        }
    }
}
