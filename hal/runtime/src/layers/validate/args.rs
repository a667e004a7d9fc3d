//! The arguments of a run against what its operator expects.

use super::overlap::{Lattice, overlap};
use super::rules;
use crate::layers::layer::Signature;
use omnihal::op::{ArgType, Role};
use omnihal::{Args, Column, DType, Error, Layout, Mem, OpKind, Result, View, WeightFormat};

/// Most fills that poison one output: beyond it, rows are so short that the check would cost more than it tells.
const MAX_POISON_FILLS: usize = 4096;

/// Checks presence, type, shape, bounds, strides and aliasing.
pub(super) fn check(op: OpKind, signature: &Signature, views: &[Option<View>]) -> Result<()> {
    let expected = signature.args.len() + signature.columns.len() + usize::from(signature.prologue.is_some());
    if views.len() != expected {
        return Err(Error::argument(format!(
            "{} arguments were given, expected {expected}: {} of the operator, {} step columns, {} prologue output",
            views.len(),
            signature.args.len(),
            signature.columns.len(),
            usize::from(signature.prologue.is_some())
        )));
    }
    let (own, rest) = views.split_at(signature.args.len());
    for (arg, view) in signature.args.iter().zip(own) {
        check_argument(op, arg, view.as_ref())?;
    }
    check_columns(signature, rest)?;
    check_aliasing(op, signature, views)
}

fn check_argument(op: OpKind, arg: &ArgType, view: Option<&View>) -> Result<()> {
    let name = arg.name;
    let view = match (view, arg.present) {
        (Some(view), true) => view,
        (None, false) => return Ok(()),
        (None, true) => return Err(Error::argument(format!("argument `{name}` is missing"))),
        (Some(_), false) => {
            return Err(Error::argument(format!("argument `{name}` was given, but the descriptor leaves it out")));
        }
    };
    if view.shape != arg.shape {
        return Err(Error::argument(format!("`{name}` has shape {}, expected {}", view.shape, arg.shape)));
    }
    if let Layout::Vendor(_) = view.layout {
        // Only its maker can read a private layout; it replaces a weight as stored, so type and scales are the maker's too.
        return match arg.role {
            Role::Read => Ok(()),
            _ => Err(Error::argument(format!("`{name}` is written and has a private layout, expected a strided one"))),
        };
    }
    if view.format() != arg.format {
        return Err(Error::argument(format!("`{name}` has format {}, expected {}", view.format(), arg.format)));
    }
    check_memory(name, view)?;
    check_scales(arg, view)?;
    check_strides(op, arg, view)
}

/// Bounds and alignment. The sums are those of [`Lattice`], which no field can overflow.
fn check_memory(name: &str, view: &View) -> Result<()> {
    let (start, end) = Lattice::of(view).byte_range();
    if view.mem.addr == 0 || end > u128::from(view.mem.addr) + view.mem.len as u128 {
        return Err(Error::argument(format!(
            "`{name}` {} {} at byte {} reaches past its buffer of {} bytes at {:#x}",
            view.dtype, view.shape, view.offset, view.mem.len, view.mem.addr
        )));
    }
    let element = view.dtype.bytes(1) as u128;
    if start % element != 0 {
        return Err(Error::argument(format!(
            "`{name}` starts at address {start:#x}, expected a multiple of {element} for {}",
            view.dtype
        )));
    }
    Ok(())
}

fn check_scales(arg: &ArgType, view: &View) -> Result<()> {
    let (Some(quant), WeightFormat::Blocked { .. }) = (&view.quant, arg.format) else { return Ok(()) };
    let name = arg.name;
    let expected = arg.format.scale_shape(&arg.shape);
    if expected != Some(quant.shape) {
        let expected = expected.unwrap_or(quant.shape);
        return Err(Error::argument(format!("scales of `{name}` have shape {}, expected {expected}", quant.shape)));
    }
    let bytes = quant.dtype.bytes(quant.shape.elements());
    if quant.mem.addr == 0 || quant.mem.len < bytes {
        return Err(Error::argument(format!(
            "scales of `{name}` take {bytes} bytes, their memory has {}",
            quant.mem.len
        )));
    }
    Ok(())
}

