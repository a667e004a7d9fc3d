//! Eight lanes of f32.

use super::LANES;

/// A vector of [`LANES`] numbers.
///
/// An implementation for some instruction set may only be used inside functions that are compiled for it.
pub(super) trait Vector: Copy {
    /// Multiply-adds round once.
    const FUSED: bool;

    /// All lanes 0.
    fn zero() -> Self;
    /// All lanes `x`.
    fn splat(x: f32) -> Self;
    /// Reads [`LANES`] numbers, at any alignment.
    ///
    /// # Safety
    /// They must be valid for reads.
    unsafe fn load(from: *const f32) -> Self;
    /// `self * b + c`.
    fn madd(self, b: Self, c: Self) -> Self;
    /// The numbers.
    fn lanes(self) -> [f32; LANES];
}

/// An array, for any target.
#[derive(Clone, Copy)]
pub(super) struct Plain([f32; LANES]);

impl Vector for Plain {
    // Elsewhere `mul_add` may be a library call.
    const FUSED: bool = cfg!(target_arch = "aarch64");

    #[inline(always)]
    fn zero() -> Self {
        Plain([0.0; LANES])
    }

    #[inline(always)]
    fn splat(x: f32) -> Self {
        Plain([x; LANES])
    }

    #[inline(always)]
    unsafe fn load(from: *const f32) -> Self {
        // SAFETY: passed on to the caller.
        Plain(unsafe { from.cast::<[f32; LANES]>().read_unaligned() })
    }

    #[inline(always)]
    fn madd(self, b: Self, c: Self) -> Self {
        let lane = |l: usize| match Self::FUSED {
            true => self.0[l].mul_add(b.0[l], c.0[l]),
            false => self.0[l] * b.0[l] + c.0[l],
        };
        Plain(std::array::from_fn(lane))
    }

    #[inline(always)]
    fn lanes(self) -> [f32; LANES] {
        self.0
    }
}
