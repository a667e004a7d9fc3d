//! Memory of this process.

/// Resident bytes of this process, where the system tells.
pub(crate) struct Resident;

impl Resident {
    /// Bytes now.
    pub(crate) fn bytes() -> Option<u64> {
        // Linux: total and resident size in pages (proc_pid_statm(5)).
        let text = std::fs::read_to_string("/proc/self/statm").ok()?;
        let pages: u64 = text.split_whitespace().nth(1)?.parse().ok()?;
        Some(pages * page_size()?)
    }
}

#[cfg(unix)]
fn page_size() -> Option<u64> {
    // SAFETY: `sysconf` only reads a system fact.
    u64::try_from(unsafe { libc::sysconf(libc::_SC_PAGESIZE) }).ok()
}

#[cfg(not(unix))]
fn page_size() -> Option<u64> {
    None
}
