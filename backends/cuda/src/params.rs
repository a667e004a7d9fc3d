//! Kernel parameters. A kernel takes one structure by value; it is declared once, here or beside its launch in `ops/<family>.rs`, and the headers `kernels/params*.h` are made from
//! that declaration (`cargo run -p omnihal-cuda --example params`).

use omnihal::{DType, MAX_RANK, View};
use std::fmt::Write;

/// A device address.
#[repr(transparent)]
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Ptr(pub(crate) u64);

/// Marks structures that a kernel may take.
///
/// # Safety
/// The type must be `repr(C)`, made of plain numbers and addresses, and printed into a `kernels/params*.h` under its own name.
pub(crate) unsafe trait Params: Copy + 'static {}

/// One structure, for printing.
pub(crate) struct Struct {
    pub name: &'static str,
    pub fields: &'static [(&'static str, &'static str)],
    pub size: usize,
}

/// Declares parameter structures: `Name { field: type, .. }` with types `Ptr`, `i32`, `u32`, `i64`, `u64`, `f32` or another parameter structure. Defines `STRUCTS` too.
macro_rules! params {
    ($($(#[$doc:meta])* $name:ident { $($(#[$field_doc:meta])* $field:ident: $ty:ident,)* })*) => {
        $(
            $(#[$doc])*
            #[repr(C)]
            #[derive(Clone, Copy, Debug)]
            pub(crate) struct $name { $($(#[$field_doc])* pub(crate) $field: $ty,)* }
            // SAFETY: repr(C), fields of the types above, printed through `STRUCTS`.
            unsafe impl $crate::params::Params for $name {}
        )*
        /// What the header of this module says.
        pub(crate) const STRUCTS: &[$crate::params::Struct] = &[$($crate::params::Struct {
            name: stringify!($name),
            fields: &[$((stringify!($ty), stringify!($field)),)*],
            size: std::mem::size_of::<$name>(),
        },)*];
    };
}
pub(crate) use params;

params! {
    /// Vectors at `data + i * outer + j * inner` elements: rows, and heads in a row.
    Rows {
        data: Ptr,
        outer: i64,
        inner: i64,
        dtype: i32,
        reserved: i32,
    }
    /// A weight `[.., rows, cols]`, contiguous. `scale` is null for plain numbers; `block_rows x block_cols` codes share a scale.
    Weight {
        data: Ptr,
        scale: Ptr,
        dtype: i32,
        scale_dtype: i32,
        block_rows: i32,
        block_cols: i32,
    }
    /// A tensor of any strides, padded to six axes in front, strides in elements.
    Strided {
        data: Ptr,
        dtype: i32,
        reserved: i32,
        s0: i64,
        s1: i64,
        s2: i64,
        s3: i64,
        s4: i64,
        s5: i64,
    }
    /// Dimensions, padded to six axes in front with 1.
    Dims {
        d0: i64,
        d1: i64,
        d2: i64,
        d3: i64,
        d4: i64,
        d5: i64,
    }
}

impl From<&View> for Ptr {
    fn from(view: &View) -> Ptr {
        Ptr(view.addr())
    }
}

impl Ptr {
    /// The address of an argument, or null if it is not there.
    pub(crate) fn of(view: Option<&View>) -> Ptr {
        view.map_or(Ptr(0), Ptr::from)
    }
}

impl Rows {
    /// `[rows, width]` or `[rows, heads, width]` with a contiguous last axis.
    pub(crate) fn new(view: &View) -> Rows {
        let (outer, inner) = match view.shape.rank() {
            0 | 1 => (0, 0),
            2 => (view.strides[0], 0),
            rank => (view.strides[rank - 3], view.strides[rank - 2]),
        };
        Rows { data: view.into(), outer: outer as i64, inner: inner as i64, dtype: view.dtype as i32, reserved: 0 }
    }

    /// An argument that is not there.
    pub(crate) fn absent() -> Rows {
        Rows { data: Ptr(0), outer: 0, inner: 0, dtype: DType::F32 as i32, reserved: 0 }
    }

    /// As [`Rows::new`], or absent.
    pub(crate) fn of(view: Option<&View>) -> Rows {
        view.map_or_else(Rows::absent, Rows::new)
    }
}

impl Weight {
    /// A weight argument.
    pub(crate) fn new(view: &View) -> Weight {
        let (scale, scale_dtype, block) = match &view.quant {
            Some(q) => (Ptr(q.mem.addr), q.dtype, q.block),
            None => (Ptr(0), DType::F32, (1, 1)),
        };
        Weight {
            data: view.into(),
            scale,
            dtype: view.dtype as i32,
            scale_dtype: scale_dtype as i32,
            block_rows: block.0 as i32,
            block_cols: block.1 as i32,
        }
    }
}

impl Strided {
    /// Any view. Axes of length 1 get stride 0, so that a kernel may index an operand by the result's coordinates.
    pub(crate) fn new(view: &View) -> Strided {
        let mut s = [0i64; MAX_RANK];
        let rank = view.shape.rank();
        for axis in 0..rank {
            if view.shape[axis] != 1 {
                s[MAX_RANK - rank + axis] = view.strides[axis] as i64;
            }
        }
        let [s0, s1, s2, s3, s4, s5] = s;
        Strided { data: view.into(), dtype: view.dtype as i32, reserved: 0, s0, s1, s2, s3, s4, s5 }
    }

    /// As [`Strided::new`], or null.
    pub(crate) fn of(view: Option<&View>) -> Strided {
        let absent =
            Strided { data: Ptr(0), dtype: DType::F32 as i32, reserved: 0, s0: 0, s1: 0, s2: 0, s3: 0, s4: 0, s5: 0 };
        view.map_or(absent, Strided::new)
    }
}

impl Dims {
    /// The dimensions of a shape.
    pub(crate) fn new(dims: &[usize]) -> Dims {
        let mut d = [1i64; MAX_RANK];
        for (to, &from) in d[MAX_RANK - dims.len()..].iter_mut().zip(dims) {
            *to = from as i64;
        }
        let [d0, d1, d2, d3, d4, d5] = d;
        Dims { d0, d1, d2, d3, d4, d5 }
    }
}

/// The text of a `kernels/params*.h`.
pub(crate) fn header(structs: &[Struct]) -> String {
    let mut text = String::from(
        "// Kernel parameters. Made by `cargo run -p omnihal-cuda --example params` from the declarations in src/; do not edit.\n#pragma once\n",
    );
    for s in structs {
        // Writing to a string cannot fail.
        let _ = write!(text, "\nstruct {} {{\n", s.name);
        for (ty, field) in s.fields {
            let _ = writeln!(text, "    {ty} {field};");
        }
        let _ = writeln!(
            text,
            "}};\nstatic_assert(sizeof({}) == {}, \"{} differs from the host's\");",
            s.name, s.size, s.name
        );
    }
    text
}
