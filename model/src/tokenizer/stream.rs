//! Text that grows one token at a time.

use super::{Tokenizer, TokenizerError};

/// Turns ids into text as they arrive, holding back the start of a character until its end is there.
///
/// The pieces put together are exactly [`Tokenizer::decode`] of all ids. A push costs time in proportion to the
/// bytes of that one token, however long the text already is, and reuses one buffer.
#[derive(Debug, Clone)]
pub struct DecodeStream<'t> {
    tokenizer: &'t Tokenizer,
    /// Bytes not yet emitted: after each push, at most the first three of a longer character.
    pending: Vec<u8>,
    piece: String,
}

impl<'t> DecodeStream<'t> {
    pub(super) fn new(tokenizer: &'t Tokenizer) -> Self {
        Self { tokenizer, pending: Vec::new(), piece: String::new() }
    }

    /// Takes one id and returns the text that became complete with it, often empty within a long character.
    /// Bytes that can no longer become a character come out as U+FFFD.
    ///
    /// # Errors
    /// When the id belongs to no token; the stream is then as it was before.
    pub fn push(&mut self, id: u32) -> Result<&str, TokenizerError> {
        self.pending.extend_from_slice(self.tokenizer.token_bytes(id)?);
        self.piece.clear();
        let taken = take_complete(&self.pending, &mut self.piece);
        self.pending.drain(..taken);
        Ok(&self.piece)
    }

    #[cfg(test)]
    pub(super) fn held_back(&self) -> usize {
        self.pending.len()
    }

    /// Ends the text: U+FFFD if it stops inside a character, otherwise nothing.
    #[must_use]
    pub fn finish(self) -> &'static str {
        if self.pending.is_empty() { "" } else { "\u{FFFD}" }
    }
}

/// Appends the text of `bytes` to `out` up to a character that is cut off at the end; returns how many bytes
/// that was. Invalid runs become U+FFFD as in [`String::from_utf8_lossy`].
fn take_complete(bytes: &[u8], out: &mut String) -> usize {
    let mut taken = 0;
    for chunk in bytes.utf8_chunks() {
        out.push_str(chunk.valid());
        taken += chunk.valid().len();
        let invalid = chunk.invalid();
        if invalid.is_empty() {
            continue;
        }
        let at_the_end = taken + invalid.len() == bytes.len();
        if at_the_end && may_continue(invalid) {
            break;
        }
        out.push('\u{FFFD}');
        taken += invalid.len();
    }
    taken
}

/// Whether more bytes could still complete this character: no length means the input ended too early.
fn may_continue(invalid: &[u8]) -> bool {
    std::str::from_utf8(invalid).is_err_and(|e| e.error_len().is_none())
}
