//! Which kernels a product gets.

use super::product::{Product, Rounding};
use super::{Choice, CudaPlan, fits};
use crate::blas::{self, Dense, Matmul};
use crate::modules::{Function, Modules};
use crate::ops::Enqueue;
use crate::params::Ptr;
use crate::stream::Queue;
use omnihal::{Accumulation, Args, DType, Determinism, Error, Result, WeightFormat};
use std::sync::Arc;

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
/// Threads of every kernel's block.
const THREADS: u32 = 256;
/// Groups that a block of `round_operand` rounds, and channels of a group.
const ROUND_GROUPS: usize = 8;
const ROUND_CHANNELS: usize = 128;
/// Blocks along the second axis of a grid (CUDA C++ Programming Guide, "Technical Specifications per Compute Capability").
const MAX_GRID_Y: usize = 65535;
/// Rows up to which each block rounds the operand itself: cheaper than another launch.
const ROUND_INSIDE: usize = 2;
/// Vectors that tensor-core kernels load.
const VECTOR: usize = 16;
/// Elements between rows of a tile whose offsets take 32 bits.
const MAX_ROW_STRIDE: i64 = 1 << 22;
/// What parts of the workspace are aligned to.
const ALIGN: usize = 256;

/// Places of kernels in a plan.
const SIMT: usize = 0;
const ROUND: usize = 1;
const FAST: usize = 2;
const ADD_PARTS: usize = 3;
const ROUND_CODES: usize = 4;

/// Places of numbers in a plan's tuning.
const PATH: usize = 0;
const SHARED: usize = 1;
const HEIGHT: usize = 2;
const BLOCKS: usize = 3;
const SPLITS: usize = 4;
const SPLIT_INNER: usize = 5;
const PARTS_AT: usize = 6;

/// Values of `PATH`: which kernel `FAST` is.
const NONE: u32 = 0;
const GEMV: u32 = 1;
const TILES: u32 = 2;
/// Tiles whose activations are codes.
const CODES: u32 = 3;

/// `Gemv` of `gemm_gemv.cuh`: channels of a tile, rows, warps and slots of a ring.
mod gemv {
    pub(super) const CHANNELS: usize = 16;
    pub(super) const MAX_ROWS: usize = 16;
    pub(super) const WARPS: usize = 8;
    pub(super) const SLOTS: usize = 4;
}

/// `SmallTile` and `LargeTile` of `gemm_mma.cuh`.
mod tile {
    pub(super) const SMALL_ROWS: usize = 64;
    pub(super) const LARGE_ROWS: usize = 128;
    pub(super) const CHANNELS: usize = 128;
    pub(super) const INNER: usize = 64;
    pub(super) const SMALL_STAGES: usize = 4;
    pub(super) const LARGE_STAGES: usize = 3;
    /// Least k of a part, and most parts.
    pub(super) const LEAST_SPLIT: usize = 256;
    pub(super) const MAX_SPLITS: usize = 16;
}

/// `Wide` of `gemm_wide.cuh`.
mod wide {
    /// The only one that has the warp-group unit as it is used.
    pub(super) const CAPABILITY: u32 = 90;
    pub(super) const ROWS: usize = 256;
    /// Rows from which it is worth it: a block takes 256.
    pub(super) const LEAST_ROWS: usize = 192;
    const STAGES: usize = 4;
    /// `CodesTile` of `gemm_codes.cuh`: its shared memory, which begins at a multiple of 1024 bytes.
    pub(super) const CODES_SHARED: usize = STAGES * (ROWS + super::tile::CHANNELS) * 128 + 1024;

    pub(super) fn shared(bits: usize) -> usize {
        let code_row = match bits {
            16 => 128,
            8 => 80,
            _ => 48,
        };
        STAGES * (ROWS * 128 + super::tile::CHANNELS * code_row).next_multiple_of(1024) + 1024
    }
}

pub(super) fn choose(enqueue: Enqueue, shape: &Shape, modules: &Modules) -> Result<Choice> {
    check(shape)?;
    let suffix = suffix(shape.weight)?;
    let mut choice = Choice {
        determinism: Determinism::Repeatable,
        ..Choice::new(enqueue, &[modules.function("gemm", &format!("simt_{suffix}"), 0)?])
    };
    if shape.rounded {
        choice.kernels[ROUND] = Some(modules.function("gemm", "round_operand", 0)?);
        choice.workspace = (shape.rows * shape.inner * shape.input.bits() / 8).next_multiple_of(ALIGN);
    }
    if tensor_cores(shape) {
        // Products of bf16 are exact, their sums are f32 that the unit truncates; a few bits below are allowed for the alignment of addends.
        choice.accumulation = Accumulation::TensorCoreTrunc { bits: 22, promote: 128 };
        if !gemv(&mut choice, shape, suffix, modules)? {
            tiles(&mut choice, shape, suffix, modules)?;
        }
        if blas::wanted()? {
            library(&mut choice, shape, modules)?;
        }
    }
    Ok(choice)
}

