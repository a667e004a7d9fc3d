//! `sample.*`.

use super::topk::{self, MERGE_THREADS, MOST_KEPT};
use super::{Choice, CudaPlan, fits, int, unsupported};
use crate::modules::Modules;
use crate::params::{Ptr, Rows, params};
use crate::stream::Queue;
use omnihal::op::sample::{Pick, PickArgs, TopK, TopKArgs};
use omnihal::{Args, Op, Result};

params! {
    /// Parameters of the `topk_*` kernels. `parts` holds `left` ranks for each row and segment of `length` elements, or all ranks of each row, sorted.
    SampleTopK {
        x: Rows,
        values: Rows,
        idx: Rows,
        parts: Ptr,
        width: i32,
        keep: i32,
        room: i32,
        segments: i32,
        length: i32,
        left: i32,
        largest: i32,
        reserved: i32,
    }
    /// Parameters of the `pick_*` kernels. `parts` and `sums` hold `left` ranks and two numbers for each row and segment; `sorted`, if not null, all ranks of each row.
    SamplePick {
        logits: Rows,
        par: Rows,
        toks: Rows,
        seen: Rows,
        last: Rows,
        u: Ptr,
        out: Ptr,
        tok: Ptr,
        logprob: Ptr,
        parts: Ptr,
        sums: Ptr,
        sorted: Ptr,
        vocab: i32,
        candidates: i32,
        rows: i32,
        slots: i32,
        drafts: i32,
        room: i32,
        segments: i32,
        length: i32,
        left: i32,
        reserved: i32,
    }
}

/// Threads of a block that has a part of a row.
const PART_THREADS: u32 = 256;

/// Threads of a block that sorts a row.
const SORT_THREADS: u32 = 1024;

/// Parts of a row of logits: the lanes of a warp, of which each takes one in the end.
const PICK_PARTS: usize = 32;

/// Logits that are worth a block.
const PICK_LENGTH: usize = 128;

pub(crate) fn plan(op: &Op, modules: &Modules) -> Result<Choice> {
    match op {
        Op::SampleTopK(d) => plan_topk(d, modules),
        Op::SamplePick(d) => plan_pick(d, modules),
        other => unsupported(other),
    }
}

fn part_room(keep: usize) -> usize {
    topk::room(keep, topk::step(PART_THREADS))
}

fn plan_topk(d: &TopK, modules: &Modules) -> Result<Choice> {
    fits(&[d.rows, d.width.next_power_of_two()])?;
    if d.keep > MOST_KEPT {
        let mut choice = Choice::new(topk_sort, &[modules.function("sample", "topk_sort", 0)?]);
        choice.workspace = 8 * d.rows * d.width.next_power_of_two();
        return Ok(choice);
    }
    // A part of less than four times what it leaves would save the merge nothing.
    let segments = topk::parts(d.rows, modules.multiprocessors, d.width / (4 * d.keep).max(2048));
    let length = d.width.div_ceil(segments);
    let part = modules.function("sample", "topk_part", topk::bytes(part_room(d.keep)))?;
    let merge = modules.function("sample", "topk_merge", topk::bytes(topk::merge_room(d.keep)))?;
    let mut choice = Choice::new(topk, &[part, merge]);
    let left = d.keep.min(length);
    if segments > 1 {
        choice.workspace = 8 * d.rows * segments * left;
    }
    choice.tuning = [segments as u32, length as u32, left as u32, 0, 0, 0, 0, 0];
    Ok(choice)
}

fn topk_params(plan: &CudaPlan, d: &TopK, args: &Args<'_>) -> Result<SampleTopK> {
    let a = TopKArgs::new(args)?;
    let [segments, length, left, ..] = plan.tuning().map(|n| n as i32);
    Ok(SampleTopK {
        x: Rows::new(a.x),
        values: Rows::new(a.values),
        idx: Rows::new(a.idx),
        parts: Ptr(args.workspace.addr),
        width: int(d.width),
        keep: int(d.keep),
        room: int(part_room(d.keep)),
        segments,
        length,
        left,
        largest: d.largest.into(),
        reserved: 0,
    })
}

fn topk(plan: &CudaPlan, args: &Args<'_>, queue: &Queue<'_>) -> Result<()> {
    let Op::SampleTopK(d) = &plan.op else { return Ok(()) };
    let params = topk_params(plan, d, args)?;
    let (rows, parts) = (d.rows.min(args.rows_hint) as u32, params.segments as u32);
    let shared = topk::bytes(part_room(d.keep));
    queue.launch(plan.kernel(0)?, [rows, parts, 1], PART_THREADS, shared, &params)?;
    if parts == 1 {
        return Ok(());
    }
    let room = topk::merge_room(d.keep);
    let params = SampleTopK { room: int(room), ..params };
    queue.launch(plan.kernel(1)?, [rows, 1, 1], MERGE_THREADS, topk::bytes(room), &params)
}

