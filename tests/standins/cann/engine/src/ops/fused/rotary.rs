//! Rotation of a part of the last axis (document of InplacePartialRotaryMul in CANN 9.1, header of vllm-ascend's): neighbouring pairs only, cosines and sines of the type of x.
//!
//! Mistake: `halves` (the first half of the part is paired with the second).

use super::wrong::makes;
use crate::fault::Answer;
use crate::ops::Action;
use crate::ops::reader::{Reader, is_float};

pub(super) fn partial(r: &mut Reader<'_>) -> Answer<Action> {
    let (x, cosine, sine) = (r.update()?, r.input()?, r.input()?);
    let (mode, part) = (r.whole()?, r.ints()?);
    r.want(mode == 1, "pairs of neighbours only")?;
    let &[a, b, heads, width] = x.dims() else { return r.bad("x has not 4 axes") };
    let &[from, to] = &part[..] else { return r.bad("the part is not two numbers") };
    r.want(
        from >= 0 && from < to && to as usize <= width && width <= 1024 && (to - from) % 2 == 0,
        "a part out of range",
    )?;
    let (from, len) = (from as usize, (to - from) as usize);
    r.want(is_float(x.tensor.kind), "no float")?;
    r.same_kinds(&[&x, &cosine, &sine])?;
    r.want(cosine.dims() == [a, b, 1, len] && sine.dims() == cosine.dims(), "cosines or sines have another shape")?;
    Ok(Box::new(move || {
        let (mut all, cosines, sines) = (x.floats(), cosine.floats(), sine.floats());
        let halves = makes("InplacePartialRotaryMul", "halves");
        for (row, values) in all.chunks_mut(heads * width).enumerate() {
            let (cosines, sines) = (&cosines[row * len..][..len], &sines[row * len..][..len]);
            for head in values.chunks_mut(width) {
                let part = &mut head[from..from + len];
                for pair in 0..len / 2 {
                    let (i, j) = if halves { (pair, pair + len / 2) } else { (2 * pair, 2 * pair + 1) };
                    let (p, q) = (part[i], part[j]);
                    part[i] = p * cosines[i] - q * sines[i];
                    part[j] = q * cosines[j] + p * sines[j];
                }
            }
        }
        x.put_floats(&all);
        Ok(())
    }))
}
