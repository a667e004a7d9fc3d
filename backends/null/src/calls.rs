//! What reached the device, for tests. A real backend has nothing like it.

use omnihal::OpKind;
use std::sync::atomic::{AtomicU16, AtomicU64, Ordering::Relaxed};

/// One call that took effect on a stream. Captured calls count when their graph is launched.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Call {
    /// A run of a plan for this operator.
    Run(OpKind),
    /// A copy between device ranges.
    Copy,
    /// A fill.
    Fill,
    /// A copy from the host.
    Write,
    /// A copy to the host.
    Read,
    /// A mark set in an event.
    Record,
    /// A wait for an event.
    Wait,
    /// A launch of a graph; its nodes follow.
    Launch,
}

/// The calls without an operator, in the order of their codes, which follow those of the operators.
const OTHERS: [Call; 7] = [Call::Copy, Call::Fill, Call::Write, Call::Read, Call::Record, Call::Wait, Call::Launch];

impl Call {
    fn code(self) -> usize {
        let others = OpKind::ALL.len();
        match self {
            Call::Run(kind) => kind as usize,
            Call::Copy => others,
            Call::Fill => others + 1,
            Call::Write => others + 2,
            Call::Read => others + 3,
            Call::Record => others + 4,
            Call::Wait => others + 5,
            Call::Launch => others + 6,
        }
    }

    fn from_code(code: usize) -> Option<Call> {
        match OpKind::ALL.get(code) {
            Some(kind) => Some(Call::Run(*kind)),
            None => OTHERS.get(code - OpKind::ALL.len()).copied(),
        }
    }
}

/// Calls that the journal remembers; older ones are counted but forgotten.
pub const JOURNAL: usize = 1024;

/// Counters of calls by kind, and the latest calls in order. Noting a call neither allocates nor locks.
#[derive(Debug)]
pub struct Calls {
    counts: [AtomicU64; OpKind::ALL.len() + OTHERS.len()],
    total: AtomicU64,
    journal: Box<[AtomicU16]>,
}

impl Default for Calls {
    fn default() -> Self {
        Calls {
            counts: std::array::from_fn(|_| AtomicU64::new(0)),
            total: AtomicU64::new(0),
            journal: (0..JOURNAL).map(|_| AtomicU16::new(0)).collect(),
        }
    }
}

impl Calls {
    pub(crate) fn note(&self, call: Call) {
        let code = call.code();
        self.counts[code].fetch_add(1, Relaxed);
        let place = self.total.fetch_add(1, Relaxed) as usize % JOURNAL;
        self.journal[place].store(code as u16, Relaxed);
    }

    /// How often a call arrived.
    pub fn count(&self, call: Call) -> u64 {
        self.counts[call.code()].load(Relaxed)
    }

    /// How many calls arrived.
    pub fn total(&self) -> u64 {
        self.total.load(Relaxed)
    }

    /// The latest calls, oldest first, at most [`JOURNAL`]. Exact when no call is under way on another thread.
    pub fn journal(&self) -> Vec<Call> {
        let total = self.total() as usize;
        (total.saturating_sub(JOURNAL)..total)
            .filter_map(|n| Call::from_code(self.journal[n % JOURNAL].load(Relaxed) as usize))
            .collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_call_survives_its_code() {
        let all = OpKind::ALL.iter().map(|k| Call::Run(*k)).chain(OTHERS);
        for call in all {
            assert_eq!(Call::from_code(call.code()), Some(call));
        }
    }

    #[test]
    fn the_journal_keeps_the_latest_calls_and_counts_all() {
        let calls = Calls::default();
        (0..JOURNAL).for_each(|_| calls.note(Call::Copy));
        calls.note(Call::Fill);
        let journal = calls.journal();
        assert_eq!((journal.len(), journal.last()), (JOURNAL, Some(&Call::Fill)));
        assert_eq!((calls.count(Call::Copy), calls.total()), (JOURNAL as u64, JOURNAL as u64 + 1));
    }
}
