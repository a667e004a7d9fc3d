//! Text to token ids and back.
//!
//! The splitting rules and merges come from a `tokenizer.json`, read by the `tokenizers` crate. Going back
//! to text is done here on bytes: a byte-level vocabulary gives every id a fixed byte string, so the text of a
//! sequence is the lossy UTF-8 reading of the concatenated bytes, whole or one id at a time.
//!
//! Nothing is added to a text: the begin-of-sentence token of DeepSeek-V4 is part of the prompt string. A text
//! that contains the name of an added token (`<think>`, `<｜User｜>`, ...) becomes that token, the format has no
//! escape; whoever accepts text from strangers has to deal with that first.

mod stream;
mod table;

use std::fs::File;
use std::io::Read as _;
use std::path::{Path, PathBuf};

use serde::Deserialize;
use tokenizers::DecoderWrapper;

pub use stream::DecodeStream;
use table::TokenTable;

/// Name of the token that starts a DeepSeek-V4 prompt.
pub const BOS_TOKEN: &str = "<｜begin▁of▁sentence｜>";
/// Name of the token that ends a DeepSeek-V4 answer.
pub const EOS_TOKEN: &str = "<｜end▁of▁sentence｜>";

/// Largest `tokenizer.json` that is read, in bytes. The released file has 6.4 MB.
pub const MAX_FILE_BYTES: u64 = 64 << 20;
/// Ids at or above this are refused. The released vocabulary has 129280 entries.
pub const MAX_VOCAB: u32 = 1 << 22;

/// Why a tokenizer file, a text or a list of ids was refused.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum TokenizerError {
    /// The file could not be opened or read.
    #[error("cannot read tokenizer {path}: {source}; give the path of a tokenizer.json file", path = path.display())]
    Read {
        /// The file asked for.
        path: PathBuf,
        /// What the operating system said.
        source: std::io::Error,
    },
    /// The file is larger than [`MAX_FILE_BYTES`].
    #[error("tokenizer {path} has more than {limit} bytes; give the path of a tokenizer.json file", path = path.display())]
    TooLarge {
        /// The file asked for.
        path: PathBuf,
        /// The limit it exceeds.
        limit: u64,
    },
    /// The file is not a tokenizer description.
    #[error("{origin} is not a tokenizer.json: {reason}; give a file written by the tokenizers library")]
    Parse {
        /// The file, or `tokenizer bytes` if there is none.
        origin: String,
        /// What the parser found.
        reason: String,
    },
    /// The file is well formed, but its ids have no fixed bytes.
    #[error(
        "{origin} was expected to have a ByteLevel decoder, found {found}; use the tokenizer of a byte-level BPE model"
    )]
    NotByteLevel {
        /// The file, or `tokenizer bytes` if there is none.
        origin: String,
        /// The kind of decoder the file names.
        found: &'static str,
    },
    /// The file gives an added token an id that the tokenizers library would not give it.
    #[error(
        "{origin} was expected to give {name:?} the id {given}, found {asked}; number the added tokens without a gap after the vocabulary"
    )]
    AddedToken {
        /// The file, or `tokenizer bytes` if there is none.
        origin: String,
        /// Name of the token.
        name: String,
        /// Id in the file.
        asked: u32,
        /// Id that follows from its place.
        given: u32,
    },
    /// The vocabulary is empty or has an absurdly high id.
    #[error("{origin} was expected to have 1 to {limit} token ids, found highest id {highest:?}; the file is damaged", limit = MAX_VOCAB)]
    Vocabulary {
        /// The file, or `tokenizer bytes` if there is none.
        origin: String,
        /// Highest id found, none if there are no tokens.
        highest: Option<u32>,
    },
    /// The text could not be encoded.
    #[error("cannot encode a text of {bytes} bytes: {reason}; check the pre-tokenizer of the tokenizer.json")]
    Encode {
        /// Length of the text.
        bytes: usize,
        /// What the encoder said.
        reason: String,
    },
    /// An id that no token has.
    #[error(
        "cannot decode token id {id}: the tokenizer has ids below {vocab_size} and no token for this one; use the tokenizer that belongs to the model"
    )]
    UnknownId {
        /// The id asked for.
        id: u32,
        /// Highest id plus one.
        vocab_size: usize,
    },
}

/// What is looked at before the `tokenizers` crate sees a file: that crate panics on a decoder it cannot parse, and
/// renumbers added tokens with no more than a log line.
#[derive(Deserialize)]
struct Probe {
    #[serde(rename = "decoder")]
    _decoder: Option<serde_json::Value>,
    #[serde(default)]
    added_tokens: Vec<AddedToken>,
}

#[derive(Deserialize)]
struct AddedToken {
    id: u32,
    content: String,
}

/// A byte-level tokenizer. Immutable after opening, so one may be shared by any number of threads.
pub struct Tokenizer {
    inner: tokenizers::Tokenizer,
    table: TokenTable,
    bos: Option<u32>,
    eos: Option<u32>,
}

impl std::fmt::Debug for Tokenizer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Tokenizer")
            .field("vocab_size", &self.vocab_size())
            .field("bos", &self.bos)
            .field("eos", &self.eos)
            .finish_non_exhaustive()
    }
}

