//! Parameters of a call, one after the other, with the rules that hold for all operators.

use super::{Action, Call, Held};
use crate::abi::constants::aclDataType;
use crate::executor::{Arg, kind};
use crate::fault::{Answer, broken, code, refuse};
use crate::tensor::{Object, Tensor, object, tensor};

pub(crate) const F32: i32 = 0;
pub(crate) const F16: i32 = 1;
pub(crate) const I32: i32 = 3;
pub(crate) const I64: i32 = 9;
pub(crate) const BOOL: i32 = 12;
pub(crate) const BF16: i32 = 27;

/// True for a type whose values are computed as f32.
pub(crate) fn is_float(kind: aclDataType) -> bool {
    matches!(kind.0, F32 | F16 | BF16)
}

/// A scalar.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Scalar {
    pub(crate) kind: aclDataType,
    pub(crate) real: f64,
    pub(crate) whole: i64,
}

/// Parameters, in order.
pub(crate) struct Reader<'a> {
    pub(crate) operator: &'a str,
    args: std::slice::Iter<'a, Arg>,
    reads: Vec<Tensor>,
    writes: Vec<Tensor>,
    updates: Vec<Tensor>,
    named: Vec<u64>,
}

impl<'a> Reader<'a> {
    pub(crate) fn new(operator: &'a str, args: &'a [Arg]) -> Self {
        let (reads, writes, updates, named) = (Vec::new(), Vec::new(), Vec::new(), Vec::new());
        Reader { operator, args: args.iter(), reads, writes, updates, named }
    }

    /// Refuses what the documents do not allow.
    pub(crate) fn bad<T>(&self, words: impl std::fmt::Display) -> Answer<T> {
        refuse(code::NN_PARAM, format!("{}: {words}", self.operator))
    }

    /// Refuses unless a condition holds.
    pub(crate) fn want(&self, holds: bool, words: impl std::fmt::Display) -> Answer {
        if holds { Ok(()) } else { self.bad(words) }
    }

    fn next(&mut self, wanted: u32) -> Answer<u64> {
        match self.args.next() {
            Some(arg) if arg.kind == wanted => Ok(arg.bits),
            other => refuse(
                code::NN_INNER,
                format!("{}: the table has {other:?} where {wanted} was expected", self.operator),
            ),
        }
    }

    fn hold(&mut self, handle: u64) -> Answer<Held> {
        let tensor = tensor(handle, self.operator)?;
        let block = tensor.check(self.operator)?;
        if tensor.format.0 != 2 {
            return self.bad(format!("layout {} instead of ND", tensor.format.0));
        }
        self.named.push(handle);
        Ok(Held { tensor, block })
    }

    /// A tensor that is read.
    pub(crate) fn input(&mut self) -> Answer<Held> {
        let handle = self.next(kind::TENSOR)?;
        let held = self.hold(handle)?;
        self.reads.push((*held.tensor).clone());
        Ok(held)
    }

    /// A tensor that is written.
    pub(crate) fn output(&mut self) -> Answer<Held> {
        let handle = self.next(kind::TENSOR)?;
        let held = self.hold(handle)?;
        self.writes.push((*held.tensor).clone());
        Ok(held)
    }

    /// True, and the parameter passed over, if the next one is null.
    fn is_null(&mut self) -> bool {
        let null = self.args.as_slice().first().is_some_and(|arg| arg.bits == 0);
        if null {
            self.args.next();
        }
        null
    }

    /// A tensor that is read, if it is given.
    pub(crate) fn optional_input(&mut self) -> Answer<Option<Held>> {
        if self.is_null() { Ok(None) } else { self.input().map(Some) }
    }

    /// A tensor that is written, if it is given.
    pub(crate) fn optional_output(&mut self) -> Answer<Option<Held>> {
        if self.is_null() { Ok(None) } else { self.output().map(Some) }
    }

    /// A tensor that is written in place.
    pub(crate) fn update(&mut self) -> Answer<Held> {
        let handle = self.next(kind::TENSOR)?;
        let held = self.hold(handle)?;
        self.updates.push((*held.tensor).clone());
        Ok(held)
    }

    /// A list of tensors that are read, or written.
    pub(crate) fn list(&mut self, written: bool) -> Answer<Vec<Held>> {
        let handle = self.next(kind::LIST)?;
        let object = object(handle, self.operator)?;
        let Object::List(handles) = &*object else { return self.bad("no list of tensors") };
        let held: Vec<_> = handles.iter().map(|&handle| self.hold(handle)).collect::<Answer<_>>()?;
        let to = if written { &mut self.writes } else { &mut self.reads };
        to.extend(held.iter().map(|held| (*held.tensor).clone()));
        Ok(held)
    }

    /// Optional parameters that must be absent here.
    pub(crate) fn absent(&mut self, count: usize) -> Answer {
        for _ in 0..count {
            match self.args.next() {
                Some(arg) if arg.bits == 0 => {}
                _ => return self.bad("an optional parameter that the stand-in does not take"),
            }
        }
        Ok(())
    }

