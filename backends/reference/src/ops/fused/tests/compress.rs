use super::{F32_NOISE, Table, bits, noisy, plain_rms, plain_rope, rope_table};
use crate::testing::{Bench, assert_close, get};
use omnihal::op::compress::{Update, halves};
use omnihal::op::{PageSpace, RowQuant};
use omnihal::{Column, DType, RowFormat, Sequence, SpaceShape, StepShape, View};

const RATIO: usize = 4;
const WIDTH: usize = 8;
const ROTARY: usize = 4;
const LENGTH: usize = 23;
const SLOT: usize = 3;
const EPS: f32 = 1e-6;

struct Case {
    bench: Bench,
    d: Update,
    proj: View,
    ape: View,
    gain: View,
    rope: View,
}

fn case(overlap: bool, ring: usize) -> Case {
    let mut bench = Bench::new();
    let columns = halves(overlap) * 2 * WIDTH;
    let name = format!("compress {overlap}");
    let proj = noisy(&mut bench, DType::F32, &[LENGTH, columns], &format!("{name} proj"));
    let ape = noisy(&mut bench, DType::F32, &[RATIO, columns], &format!("{name} ape"));
    let gain = noisy(&mut bench, DType::F32, &[WIDTH], &format!("{name} gain"));
    let rope = rope_table(&mut bench, LENGTH, ROTARY);
    let d = Update {
        rows: 0,
        seqs: 2,
        closings: 0,
        ratio: RATIO,
        overlap,
        width: WIDTH,
        rotary: ROTARY,
        positions: LENGTH,
        ring,
        slots: 4,
        eps: EPS,
        hadamard: false,
        quant: RowQuant::None,
        pages: PageSpace { pages: 8, entries: 2, table: 3 },
        format: RowFormat::Plain(DType::F32),
        weight: DType::F32,
        act: DType::F32,
    };
    Case { bench, d, proj, ape, gain, rope }
}

impl Case {
    /// State and pool after the sequence was fed in these chunks, from memory full of NaN.
    fn feed(&mut self, chunks: &[usize], pages: &[i32]) -> (View, View) {
        let columns = halves(self.d.overlap) * 2 * WIDTH;
        let state = self.bench.empty(DType::F32, [4, self.d.ring, columns]);
        let pool = self.bench.empty(DType::F32, [8, 2, WIDTH]);
        let mut first = 0;
        for &chunk in chunks {
            // Two rows of padding after the chunk.
            let d = Update { rows: chunk + 2, closings: SpaceShape::max_closings(RATIO, chunk + 2, 2), ..self.d };
            let space = SpaceShape {
                ratio: RATIO,
                overlap: d.overlap,
                closings: d.closings,
                table: 3,
                page_entries: 2,
                ring: d.ring,
            };
            let shape = StepShape {
                rows: d.rows,
                seqs: 2,
                wanted: 1,
                tile: 1,
                window: 1,
                ring: 1,
                drafts: 0,
                spaces: vec![space],
            };
            let ids = vec![1; chunk];
            let sequence = Sequence { slot: SLOT, first, ids: &ids, pages: &[pages], wanted: &[] };
            let table = Table::new(&mut self.bench, &shape, &[sequence]);
            let proj = self.bench.empty(DType::F32, [chunk + 2, columns]);
            let rows = &get(&self.proj)[first * columns..(first + chunk) * columns];
            crate::testing::set(&proj.slice(0, 0, chunk).unwrap(), rows);
            let step = [Column::PageTable(4), Column::Toks, Column::Seqs, Column::Close(4)].map(|c| table.view(c));
            let views = [proj, self.ape, self.gain, self.rope, state, pool, step[0], step[1], step[2], step[3]];
            self.bench.run(d, &views.map(Some)).unwrap();
            first += chunk;
        }
        (state, pool)
    }

    /// `proj + ape` of a position.
    fn row(&self, pos: usize) -> Vec<f64> {
        let columns = halves(self.d.overlap) * 2 * WIDTH;
        let (proj, ape) = (get(&self.proj), get(&self.ape));
        (0..columns).map(|c| proj[pos * columns + c] + ape[pos % RATIO * columns + c]).collect()
    }