fn check_strides(op: OpKind, arg: &ArgType, view: &View) -> Result<()> {
    let (name, rank) = (arg.name, view.shape.rank());
    let refuse = |what: String, expected: &str| {
        Err(Error::argument(format!(
            "`{name}` {} has strides {:?}, {what}: expected {expected}",
            view.shape,
            &view.strides[..rank]
        )))
    };
    let long = |axis: usize| view.shape[axis] > 1;
    if rank > 0 && long(rank - 1) && view.strides[rank - 1] != 1 && !rules::any_strides(op) {
        return refuse("so its last axis has gaps".to_owned(), "a contiguous last axis");
    }
    if let Some(axis) = (0..rank).find(|&a| long(a) && (view.strides[a] * view.dtype.bits()) % 8 != 0 && a + 1 != rank)
    {
        return refuse(format!("so axis {axis} cuts a byte of {}", view.dtype), "rows of whole bytes");
    }
    match arg.role {
        Role::Read => match (0..rank).find(|&a| long(a) && view.strides[a] == 0) {
            Some(axis) if !rules::may_repeat(op) => {
                refuse(format!("so axis {axis} repeats"), "an axis that is not repeated")
            }
            _ => Ok(()),
        },
        _ if !Lattice::of(view).is_injective() => {
            refuse("so elements would be written twice".to_owned(), "every element at a place of its own")
        }
        Role::Write if !rules::spread_outputs(op) && !view.is_contiguous() => {
            refuse("so it has gaps".to_owned(), "a contiguous output of this operator")
        }
        _ => Ok(()),
    }
}

/// Element type of a step column: masks and counts that enter arithmetic are floats.
fn column_type(column: Column) -> DType {
    match column {
        Column::Live | Column::NVis(_) | Column::ClSel(_) | Column::ClMask(_) => DType::F32,
        _ => DType::I32,
    }
}

/// The capacity of the step is not known here, so of a column only type, bounds and gaps are checked.
fn check_columns(signature: &Signature, views: &[Option<View>]) -> Result<()> {
    for (column, view) in signature.columns.iter().zip(views) {
        let name = format!("column {column:?}");
        let view = view.as_ref().ok_or_else(|| Error::argument(format!("`{name}` is missing")))?;
        check_memory(&name, view)?;
        if view.format() != WeightFormat::Plain(column_type(*column)) || !view.is_contiguous() {
            return Err(Error::argument(format!(
                "`{name}` is {} {} with strides {:?}, expected contiguous {}",
                view.dtype,
                view.shape,
                &view.strides[..view.shape.rank()],
                column_type(*column)
            )));
        }
    }
    let Some((bytes, _)) = signature.prologue else { return Ok(()) };
    let view = views.last().and_then(Option::as_ref);
    let view = view.ok_or_else(|| Error::argument("the prologue's output is missing"))?;
    if view.dtype != DType::U8 || view.shape != [bytes].into() || !view.is_contiguous() {
        return Err(Error::argument(format!(
            "the prologue's output is {} {}, expected contiguous U8 [{bytes}]",
            view.dtype, view.shape
        )));
    }
    check_memory("prologue", view)
}

/// The views that are there, with the names of their arguments.
pub(super) fn named<'a>(
    signature: &'a Signature,
    views: &'a [Option<View>],
) -> impl Iterator<Item = (&'a str, &'a View)> {
    with_roles(signature, views).map(|(name, _, view)| (name, view))
}

fn with_roles<'a>(
    signature: &'a Signature,
    views: &'a [Option<View>],
) -> impl Iterator<Item = (&'a str, Role, &'a View)> {
    let own = signature.args.iter().map(|arg| (arg.name, arg.role));
    let columns = signature.columns.iter().map(|_| ("step column", Role::Read));
    let prologue = signature.prologue.iter().map(|(_, role)| ("prologue", *role));
    let all = own.chain(columns).chain(prologue).zip(views);
    all.filter_map(|((name, role), view)| Some((name, role, view.as_ref()?)))
}

