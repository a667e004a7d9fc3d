use super::*;

const NAN: f32 = f32::NAN;
const INF: f32 = f32::INFINITY;

fn warm() -> SamplerParams {
    SamplerParams { temperature: 1.0, seed: 11, ..SamplerParams::default() }
}

fn seed_of(name: &str) -> u64 {
    name.bytes().fold(0xCBF2_9CE4_8422_2325, |h, b| (h ^ u64::from(b)).wrapping_mul(0x100_0000_01B3))
}

fn greedy(logits: &[f32]) -> u32 {
    Sampler::new(logits.len()).sample(logits, &SamplerParams::default(), &[], 0).unwrap().token
}

/// Tokens that 4000 draws find: with probabilities of 1 percent and more, missing one has odds below 1e-17.
fn reachable(sampler: &mut Sampler, logits: &[f32], params: &SamplerParams) -> Vec<u32> {
    let mut found: Vec<u32> = (0..4000).map(|t| sampler.sample(logits, params, &[], t).unwrap().token).collect();
    found.sort_unstable();
    found.dedup();
    found
}

#[test]
fn philox_gives_the_published_known_answers() {
    // The philox4x32 lines with 10 rounds in kat_vectors of the authors' Random123 library.
    let ones = u32::MAX;
    let pi = [0x243F_6A88, 0x85A3_08D3, 0x1319_8A2E, 0x0370_7344];
    for (counter, key, answer) in [
        ([0; 4], [0; 2], [0x6627_E8D5, 0xE169_C58D, 0xBC57_AC4C, 0x9B00_DBD8]),
        ([ones; 4], [ones; 2], [0x408F_276D, 0x41C8_3B0E, 0xA20B_C7C6, 0x6D54_51FD]),
        (pi, [0xA409_3822, 0x299F_31D0], [0xD16C_FE09, 0x94FD_CCEB, 0x5001_E420, 0x2412_6EA1]),
    ] {
        assert_eq!(philox4x32_10(counter, key), answer);
    }
}

#[test]
fn uniform_uses_all_bits_of_seed_and_position() {
    let base = uniform(5, 9);
    for bit in 0..64 {
        assert_ne!(uniform(5 ^ (1 << bit), 9), base, "seed bit {bit}");
        assert_ne!(uniform(5, 9 ^ (1 << bit)), base, "position bit {bit}");
    }
    let numbers: Vec<f32> = (0..100_000).map(|t| uniform(3, t)).collect();
    assert!(numbers.iter().all(|u| (0.0..1.0).contains(u)));
    // The mean of n uniform numbers has standard deviation 1 / sqrt(12 n).
    let mean = numbers.iter().map(|&u| f64::from(u)).sum::<f64>() / 1e5;
    assert!((mean - 0.5).abs() < 5.0 / (12.0 * 1e5f64).sqrt(), "{mean}");
}

#[test]
fn greedy_takes_the_lowest_id_of_equal_logits() {
    assert_eq!(greedy(&[1.0, 3.0, 3.0, 2.0]), 1);
    assert_eq!(greedy(&[-0.0, 0.0]), 0);
    assert_eq!(greedy(&[-INF, -INF]), 0);
}

#[test]
fn nan_ranks_below_every_number_and_is_never_drawn() {
    assert_eq!(greedy(&[NAN, -INF, NAN]), 1);
    assert_eq!(greedy(&[NAN, -5.0, -4.0, NAN]), 2);
    let logits = [NAN, 0.5, NAN, 0.0, -0.5];
    assert_eq!(reachable(&mut Sampler::new(5), &logits, &warm()), [1, 3, 4]);
    let all = Sampler::new(2).sample(&[NAN, NAN], &warm(), &[], 0);
    assert_eq!(all, Err(SampleError::NoNumber { vocab: 2 }));
}

#[test]
fn infinite_logits_are_numbers() {
    assert_eq!(reachable(&mut Sampler::new(4), &[INF, 3e38, INF, -INF], &warm()), [0, 2]);
    assert_eq!(reachable(&mut Sampler::new(3), &[-INF, -INF, NAN], &warm()), [0, 1]);
    assert_eq!(reachable(&mut Sampler::new(3), &[0.0, -INF, 0.0], &warm()), [0, 2]);
    let sampled = Sampler::new(2).sample(&[INF, INF], &warm(), &[], 0).unwrap();
    assert!((sampled.logprob - 0.5f32.ln()).abs() < 1e-6);
}

