//! The one error type of the boundary: small, typed, and honest about what is left of the device.

use crate::op::OpKind;
use std::fmt;

/// Result with the boundary's error.
pub type Result<T> = std::result::Result<T, Error>;

/// What is left of the device after an error.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Severity {
    /// The call was refused and changed nothing: the stream is as usable as before.
    Rejected,
    /// Work on the stream failed. Every later call on it, and on what waits for it, returns this same cause.
    StreamPoisoned,
    /// The device is gone. Every object made from it is useless; drop them and open the device anew.
    DeviceLost,
}

/// What went wrong, for programs. The words for people are in [`Error::message`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum ErrorKind {
    /// The backend does not do this, and says so before any work.
    Unsupported,
    /// A descriptor has a field that no backend could honour.
    InvalidDescriptor,
    /// An argument does not fit its descriptor.
    InvalidArgument,
    /// A pool, a page space or the device memory is exhausted.
    OutOfMemory,
    /// A wait ran past its limit. The work may still finish.
    Timeout,
    /// A device, library or file was looked for and not found.
    NotFound,
    /// The device reported a failure while it executed.
    Execution,
    /// A call that the current state forbids, such as a wait while the stream is captured.
    InvalidState,
    /// Input from outside (a file, a plug-in, a caller of the C interface) breaks its own rules.
    InvalidInput,
    /// The operating system refused a file or memory operation.
    Io,
}

/// A vendor's own words, taken at the moment of the failure.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct VendorError {
    /// The vendor's numeric code.
    pub code: i64,
    /// The vendor's text.
    pub text: String,
}

/// An error of the boundary. One pointer wide, so that results stay in registers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Error(Box<Cause>);

#[derive(Clone, Debug, PartialEq, Eq)]
struct Cause {
    kind: ErrorKind,
    severity: Severity,
    message: String,
    vendor: Option<VendorError>,
    op: Option<OpKind>,
    sequence: Option<u64>,
}

impl Error {
    /// A refused call of the given kind. The message says what was asked, what was found and what to do.
    pub fn new(kind: ErrorKind, message: impl Into<String>) -> Self {
        let severity = match kind {
            ErrorKind::Execution => Severity::StreamPoisoned,
            _ => Severity::Rejected,
        };
        Error(Box::new(Cause { kind, severity, message: message.into(), vendor: None, op: None, sequence: None }))
    }

    /// Shorthand for [`ErrorKind::Unsupported`].
    pub fn unsupported(message: impl Into<String>) -> Self {
        Self::new(ErrorKind::Unsupported, message)
    }

    /// Shorthand for [`ErrorKind::InvalidDescriptor`], naming the field.
    pub fn descriptor(op: OpKind, field: &str, found: impl fmt::Display, expected: impl fmt::Display) -> Self {
        Self::new(ErrorKind::InvalidDescriptor, format!("field `{field}` is {found}, expected {expected}")).with_op(op)
    }

    /// Shorthand for [`ErrorKind::InvalidArgument`].
    pub fn argument(message: impl Into<String>) -> Self {
        Self::new(ErrorKind::InvalidArgument, message)
    }

    /// Raises or lowers what the error says about the device.
    pub fn with_severity(mut self, severity: Severity) -> Self {
        self.0.severity = severity;
        self
    }

    /// Attaches the vendor's code and text.
    pub fn with_vendor(mut self, code: i64, text: impl Into<String>) -> Self {
        self.0.vendor = Some(VendorError { code, text: text.into() });
        self
    }

    /// Names the operator that failed.
    pub fn with_op(mut self, op: OpKind) -> Self {
        self.0.op = Some(op);
        self
    }

    /// Numbers the call on its stream, counted from 0.
    pub fn with_sequence(mut self, sequence: u64) -> Self {
        self.0.sequence = Some(sequence);
        self
    }

    /// What went wrong.
    pub fn kind(&self) -> ErrorKind {
        self.0.kind
    }

    /// What is left of the device.
    pub fn severity(&self) -> Severity {
        self.0.severity
    }

    /// The words for people, without the operator and vendor parts.
    pub fn message(&self) -> &str {
        &self.0.message
    }

    /// The vendor's own words, if the failure came from a vendor library.
    pub fn vendor(&self) -> Option<&VendorError> {
        self.0.vendor.as_ref()
    }

    /// The operator that failed, if one did.
    pub fn op(&self) -> Option<OpKind> {
        self.0.op
    }

    /// Position of the failed call on its stream.
    pub fn sequence(&self) -> Option<u64> {
        self.0.sequence
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(op) = self.0.op {
            write!(f, "{}: ", op.name())?;
        }
        f.write_str(&self.0.message)?;
        if let Some(vendor) = &self.0.vendor {
            write!(f, " (vendor code {}: {})", vendor.code, vendor.text)?;
        }
        if let Some(sequence) = self.0.sequence {
            write!(f, " (call {sequence} of the stream)")?;
        }
        Ok(())
    }
}

impl std::error::Error for Error {}
