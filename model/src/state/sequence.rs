//! Sequences: slots, lengths, page tables.

use super::{MAX_ROLLBACK, PagePool, RESERVED, Space, StateShape};
use crate::error::{ModelError, Result};

/// Names a sequence of an engine.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct SeqId(pub(crate) usize);

impl std::fmt::Display for SeqId {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.0.fmt(f)
    }
}

#[derive(Clone, Debug)]
struct Entry {
    len: usize,
    /// One more than the highest position ever written.
    peak: usize,
    /// Page table of each space.
    pages: Vec<Vec<i32>>,
}

/// Which pages of a forked sequence must be copied before it writes.
#[derive(Clone, Debug, Default)]
pub struct PageCopy {
    /// Number of the space.
    pub space: usize,
    /// Page to read.
    pub from: i32,
    /// Page to write.
    pub to: i32,
}

/// All sequences of an engine. A sequence's slot is its number.
#[derive(Clone, Debug)]
pub struct Sequences {
    shape: StateShape,
    entries: Vec<Option<Entry>>,
    pools: Vec<PagePool>,
}

impl Sequences {
    /// No sequences, all slots and pages free.
    pub fn new(shape: StateShape) -> Self {
        let pools = shape.spaces.iter().map(|s| PagePool::new(s.pages)).collect();
        Sequences { entries: vec![None; shape.slots], pools, shape }
    }

    /// Opens an empty sequence.
    pub fn add(&mut self) -> Result<SeqId> {
        let slot = (RESERVED..self.entries.len()).find(|&s| self.entries[s].is_none());
        let Some(slot) = slot else {
            let sequence = self.entries.len();
            return Err(ModelError::Full { sequence, what: "slots", needed: 1, free: 0 });
        };
        // Nothing to reset: position 0 has no history, so old contents are never read.
        // Page tables at their full length, so that no step has to grow one.
        let table = |space: &Space| Vec::with_capacity(space.pages_for(self.shape.positions));
        let pages = self.shape.spaces.iter().map(table).collect();
        self.entries[slot] = Some(Entry { len: 0, peak: 0, pages });
        Ok(SeqId(slot))
    }

    /// Closes a sequence and frees its slot and pages.
    pub fn remove(&mut self, seq: SeqId) -> Result<()> {
        let entry = self.entry(seq)?.clone();
        for (pool, pages) in self.pools.iter_mut().zip(&entry.pages) {
            pages.iter().for_each(|&page| pool.release(page));
        }
        self.entries[seq.0] = None;
        Ok(())
    }

    /// Positions of a sequence.
    pub fn len(&self, seq: SeqId) -> Result<usize> {
        Ok(self.entry(seq)?.len)
    }

    /// True if no sequence is open.
    pub fn is_empty(&self) -> bool {
        self.entries.iter().all(Option::is_none)
    }

    /// The slot of a sequence.
    pub fn slot(&self, seq: SeqId) -> usize {
        seq.0
    }

    /// Page table of a sequence in one space.
    pub fn pages(&self, seq: SeqId, space: usize) -> &[i32] {
        self.entries.get(seq.0).and_then(Option::as_ref).map_or(&[], |e| &e.pages[space])
    }

    fn entry(&self, seq: SeqId) -> Result<&Entry> {
        let entry = self.entries.get(seq.0).and_then(Option::as_ref);
        entry.ok_or_else(|| ModelError::refused(format!("sequence {seq} is not open")))
    }

    /// Pages of one space that `tokens` more positions need beyond those that the sequence has; shared pages that will be written count too.
    fn demand(&self, seq: SeqId, space: usize, tokens: usize) -> Result<usize> {
        let entry = self.entry(seq)?;
        let (shape, pages) = (&self.shape.spaces[space], &entry.pages[space]);
        let fresh = shape.pages_for(entry.len + tokens).saturating_sub(pages.len());
        let copied = written(shape, entry, space, tokens).filter(|&p| self.pools[space].is_shared(pages[p])).count();
        Ok(fresh + copied)
    }

