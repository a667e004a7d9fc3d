//! Which kernel a product gets.

use super::product::{Product, Rounding};
use super::{Choice, CudaPlan, fits};
use crate::modules::Modules;
use crate::ops::Enqueue;
use crate::stream::Queue;
use omnihal::{Accumulation, Args, DType, Determinism, Error, Result, WeightFormat};

/// What a descriptor says about a product.
pub(super) struct Shape {
    pub rows: usize,
    pub inner: usize,
    pub outer: usize,
    pub matrices: usize,
    /// Rows are sorted by matrix, as counts on the device say.
    pub sorted: bool,
    pub input: DType,
    pub weight: WeightFormat,
    pub output: DType,
    /// Activations are rounded first.
    pub rounded: bool,
}

/// Results of a block of the plain kernel, along either axis.
const SIMT_TILE: usize = 64;
const SIMT_THREADS: u32 = 256;
/// Groups that a block of `round_operand` rounds, and channels of a group.
const ROUND_GROUPS: usize = 8;
const ROUND_CHANNELS: usize = 128;
/// Blocks along the second axis of a grid (CUDA C++ Programming Guide, "Technical Specifications per Compute Capability").
const MAX_GRID_Y: usize = 65535;

/// Places of kernels in a plan.
const SIMT: usize = 0;
const ROUND: usize = 1;

pub(super) fn choose(enqueue: Enqueue, shape: &Shape, modules: &Modules) -> Result<Choice> {
    check(shape)?;
    let suffix = suffix(shape.weight)?;
    let simt = modules.function("gemm", &format!("simt_{suffix}"), 0)?;
    let mut kernels = vec![simt];
    let mut workspace = 0;
    if shape.rounded {
        kernels.push(modules.function("gemm", "round_operand", 0)?);
        workspace = shape.rows * shape.inner * shape.input.bits() / 8;
    }
    let choice = Choice::new(enqueue, &kernels);
    Ok(Choice { workspace, determinism: Determinism::Repeatable, accumulation: Accumulation::F32, ..choice })
}

/// Refuses what no kernel takes.
fn check(shape: &Shape) -> Result<()> {
    fits(&[shape.rows, shape.inner, shape.outer, shape.matrices])?;
    let tiles = shape.rows.div_ceil(16) + if shape.sorted { shape.matrices } else { 0 };
    fits(&[
        tiles.saturating_mul(shape.outer.div_ceil(16)),
        shape.rows.saturating_mul(shape.inner.div_ceil(ROUND_CHANNELS)),
    ])?;
    if !shape.sorted && shape.matrices > MAX_GRID_Y {
        return Err(Error::unsupported(format!(
            "{} products at once were asked, kernels take up to {MAX_GRID_Y}",
            shape.matrices
        )));
    }
    for dtype in [shape.input, shape.output] {
        if !matches!(dtype, DType::F32 | DType::BF16) {
            return Err(Error::unsupported(format!("the cuda backend multiplies F32 and BF16 numbers, not {dtype}")));
        }
    }
    Ok(())
}

/// The ending of the names of kernels that read a weight format.
fn suffix(format: WeightFormat) -> Result<&'static str> {
    let known = match format {
        WeightFormat::Plain(DType::F32) => Some("f32"),
        WeightFormat::Plain(DType::BF16) => Some("bf16"),
        WeightFormat::Blocked { data, scale, block } => {
            let blocks = block.0.is_power_of_two() && block.1.is_power_of_two();
            match data {
                _ if !blocks || !matches!(scale, DType::E8M0 | DType::F32) => None,
                DType::F8E4M3 => Some("f8"),
                DType::F4E2M1X2 => Some("f4"),
                _ => None,
            }
        }
        WeightFormat::Plain(_) => None,
    };
    known.ok_or_else(|| {
        Error::unsupported(format!(
            "the cuda backend reads F32 and BF16 weights, and F8E4M3 and F4E2M1X2 codes with E8M0 or F32 scales for blocks of powers of two, not {format}"
        ))
    })
}

/// Rounds the activations of a product.
pub(super) fn round(plan: &CudaPlan, rounding: &Rounding, queue: &Queue<'_>) -> Result<()> {
    let groups = rounding.rows as usize * rounding.inner as usize / ROUND_CHANNELS;
    let blocks = groups.div_ceil(ROUND_GROUPS) as u32;
    queue.launch(plan.kernel(ROUND)?, [blocks, 1, 1], SIMT_THREADS, 0, rounding)
}

/// Launches the kernel that takes the product with these addresses and strides.
pub(super) fn launch(plan: &CudaPlan, product: &Product, _args: &Args<'_>, queue: &Queue<'_>) -> Result<()> {
    let (grid, product) = tiles(product, SIMT_TILE, SIMT_TILE);
    queue.launch(plan.kernel(SIMT)?, grid, SIMT_THREADS, 0, &product)
}

/// The grid of tiles of `height` rows and `width` channels, tiles of one weight next to each other.
fn tiles(product: &Product, height: usize, width: usize) -> ([u32; 3], Product) {
    let (rows, matrices) = (product.rows as usize, product.matrices as usize);
    // Every group may end inside a tile.
    let sorted = product.counts.0 != 0;
    let row_tiles = rows.div_ceil(height) + if sorted && rows > 0 { matrices } else { 0 };
    let channel_tiles = (product.outer as usize).div_ceil(width);
    let matrices = if sorted { 1 } else { matrices };
    let grid = [(row_tiles * channel_tiles) as u32, matrices as u32, product.splits as u32];
    (grid, Product { row_tiles: row_tiles as i32, ..*product })
}