/// Takes cuBLASLt beside the kernels, for the runs whose matrices are whole and contiguous. Its tensor cores add up as those of the kernels do.
fn library(choice: &mut Choice, shape: &Shape, modules: &Modules) -> Result<()> {
    let dense = Dense { rows: shape.rows, inner: shape.inner, outer: shape.outer, output: shape.output };
    let plain = shape.weight == WeightFormat::Plain(DType::BF16) && !shape.rounded && !shape.sorted;
    if plain && shape.matrices == 1 && dense.aligned() {
        choice.blas = Matmul::new(modules, dense)?.map(Arc::new);
        let bytes = choice.blas.as_ref().map_or(0, |product| product.workspace);
        choice.workspace = choice.workspace.max(bytes.next_multiple_of(blas::WORKSPACE_ALIGN));
    }
    Ok(())
}

/// Whether a run is the product that cuBLASLt was asked about. It takes all rows, whatever the hint, so that the hint changes no bit.
fn whole(product: &Product, dense: &Dense) -> bool {
    let strides =
        [product.a_row, product.w_row, product.y_row] == [dense.inner, dense.inner, dense.outer].map(|n| n as i64);
    let plain = product.a_col == 1 && product.w_col == 1 && product.alpha == 1.0;
    let addresses = [product.a.0, product.w.data.0, product.y.0];
    strides && plain && Matmul::takes(addresses)
}

