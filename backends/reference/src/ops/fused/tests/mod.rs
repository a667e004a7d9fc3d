//! Behaviour of the fused operators: against the oracle's vectors, and against sums written out by hand.

mod attention;
mod bounds;
mod compress;
mod embed;
mod hyper;
mod indexer;
mod moe;
mod packed;
mod quant;
mod sample;

use crate::testing::{Bench, get, noise};
use omnihal::{Column, DType, Sequence, StepColumns, StepLayout, StepShape, View};

/// Half-distance to the nearest f32 in proportion, with room for a product or two.
const F32_NOISE: f64 = 1e-6;

/// A rope table of ordinary angles.
fn rope_table(bench: &mut Bench, positions: usize, rotary: usize) -> View {
    let cs = |p: usize| {
        (0..rotary / 2).flat_map(move |k| {
            let angle = p as f64 * 10000f64.powf(-2.0 * k as f64 / rotary as f64);
            [angle.cos(), angle.sin()]
        })
    };
    let values: Vec<f64> = (0..positions).flat_map(cs).collect();
    bench.put(DType::F32, [positions, rotary], &values)
}

/// Noise as a tensor of the given type; the values are those that the type holds.
fn noisy(bench: &mut Bench, dtype: DType, shape: &[usize], name: &str) -> View {
    let values = noise(name, shape.iter().product());
    bench.put(dtype, omnihal::Shape::new(shape), &values)
}

/// The step table of a batch in memory.
struct Table {
    layout: StepLayout,
    mem: omnihal::Mem,
}

impl Table {
    fn new(bench: &mut Bench, shape: &StepShape, sequences: &[Sequence]) -> Table {
        let layout = StepLayout::new(shape.clone(), []).unwrap();
        let mut columns = StepColumns::new(layout.clone());
        columns.build(sequences).unwrap();
        let bytes: Vec<f64> = columns.bytes().iter().map(|&b| f64::from(b)).collect();
        let mem = bench.put(DType::U8, [bytes.len()], &bytes).mem;
        Table { layout, mem }
    }

    fn view(&self, column: Column) -> View {
        self.layout.view(column, self.mem).unwrap()
    }
}

/// Bits of a tensor, so that NaNs compare too.
fn bits(view: &View) -> Vec<u64> {
    get(view).into_iter().map(f64::to_bits).collect()
}

/// `x / sqrt(mean(x^2) + eps)` times the gain, in plain f64.
fn plain_rms(x: &[f64], gain: &[f64], eps: f64) -> Vec<f64> {
    let factor = (x.iter().map(|x| x * x).sum::<f64>() / x.len() as f64 + eps).powf(-0.5);
    x.iter().zip(gain).map(|(x, g)| x * factor * g).collect()
}

/// Rotates the last channels by the angles of [`rope_table`], in plain f64.
fn plain_rope(x: &mut [f64], rotary: usize, pos: f64) {
    let start = x.len() - rotary;
    for k in 0..rotary / 2 {
        let (sin, cos) = (pos * 10000f64.powf(-2.0 * k as f64 / rotary as f64)).sin_cos();
        let (a, b) = (x[start + 2 * k], x[start + 2 * k + 1]);
        (x[start + 2 * k], x[start + 2 * k + 1]) = (a * cos - b * sin, a * sin + b * cos);
    }
}
