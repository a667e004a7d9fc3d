//! Hyper-connections (documents of MhcPreSinkhorn and MhcPost in CANN 9.1; of HcPre and HcPost there are headers only, their meaning is assumed to be the same).
//!
//! Mistakes: `transposed-weight`, `rows-first` (Sinkhorn starts with rows), of the first halves; `transposed-mix` of the second.

use super::wrong::makes;
use crate::fault::Answer;
use crate::ops::reader::{BF16, F16, F32, Reader};
use crate::ops::{Action, Held, sigmoid};

/// What the first halves share.
struct Pre {
    name: &'static str,
    x: Held,
    weight: Held,
    scale: Held,
    base: Held,
    streams: usize,
    iterations: usize,
    mix_epsilon: f32,
    epsilon: f32,
}

impl Pre {
    fn read(r: &mut Reader<'_>, name: &'static str) -> Answer<Self> {
        let (x, weight, scale, base) = (r.input()?, r.input()?, r.input()?, r.input()?);
        let (streams, iterations) = (r.whole()? as usize, r.whole()? as usize);
        let (mix_epsilon, epsilon) = (r.real()? as f32, r.real()? as f32);
        r.want(streams == 4, "4 streams only")?;
        r.want(iterations == 20, "20 iterations only")?;
        let rank = x.dims().len();
        r.want(matches!(x.kind(), BF16 | F16) && matches!(rank, 3 | 4), "x is [rows, streams, width] of 16 bits")?;
        let width = x.dims()[rank - 1];
        r.want(x.dims()[rank - 2] == streams, "x has another number of streams")?;
        r.want(width % 128 == 0 && width <= 100_000, "a width that is no multiple of 128")?;
        let mix = streams * streams + 2 * streams;
        r.want(
            weight.dims() == [mix, streams * width] && scale.dims() == [3] && base.dims() == [mix],
            "shapes differ",
        )?;
        r.want([&weight, &scale, &base].iter().all(|held| held.kind() == F32), "weights are f32")?;
        Ok(Pre { name, x, weight, scale, base, streams, iterations, mix_epsilon, epsilon })
    }

    /// The shapes of the results: those of `x` without its last two axes, then these.
    fn results(&self, r: &Reader<'_>, y: &Held, post: &Held, mixed: &Held) -> Answer {
        let x = self.x.dims();
        let (lead, n) = (&x[..x.len() - 2], self.streams);
        let is = |held: &Held, tail: &[usize]| held.dims() == [lead, tail].concat();
        r.want(y.kind() == self.x.kind() && is(y, &x[x.len() - 1..]), "the result has another shape or type")?;
        r.want(post.kind() == F32 && is(post, &[n]), "the weights of the output have another shape or type")?;
        let square = is(mixed, &[n * n]) || is(mixed, &[n, n]);
        r.want(mixed.kind() == F32 && square, "the mixing has another shape or type")?;
        [y, post, mixed].into_iter().try_for_each(|held| r.dense(held))
    }

    fn run(&self, y: &Held, post: &Held, mixed: &Held) {
        let (n, width) = (self.streams, *self.x.dims().last().unwrap_or(&1));
        let (all, weight) = (self.x.floats(), self.weight.floats());
        let (scale, base) = (self.scale.floats(), self.base.floats());
        let transposed = makes(self.name, "transposed-weight");
        let mix = base.len();
        let (mut ys, mut posts, mut mixes) = (Vec::new(), Vec::new(), Vec::new());
        for x in all.chunks(n * width) {
            let mean = x.iter().map(|v| v * v).sum::<f32>() / x.len() as f32;
            let root = 1.0 / (mean + self.epsilon).sqrt();
            let at = |i: usize, j: usize| if transposed { weight[j * mix + i] } else { weight[i * x.len() + j] };
            let logit = |i: usize| {
                let dot = (0..x.len()).map(|j| at(i, j) * x[j]).sum::<f32>();
                dot * root * scale[(i / n).min(2)] + base[i]
            };
            let before: Vec<f32> = (0..n).map(|i| sigmoid(logit(i)) + self.mix_epsilon).collect();
            posts.extend((n..2 * n).map(|i| 2.0 * sigmoid(logit(i))));
            let mut square: Vec<f32> = (2 * n..mix).map(logit).collect();
            self.sinkhorn(&mut square);
            mixes.extend(square);
            ys.extend((0..width).map(|c| (0..n).map(|j| before[j] * x[j * width + c]).sum::<f32>()));
        }
        y.put_floats(&ys);
        post.put_floats(&posts);
        mixed.put_floats(&mixes);
    }

