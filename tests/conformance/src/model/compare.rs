//! One call of a model's step on a device under test, on the inputs that the judge has.

use super::tap::Call;
use crate::bench::{Bench, TIMEOUT, Way, touched};
use crate::case::{Case, Data, Layout};
use crate::image::{GUARD, GUARD_BYTES, Image, POISON, Slab, Tensor, gather};
use crate::judge;
use crate::outcome::{Check, Finding, Worst};
use crate::profile::Profile;
use omnihal::op::{ArgType, Role};
use omnihal::{Args, Device, Error, Mem, Op, Quant, Result, RowFormat, Stream, View};
use omnihal_reference::{Num, Output, Values, format};
use serde::Serialize;
use std::sync::Arc;

/// The first element that is not what it may be.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Element {
    /// Its argument.
    pub arg: String,
    /// Its place along each axis.
    pub at: Vec<usize>,
    /// What the device gave.
    pub found: f64,
    /// What the judge has, rounded as it is stored.
    pub expected: f64,
    /// Distance allowed; 0 where every device must give the same.
    pub bound: f64,
}

/// What became of one call.
#[derive(Clone, Debug, Default)]
pub struct Compared {
    /// What did not hold.
    pub findings: Vec<Finding>,
    /// The first element concerned, where the findings concern elements of known value.
    pub element: Option<Element>,
    /// Elements compared.
    pub elements: u64,
    /// The element that uses most of its bound, and its argument.
    pub worst: Option<(String, Worst)>,
}

/// A device under test with a stream of its own.
pub struct Comparator {
    device: Arc<dyn Device>,
    stream: Box<dyn Stream>,
}

impl Comparator {
    /// Compares on `device`.
    pub fn new(device: Arc<dyn Device>) -> Result<Comparator> {
        Ok(Comparator { stream: device.stream()?, device })
    }

    /// Runs a call on the device and judges it. What the device refuses or fails is a finding; errors are the judge's own.
    pub fn compare(&mut self, call: &Call<'_>) -> Result<Compared> {
        let op = call.op();
        let types = op.arg_types();
        let image = take(&types, call.views)?;
        let views = image.host_views();
        let args = Args { rows_hint: call.rows_hint, ..Args::new(&views[..types.len().min(views.len())]) };
        // SAFETY: the views lie in the image, which nobody changes meanwhile.
        let mut expected = unsafe { omnihal_reference::evaluate_as(op, &args, call.plan.accumulation())? };
        for output in &mut expected {
            forget_rows(output, &image, call.rows_hint);
            forget_padding(output, op);
        }
        match self.run(call, &image) {
            Ok((slabs, findings)) => verdict(call, &image, &expected, &slabs, findings),
            Err(error) => {
                // The stream may be poisoned: later calls are judged on a new one.
                self.stream = self.device.stream()?;
                let finding = Finding::new(Check::Interface, format!("the device failed: {error}"));
                Ok(Compared { findings: vec![finding], ..Compared::default() })
            }
        }
    }

    /// The slabs after the run, and what was touched that belongs to no output.
    fn run(&self, call: &Call<'_>, image: &Image) -> Result<(Vec<Vec<u8>>, Vec<Finding>)> {
        let mut bench = Bench::new(&*self.device, image, Arc::clone(call.plan), None)?;
        bench.rows_hint = call.rows_hint;
        bench.run(&*self.stream, POISON[0], Way::Eager)?;
        let slabs = bench.download(&*self.stream)?;
        let mut findings = Vec::new();
        for (slab, at, guard) in touched(image, POISON[0], &slabs) {
            let name = image.tensor_of(slab).map_or("scales", |t| t.name);
            let (check, text) = match guard {
                true => (
                    Check::Guards,
                    format!("byte {at} of its allocation, which belongs to no element, was overwritten"),
                ),
                false => (Check::Inputs, format!("byte {at} of an input was changed")),
            };
            findings.push(Finding::new(check, text).in_arg(name));
        }
        if !bench.workspace_guards_hold(&*self.stream, POISON[0])? {
            findings.push(Finding::new(Check::Guards, "the run wrote outside its workspace"));
        }
        self.stream.sync(TIMEOUT)?;
        Ok((slabs, findings))
    }
}

