//! Rope tables: cosine and sine of every position, made on the host (deepseek-v4.md 3.3, op-catalogue.md 2).

use crate::config::Rope;

/// Rotation frequencies of the pairs, in f32 arithmetic as the released model computes them: at a million positions one unit in the last
/// place of a frequency already turns a pair by a visible angle.
pub fn frequencies(rope: &Rope) -> Vec<f32> {
    let dim = rope.dim as f32;
    // A power in f64 rounded once is the correctly rounded f32 power.
    let power = |k: usize| rope.theta.powf(((2 * k) as f32 / dim) as f64) as f32;
    let Some(yarn) = &rope.yarn else { return (0..rope.dim / 2).map(|k| 1.0 / power(k)).collect() };
    let dims = rope.dim as f64;
    let turns = |beta: f64| {
        let positions = yarn.original_max_position_embeddings as f64;
        dims * (positions / (beta * 2.0 * std::f64::consts::PI)).ln() / (2.0 * rope.theta.ln())
    };
    let low = turns(yarn.beta_fast).floor().max(0.0);
    let mut high = turns(yarn.beta_slow).ceil().min(dims - 1.0);
    if low == high {
        high += 0.001;
    }
    let frequency = |k: usize| {
        let ramp = ((k as f32 - low as f32) / (high - low) as f32).clamp(0.0, 1.0);
        let keep = 1.0 - ramp;
        let slow = 1.0 / (yarn.factor as f32 * power(k));
        slow * (1.0 - keep) + 1.0 / power(k) * keep
    };
    (0..rope.dim / 2).map(frequency).collect()
}

/// Cosine and sine side by side for each pair of the positions `first..first+count`: `[count, dim]`, row after row.
/// The angle is an f32 product; its cosine and sine are taken in f64 and rounded once.
pub fn table(rope: &Rope, first: usize, count: usize) -> Vec<f32> {
    let freq = frequencies(rope);
    let angles = (first..first + count).flat_map(|p| freq.iter().map(move |f| (p as f32 * f) as f64));
    angles.flat_map(|a| [a.cos() as f32, a.sin() as f32]).collect()
}
