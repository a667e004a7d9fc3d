//! Rotary position embedding.

use crate::num::Num;
use crate::tensor::{Output, read};
use omnihal::op::rope;
use omnihal::{Args, Result};

/// Rotates the last channels of each vector as pairs `(2k, 2k+1)`.
pub fn apply(d: &rope::Apply, args: &Args<'_>) -> Result<Vec<Output>> {
    let a = rope::ApplyArgs::new(args)?;
    let (x, cs) = (read(a.x)?, read(a.cs)?);
    let mut values = x.nums();
    for (i, vector) in values.chunks_mut(d.width).enumerate() {
        let angles = cs.row(i / d.heads);
        for (pair, angle) in vector[d.width - d.rotary..].chunks_mut(2).zip(angles.chunks(2)) {
            let (cos, sin) = (Num::exact(angle[0]), Num::exact(angle[1]));
            let sin = if d.inverse { -sin } else { sin };
            let (re, im) = (pair[0], pair[1]);
            pair[0] = re * cos - im * sin;
            pair[1] = re * sin + im * cos;
        }
    }
    Ok(vec![Output::dense(0, values)])
}

#[cfg(test)]
mod tests {
    use crate::testing::{Bench, get, oracle, oracle_f32};
    use omnihal::op::rope;
    use omnihal::{DType, View};

    /// The oracle's cosines and sines: `fl(p * f)` in f32, then rounded once.
    fn table(bench: &mut Bench, frequencies: &str) -> View {
        let ((_, positions), (_, f)) = (oracle("rope.pos"), oracle_f32(frequencies));
        let positions: Vec<f32> =
            positions.chunks(8).map(|p| i64::from_le_bytes(p.try_into().unwrap()) as f32).collect();
        let angles = positions.iter().flat_map(|p| f.iter().map(move |&f| f64::from(p * f as f32)));
        let cs: Vec<f64> = angles.flat_map(|a| [a.cos(), a.sin()]).collect();
        bench.put(DType::F32, [positions.len(), 2 * f.len()], &cs)
    }

    fn oracle_rotation(kind: &str, from: &str, to: &str, inverse: bool) {
        let ((shape, x), (_, expected)) = (oracle_f32(from), oracle_f32(to));
        let (rows, width) = (shape[0], shape[1]);
        let mut bench = Bench::new();
        let cs = table(&mut bench, &format!("rope.inv_freq_{kind}"));
        let x = bench.put(DType::F32, [rows, 1, width], &x);
        let d = rope::Apply { rows, heads: 1, width, rotary: cs.dim(1), inverse, dtype: DType::F32 };
        let judged = bench.judge(d, &[Some(x), Some(cs)]);
        for (i, (n, y)) in judged[0].nums().iter().zip(&expected).enumerate() {
            // The oracle's cosine and sine are f32 functions: each may be an ulp away from ours.
            let limit = if i % width < width - cs.dim(1) { 0.0 } else { n.bound(DType::F32) + 1e-6 };
            assert!((n.v - y).abs() <= limit, "{to}[{i}]: {n:?}, oracle {y}");
        }
    }

    #[test]
    fn rotations_are_the_oracle_ones_at_both_bases() {
        oracle_rotation("main", "rope.x", "rope.y_main", false);
        oracle_rotation("compress", "rope.x", "rope.y_compress", false);
    }

    #[test]
    fn inverse_rotations_are_the_oracle_ones_at_both_bases() {
        oracle_rotation("main", "rope.y_main", "rope.back_main", true);
        oracle_rotation("compress", "rope.y_compress", "rope.back_compress", true);
    }

    #[test]
    fn all_heads_of_a_row_turn_by_its_angle_and_the_first_channels_stay() {
        let mut bench = Bench::new();
        let x = bench.put(DType::BF16, [2, 2, 3], &[9.0, 1.0, 2.0, 8.0, 3.0, 4.0, 7.0, 1.0, 2.0, 6.0, 3.0, 4.0]);
        let cs = bench.put(DType::F32, [2, 2], &[0.0, 1.0, -1.0, 0.0]);
        let d = rope::Apply { rows: 2, heads: 2, width: 3, rotary: 2, inverse: false, dtype: DType::BF16 };
        bench.run(d, &[Some(x), Some(cs)]).unwrap();
        assert_eq!(get(&x), [9.0, -2.0, 1.0, 8.0, -4.0, 3.0, 7.0, -1.0, -2.0, 6.0, -3.0, -4.0]);
    }
}
