//! Events: numbered marks, so that an event may be recorded again while an older mark is still waited for.

use omnihal::{Error, ErrorKind, Event, Result};
use std::any::Any;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

/// A point in a stream.
#[derive(Default)]
pub struct HostEvent {
    pub core: Arc<EventCore>,
}

/// What an event and the streams that record it share.
#[derive(Default)]
pub struct EventCore {
    state: Mutex<Marks>,
    changed: Condvar,
}

#[derive(Default)]
struct Marks {
    /// Number of the latest record.
    issued: u64,
    /// Number of the latest record that its stream has passed.
    passed: u64,
    /// Why that stream was poisoned, if it was.
    cause: Option<Error>,
}

impl EventCore {
    fn lock(&self) -> MutexGuard<'_, Marks> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Numbers a new record. Planted (`sticky`): an event that has passed once keeps its old number.
    pub fn issue(&self, sticky: bool) -> u64 {
        let mut marks = self.lock();
        if !(sticky && marks.passed > 0) {
            marks.issued += 1;
        }
        marks.issued
    }

    /// The number of the latest record.
    pub fn latest(&self) -> u64 {
        self.lock().issued
    }

    /// Says that the stream has passed a record.
    pub fn pass(&self, ticket: u64, cause: Option<Error>) {
        let mut marks = self.lock();
        if ticket >= marks.passed {
            marks.passed = ticket;
            marks.cause = cause;
        }
        self.changed.notify_all();
    }

    /// Waits for a record, and gives the cause if its stream was poisoned.
    pub fn await_ticket(&self, ticket: u64, timeout: Option<Duration>) -> Result<()> {
        let deadline = timeout.and_then(|t| Instant::now().checked_add(t));
        let mut marks = self.lock();
        while marks.passed < ticket {
            let left = match deadline {
                Some(deadline) => deadline.saturating_duration_since(Instant::now()),
                None => Duration::from_secs(3600),
            };
            if left.is_zero() {
                return Err(Error::new(
                    ErrorKind::Timeout,
                    "the event was not reached in time, wait longer or find what holds its stream",
                ));
            }
            marks = self.changed.wait_timeout(marks, left).unwrap_or_else(PoisonError::into_inner).0;
        }
        marks.cause.clone().map_or(Ok(()), Err)
    }
}

impl Event for HostEvent {
    fn poll(&self) -> Result<bool> {
        let marks = self.core.lock();
        match &marks.cause {
            Some(cause) if marks.passed >= marks.issued => Err(cause.clone()),
            _ => Ok(marks.passed >= marks.issued),
        }
    }

    fn sync(&self, timeout: Duration) -> Result<()> {
        self.core.await_ticket(self.core.latest(), Some(timeout))
    }

    fn as_any(&self) -> &dyn Any {
        self
    }
}
