//! Comparing what a device gave with what the judge has.
//!
//! No tolerance is chosen here. In order of preference:
//! * **exact**: the operator promises the bits (copies, codes, indices), or the judge's error is 0;
//! * **set with margin**: where devices may rank candidates differently, the choice must be one that the scores' errors allow;
//! * **bound**: the distance that the judge computed for the element (`omnihal_reference::Num::bound`), with the plan's declared class of accumulation;
//! * **bias**: errors of many elements must point both ways, unless the class truncates.

use crate::case::{Case, Data};
use crate::image::{self, Tensor};
use crate::outcome::{Check, Finding, OutputRecord, Worst};
use omnihal::{Accumulation, DType, Op, OpKind, Result, RowFormat};
use omnihal_reference::{Choice, Num, Output, Values, format, rows};
use sha2::{Digest, Sha256};

/// One output, judged.
pub struct Judged {
    /// For the report.
    pub record: OutputRecord,
    /// What did not hold.
    pub findings: Vec<Finding>,
    /// For each element in view order: the operator says what it is after the run.
    pub specified: Vec<bool>,
    /// For each element: it may be anything after the run.
    pub free: Vec<bool>,
}

/// What one element must be.
#[derive(Clone, Copy)]
enum Expected {
    /// As before the run.
    Kept,
    /// Anything.
    Free,
    /// Within the number's bound.
    Near(Num),
    /// Exactly this.
    Exactly(f64),
}

/// Judges one output: `found` and `before` are its elements in view order, after and before the run.
pub fn output(
    case: &Case,
    class: Accumulation,
    tensor: &Tensor,
    expected: &Output,
    found: &[u8],
    before: &[u8],
) -> Result<Judged> {
    let (op, dtype, shape) = (&case.op, tensor.view.dtype, tensor.view.shape);
    let values = decode(found, dtype, shape.elements());
    let plan = expectations(tensor, expected);
    let mut tally = Tally { bits: moves_bits(op, dtype), ..Tally::new(tensor, op.kind()) };
    for (element, expected) in plan.iter().enumerate() {
        tally.element(element, *expected, &values, found, before);
    }
    if let Some(packed) = &expected.packed {
        for (row, nums) in &packed.rows {
            tally.packed_row(*row, nums, packed.format, packed.rotary, &values);
        }
    }
    if let Some(choice) = &expected.choice {
        tally.sets(choice, &values);
    }
    // Errors of small whole numbers repeat and tie: only drawn ones are independent.
    if counts_signs(op) && case.data == Data::Normal && matches!(class, Accumulation::F32 | Accumulation::F64) {
        tally.bias();
    }
    let dims = shape.dims().to_vec();
    let record = OutputRecord {
        arg: tensor.name.to_owned(),
        dtype: dtype.name().to_owned(),
        shape: dims,
        sha256: hex(&Sha256::digest(found)),
        compared: tally.compared,
        worst: tally.worst,
        bytes: (found.len() <= KEPT_WHOLE).then(|| found.to_vec()),
    };
    let specified = plan.iter().map(|e| matches!(e, Expected::Near(_) | Expected::Exactly(_))).collect();
    let free = plan.iter().map(|e| matches!(e, Expected::Free)).collect();
    Ok(Judged { record, findings: tally.findings, specified, free })
}

/// Outputs of up to this size are kept whole in a bundle.
pub const KEPT_WHOLE: usize = 64 << 10;

/// A digest in hexadecimal.
pub fn hex(digest: &[u8]) -> String {
    digest.iter().map(|b| format!("{b:02x}")).collect()
}

/// Values of elements in view order.
pub fn decode(bytes: &[u8], dtype: DType, elements: usize) -> Vec<f64> {
    let width = dtype.bits() / 8;
    let code = |i: usize| match width {
        0 => u64::from((bytes[i / 2] >> (4 * (i % 2))) & 15),
        _ => (0..width).rev().fold(0, |code, k| code << 8 | u64::from(bytes[i * width + k])),
    };
    (0..elements).map(|i| format::decode(dtype, code(i))).collect()
}

/// True where an operator promises to move bits, so that even the sign of a zero counts.
fn moves_bits(op: &Op, dtype: DType) -> bool {
    let same_type = match op {
        Op::Copy(d) => d.input == d.output,
        Op::EmbedLookup(d) => d.table == d.act,
        Op::CacheStore(d) => d.format == RowFormat::Plain(d.act),
        _ => true,
    };
    dtype.is_float() && same_type && matches!(op.kind().family(), "copy" | "embed" | "cache")
}

/// Operators whose elements are sums of products of their own, so that their errors are independent.
fn counts_signs(op: &Op) -> bool {
    op.kind().family() == "gemm" || op.kind() == OpKind::Copy
}