    /// A softmax of the rows and the epsilon; columns; then rows and columns.
    fn sinkhorn(&self, square: &mut [f32]) {
        let n = self.streams;
        for row in square.chunks_mut(n) {
            let most = row.iter().copied().fold(f32::NEG_INFINITY, f32::max);
            row.iter_mut().for_each(|v| *v = (*v - most).exp());
            let total: f32 = row.iter().sum();
            row.iter_mut().for_each(|v| *v = *v / total + self.mix_epsilon);
        }
        let flipped = makes(self.name, "rows-first");
        for step in 0..2 * self.iterations - 1 {
            let columns = (step % 2 == 0) != flipped;
            for i in 0..n {
                let places = (0..n).map(|j| if columns { j * n + i } else { i * n + j });
                let total = places.clone().map(|p| square[p]).sum::<f32>() + self.mix_epsilon;
                places.for_each(|p| square[p] /= total);
            }
        }
    }
}

/// The intermediate results are for training: without it they may be absent, and are not written.
pub(super) fn mhc_pre_sinkhorn(r: &mut Reader<'_>) -> Answer<Action> {
    let pre = Pre::read(r, "MhcPreSinkhorn")?;
    let backward = r.whole()? != 0;
    r.want(!backward, "the stand-in gives no intermediate results")?;
    let (y, post, mixed) = (r.output()?, r.output()?, r.output()?);
    pre.results(r, &y, &post, &mixed)?;
    (0..5).try_for_each(|_| r.optional_output().map(drop))?;
    Ok(Box::new(move || {
        pre.run(&y, &post, &mixed);
        Ok(())
    }))
}

pub(super) fn hc_pre(r: &mut Reader<'_>) -> Answer<Action> {
    let pre = Pre::read(r, "HcPre")?;
    let (y, post, mixed) = (r.output()?, r.output()?, r.output()?);
    pre.results(r, &y, &post, &mixed)?;
    Ok(Box::new(move || {
        pre.run(&y, &post, &mixed);
        Ok(())
    }))
}

/// The parts of a second half: streams, mixing, output of the sublayer, its weights, new streams.
struct Post([Held; 5]);

impl Post {
    fn check(&self, r: &Reader<'_>) -> Answer {
        let [x, mixed, out, post, y] = &self.0;
        let rank = x.dims().len();
        r.want(matches!(rank, 3 | 4) && matches!(x.kind(), BF16 | F16), "x is [rows, streams, width] of 16 bits")?;
        r.same_kinds(&[x, out, y])?;
        let (lead, [n, width]) = (&x.dims()[..rank - 2], [x.dims()[rank - 2], x.dims()[rank - 1]]);
        let is = |held: &Held, tail: &[usize]| held.dims() == [lead, tail].concat();
        r.want(y.dims() == x.dims() && is(mixed, &[n, n]) && is(out, &[width]) && is(post, &[n]), "shapes differ")?;
        r.want(mixed.kind() == F32 && post.kind() == F32, "weights are f32")?;
        r.dense(y)
    }

    fn run(&self, name: &str) {
        let [x, mixed, out, post, y] = &self.0;
        let rank = x.dims().len();
        let (n, width) = (x.dims()[rank - 2], x.dims()[rank - 1]);
        let transposed = makes(name, "transposed-mix");
        let (xs, mixes, outs, posts) = (x.floats(), mixed.floats(), out.floats(), post.floats());
        let mut all = Vec::with_capacity(xs.len());
        for (row, x) in xs.chunks(n * width).enumerate() {
            let mix = |j: usize, k: usize| mixes[row * n * n + if transposed { k * n + j } else { j * n + k }];
            for k in 0..n {
                all.extend((0..width).map(|c| {
                    let kept: f32 = (0..n).map(|j| mix(j, k) * x[j * width + c]).sum();
                    kept + posts[row * n + k] * outs[row * width + c]
                }));
            }
        }
        y.put_floats(&all);
    }
}

pub(super) fn mhc_post(r: &mut Reader<'_>) -> Answer<Action> {
    let (x, mixed, out, post, y) = (r.input()?, r.input()?, r.input()?, r.input()?, r.output()?);
    let all = Post([x, mixed, out, post, y]);
    all.check(r)?;
    Ok(Box::new(move || {
        all.run("MhcPost");
        Ok(())
    }))
}

pub(super) fn hc_post(r: &mut Reader<'_>) -> Answer<Action> {
    let (out, x, post, mixed, y) = (r.input()?, r.input()?, r.input()?, r.input()?, r.output()?);
    let all = Post([x, mixed, out, post, y]);
    all.check(r)?;
    Ok(Box::new(move || {
        all.run("HcPost");
        Ok(())
    }))
}
