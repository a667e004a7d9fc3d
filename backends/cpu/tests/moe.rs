//! Routing and experts against plain f64, and the same bits for any rows and threads.

#![allow(clippy::unwrap_used, reason = "a failure here is the failure of a test")]

mod common;

use common::{Host, Random, Tensor, assert_close, bf16, rounded};
use omnihal::op::ActQuant;
use omnihal::op::gemm::Linear;
use omnihal::op::moe::{Experts, Group, Mlp, Route, Routing, Swiglu};
use omnihal::{DType, View, WeightFormat};

fn silu_mul(g: f64, u: f64, limit: f64) -> f64 {
    let g = g.min(limit);
    g / (1.0 + (-g).exp()) * u.clamp(-limit, limit)
}

#[test]
fn pairs_are_sorted_by_expert_and_absent_ones_come_last() {
    let host = Host::new(2);
    let idx = host.indices([4, 2], &[5, 3, 2, 5, -1, 3, 9, 4]);
    let d = Group { rows: 4, choices: 2, first: 3, local: 3 };
    let [perm, src, inv] = [0, 1, 2].map(|_| host.indices([8], &[-9; 8]));
    let counts = host.indices([3], &[-9; 3]);
    host.run(d, &[idx.arg(), perm.arg(), src.arg(), inv.arg(), counts.arg()]);
    assert_eq!(host.ints(&perm), [1, 5, 7, 0, 3, 2, 4, 6]);
    assert_eq!(host.ints(&src), [0, 2, 3, 0, 1, 1, 2, 3]);
    assert_eq!(host.ints(&inv), [3, 0, 5, 4, 6, 1, 7, 2]);
    assert_eq!(host.ints(&counts), [2, 1, 2]);
}

#[test]
fn hidden_values_follow_the_clamped_formula() {
    let host = Host::new(2);
    for act in [DType::F32, DType::BF16] {
        let (rows, inter, limit) = (5, 300, 1.5);
        let d = Swiglu { rows, inter, limit, weighted: true, input: DType::F32, output: act };
        let mut random = Random::new("swiglu");
        let x = host.tensor(DType::F32, [rows, 2 * inter], &random.normals(rows * 2 * inter));
        let wt = host.tensor(DType::F32, [rows], &random.normals(rows));
        let y = host.output(act, [rows, inter]);
        host.run(d, &[x.arg(), wt.arg(), y.arg()]);
        let (x, wt, y) = (host.read(&x), host.read(&wt), host.read(&y));
        for (row, i) in (0..rows * inter).map(|f| (f / inter, f % inter)) {
            let (g, u) = (x[row * 2 * inter + i] as f64, x[row * 2 * inter + inter + i] as f64);
            let want = silu_mul(g, u, limit as f64) * wt[row] as f64;
            assert_close(y[row * inter + i], want, want.abs(), 1, act, "swiglu");
        }
    }
}

struct Routed {
    idx: Vec<i32>,
    wt: Vec<f32>,
    logits: Vec<f32>,
}

fn route(host: &Host, d: &Route, x: &Tensor, gate: &Tensor, bias: &[f32], toks: &[i32]) -> Routed {
    let bias = host.tensor(DType::F32, [d.experts], bias);
    let table: Vec<i32> = (0..10 * d.choices).map(|i| (i * 7 % d.experts) as i32).collect();
    let table = host.indices([10, d.choices], &table);
    let ids = host.indices([d.rows], &(0..d.rows).map(|r| r as i32 % 12).collect::<Vec<_>>());
    let toks = host.indices([d.rows, 4], toks);
    let (idx, wt) = (
        host.indices([d.rows, d.choices], &vec![-9; d.rows * d.choices]),
        host.output(DType::F32, [d.rows, d.choices]),
    );
    let logits = host.output(DType::F32, [d.rows, d.experts]);
    let hash = matches!(d.routing, Routing::Hash(_));
    let only = |present: bool, t: &Tensor| t.arg().filter(|_| present);
    let views = [
        x.arg(),
        gate.arg(),
        only(!hash, &bias),
        only(hash, &table),
        only(hash, &ids),
        toks.arg(),
        idx.arg(),
        wt.arg(),
        logits.arg(),
    ];
    host.run(*d, &views);
    Routed { idx: host.ints(&idx), wt: host.read(&wt), logits: host.read(&logits) }
}

