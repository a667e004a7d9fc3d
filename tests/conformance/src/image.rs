//! The memory of a case, on the host: every argument in a slab of its own, between guards.

use crate::case::Layout;
use omnihal::op::{ArgType, Role};
use omnihal::{DType, Error, MAX_RANK, Mem, Op, OpKind, Quant, Result, Shape, StepColumns, View, WeightFormat};

/// Bytes before and after each tensor. A multiple of every alignment that a listed device asks for.
pub const GUARD: usize = 512;

/// What guards and gaps hold: a NaN in every float type, so that a result that used them shows.
pub const GUARD_BYTES: [u8; 4] = [0xFF, 0xFF, 0xFF, 0x7F];

/// What outputs hold before the first and before the second run. An element that still has both was never written.
pub const POISON: [[u8; 4]; 2] = [GUARD_BYTES, [0x5A; 4]];

/// One allocation: guard, tensor, guard.
#[derive(Clone, Debug)]
pub struct Slab {
    /// All bytes.
    pub bytes: Vec<u8>,
}

impl Slab {
    /// A slab for `len` bytes, all of it guard.
    fn new(len: usize) -> Slab {
        let total = len.next_multiple_of(4) + 2 * GUARD;
        Slab { bytes: GUARD_BYTES.iter().copied().cycle().take(total).collect() }
    }

    /// Bytes between the guards.
    pub fn inner_len(&self) -> usize {
        self.bytes.len() - 2 * GUARD
    }
}

/// An argument: a view whose memory is the inside of a slab, at address 0.
#[derive(Clone, Copy, Debug)]
pub struct Tensor {
    /// The slab.
    pub slab: usize,
    /// The slab of its scales.
    pub scales: Option<usize>,
    /// The view, relative to the slab's inside.
    pub view: View,
    /// How the operator uses it.
    pub role: Role,
    /// Its name.
    pub name: &'static str,
}

/// All arguments of a case.
#[derive(Clone, Debug, Default)]
pub struct Image {
    /// Memory.
    pub slabs: Vec<Slab>,
    /// Arguments in call order.
    pub args: Vec<Option<Tensor>>,
    /// The step table, for cases that are part of a step.
    pub columns: Option<StepColumns>,
}

impl Image {
    /// Lays out an argument and returns it, all guard bytes.
    pub fn lay_out(&mut self, op: OpKind, arg: &ArgType, layout: Layout) -> Result<Tensor> {
        let dtype = arg.format.dtype();
        let strides = strides(op, arg, layout);
        let skip = match layout {
            Layout::Shifted if may_move(op, arg) => dtype.bytes(1),
            _ => 0,
        };
        let last: usize = arg.shape.dims().iter().zip(&strides).map(|(d, s)| d.saturating_sub(1) * s).sum();
        let bytes = skip + dtype.bytes(last + 1);
        let slab = self.add(bytes);
        let mem = Mem { addr: 0, len: self.slabs[slab].inner_len() };
        let layout = omnihal::Layout::Strided;
        let mut view = View { mem, offset: skip, dtype, shape: arg.shape, strides, layout, quant: None };
        let mut scales = None;
        if let WeightFormat::Blocked { scale, block, .. } = arg.format {
            let shape = arg.format.scale_shape(&arg.shape).ok_or_else(|| Error::argument("a weight without scales"))?;
            let slab = self.add(scale.bytes(shape.elements()));
            let mem = Mem { addr: 0, len: self.slabs[slab].inner_len() };
            view.quant = Some(Quant { mem, dtype: scale, block, shape });
            scales = Some(slab);
        }
        Ok(Tensor { slab, scales, view, role: arg.role, name: arg.name })
    }

    /// The input that an output is to be, in the layout that asks for it.
    pub fn shared(&self, op: &Op, arg: &ArgType, layout: Layout) -> Option<Tensor> {
        if layout != Layout::InPlace || arg.role != Role::Write {
            return None;
        }
        let inputs = may_be(op.kind());
        let found = self.args.iter().flatten().find(|t| {
            inputs.contains(&t.name)
                && t.view.dtype == arg.format.dtype()
                && t.view.shape == arg.shape
                && !arg.format.is_quantised()
        })?;
        Some(Tensor { role: Role::Write, name: arg.name, ..*found })
    }

    /// True if a slab holds an input, be it an output too.
    fn is_read(&self, slab: usize) -> bool {
        self.args.iter().flatten().any(|t| t.slab == slab && t.role == Role::Read)
    }

