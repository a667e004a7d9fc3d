//! Attention. Types and sizes are those of the documents of SparseFlashMla and InplacePartialRotaryMul.
//!
//! The pool of compressed entries is what the vendor reads by pages, as it is. The window rings are not: their rows are in order of position modulo the ring, and those of the step are beside
//! them. So the rows of each window are gathered, as the composition does, into one block for each row of the step, and every row of the step is a sequence of its own to the vendor.

use super::{Fits, want};
use crate::ops::calls::Calls;
use crate::ops::places::divided;
use crate::ops::tensor::Tensor;
use crate::ops::words::{BF16, BOOL, F32, I32, I64, Order};
use crate::sys::types::T;
use crate::toolkit::version::Soc;
use omnihal::op::attention::{Entries, Query, QueryArgs, Sparse, SparseArgs};
use omnihal::{Args, Column, DType, Error, Op, Result, RowFormat, View};
use std::ptr::null;

/// Step columns that follow the arguments.
pub(super) const SPARSE_COLUMNS: &[Column] = &[Column::HistSrc, Column::WinSrc, Column::TokQt];
/// The only width of a head and length of a window.
const HEAD: usize = 512;
const WINDOW: usize = 128;
/// What windows may be gathered into.
const MOST_GATHERED: usize = 64 << 20;
/// Positions of a window before its last, and after it.
const LEFT: i64 = WINDOW as i64 - 1;
const RIGHT: i64 = 0;
/// Integers of the vendor's own metadata.
pub(super) const METADATA: usize = 1024;
/// A band of the window, and causal (the vendor's numbers of masks).
const BAND: i64 = 4;
pub(super) const CAUSAL: i64 = 3;
pub(super) const LAYOUT_Q: &std::ffi::CStr = c"BSND";
pub(super) const LAYOUT_KV: &std::ffi::CStr = c"PA_BBND";

pub(super) fn sparse_fits(op: &Op, soc: Soc) -> Fits {
    let Op::AttentionSparse(d) = op else { return Err("another operator".to_owned()) };
    want(d.act == DType::BF16, || format!("activations are {}, it takes bf16", d.act))?;
    want(d.format == RowFormat::Plain(DType::BF16), || "stored rows are not plain bf16".to_owned())?;
    want(d.head == HEAD, || format!("heads of {} channels, it takes {HEAD}", d.head))?;
    let fewest = if soc == Soc::A950 { 2 } else { 1 };
    let heads = d.heads.is_power_of_two() && (fewest..=128).contains(&d.heads);
    want(heads, || format!("{} heads, it takes powers of two up to 128", d.heads))?;
    want(d.window == WINDOW, || format!("a window of {}, it takes {WINDOW}", d.window))?;
    let bytes = d.rows * WINDOW * HEAD * 2;
    want(bytes <= MOST_GATHERED, || {
        format!(
            "window rings are in order of position modulo their length: gathering {} windows would take {bytes} bytes",
            d.rows
        )
    })?;
    if d.entries == Entries::None {
        return Ok(());
    }
    let block = d.pages.entries;
    want(block % 16 == 0 && block <= 1024, || {
        format!("pages of {block} entries, it takes multiples of 16 up to 1024")
    })?;
    match (soc, d.entries) {
        (Soc::A950, _) => want(d.ratio <= 128, || format!("a ratio of {}, it takes up to 128", d.ratio)),
        (_, Entries::Listed(keep)) => {
            want(d.ratio == 4, || format!("listed entries at ratio {}, it takes 4", d.ratio))?;
            want(keep == 512 || keep == 1024, || format!("{keep} listed entries, it takes 512 or 1024"))
        }
        _ => want(d.ratio == 128, || format!("all entries at ratio {}, it takes 128", d.ratio)),
    }
}

