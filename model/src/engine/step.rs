//! One step: tokens in, logits out. A step whose bucket was met before allocates nothing.

use super::{Bucket, Engine};
use crate::error::{ModelError, Result};
use crate::graph::outputs;
use crate::state::SeqId;
use omnihal::Sequence;
use omnihal_runtime::transfer;

/// Which rows of a feed should give logits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Want {
    /// None: a prompt chunk with more to come.
    None,
    /// The last.
    Last,
    /// All.
    All,
}

/// Tokens of one sequence.
#[derive(Clone, Copy, Debug)]
pub struct Feed<'a> {
    /// The sequence.
    pub seq: SeqId,
    /// Its next tokens.
    pub tokens: &'a [u32],
    /// Which of them should give logits.
    pub want: Want,
}

/// Logits of the wanted rows, in feed order.
#[derive(Clone, Copy, Debug)]
pub struct Logits<'a> {
    values: &'a [f32],
    vocab: usize,
}

impl<'a> Logits<'a> {
    /// Number of rows.
    pub fn len(&self) -> usize {
        self.values.len() / self.vocab
    }

    /// True if no row was wanted.
    pub fn is_empty(&self) -> bool {
        self.values.is_empty()
    }

    /// One row.
    pub fn row(&self, i: usize) -> &'a [f32] {
        &self.values[i * self.vocab..(i + 1) * self.vocab]
    }

    /// All rows, one after the other.
    pub fn values(&self) -> &'a [f32] {
        self.values
    }
}

/// Memory that steps use again and again.
#[derive(Default)]
pub(super) struct Scratch {
    ids: Vec<i32>,
    wanted: Vec<usize>,
    pieces: Vec<Piece>,
    pages: Vec<&'static [i32]>,
    sequences: Vec<Sequence<'static>>,
    logits: Vec<f32>,
    bytes: Vec<u8>,
    /// Program of the last step.
    pub last: Option<Bucket>,
}

/// A part of a feed that fits one step.
#[derive(Clone, Copy)]
struct Piece {
    feed: usize,
    start: usize,
    len: usize,
    /// Position of its first token.
    first: usize,
}

