//! One case on one device: every way of running it, every check.

use crate::batch;
use crate::bench::{Bench, PATTERNS, TIMEOUT, Way, touched};
use crate::case::Case;
use crate::draw;
use crate::image::Image;
use crate::judge::{self, Judged};
use crate::outcome::{CaseResult, Check, Finding, Outcome};
use crate::rows;
use omnihal::{Accumulation, Args, Determinism, Device, Plan, Result, Support};
use omnihal_reference::{Output, Values};
use std::sync::Arc;
use std::time::Instant;

/// What a run of the kit has in common for all its cases.
#[derive(Clone, Copy, Debug, Default)]
pub struct Options {
    /// Changes every random number.
    pub salt: u64,
    /// Leaves out the second ways of running: graph, second stream, parts.
    pub brief: bool,
}

/// Judges one case on a device.
pub fn run(device: &dyn Device, case: &Case, options: Options) -> CaseResult {
    let started = Instant::now();
    let blank = CaseResult::new(&case.id, case.op.kind().name(), &case.types(), Outcome::Pass);
    let mut result = match witnessed(device, case, options, blank.clone()) {
        Ok(result) => result,
        Err(error) => blank.with_findings(vec![Finding::new(Check::Interface, format!("unexpected error: {error}"))]),
    };
    result.millis = started.elapsed().as_secs_f64() * 1e3;
    result
}

/// A step of nothing but padding is passed by a device that does nothing at all: it counts only if the device also runs the same plan for a step with a row.
fn witnessed(device: &dyn Device, case: &Case, options: Options, blank: CaseResult) -> Result<CaseResult> {
    if case.batch == Some(&batch::EMPTY) {
        let witness = Case { batch: Some(&batch::ALONE), ..case.clone() };
        let brief = Options { brief: true, ..options };
        let seen = judged(device, &witness, brief, blank.clone())?;
        if seen.outcome != Outcome::Pass {
            let why = format!("with one row in the step: {}", seen.message.as_deref().unwrap_or_default());
            return Ok(CaseResult { outputs: Vec::new(), ..seen }.because(why));
        }
    }
    judged(device, case, options, blank)
}

fn judged(device: &dyn Device, case: &Case, options: Options, blank: CaseResult) -> Result<CaseResult> {
    let support = device.supports(&case.op);
    let emulated = match &support {
        Support::Emulated(how) => Some(how.clone()),
        _ => None,
    };
    let plan = match (support, device.plan(&case.op)) {
        (Support::No(reason), Err(_)) => {
            return Ok(CaseResult { outcome: Outcome::Unsupported, ..blank }.because(reason));
        }
        (Support::No(reason), Ok(_)) => {
            let text = format!("the device says that it does not run this ({reason}), and plans it all the same");
            return Ok(CaseResult { outcome: Outcome::Undeclared, ..blank }.because(text));
        }
        (_, Err(error)) => {
            let text = format!("the device says that it runs this, and refuses to plan it: {error}");
            return Ok(CaseResult { outcome: Outcome::Undeclared, ..blank }.because(text));
        }
        (_, Ok(plan)) => plan,
    };
    let mut result = CaseResult {
        accumulation: Some(crate::rejudge::class_text(plan.accumulation())),
        determinism: Some(plan.determinism().to_string()),
        emulated,
        ..blank
    };
    if let Some(refused) = class_refused(plan.accumulation()) {
        return Ok(CaseResult { outcome: Outcome::Undeclared, ..result }.because(refused));
    }
    let image = draw::draw(case, options.salt)?;
    let expected = expected(case, &image, plan.accumulation())?;
    let mut session = Session { device, case, options, image: &image, expected: &expected, findings: Vec::new() };
    result.outputs = session.all(plan)?;
    Ok(result.with_findings(session.findings))
}

/// The judge's outputs.
pub fn expected(case: &Case, image: &Image, class: Accumulation) -> Result<Vec<Output>> {
    // SAFETY: the views lie in the image, which nobody changes meanwhile.
    unsafe { omnihal_reference::evaluate_as(&case.op, &Args::new(&image.host_views()), class) }
}

/// Makes other numbers of a salt: any fixed bits do.
const OTHER: u64 = 0x5EED_0000_0000_0001;

