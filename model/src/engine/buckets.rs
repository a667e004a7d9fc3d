//! Capacities come in buckets, so that few programs serve every step (op-catalogue.md 4.2).

use super::EngineOptions;
use crate::config::Config;
use crate::state::StateShape;
use omnihal::StepShape;
use omnihal_runtime::TierLimit;

/// Row capacities.
const ROWS: [usize; 16] = [1, 2, 4, 8, 16, 24, 32, 48, 64, 96, 128, 256, 512, 1024, 2048, 4096];
/// Rows of a query tile in the core tier, where gathering keys once for several rows pays.
const TILE: usize = 16;
/// Steps of at least this many rows use query tiles.
const TILE_FROM: usize = 128;

/// The capacities that a program is built for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) struct Bucket {
    pub rows: usize,
    pub seqs: usize,
    pub wanted: usize,
    pub positions: usize,
    /// Which multi-token-prediction block it runs, if not the backbone.
    pub predict: Option<usize>,
}

pub(super) struct Buckets {
    max_rows: usize,
    max_seqs: usize,
    /// Smallest position capacity: up to here the indexer would keep everything.
    first_positions: usize,
    max_positions: usize,
    tiled: bool,
}

impl Buckets {
    pub(super) fn new(config: &Config, options: &EngineOptions) -> Self {
        Buckets {
            max_rows: options.max_rows,
            max_seqs: options.sequences,
            first_positions: (4 * config.index_topk).max(256).next_power_of_two(),
            max_positions: options.positions,
            tiled: options.limit == TierLimit::Core,
        }
    }

    /// The bucket of a step.
    pub(super) fn of(
        &self,
        rows: usize,
        seqs: usize,
        wanted: usize,
        positions: usize,
        predict: Option<usize>,
    ) -> Bucket {
        let rows = ROWS.into_iter().find(|&r| r >= rows).unwrap_or(rows).min(self.max_rows.max(rows));
        let seqs = if seqs == 1 { 1 } else { seqs.next_power_of_two().min(rows).min(self.max_seqs.max(seqs)) };
        let wanted = wanted.max(1).next_power_of_two().min(rows);
        let positions = positions.next_power_of_two().max(self.first_positions).min(self.max_positions.max(positions));
        Bucket { rows, seqs, wanted, positions, predict }
    }

    /// The step of a bucket.
    pub(super) fn step(&self, bucket: &Bucket, config: &Config, state: &StateShape) -> StepShape {
        let Bucket { rows, seqs, wanted, positions, .. } = *bucket;
        let spaces = state.spaces.iter().map(|s| s.shape(rows, seqs, s.pages_for(positions).max(1)));
        StepShape {
            rows,
            seqs,
            wanted,
            tile: if self.tiled && rows >= TILE_FROM { TILE } else { 1 },
            window: config.sliding_window,
            ring: state.ring,
            drafts: 0,
            spaces: spaces.collect(),
        }
    }
}
