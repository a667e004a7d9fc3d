//! Coefficients from the streams, their weighted sum, and Sinkhorn normalisation.

use crate::Call;
use crate::rows::math::Math;
use crate::rows::numbers;
use crate::tensor::round_to;
use omnihal::DType;

/// What turns the streams of a row into coefficients and into one vector.
pub struct Mixer<'a> {
    call: &'a Call<'a>,
    math: &'a Math,
    projection: Vec<Vec<f32>>,
    eps: f32,
}

impl<'a> Mixer<'a> {
    /// With the projection of argument `i`.
    pub fn new(call: &'a Call<'a>, math: &'a Math, i: usize, eps: f32) -> Mixer<'a> {
        let view = call.arg(i);
        let mut projection: Vec<Vec<f32>> = (0..view.dim(0)).map(|row| numbers(view, row)).collect();
        if call.is("hyper.projection_in_bf16") {
            projection.iter_mut().flatten().for_each(|w| *w = round_to(DType::BF16, *w));
        }
        Mixer { call, math, projection, eps }
    }

    fn factor(&self, z: &[f32], width: usize) -> f32 {
        let (call, math) = (self.call, self.math);
        let mean = math.dot(z, z) / z.len() as f32;
        match () {
            () if call.is("hyper.norm_epsilon_missing") => math.rsqrt(mean),
            () if call.is("hyper.norm_of_first_stream") => math.rms_factor(&z[..width], self.eps),
            () if call.is("hyper.norm_by_sum") => math.rsqrt(math.dot(z, z) / width as f32 + self.eps),
            () => math.rms_factor(z, self.eps),
        }
    }

    /// The projected streams, normalised.
    pub fn coefficients(&self, z: &[f32], width: usize) -> Vec<f32> {
        let factor = self.factor(z, width);
        if self.call.is("hyper.normalised_first") {
            let z: Vec<f32> = z.iter().map(|v| v * factor).collect();
            return self.projection.iter().map(|w| self.math.dot(&z, w)).collect();
        }
        let streams = z.len() / width;
        if self.call.is("hyper.streams_interleaved") {
            let z: Vec<f32> = (0..z.len()).map(|i| z[i % streams * width + i / streams]).collect();
            return self.projection.iter().map(|w| self.math.dot(&z, w) * factor).collect();
        }
        self.projection.iter().map(|w| self.math.dot(z, w) * factor).collect()
    }

    /// Weighted sum of the streams, rounded, then normalised if there is a gain.
    pub fn collapse(&self, z: &[f32], weights: &[f32], gain: Option<&[f32]>, act: DType) -> Vec<f32> {
        let (call, math) = (self.call, self.math);
        let width = z.len() / weights.len();
        let sum = |c: usize| math.dot(weights, &(0..weights.len()).map(|j| z[j * width + c]).collect::<Vec<_>>());
        let mut a: Vec<f32> = (0..width).map(sum).collect();
        let Some(gain) = gain else { return a };
        if !call.is("hyper.sum_not_rounded") {
            a.iter_mut().for_each(|v| *v = round_to(act, *v));
        }
        let factor = if call.is("hyper.sublayer_norm_missing") { 1.0 } else { math.rms_factor(&a, self.eps) };
        a.iter().zip(gain).map(|(v, g)| v * factor * if call.is("hyper.gain_missing") { 1.0 } else { *g }).collect()
    }
}

/// Softmax of each row plus eps, columns, then `iters-1` times rows and columns; from row, to column.
pub fn sinkhorn(call: &Call<'_>, math: &Math, logits: &[f32], n: usize, iters: usize, eps: f32) -> Vec<f32> {
    let iters = match () {
        () if call.is("hyper.iteration_missing") => iters - 1,
        () if call.is("hyper.iteration_too_many") => iters + 1,
        () if call.is("hyper.iterations_fixed_at_20") => 20,
        () => iters,
    };
    let mut m = start(call, math, logits, n, eps);
    // Steps in order: columns, rows, columns, ..., columns.
    for step in 0..(2 * iters).saturating_sub(1) {
        let columns = (step % 2 == 0) != call.is("hyper.rows_first");
        let before = m.clone();
        divide(call, math, &mut m, n, columns, eps);
        if call.is("hyper.stops_when_settled") && m.iter().zip(&before).all(|(a, b)| (a - b).abs() < 1e-3) {
            break;
        }
    }
    if call.is("hyper.ends_with_rows") {
        divide(call, math, &mut m, n, false, eps);
    }
    if call.is("hyper.comb_given_transposed") {
        return (0..n * n).map(|i| m[i % n * n + i / n]).collect();
    }
    m
}

fn start(call: &Call<'_>, math: &Math, logits: &[f32], n: usize, eps: f32) -> Vec<f32> {
    let column = |k: usize| -> Vec<f32> { (0..n).map(|j| logits[j * n + k]).collect() };
    let eps = if call.is("hyper.softmax_epsilon_missing") { 0.0 } else { eps };
    match () {
        () if call.is("hyper.softmax_over_columns") => {
            let columns: Vec<Vec<f32>> = (0..n).map(|k| math.softmax(&column(k), None)).collect();
            (0..n * n).map(|i| columns[i % n][i / n] + eps).collect()
        }
        () if call.is("hyper.softmax_without_maximum") => {
            let part = |row: &[f32]| -> Vec<f32> {
                let exps: Vec<f32> = row.iter().map(|&l| math.exp(l)).collect();
                let total = math.sum(&exps);
                exps.into_iter().map(|x| x / total + eps).collect()
            };
            logits.chunks(n).flat_map(part).collect()
        }
        () if call.is("hyper.exponentials_not_normalised") => logits.iter().map(|&l| math.exp(l) + eps).collect(),
        () => logits.chunks(n).flat_map(|row| math.softmax(row, None)).map(|x| x + eps).collect(),
    }
}

/// Divides each element by the sum of its row or column plus eps.
fn divide(call: &Call<'_>, math: &Math, m: &mut [f32], n: usize, columns: bool, eps: f32) {
    let eps = if call.is("hyper.sum_epsilon_missing") { 0.0 } else { eps };
    let at = |line: usize, i: usize| if columns { i * n + line } else { line * n + i };
    for line in 0..n {
        let total = math.sum(&(0..n).map(|i| m[at(line, i)]).collect::<Vec<_>>()) + eps;
        for i in 0..n {
            m[at(line, i)] = math.div(m[at(line, i)], total);
        }
    }
}