fn router(rows: usize, routing: Routing) -> Route {
    Route {
        rows,
        width: 96,
        experts: 20,
        choices: 3,
        routing,
        scale: 1.5,
        gate: DType::BF16,
        act: DType::BF16,
        with_logits: true,
    }
}

#[test]
fn the_best_biased_scores_are_chosen_and_weighed_without_the_bias() {
    let host = Host::new(2);
    for rows in [2, 9] {
        let d = router(rows, Routing::Scored);
        let mut random = Random::new("route");
        let x = host.tensor(d.act, [rows, d.width], &random.normals(rows * d.width));
        let gate = host.tensor(d.gate, [d.experts, d.width], &random.normals(d.experts * d.width));
        let bias = random.normals(d.experts);
        let mut toks = [0, 2, 0, 5].repeat(rows);
        toks[4..8].fill(-1);
        let got = route(&host, &d, &x, &gate, &bias, &toks);
        for row in (0..rows).filter(|r| *r != 1) {
            let logits = &got.logits[row * d.experts..][..d.experts];
            let scores: Vec<f64> = logits.iter().map(|l| (*l as f64).exp().ln_1p().sqrt()).collect();
            let mut order: Vec<usize> = (0..d.experts).collect();
            order.sort_by(|a, b| (scores[*b] + bias[*b] as f64).total_cmp(&(scores[*a] + bias[*a] as f64)));
            let sum: f64 = order[..3].iter().map(|e| scores[*e]).sum();
            for (q, expert) in order[..3].iter().enumerate() {
                assert_eq!(got.idx[row * 3 + q], *expert as i32);
                let want = scores[*expert] / sum * 1.5;
                assert!((got.wt[row * 3 + q] as f64 - want).abs() < 1e-6 * want);
            }
        }
        assert_eq!((&got.idx[3..6], &got.wt[3..6]), (&[-1; 3][..], &[0.0; 3][..]), "a padding row has no experts");
    }
}

#[test]
fn equal_scores_go_to_the_lowest_expert_and_nan_comes_last() {
    let host = Host::new(1);
    let d = router(1, Routing::Scored);
    let x = host.tensor(d.act, [1, d.width], &vec![0.0; d.width]);
    let gate = host.tensor(d.gate, [d.experts, d.width], &vec![1.0; d.experts * d.width]);
    let mut bias = vec![0.0; d.experts];
    (bias[0], bias[7]) = (f32::NAN, 1.0);
    assert_eq!(route(&host, &d, &x, &gate, &bias, &[0, 2, 0, 5]).idx, [7, 1, 2]);
}

#[test]
fn a_table_fixes_the_experts_and_the_gate_still_weighs_them() {
    let host = Host::new(2);
    let d = router(12, Routing::Hash(10));
    let mut random = Random::new("hash");
    let x = host.tensor(d.act, [12, d.width], &random.normals(12 * d.width));
    let gate = host.tensor(d.gate, [d.experts, d.width], &random.normals(d.experts * d.width));
    let got = route(&host, &d, &x, &gate, &vec![0.0; d.experts], &[0, 2, 0, 5].repeat(12));
    assert_eq!(got.idx[3..6], [3 * 7 % 20, 4 * 7 % 20, 5 * 7 % 20]);
    let scores = [3 * 7 % 20, 4 * 7 % 20, 5 * 7 % 20].map(|e| (got.logits[20 + e] as f64).exp().ln_1p().sqrt());
    for q in 0..3 {
        let want = scores[q] / scores.iter().sum::<f64>() * 1.5;
        assert!((got.wt[3 + q] as f64 - want).abs() < 1e-6);
    }
    assert_eq!(got.idx[30..33], [-1; 3], "an id outside the table has no experts");
}

