//! Every result of the CPU lies within the bound that the judge computes for it: no tolerance is chosen here.

#![allow(clippy::unwrap_used, reason = "a test: what panics here is the failure it reports")]

mod inputs;
mod ops;

use inputs::Bench;
use omnihal::op::Role;
use omnihal::{Args, Op, View};
use omnihal_reference::{Output, Values, evaluate, tensor};
use omnihal_runtime::transfer;

/// Values of the bound's worst use, of all elements compared.
struct Verdict {
    compared: usize,
    share: f64,
}

/// Where the elements of an output lie in its view.
fn places(output: &Output) -> Vec<usize> {
    match &output.values {
        Values::Dense(values) => (0..values.len()).collect(),
        Values::Rows { rows, width, .. } => rows.iter().flat_map(|r| r * width..(r + 1) * width).collect(),
    }
}

fn compare(op: &Op, name: &str, output: &Output, view: &View) -> Verdict {
    let found = tensor::read(view).unwrap();
    let mut verdict = Verdict { compared: 0, share: 0.0 };
    for (i, (num, place)) in output.nums().iter().zip(places(output)).enumerate() {
        if output.mask.as_ref().is_some_and(|mask| !mask[i]) {
            continue;
        }
        let value = found.data[place];
        let rounded = omnihal_reference::format::round(view.dtype, num.v);
        let bound = if output.exact { 0.0 } else { num.bound(view.dtype) };
        let error = (value - rounded).abs();
        let within = error <= bound || (value.is_nan() && rounded.is_nan()) || value == rounded;
        assert!(within, "{op:?}\n`{name}` element {place}: {value}, the judge has {rounded} within {bound:e}");
        verdict.compared += 1;
        if bound > 0.0 {
            verdict.share = verdict.share.max(error / bound);
        }
    }
    verdict
}

fn judge(op: &Op) -> Verdict {
    let device = omnihal_backends::registry().open("cpu").unwrap();
    let bench = Bench::new(&*device, op);
    let views = bench.views();
    // SAFETY: the CPU's memory is host memory; the bench keeps it alive and nothing runs meanwhile.
    let outputs = unsafe { evaluate(op, &Args::new(&views)) }.unwrap();
    let owners: Vec<_> = bench.buffers.iter().collect();
    transfer::run_once(&*device, &*bench.stream, op, &views, &owners).unwrap_or_else(|e| panic!("{op:?}: {e}"));
    let types = op.arg_types();
    let written = types.iter().filter(|t| t.present && t.role != Role::Read).count();
    assert_eq!(outputs.len(), written, "{op:?}");
    let each = outputs.iter().map(|o| compare(op, types[o.arg].name, o, views[o.arg].as_ref().unwrap()));
    each.fold(Verdict { compared: 0, share: 0.0 }, |a, b| Verdict {
        compared: a.compared + b.compared,
        share: a.share.max(b.share),
    })
}

#[test]
fn the_cpu_stays_within_the_judges_bounds() {
    let mut families = std::collections::BTreeMap::<&str, (usize, usize, f64)>::new();
    for op in ops::all() {
        let verdict = judge(&op);
        assert!(verdict.compared > 0, "{op:?}: nothing is specified");
        let family = families.entry(op.kind().name()).or_default();
        *family = (family.0 + 1, family.1 + verdict.compared, family.2.max(verdict.share));
    }
    println!("{:<20} {:>5} {:>8}  worst share of the bound", "operator", "cases", "elements");
    for (name, (cases, elements, share)) in &families {
        println!("{name:<20} {cases:>5} {elements:>8}  {share:.3}");
    }
    assert!(families.len() >= 30, "{} operators were judged", families.len());
}

#[test]
fn a_wrong_element_is_beyond_its_bound() {
    let op = ops::all().into_iter().find(|op| op.kind().name() == "gemm.linear").unwrap();
    let device = omnihal_backends::registry().open("cpu").unwrap();
    let bench = Bench::new(&*device, &op);
    let views = bench.views();
    // SAFETY: as in `judge`.
    let outputs = unsafe { evaluate(&op, &Args::new(&views)) }.unwrap();
    let num = outputs[0].nums()[0];
    let y = views[outputs[0].arg].as_ref().unwrap();
    let wrong = num.v + 3.0 * num.bound(y.dtype);
    // Nothing has run yet: the first element is what is written here.
    let owner = bench.owner(y);
    transfer::write(&*bench.stream, owner, y.offset, &(wrong as f32).to_le_bytes()).unwrap();
    let caught = std::panic::catch_unwind(|| compare(&op, "y", &outputs[0], y));
    assert!(caught.is_err());
}