pub(super) fn query_fits(op: &Op, _: Soc) -> Fits {
    let Op::AttentionQuery(d) = op else { return Err("another operator".to_owned()) };
    want(d.head <= 1024, || format!("heads of {} channels, it takes up to 1024", d.head))?;
    want(d.eps > 0.0, || "a norm without epsilon".to_owned())
}

/// Shape of a step column for one row a tile, which is what temporaries are measured with: none depends on the tile.
pub(super) fn column_dims(op: &Op, column: Column) -> Vec<usize> {
    let Op::AttentionSparse(d) = op else { return vec![1] };
    match column {
        Column::HistSrc => vec![1 + (d.window - 1) * d.seqs],
        Column::WinSrc => vec![d.rows, d.window],
        _ => vec![d.rows],
    }
}

/// Cosines and sines of each row, every one twice, as `[rows, 1, 1, rotary]`.
fn angles(c: &mut Calls<'_>, rope: &Tensor, toks: &Tensor, rows: usize) -> Result<[Tensor; 2]> {
    let [known, rotary] = [rope.dims()[0], rope.dims()[1]];
    let (place, found) = (c.temp(I32, &[rows, 1])?, c.temp(F32, &[rows, rotary])?);
    c.within(&toks.slice(1, 0, 1), known, &place)?;
    let rope = c.dense(rope, F32)?;
    c.pick(&rope, 0, &place.reshape(&[rows]), &found)?;
    let (cosine, sine) = (c.temp(F32, &[rows, rotary])?, c.temp(F32, &[rows, rotary])?);
    for (from, to) in [(0, &cosine), (1, &sine)] {
        c.copy(&found.every(2, from), &to.every(2, 0))?;
        c.copy(&found.every(2, from), &to.every(2, 1))?;
    }
    Ok([cosine.reshape(&[rows, 1, 1, rotary]), sine.reshape(&[rows, 1, 1, rotary])])
}

macro_rules! query {
    ($name:ident, $through:ident) => {
        /// Norm of each head, rounded as every norm is, then the vendor's rotation in f32: in bf16 it wants cosines of that type too.
        pub(super) fn $name(c: &mut Calls<'_>, op: &Op, views: &[Option<View>]) -> Result<()> {
            let Op::AttentionQuery(Query { rows, heads, head, rotary, eps, act, .. }) = *op else {
                return Err(Error::argument(format!("{} where attention.query was expected", op.kind().name())));
            };
            let args = Args::new(views);
            let args = QueryArgs::new(&args)?;
            let (q, rope, toks) = (Tensor::of(args.q)?, Tensor::of(args.rope)?, Tensor::of(args.toks)?);
            let vectors = rows * heads;
            let x = c.temp(F32, &[rows, heads, head])?;
            c.copy(&q, &x)?;
            let (gain, roots) = (c.temp(F32, &[head])?, c.temp(F32, &[vectors, 1])?);
            c.fill(&gain, 1.0)?;
            let value = c.temp(F32, &[vectors, head])?;
            c.rms(&x.reshape(&[vectors, head]), &gain, eps, &value, &roots)?;
            if act == DType::BF16 {
                let rounded = c.of_kind(&value, BF16)?;
                c.copy(&rounded, &value)?;
            }
            let [cosine, sine] = angles(c, &rope, &toks, rows)?;
            let turned = value.reshape(&[rows, 1, heads, head]);
            c.$through(|operators, h| {
                let (x, cosine, sine) = (h.t(&turned)?, h.t(&cosine)?, h.t(&sine)?);
                let (pairs, part) = (1, h.ints(&[head - rotary, head])?);
                // SAFETY: see `words`.
                unsafe { operators.aclnnInplacePartialRotaryMul(x, cosine, sine, pairs, part) }
            })?;
            c.copy(&value.reshape(&[rows, heads, head]), &q)
        }
    };
}

query!(query, call_fused);
query!(query_vllm, call_vllm);

/// The keys of the windows: a block for each row, and how many of its rows count, which come first.
struct Window {
    blocks: Tensor,
    table: Tensor,
    used: Tensor,
}

