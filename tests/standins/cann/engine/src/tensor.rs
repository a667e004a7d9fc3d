//! Tensors, scalars, arrays and lists: what the base of the operator interface makes. All of it is metadata of the host; handles are numbers.

use crate::abi::constants::{aclDataType, aclFormat};
use crate::books::books;
use crate::fault::{Answer, broken, code, refuse};
use crate::memory::Block;
use crate::soc;
use std::sync::Arc;

/// Bytes of an element, of the types that take whole bytes.
pub fn element_bytes(kind: aclDataType) -> Option<usize> {
    Some(match kind.0 {
        0 | 3 | 8 => 4,
        1 | 6 | 7 | 27 => 2,
        2 | 4 | 12 | 34..=37 => 1,
        9..=11 => 8,
        _ => return None,
    })
}

/// A view over device memory.
#[derive(Clone, Debug)]
pub struct Tensor {
    /// Dimensions.
    pub dims: Vec<usize>,
    /// Distance between neighbours, in elements.
    pub strides: Vec<usize>,
    /// First element, in elements from `addr`.
    pub offset: usize,
    /// Element type.
    pub kind: aclDataType,
    /// Layout of the storage.
    pub format: aclFormat,
    /// Elements of the storage.
    pub storage: usize,
    /// Address of the storage.
    pub addr: u64,
}

/// A scalar, an array or a list.
#[derive(Clone, Debug)]
pub enum Object {
    /// A number with its type: as f64, and as an integer.
    Scalar(aclDataType, f64, i64),
    /// Integers.
    Ints(Vec<i64>),
    /// Floats.
    Floats(Vec<f32>),
    /// Truth values.
    Bools(Vec<bool>),
    /// Tensors.
    List(Vec<u64>),
}

impl Tensor {
    /// Number of elements.
    pub fn elements(&self) -> usize {
        self.dims.iter().product()
    }

    /// Elements from the first to behind the last that the view reaches.
    pub fn extent(&self) -> usize {
        if self.elements() == 0 {
            return 0;
        }
        self.dims.iter().zip(&self.strides).map(|(&n, &s)| (n - 1) * s).sum::<usize>() + 1
    }

    /// True when the elements follow each other without gaps.
    pub fn is_contiguous(&self) -> bool {
        let mut step = 1;
        self.dims.iter().zip(&self.strides).rev().all(|(&n, &s)| {
            let fits = n == 1 || s == step;
            step *= n;
            fits
        })
    }

    /// Bytes of an element.
    pub fn bytes(&self) -> usize {
        element_bytes(self.kind).unwrap_or(1)
    }

    /// The memory that the view reaches: first address and bytes.
    pub fn range(&self) -> (u64, usize) {
        (self.addr + (self.offset * self.bytes()) as u64, self.extent() * self.bytes())
    }

    /// Checks the view against the memory; gives the block that holds it.
    pub fn check(&self, what: &str) -> Answer<Arc<Block>> {
        if !soc::has(self.kind) {
            return refuse(code::NN_PARAM, format!("{what}: element type {} is not on {}", self.kind.0, soc::name()));
        }
        if self.addr % 32 != 0 {
            let words =
                format!("{what}: the address {:#x} of a tensor is not a multiple of 32 (use the offset)", self.addr);
            return broken("tensor alignment", code::NN_PARAM, words);
        }
        if self.offset + self.extent() > self.storage {
            let words = format!(
                "{what}: offset {} and extent {} leave the {} elements of the storage",
                self.offset,
                self.extent(),
                self.storage
            );
            return broken("tensor storage", code::NN_PARAM, words);
        }
        let bytes = self.storage * self.bytes();
        if bytes == 0 {
            return refuse(code::NN_PARAM, format!("{what}: a tensor without elements"));
        }
        books().memory.device(self.addr, bytes, &format!("{what}, storage of a tensor"))
    }
}

/// Looks tensors, scalars and lists up.
pub fn tensor(handle: u64, what: &str) -> Answer<Arc<Tensor>> {
    if handle == 0 {
        return refuse(code::NN_NULL, format!("{what}: a null tensor"));
    }
    let found = books().tensors.get(&handle).cloned();
    match found {
        Some(tensor) => Ok(tensor),
        None => broken("handles", code::NN_PARAM, format!("{what}: tensor {handle:#x} is not alive")),
    }
}

/// A scalar, an array or a list.
pub fn object(handle: u64, what: &str) -> Answer<Arc<Object>> {
    if handle == 0 {
        return refuse(code::NN_NULL, format!("{what}: a null object"));
    }
    let found = books().objects.get(&handle).cloned();
    match found {
        Some(object) => Ok(object),
        None => broken("handles", code::NN_PARAM, format!("{what}: object {handle:#x} is not alive")),
    }
}
