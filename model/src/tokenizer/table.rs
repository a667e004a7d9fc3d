//! The bytes behind each token id.

use std::collections::HashMap;

/// Bytes of all tokens in one block of memory, with the start of each.
pub(super) struct TokenTable {
    bytes: Vec<u8>,
    /// `vocab_size + 1` offsets; equal neighbours are a token without bytes or no token at all.
    starts: Vec<u32>,
    known: Vec<bool>,
    special: Vec<bool>,
}

impl TokenTable {
    /// Collects the tokens `0..=highest`. The caller bounds `highest`; the text of all tokens is bounded by the
    /// file it came from.
    pub(super) fn build(inner: &tokenizers::Tokenizer, highest: u32) -> Self {
        let byte_of = byte_of_char();
        let added = inner.get_added_tokens_decoder();
        let count = highest as usize + 1;
        let mut table = Self {
            bytes: Vec::new(),
            starts: Vec::with_capacity(count + 1),
            known: Vec::with_capacity(count),
            special: Vec::with_capacity(count),
        };
        table.starts.push(0);
        for id in 0..=highest {
            let token = inner.id_to_token(id);
            if let Some(token) = &token {
                push_bytes(&mut table.bytes, token, &byte_of);
            }
            table.starts.push(table.bytes.len() as u32);
            table.known.push(token.is_some());
            table.special.push(added.get(&id).is_some_and(|t| t.special));
        }
        table
    }

    pub(super) fn len(&self) -> usize {
        self.known.len()
    }

    pub(super) fn bytes(&self, id: u32) -> Option<&[u8]> {
        let i = id as usize;
        if !*self.known.get(i)? {
            return None;
        }
        self.bytes.get(self.starts[i] as usize..self.starts[i + 1] as usize)
    }

    pub(super) fn is_special(&self, id: u32) -> bool {
        self.special.get(id as usize).copied().unwrap_or(false)
    }
}

/// Undoes the byte-level spelling of a token; a name with any other character stands for its own UTF-8 bytes.
fn push_bytes(out: &mut Vec<u8>, token: &str, byte_of: &HashMap<char, u8>) {
    let start = out.len();
    for c in token.chars() {
        match byte_of.get(&c) {
            Some(&b) => out.push(b),
            None => {
                out.truncate(start);
                out.extend_from_slice(token.as_bytes());
                return;
            }
        }
    }
}

/// The byte-level alphabet of GPT-2 (`bytes_to_unicode`): printable Latin-1 bytes stand for themselves, the
/// other 68 for U+0100 onwards in byte order.
pub(super) fn byte_of_char() -> HashMap<char, u8> {
    let printable = |b: u8| matches!(b, b'!'..=b'~' | 0xA1..=0xAC | 0xAE..=0xFF);
    let mut moved = '\u{100}'..;
    (0..=u8::MAX)
        .filter_map(|b| {
            let c = if printable(b) { Some(char::from(b)) } else { moved.next() };
            c.map(|c| (c, b))
        })
        .collect()
}