    /// An array of integers.
    pub(crate) fn ints(&mut self) -> Answer<Vec<i64>> {
        let handle = self.next(kind::INTS)?;
        match &*object(handle, self.operator)? {
            Object::Ints(ints) => Ok(ints.clone()),
            _ => self.bad("no array of integers"),
        }
    }

    /// A scalar.
    pub(crate) fn scalar(&mut self) -> Answer<Scalar> {
        let handle = self.next(kind::SCALAR)?;
        match *object(handle, self.operator)? {
            Object::Scalar(kind, real, whole) => Ok(Scalar { kind, real, whole }),
            _ => self.bad("no scalar"),
        }
    }

    /// A scalar that may be null.
    pub(crate) fn optional_scalar(&mut self) -> Answer<Option<Scalar>> {
        match self.args.as_slice().first() {
            Some(arg) if arg.bits == 0 => self.next(kind::SCALAR).map(|_| None),
            _ => self.scalar().map(Some),
        }
    }

    /// A text.
    pub(crate) fn text(&mut self) -> Answer<String> {
        let at = self.next(kind::OTHER)?;
        if at == 0 {
            return self.bad("a null text");
        }
        // SAFETY: the caller's text with its end, alive during the first phase.
        Ok(unsafe { std::ffi::CStr::from_ptr(at as *const std::ffi::c_char) }.to_string_lossy().into_owned())
    }

    /// A whole number.
    pub(crate) fn whole(&mut self) -> Answer<i64> {
        Ok(self.next(kind::WHOLE)? as i64)
    }

    /// A real number.
    pub(crate) fn real(&mut self) -> Answer<f64> {
        Ok(f64::from_bits(self.next(kind::REAL)?))
    }

    /// An axis of a tensor; negative ones count from the end.
    pub(crate) fn axis(&mut self, rank: usize) -> Answer<usize> {
        let axis = self.whole()?;
        let from_start = if axis < 0 { axis + rank as i64 } else { axis };
        match usize::try_from(from_start) {
            Ok(found) if found < rank => Ok(found),
            _ => self.bad(format!("axis {axis} of {rank}")),
        }
    }

    /// A tensor that the documents want without gaps.
    pub(crate) fn dense(&self, held: &Held) -> Answer {
        self.want(held.tensor.is_contiguous(), "a tensor with gaps")
    }

    /// Tensors of one element type.
    pub(crate) fn same_kinds(&self, all: &[&Held]) -> Answer {
        let kinds: Vec<_> = all.iter().map(|held| held.tensor.kind.0).collect();
        self.want(kinds.windows(2).all(|pair| pair[0] == pair[1]), format!("element types {kinds:?} differ"))
    }

    /// The rules that need all tensors: what is written overlaps nothing that is read, nor itself.
    pub(crate) fn finish(mut self, action: Action) -> Answer<Call> {
        if self.args.next().is_some() {
            return refuse(code::NN_INNER, format!("{}: the table has more parameters", self.operator));
        }
        let written: Vec<_> = self.writes.iter().chain(&self.updates).collect();
        for (i, one) in written.iter().enumerate() {
            let later = &written[i + 1..];
            if self.reads.iter().chain(later.iter().copied()).any(|other| meet(one, other)) {
                return broken(
                    "aliasing",
                    code::NN_PARAM,
                    format!("{}: an output overlaps another tensor", self.operator),
                );
            }
        }
        if written.iter().any(|tensor| repeats(tensor)) {
            return broken("aliasing", code::NN_PARAM, format!("{}: an output repeats elements", self.operator));
        }
        self.writes.append(&mut self.updates);
        Ok(Call { reads: self.reads, writes: self.writes, named: self.named, action })
    }
}

fn repeats(tensor: &Tensor) -> bool {
    tensor.dims.iter().zip(&tensor.strides).any(|(&n, &s)| n > 1 && s == 0)
}

/// True if two views share a byte. Views that are woven into each other do not.
fn meet(one: &Tensor, other: &Tensor) -> bool {
    let ((a, an), (b, bn)) = (one.range(), other.range());
    if a >= b + bn as u64 || b >= a + an as u64 {
        return false;
    }
    if one.is_contiguous() && other.is_contiguous() {
        return true;
    }
    let bytes = |tensor: &Tensor| {
        let width = tensor.bytes();
        let mut all: Vec<u64> = super::data::positions(&tensor.dims, &tensor.strides)
            .into_iter()
            .flat_map(|at| {
                let first = tensor.addr + ((tensor.offset + at) * width) as u64;
                first..first + width as u64
            })
            .collect();
        all.sort_unstable();
        all
    };
    let (left, right) = (bytes(one), bytes(other));
    let mut right = right.iter().peekable();
    left.iter().any(|at| {
        while right.peek().is_some_and(|other| *other < at) {
            right.next();
        }
        right.peek() == Some(&at)
    })
}
