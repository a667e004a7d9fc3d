//! Hyper-connections. The types and sizes are those of the documents of MhcPreSinkhorn and MhcPost; HcPre and HcPost have headers only.

use super::{Fits, want};
use crate::ops::calls::Calls;
use crate::ops::tensor::Tensor;
use crate::ops::words::{BF16, F32};
use crate::toolkit::version::Soc;
use omnihal::op::hyper::{Post, PostArgs, Pre, PreArgs, mix};
use omnihal::{Args, DType, Error, Op, Result, View};

/// The widest row of the documents.
const WIDEST: usize = 100_000;

fn pre_of(op: &Op) -> Result<&Pre> {
    match op {
        Op::HyperPre(d) => Ok(d),
        other => Err(Error::argument(format!("{} where hyper.pre was expected", other.kind().name()))),
    }
}

fn sizes(act: DType, streams: usize, width: usize) -> Fits {
    want(act == DType::BF16, || format!("activations are {act}, it takes bf16"))?;
    want(streams == 4, || format!("{streams} residual streams, it takes 4"))?;
    want(width % 128 == 0 && width <= WIDEST, || {
        format!("a width of {width}, it takes multiples of 128 up to {WIDEST}")
    })
}

pub(super) fn pre_fits(op: &Op, _: Soc) -> Fits {
    let Op::HyperPre(d) = op else { return Err("another operator".to_owned()) };
    sizes(d.act, d.streams, d.width)?;
    want(d.iters == 20, || format!("{} Sinkhorn iterations, it takes 20", d.iters))?;
    want(d.norm.is_none() || d.eps > 0.0, || "a norm without epsilon".to_owned())
}

pub(super) fn post_fits(op: &Op, _: Soc) -> Fits {
    let Op::HyperPost(d) = op else { return Err("another operator".to_owned()) };
    sizes(d.act, d.streams, d.width)
}

/// Arguments of a first half as tensors, and where its results are computed.
struct PreParts {
    x: Tensor,
    weights: [Tensor; 3],
    /// Input of the sublayer before its norm, weights of its output, mixing of the streams.
    results: [Tensor; 3],
    /// Where they are wanted.
    wanted: [Tensor; 3],
    gain: Option<Tensor>,
}

impl PreParts {
    fn new(c: &mut Calls<'_>, d: &Pre, args: &PreArgs<'_>) -> Result<Self> {
        let x = Tensor::of(args.x)?;
        let x = c.dense(&x, BF16)?;
        let mut weights = [Tensor::of(args.projection)?, Tensor::of(args.scale)?, Tensor::of(args.base)?];
        for weight in &mut weights {
            *weight = c.dense(weight, F32)?;
        }
        let wanted = [Tensor::of(args.a)?, Tensor::of(args.post)?, Tensor::of(args.comb)?];
        let inputs = [&x, &weights[0], &weights[1], &weights[2]];
        let a = match d.norm {
            None => c.dense_place(&wanted[0], BF16, &inputs)?,
            Some(_) => c.temp(BF16, wanted[0].dims())?,
        };
        let results = [a, c.dense_place(&wanted[1], F32, &inputs)?, c.dense_place(&wanted[2], F32, &inputs)?];
        let gain = args.norm.map(Tensor::of).transpose()?;
        Ok(PreParts { x, weights, results, wanted, gain })
    }

    /// The norm, if asked for, and the results where they are wanted.
    fn finish(self, c: &mut Calls<'_>, d: &Pre) -> Result<()> {
        let [a, post, comb] = &self.wanted;
        match self.gain {
            None => c.settle(&self.results[0], a)?,
            Some(gain) => {
                let (x, gain) = (c.of_kind(&self.results[0], F32)?, c.dense(&gain, F32)?);
                let (value, roots) = (c.temp(F32, &[d.rows, d.width])?, c.temp(F32, &[d.rows, 1])?);
                c.rms(&x, &gain, d.eps, &value, &roots)?;
                c.copy(&value, a)?;
            }
        }
        c.settle(&self.results[1], post)?;
        c.settle(&self.results[2], comb)
    }
}

