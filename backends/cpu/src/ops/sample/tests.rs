use crate::ops::cache::testing::{Array, Seed, run};
use omnihal::DType;
use omnihal::op::sample::{Pick, TopK};

#[test]
fn the_best_of_a_row_come_in_order_with_the_lowest_place_first_among_equals() {
    let nan = f32::NAN;
    let x = Array::floats(DType::F32, [2, 6], &[2.0, nan, 5.0, -0.0, 5.0, 0.0, nan, nan, 1.0, nan, -1.0, nan]);
    for (largest, places) in [(true, [2, 4, 0, 3, 5, 8, 10, 6, 7, 9]), (false, [3, 5, 0, 2, 4, 10, 8, 6, 7, 9])] {
        for threads in 1..=3 {
            let (values, idx) = (Array::garbage(DType::F32, [2, 5]), Array::garbage(DType::I32, [2, 5]));
            let op = TopK { rows: 2, width: 6, keep: 5, largest, sorted: true };
            run(threads, op, &[&x, &values, &idx].map(|a| Some(a.view())));
            let all: Vec<i32> = idx.ints().iter().enumerate().map(|(i, p)| p + i as i32 / 5 * 6).collect();
            assert_eq!(all, places);
            let bits: Vec<u32> = places.iter().map(|&p| x.bits()[p as usize]).collect();
            assert_eq!(values.bits(), bits);
        }
    }
}

#[test]
fn unsorted_results_are_the_same_set() {
    let mut seed = Seed::of("unsorted");
    let x = Array::random(DType::F32, [3, 1000], 9, &mut seed);
    let kept = |sorted| {
        let (values, idx) = (Array::garbage(DType::F32, [3, 40]), Array::garbage(DType::I32, [3, 40]));
        let op = TopK { rows: 3, width: 1000, keep: 40, largest: true, sorted };
        run(2, op, &[&x, &values, &idx].map(|a| Some(a.view())));
        (idx.ints(), values.values())
    };
    let ((free, _), (ordered, values)) = (kept(false), kept(true));
    for row in 0..3 {
        let mut a = free[row * 40..][..40].to_vec();
        let mut b = ordered[row * 40..][..40].to_vec();
        assert!(values[row * 40..][..40].is_sorted_by(|a, b| a >= b));
        a.sort_unstable();
        b.sort_unstable();
        assert_eq!(a, b);
    }
}

const VOCAB: usize = 50;

/// Four wanted rows of which the third is padding; the last two are of the same slot.
struct Case {
    par: [f32; 5],
    u: f32,
    candidates: usize,
    penalties: bool,
}

struct Result {
    tok: Vec<i32>,
    logprob: Vec<f32>,
    last: Vec<i32>,
    seen: Vec<f32>,
    logits: Vec<f32>,
}

fn pick(name: &str, case: &Case, threads: usize) -> Result {
    let mut seed = Seed::of(name);
    let mut logits = Array::random(DType::F32, [5, VOCAB], 0, &mut seed);
    logits.set(&logits.values().iter().map(|v| v * 4.0).collect::<Vec<_>>());
    let par: Vec<f32> = (0..5).flat_map(|_| case.par.into_iter().chain([0.0; 3])).collect();
    let par = Array::floats(DType::F32, [5, 8], &par);
    let u = Array::floats(DType::F32, [5], &[case.u; 5]);
    let out = Array::indices([5], &[0, 2, -1, 4, 5]);
    let toks: Vec<i32> =
        (0..7).flat_map(|t| if t < 6 { [t, [2, 2, 3, 3, 5, 5][t as usize], 0, 1] } else { [-1; 4] }).collect();
    let toks = Array::indices([7, 4], &toks);
    let seen: Vec<f32> = (0..6 * VOCAB).map(|i| f32::from(i % 3 == 0)).collect();
    let seen = Array::floats(DType::F32, [6, VOCAB], &seen);
    let last = Array::indices([6, 2], &[-9; 12]);
    let (tok, logprob) = (Array::garbage(DType::I32, [5]), Array::garbage(DType::F32, [5]));
    let op = Pick {
        wanted: 5,
        vocab: VOCAB,
        candidates: case.candidates,
        rows: 7,
        slots: 6,
        drafts: 1,
        penalties: case.penalties,
    };
    let views = [
        Some(logits.view()),
        Some(par.view()),
        Some(u.view()),
        Some(out.view()),
        Some(toks.view()),
        case.penalties.then(|| seen.view()),
        Some(last.view()),
        Some(tok.view()),
        Some(logprob.view()),
    ];
    run(threads, op, &views);
    Result {
        tok: tok.ints(),
        logprob: logprob.values(),
        last: last.ints(),
        seen: seen.values(),
        logits: logits.values(),
    }
}

