//! Bytes of keys and of per-sequence state.

use std::fmt;
use std::str::FromStr;

use serde::Serialize;

use super::AccountError;
use super::count::{Count, count};
use super::flops::{entries, keys_read, window};
use crate::config::{Block, BlockKind, Config};

/// Channels of a key that share an E8M0 scale in FP8.
const FP8_GROUP: usize = 64;
/// Channels of an indexer key that share an E8M0 scale in FP4.
const FP4_GROUP: usize = 32;
/// Packed rows start at multiples of this many bytes.
const ROW_ALIGN: usize = 8;
/// Rows kept beyond a window, so that so many tokens and one more can be rolled back.
const SLACK_ROWS: usize = 8;
/// Window rings have a multiple of this many rows.
const RING_ALIGN: usize = 16;
/// Compressed entries in a page of a CSA block.
const CSA_PAGE: u64 = 64;
/// Compressed entries in a page of an HCA block.
const HCA_PAGE: u64 = 16;

/// How pools hold keys.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum CacheFormat {
    /// FP8 with BF16 rotary channels and scales, padded to 8 bytes; indexer keys in FP4.
    Packed,
    /// BF16.
    Bf16,
    /// F32.
    F32,
}

impl CacheFormat {
    /// Every format, smallest first.
    pub const ALL: [Self; 3] = [Self::Packed, Self::Bf16, Self::F32];

    /// The name used in options and JSON.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Packed => "packed",
            Self::Bf16 => "bf16",
            Self::F32 => "f32",
        }
    }

    /// Bytes of one key row in a pool.
    pub fn key_row(self, config: &Config) -> u64 {
        let bytes = match self {
            Self::Packed => mixed_key(config).next_multiple_of(ROW_ALIGN),
            Self::Bf16 => 2 * config.head_dim,
            Self::F32 => 4 * config.head_dim,
        };
        bytes as u64
    }

    /// Bytes of one indexer key row in a pool.
    pub fn index_row(self, config: &Config) -> u64 {
        let bytes = match self {
            Self::Packed => mixed_index(config),
            Self::Bf16 => 2 * config.index_head_dim,
            Self::F32 => 4 * config.index_head_dim,
        };
        bytes as u64
    }
}

impl fmt::Display for CacheFormat {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// A word that names no cache format.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("cache format: expected packed, bf16 or f32, found `{0}`")]
pub struct ParseCacheFormatError(String);

impl FromStr for CacheFormat {
    type Err = ParseCacheFormatError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        Self::ALL.into_iter().find(|f| f.name() == text).ok_or_else(|| ParseCacheFormatError(text.into()))
    }
}

fn mixed_key(config: &Config) -> usize {
    config.nope_dim() + config.nope_dim().div_ceil(FP8_GROUP) + 2 * config.qk_rope_head_dim
}

fn mixed_index(config: &Config) -> usize {
    config.index_head_dim.div_ceil(2) + config.index_head_dim.div_ceil(FP4_GROUP)
}

/// Keys of one sequence in one format, without padding, pages or open windows.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct CacheBytes {
    /// Bytes held.
    pub size: u64,
    /// Bytes read to decode a token.
    pub read: u64,
}

/// Keys of one sequence as published comparisons count them. The backbone only.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct Cache {
    /// FP8 with BF16 rotary channels, FP4 indexer keys.
    pub mixed: CacheBytes,
    /// All BF16.
    pub bf16: CacheBytes,
}

impl Cache {
    pub(super) fn new(config: &Config, context: u64) -> Result<Self, AccountError> {
        let bytes = |key: usize, index: usize| {
            let size = |b: &Block| {
                let index = if b.has_indexer() { index } else { 0 };
                count(entries(b, context)) * (key + index) + count(window(config, context)) * key
            };
            let read = |b: &Block| {
                let scanned = if b.has_indexer() { entries(b, context) } else { 0 };
                count(scanned) * index + count(keys_read(config, b, context)) * key
            };
            Ok(CacheBytes {
                size: config.blocks.iter().map(size).sum::<Count>().get("cache bytes")?,
                read: config.blocks.iter().map(read).sum::<Count>().get("cache traffic")?,
            })
        };
        Ok(Self {
            mixed: bytes(mixed_key(config), mixed_index(config))?,
            bf16: bytes(2 * config.head_dim, 2 * config.index_head_dim)?,
        })
    }
}

/// The token sampled last stays on the device, one I32 a slot.
const LAST_TOKEN: u64 = 4;

/// What one sequence takes in pools, MTP blocks included.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct SequenceBytes {
    /// Row format of keys.
    pub format: CacheFormat,
    /// Window rings.
    pub ring: u64,
    /// Open windows of the compressors, F32, with slack for roll-back.
    pub open_windows: u64,
    /// The part of `open_windows` that a sequence without roll-back would need.
    pub open_windows_without_slack: u64,
    /// `ring`, `open_windows` and the last token: the fixed size of a slot.
    pub slot: u64,
    /// One page of compressed entries and indexer keys in every block that has them.
    pub page: u64,
    /// Whole pages for the context, at least one a block.
    pub pages: u64,
    /// `slot` and `pages`.
    pub total: u64,
}

impl SequenceBytes {
    pub(super) fn new(config: &Config, context: u64, format: CacheFormat) -> Result<Self, AccountError> {
        let key = format.key_row(config);
        let ring_rows = (config.sliding_window + SLACK_ROWS).next_multiple_of(RING_ALIGN);
        let blocks = config.blocks.len() + config.mtp.len();
        let ring = (count(blocks) * ring_rows * key).get("window rings")?;
        let open = |slack| config.blocks.iter().map(|b| open_window(config, b, slack)).sum::<Count>();
        let open_windows = open(SLACK_ROWS).get("open windows")?;
        let page = |b: &Block| match b.kind {
            BlockKind::Window => count(0u64),
            BlockKind::Csa => count(CSA_PAGE) * (key + format.index_row(config)),
            BlockKind::Hca => count(HCA_PAGE) * key,
        };
        let pages = |b: &Block| {
            let entries_of_page = if b.has_indexer() { CSA_PAGE } else { HCA_PAGE };
            page(b) * entries(b, context).div_ceil(entries_of_page).max(1)
        };
        let pages = config.blocks.iter().map(pages).sum::<Count>().get("cache pages")?;
        let slot = (count(ring) + open_windows + LAST_TOKEN).get("slot bytes")?;
        Ok(Self {
            format,
            ring,
            open_windows,
            open_windows_without_slack: open(0).get("open windows")?,
            slot,
            page: config.blocks.iter().map(page).sum::<Count>().get("cache pages")?,
            pages,
            total: (count(slot) + pages).get("sequence bytes")?,
        })
    }
}

/// F32 rows of kv and gate projections, for the tokens that one entry pools.
fn open_window(config: &Config, block: &Block, slack: usize) -> Count {
    let widths = match block.kind {
        BlockKind::Window => return count(0u64),
        BlockKind::Hca => config.head_dim,
        BlockKind::Csa => config.head_dim + config.index_head_dim,
    };
    count(block.pooled_tokens() + slack) * (2 * block.compressor_halves()) * widths * 4u64
}