#[test]
fn the_penalty_divides_positive_and_multiplies_other_logits_once_for_each_token() {
    let params = SamplerParams { repetition_penalty: 2.0, ..SamplerParams::default() };
    let mut sampler = Sampler::new(3);
    let mut pick = |logits: [f32; 3], history: &[u32]| sampler.sample(&logits, &params, history, 0).unwrap().token;
    assert_eq!(pick([3.0, 2.0, 1.0], &[]), 0);
    assert_eq!(pick([3.0, 2.0, 1.0], &[0]), 1);
    // -1 * 2 falls behind -1.5; dividing would have kept it in front.
    assert_eq!(pick([-1.0, -1.5, -9.0], &[0]), 1);
    // 5 / 2 is still the best; penalising each occurrence would not leave it so.
    assert_eq!(pick([5.0, 2.0, 1.0], &[0, 0, 0]), 0);
    assert_eq!(pick([3.0, 2.0, 1.0], &[0, 1]), 0);
    let reward = SamplerParams { repetition_penalty: 0.5, ..params };
    assert_eq!(sampler.sample(&[3.0, 2.0, 1.0], &reward, &[1], 0).unwrap().token, 1);
}

#[test]
fn drawn_tokens_follow_the_softmax_at_the_temperature() {
    let logits = [0.3f32, -1.2, 2.0, 0.9, -0.4, 1.4, 0.0, 0.7];
    let temperature = 0.8;
    let params = SamplerParams { temperature, ..warm() };
    let mut sampler = Sampler::new(logits.len());
    let draws = 40_000u32;
    let mut counts = [0u32; 8];
    for t in 0..draws {
        counts[sampler.sample(&logits, &params, &[], u64::from(t)).unwrap().token as usize] += 1;
    }
    let chi_square = |temperature: f32| {
        let weights = logits.map(|l| f64::from(l / temperature).exp());
        let total: f64 = weights.iter().sum();
        weights
            .iter()
            .zip(counts)
            .map(|(w, n)| {
                let expected = w / total * f64::from(draws);
                (f64::from(n) - expected).powi(2) / expected
            })
            .sum::<f64>()
    };
    // Upper 1e-6 quantile with 7 degrees of freedom, by the cube-root approximation of Wilson and Hilferty.
    let (freedom, z) = (7.0f64, 4.7534);
    let spread = 2.0 / (9.0 * freedom);
    let threshold = freedom * (1.0 - spread + z * spread.sqrt()).powi(3);
    assert!(chi_square(temperature) < threshold, "{} of {threshold}", chi_square(temperature));
    assert!(chi_square(temperature * 1.1) > threshold, "the test cannot tell a wrong temperature");
}

#[test]
fn top_k_keeps_the_most_probable_and_the_lower_id_on_ties() {
    let logits = [0.0, 1.0, 0.5, 1.0, 0.5];
    let mut sampler = Sampler::new(5);
    let mut kept = |top_k| reachable(&mut sampler, &logits, &SamplerParams { top_k, ..warm() });
    assert_eq!(kept(1), [1]);
    assert_eq!(kept(2), [1, 3]);
    assert_eq!(kept(3), [1, 2, 3]);
    assert_eq!(kept(99), [0, 1, 2, 3, 4]);
    assert_eq!(kept(0), [0, 1, 2, 3, 4]);
}

#[test]
fn long_runs_of_equal_logits_are_cut_at_the_lower_ids() {
    let logits = [0.5; 1000];
    for candidates in [3, 1000] {
        let mut sampler = Sampler::with_candidates(1000, candidates);
        assert_eq!(reachable(&mut sampler, &logits, &SamplerParams { top_k: 3, ..warm() }), [0, 1, 2]);
    }
}

#[test]
fn the_choice_is_the_first_whose_cumulative_sum_exceeds_u() {
    // Equal logits: the cumulative sums are exact quarters.
    let mut sampler = Sampler::new(4);
    let mut at = |u: f32| sampler.sample_with(&[2.0; 4], &warm(), &[], u).unwrap().token;
    assert_eq!([0.0, 0.25f32.next_down(), 0.25, 0.5, 0.75, 1.0f32.next_down()].map(&mut at), [0, 0, 1, 2, 3, 3]);
}

#[test]
fn top_p_ends_with_the_token_that_reaches_it() {
    // Equal logits: each of four tokens has exactly a quarter.
    let logits = [2.0; 4];
    let mut sampler = Sampler::new(4);
    let mut kept = |top_p| reachable(&mut sampler, &logits, &SamplerParams { top_p, ..warm() });
    assert_eq!(kept(f32::MIN_POSITIVE), [0]);
    assert_eq!(kept(0.25), [0]);
    assert_eq!(kept(0.25f32.next_up()), [0, 1]);
    assert_eq!(kept(0.5), [0, 1]);
    assert_eq!(kept(0.75f32.next_up()), [0, 1, 2, 3]);
    assert_eq!(kept(1.0), [0, 1, 2, 3]);
}

