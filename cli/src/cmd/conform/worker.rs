//! The worker process of `omnihal conform`, and the child that tries a plug-in. Not for people: hidden from the help.

use super::DeviceArgs;
use crate::failure::{Failure, Outcome};
use clap::Args;
use omnihal_conformance::run::Options;
use omnihal_conformance::supervisor::worker;

/// Answer cases from standard input
#[derive(Args)]
pub struct Worker {
    #[command(flatten)]
    device: DeviceArgs,
    #[arg(long, default_value_t = 0)]
    salt: u64,
    #[arg(long)]
    brief: bool,
}

impl Worker {
    pub fn run(self) -> Result<Outcome, Failure> {
        let output = worker::private_output().map_err(|e| Failure::output(&e))?;
        let options = Options { salt: self.salt, brief: self.brief };
        let open = || self.device.open().map_err(|failure| failure.message().to_owned());
        worker::serve(open, options, std::io::stdin().lock(), output).map_err(|e| Failure::output(&e))?;
        Ok(Outcome::Good)
    }
}