    fn add(&mut self, len: usize) -> usize {
        self.slabs.push(Slab::new(len));
        self.slabs.len() - 1
    }

    /// Writes element codes, in view order, into an argument's slab.
    pub fn put(&mut self, tensor: &Tensor, codes: &[u8]) {
        scatter(&tensor.view, &mut self.slabs[tensor.slab].bytes[GUARD..], codes);
    }

    /// Writes the scales of an argument.
    pub fn put_scales(&mut self, tensor: &Tensor, codes: &[u8]) {
        if let Some(slab) = tensor.scales {
            self.slabs[slab].bytes[GUARD..GUARD + codes.len()].copy_from_slice(codes);
        }
    }

    /// Overwrites the elements of pure outputs with a pattern.
    pub fn poison(&mut self, pattern: [u8; 4]) {
        for tensor in self.args.clone().iter().flatten().filter(|t| t.role == Role::Write) {
            if self.is_read(tensor.slab) {
                continue;
            }
            let bytes = tensor.view.dtype.bytes(tensor.view.elements());
            let codes: Vec<u8> = pattern.iter().copied().cycle().take(bytes).collect();
            self.put(tensor, &codes);
        }
    }

    /// The arguments with their memory at the addresses of `inside`, one a slab.
    pub fn views(&self, inside: impl Fn(usize) -> u64) -> Vec<Option<View>> {
        let place = |tensor: &Tensor| {
            let mut view = tensor.view;
            view.mem.addr = inside(tensor.slab);
            if let (Some(quant), Some(slab)) = (&mut view.quant, tensor.scales) {
                quant.mem.addr = inside(slab);
            }
            view
        };
        self.args.iter().map(|arg| arg.as_ref().map(place)).collect()
    }

    /// The arguments in this image's own memory, for the judge. Valid while the image is neither moved nor changed.
    pub fn host_views(&self) -> Vec<Option<View>> {
        self.views(|slab| self.slabs[slab].bytes[GUARD..].as_ptr().expose_provenance() as u64)
    }

    /// Elements of an argument in view order, out of a copy of its slab.
    pub fn elements(tensor: &Tensor, slab: &[u8]) -> Vec<u8> {
        gather(&tensor.view, &slab[GUARD..])
    }

    /// The argument that lies in a slab, the written one of two; none for slabs of scales.
    pub fn tensor_of(&self, slab: usize) -> Option<&Tensor> {
        let of = || self.args.iter().flatten().filter(|t| t.slab == slab);
        of().find(|t| t.role != Role::Read).or_else(|| of().next())
    }

    /// True for each byte of a slab that belongs to an element of its argument.
    pub fn covered(&self, slab: usize) -> Vec<bool> {
        let mut covered = vec![false; self.slabs[slab].bytes.len()];
        match self.tensor_of(slab) {
            Some(t) if t.view.is_contiguous() => {
                let start = GUARD + t.view.offset;
                covered[start..start + t.view.dtype.bytes(t.view.elements())].fill(true);
            }
            Some(t) => each_byte(&t.view, |_, at, _| covered[GUARD + at] = true),
            None => covered[GUARD..].iter_mut().take(self.slabs[slab].inner_len()).for_each(|c| *c = true),
        }
        covered
    }
}

/// Pools and rings are the model's own, step columns are cut from one table: these lie as they always do.
fn may_move(op: OpKind, arg: &ArgType) -> bool {
    let own = matches!(arg.name, "ring" | "pool" | "state" | "last" | "seen" | "rope");
    let words = arg.format == WeightFormat::Plain(DType::I32);
    let column = (words && matches!(arg.name, "toks" | "seqs" | "out" | "close"))
        || (arg.name == "pt" && op != OpKind::CacheRows);
    !own && !column
}

/// True if rows of this argument may lie apart: inputs always, outputs where the operator's documentation says so.
fn may_be_apart(op: OpKind, arg: &ArgType) -> bool {
    let spread = matches!(op.family(), "elementwise" | "copy" | "rope" | "norm")
        || matches!(op, OpKind::GemmLinear | OpKind::GemmBatched | OpKind::QuantQdq);
    let in_place = arg.name == "q" && arg.role == Role::Update;
    may_move(op, arg) && (arg.role == Role::Read || spread || in_place)
}

