//! Root-mean-square normalisation.

use crate::num::{Num, dot};
use crate::tensor::{Output, read};
use omnihal::op::norm;
use omnihal::{Args, Result};

/// Each vector over its root mean square, times the gain.
pub fn rms(d: &norm::Rms, args: &Args<'_>) -> Result<Vec<Output>> {
    let a = norm::RmsArgs::new(args)?;
    let x = read(a.x)?;
    let gain = a.weight.map(read).transpose()?;
    let mut values = Vec::new();
    for row in x.data.chunks(d.width) {
        let normed = normalise(row, f64::from(d.eps));
        values.extend(normed.into_iter().enumerate().map(|(c, y)| match &gain {
            Some(gain) => y * Num::exact(gain.data[c]),
            None => y,
        }));
    }
    Ok(vec![Output::dense(2, values)])
}

/// `x * rsqrt(mean(x^2) + eps)`.
fn normalise(row: &[f64], eps: f64) -> Vec<Num> {
    if row.iter().all(|&x| x == 0.0) {
        return vec![Num::ZERO; row.len()];
    }
    let mean = dot(row, row) / Num::exact(row.len() as f64);
    let factor = (mean + Num::exact(eps)).rsqrt();
    row.iter().map(|&x| Num::exact(x) * factor).collect()
}

#[cfg(test)]
mod tests {
    use crate::num::Num;
    use crate::testing::{Bench, get, noise};
    use omnihal::DType;
    use omnihal::op::norm;

    fn rms(rows: usize, heads: usize, width: usize, eps: f32) -> norm::Rms {
        norm::Rms { rows, heads, width, eps, weight: Some(DType::F32), input: DType::F32, output: DType::F32 }
    }

    #[test]
    fn heads_are_normalised_apart_and_weighted_by_channel() {
        let mut bench = Bench::new();
        let d = rms(1, 2, 2, 0.0);
        let x = bench.put(DType::F32, [1, 2, 2], &[1.0, 7.0, -2.0, 2.0]);
        let views = [Some(x), Some(bench.put(DType::F32, [2], &[10.0, 1.0])), Some(bench.empty(DType::F32, [1, 2, 2]))];
        bench.run(d, &views).unwrap();
        // Mean squares 25 and 4.
        assert_eq!(get(&views[2].unwrap()), [2.0, f64::from(1.4f32), -10.0, 1.0]);
    }

    #[test]
    fn zeros_stay_zeros_without_an_epsilon_and_the_epsilon_counts_in_the_mean() {
        let mut bench = Bench::new();
        let (x, y) = (bench.put(DType::F32, [2, 1, 1], &[0.0, 4.0]), bench.empty(DType::F32, [2, 1, 1]));
        let one = bench.put(DType::F32, [1], &[1.0]);
        bench.run(rms(2, 1, 1, 9.0), &[Some(x), Some(one), Some(y)]).unwrap();
        assert_eq!(get(&y), [0.0, f64::from(0.8f32)]);
        bench.run(rms(2, 1, 1, 0.0), &[Some(x), Some(one), Some(y)]).unwrap();
        assert_eq!(get(&y), [0.0, 1.0]);
    }

    #[test]
    fn an_f32_norm_stays_within_the_bounds_and_a_missing_epsilon_does_not() {
        let mut bench = Bench::new();
        let x = noise("norm", 96);
        let views = [Some(bench.put(DType::F32, [1, 1, 96], &x)), None, Some(bench.empty(DType::F32, [1, 1, 96]))];
        let d = norm::Rms { weight: None, eps: 1e-4, ..rms(1, 1, 96, 0.0) };
        let judged = bench.judge(d, &views);
        let device = |eps: f32| {
            let mean = x.iter().map(|&x| x as f32 * x as f32).sum::<f32>() / 96.0;
            let factor = 1.0 / (mean + eps).sqrt();
            x.iter().map(move |&x| f64::from(x as f32 * factor)).collect::<Vec<_>>()
        };
        let inside = |y: &f64, n: &Num| (y - n.v).abs() <= n.bound(DType::F32);
        assert!(device(1e-4).iter().zip(judged[0].nums()).all(|(y, n)| inside(y, n)));
        assert!(device(0.0).iter().zip(judged[0].nums()).any(|(y, n)| !inside(y, n)));
    }
}