/// What each element must be.
fn expectations(tensor: &Tensor, output: &Output) -> Vec<Expected> {
    let shape = tensor.view.shape;
    let near = |num: &Num| if output.exact { Expected::Exactly(num.v) } else { Expected::Near(*num) };
    let known = |i: usize| output.mask.as_ref().is_none_or(|mask| mask[i]);
    match &output.values {
        Values::Dense(values) => {
            values.iter().enumerate().map(|(i, num)| if known(i) { near(num) } else { Expected::Free }).collect()
        }
        Values::Rows { rows, width, values } => {
            let mut plan = vec![Expected::Kept; shape.elements()];
            let slot = shape.elements() / shape[0].max(1);
            if matches!(tensor.name, "ring" | "state" | "pool" | "last" | "seen") && shape[0] > 1 {
                // Slot 1 and page 1 are trash: written at will, never read.
                plan[slot..2 * slot].fill(Expected::Free);
            }
            for (i, row) in rows.iter().enumerate() {
                for c in 0..*width {
                    let at = row * width + c;
                    plan[at] = if known(i * width + c) { near(&values[i * width + c]) } else { Expected::Free };
                }
                let undecided = (0..*width).any(|c| !known(i * width + c));
                if undecided && matches!(tensor.name, "seen" | "last") {
                    // Another token may be chosen, and then another place of the slot is written.
                    let first = row * width / slot * slot;
                    plan[first..first + slot].fill(Expected::Free);
                }
            }
            plan
        }
    }
}

/// Smallest number of inexact elements whose signs say anything.
const MIN_SIGNS: u64 = 64;

/// Counts while comparing.
struct Tally<'a> {
    tensor: &'a Tensor,
    op: OpKind,
    bits: bool,
    compared: u64,
    worst: Option<Worst>,
    findings: Vec<Finding>,
    /// Errors away from zero and towards it; upwards and downwards.
    away: [u64; 2],
    up: [u64; 2],
}

