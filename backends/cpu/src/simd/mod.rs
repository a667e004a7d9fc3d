//! Vector kernels behind one table of functions, chosen once for this host.
//!
//! `portable` is plain Rust in fixed lanes; `x86` compiles the same functions for AVX2 and adds intrinsics where the compiler does not
//! get there by itself. Both sum in the same order. The feature `portable` forces the first.

pub(crate) mod dots;
mod portable;
#[cfg(target_arch = "x86_64")]
mod x86;

use std::sync::OnceLock;

/// Lanes of every sum: lane `j` takes the elements `k` with `k % LANES == j`, in ascending order.
pub(crate) const LANES: usize = 16;

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