fn window(c: &mut Calls<'_>, d: &Sparse, args: &SparseArgs<'_>, columns: &[Tensor; 3]) -> Result<Window> {
    let [history, seen, place] = columns;
    let past = history.dims()[0];
    let ring = Tensor::of(args.ring)?;
    if !ring.is_contiguous() {
        return Err(Error::argument("`ring` has gaps: give the rings as they were allocated"));
    }
    let keys = c.temp(BF16, &[past + d.rows, HEAD])?;
    c.pick(&ring.reshape(&[d.slots * d.ring, HEAD]), 0, history, &keys.slice(0, 0, past))?;
    c.copy(&Tensor::of(args.kv)?, &keys.slice(0, past, d.rows))?;
    // What a row sees is ascending with 0 for what is missing in front; the order of keys is of no matter, so the missing go last.
    let rows = c.temp(I32, &[d.rows, WINDOW])?;
    c.pick(seen, 0, place, &rows)?;
    let numbers = c.of_kind(&rows, F32)?;
    let (sorted, places) = (c.temp(F32, &[d.rows, WINDOW])?, c.temp(I64, &[d.rows, WINDOW])?);
    c.sort(&numbers, true, &sorted, &places)?;
    let index = c.of_kind(&sorted, I32)?;
    let blocks = c.temp(BF16, &[d.rows * WINDOW, HEAD])?;
    c.pick(&keys, 0, &index.reshape(&[d.rows * WINDOW]), &blocks)?;
    let (there, ones, count) = (c.temp(BOOL, sorted.dims())?, c.temp(F32, sorted.dims())?, c.temp(F32, &[d.rows])?);
    c.compare_to(Order::Gt, &sorted, 0.0, &there)?;
    c.copy(&there, &ones)?;
    c.sum(&ones, 1, &count)?;
    // Padding rows see the null row: their result is anything, but no sequence is empty.
    let (least, number) = (c.temp(F32, &[d.rows])?, c.temp(F32, &[d.rows])?);
    c.clamp(&count, Some(1.0), None, &least)?;
    c.counting(&number)?;
    let (used, table) = (c.of_kind(&least, I32)?, c.of_kind(&number, I32)?);
    Ok(Window { blocks: blocks.reshape(&[d.rows, WINDOW, 1, HEAD]), table: table.reshape(&[d.rows, 1]), used })
}

/// Rows in pages: the pool as it is, each row's page table, how many entries it sees, and positions behind the last of them.
pub(super) struct Paged {
    pub(super) pool: Tensor,
    pub(super) table: Tensor,
    pub(super) used: Tensor,
    pub(super) rest: Tensor,
}

/// What each row sees of a pool of `[pages, entries, width]`. `sizes`: rows, sequences, positions in an entry.
pub(super) fn rows_of_pages(
    c: &mut Calls<'_>,
    pool: &Tensor,
    pages: &Tensor,
    toks: &Tensor,
    [rows, sequences, ratio]: [usize; 3],
) -> Result<Paged> {
    let (&[all, entries, width], &[_, columns]) = (pool.dims(), pages.dims()) else {
        return Err(Error::argument("`pool` has not 3 axes, or `pt` not 2: give them as the operator declares them"));
    };
    if !pool.is_contiguous() {
        return Err(Error::argument("`pool` has gaps: give the pool as it was allocated"));
    }
    let (which, table) = (c.temp(I32, &[rows, 1])?, c.temp(I32, &[rows, columns])?);
    c.within(&toks.slice(1, 2, 1), sequences, &which)?;
    let pages = c.dense(pages, I32)?;
    c.pick(&pages, 0, &which.reshape(&[rows]), &table)?;
    let position = c.dense(&toks.slice(1, 0, 1), F32)?;
    let seen = c.temp(F32, &[rows, 1])?;
    c.adds(&position, 1.0, &seen)?;
    let [used, rest] = divided(c, &seen, ratio)?;
    let (used, rest) = (c.of_kind(&used, I32)?, c.of_kind(&rest, I32)?);
    let pool = pool.reshape(&[all, entries, 1, width]);
    Ok(Paged { pool, table, used: used.reshape(&[rows]), rest: rest.reshape(&[rows]) })
}