impl<'a> Tally<'a> {
    fn new(tensor: &'a Tensor, op: OpKind) -> Tally<'a> {
        let (away, up) = ([0; 2], [0; 2]);
        Tally { tensor, op, bits: false, compared: 0, worst: None, findings: Vec::new(), away, up }
    }

    fn element(&mut self, i: usize, expected: Expected, values: &[f64], found: &[u8], before: &[u8]) {
        let dtype = self.tensor.view.dtype;
        match expected {
            Expected::Free => {}
            Expected::Kept => {
                if code(found, dtype, i) != code(before, dtype, i) {
                    self.find(Check::Guards, i, None, || "was changed, although no row of the step owns it".to_owned());
                }
            }
            Expected::Exactly(v) => self.exact(i, values[i], v, found),
            Expected::Near(num) => self.near(i, values[i], num, format::round(dtype, num.v), num.bound(dtype)),
        }
    }

    fn exact(&mut self, i: usize, found: f64, v: f64, bytes: &[u8]) {
        self.compared += 1;
        let dtype = self.tensor.view.dtype;
        let wanted = format::encode(dtype, v);
        let same = match (v.is_nan(), self.bits) {
            (true, _) => found.is_nan(),
            (false, true) => code(bytes, dtype, i) == wanted,
            (false, false) => found == format::decode(dtype, wanted),
        };
        if !same {
            let check = if found.is_nan() != v.is_nan() { Check::NonFinite } else { Check::Exact };
            self.find(check, i, None, || {
                format!("{found:?}, every device must give {:?}", format::decode(dtype, wanted))
            });
        }
    }

    fn near(&mut self, i: usize, found: f64, num: Num, expected: f64, bound: f64) {
        self.compared += 1;
        if expected.is_nan() || expected.is_infinite() || found.is_nan() {
            // An infinite bound says that honest devices may differ by anything here, overflow included.
            let same = (found.is_nan() && expected.is_nan()) || found == expected || bound.is_infinite();
            if !same {
                self.find(Check::NonFinite, i, None, || format!("{found:?}, the judge has {expected:?}"));
            }
            return;
        }
        let error = (found - expected).abs();
        if error > bound {
            let share = if bound > 0.0 { Some(error / bound) } else { None };
            self.find(Check::Bound, i, share, || {
                format!("{found:e}, the judge has {expected:e} and allows {bound:.3e} (off by {error:.3e})")
            });
        }
        if bound > 0.0 && bound.is_finite() {
            let share = error / bound;
            if self.worst.as_ref().is_none_or(|w| share > w.share) {
                self.worst = Some(Worst { element: i, found, expected, bound, share });
            }
            let off = found - num.v;
            if off != 0.0 && num.v != 0.0 {
                self.away[usize::from((off > 0.0) == (num.v > 0.0))] += 1;
                self.up[usize::from(off > 0.0)] += 1;
            }
        }
    }

    /// A packed row whose codes are not decided: its numbers lie within their bounds.
    fn packed_row(&mut self, row: usize, nums: &[Num], format: omnihal::RowFormat, rotary: usize, values: &[f64]) {
        let stored = self.tensor.view.shape[self.tensor.view.shape.rank() - 1];
        let bytes = &values[row * stored..(row + 1) * stored];
        for (c, (found, num)) in rows::unpack(format, bytes, nums.len(), rotary).into_iter().zip(nums).enumerate() {
            // Rotated channels are stored in BF16, codes lie on their grid already.
            let (expected, bound) = (format::round(DType::BF16, num.v), num.bound(DType::BF16));
            self.near(row * stored + c.min(stored - 1), found, *num, expected, bound);
        }
    }

    /// Rows whose choice is open: as many distinct candidates as there must be, none surely worse than one left out.
    fn sets(&mut self, choice: &Choice, values: &[f64]) {
        for (row, candidates) in choice.rows.iter().enumerate() {
            let Some(candidates) = candidates else { continue };
            self.compared += 1;
            let chosen = &values[row * choice.keep..(row + 1) * choice.keep];
            if let Some(why) = bad_choice(chosen, candidates, choice.keep) {
                self.find(Check::Set, row * choice.keep, None, || format!("row {row} chose {chosen:?}: {why}"));
            }
        }
    }

    /// Errors of many independent elements point both ways. Six standard deviations: one false alarm in 5e8 outputs.
    fn bias(&mut self) {
        for (counts, what) in [(self.away, ["towards zero", "away from zero"]), (self.up, ["down", "up"])] {
            let n = counts[0] + counts[1];
            let lean = counts[0].abs_diff(counts[1]) as f64;
            if n >= MIN_SIGNS && lean > 6.0 * (n as f64).sqrt() {
                let most = usize::from(counts[1] > counts[0]);
                let text = format!("{} of {n} inexact elements err {}", counts[most], what[most]);
                self.findings.push(Finding::new(Check::Bias, text).in_arg(self.tensor.name));
                return;
            }
        }
    }

    /// Notes what was found: one finding a kind of check, with its first element, a count and the worst share.
    fn find(&mut self, check: Check, element: usize, share: Option<f64>, text: impl FnOnce() -> String) {
        if let Some(known) = self.findings.iter_mut().find(|f| f.check == check) {
            known.count += 1;
            known.share = known.share.into_iter().chain(share).reduce(f64::max);
            return;
        }
        let element = Some(indices(self.tensor, element));
        let text = format!("{}: {}", self.op.name(), text());
        self.findings.push(Finding { element, count: 1, share, ..Finding::new(check, text).in_arg(self.tensor.name) });
    }
}

/// Why a choice is none that an honest device can make.
fn bad_choice(chosen: &[f64], candidates: &[(usize, Num)], keep: usize) -> Option<String> {
    let wanted = keep.min(candidates.len());
    let mut kept = Vec::new();
    for &place in chosen.iter().filter(|&&c| c >= 0.0) {
        let Some(candidate) = candidates.iter().find(|c| c.0 as f64 == place) else {
            return Some(format!("{place} is no candidate"));
        };
        if kept.iter().any(|k: &&(usize, Num)| k.0 == candidate.0) {
            return Some(format!("{place} was chosen twice"));
        }
        kept.push(candidate);
    }
    if kept.len() != wanted {
        return Some(format!("{} were chosen, {wanted} must be", kept.len()));
    }
    let lowest = kept.iter().min_by(|a, b| a.1.hi().total_cmp(&b.1.hi()))?;
    let left_out = candidates.iter().filter(|c| kept.iter().all(|k| k.0 != c.0));
    let best = left_out.max_by(|a, b| a.1.lo().total_cmp(&b.1.lo()))?;
    (best.1.lo() > lowest.1.hi())
        .then(|| format!("{} with {:e} was left out for {} with {:e}", best.0, best.1.v, lowest.0, lowest.1.v))
}

/// The code of an element in view order.
fn code(bytes: &[u8], dtype: DType, i: usize) -> u64 {
    match dtype.bits() / 8 {
        0 => u64::from((bytes[i / 2] >> (4 * (i % 2))) & 15),
        width => (0..width).rev().fold(0, |code, k| code << 8 | u64::from(bytes[i * width + k])),
    }
}

/// Place along each axis of an element in view order.
pub fn indices(tensor: &Tensor, mut element: usize) -> Vec<usize> {
    let dims = tensor.view.shape.dims();
    let mut at = vec![0; dims.len()];
    for axis in (0..dims.len()).rev() {
        at[axis] = element % dims[axis].max(1);
        element /= dims[axis].max(1);
    }
    at
}

/// Elements of every output, in view order, out of copies of their slabs.
pub fn outputs_of(image: &image::Image, expected: &[Output], slabs: &[Vec<u8>]) -> Vec<Vec<u8>> {
    expected
        .iter()
        .map(|o| image.args[o.arg].as_ref().map_or(Vec::new(), |t| image::Image::elements(t, &slabs[t.slab])))
        .collect()
}