fn mlp(host: &Host, d: &Mlp, x: &Tensor, w13: View, w2: View) -> Vec<f32> {
    let y = host.output(d.act, [d.rows, d.width]);
    host.run(*d, &[x.arg(), Some(w13), Some(w2), y.arg()]);
    host.read(&y)
}

/// One expert by linear products and swiglu: hidden values rounded, results f32.
fn expert(host: &Host, d: &Experts, x: &Tensor, wt: &[f32], w13: View, w2: View) -> Vec<f32> {
    let rows = wt.len();
    let linear = |inner, outer, input, weight| Linear {
        rows,
        inner,
        outer,
        input,
        weight,
        a_quant: d.a_quant,
        output: DType::F32,
        accumulate: false,
    };
    let up = host.output(DType::F32, [rows, 2 * d.inter]);
    host.run(linear(d.width, 2 * d.inter, d.act, d.w13), &[x.arg(), Some(w13), up.arg()]);
    let hidden = host.output(d.act, [rows, d.inter]);
    let wt = host.tensor(DType::F32, [rows], wt);
    let swiglu = Swiglu { rows, inter: d.inter, limit: d.limit, weighted: true, input: DType::F32, output: d.act };
    host.run(swiglu, &[up.arg(), wt.arg(), hidden.arg()]);
    let down = host.output(DType::F32, [rows, d.width]);
    host.run(linear(d.inter, d.width, d.act, d.w2), &[hidden.arg(), Some(w2), down.arg()]);
    host.read(&down)
}

fn experts(rows: usize, format: WeightFormat, act: DType, a_quant: ActQuant) -> Experts {
    Experts {
        rows,
        width: 128,
        inter: 256,
        choices: 3,
        first: 2,
        local: 5,
        w13: format,
        w2: format,
        limit: 2.0,
        a_quant,
        act,
        accumulate: true,
    }
}

struct Inputs {
    x: Tensor,
    idx: Tensor,
    wt: Tensor,
    w13: Tensor,
    w2: Tensor,
    acc: Tensor,
}

fn inputs(host: &Host, d: &Experts) -> Inputs {
    let mut random = Random::new("experts");
    let x = host.tensor(d.act, [d.rows, d.width], &random.normals(d.rows * d.width));
    // Experts -1..9, of which 2..7 are here.
    let idx: Vec<i32> = (0..d.rows * d.choices).map(|_| random.below(10) as i32 - 1).collect();
    let idx = host.indices([d.rows, d.choices], &idx);
    let wt = host.tensor(DType::F32, [d.rows, d.choices], &random.normals(d.rows * d.choices));
    let (w13, _) = host.weight(d.w13, [d.local, 2 * d.inter, d.width], &mut random);
    let (w2, _) = host.weight(d.w2, [d.local, d.width, d.inter], &mut random);
    let acc = host.tensor(d.act, [d.rows, d.width], &random.normals(d.rows * d.width));
    Inputs { x, idx, wt, w13, w2, acc }
}

fn run_experts(host: &Host, d: &Experts, i: &Inputs) -> Vec<f32> {
    let y = host.output(d.act, [d.rows, d.width]);
    host.run(*d, &[i.x.arg(), i.idx.arg(), i.wt.arg(), i.w13.arg(), i.w2.arg(), i.acc.arg(), y.arg()]);
    host.read(&y)
}

/// Matrix `e` of a grouped weight.
fn matrix(w: &Tensor, e: usize, rows: usize, cols: usize) -> Tensor {
    let view = w.view;
    let bytes = view.dtype.bytes(rows * cols);
    let mut one = View::contiguous(view.mem.slice(e * bytes, bytes).unwrap(), view.dtype, [rows, cols]).unwrap();
    one.quant = view.quant.map(|q| {
        let shape = view.format().scale_shape(&one.shape).unwrap();
        let bytes = q.dtype.bytes(shape.elements());
        omnihal::Quant { mem: q.mem.slice(e * bytes, bytes).unwrap(), shape, ..q }
    });
    w.with(one)
}

