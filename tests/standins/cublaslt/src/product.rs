//! The product itself, run by the stream.

use crate::objects::Layout;
use crate::{BF16, F32};
use std::ffi::{c_int, c_uint, c_void};

/// One enqueued product: `d = alpha a^T b + beta c`, columns first.
pub struct Product {
    pub layouts: [Layout; 3],
    pub addresses: [usize; 4],
    pub alpha: f32,
    pub beta: f32,
    pub workspace: usize,
    pub bytes: usize,
}

fn bf16(at: usize) -> f32 {
    // SAFETY: an element of a matrix that the caller of the library answers for.
    f32::from_bits(u32::from(unsafe { (at as *const u16).read_unaligned() }) << 16)
}

/// Rounded to nearest, ties to even.
fn rounded(x: f32) -> u16 {
    match x.is_nan() {
        true => 0x7fc0,
        false => ((x.to_bits() + 0x7fff + (x.to_bits() >> 16 & 1)) >> 16) as u16,
    }
}

impl Product {
    fn get(&self, column: usize, row: usize) -> f32 {
        let (at, layout) = (self.addresses[2], self.layouts[2]);
        let place = column * layout.leading + row;
        match layout.dtype {
            // SAFETY: as above.
            F32 => unsafe { ((at + 4 * place) as *const f32).read_unaligned() },
            _ => bf16(at + 2 * place),
        }
    }

    fn put(&self, column: usize, row: usize, x: f32) {
        let (at, layout) = (self.addresses[3], self.layouts[2]);
        let place = column * layout.leading + row;
        // SAFETY: as above.
        unsafe {
            match layout.dtype {
                F32 => ((at + 4 * place) as *mut f32).write_unaligned(x),
                _ => ((at + 2 * place) as *mut u16).write_unaligned(rounded(x)),
            }
        }
    }

    fn run(&self) {
        // All of the workspace is used up, so that one that is too short, or somebody else's, is found out.
        // SAFETY: the caller gave so many bytes.
        unsafe { (self.workspace as *mut u8).write_bytes(0x5a, self.bytes) };
        let [a, b, d] = self.layouts;
        for column in 0..d.columns {
            for row in 0..d.rows {
                let of = |k| {
                    bf16(self.addresses[0] + 2 * (row * a.leading + k))
                        * bf16(self.addresses[1] + 2 * (column * b.leading + k))
                };
                let sum: f32 = (0..a.rows).map(of).sum();
                let old = if self.beta == 0.0 { 0.0 } else { self.beta * self.get(column, row) };
                self.put(column, row, self.alpha * sum + old);
            }
        }
    }
}

extern "C" fn run(product: *mut c_void) {
    // SAFETY: made by `enqueue` and never freed, as a graph may run it again.
    unsafe { &*product.cast::<Product>() }.run();
}

/// Gives a product to a stream of the stand-in driver, in whose graphs it is a node.
pub fn enqueue(product: Product, stream: usize) -> Option<()> {
    debug_assert!(product.layouts[0].dtype == BF16);
    type Launch = unsafe extern "C" fn(usize, extern "C" fn(*mut c_void), *mut c_void) -> c_uint;
    // SAFETY: the driver is loaded already, under this name; the function has this type.
    let code = unsafe {
        let driver = libloading::Library::new("libcuda.so.1").ok()?;
        let launch = *driver.get::<Launch>(b"cuLaunchHostFunc\0").ok()?;
        launch(stream, run, Box::into_raw(Box::new(product)).cast())
    };
    (code as c_int == 0).then_some(())
}
