//! gemm.linear, batched, grouped.

use super::{ACTS, List, WEIGHTS, pairwise};
use crate::case::{Data, Layout};
use omnihal::op::ActQuant;
use omnihal::op::gemm::{Batched, Grouped, Linear};
use omnihal::{DType, Op, WeightFormat};

const DATA: [Data; 4] = [Data::Normal, Data::Wide, Data::Whole, Data::Small];
const LAYOUTS: [Layout; 3] = [Layout::Dense, Layout::Apart, Layout::Shifted];

pub(super) fn add(list: &mut List) {
    linear(list);
    prompt(list);
    released(list);
    batched(list);
    grouped(list);
}

fn linear(list: &mut List) {
    // Rows and columns around the tiles of 8, 16, 32, 64, 128; inner sizes that end inside a tile and inside a block of scales.
    let rows = [1, 2, 7, 17, 33];
    let inner: [usize; 7] = [1, 31, 96, 128, 160, 257, 520];
    let outer = [1, 9, 33, 130];
    for [r, k, o, input, w, out, data, layout] in pairwise([5, 7, 4, 2, 4, 2, 4, 3]) {
        let weight = WEIGHTS[w];
        // A row of packed codes has whole bytes, and whole groups of 32.
        let inner = if weight == WeightFormat::FP4_ROW { inner[k].next_multiple_of(32) } else { inner[k] };
        let (input, output) = (ACTS[input], if out == 0 { DType::F32 } else { ACTS[input] });
        // A single product may vanish beside what it is added to.
        let (a_quant, accumulate) = (ActQuant::None, inner > 1 && (r + k + o) % 4 == 0);
        let d = Linear { rows: rows[r], inner, outer: outer[o], input, weight, a_quant, output, accumulate };
        list.add(d, DATA[data], LAYOUTS[layout], None, (r + o) % 2 == 0);
    }
    for weight in WEIGHTS {
        for input in ACTS {
            for (rows, inner, outer, data) in [
                (5, 256, 40, Data::Normal),
                (1, 128, 7, Data::Wide),
                (3, 384, 129, Data::Normal),
                (4, 512, 9, Data::Groups),
                (2, 256, 5, Data::Peaks),
            ] {
                let (a_quant, output, accumulate) = (ActQuant::F8G128, input, false);
                let d = Linear { rows, inner, outer, input, weight, a_quant, output, accumulate };
                list.add(d, data, Layout::Dense, None, rows > 3);
            }
            // A NaN spoils its own row.
            let (a_quant, output, accumulate) = (ActQuant::None, input, false);
            let d = Linear { rows: 9, inner: 64, outer: 20, input, weight, a_quant, output, accumulate };
            list.add(d, Data::Nan, Layout::Dense, None, true);
            // Many outputs of one product: the signs of their errors are counted.
            let (a_quant, output, accumulate) = (ActQuant::None, DType::F32, false);
            let d = Linear { rows: 16, inner: 512, outer: 64, input, weight, a_quant, output, accumulate };
            list.add(d, Data::Normal, Layout::Dense, None, true);
        }
    }
}

/// Products of the released models (deepseek-v4.md 1) for one and two tokens: full inner sizes, and outer sizes that a test can afford.
fn released(list: &mut List) {
    let flash = [(4096, 1536), (1024, 2048), (4096, 512), (8192, 512), (4096, 256), (2048, 512)];
    let pro = [(7168, 2048), (1536, 1024), (7168, 384), (16384, 256), (3072, 512)];
    for (inner, outer) in flash.into_iter().chain(pro) {
        for weight in &WEIGHTS[1..] {
            let (input, output, a_quant) = (DType::BF16, DType::BF16, ActQuant::None);
            let d = Linear { rows: 2, inner, outer, input, weight: *weight, a_quant, output, accumulate: false };
            list.add(d, Data::Normal, Layout::Dense, None, false);
        }
    }
}

/// As many rows as a prompt brings: kernels with tiles of 64, 128 and 256 rows, and with the inner axis cut among blocks, are others than those of a few rows. And a few rows
/// whose scales, nine to a channel, begin at odd addresses.
fn prompt(list: &mut List) {
    for weight in WEIGHTS {
        for (rows, inner, outer) in [(5, 288, 24), (33, 544, 72), (65, 160, 140), (130, 640, 140), (200, 640, 140)] {
            for a_quant in [ActQuant::None, ActQuant::F8G128] {
                if a_quant != ActQuant::None && inner % 128 != 0 {
                    continue;
                }
                let (input, output) = (DType::BF16, DType::BF16);
                let d = Linear { rows, inner, outer, input, weight, a_quant, output, accumulate: false };
                list.add(d, Data::Normal, Layout::Dense, None, false);
            }
        }
    }
    for rows in [65, 200] {
        let (input, output) = (DType::BF16, DType::BF16);
        let d = Batched {
            batch: 2,
            m: rows,
            inner: 640,
            n: 40,
            transpose_a: false,
            transpose_b: true,
            input,
            output,
            alpha: 1.0,
            accumulate: false,
        };
        list.add(d, Data::Normal, Layout::Dense, None, false);
    }
}

fn batched(list: &mut List) {
    let sizes = [(1, 1, 1, 1), (3, 5, 37, 9), (2, 33, 64, 17), (4, 2, 130, 3)];
    let flags = [(false, false), (true, false), (false, true), (true, true)];
    let alphas = [1.0, 0.3];
    for [size, flag, input, out, alpha, data, layout] in pairwise([4, 4, 2, 2, 2, 4, 3]) {
        let ((batch, m, inner, n), (transpose_a, transpose_b)) = (sizes[size], flags[flag]);
        let (input, output, alpha) = (ACTS[input], ACTS[out], alphas[alpha]);
        // A single product may vanish beside what it is added to.
        let accumulate = size > 0 && (size + flag) % 3 == 1;
        let d = Batched { batch, m, inner, n, transpose_a, transpose_b, input, output, alpha, accumulate };
        list.add(d, DATA[data], LAYOUTS[layout], None, true);
    }
    for (transpose_a, transpose_b) in flags {
        let (input, output) = (DType::F32, DType::F32);
        let square = |n| Batched {
            batch: 2,
            m: n,
            inner: n,
            n,
            transpose_a,
            transpose_b,
            input,
            output,
            alpha: 1.0,
            accumulate: false,
        };
        list.plain(square(8));
        list.add(square(17), Data::Nan, Layout::Dense, None, true);
    }
    // One query row's heads against its keys, as the composed attention of the released models has them.
    let d = Batched {
        batch: 1,
        m: 64,
        inner: 512,
        n: 160,
        transpose_a: false,
        transpose_b: true,
        input: DType::BF16,
        output: DType::F32,
        alpha: 0.044_194_173,
        accumulate: false,
    };
    list.add(d, Data::Normal, Layout::Dense, None, false);
}

fn grouped(list: &mut List) {
    for input in ACTS {
        for weight in WEIGHTS {
            for (rows, groups, inner, outer) in [(6, 3, 96, 21), (1, 1, 32, 1), (17, 5, 160, 33)] {
                let d: Op = Grouped { rows, groups, inner, outer, input, weight, output: DType::F32 }.into();
                list.add(d, if rows == 17 { Data::Wide } else { Data::Normal }, Layout::Dense, None, rows == 6);
            }
            let d = Grouped { rows: 9, groups: 4, inner: 64, outer: 12, input, weight, output: input };
            list.add(Grouped { rows: 2, groups: 5, ..d }, Data::Nan, Layout::Dense, None, true);
            list.add(d, Data::Whole, Layout::Apart, None, true);
        }
    }
}
