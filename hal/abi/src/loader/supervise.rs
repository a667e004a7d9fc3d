//! The parent's side of the trial: start the child, read what it says, end it in time.

use super::LoadError;
use super::child::{OUTCOME, Outcome, ProbeReport, STAGE};
use crate::host::lock;
use std::ffi::OsString;
use std::io::Read;
use std::os::unix::process::ExitStatusExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::{Duration, Instant};

/// Bytes kept of each output of the child.
const KEPT: usize = 1 << 20;
/// Characters of the error output that go into an error.
const TAIL: usize = 1000;
/// Pause between looks at the child. Loading takes longer than that.
const PAUSE: Duration = Duration::from_millis(5);
/// Wait for the rest of the output of a child that has ended; a grandchild may hold the pipes.
const REST: Duration = Duration::from_millis(500);

/// How to try a plug-in in a process of its own: a program that calls [`super::probe_child`] with its last argument.
#[derive(Clone, Debug)]
pub struct ProbeCommand {
    /// The program, usually the running one.
    pub program: PathBuf,
    /// Its arguments; the plug-in's path follows them.
    pub args: Vec<OsString>,
    /// Time for the whole trial.
    pub limit: Duration,
}

/// One output of the child, read by a thread.
struct Output {
    bytes: Arc<Mutex<Vec<u8>>>,
    ended: Receiver<()>,
}

impl Output {
    fn new(source: Option<impl Read + Send + 'static>) -> Self {
        let bytes = Arc::new(Mutex::new(Vec::new()));
        let (end, ended) = channel();
        if let Some(source) = source {
            let kept = Arc::clone(&bytes);
            thread::spawn(move || {
                drain(source, &kept);
                // Nobody may be waiting any more.
                let _ = end.send(());
            });
        }
        Output { bytes, ended }
    }

    fn text(self) -> String {
        // An error says that there was no output to read.
        let _ = self.ended.recv_timeout(REST);
        String::from_utf8_lossy(&lock(&self.bytes)).into_owned()
    }
}

/// Reads to the end, keeps the beginning.
fn drain(mut source: impl Read, kept: &Mutex<Vec<u8>>) {
    let mut chunk = [0; 4096];
    while let Ok(count @ 1..) = source.read(&mut chunk) {
        let mut kept = lock(kept);
        let room = KEPT.saturating_sub(kept.len());
        kept.extend_from_slice(&chunk[..count.min(room)]);
    }
}

impl ProbeCommand {
    /// Tries the plug-in.
    pub fn run(&self, path: &Path) -> Result<ProbeReport, LoadError> {
        let mut child = Command::new(&self.program)
            .args(&self.args)
            .arg(path)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .map_err(|error| LoadError::NoChild { program: self.program.clone(), error })?;
        let (out, err) = (Output::new(child.stdout.take()), Output::new(child.stderr.take()));
        let ended = self.wait(&mut child);
        let (out, err) = (out.text(), err.text());
        let (path, stage) = (path.to_owned(), line(&out, STAGE).unwrap_or("it was started").to_owned());
        match (ended, line(&out, OUTCOME).and_then(|l| serde_json::from_str(l).ok())) {
            (None, _) => Err(LoadError::Hung { path, limit: self.limit, stage, output: tail(&err) }),
            (Some(status), Some(Outcome::Fine(report))) if status.success() => Ok(report),
            (_, Some(Outcome::Refused { stage, reason })) => Err(LoadError::Refused { path, stage, reason }),
            (Some(status), Some(Outcome::Fine(_))) => {
                let stage = "the process ended".to_owned();
                Err(LoadError::Crashed { path, how: describe(status), stage, output: tail(&err) })
            }
            (Some(status), None) => Err(LoadError::Crashed { path, how: describe(status), stage, output: tail(&err) }),
        }
    }

    /// Waits for the child; ends it after the limit and gives `None`.
    fn wait(&self, child: &mut Child) -> Option<ExitStatus> {
        let start = Instant::now();
        loop {
            // An error says that the child cannot be waited for, which is as good as gone.
            match child.try_wait() {
                Ok(Some(status)) => return Some(status),
                Ok(None) if start.elapsed() < self.limit => thread::sleep(PAUSE),
                _ => {
                    // Either may fail if the child has just ended by itself.
                    let _ = child.kill();
                    let _ = child.wait();
                    return None;
                }
            }
        }
    }
}

/// The rest of the last line that starts so.
fn line<'a>(output: &'a str, start: &str) -> Option<&'a str> {
    output.lines().rev().find_map(|line| line.strip_prefix(start))
}

fn tail(output: &str) -> String {
    let skip = output.chars().count().saturating_sub(TAIL);
    output.chars().skip(skip).collect()
}

fn describe(status: ExitStatus) -> String {
    match (status.signal(), status.code()) {
        (Some(signal), _) => format!("signal {signal}"),
        (None, Some(code)) => format!("exit code {code}"),
        (None, None) => "unknown end".to_owned(),
    }
}