/// Refuses what no kernel takes.
fn check(shape: &Shape) -> Result<()> {
    fits(&[shape.rows, shape.inner, shape.outer, shape.matrices])?;
    let tiles = shape.rows.div_ceil(16) + if shape.sorted { shape.matrices } else { 0 };
    let groups = shape.rows.saturating_mul(shape.inner.div_ceil(ROUND_CHANNELS));
    fits(&[tiles.saturating_mul(shape.outer.div_ceil(16)), groups])?;
    if !shape.sorted && shape.matrices > MAX_GRID_Y {
        let found = shape.matrices;
        return Err(Error::unsupported(format!(
            "{found} products at once were asked, kernels take up to {MAX_GRID_Y}"
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
        WeightFormat::Plain(_) => None,
        WeightFormat::Blocked { data, scale, block } => {
            let blocks = block.0.is_power_of_two() && block.1.is_power_of_two();
            match data {
                _ if !blocks || !matches!(scale, DType::E8M0 | DType::F32) => None,
                DType::F8E4M3 => Some("f8"),
                DType::F4E2M1X2 => Some("f4"),
                _ => None,
            }
        }
    };
    known.ok_or_else(|| {
        Error::unsupported(format!(
            "the cuda backend reads F32 and BF16 weights, and F8E4M3 and F4E2M1X2 codes with E8M0 or F32 scales for blocks of powers of two, not {format}"
        ))
    })
}

/// Whether tensor cores may do it: bf16 operands, power-of-two scales, rows of whole vectors.
fn tensor_cores(shape: &Shape) -> bool {
    let format = match shape.weight {
        WeightFormat::Plain(dtype) => dtype == DType::BF16,
        WeightFormat::Blocked { data, scale, block } => {
            let columns = if data == DType::F8E4M3 { 128 } else { 32 };
            scale == DType::E8M0 && block.1 == columns
        }
    };
    let vector = VECTOR * 8 / shape.weight.dtype().bits();
    shape.input == DType::BF16 && format && shape.inner > 0 && shape.inner % vector.max(8) == 0
}

/// Takes the kernel for few rows, if the rows fit into shared memory beside the rings of weights.
fn gemv(choice: &mut Choice, shape: &Shape, suffix: &str, modules: &Modules) -> Result<bool> {
    if shape.sorted || shape.rows > gemv::MAX_ROWS {
        return Ok(false);
    }
    let bits = shape.weight.dtype().bits();
    let (parts, scaled) = (if bits == 4 { 1 } else { 2 }, shape.weight.is_quantised());
    let chunk = parts * 4 * VECTOR * 8 / bits;
    let ring = gemv::WARPS * gemv::SLOTS * (parts * 1024 + if scaled { 128 } else { 0 });
    let row = (shape.inner.next_multiple_of(chunk) * 2).next_multiple_of(128) + if scaled { 16 } else { 64 };
    let shared = ring + shape.rows * row;
    let eights = shape.rows.div_ceil(8);
    let fixed = 2 * gemv::WARPS * eights * 128 * 4;
    if shared + fixed > modules.shared as usize {
        return Ok(false);
    }
    let name = format!("gemv{}_{suffix}", 8 * eights);
    choice.kernels[FAST] = Some(modules.function("gemm", &name, shared as u32)?);
    // A multiprocessor of Hopper has 228 KiB, of which a block takes 1 KiB for itself.
    let resident = if 2 * (shared + fixed + 1024) <= modules.shared as usize + 1024 { 2 } else { 1 };
    let most = (modules.multiprocessors as usize * resident / shape.matrices.max(1)).max(1);
    let tiles = shape.outer.div_ceil(gemv::CHANNELS);
    // As many as finish together.
    let blocks = tiles.div_ceil(tiles.div_ceil(most).max(1));
    choice.tuning[PATH] = GEMV;
    choice.tuning[SHARED] = shared as u32;
    choice.tuning[BLOCKS] = blocks as u32;
    Ok(true)
}

/// Whether a product of many rows multiplies codes by codes: those of rounded activations by weights of E4M3 with a scale for 128 x 128.
fn codes(shape: &Shape, modules: &Modules) -> bool {
    let blocks =
        WeightFormat::Blocked { data: DType::F8E4M3, scale: DType::E8M0, block: (tile::CHANNELS, ROUND_CHANNELS) };
    let many = shape.rows >= wide::LEAST_ROWS && shape.inner % ROUND_CHANNELS == 0;
    many && shape.rounded && shape.weight == blocks && !shape.sorted && modules.capability == wide::CAPABILITY
}

/// Takes a kernel for tiles of many rows.
fn tiles(choice: &mut Choice, shape: &Shape, suffix: &str, modules: &Modules) -> Result<()> {
    let bits = shape.weight.dtype().bits();
    let stage = |height: usize| tile::INNER * (height * 2 + tile::CHANNELS * bits / 8);
    let codes = codes(shape, modules);
    let (name, height, shared) = match shape.rows {
        _ if codes => ("wide_codes", wide::ROWS, wide::CODES_SHARED),
        rows if shape.sorted || rows <= tile::SMALL_ROWS => {
            ("small", tile::SMALL_ROWS, tile::SMALL_STAGES * stage(tile::SMALL_ROWS))
        }
        rows if rows >= wide::LEAST_ROWS && modules.capability == wide::CAPABILITY => {
            ("wide", wide::ROWS, wide::shared(bits))
        }
        _ => ("large", tile::LARGE_ROWS, tile::LARGE_STAGES * stage(tile::LARGE_ROWS)),
    };
    if codes {
        choice.kernels[FAST] = Some(modules.function("gemm", name, shared as u32)?);
        choice.kernels[ROUND_CODES] = Some(modules.function("gemm", "round_codes", 0)?);
        // What Hopper's unit keeps of sums of E4M3 products; each 128 are added in f32.
        choice.accumulation = Accumulation::TensorCoreTrunc { bits: 13, promote: 128 };
    } else {
        choice.kernels[FAST] = Some(modules.function("gemm", &format!("{name}_{suffix}"), shared as u32)?);
    }
    choice.tuning[PATH] = if codes { CODES } else { TILES };
    choice.tuning[SHARED] = shared as u32;
    choice.tuning[HEIGHT] = height as u32;
    choice.tuning[SPLITS] = 1;
    choice.tuning[SPLIT_INNER] = shape.inner as u32;
    let blocks = shape.rows.div_ceil(height) * shape.outer.div_ceil(tile::CHANNELS) * shape.matrices;
    let processors = modules.multiprocessors as usize;
    if shape.sorted || blocks == 0 || blocks >= processors {
        return Ok(());
    }
    let splits = (2 * processors / blocks).min(shape.inner / tile::LEAST_SPLIT).min(tile::MAX_SPLITS);
    if splits < 2 {
        return Ok(());
    }
    let step = if codes { ROUND_CHANNELS } else { tile::INNER };
    let each = shape.inner.div_ceil(splits).next_multiple_of(step);
    let splits = shape.inner.div_ceil(each);
    let parts = splits * shape.matrices * shape.rows * shape.outer * 4;
    fits(&[choice.workspace])?;
    choice.kernels[ADD_PARTS] = Some(modules.function("gemm", "add_parts_of_k", 0)?);
    choice.tuning[SPLITS] = splits as u32;
    choice.tuning[SPLIT_INNER] = each as u32;
    choice.tuning[PARTS_AT] = choice.workspace as u32;
    choice.workspace += parts;
    Ok(())
}

/// Launches the kernels that take the product with these addresses and strides.
pub(super) fn launch(plan: &CudaPlan, product: &Product, args: &Args<'_>, queue: &Queue<'_>) -> Result<()> {
    if let Some(blas) = plan.blas().filter(|blas| whole(product, &blas.dense)) {
        let addresses = [product.a.0, product.w.data.0, product.y.0];
        // SAFETY: `whole` says so; whoever runs the plan keeps the memory alive.
        return unsafe { blas.run(addresses, product.accumulate != 0, args.workspace, queue) };
    }
    let (tuning, fast) = (plan.tuning(), vectors(product));
    let path = if fast { tuning[PATH] } else { NONE };
    let inside = path == GEMV && product.rows as usize <= ROUND_INSIDE;
    let mut product = *product;
    if product.rounded != 0 && !inside {
        let codes = path == CODES;
        round(plan, &mut product, Ptr(args.workspace.addr), codes, queue)?;
    }
    match path {
        GEMV => {
            let grid = [tuning[BLOCKS], product.matrices as u32, 1];
            queue.launch(plan.kernel(FAST)?, grid, THREADS, tuning[SHARED], &product)
        }
        TILES | CODES => {
            product.splits = tuning[SPLITS] as i32;
            product.split_inner = tuning[SPLIT_INNER] as i32;
            product.parts = Ptr(args.workspace.addr + u64::from(tuning[PARTS_AT]));
            let (grid, product) = grid(&product, tuning[HEIGHT] as usize, tile::CHANNELS);
            queue.launch(plan.kernel(FAST)?, grid, THREADS, tuning[SHARED], &product)?;
            match product.splits {
                1 => Ok(()),
                _ => add_parts(plan.kernel(ADD_PARTS)?, &product, queue),
            }
        }
        _ => {
            let (grid, product) = grid(&product, SIMT_TILE, SIMT_TILE);
            queue.launch(plan.kernel(SIMT)?, grid, THREADS, 0, &product)
        }
    }
}

/// Whether every row begins at a vector and is contiguous.
fn vectors(product: &Product) -> bool {
    let bits = if product.w.dtype == DType::BF16 as i32 {
        16
    } else if product.w.dtype == DType::F8E4M3 as i32 {
        8
    } else {
        4
    };
    let whole = |stride: i64, bits: i64| stride * bits % (8 * VECTOR as i64) == 0;
    let near = |stride: i64| (0..MAX_ROW_STRIDE).contains(&stride);
    let addresses = (product.a.0 | product.w.data.0) % VECTOR as u64 == 0;
    addresses
        && product.a_col == 1
        && product.w_col == 1
        && near(product.a_row)
        && near(product.w_row)
        && [product.a_row, product.a_batch].iter().all(|&stride| whole(stride, 16))
        && [product.w_row, product.w_batch].iter().all(|&stride| whole(stride, bits))
}

/// Rounds the activations of a product into the workspace: to numbers of their own type, or to codes and their scales, which take less.
fn round(plan: &CudaPlan, product: &mut Product, to: Ptr, codes: bool, queue: &Queue<'_>) -> Result<()> {
    let elements = product.rows as usize * product.inner as usize;
    let scales = Ptr(to.0 + elements.next_multiple_of(ALIGN) as u64);
    let rounding = Rounding {
        a: product.a,
        to,
        scales,
        a_row: product.a_row,
        dtype: product.a_dtype,
        rows: product.rows,
        inner: product.inner,
        reserved: 0,
    };
    let kernel = plan.kernel(if codes { ROUND_CODES } else { ROUND })?;
    let blocks = (elements / ROUND_CHANNELS).div_ceil(ROUND_GROUPS);
    queue.launch(kernel, [blocks as u32, 1, 1], THREADS, 0, &rounding)?;
    (product.a, product.a_row, product.rounded) = (to, i64::from(product.inner), 0);
    product.a_scales = if codes { scales } else { Ptr(0) };
    Ok(())
}

/// Adds the parts of k that blocks of their own have summed.
fn add_parts(kernel: Function, product: &Product, queue: &Queue<'_>) -> Result<()> {
    let results = product.rows as usize * product.outer as usize * product.matrices as usize;
    queue.launch(kernel, [results.div_ceil(THREADS as usize) as u32, 1, 1], THREADS, 0, product)
}

/// The grid of tiles of `height` rows and `width` channels, tiles of one weight next to each other.
fn grid(product: &Product, height: usize, width: usize) -> ([u32; 3], Product) {
    let (rows, matrices) = (product.rows as usize, product.matrices as usize);
    // Every group may end inside a tile.
    let sorted = product.counts.0 != 0;
    let row_tiles = rows.div_ceil(height) + if sorted && rows > 0 { matrices } else { 0 };
    let channel_tiles = (product.outer as usize).div_ceil(width);
    let matrices = if sorted { 1 } else { matrices };
    let grid = [(row_tiles * channel_tiles) as u32, matrices as u32, product.splits as u32];
    (grid, Product { row_tiles: row_tiles as i32, ..*product })
}