/// Inputs that the output of an operator may be: same address, type, shape and strides. From the operators' documentation.
fn may_be(op: OpKind) -> &'static [&'static str] {
    match op {
        OpKind::NormRms | OpKind::QuantQdq | OpKind::HyperPost | OpKind::Unary | OpKind::Softmax => &["x"],
        OpKind::MoeExperts => &["acc"],
        OpKind::Binary => &["a", "b"],
        OpKind::Where => &["a", "b", "p", "q"],
        _ => &[],
    }
}

/// Elements between rows that lie apart: odd, so that rows share no alignment; whole bytes for packed types.
fn gap(dtype: DType) -> usize {
    if dtype.bits() < 8 { 2 } else { 3 }
}

fn strides(op: OpKind, arg: &ArgType, layout: Layout) -> [usize; MAX_RANK] {
    let (rank, dims) = (arg.shape.rank(), arg.shape.dims());
    let mut strides = arg.shape.contiguous_strides();
    match layout {
        Layout::Apart if rank >= 2 && may_be_apart(op, arg) => {
            let mut step = 1;
            for axis in (0..rank).rev() {
                strides[axis] = step;
                step = step * dims[axis] + gap(arg.format.dtype());
            }
        }
        Layout::Any if rank >= 1 && (op.family() == "elementwise" || op == OpKind::Copy) => {
            // The first axis runs fastest, every axis with a gap.
            let mut step = 2;
            for axis in 0..rank {
                strides[axis] = step;
                step = step * dims[axis] + 1;
            }
        }
        _ => {}
    }
    strides
}

/// Calls `f(element, byte, nibble)` for the bytes of each element in view order; `nibble` is 4 for the odd column of a packed type.
fn each_byte(view: &View, mut f: impl FnMut(usize, usize, usize)) {
    let (rank, dims) = (view.shape.rank(), view.shape.dims());
    let mut at = [0usize; MAX_RANK];
    for element in 0..view.elements() {
        let place: usize = (0..rank).map(|axis| at[axis] * view.strides[axis]).sum();
        match view.dtype.bits() {
            4 => f(element, view.offset + place / 2, 4 * (place % 2)),
            bits => (0..bits / 8).for_each(|k| f(element, view.offset + place * bits / 8 + k, 0)),
        }
        for axis in (0..rank).rev() {
            at[axis] += 1;
            if at[axis] < dims[axis] {
                break;
            }
            at[axis] = 0;
        }
    }
}

/// Bytes of the elements in view order; packed types stay packed.
pub fn gather(view: &View, inside: &[u8]) -> Vec<u8> {
    let bytes = view.dtype.bytes(view.elements());
    if view.is_contiguous() {
        return inside[view.offset..view.offset + bytes].to_vec();
    }
    let mut out = vec![0; bytes];
    let mut next = 0;
    each_byte(view, |element, at, nibble| {
        if view.dtype.bits() == 4 {
            out[element / 2] |= ((inside[at] >> nibble) & 15) << (4 * (element % 2));
        } else {
            out[next] = inside[at];
            next += 1;
        }
    });
    out
}

fn scatter(view: &View, inside: &mut [u8], codes: &[u8]) {
    if view.is_contiguous() {
        inside[view.offset..view.offset + codes.len()].copy_from_slice(codes);
        return;
    }
    let mut next = 0;
    each_byte(view, |element, at, nibble| {
        if view.dtype.bits() == 4 {
            let code = (codes[element / 2] >> (4 * (element % 2))) & 15;
            inside[at] = (inside[at] & !(15 << nibble)) | (code << nibble);
        } else {
            inside[at] = codes[next];
            next += 1;
        }
    });
}

/// A contiguous view of elements in view order, for judging them on the host.
pub fn dense_view(elements: &[u8], dtype: DType, shape: Shape) -> Result<View> {
    let mem = Mem { addr: elements.as_ptr().expose_provenance() as u64, len: elements.len() };
    View::contiguous(mem, dtype, shape)
}

/// Whether a layout changes anything for an operator: a case that does not is the dense one again.
pub fn distinct(op: &Op, layout: Layout) -> bool {
    let types = op.arg_types();
    types.iter().filter(|t| t.present).any(|t| match layout {
        Layout::Dense => true,
        Layout::InPlace => {
            let same = |input: &ArgType| input.present && input.format == t.format && input.shape == t.shape;
            t.role == Role::Write && types.iter().any(|i| may_be(op.kind()).contains(&i.name) && same(i))
        }
        Layout::Shifted => may_move(op.kind(), t),
        Layout::Apart | Layout::Any => strides(op.kind(), t, layout) != t.shape.contiguous_strides(),
    })
}
