//! Moving elements.

use crate::num::Num;
use crate::tensor::{Output, Reader, Values, read, read_indices};
use omnihal::op::copy;
use omnihal::{Args, DType, Result};

/// A value as a cast delivers it to the final rounding: numbers that become integers lose their fraction.
fn cast(x: f64, output: DType) -> f64 {
    match output {
        DType::BOOL => f64::from(u8::from(x != 0.0)),
        DType::I8 | DType::U8 | DType::I32 | DType::U32 | DType::I64 => x.trunc(),
        _ => x,
    }
}

/// `y = cast(x)`.
pub fn copy(d: &copy::Copy, args: &Args<'_>) -> Result<Vec<Output>> {
    let a = copy::CopyArgs::new(args)?;
    let moved = |x: f64| if d.input == d.output { x } else { cast(x, d.output) };
    Ok(vec![Output::exact(1, read(a.x)?.data.into_iter().map(moved))])
}

/// Every element becomes one value.
pub fn fill(d: &copy::Fill, _args: &Args<'_>) -> Result<Vec<Output>> {
    Ok(vec![Output::exact(0, vec![cast(f64::from(d.value), d.dtype); d.shape.elements()])])
}

/// `y[i] = src[idx[i]]`; zeros for an absent index.
pub fn gather(d: &copy::Gather, args: &Args<'_>) -> Result<Vec<Output>> {
    let a = copy::GatherArgs::new(args)?;
    let src = Reader::new(a.src)?;
    let mut values = Vec::new();
    for i in read_indices(a.idx, d.rows)? {
        values.extend(match i {
            Some(i) => src.row(i)?,
            None => vec![0.0; d.width],
        });
    }
    Ok(vec![Output::exact(2, values)])
}

/// `dst[idx[i]] = src[i]`. Rows that are written more than once are unspecified.
pub fn scatter(d: &copy::Scatter, args: &Args<'_>) -> Result<Vec<Output>> {
    let a = copy::ScatterArgs::new(args)?;
    let targets = read_indices(a.idx, d.rows)?;
    let src = Reader::new(a.src)?;
    let (mut rows, mut values, mut mask) = (Vec::new(), Vec::new(), Vec::new());
    for (i, target) in targets.iter().enumerate() {
        let Some(row) = *target else { continue };
        let once = targets.iter().filter(|t| **t == Some(row)).count() == 1;
        rows.push(row);
        values.extend(src.row(i)?.into_iter().map(Num::exact));
        mask.extend(vec![once; d.width]);
    }
    let values = Values::Rows { rows, width: d.width, values };
    Ok(vec![Output { values, mask: Some(mask), ..Output::exact(0, []) }])
}

/// `y[i, q] = x[i, idx[i, q]]`; zero for an absent index.
pub fn take(d: &copy::Take, args: &Args<'_>) -> Result<Vec<Output>> {
    let a = copy::TakeArgs::new(args)?;
    let x = read(a.x)?;
    let places = read_indices(a.idx, d.width)?;
    let taken = places.iter().enumerate().map(|(i, place)| place.map_or(0.0, |c| x.row(i / d.count)[c]));
    Ok(vec![Output::exact(2, taken)])
}

/// Joins along the middle axis.
pub fn concat(d: &copy::Concat, args: &Args<'_>) -> Result<Vec<Output>> {
    let a = copy::ConcatArgs::new(args)?;
    let mut parts = Vec::new();
    for (view, len) in [Some(a.a), Some(a.b), a.c, a.d].into_iter().zip(d.lens) {
        if let Some(view) = view.filter(|_| len > 0) {
            parts.push((read(view)?, len));
        }
    }
    let mut values = Vec::new();
    for p in 0..d.pre {
        for (part, len) in &parts {
            values.extend(&part.data[p * len * d.post..(p + 1) * len * d.post]);
        }
    }
    Ok(vec![Output::exact(4, values)])
}

#[cfg(test)]
#[path = "copy_tests.rs"]
mod tests;
