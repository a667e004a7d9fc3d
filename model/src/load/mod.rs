//! The weights of a model on a device.

mod block;
mod loader;

pub(crate) use block::projection_width;
pub use block::{BlockWeights, Compressor, ExpertChoice, MtpWeights};
pub use loader::{Loader, Progress};

use crate::config::{Block, Config};
use crate::error::Result;
use crate::rope;
use crate::weights::Checkpoint;
use omnihal::{Buffer, DType, Device, Stream, View};

/// A projection in one or more parts: one product each, side by side in the output.
#[derive(Clone, Debug)]
pub struct Linear {
    /// Weights `[out, in]`, in output order.
    pub parts: Vec<View>,
}

impl Linear {
    /// Output channels of all parts.
    pub fn outer(&self) -> usize {
        self.parts.iter().map(|p| p.dim(0)).sum()
    }
}

/// The coefficients of one hyper-connection.
#[derive(Clone, Debug)]
pub struct Mixer {
    /// Projection of the flattened streams, F32.
    pub projection: View,
    /// Scales of the coefficient groups, F32.
    pub scale: View,
    /// Biases, F32.
    pub base: View,
}

/// Everything that a step reads and never writes.
pub struct Weights {
    /// Activation type that the weights were prepared for.
    pub act: DType,
    /// Embedding table `[vocab, d]`.
    pub embed: View,
    /// Output projection `[vocab, d]`.
    pub head: View,
    /// Final norm.
    pub norm: View,
    /// Final collapse of the streams.
    pub hc_head: Mixer,
    /// Backbone blocks.
    pub blocks: Vec<BlockWeights>,
    /// Multi-token-prediction blocks, if the checkpoint has them.
    pub mtp: Vec<MtpWeights>,
    /// Rope table of window-only blocks, `[positions, rope]`.
    pub rope_main: View,
    /// Rope table of compressed blocks.
    pub rope_compress: View,
    /// The memory behind all views.
    pub buffers: Vec<Buffer>,
}

impl Weights {
    /// Bytes on the device.
    pub fn bytes(&self) -> usize {
        self.buffers.iter().map(Buffer::len).sum()
    }

    /// Uploads a checkpoint for the given activation type, with rope tables for `positions` positions. `progress` hears of every tensor.
    pub fn load(
        device: &dyn Device,
        stream: &dyn Stream,
        checkpoint: &Checkpoint,
        act: DType,
        positions: usize,
        progress: &mut dyn FnMut(Progress<'_>),
    ) -> Result<Weights> {
        let config = checkpoint.config();
        let mut loader = Loader::new(device, stream, checkpoint, act, progress);
        let embed = loader.stored("embed.weight")?;
        let head = loader.matrix("head.weight")?;
        let norm = loader.stored("norm.weight")?;
        let hc_head = loader.mixer("hc_head_")?;
        let blocks = config.blocks.iter().enumerate();
        let blocks = blocks.map(|(i, b)| block::load(&mut loader, &format!("layers.{i}."), b, config));
        let blocks = blocks.collect::<Result<_>>()?;
        let present = |i: &usize| checkpoint.has(&format!("mtp.{i}.e_proj.weight"));
        let mtp = (0..config.mtp.len()).take_while(present).map(|i| block::load_mtp(&mut loader, i, config));
        let mtp = mtp.collect::<Result<_>>()?;
        let (rope_main, rope_compress) = load_rope(&mut loader, config, positions)?;
        let buffers = loader.finish();
        Ok(Weights { act, embed, head, norm, hc_head, blocks, mtp, rope_main, rope_compress, buffers })
    }

    /// The rope table of a block.
    pub fn rope(&self, ratio: usize) -> &View {
        if ratio == 0 { &self.rope_main } else { &self.rope_compress }
    }
}

/// Positions computed at a time: 4096 rows of 64 floats are 1 MiB.
const ROPE_ROWS: usize = 4096;

fn load_rope(loader: &mut Loader<'_>, config: &Config, positions: usize) -> Result<(View, View)> {
    let mut load = |compressed: bool| -> Result<View> {
        let rope = config.rope(&Block::new(if compressed { Block::CSA_RATIO } else { 0 }, false));
        let view = loader.empty(DType::F32, [positions, rope.dim])?;
        for first in (0..positions).step_by(ROPE_ROWS) {
            let rows = rope::table(&rope, first, ROPE_ROWS.min(positions - first));
            loader.write_f32(&view, first * rope.dim, &rows)?;
        }
        Ok(view)
    };
    Ok((load(false)?, load(true)?))
}