#[test]
fn top_p_measures_probabilities_of_the_whole_vocabulary() {
    // The two candidates hold a quarter of the mass, so half of it is never reached.
    let logits = [1.0; 8];
    let params = SamplerParams { top_p: 0.5, ..warm() };
    assert_eq!(reachable(&mut Sampler::with_candidates(8, 2), &logits, &params), [0, 1]);
    let top_k = SamplerParams { top_k: 3, ..params };
    assert_eq!(reachable(&mut Sampler::new(8), &logits, &top_k), [0, 1, 2]);
}

#[test]
fn min_p_is_relative_to_the_best() {
    let logits = [0.0, 0.0, 0.5f32.ln() + 1e-3, 0.5f32.ln() - 1e-3];
    let mut sampler = Sampler::new(4);
    let mut kept = |min_p| reachable(&mut sampler, &logits, &SamplerParams { min_p, ..warm() });
    assert_eq!(kept(1.0), [0, 1]);
    assert_eq!(kept(0.5), [0, 1, 2]);
    assert_eq!(kept(0.1), [0, 1, 2, 3]);
}

#[test]
fn candidates_are_cut_to_the_best() {
    let logits: Vec<f32> = (0u16..64).map(|i| f32::from(i * 37 % 64) * 0.01).collect();
    // 37 * 45 = 1665 = 26 * 64 + 1, so the largest four values 63, 62, 61, 60 sit at these ids.
    let mut best: Vec<u32> = [63u32, 62, 61, 60].map(|v| v * 45 % 64).to_vec();
    best.sort_unstable();
    assert_eq!(reachable(&mut Sampler::with_candidates(64, 4), &logits, &warm()), best);
    assert_eq!(reachable(&mut Sampler::with_candidates(64, 0), &logits, &warm()).len(), 1);
    assert_eq!(reachable(&mut Sampler::with_candidates(64, usize::MAX), &logits, &warm()).len(), 64);
}

/// The eight steps again, with a full sort and explicit probabilities.
fn plainly(logits: &[f32], params: &SamplerParams, history: &[u32], candidates: usize, u: f64) -> u32 {
    let mut row: Vec<(u32, f64)> = Vec::new();
    for (id, &l) in (0u32..).zip(logits) {
        let factor = if history.contains(&id) { params.repetition_penalty } else { 1.0 };
        row.push((id, f64::from(if l > 0.0 { l / factor } else { l * factor })));
    }
    row.sort_by(|a, b| b.1.total_cmp(&a.1));
    let weight = |l: f64| ((l - row[0].1) / f64::from(params.temperature)).exp();
    let total: f64 = row.iter().map(|r| weight(r.1)).sum();
    let mut p: Vec<(u32, f64)> = row.iter().map(|r| (r.0, weight(r.1) / total)).collect();
    p.truncate(candidates);
    if params.top_k > 0 {
        p.truncate(params.top_k as usize);
    }
    let nucleus = (1..=p.len()).find(|&n| p[..n].iter().map(|x| x.1).sum::<f64>() >= f64::from(params.top_p));
    p.truncate(nucleus.unwrap_or(p.len()));
    let floor = f64::from(params.min_p) * p[0].1;
    p.retain(|x| x.1 >= floor);
    let kept: f64 = p.iter().map(|x| x.1).sum();
    let mut sum = 0.0;
    for (id, x) in &p {
        sum += x / kept;
        if sum > u {
            return *id;
        }
    }
    p[p.len() - 1].0
}

#[test]
fn every_combination_of_cuts_agrees_with_the_steps_written_plainly() {
    for case in 0..3000u64 {
        let seed = seed_of(&format!("every_combination_of_cuts/{case}"));
        let number = |i: u64| uniform(seed, i);
        let vocab = 1 + (number(0) * 50.0) as usize;
        let logits: Vec<f32> = (0..vocab as u64).map(|i| number(100 + i) * 8.0 - 4.0).collect();
        let on = |i: u64| number(i) < 0.5;
        let params = SamplerParams {
            temperature: 0.2 + number(1),
            top_k: if on(2) { 1 + (number(3) * 20.0) as u32 } else { 0 },
            top_p: if on(4) { 0.05 + 0.9 * number(5) } else { 1.0 },
            min_p: if on(6) { number(7) * 0.3 } else { 0.0 },
            repetition_penalty: if on(8) { 0.7 + number(9) } else { 1.0 },
            seed,
        };
        let history: Vec<u32> = (0..10).map(|i| (number(20 + i) * vocab as f32) as u32).collect();
        let candidates = 1 + (number(10) * 60.0) as usize;
        let expected = plainly(&logits, &params, &history, candidates, f64::from(uniform(seed, case)));
        let sampled = Sampler::with_candidates(vocab, candidates).sample(&logits, &params, &history, case).unwrap();
        assert_eq!(sampled.token, expected, "case {case}: {params:?}");
    }
}

