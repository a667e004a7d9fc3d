//! Facts of this host. What the system does not tell is `None`.

use std::fs;

/// Environment variable that sets the threads of the cpu backend.
pub const THREADS: &str = "OMNIHAL_THREADS";

/// Threads that the system offers this process.
pub fn parallelism() -> usize {
    std::thread::available_parallelism().map_or(1, |n| n.get())
}

/// Threads that the cpu backend uses.
pub fn threads() -> usize {
    let asked = std::env::var(THREADS).ok().and_then(|text| text.parse().ok());
    asked.filter(|&n| n > 0).unwrap_or_else(parallelism)
}

/// A field of a `/proc` file of lines `name: number kB`, in bytes.
fn kilobytes(file: &str, field: &str) -> Option<u64> {
    let text = fs::read_to_string(file).ok()?;
    let line = text.lines().find_map(|line| line.strip_prefix(field)?.strip_prefix(':'))?;
    line.split_whitespace().next()?.parse::<u64>().ok()?.checked_mul(1024)
}

/// Bytes of memory.
pub fn memory() -> Option<u64> {
    kilobytes("/proc/meminfo", "MemTotal")
}

/// Bytes of memory that programs can still have.
pub fn available_memory() -> Option<u64> {
    kilobytes("/proc/meminfo", "MemAvailable")
}

/// Most memory that this process ever had, mapped files included.
pub fn peak_memory() -> Option<u64> {
    kilobytes("/proc/self/status", "VmHWM")
}

/// Memory of this process that is no mapped file.
pub fn anonymous_memory() -> Option<u64> {
    kilobytes("/proc/self/status", "RssAnon")
}

/// Programs that wanted to run, on average over the last minute.
pub fn load() -> Option<f64> {
    fs::read_to_string("/proc/loadavg").ok()?.split_whitespace().next()?.parse().ok()
}

/// Vector extensions that matter to the kernels, as the system spells them.
const EXTENSIONS: [&str; 12] = [
    "avx2",
    "fma",
    "f16c",
    "avx512f",
    "avx512_bf16",
    "avx512_vnni",
    "amx_bf16",
    "asimd",
    "asimddp",
    "bf16",
    "i8mm",
    "sve",
];

/// Which of the vector extensions that matter this processor has.
pub fn extensions() -> Option<Vec<&'static str>> {
    let text = fs::read_to_string("/proc/cpuinfo").ok()?;
    let line = text.lines().find(|line| line.starts_with("flags") || line.starts_with("Features"))?;
    let (_, flags) = line.split_once(':')?;
    let flags: Vec<&str> = flags.split_whitespace().collect();
    Some(EXTENSIONS.into_iter().filter(|e| flags.contains(e)).collect())
}