fn verdict(
    call: &Call<'_>,
    image: &Image,
    expected: &[Output],
    slabs: &[Vec<u8>],
    touched: Vec<Finding>,
) -> Result<Compared> {
    let case = case(call.op());
    let before: Vec<Vec<u8>> = image.slabs.iter().map(|s| s.bytes.clone()).collect();
    let before = judge::outputs_of(image, expected, &before);
    let found = judge::outputs_of(image, expected, slabs);
    let mut compared = Compared::default();
    for (i, output) in expected.iter().enumerate() {
        let Some(Some(tensor)) = image.args.get(output.arg) else { continue };
        let one = judge::output(&case, call.plan.accumulation(), tensor, output, &found[i], &before[i])?;
        compared.elements += one.record.compared;
        let share = |worst: &Option<(String, Worst)>| worst.as_ref().map_or(-1.0, |w| w.1.share);
        if let Some(worst) = one.record.worst
            && worst.share > share(&compared.worst)
        {
            compared.worst = Some((tensor.name.to_owned(), worst));
        }
        if compared.element.is_none() {
            compared.element = one.findings.iter().find_map(|f| element(f, tensor, output, &found[i]));
        }
        compared.findings.extend(one.findings);
    }
    compared.findings.extend(touched);
    Ok(compared)
}

/// The case that stands for a call. Rows of a model repeat and tie, so the signs of their errors are not independent and are not counted,
/// as in cases of whole numbers.
fn case(op: &Op) -> Case {
    Case::new(*op, Data::Whole, Layout::Dense, None, Profile::V4, false)
}

/// Rows past the hint are unspecified in what an operator gives for each row.
fn forget_rows(output: &mut Output, image: &Image, hint: usize) {
    let Some(Some(tensor)) = image.args.get(output.arg) else { return };
    let (Values::Dense(values), true) = (&output.values, tensor.view.shape.rank() > 0) else { return };
    let rows = tensor.view.shape[0].max(1);
    if hint >= rows {
        return;
    }
    let known = hint * (values.len() / rows);
    let mask = output.mask.get_or_insert_with(|| vec![true; values.len()]);
    mask.iter_mut().skip(known).for_each(|m| *m = false);
    if let Some(choice) = &mut output.choice {
        choice.rows.iter_mut().skip(hint).for_each(|row| *row = None);
    }
}

/// The bytes that fill a packed row up to a multiple of 8 mean nothing (op-catalogue.md 5.1). A model's pools hold there what memory held.
fn forget_padding(output: &mut Output, op: &Op) {
    let (format, width, rotary) = match op {
        Op::CacheStore(d) => (d.format, d.width, d.rotary),
        Op::CompressUpdate(d) => (d.format, d.width, d.rotary),
        _ => return,
    };
    let Values::Rows { width: row, values, .. } = &output.values else { return };
    if format != RowFormat::F8R || *row != format.bytes(width, rotary) {
        return;
    }
    let codes = width - rotary;
    // One byte a code, two a rotated channel, one for the scale of 64 codes.
    let used = codes + 2 * rotary + codes / 64;
    let mask = output.mask.get_or_insert_with(|| vec![true; values.len()]);
    mask.iter_mut().enumerate().filter(|(i, _)| i % row >= used).for_each(|(_, known)| *known = false);
}

/// The element that a finding names, with its numbers.
fn element(finding: &Finding, tensor: &Tensor, output: &Output, found: &[u8]) -> Option<Element> {
    let at = finding.element.clone()?;
    let dims = tensor.view.shape.dims();
    let place = at.iter().zip(dims).fold(0, |place, (i, d)| place * d + i);
    let num = expected_at(output, place)?;
    let dtype = tensor.view.dtype;
    let found = judge::decode(found, dtype, tensor.view.elements())[place];
    let bound = if output.exact { 0.0 } else { num.bound(dtype) };
    Some(Element { arg: tensor.name.to_owned(), at, found, expected: format::round(dtype, num.v), bound })
}