#[test]
fn experts_add_what_each_of_them_gives_alone_in_list_order() {
    let host = Host::new(2);
    let plain = WeightFormat::Plain(DType::BF16);
    for (format, act, quant) in [
        (plain, DType::F32, ActQuant::None),
        (plain, DType::BF16, ActQuant::None),
        (WeightFormat::FP4_ROW, DType::BF16, ActQuant::F8G128),
        (WeightFormat::FP8_BLOCK, DType::BF16, ActQuant::F8G128),
    ] {
        let d = experts(7, format, act, quant);
        let i = inputs(&host, &d);
        let got = run_experts(&host, &d, &i);
        let (idx, wt, acc) = (host.ints(&i.idx), host.read(&i.wt), host.read(&i.acc));
        for row in 0..d.rows {
            let mut want = acc[row * d.width..][..d.width].to_vec();
            let x = i.x.with(i.x.view.slice(0, row, 1).unwrap());
            for q in 0..d.choices {
                let e = idx[row * d.choices + q] - d.first as i32;
                if !(0..d.local as i32).contains(&e) {
                    continue;
                }
                let w13 = matrix(&i.w13, e as usize, 2 * d.inter, d.width);
                let w2 = matrix(&i.w2, e as usize, d.width, d.inter);
                let one = expert(&host, &d, &x, &wt[row * d.choices + q..][..1], w13.view, w2.view);
                want.iter_mut().zip(one).for_each(|(w, v)| *w += v);
            }
            want.iter_mut().for_each(|w| *w = rounded(d.act, *w));
            assert_eq!(got[row * d.width..][..d.width], want, "{format} {act} row {row}");
        }
    }
}

#[test]
fn experts_give_a_row_the_same_bits_in_any_batch_and_with_any_number_of_threads() {
    let host = Host::new(1);
    for format in [WeightFormat::Plain(DType::BF16), WeightFormat::FP4_ROW] {
        let d = experts(90, format, DType::BF16, ActQuant::None);
        let i = inputs(&host, &d);
        let whole = run_experts(&host, &d, &i);
        for threads in [2, 3] {
            assert_eq!(run_experts(&Host::new(threads), &d, &i), whole);
        }
        for (start, rows) in [(0, 1), (30, 3), (60, 30)] {
            let cut = |t: &Tensor| t.with(t.view.slice(0, start, rows).unwrap());
            let part = Inputs {
                x: cut(&i.x),
                idx: cut(&i.idx),
                wt: cut(&i.wt),
                acc: cut(&i.acc),
                w13: i.w13.with(i.w13.view),
                w2: i.w2.with(i.w2.view),
            };
            let got = run_experts(&host, &Experts { rows, ..d }, &part);
            assert_eq!(got, whole[start * d.width..(start + rows) * d.width]);
        }
    }
}

#[test]
fn the_shared_expert_is_two_products_with_rounded_hidden_values_between() {
    let host = Host::new(2);
    for (rows, act) in [(1, DType::BF16), (9, DType::BF16), (9, DType::F32)] {
        let e = experts(rows, WeightFormat::FP8_BLOCK, act, ActQuant::F8G128);
        let d = Mlp { rows, width: 128, inter: 256, w13: e.w13, w2: e.w2, limit: 2.0, a_quant: e.a_quant, act };
        let mut random = Random::new("mlp");
        let x = host.tensor(act, [rows, 128], &random.normals(rows * 128));
        let (w13, _) = host.weight(d.w13, [512, 128], &mut random);
        let (w2, _) = host.weight(d.w2, [128, 256], &mut random);
        let want: Vec<f32> = expert(&host, &e, &x, &vec![1.0; rows], w13.view, w2.view);
        let want: Vec<f32> = want.into_iter().map(|v| if act == DType::BF16 { bf16(v) } else { v }).collect();
        assert_eq!(mlp(&host, &d, &x, w13.view, w2.view), want);
    }
}