/// The compressed entries, and those chosen.
struct Far {
    paged: Paged,
    chosen: Option<Tensor>,
}

fn far(c: &mut Calls<'_>, d: &Sparse, args: &SparseArgs<'_>, toks: &Tensor) -> Result<Option<Far>> {
    let (Some(pool), Some(pages)) = (args.pool, args.pt) else { return Ok(None) };
    let (pool, pages) = (Tensor::of(pool)?, Tensor::of(pages)?);
    let paged = rows_of_pages(c, &pool, &pages, toks, [d.rows, d.seqs, d.ratio])?;
    let chosen = match args.idx {
        Some(index) => {
            let index = Tensor::of(index)?;
            let keep = index.dims()[1];
            Some(c.dense(&index, I32)?.reshape(&[d.rows, 1, 1, keep]))
        }
        None => None,
    };
    Ok(Some(Far { paged, chosen }))
}

pub(super) fn sparse(c: &mut Calls<'_>, op: &Op, views: &[Option<View>]) -> Result<()> {
    let Op::AttentionSparse(d) = op else {
        return Err(Error::argument(format!("{} where attention.sparse was expected", op.kind().name())));
    };
    let (own, columns) = views.split_at(op.arg_types().len().min(views.len()));
    let args = Args::new(own);
    let args = SparseArgs::new(&args)?;
    let column = |at: usize| match columns.get(at).and_then(Option::as_ref) {
        Some(view) => Tensor::of(view),
        None => Err(Error::argument("the plan's step columns are missing: run it with the columns that it asks for")),
    };
    let columns = [column(0)?, column(1)?, column(2)?];
    let toks = Tensor::of(args.toks)?;
    let window = window(c, d, &args, &columns)?;
    let far = far(c, d, &args, &toks)?;
    let (q, sink, wanted) = (Tensor::of(args.q)?, Tensor::of(args.sink)?, Tensor::of(args.o)?);
    let (q, sink) = (c.dense(&q, BF16)?, c.dense(&sink, F32)?);
    let result = c.dense_place(&wanted, BF16, &[&q])?;
    let metadata = c.temp(I32, &[METADATA])?;
    let sums = c.temp(F32, &[d.rows, 1, 1, d.heads])?;
    attend(c, d, &window, far.as_ref(), [q, sink, result, metadata, sums])?;
    if d.inverse {
        let rope = Tensor::of(args.rope)?;
        let [cosine, sine] = angles(c, &rope, &toks, d.rows)?;
        turn_back(c, d, &result, [cosine, sine])?;
    }
    c.settle(&result, &wanted)
}

/// Numbers that the vendor's two operators share.
struct Numbers {
    rows: i64,
    heads: i64,
    ratio: i64,
    capacity: i64,
    keep: i64,
}

impl Numbers {
    fn new(d: &Sparse, far: Option<&Far>) -> Self {
        Numbers {
            rows: d.rows as i64,
            heads: d.heads as i64,
            ratio: if far.is_some() { d.ratio as i64 } else { 1 },
            capacity: far.map_or(0, |_| d.pages.capacity() as i64),
            keep: far.and_then(|far| far.chosen.as_ref()).map_or(0, |chosen| chosen.dims()[3] as i64),
        }
    }
}

