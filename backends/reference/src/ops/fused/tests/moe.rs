use super::{F32_NOISE, noisy};
use crate::format::round;
use crate::testing::{Bench, assert_close, get, get_ints, noise, oracle_f32};
use omnihal::op::ActQuant;
use omnihal::op::moe::{Experts, Mlp, Route, Routing, Swiglu};
use omnihal::{DType, View, WeightFormat};

const EXPERTS: usize = 4;

fn softplus_root(x: f64) -> f64 {
    if x > 20.0 { x.sqrt() } else { x.exp().ln_1p().sqrt() }
}

/// Routes rows whose gate logits are given: the gate matrix is the identity.
fn route(
    logits: &[[f64; EXPERTS]],
    routing: Routing,
    choices: usize,
    extra: [Option<View>; 3],
    live: &[bool],
    bench: &mut Bench,
) -> [View; 3] {
    let rows = logits.len();
    let identity: Vec<f64> = (0..16).map(|i| if i % 5 == 0 { 1.0 } else { 0.0 }).collect();
    let toks: Vec<i32> = live.iter().flat_map(|&live| if live { [0, 2, 0, 1] } else { [-1; 4] }).collect();
    let d = Route {
        rows,
        width: EXPERTS,
        experts: EXPERTS,
        choices,
        routing,
        scale: 1.5,
        gate: DType::F32,
        act: DType::F32,
        with_logits: true,
    };
    let x = bench.put(DType::F32, [rows, EXPERTS], &logits.concat());
    let gate = bench.put(DType::F32, [EXPERTS, EXPERTS], &identity);
    let toks = bench.ints([rows, 4], &toks);
    let out = [
        bench.empty(DType::I32, [rows, choices]),
        bench.empty(DType::F32, [rows, choices]),
        bench.empty(DType::F32, [rows, EXPERTS]),
    ];
    let views = [&[Some(x), Some(gate)][..], &extra, &[Some(toks)], &out.map(Some)].concat();
    bench.run(d, &views).unwrap();
    out
}

#[test]
fn the_bias_decides_the_choice_and_never_enters_a_weight() {
    let mut bench = Bench::new();
    let bias = bench.put(DType::F32, [EXPERTS], &[0.0, 10.0, 0.0, 0.0]);
    let logits = [[3.0, -2.0, 0.5, 1.0], [0.0; 4]];
    let [idx, wt, out] = route(&logits, Routing::Scored, 2, [Some(bias), None, None], &[true, false], &mut bench);
    assert_eq!(get_ints(&idx), [1, 0, -1, -1]);
    let (a, b) = (softplus_root(-2.0), softplus_root(3.0));
    assert_close(&get(&wt), &[1.5 * a / (a + b), 1.5 * b / (a + b), 0.0, 0.0], F32_NOISE);
    assert_close(&get(&out)[..4], &logits[0], 0.0);
}

#[test]
fn equal_scores_choose_the_lowest_experts_in_order() {
    let mut bench = Bench::new();
    let bias = bench.put(DType::F32, [EXPERTS], &[0.0; 4]);
    let logits = [[1.0, 2.0, 1.0, 2.0]];
    let [idx, ..] = route(&logits, Routing::Scored, 3, [Some(bias), None, None], &[true], &mut bench);
    assert_eq!(get_ints(&idx), [1, 3, 0]);
}

#[test]
fn hashed_rows_take_their_experts_from_the_table_and_weigh_them_by_score() {
    let mut bench = Bench::new();
    let table = bench.ints([3, 2], &[0, 1, 3, 2, 1, 0]);
    let ids = bench.ints([2], &[1, 7]);
    let logits = [[9.0, 9.0, 0.5, 25.0], [1.0; 4]];
    let [idx, wt, _] = route(&logits, Routing::Hash(3), 2, [None, Some(table), Some(ids)], &[true; 2], &mut bench);
    assert_eq!(get_ints(&idx), [3, 2, -1, -1], "an id outside the table chooses nothing");
    let (a, b) = (5.0, softplus_root(0.5));
    assert_close(&get(&wt)[..2], &[1.5 * a / (a + b), 1.5 * b / (a + b)], F32_NOISE);
}