pub(super) fn mhc_pre(c: &mut Calls<'_>, op: &Op, views: &[Option<View>]) -> Result<()> {
    let (d, args) = (pre_of(op)?, Args::new(views));
    let parts = PreParts::new(c, d, &PreArgs::new(&args)?)?;
    let (n, rows) = (d.streams, d.rows);
    let x = parts.x.reshape(&[1, rows, n, d.width]);
    let [weight, scale, base] = parts.weights;
    let [a, post, comb] = parts.results;
    let (a, post, comb) =
        (a.reshape(&[1, rows, d.width]), post.reshape(&[1, rows, n]), comb.reshape(&[1, rows, n * n]));
    // Documents call the intermediate results optional; releases differ in whether a null is one, and memory for them is good with all.
    let before = c.temp(F32, &[1, rows, n])?;
    let logits = c.temp(F32, &[1, rows, mix(n)])?;
    let roots = c.temp(F32, &[1, rows, 1])?;
    let sums = c.temp(F32, &[2 * d.iters, 1, rows, n])?;
    let squares = c.temp(F32, &[2 * d.iters, 1, rows, n, n])?;
    let (streams, iterations) = (n as i64, d.iters as i64);
    let (hc_eps, eps) = (f64::from(d.hc_eps), f64::from(d.eps));
    // SAFETY: see `words`.
    c.call_fused(|fused, h| unsafe {
        fused.aclnnMhcPreSinkhorn(
            h.t(&x)?,
            h.t(&weight)?,
            h.t(&scale)?,
            h.t(&base)?,
            streams,
            iterations,
            hc_eps,
            eps,
            false,
            h.t(&a)?,
            h.t(&post)?,
            h.t(&comb)?,
            h.t(&before)?,
            h.t(&logits)?,
            h.t(&roots)?,
            h.t(&sums)?,
            h.t(&squares)?,
        )
    })?;
    parts.finish(c, d)
}

pub(super) fn hc_pre(c: &mut Calls<'_>, op: &Op, views: &[Option<View>]) -> Result<()> {
    let (d, args) = (pre_of(op)?, Args::new(views));
    let parts = PreParts::new(c, d, &PreArgs::new(&args)?)?;
    let [weight, scale, base] = parts.weights;
    let [a, post, comb] = parts.results;
    let (streams, iterations) = (d.streams as i64, d.iters as i64);
    let (hc_eps, eps) = (f64::from(d.hc_eps), f64::from(d.eps));
    // SAFETY: see `words`.
    c.call_vllm(|vllm, h| unsafe {
        vllm.aclnnHcPre(
            h.t(&parts.x)?,
            h.t(&weight)?,
            h.t(&scale)?,
            h.t(&base)?,
            streams,
            iterations,
            hc_eps,
            eps,
            h.t(&a)?,
            h.t(&post)?,
            h.t(&comb)?,
        )
    })?;
    parts.finish(c, d)
}

/// Streams, output of the sublayer, its weights, mixing, and where the result is computed and wanted.
struct PostParts {
    x: Tensor,
    out: Tensor,
    post: Tensor,
    comb: Tensor,
    result: Tensor,
    wanted: Tensor,
}

impl PostParts {
    fn new(c: &mut Calls<'_>, op: &Op, views: &[Option<View>]) -> Result<Self> {
        let Op::HyperPost(Post { .. }) = op else {
            return Err(Error::argument(format!("{} where hyper.post was expected", op.kind().name())));
        };
        let args = Args::new(views);
        let args = PostArgs::new(&args)?;
        let [x, out] = [Tensor::of(args.x)?, Tensor::of(args.out)?];
        let [post, comb] = [Tensor::of(args.post)?, Tensor::of(args.comb)?];
        let (x, out) = (c.dense(&x, BF16)?, c.dense(&out, BF16)?);
        let (post, comb) = (c.dense(&post, F32)?, c.dense(&comb, F32)?);
        let wanted = Tensor::of(args.y)?;
        let result = c.dense_place(&wanted, BF16, &[&x, &out, &post, &comb])?;
        Ok(PostParts { x, out, post, comb, result, wanted })
    }
}

pub(super) fn mhc_post(c: &mut Calls<'_>, op: &Op, views: &[Option<View>]) -> Result<()> {
    let p = PostParts::new(c, op, views)?;
    c.call_fused(|fused, h| {
        let (x, comb, out, post, y) = (h.t(&p.x)?, h.t(&p.comb)?, h.t(&p.out)?, h.t(&p.post)?, h.t(&p.result)?);
        // SAFETY: see `words`.
        unsafe { fused.aclnnMhcPost(x, comb, out, post, y) }
    })?;
    c.settle(&p.result, &p.wanted)
}

pub(super) fn hc_post(c: &mut Calls<'_>, op: &Op, views: &[Option<View>]) -> Result<()> {
    let p = PostParts::new(c, op, views)?;
    c.call_vllm(|vllm, h| {
        let (x, comb, out, post, y) = (h.t(&p.x)?, h.t(&p.comb)?, h.t(&p.out)?, h.t(&p.post)?, h.t(&p.result)?);
        // SAFETY: see `words`. The sublayer's output is what this package calls `x`, the streams are its `residual`.
        unsafe { vllm.aclnnHcPost(out, x, post, comb, y) }
    })?;
    c.settle(&p.result, &p.wanted)
}