/// Who computes what, which the vendor's attention reads.
fn divide_work(c: &mut Calls<'_>, n: &Numbers, window: &Window, far: Option<&Far>, metadata: &Tensor) -> Result<()> {
    c.call_fused(|fused, h| {
        let used = h.t(&window.used)?;
        let (far_used, rest) = match far {
            Some(far) => (h.t(&far.paged.used)?, h.t(&far.paged.rest)?),
            None => (null(), null()),
        };
        let metadata = h.t(metadata)?;
        let (head, one) = (HEAD as i64, 1);
        // SAFETY: see `words`; the texts are constants.
        unsafe {
            fused.aclnnSparseFlashMlaMetadata(
                null(),
                null(),
                null(),
                null(),
                used,
                far_used,
                rest,
                null(),
                null(),
                n.heads,
                one,
                head,
                n.rows,
                one,
                WINDOW as i64,
                n.capacity,
                0,
                n.keep,
                n.ratio,
                BAND,
                CAUSAL,
                LEFT,
                RIGHT,
                LAYOUT_Q.as_ptr().cast(),
                LAYOUT_KV.as_ptr().cast(),
                true,
                far.is_some(),
                metadata,
            )
        }
    })
}

/// The attention itself.
fn attend(c: &mut Calls<'_>, d: &Sparse, window: &Window, far: Option<&Far>, others: [Tensor; 5]) -> Result<()> {
    let [q, sink, result, metadata, sums] = others;
    let n = Numbers::new(d, far);
    divide_work(c, &n, window, far, &metadata)?;
    let dims = [d.rows, 1, d.heads, HEAD];
    let (q, result) = (q.reshape(&dims), result.reshape(&dims));
    c.call_fused(|fused, h| {
        let mut optional = |tensor: Option<&Tensor>| -> Result<T> { tensor.map_or(Ok(null()), |tensor| h.t(tensor)) };
        let (pool, chosen) =
            (optional(far.map(|far| &far.paged.pool))?, optional(far.and_then(|far| far.chosen.as_ref()))?);
        let far_table = optional(far.map(|far| &far.paged.table))?;
        let (far_used, rest) = (optional(far.map(|far| &far.paged.used))?, optional(far.map(|far| &far.paged.rest))?);
        let (q, keys, table, used) = (h.t(&q)?, h.t(&window.blocks)?, h.t(&window.table)?, h.t(&window.used)?);
        let (sink, metadata, result, sums) = (h.t(&sink)?, h.t(&metadata)?, h.t(&result)?, h.t(&sums)?);
        let (scale, listed_by_index, give_sums) = (f64::from(d.scale), 1, false);
        // SAFETY: as above.
        unsafe {
            fused.aclnnSparseFlashMla(
                q,
                keys,
                pool,
                null(),
                chosen,
                table,
                far_table,
                null(),
                null(),
                null(),
                null(),
                used,
                far_used,
                rest,
                null(),
                null(),
                sink,
                metadata,
                scale,
                n.ratio,
                BAND,
                CAUSAL,
                LEFT,
                RIGHT,
                LAYOUT_Q.as_ptr().cast(),
                LAYOUT_KV.as_ptr().cast(),
                listed_by_index,
                give_sums,
                result,
                sums,
            )
        }
    })
}

/// Rotates the last channels back, in f32. The vendor's attention has rounded them once by then.
fn turn_back(c: &mut Calls<'_>, d: &Sparse, result: &Tensor, [cosine, sine]: [Tensor; 2]) -> Result<()> {
    let part = result.slice(2, HEAD - d.rotary, d.rotary);
    let turned = c.temp(F32, &[d.rows, d.heads, d.rotary])?;
    c.copy(&part, &turned)?;
    // Turning back is turning by the negative angle.
    let negative = c.temp(F32, sine.dims())?;
    c.muls(&sine, -1.0, &negative)?;
    let values = turned.reshape(&[d.rows, 1, d.heads, d.rotary]);
    c.call_fused(|fused, h| {
        let (x, cosine, sine) = (h.t(&values)?, h.t(&cosine)?, h.t(&negative)?);
        let (pairs, whole) = (1, h.ints(&[0, d.rotary])?);
        // SAFETY: see `words`.
        unsafe { fused.aclnnInplacePartialRotaryMul(x, cosine, sine, pairs, whole) }
    })?;
    c.copy(&turned, &part)
}