#[test]
fn scores_match_the_oracle_over_the_whole_range() {
    let mut bench = Bench::new();
    let (x, y) = (oracle_f32("sqrtsoftplus.x").1, oracle_f32("sqrtsoftplus.y").1);
    let bias = bench.put(DType::F32, [EXPERTS], &[0.0; 4]);
    for (x, y) in x.into_iter().zip(y).filter(|(_, y)| *y > 1e-15) {
        // Beside an expert of score sqrt(ln 2), the weight tells the score.
        let logits = [[x, 0.0, -1e4, -1e4]];
        let [idx, wt, _] = route(&logits, Routing::Scored, 2, [Some(bias), None, None], &[true], &mut bench);
        let place = get_ints(&idx).iter().position(|&e| e == 0).unwrap();
        let expected = 1.5 * y / (y + std::f64::consts::LN_2.sqrt());
        assert_close(&get(&wt)[place..=place], &[expected], F32_NOISE * (1.0 + expected));
    }
}

fn silu(x: f64) -> f64 {
    x / (1.0 + (-x).exp())
}

#[test]
fn swiglu_clamps_the_gate_above_and_the_other_on_both_sides() {
    let mut bench = Bench::new();
    let x = bench.put(DType::F32, [2, 4], &[9.0, -9.0, 5.0, -5.0, 1.0, 0.5, 2.0, -0.25]);
    let wt = bench.put(DType::F32, [2], &[1.0, 3.0]);
    let y = bench.empty(DType::F32, [2, 2]);
    let d = Swiglu { rows: 2, inter: 2, limit: 2.0, weighted: true, input: DType::F32, output: DType::F32 };
    bench.run(d, &[x, wt, y].map(Some)).unwrap();
    let expected = [silu(2.0) * 2.0, silu(-9.0) * -2.0, 3.0 * silu(1.0) * 2.0, 3.0 * silu(0.5) * -0.25];
    assert_close(&get(&y), &expected, 4.0 * F32_NOISE);
}

const WIDTH: usize = 128;
const INTER: usize = 128;

/// `w2 q(swiglu(w13 q(x)) * wt)`, written out.
fn expert(x: &[f64], w13: &[f64], w2: &[f64], wt: f64, limit: f64, quant: bool) -> Vec<f64> {
    let q = |x: &[f64]| match quant {
        false => x.to_vec(),
        true => {
            let largest = x.iter().fold(0f64, |a, x| a.max(x.abs()));
            let scale = 2f64.powi((largest / 448.0).log2().ceil() as i32);
            x.iter().map(|x| round(DType::F8E4M3, x / scale) * scale).collect()
        }
    };
    let times = |w: &[f64], x: &[f64]| -> Vec<f64> {
        w.chunks(x.len()).map(|w| w.iter().zip(x).map(|(a, b)| a * b).sum()).collect()
    };
    let up = times(w13, &q(x));
    let hidden: Vec<f64> = (0..INTER)
        .map(|i| round(DType::F32, silu(up[i].min(limit)) * up[INTER + i].clamp(-limit, limit) * wt))
        .collect();
    times(w2, &q(&hidden))
}

#[test]
fn the_shared_expert_follows_its_definition_with_and_without_rounded_inputs() {
    let mut bench = Bench::new();
    let x = noisy(&mut bench, DType::F32, &[2, WIDTH], "mlp x");
    let plain = WeightFormat::Plain(DType::F32);
    let w13 = bench.put(DType::F32, [2 * INTER, WIDTH], &small("mlp w13", 2 * INTER * WIDTH));
    let w2 = bench.put(DType::F32, [WIDTH, INTER], &small("mlp w2", WIDTH * INTER));
    for (a_quant, quant) in [(ActQuant::None, false), (ActQuant::F8G128, true)] {
        let y = bench.empty(DType::F32, [2, WIDTH]);
        let d =
            Mlp { rows: 2, width: WIDTH, inter: INTER, w13: plain, w2: plain, limit: 1.0, a_quant, act: DType::F32 };
        bench.run(d, &[x, w13, w2, y].map(Some)).unwrap();
        let expected: Vec<f64> =
            get(&x).chunks(WIDTH).flat_map(|x| expert(x, &get(&w13), &get(&w2), 1.0, 1.0, quant)).collect();
        assert_close(&get(&y), &expected, 4.0 * F32_NOISE);
    }
}

