//! The clipped gate (document of ClippedSwiglu in CANN 9.1).
//!
//! Mistakes: `halves-swapped`, `unclipped`.

use super::wrong::makes;
use crate::fault::Answer;
use crate::ops::reader::{Reader, is_float};
use crate::ops::{Action, sigmoid};

pub(super) fn clipped(r: &mut Reader<'_>) -> Answer<Action> {
    let x = r.input()?;
    r.absent(1)?;
    let axis = r.axis(x.dims().len())?;
    let (alpha, limit, bias) = (r.real()? as f32, r.real()? as f32, r.real()? as f32);
    let (interleaved, y) = (r.whole()? != 0, r.output()?);
    r.want(axis + 1 == x.dims().len() && !interleaved, "the stand-in takes halves of the last axis")?;
    r.want(is_float(x.tensor.kind), "no float")?;
    r.same_kinds(&[&x, &y])?;
    let width = y.dims().last().copied().unwrap_or(0);
    r.want(x.dims()[axis] == 2 * width && x.dims()[..axis] == y.dims()[..axis], "shapes differ")?;
    Ok(Box::new(move || {
        let limit = if makes("ClippedSwiglu", "unclipped") { f32::MAX } else { limit };
        let swapped = makes("ClippedSwiglu", "halves-swapped");
        let one = |row: &[f32], i: usize| {
            let (gate, up) = if swapped { (row[width + i], row[i]) } else { (row[i], row[width + i]) };
            let (gate, up) = (gate.min(limit), up.clamp(-limit, limit));
            gate * sigmoid(alpha * gate) * (up + bias)
        };
        let all: Vec<f32> =
            x.floats().chunks(2 * width).flat_map(|row| (0..width).map(|i| one(row, i)).collect::<Vec<_>>()).collect();
        y.put_floats(&all);
        Ok(())
    }))
}