fn topk_sort(plan: &CudaPlan, args: &Args<'_>, queue: &Queue<'_>) -> Result<()> {
    let Op::SampleTopK(d) = &plan.op else { return Ok(()) };
    let rows = d.rows.min(args.rows_hint) as u32;
    queue.launch(plan.kernel(0)?, [rows, 1, 1], SORT_THREADS, 0, &topk_params(plan, d, args)?)
}

/// How the rows of logits are cut, and where the workspace keeps what.
struct Cut {
    segments: usize,
    length: usize,
    left: usize,
    sorted: bool,
    /// Bytes for the ranks that the parts leave, then for all ranks, then for the sums.
    bytes: [usize; 3],
}

impl Cut {
    /// By the vocabulary alone: the order of the sums must not depend on the other rows.
    fn of(d: &Pick) -> Cut {
        let length = d.vocab.div_ceil(PICK_PARTS).max(PICK_LENGTH);
        let (segments, sorted) = (d.vocab.div_ceil(length), d.candidates > MOST_KEPT);
        let left = if sorted { 1 } else { d.candidates.clamp(1, length) };
        // A rank and the sum of what is before it.
        let all = if sorted { 12 * d.vocab.next_power_of_two() } else { 0 };
        let bytes = [8 * segments * left, all, 8 * segments].map(|bytes| bytes * d.wanted);
        Cut { segments, length, left, sorted, bytes }
    }
}

/// Room of the merging block and its bytes, with a sum for each candidate.
fn pick_shared(d: &Pick) -> (usize, u32) {
    let room = topk::merge_room(d.candidates.max(1));
    (room, topk::bytes(room) + 4 * d.candidates.max(1) as u32)
}

fn plan_pick(d: &Pick, modules: &Modules) -> Result<Choice> {
    fits(&[d.wanted, d.vocab.next_power_of_two(), d.rows, d.slots, d.drafts])?;
    let cut = Cut::of(d);
    let (part, end) = match cut.sorted {
        true => (0, modules.function("sample", "pick_sort", 0)?),
        false => {
            (topk::bytes(part_room(d.candidates.max(1))), modules.function("sample", "pick_merge", pick_shared(d).1)?)
        }
    };
    let mut choice = Choice::new(pick, &[modules.function("sample", "pick_part", part)?, end]);
    choice.workspace = cut.bytes.iter().sum();
    Ok(choice)
}

fn pick(plan: &CudaPlan, args: &Args<'_>, queue: &Queue<'_>) -> Result<()> {
    let (Op::SamplePick(d), a) = (&plan.op, PickArgs::new(args)?) else { return Ok(()) };
    let cut = Cut::of(d);
    let at = |bytes: usize| Ptr(args.workspace.addr + bytes as u64);
    let candidates = d.candidates.max(1);
    let params = SamplePick {
        logits: Rows::new(a.logits),
        par: Rows::new(a.par),
        toks: Rows::new(a.toks),
        seen: Rows::of(a.seen),
        last: Rows::new(a.last),
        u: a.u.into(),
        out: a.out.into(),
        tok: a.tok.into(),
        logprob: a.logprob.into(),
        parts: at(0),
        sums: at(cut.bytes[0] + cut.bytes[1]),
        sorted: if cut.sorted { at(cut.bytes[0]) } else { Ptr(0) },
        vocab: int(d.vocab),
        candidates: int(candidates),
        rows: int(d.rows),
        slots: int(d.slots),
        drafts: int(d.drafts),
        room: int(part_room(candidates)),
        segments: int(cut.segments),
        length: int(cut.length),
        left: int(cut.left),
        reserved: 0,
    };
    let (rows, parts) = (d.wanted as u32, cut.segments as u32);
    let shared = if cut.sorted { 0 } else { topk::bytes(part_room(candidates)) };
    queue.launch(plan.kernel(0)?, [rows, parts, 1], PART_THREADS, shared, &params)?;
    if cut.sorted {
        return queue.launch(plan.kernel(1)?, [rows, 1, 1], SORT_THREADS, 0, &params);
    }
    let (room, shared) = pick_shared(d);
    let params = SamplePick { room: int(room), ..params };
    queue.launch(plan.kernel(1)?, [rows, 1, 1], MERGE_THREADS, shared, &params)
}