fn small(name: &str, count: usize) -> Vec<f64> {
    noise(name, count).into_iter().map(|x| x / 16.0).collect()
}

#[test]
fn experts_add_up_in_the_list_and_absent_or_foreign_ones_add_nothing() {
    let mut bench = Bench::new();
    let x = noisy(&mut bench, DType::F32, &[3, WIDTH], "experts x");
    let acc = noisy(&mut bench, DType::F32, &[3, WIDTH], "experts acc");
    let plain = WeightFormat::Plain(DType::F32);
    let w13 = bench.put(DType::F32, [2, 2 * INTER, WIDTH], &small("experts w13", 2 * 2 * INTER * WIDTH));
    let w2 = bench.put(DType::F32, [2, WIDTH, INTER], &small("experts w2", 2 * WIDTH * INTER));
    // This device holds experts 4 and 5 of a longer list.
    let idx = bench.ints([3, 3], &[5, 4, 1, -1, 6, 5, -1, 3, 9]);
    let wt = bench.put(DType::F32, [3, 3], &[0.75, -1.5, 9.0, 9.0, 9.0, 0.5, 9.0, 9.0, 9.0]);
    let y = bench.empty(DType::F32, [3, WIDTH]);
    let d = Experts {
        rows: 3,
        width: WIDTH,
        inter: INTER,
        choices: 3,
        first: 4,
        local: 2,
        w13: plain,
        w2: plain,
        limit: 1.0,
        a_quant: ActQuant::F8G128,
        act: DType::F32,
        accumulate: true,
    };
    bench.run(d, &[x, idx, wt, w13, w2, acc, y].map(Some)).unwrap();
    let (x, acc, w13, w2) = (get(&x), get(&acc), get(&w13), get(&w2));
    let part = |row: usize, e: usize, wt: f64| {
        let (w13, w2) = (&w13[e * 2 * INTER * WIDTH..][..2 * INTER * WIDTH], &w2[e * WIDTH * INTER..][..WIDTH * INTER]);
        expert(&x[row * WIDTH..(row + 1) * WIDTH], w13, w2, wt, 1.0, true)
    };
    let (a, b, c) = (part(0, 1, 0.75), part(0, 0, -1.5), part(1, 1, 0.5));
    let expected: Vec<f64> = (0..WIDTH)
        .map(|i| acc[i] + a[i] + b[i])
        .chain((0..WIDTH).map(|i| acc[WIDTH + i] + c[i]))
        .chain(acc[2 * WIDTH..].iter().copied())
        .collect();
    let y = get(&y);
    assert_close(&y, &expected, 8.0 * F32_NOISE);
    assert_eq!(y[2 * WIDTH..], acc[2 * WIDTH..], "no expert here: the sum is exact");
}

#[test]
fn with_bf16_the_hidden_values_are_rounded_before_the_second_product() {
    let mut bench = Bench::new();
    let (width, inter, act) = (3, 2, DType::BF16);
    let x = noisy(&mut bench, act, &[1, width], "rounded mlp x");
    let w13 = noisy(&mut bench, act, &[2 * inter, width], "rounded mlp w13");
    let w2 = noisy(&mut bench, act, &[width, inter], "rounded mlp w2");
    let y = bench.empty(act, [1, width]);
    let plain = WeightFormat::Plain(act);
    let d = Mlp { rows: 1, width, inter, w13: plain, w2: plain, limit: 10.0, a_quant: ActQuant::None, act };
    let judged = bench.judge(d, &[x, w13, w2, y].map(Some));
    let (x, w13, w2) = (get(&x), get(&w13), get(&w2));
    let dot = |a: &[f64], b: &[f64]| a.iter().zip(b).map(|(a, b)| a * b).sum::<f64>();
    let up: Vec<f64> = w13.chunks(width).map(|w| dot(w, &x)).collect();
    let hidden: Vec<f64> =
        (0..inter).map(|i| round(act, silu(up[i].min(10.0)) * up[inter + i].clamp(-10.0, 10.0))).collect();
    let expected: Vec<f64> = w2.chunks(inter).map(|w| dot(w, &hidden)).collect();
    assert_close(&judged[0].nums().iter().map(|x| x.v).collect::<Vec<_>>(), &expected, 1e-12);
}