#[test]
fn the_log_probability_is_that_of_the_whole_softmax_before_the_cuts() {
    let logits = [1.0f32, 2.0, 3.0];
    let total: f64 = logits.iter().map(|&l| f64::from(l / 2.0).exp()).sum();
    let params = SamplerParams { temperature: 2.0, top_k: 1, ..warm() };
    let sampled = Sampler::new(3).sample(&logits, &params, &[], 0).unwrap();
    assert_eq!(sampled.token, 2);
    assert!((f64::from(sampled.logprob) - (1.5 - total.ln())).abs() < 1e-6);
    let total: f64 = logits.iter().map(|&l| f64::from(l).exp()).sum();
    let sampled = Sampler::new(3).sample(&logits, &SamplerParams::default(), &[], 0).unwrap();
    assert!((f64::from(sampled.logprob) - (3.0 - total.ln())).abs() < 1e-6);
}

#[test]
fn a_choice_depends_on_its_own_row_seed_and_position_only() {
    let row = |seed: u64, t: u64| -> Vec<f32> { (0..300).map(|i| uniform(seed, t * 300 + i) * 6.0).collect() };
    let params = |seed| SamplerParams { seed, top_p: 0.9, repetition_penalty: 1.2, ..warm() };
    let alone = |seed: u64| -> Vec<u32> {
        let mut sampler = Sampler::new(300);
        (0..50).map(|t| sampler.sample(&row(seed, t), &params(seed), &[3, 4], t).unwrap().token).collect()
    };
    let mut shared = Sampler::new(300);
    let mut mixed = [Vec::new(), Vec::new()];
    for t in 0..50 {
        for (out, seed) in mixed.iter_mut().zip([1, 2]) {
            out.push(shared.sample(&row(seed, t), &params(seed), &[3, 4], t).unwrap().token);
        }
    }
    assert_eq!(mixed, [alone(1), alone(2)]);
    assert_ne!(alone(1), alone(2));
}

#[test]
fn tiny_temperatures_choose_the_best_and_huge_ones_choose_all() {
    let logits = [1.0, 1.0f32.next_up(), -3e38, 3e37];
    let at = |temperature| SamplerParams { temperature, ..warm() };
    let mut sampler = Sampler::new(4);
    assert_eq!(reachable(&mut sampler, &logits, &at(f32::from_bits(1))), [3]);
    assert_eq!(reachable(&mut sampler, &logits, &at(f32::MAX)), [0, 1, 2, 3]);
}

#[test]
fn parameters_out_of_range_are_named() {
    let d = SamplerParams::default();
    for (params, name) in [
        (SamplerParams { temperature: -1.0, ..d }, "temperature"),
        (SamplerParams { temperature: INF, ..d }, "temperature"),
        (SamplerParams { temperature: NAN, ..d }, "temperature"),
        (SamplerParams { top_p: 0.0, ..d }, "top_p"),
        (SamplerParams { top_p: 1.1, ..d }, "top_p"),
        (SamplerParams { top_p: NAN, ..d }, "top_p"),
        (SamplerParams { min_p: -0.1, ..d }, "min_p"),
        (SamplerParams { min_p: 1.5, ..d }, "min_p"),
        (SamplerParams { min_p: NAN, ..d }, "min_p"),
        (SamplerParams { repetition_penalty: 0.0, ..d }, "repetition_penalty"),
        (SamplerParams { repetition_penalty: NAN, ..d }, "repetition_penalty"),
        (SamplerParams { repetition_penalty: INF, ..d }, "repetition_penalty"),
    ] {
        let error = Sampler::new(1).sample(&[0.0], &params, &[], 0).unwrap_err();
        assert!(error.to_string().starts_with(&format!("{name} was expected to be")), "{error}");
    }
}

#[test]
fn rows_and_histories_of_another_vocabulary_are_refused() {
    let mut sampler = Sampler::new(3);
    assert_eq!(sampler.sample(&[0.0; 4], &warm(), &[], 0), Err(SampleError::Length { expected: 3, found: 4 }));
    let penalty = SamplerParams { repetition_penalty: 1.1, ..warm() };
    assert_eq!(sampler.sample(&[0.0; 3], &penalty, &[0, 3], 0), Err(SampleError::History { id: 3, vocab: 3 }));
    assert_eq!(Sampler::new(0).sample(&[], &warm(), &[], 0), Err(SampleError::NoNumber { vocab: 0 }));
}

#[test]
fn parameters_read_from_json_fill_in_defaults_and_refuse_typos() {
    let read = |text: &str| serde_json::from_str::<SamplerParams>(text);
    let params = read(r#"{"temperature": 0.6, "seed": 18446744073709551615}"#).unwrap();
    assert_eq!(params, SamplerParams { temperature: 0.6, seed: u64::MAX, ..SamplerParams::default() });
    assert!(read(r#"{"temprature": 0.6}"#).is_err());
}