impl Engine {
    /// Feeds tokens and returns the wanted logits. Every sequence is checked before any is changed: if one is refused, none has moved.
    pub fn step(&mut self, feeds: &[Feed<'_>]) -> Result<Logits<'_>> {
        self.check(feeds)?;
        self.scratch.logits.clear();
        let (mut feed, mut start) = (0, 0);
        while feed < feeds.len() {
            self.scratch.pieces.clear();
            let mut room = self.options.max_rows;
            while feed < feeds.len() && room > 0 {
                let left = feeds[feed].tokens.len() - start;
                let len = left.min(room);
                let first = self.sequences.len(feeds[feed].seq)?;
                self.scratch.pieces.push(Piece { feed, start, len, first });
                room -= len;
                (feed, start) = if len == left { (feed + 1, 0) } else { (feed, start + len) };
            }
            for i in 0..self.scratch.pieces.len() {
                let Piece { feed, len, .. } = self.scratch.pieces[i];
                self.sequences.reserve(feeds[feed].seq, len, &mut self.copies)?;
            }
            self.copy_pages()?;
            self.run(feeds, None, outputs::LOGITS)?;
            for i in 0..self.scratch.pieces.len() {
                let Piece { feed, len, .. } = self.scratch.pieces[i];
                self.sequences.advance(feeds[feed].seq, len);
            }
        }
        Ok(Logits { values: &self.scratch.logits, vocab: self.config.vocab_size })
    }

    /// Runs prediction block `block` on the streams of the last step: each feed gives the *next* tokens of its rows, whose first position
    /// is in `firsts`. The rows must be those of the last step, in order.
    pub fn predict(&mut self, block: usize, feeds: &[Feed<'_>], firsts: &[usize]) -> Result<Logits<'_>> {
        self.scratch.logits.clear();
        self.scratch.pieces.clear();
        if feeds.len() != firsts.len() || feeds.iter().any(|f| f.tokens.is_empty()) {
            return Err(ModelError::refused("a prediction needs tokens and a first position for every feed"));
        }
        let rows: usize = feeds.iter().map(|f| f.tokens.len()).sum();
        if rows > self.options.max_rows {
            let most = self.options.max_rows;
            return Err(ModelError::refused(format!(
                "a prediction of {rows} rows was asked for, at most {most} are possible"
            )));
        }
        let pieces = feeds.iter().zip(firsts).enumerate();
        let pieces = pieces.map(|(feed, (f, &first))| Piece { feed, start: 0, len: f.tokens.len(), first });
        self.scratch.pieces.extend(pieces);
        self.run(feeds, Some(block), outputs::MTP_LOGITS)?;
        Ok(Logits { values: &self.scratch.logits, vocab: self.config.vocab_size })
    }

    fn check(&self, feeds: &[Feed<'_>]) -> Result<()> {
        let vocab = self.config.vocab_size;
        for (i, feed) in feeds.iter().enumerate() {
            if feed.tokens.is_empty() {
                return Err(ModelError::refused(format!("sequence {} was fed no token", feed.seq)));
            }
            if let Some(id) = feed.tokens.iter().find(|&&id| id as usize >= vocab) {
                return Err(ModelError::refused(format!("token {id} is outside the vocabulary of {vocab}")));
            }
            if feeds[..i].iter().any(|f| f.seq == feed.seq) {
                return Err(ModelError::refused(format!("sequence {} was fed twice in one step", feed.seq)));
            }
        }
        self.sequences.check(feeds.iter().map(|f| (f.seq, f.tokens.len())))
    }

    /// Runs the collected pieces in one program and appends its wanted logits.
    fn run(&mut self, feeds: &[Feed<'_>], predict: Option<usize>, logits: &str) -> Result<()> {
        let Scratch { ids, wanted, pieces, .. } = &mut self.scratch;
        ids.clear();
        wanted.clear();
        let (mut rows, mut positions) = (0, 0);
        for piece in &*pieces {
            let feed = &feeds[piece.feed];
            let tokens = &feed.tokens[piece.start..piece.start + piece.len];
            ids.extend(tokens.iter().map(|&id| id as i32));
            let last = piece.start + piece.len == feed.tokens.len();
            match feed.want {
                Want::All => wanted.extend(0..piece.len),
                Want::Last if last => wanted.push(piece.len - 1),
                _ => {}
            }
            rows += piece.len;
            positions = positions.max(piece.first + piece.len);
        }
        let count = wanted.len();
        let bucket = self.buckets.of(rows, pieces.len(), count, positions, predict);
        self.program(bucket)?;
        if let Some(arena) = self.arena.as_ref().filter(|_| self.options.poison) {
            // What an earlier step left must not look like a result of this one.
            transfer::fill(&*self.stream, arena, 0, arena.len(), 0xFF)?;
        }
        self.launch(feeds, bucket)?;
        self.scratch.last = Some(bucket);
        self.collect(bucket, count, logits)
    }

    fn launch(&mut self, feeds: &[Feed<'_>], bucket: Bucket) -> Result<()> {
        let Scratch { ids, wanted, pieces, pages, sequences, .. } = &mut self.scratch;
        let spaces = self.pools.shape.spaces.len();
        let mut page_tables = recycle(std::mem::take(pages));
        for piece in &*pieces {
            page_tables.extend((0..spaces).map(|space| self.sequences.pages(feeds[piece.feed].seq, space)));
        }
        let mut batch = recycle(std::mem::take(sequences));
        let (mut row, mut want) = (0, 0);
        for (i, piece) in pieces.iter().enumerate() {
            let feed = &feeds[piece.feed];
            let wants = match feed.want {
                Want::All => piece.len,
                Want::Last if piece.start + piece.len == feed.tokens.len() => 1,
                _ => 0,
            };
            batch.push(Sequence {
                slot: self.sequences.slot(feed.seq),
                first: piece.first,
                ids: &ids[row..row + piece.len],
                pages: &page_tables[i * spaces..(i + 1) * spaces],
                wanted: &wanted[want..want + wants],
            });
            row += piece.len;
            want += wants;
        }
        let program = self.programs.get_mut(&bucket);
        let program = program.ok_or_else(|| ModelError::refused("the step's program is gone"))?;
        let mut result = program.step_with(&*self.stream, &batch);
        // The first run was eager, so that whatever the device sets up lazily is not part of the graph.
        if result.is_ok() && self.device.caps().native_graphs && !program.is_captured() {
            result = program.capture(&*self.stream).map(drop);
        }
        let (batch, page_tables) = (recycle(batch), recycle(page_tables));
        (*sequences, *pages) = (batch, page_tables);
        Ok(result?)
    }

    fn collect(&mut self, bucket: Bucket, count: usize, name: &str) -> Result<()> {
        let Some(arena) = self.arena.as_ref().filter(|_| count > 0) else {
            return Ok(self.stream.sync(STEP_TIMEOUT)?);
        };
        let view = self.programs[&bucket].named(name)?.slice(0, 0, count)?;
        let Scratch { bytes, logits, .. } = &mut self.scratch;
        bytes.resize(view.elements() * 4, 0);
        transfer::read_view(&*self.stream, arena, &view, bytes)?;
        logits.extend(bytes.chunks_exact(4).map(|b| f32::from_le_bytes([b[0], b[1], b[2], b[3]])));
        Ok(())
    }
}

/// Longest wait for one step.
const STEP_TIMEOUT: std::time::Duration = std::time::Duration::from_secs(600);

/// The empty vector's memory for elements of another lifetime: collecting in place keeps the allocation.
fn recycle<'a, 'b, T: Relifed<'a, 'b>>(mut from: Vec<T::From>) -> Vec<T> {
    from.clear();
    from.into_iter().filter_map(|_| None).collect()
}

/// A type that differs from another one in its lifetime only.
trait Relifed<'a, 'b>: Sized {
    type From;
}

impl<'a, 'b> Relifed<'a, 'b> for Sequence<'b> {
    type From = Sequence<'a>;
}

impl<'a, 'b> Relifed<'a, 'b> for &'b [i32] {
    type From = &'a [i32];
}