    /// Entry `j`, from its definition.
    fn entry(&self, j: usize) -> Vec<f64> {
        let own = if self.d.overlap { 2 * WIDTH } else { 0 };
        let mut slots: Vec<Vec<f64>> =
            (j * RATIO..(j + 1) * RATIO).map(|pos| self.row(pos)[own..own + 2 * WIDTH].to_vec()).collect();
        if self.d.overlap && j > 0 {
            slots.extend(((j - 1) * RATIO..j * RATIO).map(|pos| self.row(pos)[..2 * WIDTH].to_vec()));
        }
        let pooled: Vec<f64> = (0..WIDTH)
            .map(|c| {
                let total: f64 = slots.iter().map(|s| s[WIDTH + c].exp()).sum();
                slots.iter().map(|s| s[c] * s[WIDTH + c].exp() / total).sum()
            })
            .collect();
        let mut entry = plain_rms(&pooled, &get(&self.gain), f64::from(EPS));
        plain_rope(&mut entry, ROTARY, (j * RATIO) as f64);
        entry
    }
}

#[test]
fn entries_follow_their_definition() {
    for overlap in [false, true] {
        let mut case = case(overlap, 11);
        let (_, pool) = case.feed(&[LENGTH], &[3, 5, 4]);
        let pool = get(&pool);
        for j in 0..LENGTH / RATIO {
            let row = [3, 5, 4][j / 2] * 2 + j % 2;
            assert_close(&pool[row * WIDTH..(row + 1) * WIDTH], &case.entry(j), 4.0 * F32_NOISE);
        }
        let written = pool.iter().filter(|x| !x.is_nan()).count();
        assert_eq!(written, LENGTH / RATIO * WIDTH, "nothing but the entries is written");
    }
}

#[test]
fn any_chunks_leave_the_same_state_and_pool() {
    for (overlap, ring) in [(false, 4), (false, 7), (true, 8), (true, 11)] {
        let mut case = case(overlap, ring);
        let whole = case.feed(&[LENGTH], &[3, 5, 4]);
        for chunks in [vec![1; LENGTH], vec![3, 5, 1, 7, 2, 5], vec![4; 5].into_iter().chain([3]).collect()] {
            let (state, pool) = case.feed(&chunks, &[3, 5, 4]);
            assert_eq!(bits(&state), bits(&whole.0), "state, overlap {overlap}, ring {ring}, {chunks:?}");
            assert_eq!(bits(&pool), bits(&whole.1), "pool, overlap {overlap}, ring {ring}, {chunks:?}");
        }
    }
}

#[test]
fn the_open_window_holds_the_last_rows_by_position() {
    let mut case = case(true, 11);
    let (state, _) = case.feed(&[9, 14], &[3, 5, 4]);
    let (state, columns) = (get(&state), 4 * WIDTH);
    for pos in LENGTH - 11..LENGTH {
        let at = (SLOT * 11 + pos % 11) * columns;
        assert_close(&state[at..at + columns], &case.row(pos), F32_NOISE);
    }
    assert_eq!(state.iter().filter(|x| !x.is_nan()).count(), 11 * columns, "other slots and padding touch nothing");
}

#[test]
fn entries_of_a_missing_page_are_dropped() {
    let mut case = case(true, 11);
    let (_, full) = case.feed(&[LENGTH], &[3, 5, 4]);
    let (_, pool) = case.feed(&[LENGTH], &[3, 5]);
    let entries = |view: &View, page: usize| bits(view)[page * 2 * WIDTH..(page + 1) * 2 * WIDTH].to_vec();
    assert!([3, 5].iter().all(|&page| entries(&pool, page) == entries(&full, page)));
    assert!(
        [0, 1, 2, 4, 6, 7]
            .iter()
            .all(|&page| { get(&pool)[page * 2 * WIDTH..(page + 1) * 2 * WIDTH].iter().all(|x| x.is_nan()) })
    );
}

