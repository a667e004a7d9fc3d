//! `omnihal`: DeepSeek-V4 on any accelerator, from the command line.

mod cmd;
mod failure;
mod host;
mod open;
mod output;
mod plugins;

use clap::Parser;
use std::io::IsTerminal;
use std::process::ExitCode;

/// Environment variable with the log filter, in the syntax of `tracing-subscriber`.
const LOG: &str = "OMNIHAL_LOG";

const VERSION: &str = concat!(
    env!("CARGO_PKG_VERSION"),
    " (commit ",
    env!("OMNIHAL_COMMIT"),
    ", features: ",
    env!("OMNIHAL_FEATURES"),
    ")"
);

/// DeepSeek-V4 on any accelerator
#[derive(Parser)]
#[command(name = "omnihal", version = VERSION, arg_required_else_help = true, after_help = AFTER)]
struct Cli {
    #[command(subcommand)]
    command: cmd::Command,
}

const AFTER: &str = "\
Examples:
  omnihal generate                          the bundled demo model continues \"OmniHAL is\"
  omnihal devices                           what each backend of this build found
  omnihal doctor                            is this machine set up well, and does the demo give the right tokens
  omnihal plan --config flash --context 1M --batch 8 --device-memory 80

Exit codes:
  0  done, and every comparison holds
  1  a comparison failed, or the model does not fit
  2  a wrong option, file or value
  3  no such device, or the device failed

Environment:
  OMNIHAL_PLUGIN_PATH  plug-ins, or folders of them, as full paths parted by `:`
  OMNIHAL_LOG          log filter, such as info or omnihal_runtime=trace (to stderr)
  OMNIHAL_THREADS      threads of the cpu backend";

fn main() -> ExitCode {
    let cli = Cli::parse();
    match start_log().and_then(|()| cli.command.run()) {
        Ok(outcome) => outcome.into(),
        Err(failure) => failure.report(),
    }
}

fn start_log() -> Result<(), failure::Failure> {
    let Ok(text) = std::env::var(LOG) else { return Ok(()) };
    let filter = tracing_subscriber::EnvFilter::try_new(&text).map_err(|error| {
        failure::Failure::input(format!("{LOG} is `{text}`: {error}; use a level such as info, or target=level"))
    })?;
    let colours = std::io::stderr().is_terminal();
    tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr).with_ansi(colours).init();
    Ok(())
}
