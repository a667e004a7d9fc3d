//! One worker process, seen from the supervisor.

use super::Limits;
use super::wire::Message;
use crate::outcome::CaseResult;
use crate::report::DeviceFacts;
use std::collections::VecDeque;
use std::io::{BufRead, BufReader, Read, Write};
use std::process::{Child, ChildStdin, Command, ExitStatus, Stdio};
use std::sync::mpsc::{self, Receiver, RecvTimeoutError};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

/// How often a waiting supervisor looks at its worker's memory.
const LOOK: Duration = Duration::from_millis(20);
/// Lines of a dead worker's last words that are kept.
const LAST_WORDS: usize = 12;
/// Longest line that a worker may say: results with kept outputs stay far below.
const MAX_LINE: u64 = 64 << 20;

/// What came of a case.
pub enum Answer {
    /// A result.
    Result(Box<CaseResult>),
    /// The process ended: how, and its last words.
    Died(String),
    /// No answer in time.
    TooLate,
    /// It grew beyond its limit, to so many bytes.
    TooLarge(u64),
}

/// A running worker.
pub struct Worker {
    child: Child,
    input: Option<ChildStdin>,
    messages: Receiver<String>,
    words: Arc<Mutex<VecDeque<String>>>,
    /// The device that it has opened.
    pub facts: DeviceFacts,
}

impl Worker {
    /// Starts a worker and waits until its device is open.
    pub fn start(command: &mut Command, limits: Limits) -> Result<Worker, String> {
        let child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn();
        let mut child = child.map_err(|e| format!("a worker could not be started: {e}"))?;
        let (send, messages) = mpsc::channel();
        if let Some(output) = child.stdout.take() {
            std::thread::spawn(move || {
                let mut lines = BufReader::new(output);
                while let Some(line) = next_line(&mut lines) {
                    if send.send(line).is_err() {
                        break;
                    }
                }
            });
        }
        let words = Arc::new(Mutex::new(VecDeque::new()));
        if let Some(error) = child.stderr.take() {
            let words = words.clone();
            std::thread::spawn(move || keep_last_words(error, &words));
        }
        let input = child.stdin.take();
        let mut worker = Worker { child, input, messages, words, facts: DeviceFacts::default() };
        match worker.wait(limits) {
            Ok(Message::Ready(facts)) => {
                worker.facts = *facts;
                Ok(worker)
            }
            Ok(Message::Refused(why)) => Err(why),
            Ok(Message::Done(_)) => Err("the worker answered before it was asked".to_owned()),
            Err(Answer::Died(how)) => Err(format!("the device could not be opened: the worker {how}")),
            Err(_) => Err(format!("the device was not open within {} s", limits.time.as_secs_f64())),
        }
    }

    /// Gives it a case and waits for the result.
    pub fn ask(&mut self, id: &str, limits: Limits) -> Answer {
        let said = self.input.as_mut().map(|input| writeln!(input, "{id}").and_then(|()| input.flush()));
        if !matches!(said, Some(Ok(()))) {
            return self.death();
        }
        match self.wait(limits) {
            Ok(Message::Done(done)) => Answer::Result(Box::new(done.unpack())),
            Ok(_) => Answer::Died("said something else than a result".to_owned()),
            Err(answer) => answer,
        }
    }

    fn wait(&mut self, limits: Limits) -> Result<Message, Answer> {
        let end = Instant::now() + limits.time;
        loop {
            match self.messages.recv_timeout(LOOK) {
                Ok(line) => {
                    return serde_json::from_str(&line).map_err(|_| Answer::Died("said what is no message".to_owned()));
                }
                Err(RecvTimeoutError::Disconnected) => return Err(self.death()),
                Err(RecvTimeoutError::Timeout) => {}
            }
            let resident = resident(self.child.id());
            if resident > limits.memory {
                let _ = self.child.kill();
                return Err(Answer::TooLarge(resident));
            }
            if Instant::now() >= end {
                let _ = self.child.kill();
                return Err(Answer::TooLate);
            }
        }
    }

    fn death(&mut self) -> Answer {
        let how = match self.child.wait() {
            Ok(status) => ended(status),
            Err(error) => format!("was lost: {error}"),
        };
        // The reader of the last words may still be at it.
        std::thread::sleep(LOOK);
        let words = self.words.lock().map(|w| w.iter().cloned().collect::<Vec<_>>()).unwrap_or_default();
        Answer::Died(if words.is_empty() { how } else { format!("{how}; last words: {}", words.join(" | ")) })
    }
}

impl Drop for Worker {
    fn drop(&mut self) {
        // Without input it ends by itself; one that hangs is not waited for.
        drop(self.input.take());
        if let Ok(None) = self.child.try_wait() {
            std::thread::sleep(LOOK);
            let _ = self.child.kill();
        }
        let _ = self.child.wait();
    }
}

fn next_line(lines: &mut impl BufRead) -> Option<String> {
    let mut line = Vec::new();
    match lines.take(MAX_LINE).read_until(b'\n', &mut line) {
        Ok(n) if n > 0 => Some(String::from_utf8_lossy(&line).trim_end().to_owned()),
        _ => None,
    }
}

fn keep_last_words(error: impl Read, words: &Mutex<VecDeque<String>>) {
    let mut lines = BufReader::new(error);
    while let Some(line) = next_line(&mut lines) {
        let Ok(mut words) = words.lock() else { return };
        if words.len() == LAST_WORDS {
            words.pop_front();
        }
        words.push_back(line.chars().take(400).collect());
    }
}

/// How a process ended, in words.
fn ended(status: ExitStatus) -> String {
    #[cfg(unix)]
    if let Some(signal) = std::os::unix::process::ExitStatusExt::signal(&status) {
        let name = match signal {
            libc::SIGSEGV => " (SIGSEGV: it touched memory that is not there)",
            libc::SIGBUS => " (SIGBUS)",
            libc::SIGABRT => " (SIGABRT: it gave up)",
            libc::SIGFPE => " (SIGFPE)",
            libc::SIGILL => " (SIGILL: an instruction that this processor does not have)",
            libc::SIGKILL => " (SIGKILL)",
            _ => "",
        };
        return format!("was ended by signal {signal}{name}");
    }
    match status.code() {
        Some(code) => format!("left with exit code {code}"),
        None => "ended".to_owned(),
    }
}

/// Resident bytes of a process; 0 where the system does not tell.
fn resident(pid: u32) -> u64 {
    let text = std::fs::read_to_string(format!("/proc/{pid}/statm")).unwrap_or_default();
    // Pages of 4096 bytes (proc(5)); on systems with larger pages the limit is looser.
    text.split_whitespace().nth(1).and_then(|pages| pages.parse::<u64>().ok()).unwrap_or(0) * 4096
}
