//! A group of one: sums are what they were, and the whole is the only part.

use omnihal::{Collective, Error, Mem, Result, Stream, View};

/// The collective of a program that runs on a single device. It works over the streams of any backend.
#[derive(Clone, Copy, Debug, Default)]
pub struct SoloCollective;

impl Collective for SoloCollective {
    fn rank(&self) -> usize {
        0
    }

    fn size(&self) -> usize {
        1
    }

    unsafe fn all_reduce(&self, _stream: &dyn Stream, _data: &View) -> Result<()> {
        Ok(())
    }

    unsafe fn all_gather(&self, stream: &dyn Stream, part: &View, whole: &View) -> Result<()> {
        if part.shape != whole.shape || part.dtype != whole.dtype || !part.is_contiguous() || !whole.is_contiguous() {
            return Err(Error::argument(format!(
                "a group of one gathers {} {} into {} {}, expected two contiguous tensors alike",
                part.dtype, part.shape, whole.dtype, whole.shape
            )));
        }
        // SAFETY: the caller keeps both tensors alive and apart.
        unsafe { stream.copy(bytes_of(whole)?, bytes_of(part)?) }
    }
}

/// The memory of a contiguous tensor.
fn bytes_of(view: &View) -> Result<Mem> {
    view.mem.slice(view.offset, view.dtype.bytes(view.elements()))
}