/// The draw in f64, straight from the declaration: token and logarithm of its probability.
fn expected(case: &Case, logits: &[f32], slot: usize) -> (i32, f64) {
    let [temperature, top_k, top_p, min_p, penalty] = case.par.map(f64::from);
    let mut x: Vec<f64> = logits.iter().map(|&v| v as f64).collect();
    if temperature != 0.0 {
        for (id, x) in x.iter_mut().enumerate() {
            if case.penalties && (slot * VOCAB + id) % 3 == 0 {
                *x = if *x > 0.0 { *x / penalty } else { *x * penalty };
            }
            *x /= temperature;
        }
    }
    let total: f64 = x.iter().map(|v| v.exp()).sum();
    let mut order: Vec<usize> = (0..VOCAB).collect();
    order.sort_by(|&a, &b| x[b].total_cmp(&x[a]));
    let logprob = |id: usize| x[id] - total.ln();
    if temperature == 0.0 {
        return (order[0] as i32, logprob(order[0]));
    }
    let p = |id: usize| x[id].exp() / total;
    order.truncate(case.candidates);
    if top_k > 0.0 {
        order.truncate(top_k as usize);
    }
    let before = |order: &[usize], n: usize| order[..n].iter().map(|&id| p(id)).sum::<f64>();
    let n = (1..order.len()).find(|&n| before(&order, n) >= top_p).unwrap_or(order.len());
    order.truncate(n);
    order.retain(|&id| p(id) >= min_p * x.iter().fold(0.0, |m: f64, v| m.max(v.exp() / total)));
    let all = before(&order, order.len());
    let place = (0..order.len()).find(|&n| before(&order, n + 1) / all > case.u as f64).unwrap_or(order.len() - 1);
    (order[place] as i32, logprob(order[place]))
}

#[test]
fn tokens_follow_the_declared_order_of_cuts() {
    let base = Case { par: [0.8, 0.0, 1.0, 0.0, 1.0], u: 0.5, candidates: VOCAB, penalties: false };
    let pars = [
        [0.0, 1.0, 0.1, 0.5, 2.0],
        base.par,
        [0.8, 3.0, 1.0, 0.0, 1.0],
        [2.5, 0.0, 0.6, 0.0, 1.0],
        [1.5, 0.0, 1.0, 0.3, 1.0],
        [1.5, 12.0, 0.7, 0.1, 1.7],
        [1.0, 0.0, 0.0, 0.0, 1.0],
    ];
    let mut drawn = std::collections::BTreeSet::new();
    for (number, par) in pars.into_iter().enumerate() {
        for (u, candidates, penalties) in
            [(0.02, VOCAB, false), (0.5, 9, true), (0.97, VOCAB, true), (0.9999, 4, false)]
        {
            let case = Case { par, u, candidates, penalties };
            for threads in 1..=3 {
                let result = pick(&format!("pick {number}"), &case, threads);
                for (i, slot) in [(0, 2), (1, 3), (3, 5), (4, 5)] {
                    let (token, logprob) = expected(&case, &result.logits[i * VOCAB..][..VOCAB], slot);
                    assert_eq!(result.tok[i], token, "row {i} with {par:?}, u {u}");
                    assert!((result.logprob[i] as f64 - logprob).abs() < 1e-5);
                    drawn.insert(token);
                }
            }
        }
    }
    assert!(drawn.len() > 10, "the cases draw too few tokens to tell anything: {drawn:?}");
}

#[test]
fn chosen_tokens_are_kept_by_slot_and_marked_as_seen() {
    let case = Case { par: [1.0, 0.0, 1.0, 0.0, 1.3], u: 0.4, candidates: 20, penalties: true };
    let result = pick("kept", &case, 2);
    assert_eq!(result.tok[2], -1);
    let kept = [result.tok[0], -9, result.tok[1], -9, -9, -9, result.tok[3], result.tok[4]];
    assert_eq!(result.last[..4], [-9; 4]);
    assert_eq!(result.last[4..], kept);
    for slot in 0..6 {
        for id in 0..VOCAB {
            let rows: &[usize] = [&[][..], &[], &[0], &[1], &[], &[3, 4]][slot];
            let chosen = rows.iter().any(|&i| result.tok[i] == id as i32);
            let before = (slot * VOCAB + id) % 3 == 0;
            assert_eq!(result.seen[slot * VOCAB + id] == 1.0, before || chosen);
        }
    }
}

#[test]
fn greedy_takes_the_lowest_id_of_equal_logits_and_never_nan() {
    let logits = Array::floats(DType::F32, [1, 4], &[f32::NAN, 1.0, 3.0, 3.0]);
    let (par, u) = (Array::floats(DType::F32, [1, 8], &[0.0; 8]), Array::floats(DType::F32, [1], &[0.5]));
    let (out, toks) = (Array::indices([1], &[0]), Array::indices([1, 4], &[0, 2, 0, 1]));
    let (last, tok) = (Array::indices([3, 1], &[0; 3]), Array::garbage(DType::I32, [1]));
    let logprob = Array::garbage(DType::F32, [1]);
    let op = Pick { wanted: 1, vocab: 4, candidates: 4, rows: 1, slots: 3, drafts: 0, penalties: false };
    let views = [&logits, &par, &u, &out, &toks].map(|a| Some(a.view()));
    let rest = [&last, &tok, &logprob].map(|a| Some(a.view()));
    run(1, op, &[&views[..], &[None], &rest[..]].concat());
    assert_eq!((tok.ints(), last.ints()), (vec![2], vec![0, 0, 2]));
    let share = 1.0 / (2.0 + (-2f64).exp());
    assert!((logprob.values()[0] as f64 - share.ln()).abs() < 1e-6);
}
