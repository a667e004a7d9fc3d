use crate::testing::{Bench, assert_close, get, get_ints};
use omnihal::op::sample::Pick;
use omnihal::{DType, View};

const VOCAB: usize = 5;

struct Picked {
    tok: Vec<i32>,
    logprob: Vec<f64>,
    seen: Vec<f64>,
    last: Vec<i32>,
    decided: Vec<bool>,
}

/// One row of a step: its logits, parameters, draw and row in the step; slots are 2, 3, 3 for rows 0, 1, 2.
type Row = ([f64; VOCAB], [f64; 5], f64, i32);

fn pick(rows: &[Row], candidates: usize, seen: &[(usize, usize)]) -> Picked {
    let mut bench = Bench::new();
    let wanted = rows.len();
    let d = Pick { wanted, vocab: VOCAB, candidates, rows: 4, slots: 4, drafts: 1, penalties: true };
    let logits: Vec<f64> = rows.iter().flat_map(|r| r.0).collect();
    let par: Vec<f64> = rows.iter().flat_map(|r| r.1.into_iter().chain([0.0; 3])).collect();
    let mut marks = vec![0.0; 4 * VOCAB];
    seen.iter().for_each(|&(slot, id)| marks[slot * VOCAB + id] = 1.0);
    let views: [View; 9] = [
        bench.put(DType::F32, [wanted, VOCAB], &logits),
        bench.put(DType::F32, [wanted, 8], &par),
        bench.put(DType::F32, [wanted], &rows.iter().map(|r| r.2).collect::<Vec<_>>()),
        bench.ints([wanted], &rows.iter().map(|r| r.3).collect::<Vec<_>>()),
        bench.ints([4, 4], &[8, 2, 0, 1, 3, 3, 1, 1, 4, 3, 1, 1, -1, -1, -1, -1]),
        bench.put(DType::F32, [4, VOCAB], &marks),
        bench.ints([4, 2], &[-9; 8]),
        bench.empty(DType::I32, [wanted]),
        bench.empty(DType::F32, [wanted]),
    ];
    let decided = bench.judge(d, &views.map(Some))[0].mask.clone().unwrap();
    bench.run(d, &views.map(Some)).unwrap();
    let [.., seen, last, tok, logprob] = views;
    Picked { tok: get_ints(&tok), logprob: get(&logprob), seen: get(&seen), last: get_ints(&last), decided }
}

/// Logits whose probabilities at temperature 1 are 0.1, 0.4, 0.2, 0.25, 0.05.
fn tenths() -> [f64; VOCAB] {
    [0.1f64, 0.4, 0.2, 0.25, 0.05].map(f64::ln)
}

/// Temperature 1, no cuts.
const OPEN: [f64; 5] = [1.0, 0.0, 1.0, 0.0, 1.0];

fn token(par: [f64; 5], u: f64) -> i32 {
    pick(&[(tenths(), par, u, 0)], VOCAB, &[]).tok[0]
}

#[test]
fn temperature_zero_takes_the_lowest_of_the_largest_logits() {
    let greedy = pick(&[([1.0, 7.0, 3.0, 7.0, 2.0], [0.0; 5], 0.99, 0)], 1, &[(2, 1)]);
    assert_eq!(greedy.tok, [1]);
    let total: f64 = [1.0, 7.0, 3.0, 7.0, 2.0].iter().map(|x: &f64| (x - 7.0).exp()).sum();
    assert_close(&greedy.logprob, &[-total.ln()], 1e-6);
}

#[test]
fn the_draw_walks_the_candidates_best_first() {
    // Cumulated: token 1 to 0.4, 3 to 0.65, 2 to 0.85, 0 to 0.95, 4 to 1.
    let draws = [(0.0, 1), (0.39, 1), (0.41, 3), (0.64, 3), (0.66, 2), (0.9, 0), (0.96, 4), (1.0, 4)];
    for (u, expected) in draws {
        assert_eq!(token(OPEN, u), expected, "u = {u}");
    }
    assert_close(&pick(&[(tenths(), OPEN, 0.9, 0)], VOCAB, &[]).logprob, &[0.1f64.ln()], 1e-6);
}

#[test]
fn each_cut_removes_candidates_and_the_rest_share_the_draw() {
    // The two best: 0.4 and 0.25 of 0.65.
    assert_eq!([0.61, 0.62].map(|u| token([1.0, 2.0, 1.0, 0.0, 1.0], u)), [1, 3]);
    assert_eq!(token([1.0, 2.0, 1.0, 0.0, 1.0], 1.0), 3);
    // Candidates stay while those before hold less than 0.5: again two. Measured on the whole vocabulary, not on the top 3.
    assert_eq!([0.61, 0.62, 1.0].map(|u| token([1.0, 3.0, 0.5, 0.0, 1.0], u)), [1, 3, 3]);
    assert_eq!(token([1.0, 0.0, 0.0, 0.0, 1.0], 1.0), 1, "the first always stays");
    // At least 0.45 of the best: 0.4, 0.25, 0.2.
    assert_eq!([0.47, 0.48, 1.0].map(|u| token([1.0, 0.0, 1.0, 0.45, 1.0], u)), [1, 3, 2]);
    let two = |u: f64| pick(&[(tenths(), OPEN, u, 0)], 2, &[]).tok[0];
    assert_eq!([0.61, 0.62, 1.0].map(two), [1, 3, 3], "no more than the candidates");
}

#[test]
fn the_penalty_divides_positive_and_multiplies_negative_logits_before_the_temperature() {
    let logits = [4.0, 3.0, -1.0, -1.5, -50.0];
    let par = [0.5, 0.0, 1.0, 0.0, 2.0];
    let picked = pick(&[(logits, par, 0.0, 0)], VOCAB, &[(2, 0), (2, 2), (3, 1)]);
    assert_eq!(picked.tok, [1]);
    let scaled = [4.0, 6.0, -4.0, -3.0, -100.0];
    let total: f64 = scaled.iter().map(|x: &f64| (x - 6.0).exp()).sum();
    assert_close(&picked.logprob, &[-total.ln()], 1e-6);
}

#[test]
fn tokens_are_marked_and_kept_in_the_order_of_their_slots_rows() {
    let wants = |best: usize, row: i32| {
        let mut logits = [0.0; VOCAB];
        logits[best] = 9.0;
        (logits, [0.0; 5], 0.5, row)
    };
    let picked = pick(&[wants(4, 1), wants(2, 2), wants(3, 0), wants(0, -1), wants(0, 3)], VOCAB, &[]);
    assert_eq!(picked.tok[..3], [4, 2, 3]);
    assert_eq!(picked.last, [-9, -9, -9, -9, 3, -9, 4, 2]);
    let seen = picked.seen;
    let marked: Vec<usize> = (0..seen.len()).filter(|&i| seen[i] != 0.0).collect();
    assert_eq!(marked, [2 * VOCAB + 3, 3 * VOCAB + 2, 3 * VOCAB + 4], "rows that pad mark nothing");
    assert_eq!(picked.decided, [true, true, true, false, false]);
}

#[test]
fn a_draw_on_a_border_is_not_judged() {
    let border = pick(&[(tenths(), OPEN, 0.4, 0), (tenths(), OPEN, 0.5, 0)], VOCAB, &[]);
    assert_eq!(border.decided, [false, true]);
}