    /// Checks that every sequence can take its tokens; changes nothing. The first that cannot is named.
    pub fn check(&self, batch: impl Iterator<Item = (SeqId, usize)> + Clone) -> Result<()> {
        for (seq, tokens) in batch.clone() {
            let len = self.len(seq)?;
            if len + tokens > self.shape.positions {
                let free = self.shape.positions - len;
                return Err(ModelError::Full { sequence: seq.0, what: "positions", needed: tokens, free });
            }
        }
        for space in 0..self.pools.len() {
            let mut free = self.pools[space].free();
            for (seq, tokens) in batch.clone() {
                let needed = self.demand(seq, space, tokens)?;
                if needed > free {
                    return Err(ModelError::Full { sequence: seq.0, what: "pages", needed, free });
                }
                free -= needed;
            }
        }
        Ok(())
    }

    /// Makes room for `tokens` more positions, after [`Sequences::check`]. Adds the shared pages that must be copied before the step to `copies`.
    pub fn reserve(&mut self, seq: SeqId, tokens: usize, copies: &mut Vec<PageCopy>) -> Result<()> {
        self.check(std::iter::once((seq, tokens)))?;
        let Some(Some(entry)) = self.entries.get_mut(seq.0) else { return Ok(()) };
        let full = || ModelError::Full { sequence: seq.0, what: "pages", needed: 1, free: 0 };
        for (space, (pool, shape)) in self.pools.iter_mut().zip(&self.shape.spaces).enumerate() {
            for place in written(shape, entry, space, tokens) {
                let from = entry.pages[space][place];
                if pool.is_shared(from) {
                    let to = pool.take().ok_or_else(full)?;
                    pool.release(from);
                    entry.pages[space][place] = to;
                    copies.push(PageCopy { space, from, to });
                }
            }
            for _ in entry.pages[space].len()..shape.pages_for(entry.len + tokens) {
                entry.pages[space].push(pool.take().ok_or_else(full)?);
            }
        }
        Ok(())
    }

    /// Counts `tokens` positions as written.
    pub fn advance(&mut self, seq: SeqId, tokens: usize) {
        if let Some(Some(entry)) = self.entries.get_mut(seq.0) {
            entry.len += tokens;
            entry.peak = entry.peak.max(entry.len);
        }
    }

    /// Takes back the last `tokens` positions. Refused below what the rings still hold: 9 positions under the highest ever written.
    pub fn roll_back(&mut self, seq: SeqId, tokens: usize) -> Result<()> {
        let entry = self.entry(seq)?;
        if tokens > entry.len {
            return Err(ModelError::refused(format!(
                "sequence {seq} has {} positions, {tokens} cannot be taken back",
                entry.len
            )));
        }
        let len = entry.len - tokens;
        if len + MAX_ROLLBACK < entry.peak && len > 0 {
            return Err(ModelError::refused(format!(
                "sequence {seq} wrote {} positions and can go back to {}, not to {len}: fork it before drafting further",
                entry.peak,
                entry.peak - MAX_ROLLBACK
            )));
        }
        let Some(Some(entry)) = self.entries.get_mut(seq.0) else { return Ok(()) };
        entry.len = len;
        if len == 0 {
            entry.peak = 0;
        }
        for ((pool, pages), space) in self.pools.iter_mut().zip(&mut entry.pages).zip(&self.shape.spaces) {
            pages.drain(space.pages_for(len)..).for_each(|page| pool.release(page));
        }
        Ok(())
    }

    /// A sequence with the same past. Its pages are shared; its slot must be copied by the caller.
    pub fn fork(&mut self, seq: SeqId) -> Result<SeqId> {
        let entry = self.entry(seq)?.clone();
        let fork = self.add()?;
        for (pool, pages) in self.pools.iter_mut().zip(&entry.pages) {
            pages.iter().for_each(|&page| pool.share(page));
        }
        self.entries[fork.0] = Some(entry);
        Ok(fork)
    }
}

/// Places in the page table, among the pages it has, that the next `tokens` positions write.
fn written(shape: &Space, entry: &Entry, space: usize, tokens: usize) -> std::ops::Range<usize> {
    let (first, end) = (entry.len / shape.ratio, (entry.len + tokens) / shape.ratio);
    if first == end {
        return 0..0;
    }
    let has = entry.pages[space].len();
    (first / shape.page_entries).min(has)..end.div_ceil(shape.page_entries).min(has)
}