/// Classes of accumulation that the kit knows how to bound; any other is not a declaration.
fn class_refused(class: Accumulation) -> Option<String> {
    match class {
        Accumulation::F64 | Accumulation::F32 => None,
        // Hopper keeps 13 fraction bits of FP8 products and is promoted every 128 (architecture.md 6). Fewer bits are not f32 accumulation in any sense.
        Accumulation::TensorCoreTrunc { bits, promote } if bits >= 13 && (1..=128).contains(&promote) => None,
        other => Some(format!(
            "{other:?} is no class that the kit allows: at least 13 bits, promoted at most every 128 products"
        )),
    }
}

struct Session<'a> {
    device: &'a dyn Device,
    case: &'a Case,
    options: Options,
    image: &'a Image,
    expected: &'a [Output],
    findings: Vec<Finding>,
}

/// One run's memory afterwards.
struct After {
    outputs: Vec<Vec<u8>>,
}

impl Session<'_> {
    fn all(&mut self, plan: Arc<dyn Plan>) -> Result<Vec<crate::outcome::OutputRecord>> {
        let columns = draw::columns(self.case, self.options.salt, plan.columns())?;
        let bench = Bench::new(self.device, self.image, plan, columns)?;
        let stream = self.device.stream()?;
        let first = self.run_and_check(&bench, &*stream, PATTERNS[0], Way::Eager)?;
        let before: Vec<Vec<u8>> = self.before();
        let mut judged = Vec::new();
        for (i, expected) in self.expected.iter().enumerate() {
            let Some(tensor) = &self.image.args[expected.arg] else { continue };
            let class = bench.plan.accumulation();
            let one = judge::output(self.case, class, tensor, expected, &first.outputs[i], &before[i])?;
            judged.push(one);
        }
        let second = self.run_and_check(&bench, &*stream, PATTERNS[1], Way::Eager)?;
        self.written(&judged, &first, &second);
        self.repeated(
            &bench,
            &judged,
            &first,
            &second,
            Check::Repeat,
            "a second run, with other bytes in outputs and workspace,",
        )?;
        if !self.options.brief {
            self.other_ways(&bench, &judged, &first)?;
            self.fewer_rows(&bench, &judged, &first)?;
            self.other_numbers(&bench)?;
            self.parts(&bench, &first, &before)?;
        }
        let mut records = Vec::new();
        for one in judged {
            self.findings.splice(0..0, one.findings);
            records.push(one.record);
        }
        Ok(records)
    }

    /// Outputs as they are before a run.
    fn before(&self) -> Vec<Vec<u8>> {
        let slabs: Vec<Vec<u8>> = self.image.slabs.iter().map(|s| s.bytes.clone()).collect();
        judge::outputs_of(self.image, self.expected, &slabs)
    }

    fn run_and_check(
        &mut self,
        bench: &Bench<'_>,
        stream: &dyn omnihal::Stream,
        poison: [u8; 4],
        way: Way,
    ) -> Result<After> {
        bench.run(stream, poison, way)?;
        let slabs = bench.download(stream)?;
        for (slab, at, guard) in touched(self.image, poison, &slabs) {
            let name = self.image.tensor_of(slab).map_or("scales", |t| t.name);
            let (check, text) = match guard {
                true => (
                    Check::Guards,
                    format!("byte {at} of its allocation, which belongs to no element, was overwritten"),
                ),
                false => (Check::Inputs, format!("byte {at} of an input was changed")),
            };
            self.note(Finding::new(check, text).in_arg(name));
        }
        if !bench.workspace_guards_hold(stream, poison)? {
            self.note(Finding::new(Check::Guards, "the run wrote outside its workspace"));
        }
        let outputs = judge::outputs_of(self.image, self.expected, &slabs);
        Ok(After { outputs })
    }

    /// One finding of a kind is enough.
    fn note(&mut self, finding: Finding) {
        if !self.findings.iter().any(|f| f.check == finding.check && f.arg == finding.arg) {
            self.findings.push(finding);
        }
    }

    /// Every specified element of a pure output was written: it does not hold the first pattern after the first run and the second after the second.
    fn written(&mut self, judged: &[Judged], first: &After, second: &After) {
        for (i, expected) in self.expected.iter().enumerate() {
            let Some(tensor) = &self.image.args[expected.arg] else { continue };
            let dtype = tensor.view.dtype;
            if tensor.role != omnihal::op::Role::Write || dtype.bits() < 8 {
                continue;
            }
            let width = dtype.bits() / 8;
            let still = |bytes: &[u8], e: usize, pattern: [u8; 4]| {
                (0..width).all(|k| bytes[e * width + k] == pattern[(e * width + k) % 4])
            };
            let missing = |e: &usize| {
                judged[i].specified[*e]
                    && still(&first.outputs[i], *e, PATTERNS[0])
                    && still(&second.outputs[i], *e, PATTERNS[1])
            };
            let count = (0..tensor.view.elements()).filter(missing).count();
            if let Some(element) = (0..tensor.view.elements()).find(missing) {
                let element = Some(judge::indices(tensor, element));
                let text = format!("{count} elements were never written");
                let finding = Finding::new(Check::Written, text).in_arg(tensor.name);
                self.findings.insert(0, Finding { element, count: count as u64, ..finding });
            }
        }
    }

    /// Another run gives the same bits in every element that is not free, where the plan declares it; else values within the bounds.
    fn repeated(
        &mut self,
        bench: &Bench<'_>,
        judged: &[Judged],
        first: &After,
        other: &After,
        check: Check,
        what: &str,
    ) -> Result<()> {
        for (i, expected) in self.expected.iter().enumerate() {
            let Some(tensor) = &self.image.args[expected.arg] else { continue };
            if bench.plan.determinism() >= Determinism::Repeatable {
                let dtype = tensor.view.dtype;
                let elements = tensor.view.elements();
                let differs = |e: &usize| {
                    !judged[i].free[*e] && bits(&first.outputs[i], dtype, *e) != bits(&other.outputs[i], dtype, *e)
                };
                if let Some(element) = (0..elements).find(differs) {
                    let text =
                        format!("{what} gave other bits, although the plan declares {}", bench.plan.determinism());
                    let element = Some(judge::indices(tensor, element));
                    self.note(Finding { element, ..Finding::new(check, text).in_arg(tensor.name) });
                }
            } else {
                let before = self.before();
                let again = judge::output(
                    self.case,
                    bench.plan.accumulation(),
                    tensor,
                    expected,
                    &other.outputs[i],
                    &before[i],
                )?;
                if let Some(found) = again.findings.into_iter().find(|f| f.check != Check::Bias) {
                    self.note(Finding::new(check, format!("{what} went wrong: {found}")).in_arg(tensor.name));
                }
            }
        }
        Ok(())
    }

    /// A captured graph and a second stream, which waits for an event of the first.
    fn other_ways(&mut self, bench: &Bench<'_>, judged: &[Judged], first: &After) -> Result<()> {
        let stream = self.device.stream()?;
        if self.device.caps().native_graphs && bench.plan.capture_safe() {
            let graph = self.run_and_check(bench, &*stream, PATTERNS[1], Way::Captured)?;
            self.repeated(bench, judged, first, &graph, Check::Graph, "replay of a captured graph")?;
        }
        let other = self.device.stream()?;
        let event = self.device.event()?;
        bench.upload(&*stream, PATTERNS[1])?;
        stream.record(&*event)?;
        other.wait(&*event)?;
        bench.enqueue(&*other)?;
        other.sync(TIMEOUT)?;
        let slabs = bench.download(&*other)?;
        let outputs = judge::outputs_of(self.image, self.expected, &slabs);
        self.repeated(bench, judged, first, &After { outputs }, Check::Stream, "a second stream")
    }

    /// A hint that the last rows do not matter changes no row before them.
    fn fewer_rows(&mut self, bench: &Bench<'_>, judged: &[Judged], first: &After) -> Result<()> {
        let Some((hint, rows)) = rows::hint(self.case) else { return Ok(()) };
        let stream = self.device.stream()?;
        bench.upload(&*stream, PATTERNS[1])?;
        bench.enqueue_rows(&*stream, hint)?;
        stream.sync(TIMEOUT)?;
        let slabs = bench.download(&*stream)?;
        let outputs = judge::outputs_of(self.image, self.expected, &slabs);
        for (i, expected) in self.expected.iter().enumerate() {
            let Some(tensor) = &self.image.args[expected.arg] else { continue };
            let (dtype, elements) = (tensor.view.dtype, tensor.view.elements());
            let row = elements / rows;
            let of_rows = tensor.view.shape[0] == rows && matches!(expected.values, Values::Dense(_));
            let reach = if of_rows { hint * row } else { 0 };
            let differs = |e: &usize| {
                judged[i].specified[*e] && bits(&first.outputs[i], dtype, *e) != bits(&outputs[i], dtype, *e)
            };
            if bench.plan.determinism() < Determinism::Repeatable {
                continue;
            }
            if let Some(element) = (0..reach).find(differs) {
                let text = format!("a hint that only {hint} of {rows} rows matter changed one of them");
                let element = Some(judge::indices(tensor, element));
                self.note(Finding { element, ..Finding::new(Check::Rows, text).in_arg(tensor.name) });
            }
        }
        Ok(())
    }

    /// The same plan with other numbers in the same memory: nothing of the first run is kept.
    fn other_numbers(&mut self, bench: &Bench<'_>) -> Result<()> {
        if !self.case.quick {
            return Ok(());
        }
        let other = draw::draw(self.case, self.options.salt ^ OTHER)?;
        let expected = expected(self.case, &other, bench.plan.accumulation())?;
        if bench.plan.columns().is_empty() {
            let stream = self.device.stream()?;
            bench.upload_of(&*stream, &other, PATTERNS[0])?;
            bench.enqueue(&*stream)?;
            stream.sync(TIMEOUT)?;
            let slabs = bench.download(&*stream)?;
            let found = judge::outputs_of(&other, &expected, &slabs);
            let before: Vec<Vec<u8>> = other.slabs.iter().map(|s| s.bytes.clone()).collect();
            let before = judge::outputs_of(&other, &expected, &before);
            for (i, expected) in expected.iter().enumerate() {
                let Some(tensor) = &other.args[expected.arg] else { continue };
                let class = bench.plan.accumulation();
                let judged = judge::output(self.case, class, tensor, expected, &found[i], &before[i])?;
                if let Some(found) = judged.findings.into_iter().find(|f| f.check != Check::Bias) {
                    let text = format!("the same plan, run again with other numbers, went wrong: {found}");
                    self.note(Finding::new(Check::Repeat, text).in_arg(tensor.name));
                }
            }
        }
        Ok(())
    }

    /// Parts of the batch on their own, where the plan declares that a row's bits depend on the row alone.
    fn parts(&mut self, bench: &Bench<'_>, first: &After, before: &[Vec<u8>]) -> Result<()> {
        if bench.plan.determinism() < Determinism::RowInvariant {
            return Ok(());
        }
        for part in rows::parts(self.case, self.image)? {
            let plan = self.device.plan(&part.op)?;
            if plan.determinism() < Determinism::RowInvariant || !plan.columns().is_empty() {
                continue;
            }
            let small = Bench::new(self.device, &part.image, plan, None)?;
            let stream = self.device.stream()?;
            small.run(&*stream, PATTERNS[0], Way::Eager)?;
            let slabs = small.download(&*stream)?;
            for (i, expected) in self.expected.iter().enumerate() {
                let Some(tensor) = &part.image.args[expected.arg] else { continue };
                let of_part = Image::elements(tensor, &slabs[tensor.slab]);
                if let Some(element) = part.differs(expected.arg, &of_part, &first.outputs[i], &before[i]) {
                    let text = format!("{} has other bits than in the batch, although the plan declares D2", part.what);
                    let element = Some(judge::indices(tensor, element));
                    self.note(Finding { element, ..Finding::new(Check::Rows, text).in_arg(tensor.name) });
                }
            }
        }
        Ok(())
    }
}

/// The code of an element in view order.
fn bits(bytes: &[u8], dtype: omnihal::DType, e: usize) -> u64 {
    match dtype.bits() / 8 {
        0 => u64::from((bytes[e / 2] >> (4 * (e % 2))) & 15),
        width => (0..width).fold(0, |code, k| code << 8 | u64::from(bytes[e * width + k])),
    }
}