fn expected_at(output: &Output, place: usize) -> Option<Num> {
    match &output.values {
        Values::Dense(values) => values.get(place).copied(),
        Values::Rows { rows, width, values } => {
            let i = rows.iter().rposition(|&row| row == place / width)?;
            values.get(i * width + place % width).copied()
        }
    }
}

/// Copies the arguments of a call, and the columns after them, into slabs with guards. Strides, and places within 64 bytes, stay as they are.
fn take(types: &[ArgType], views: &[Option<View>]) -> Result<Image> {
    let mut image = Image::default();
    for (i, view) in views.iter().enumerate() {
        let (role, name) = types.get(i).map_or((Role::Read, "column"), |t| (t.role, t.name));
        let Some(view) = view else {
            image.args.push(None);
            continue;
        };
        let same = (0..i).find(|&j| views[j].as_ref().is_some_and(|v| in_place(v, view)) && writes(types, [i, j]));
        let tensor = match same.and_then(|j| image.args[j]) {
            // An output over its input: one slab, and neither may be filled before the run.
            Some(first) => {
                image.args[same.unwrap_or_default()] = Some(Tensor { role: Role::Update, ..first });
                Tensor { role: Role::Update, name, ..first }
            }
            None => take_one(&mut image, view, role, name)?,
        };
        image.args.push(Some(tensor));
    }
    Ok(image)
}

/// True if two views are the same elements of the same memory.
fn in_place(a: &View, b: &View) -> bool {
    a.addr() == b.addr() && a.dtype == b.dtype && a.shape == b.shape && a.strides == b.strides
}

fn writes(types: &[ArgType], args: [usize; 2]) -> bool {
    args.iter().any(|&i| types.get(i).is_some_and(|t| t.role != Role::Read))
}

/// Widest alignment that a listed device asks of an operand, in bytes.
const ALIGN: usize = 64;

fn take_one(image: &mut Image, view: &View, role: Role, name: &'static str) -> Result<Tensor> {
    view.check_bounds()?;
    let bytes = view.extent_bytes();
    let skip = (view.addr() % ALIGN as u64) as usize;
    // SAFETY: a call's views name live host memory, of which the extent was checked above; nobody writes it before the call runs.
    let whole = unsafe { host_bytes(Mem { addr: view.addr(), len: bytes }) };
    let elements = gather(&View { offset: 0, ..*view }, whole);
    let slab = add(image, skip + bytes);
    let mem = Mem { addr: 0, len: image.slabs[slab].inner_len() };
    let mut tensor = Tensor { slab, scales: None, view: View { mem, offset: skip, ..*view }, role, name };
    image.put(&tensor, &elements);
    if let Some(quant) = view.quant {
        let bytes = quant.dtype.bytes(quant.shape.elements());
        let codes = quant.mem.slice(0, bytes).map_err(|_| Error::argument("the scales do not fit their memory"))?;
        let slab = add(image, bytes);
        let mem = Mem { addr: 0, len: image.slabs[slab].inner_len() };
        tensor.view.quant = Some(Quant { mem, ..quant });
        tensor.scales = Some(slab);
        // SAFETY: as above, for the scales.
        image.put_scales(&tensor, unsafe { host_bytes(codes) });
    }
    Ok(tensor)
}

fn add(image: &mut Image, len: usize) -> usize {
    let total = len.next_multiple_of(4) + 2 * GUARD;
    image.slabs.push(Slab { bytes: GUARD_BYTES.iter().copied().cycle().take(total).collect() });
    image.slabs.len() - 1
}

/// # Safety
/// `mem` must be live host memory that nobody writes while the slice is used.
unsafe fn host_bytes<'a>(mem: Mem) -> &'a [u8] {
    if mem.len == 0 {
        return &[];
    }
    // SAFETY: the caller's promise.
    unsafe { std::slice::from_raw_parts(std::ptr::with_exposed_provenance(mem.addr as usize), mem.len) }
}
