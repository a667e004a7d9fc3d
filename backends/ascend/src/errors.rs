//! The vendor's codes and words as errors of the boundary.

mod codes;

use omnihal::{Error, ErrorKind, Severity};
use std::sync::OnceLock;

/// What a code means for a caller.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Class {
    /// No error.
    Success,
    /// A call that breaks the interface's rules.
    Usage,
    /// A call from a thread, or with an object, that belongs elsewhere.
    Context,
    /// A wait ran out; the work may still finish.
    Timeout,
    /// A capture cannot go on: end it and run without a graph.
    Capture,
    /// Memory ran out: free some and try again.
    OutOfMemory,
    /// Streams, events or other resources ran out.
    Exhausted,
    /// The device does not do this.
    Unsupported,
    /// An operator does not take these arguments.
    Refused,
    /// An operator could not be prepared, often because kernels are missing.
    Operator,
    /// The installation or its variables are incomplete.
    Environment,
    /// A kernel failed on the device. The context takes no more work.
    DeviceFault,
    /// The device or a link is damaged.
    Hardware,
    /// A call below failed: the text says which.
    Runtime,
    /// A code that is not listed.
    Unknown,
}

impl Class {
    /// Every class.
    pub const ALL: [Class; 15] = [
        Class::Success,
        Class::Usage,
        Class::Context,
        Class::Timeout,
        Class::Capture,
        Class::OutOfMemory,
        Class::Exhausted,
        Class::Unsupported,
        Class::Refused,
        Class::Operator,
        Class::Environment,
        Class::DeviceFault,
        Class::Hardware,
        Class::Runtime,
        Class::Unknown,
    ];

    /// The kind and severity at the boundary, and what to do. Success has none.
    pub fn meaning(self) -> Option<(ErrorKind, Severity, &'static str)> {
        use {ErrorKind as K, Severity as S};
        Some(match self {
            Class::Success => return None,
            Class::Usage => {
                (K::InvalidArgument, S::Rejected, "report this: the backend made a call that it must not make")
            }
            Class::Context => (
                K::InvalidState,
                S::Rejected,
                "use the object with its own device, on a thread that has set that device",
            ),
            Class::Timeout => (K::Timeout, S::Rejected, "wait longer, or look for work that never ends"),
            Class::Capture => (K::InvalidState, S::Rejected, "end the capture and run without a graph"),
            Class::OutOfMemory => (K::OutOfMemory, S::Rejected, "free memory, or ask for fewer sequences"),
            Class::Exhausted => (K::OutOfMemory, S::Rejected, "drop graphs, streams or events that are not used"),
            Class::Unsupported => {
                (K::Unsupported, S::Rejected, "use another way: this device or CANN release lacks it")
            }
            Class::Refused => (K::Unsupported, S::Rejected, "compose the operator of others"),
            Class::Operator => (
                K::Unsupported,
                S::Rejected,
                "compose the operator of others, or install the kernels package of this chip",
            ),
            Class::Environment => (
                K::NotFound,
                S::Rejected,
                "source set_env.sh of the CANN installation and install the kernels package of this chip",
            ),
            Class::DeviceFault => (
                K::Execution,
                S::DeviceLost,
                "open the device anew; the failed operator is one of those since the last wait",
            ),
            Class::Hardware => (K::Execution, S::DeviceLost, "look at the device with npu-smi"),
            Class::Runtime => (K::Execution, S::StreamPoisoned, "look at the vendor's text"),
            Class::Unknown => (K::Execution, S::StreamPoisoned, "look the code up in the vendor's documents"),
        })
    }
}

/// A code that has a name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Code {
    /// The number.
    pub code: i32,
    /// The vendor's name.
    pub name: &'static str,
    /// What it means for a caller.
    pub class: Class,
    /// What it means in words.
    pub meaning: &'static str,
}

impl Code {
    /// True if a header that we compare with defines it; those of the operator interface are in none.
    pub fn in_headers(&self) -> bool {
        self.name.starts_with("ACL_")
    }
}

const UNKNOWN: Code = Code { code: -1, name: "", class: Class::Unknown, meaning: "a code that is not in our table" };

/// The named codes of `acl` and `aclnn` calls.
pub fn codes() -> impl Iterator<Item = &'static Code> {
    codes::CODES.iter()
}

/// The named codes of `Hccl` calls.
pub fn hccl_codes() -> impl Iterator<Item = &'static Code> {
    codes::HCCL_CODES.iter()
}

/// What a code of an `acl` or `aclnn` call means.
pub fn classify(code: i32) -> Code {
    look_up(codes::CODES, code)
}

/// What a code of an `Hccl` call means.
pub fn classify_hccl(code: i32) -> Code {
    look_up(codes::HCCL_CODES, code)
}

fn look_up(table: &'static [Code], code: i32) -> Code {
    table.binary_search_by_key(&code, |row| row.code).map_or(Code { code, ..UNKNOWN }, |at| table[at])
}

/// The error of a failed `acl` or `aclnn` call, with the vendor's text.
pub fn error(call: &str, code: i32, text: &str) -> Error {
    describe(call, classify(code), text)
}

/// The error of a failed `Hccl` call, with the vendor's text.
pub fn hccl_error(call: &str, code: i32, text: &str) -> Error {
    describe(call, classify_hccl(code), text)
}

fn describe(call: &str, found: Code, text: &str) -> Error {
    let (kind, severity, action) = found.class.meaning().unwrap_or((
        ErrorKind::Execution,
        Severity::Rejected,
        "report this: a success was taken for an error",
    ));
    let text = match (text, found.name) {
        ("", "") => "no text",
        ("", name) => name,
        (text, _) => text,
    };
    Error::new(kind, format!("{call} failed: {}: {action}", found.meaning))
        .with_severity(severity)
        .with_vendor(found.code.into(), text)
}

/// The first failure of something that stays failed. Later failures are its consequences and would only hide it.
#[derive(Debug, Default)]
pub struct FirstCause(OnceLock<Error>);

impl FirstCause {
    /// Remembers `error` if it leaves damage and nothing is remembered yet, and returns the cause to report.
    pub fn record(&self, error: Error) -> Error {
        match error.severity() {
            Severity::Rejected => error,
            _ => self.0.get_or_init(|| error).clone(),
        }
    }

    /// The first failure, if there was one.
    pub fn check(&self) -> Result<(), Error> {
        self.0.get().map_or(Ok(()), |error| Err(error.clone()))
    }
}

#[cfg(test)]
mod tests;