#[test]
fn stored_entries_are_rounded_to_codes_that_packed_rows_hold_exactly() {
    let mut bench = Bench::new();
    let (width, rotary) = (68, 4);
    let columns = 2 * width;
    let proj = noisy(&mut bench, DType::F32, &[2, columns], "packed proj");
    let ape = bench.put(DType::F32, [2, columns], &vec![0.0; 2 * columns]);
    let gain = bench.put(DType::BF16, [width], &vec![1.0; width]);
    let rope = rope_table(&mut bench, 4, rotary);
    let space = SpaceShape { ratio: 2, overlap: false, closings: 1, table: 1, page_entries: 1, ring: 2 };
    let shape = StepShape { rows: 2, seqs: 1, wanted: 1, tile: 1, window: 1, ring: 1, drafts: 0, spaces: vec![space] };
    let sequence = Sequence { slot: 2, first: 0, ids: &[1, 1], pages: &[&[2]], wanted: &[] };
    let table = Table::new(&mut bench, &shape, &[sequence]);
    let mut rows = Vec::new();
    for format in [RowFormat::Plain(DType::BF16), RowFormat::F8R] {
        let state = bench.empty(DType::F32, [3, 2, columns]);
        let (dtype, len) = format.row(width, rotary);
        let pool = bench.put(dtype, [3, 1, len], &vec![0.0; 3 * len]);
        let d = Update {
            rows: 2,
            seqs: 1,
            closings: 1,
            ratio: 2,
            overlap: false,
            width,
            rotary,
            positions: 4,
            ring: 2,
            slots: 3,
            eps: EPS,
            hadamard: false,
            quant: RowQuant::F8Nope,
            pages: PageSpace { pages: 3, entries: 1, table: 1 },
            format,
            weight: DType::BF16,
            act: DType::BF16,
        };
        let step = [Column::PageTable(2), Column::Toks, Column::Seqs, Column::Close(2)].map(|c| table.view(c));
        let views = [proj, ape, gain, rope, state, pool, step[0], step[1], step[2], step[3]];
        bench.run(d, &views.map(Some)).unwrap();
        rows.push(crate::rows::unpack(format, &get(&pool)[2 * len..], width, rotary));
    }
    assert_eq!(rows[0], rows[1]);
    assert!(rows[0].iter().any(|&x| x != 0.0));
}

#[test]
fn with_bf16_the_pooled_value_is_rounded_before_its_norm() {
    let mut bench = Bench::new();
    // Equal gates: the pooled values are 1 + 3/512, which BF16 rounds to 1 + 4/512, and 3.125.
    let proj = bench.put(DType::F32, [2, 4], &[1.0, 3.0, 0.0, 0.0, 1.0 + 3.0 / 256.0, 3.25, 0.0, 0.0]);
    let ape = bench.put(DType::F32, [2, 4], &[0.0; 8]);
    let gain = bench.put(DType::F32, [2], &[1.0015, 1.0]);
    let rope = bench.put(DType::F32, [2, 2], &[1.0, 0.0, 1.0, 0.0]);
    let (state, pool) = (bench.empty(DType::F32, [3, 2, 4]), bench.empty(DType::BF16, [3, 1, 2]));
    let (pt, seqs, close) = (bench.ints([1, 1], &[2]), bench.ints([1, 4], &[2, 0, 0, 2]), bench.ints([1, 2], &[0, 0]));
    let toks = bench.ints([2, 4], &[0, 2, 0, 1, 1, 2, 0, 1]);
    let d = Update {
        rows: 2,
        seqs: 1,
        closings: 1,
        ratio: 2,
        overlap: false,
        width: 2,
        rotary: 2,
        positions: 2,
        ring: 2,
        slots: 3,
        eps: EPS,
        hadamard: false,
        quant: RowQuant::None,
        pages: PageSpace { pages: 3, entries: 1, table: 1 },
        format: RowFormat::Plain(DType::BF16),
        weight: DType::F32,
        act: DType::BF16,
    };
    bench.run(d, &[proj, ape, gain, rope, state, pool, pt, toks, seqs, close].map(Some)).unwrap();
    // Without the rounding the first channel would be 222/512.
    assert_eq!(get(&pool)[4], 223.0 / 512.0);
}