impl Tokenizer {
    /// Reads a `tokenizer.json`.
    ///
    /// # Errors
    /// When the file cannot be read, is larger than [`MAX_FILE_BYTES`], is not a tokenizer description, or does
    /// not describe a byte-level vocabulary.
    pub fn open(path: impl AsRef<Path>) -> Result<Self, TokenizerError> {
        let path = path.as_ref();
        let read_error = |source| TokenizerError::Read { path: path.to_owned(), source };
        let too_large = || TokenizerError::TooLarge { path: path.to_owned(), limit: MAX_FILE_BYTES };

        let file = File::open(path).map_err(read_error)?;
        let length = file.metadata().map_err(read_error)?.len();
        if length > MAX_FILE_BYTES {
            return Err(too_large());
        }
        // A pipe or a device reports length 0, so the limit is enforced on what is read, too.
        let mut bytes = Vec::with_capacity(length as usize);
        file.take(MAX_FILE_BYTES + 1).read_to_end(&mut bytes).map_err(read_error)?;
        if bytes.len() as u64 > MAX_FILE_BYTES {
            return Err(too_large());
        }
        Self::parse(&bytes, &path.display().to_string())
    }

    /// Takes the contents of a `tokenizer.json`, for one that is compiled in.
    ///
    /// # Errors
    /// As [`Tokenizer::open`], except for reading.
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, TokenizerError> {
        Self::parse(bytes, "tokenizer bytes")
    }

    fn parse(bytes: &[u8], origin: &str) -> Result<Self, TokenizerError> {
        let origin = || origin.to_owned();
        let parse_error = |reason: String| TokenizerError::Parse { origin: origin(), reason };
        let probe: Probe = serde_json::from_slice(bytes).map_err(|e| parse_error(e.to_string()))?;
        let mut inner = tokenizers::Tokenizer::from_bytes(bytes).map_err(|e| parse_error(e.to_string()))?;
        match inner.get_decoder() {
            Some(DecoderWrapper::ByteLevel(_)) => {}
            other => {
                return Err(TokenizerError::NotByteLevel { origin: origin(), found: decoder_name(other) });
            }
        }
        // A file may carry the padding and truncation of some past training run: both would change a prompt.
        inner.with_padding(None);
        inner.with_truncation(None).map_err(|e| parse_error(e.to_string()))?;

        for AddedToken { id: asked, content: name } in probe.added_tokens {
            match inner.token_to_id(&name) {
                Some(given) if given != asked => {
                    return Err(TokenizerError::AddedToken { origin: origin(), name, asked, given });
                }
                _ => {}
            }
        }
        let highest = inner.get_vocab(true).into_values().max();
        let table = match highest {
            Some(id) if id < MAX_VOCAB => TokenTable::build(&inner, id),
            _ => return Err(TokenizerError::Vocabulary { origin: origin(), highest }),
        };
        let bos = inner.token_to_id(BOS_TOKEN);
        let eos = inner.token_to_id(EOS_TOKEN);
        Ok(Self { inner, table, bos, eos })
    }

    /// Ids of a text. Adds no begin or end token.
    ///
    /// # Errors
    /// When the splitting rules of the file fail on this text.
    pub fn encode(&self, text: &str) -> Result<Vec<u32>, TokenizerError> {
        let encoding = self
            .inner
            .encode_fast(text, false)
            .map_err(|e| TokenizerError::Encode { bytes: text.len(), reason: e.to_string() })?;
        Ok(encoding.get_ids().to_vec())
    }

    /// Text of a list of ids, special tokens included by name. Bytes that are not UTF-8 become U+FFFD.
    ///
    /// # Errors
    /// When an id belongs to no token.
    pub fn decode(&self, ids: &[u32]) -> Result<String, TokenizerError> {
        let mut bytes = Vec::new();
        for &id in ids {
            bytes.extend_from_slice(self.token_bytes(id)?);
        }
        Ok(String::from_utf8_lossy(&bytes).into_owned())
    }

    /// Starts decoding ids that arrive one at a time. Special tokens are kept by name, as in
    /// [`Tokenizer::decode`].
    pub fn decode_stream(&self) -> DecodeStream<'_> {
        DecodeStream::new(self)
    }

    /// The bytes that an id stands for. They need not be valid UTF-8 on their own.
    ///
    /// # Errors
    /// When the id belongs to no token.
    pub fn token_bytes(&self, id: u32) -> Result<&[u8], TokenizerError> {
        self.table.bytes(id).ok_or_else(|| TokenizerError::UnknownId { id, vocab_size: self.vocab_size() })
    }

    /// Highest id plus one: the number of rows an embedding must have for this tokenizer.
    pub fn vocab_size(&self) -> usize {
        self.table.len()
    }

    /// Id of the token with exactly this name, such as `</think>`.
    pub fn token_id(&self, name: &str) -> Option<u32> {
        self.inner.token_to_id(name)
    }

    /// Id of [`BOS_TOKEN`].
    pub fn bos_id(&self) -> Option<u32> {
        self.bos
    }

    /// Id of [`EOS_TOKEN`].
    pub fn eos_id(&self) -> Option<u32> {
        self.eos
    }

    /// True for tokens that the file flags as special, such as begin and end of sentence. DeepSeek-V4 does not
    /// flag its turn and reasoning marks.
    pub fn is_special(&self, id: u32) -> bool {
        self.table.is_special(id)
    }
}

fn decoder_name(decoder: Option<&DecoderWrapper>) -> &'static str {
    match decoder {
        None => "none",
        Some(DecoderWrapper::ByteLevel(_)) => "ByteLevel",
        Some(DecoderWrapper::BPE(_)) => "BPEDecoder",
        Some(DecoderWrapper::WordPiece(_)) => "WordPiece",
        Some(DecoderWrapper::Metaspace(_)) => "Metaspace",
        Some(DecoderWrapper::CTC(_)) => "CTC",
        Some(DecoderWrapper::Sequence(_)) => "Sequence",
        Some(DecoderWrapper::Replace(_)) => "Replace",
        Some(DecoderWrapper::Fuse(_)) => "Fuse",
        Some(DecoderWrapper::Strip(_)) => "Strip",
        Some(DecoderWrapper::ByteFallback(_)) => "ByteFallback",
    }
}

#[cfg(test)]
mod tests;
