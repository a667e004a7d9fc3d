//! Vector kernels behind one table of functions, chosen once for this host.
//!
//! `portable` is plain Rust in fixed lanes; `x86` compiles the same functions for AVX2 and adds intrinsics where the compiler does not
//! get there by itself. Both sum in the same order. The feature `portable` forces the first.

pub(crate) mod dots;
mod portable;
mod weight;
#[cfg(target_arch = "x86_64")]
mod x86;

pub(crate) use weight::{Code, Scales, WeightRows};

use std::sync::OnceLock;

/// Lanes of every sum: lane `j` takes the elements `k` with `k % LANES == j`, in ascending order.
pub(crate) const LANES: usize = 16;

/// Rows of activations that a tile of [`Kernels::tile`] holds.
pub(crate) const TILE_ROWS: usize = 6;

/// Output channels of a tile.
pub(crate) const TILE_OUTS: usize = 16;

/// Output channels that [`Kernels::dots`] does together.
pub(crate) const DOTS: usize = 4;

/// The functions. Those that take pointers need them valid for the length given, at any alignment.
pub(crate) struct Kernels {
    /// What they were compiled for.
    pub name: &'static str,
    /// Sum of products, in the canonical order.
    pub dot: fn(&[f32], &[f32]) -> f32,
    /// `y += alpha * x`, element by element.
    pub axpy: fn(f32, &[f32], &mut [f32]),
    /// BF16 to F32.
    pub widen: unsafe fn(*const u16, *mut f32, usize),
    /// F32 to BF16, nearest even.
    pub narrow: unsafe fn(*const f32, *mut u16, usize),
    /// `e^x` in place, within 2 units in the last place.
    pub exp: fn(&mut [f32]),
    /// Rounds groups of the given length to the E4M3 grid and back, in place (deepseek-v4.md 2.2).
    pub qdq_e4m3: fn(&mut [f32], usize),
    /// The same for the E2M1 grid.
    pub qdq_e2m1: fn(&mut [f32], usize),
    /// `g = silu(min(g, limit)) * clamp(u, -limit, limit) * weight`, with g first, then u, limit and weight.
    pub swiglu: fn(&mut [f32], &[f32], f32, f32),
    /// Products of one row of activations (F32, padded with zeros to whole [`LANES`], in the order of `Code::place`) with the given rows of a weight, without `Code::post`.
    pub dots: unsafe fn(&WeightRows, &[usize; DOTS], *const f32) -> [f32; DOTS],
    /// Widens [`TILE_OUTS`] rows of a weight from the given one on; those past the given end become zeros. Element `LANES * i + j` of
    /// output `o` goes to `[j][i][o]`.
    pub panel: unsafe fn(&WeightRows, std::ops::Range<usize>, *mut f32),
    /// Adds the products of one lane to a tile of results `[TILE_ROWS][TILE_OUTS]`, or sets them: activations `[steps][TILE_ROWS]`,
    /// weights `[steps][TILE_OUTS]`. `(steps, activations, weights, tile, set)`.
    pub tile: unsafe fn(usize, *const f32, *const f32, *mut f32, bool),
}

/// The best kernels for this host.
pub(crate) fn kernels() -> &'static Kernels {
    static CHOSEN: OnceLock<&'static Kernels> = OnceLock::new();
    CHOSEN.get_or_init(choose)
}

#[cfg(target_arch = "x86_64")]
fn choose() -> &'static Kernels {
    let forced = cfg!(feature = "portable");
    if forced { &portable::KERNELS } else { x86::kernels().unwrap_or(&portable::KERNELS) }
}

#[cfg(not(target_arch = "x86_64"))]
fn choose() -> &'static Kernels {
    &portable::KERNELS
}
