//! Numbers of codes, as tables on the device: made when a context is first asked for them, from the formats' definitions (OCP 8-bit and microscaling formats).

use super::calls::Calls;
use super::tensor::Tensor;
use super::words::F32;
use crate::context::Context;
use crate::sys::call::Acl;
use crate::sys::constants::{aclrtMemMallocPolicy, aclrtMemcpyKind};
use omnihal::Result;
use std::ffi::c_void;
use std::sync::{Mutex, PoisonError};

/// A table of 256 rows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Table {
    /// Value of an E4M3 code.
    F8,
    /// Value of an E8M0 scale.
    E8M0,
    /// Values of the two E2M1 codes in a byte, low nibble first.
    F4,
}

const ALL: [Table; 3] = [Table::F8, Table::E8M0, Table::F4];
const CODES: usize = 256;

fn f8(code: u8) -> f32 {
    let (sign, exponent, fraction) = (code >> 7, (code >> 3) & 15, code & 7);
    let size = match (exponent, fraction) {
        (15, 7) => f32::NAN,
        (0, _) => fraction as f32 * 2f32.powi(-9),
        _ => (8 + fraction) as f32 * 2f32.powi(exponent as i32 - 10),
    };
    if sign == 1 { -size } else { size }
}

fn e8m0(code: u8) -> f32 {
    match code {
        255 => f32::NAN,
        0 => f32::from_bits(1 << 22),
        _ => f32::from_bits((code as u32) << 23),
    }
}

fn f4(code: u8) -> f32 {
    let size = [0.0, 0.5, 1.0, 1.5, 2.0, 3.0, 4.0, 6.0][(code & 7) as usize];
    if code & 8 == 8 { -size } else { size }
}

impl Table {
    fn columns(self) -> usize {
        if self == Table::F4 { 2 } else { 1 }
    }

    fn values(self) -> Vec<f32> {
        let rows = 0..=255u8;
        match self {
            Table::F8 => rows.map(f8).collect(),
            Table::E8M0 => rows.map(e8m0).collect(),
            Table::F4 => rows.flat_map(|byte| [f4(byte & 15), f4(byte >> 4)]).collect(),
        }
    }
}

/// The tables of a context, by address, 0 where there is none. The context frees them: memory that held it would keep it alive.
#[derive(Debug, Default)]
pub(crate) struct Tables(Mutex<[u64; 3]>);

impl Tables {
    /// Makes a table if it is not there yet. Waits for its copy, so this must not run within a capture.
    pub(crate) fn load(&self, context: &Context, table: Table) -> Result<u64> {
        let place = ALL.iter().position(|one| *one == table).unwrap_or(0);
        let mut made = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if made[place] == 0 {
            made[place] = upload(context, &table.values())?;
        }
        Ok(made[place])
    }

    /// Frees all of them.
    pub(crate) fn free(&self, acl: &Acl) {
        for at in self.0.lock().unwrap_or_else(PoisonError::into_inner).iter_mut().filter(|at| **at != 0) {
            // SAFETY: from `aclrtMalloc`; nothing of the context is left that could read it. An error has no one to go to.
            let _ = unsafe { acl.aclrtFree(std::mem::take(at) as *mut c_void) };
        }
    }
}

fn upload(context: &Context, values: &[f32]) -> Result<u64> {
    let acl = context.enter()?;
    let (bytes, mut at) = (size_of_val(values), std::ptr::null_mut());
    let policy = aclrtMemMallocPolicy::ACL_MEM_MALLOC_NORMAL_ONLY;
    // SAFETY: a place to write to.
    context.check("aclrtMalloc", unsafe { acl.aclrtMalloc(&mut at, bytes, policy) }?)?;
    let kind = aclrtMemcpyKind::ACL_MEMCPY_HOST_TO_DEVICE;
    // SAFETY: both ranges have this many bytes; the call returns after the copy.
    let copied = unsafe { acl.aclrtMemcpy(at, bytes, values.as_ptr().cast(), bytes, kind) };
    match copied.and_then(|code| context.check("aclrtMemcpy", code)) {
        Ok(()) => Ok(at as u64),
        Err(error) => {
            // SAFETY: allocated above, freed once.
            let _ = unsafe { acl.aclrtFree(at) };
            Err(error)
        }
    }
}

impl Calls<'_> {
    /// A table as `[256, columns]`.
    pub(crate) fn table(&mut self, table: Table) -> Result<Tensor> {
        self.wanted(table);
        let addr = match self.context().cloned() {
            Some(context) => context.tables.load(&context, table)?,
            None => 0,
        };
        Ok(Tensor::at(addr, F32, &[CODES, table.columns()]))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn codes_have_the_values_of_their_formats() {
        assert_eq!(
            (f8(0x7e), f8(0xfe), f8(0x01), f8(0x08), f8(0x80).is_sign_negative()),
            (448.0, -448.0, 2f32.powi(-9), 2f32.powi(-6), true)
        );
        assert!(f8(0x7f).is_nan() && f8(0xff).is_nan() && e8m0(255).is_nan());
        assert_eq!((e8m0(127), e8m0(0), e8m0(254)), (1.0, 2f32.powi(-127), 2f32.powi(127)));
        assert_eq!(Table::F4.values()[2 * 0x9f..][..2], [-6.0, -0.5]);
    }
}
