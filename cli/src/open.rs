//! Options that several commands share, and what they open.

use crate::failure::Failure;
use crate::plugins;
use clap::{Args, ValueEnum};
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use omnihal::{DType, Device};
use omnihal_deepseek::config::{Config, Precision};
use omnihal_deepseek::demo;
use omnihal_deepseek::engine::{Engine, EngineOptions};
use omnihal_deepseek::tokenizer::Tokenizer;
use omnihal_deepseek::weights::Checkpoint;
use omnihal_runtime::TierLimit;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// Which model.
#[derive(Args, Clone, Debug)]
pub struct ModelArgs {
    /// Folder with config.json, the weights and tokenizer.json [default: the bundled demo]
    #[arg(long, value_name = "DIR")]
    pub model: Option<PathBuf>,
    /// Weights file to use instead of the folder's own; may be given several times
    #[arg(long, value_name = "FILE", requires = "model")]
    pub model_file: Vec<PathBuf>,
    /// Config file to use instead of the folder's own
    #[arg(long, value_name = "FILE", requires = "model")]
    pub config: Option<PathBuf>,
}

/// Names of the form that the `transformers` library saves, where a folder has no other.
const LIBRARY_WEIGHTS: &str = "model.hf.safetensors";
const LIBRARY_CONFIG: &str = "config.hf.json";
/// Weights that a folder has by itself.
const OWN_WEIGHTS: [&str; 2] = ["model.safetensors", "model.safetensors.index.json"];

impl ModelArgs {
    /// Opens the checkpoint.
    pub fn checkpoint(&self) -> Result<Checkpoint, Failure> {
        let Some(dir) = &self.model else { return Ok(demo::checkpoint()?) };
        if !dir.is_dir() {
            return Err(Failure::input(format!(
                "--model {}: expected a folder with config.json and weights, found {}",
                dir.display(),
                if dir.exists() { "something else" } else { "nothing" }
            )));
        }
        let mut files: Vec<PathBuf> = self.model_file.iter().map(|file| inside(dir, file)).collect();
        let mut config = self.config.as_ref().map(|file| inside(dir, file));
        let library = dir.join(LIBRARY_WEIGHTS);
        if files.is_empty() && library.exists() && !OWN_WEIGHTS.iter().any(|name| dir.join(name).exists()) {
            files.push(library);
            config = config.or_else(|| Some(dir.join(LIBRARY_CONFIG)).filter(|path| path.exists()));
        }
        if files.is_empty() && config.is_none() {
            return Ok(Checkpoint::open(dir)?);
        }
        if files.is_empty() {
            files.push(dir.join(OWN_WEIGHTS[0]));
        }
        let config = config.unwrap_or_else(|| dir.join("config.json"));
        Ok(Checkpoint::open_files(Config::from_file(&config)?, &files)?)
    }

    /// Opens the tokenizer: of the demo, or of the folder if it has one.
    pub fn tokenizer(&self) -> Result<Option<Tokenizer>, Failure> {
        let Some(dir) = &self.model else { return Ok(Some(demo::tokenizer()?)) };
        let file = dir.join("tokenizer.json");
        Ok(if file.exists() { Some(Tokenizer::open(file)?) } else { None })
    }

    /// The model in words.
    pub fn name(&self) -> String {
        self.model.as_ref().map_or("demo".into(), |dir| dir.display().to_string())
    }
}

/// A file as given, or inside the folder if it is not there.
fn inside(dir: &Path, file: &Path) -> PathBuf {
    let within = dir.join(file);
    if !file.exists() && within.exists() { within } else { file.to_owned() }
}

/// Which device.
#[derive(Args, Clone, Debug)]
pub struct BackendArgs {
    /// Backend, backend:index, or the path of a plug-in
    #[arg(long, value_name = "NAME", default_value = "cpu")]
    pub backend: String,
    /// Backend that runs, with copies, what the first cannot [default: nothing falls back]
    #[arg(long, value_name = "NAME")]
    pub fallback: Option<String>,
}

