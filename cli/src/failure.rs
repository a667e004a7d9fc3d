//! What a command ends with: an exit code, and one line that says what to do.

use omnihal::ErrorKind;
use omnihal_deepseek::account::AccountError;
use omnihal_deepseek::config::ConfigError;
use omnihal_deepseek::error::ModelError;
use omnihal_deepseek::generate::GenerateError;
use omnihal_deepseek::sampler::ParamError;
use omnihal_deepseek::tokenizer::TokenizerError;
use omnihal_deepseek::weights::WeightError;
use omnihal_e2e::{GoldenError, ParityError};
use std::process::ExitCode;

/// A command that ran to its end.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Outcome {
    /// As wished.
    Good,
    /// A comparison failed, or something does not fit.
    Bad,
    /// The exit code of a child process that says its own words.
    Exit(ExitCode),
}

impl Outcome {
    /// [`Outcome::Good`] if `good`.
    pub fn of(good: bool) -> Self {
        if good { Outcome::Good } else { Outcome::Bad }
    }
}

impl From<Outcome> for ExitCode {
    fn from(outcome: Outcome) -> Self {
        match outcome {
            Outcome::Good => ExitCode::SUCCESS,
            Outcome::Bad => ExitCode::from(1),
            Outcome::Exit(code) => code,
        }
    }
}

/// A command that could not do its work.
#[derive(Debug)]
pub struct Failure {
    kind: Kind,
    message: String,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    Input,
    Device,
    /// The reader of the output went away: nothing is wrong, and nobody reads a message.
    Closed,
}

impl Failure {
    /// A wrong option, file or value.
    pub fn input(message: impl ToString) -> Self {
        Failure { kind: Kind::Input, message: message.to_string() }
    }

    /// A device that is not there or failed.
    pub fn device(message: impl ToString) -> Self {
        Failure { kind: Kind::Device, message: message.to_string() }
    }

    /// Output that could not be written.
    pub fn output(error: &std::io::Error) -> Self {
        let kind = if error.kind() == std::io::ErrorKind::BrokenPipe { Kind::Closed } else { Kind::Input };
        Failure { kind, message: format!("cannot write the output: {error}; check where it goes") }
    }

    /// What it says.
    pub fn message(&self) -> &str {
        &self.message
    }

    /// Says it on stderr, in one line.
    pub fn report(&self) -> ExitCode {
        if self.kind != Kind::Closed {
            eprintln!("omnihal: {}", self.message.replace('\n', " "));
        }
        ExitCode::from(match self.kind {
            Kind::Input => 2,
            Kind::Device => 3,
            Kind::Closed => 0,
        })
    }
}

impl From<omnihal::Error> for Failure {
    fn from(error: omnihal::Error) -> Self {
        match error.kind() {
            ErrorKind::InvalidArgument | ErrorKind::InvalidDescriptor | ErrorKind::InvalidInput => {
                Failure::input(error)
            }
            _ => Failure::device(error),
        }
    }
}

impl From<ModelError> for Failure {
    fn from(error: ModelError) -> Self {
        match error {
            ModelError::Hal(error) => error.into(),
            other => Failure::input(other),
        }
    }
}

impl From<GenerateError> for Failure {
    fn from(error: GenerateError) -> Self {
        match error {
            GenerateError::Model(error) => error.into(),
            other => Failure::input(other),
        }
    }
}

impl From<ParityError> for Failure {
    fn from(error: ParityError) -> Self {
        match error {
            ParityError::Model(error) => error.into(),
            ParityError::Hal(error) => error.into(),
            other => Failure::input(other),
        }
    }
}

/// Errors that always come from what was given.
macro_rules! input_errors {
    ($($error:ty),*) => {$(
        impl From<$error> for Failure {
            fn from(error: $error) -> Self {
                Failure::input(error)
            }
        }
    )*};
}

input_errors!(WeightError, ConfigError, TokenizerError, GoldenError, ParamError, AccountError);