/// No output may share an element with another argument, unless the catalogue says that it may be that argument.
fn check_aliasing(op: OpKind, signature: &Signature, views: &[Option<View>]) -> Result<()> {
    let all: Vec<_> =
        with_roles(signature, views).map(|(name, role, view)| (name, role, view, Lattice::of(view))).collect();
    for (i, (output, _, view, lattice)) in all.iter().enumerate().filter(|(_, arg)| arg.1 != Role::Read) {
        for (j, (other, role, other_view, other_lattice)) in all.iter().enumerate() {
            // Of two outputs, the first names the pair.
            if i == j || (*role != Role::Read && j < i) {
                continue;
            }
            let scales = other_view.quant.map(|q| Lattice::bytes(q.mem));
            let shared = overlap(lattice, other_lattice) || scales.is_some_and(|s| overlap(lattice, &s));
            if shared && !(same_tensor(view, other_view) && rules::may_be(op, output, other)) {
                return Err(Error::argument(format!(
                    "output `{output}` overlaps `{other}`: give it memory of its own, or, where the operator allows it, the same tensor"
                )));
            }
        }
    }
    Ok(())
}

fn same_tensor(a: &View, b: &View) -> bool {
    let strides =
        |v: &View| -> Vec<usize> { (0..v.shape.rank()).filter(|&i| v.shape[i] > 1).map(|i| v.strides[i]).collect() };
    a.dtype == b.dtype && a.shape == b.shape && a.addr() == b.addr() && strides(a) == strides(b)
}

/// Size, alignment and separateness of the scratch memory.
pub(super) fn check_workspace(signature: &Signature, args: &Args<'_>, needed: usize, alignment: usize) -> Result<()> {
    if needed == 0 {
        return Ok(());
    }
    let given = args.workspace;
    if given.addr == 0 || given.len < needed {
        return Err(Error::argument(format!("the plan needs a workspace of {needed} bytes, {} were given", given.len)));
    }
    if given.addr % alignment.max(1) as u64 != 0 {
        return Err(Error::argument(format!(
            "the workspace is at {:#x}, expected a multiple of the device's alignment, {alignment}",
            given.addr
        )));
    }
    let workspace = Lattice::bytes(Mem { len: needed, ..given });
    match named(signature, args.views).find(|(_, view)| overlap(&workspace, &Lattice::of(view))) {
        Some((name, _)) => Err(Error::argument(format!("the workspace overlaps `{name}`: give it memory of its own"))),
        None => Ok(()),
    }
}

/// The ranges of the outputs that can be filled without touching an input or a gap between rows.
pub(super) fn poisonable(signature: &Signature, views: &[Option<View>]) -> Vec<Mem> {
    let inputs: Vec<_> = with_roles(signature, views)
        .filter(|(_, role, _)| *role != Role::Write)
        .map(|(_, _, view)| Lattice::of(view))
        .collect();
    with_roles(signature, views)
        .filter(|(_, role, _)| *role == Role::Write)
        .filter(|(_, _, view)| !inputs.iter().any(|input| overlap(&Lattice::of(view), input)))
        .flat_map(|(_, _, view)| chunks(view))
        .collect()
}

/// The contiguous pieces of a tensor; none if they are too many or do not fill whole bytes.
fn chunks(view: &View) -> Vec<Mem> {
    let (mut first, mut run) = (view.shape.rank(), 1);
    while first > 0 && (view.shape[first - 1] == 1 || view.strides[first - 1] == run) {
        first -= 1;
        run *= view.shape[first];
    }
    let outer = &view.shape.dims()[..first];
    let count: usize = outer.iter().product();
    if count > MAX_POISON_FILLS || (run * view.dtype.bits()) % 8 != 0 {
        return Vec::new();
    }
    let place = |mut n: usize| {
        let mut element = 0;
        for axis in (0..first).rev() {
            element += n % outer[axis] * view.strides[axis];
            n /= outer[axis];
        }
        Mem { addr: view.addr() + view.dtype.bytes(element) as u64, len: view.dtype.bytes(run) }
    };
    (0..count).map(place).collect()
}