impl BackendArgs {
    /// Opens the device.
    pub fn open(&self) -> Result<Arc<dyn Device>, Failure> {
        open(&self.backend)
    }

    /// Opens the fallback device, if one was asked for.
    pub fn open_fallback(&self) -> Result<Option<Arc<dyn Device>>, Failure> {
        self.fallback.as_deref().map(open).transpose()
    }
}

/// Opens a device by `name`, `name:index` or the path of a plug-in.
pub fn open(device: &str) -> Result<Arc<dyn Device>, Failure> {
    if plugins::is_path(device) {
        return plugins::open(Path::new(device));
    }
    let registry = &plugins::found().registry;
    let name = device.split(':').next().unwrap_or(device);
    registry.get(name).map_err(|error| {
        let advice = match omnihal_backends::OPTIONAL.contains(&name) {
            true => format!("build with `--features {name}` for it"),
            false => "see `omnihal devices`".to_owned(),
        };
        Failure::input(format!("{}; {advice}", error.message()))
    })?;
    Ok(registry.open(device)?)
}

/// Which operators may run natively.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum TierArg {
    /// Every operator that the device has
    All,
    /// Core operators only: every fused one is composed of them
    Core,
}

impl From<TierArg> for TierLimit {
    fn from(tier: TierArg) -> Self {
        match tier {
            TierArg::All => TierLimit::All,
            TierArg::Core => TierLimit::Core,
        }
    }
}

/// Activation type.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum ActArg {
    /// 32-bit floats
    F32,
    /// bfloat16
    Bf16,
}

impl From<ActArg> for DType {
    fn from(act: ActArg) -> Self {
        match act {
            ActArg::F32 => DType::F32,
            ActArg::Bf16 => DType::BF16,
        }
    }
}

/// How the model is computed.
#[derive(Args, Clone, Debug)]
pub struct ComputeArgs {
    /// Type of the activations
    #[arg(long, value_enum, default_value = "bf16")]
    pub act: ActArg,
    /// Rounding: plain, qat_kv, qat_kv_idx or qat_all [default: qat_all for a quantised checkpoint, else plain]
    #[arg(long, value_name = "MODE")]
    pub precision: Option<Precision>,
    /// Operators that may run natively
    #[arg(long, value_enum, default_value = "all")]
    pub tier: TierArg,
}

impl ComputeArgs {
    /// Engine options for `positions` positions.
    pub fn options(&self, config: &Config, positions: usize, backend: &BackendArgs) -> Result<EngineOptions, Failure> {
        let mut options = EngineOptions::new(config, positions);
        options.act = self.act.into();
        options.limit = self.tier.into();
        options.precision = self.precision.unwrap_or(options.precision);
        options.fallback = backend.open_fallback()?;
        Ok(options)
    }
}

/// Checkpoints of at least this many bytes load with a progress bar: about a second of reading.
const SLOW_LOAD: u64 = 256 << 20;

/// Loads a checkpoint, with a progress bar on a terminal when it takes a while.
pub fn load(device: Arc<dyn Device>, checkpoint: &Checkpoint, options: EngineOptions) -> Result<Engine, Failure> {
    let total = checkpoint.total_bytes();
    let target = if total < SLOW_LOAD { ProgressDrawTarget::hidden() } else { ProgressDrawTarget::stderr() };
    let bar = ProgressBar::with_draw_target(Some(total), target);
    // Were the template wrong, the default style would do too.
    if let Ok(style) = ProgressStyle::with_template("{bar:32} {bytes}/{total_bytes} {bytes_per_sec} {eta} {msg}") {
        bar.set_style(style);
    }
    let engine = Engine::load(device, checkpoint, options, &mut |progress| {
        bar.set_position(progress.done);
        bar.set_message(progress.name.to_owned());
    });
    bar.finish_and_clear();
    Ok(engine?)
}
