//! Which memory is allocated.

use omnihal::Mem;
use std::collections::BTreeMap;
use std::sync::{PoisonError, RwLock};

/// Address and number of an allocation. The number tells imports of the same address apart.
pub(super) type Key = (u64, u64);

/// The live allocations of a device.
#[derive(Default)]
pub(super) struct Live {
    ranges: RwLock<Ranges>,
}

#[derive(Default)]
struct Ranges {
    lengths: BTreeMap<Key, usize>,
    next: u64,
}

impl Live {
    pub(super) fn add(&self, mem: Mem) -> Key {
        let mut ranges = self.ranges.write().unwrap_or_else(PoisonError::into_inner);
        let key = (mem.addr, ranges.next);
        ranges.next += 1;
        ranges.lengths.insert(key, mem.len);
        key
    }

    pub(super) fn remove(&self, key: Key) {
        self.ranges.write().unwrap_or_else(PoisonError::into_inner).lengths.remove(&key);
    }

    /// True if the whole range lies in one allocation.
    pub(super) fn covers(&self, mem: Mem) -> bool {
        let Some(end) = mem.addr.checked_add(mem.len as u64) else { return false };
        let ranges = self.ranges.read().unwrap_or_else(PoisonError::into_inner);
        // The nearest start below is the answer, unless imports are nested: then one further down may be.
        ranges.lengths.range(..=(mem.addr, u64::MAX)).rev().any(|(key, len)| key.0 + *len as u64 >= end)
    }
}
