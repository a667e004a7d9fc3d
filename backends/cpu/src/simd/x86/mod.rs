//! Kernels for x86-64 with AVX2, FMA and F16C.

mod product;
mod widen;

use super::Kernels;
use super::portable::{self, Fma};

static AVX2: Kernels = Kernels {
    name: "avx2",
    dot,
    axpy,
    widen,
    narrow,
    exp,
    qdq_e4m3,
    qdq_e2m1,
    swiglu,
    dots: product::dots,
    panel: product::panel,
    tile: product::tile,
};

/// The kernels, if this host can run them.
pub(super) fn kernels() -> Option<&'static Kernels> {
    let able = is_x86_feature_detected!("avx2") && is_x86_feature_detected!("fma") && is_x86_feature_detected!("f16c");
    able.then_some(&AVX2)
}

/// One instruction inside functions that enable `fma`.
struct Fused;

impl Fma for Fused {
    #[inline(always)]
    fn fma(a: f32, b: f32, c: f32) -> f32 {
        a.mul_add(b, c)
    }
}

/// Compiles a portable kernel for AVX2 and wraps it as an ordinary function.
macro_rules! compiled {
    ($($name:ident($($arg:ident: $ty:ty),*) $(-> $ret:ty)? = $body:expr;)*) => {$(
        fn $name($($arg: $ty),*) $(-> $ret)? {
            #[target_feature(enable = "avx2,fma,f16c")]
            fn inner($($arg: $ty),*) $(-> $ret)? {
                $body
            }
            // SAFETY: only the table `AVX2` names this function, and `kernels` gives it out after asking the host.
            unsafe { inner($($arg),*) }
        }
    )*};
}

compiled! {
    dot(a: &[f32], b: &[f32]) -> f32 = portable::dot::<Fused>(a, b);
    axpy(alpha: f32, x: &[f32], y: &mut [f32]) = portable::axpy::<Fused>(alpha, x, y);
    exp(values: &mut [f32]) = portable::exp_all::<Fused>(values);
    swiglu(gate: &mut [f32], up: &[f32], limit: f32, weight: f32) = portable::swiglu::<Fused>(gate, up, limit, weight);
    qdq_e4m3(values: &mut [f32], group: usize) = portable::qdq_e4m3(values, group);
    qdq_e2m1(values: &mut [f32], group: usize) = portable::qdq_e2m1(values, group);
}

#[target_feature(enable = "avx2,fma,f16c")]
unsafe fn widen(src: *const u16, dst: *mut f32, len: usize) {
    // SAFETY: passed on to the caller.
    unsafe { portable::widen(src, dst, len) }
}

#[target_feature(enable = "avx2,fma,f16c")]
unsafe fn narrow(src: *const f32, dst: *mut u16, len: usize) {
    // SAFETY: passed on to the caller.
    unsafe { portable::narrow(src, dst, len) }
}
