//! Codes, texts, and the log of broken rules.

use std::cell::RefCell;
use std::ffi::{CString, c_char};
use std::io::Write;
use std::sync::{Mutex, PoisonError};

/// A refusal: code and words.
#[derive(Clone, Debug)]
pub struct Fault {
    /// The vendor's number.
    pub code: i32,
    /// What `aclGetRecentErrMsg` gives.
    pub text: String,
}

/// What every call of the engine gives.
pub type Answer<T = ()> = Result<T, Fault>;

/// Numbers that the stand-in gives (CANN error code documents).
pub mod code {
    #![allow(missing_docs, reason = "the vendor's names say what they are")]
    pub const UNINITIALIZE: i32 = 100001;
    pub const REPEAT_INITIALIZE: i32 = 100002;
    pub const PARAM: i32 = 107000;
    pub const DEVICE: i32 = 107001;
    pub const CONTEXT: i32 = 107002;
    pub const STREAM_CONTEXT: i32 = 107003;
    pub const MEMORY_TYPE: i32 = 107016;
    pub const HANDLE: i32 = 107017;
    pub const TASK_TIMEOUT: i32 = 107020;
    pub const CAPTURE_DEPENDENCY: i32 = 107024;
    pub const STREAM_CAPTURED: i32 = 107027;
    pub const EVENT_CAPTURED: i32 = 107028;
    pub const NOT_CAPTURED: i32 = 107029;
    pub const CAPTURE_MODE: i32 = 107030;
    pub const CAPTURE_IMPLICIT: i32 = 107031;
    pub const CAPTURE_THREAD: i32 = 107038;
    pub const CAPTURE_BLOCKED: i32 = 107041;
    pub const NN_NULL: i32 = 161001;
    pub const NN_PARAM: i32 = 161002;
    pub const UNSUPPORTED: i32 = 207000;
    pub const MEMORY: i32 = 207001;
    pub const RESOURCE: i32 = 207005;
    pub const STREAM_RESOURCE: i32 = 207008;
    pub const AICORE: i32 = 507015;
    pub const STREAM_TIMEOUT: i32 = 507046;
    pub const EVENT_TIMEOUT: i32 = 507047;
    pub const LINK: i32 = 507056;
    pub const CAPTURE_INVALID: i32 = 507903;
    pub const NN_INNER: i32 = 561000;
    pub const NN_KERNEL: i32 = 561003;
    pub const NN_INNER_NULL: i32 = 561103;
}

/// Refuses a call that a correct client may make.
pub fn refuse<T>(code: i32, text: impl Into<String>) -> Answer<T> {
    Err(Fault { code, text: text.into() })
}

static BROKEN: Mutex<Vec<String>> = Mutex::new(Vec::new());

/// Refuses a call that no correct client makes: kept in the log, printed, and appended to the file that `FAKE_CANN_LOG` names.
pub fn broken<T>(rule: &str, code: i32, text: impl Into<String>) -> Answer<T> {
    let text = text.into();
    let line = format!("{rule}: {text}");
    eprintln!("stand-in CANN: rule broken: {line}");
    if let Some(path) = std::env::var_os("FAKE_CANN_LOG")
        && let Ok(mut file) = std::fs::OpenOptions::new().create(true).append(true).open(path)
    {
        let _ = writeln!(file, "{line}");
    }
    BROKEN.lock().unwrap_or_else(PoisonError::into_inner).push(line);
    Err(Fault { code, text: format!("stand-in: {text}") })
}

/// The rules broken so far, one line each; empties the log.
pub fn take_broken() -> Vec<String> {
    std::mem::take(&mut *BROKEN.lock().unwrap_or_else(PoisonError::into_inner))
}

thread_local! {
    static PENDING: RefCell<Option<String>> = const { RefCell::new(None) };
    static SHOWN: RefCell<CString> = RefCell::new(CString::default());
}

/// Keeps the words of a failure for this thread.
pub fn tell(text: String) {
    PENDING.with(|pending| *pending.borrow_mut() = Some(text));
}

/// The words of this thread's last failure, consumed. The address is good until the next call: the old words are overwritten then.
pub fn recent() -> *const c_char {
    let Some(text) = PENDING.with(|pending| pending.borrow_mut().take()) else { return std::ptr::null() };
    SHOWN.with(|shown| {
        let mut shown = shown.borrow_mut();
        *shown = CString::new(text.replace('\0', " ")).unwrap_or_default();
        shown.as_ptr()
    })
}
