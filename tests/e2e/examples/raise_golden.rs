//! Copies a golden file with one element of one tensor raised beyond its limit: `raise_golden GOLDEN TENSOR LIMIT OUT`.
//!
//! A comparison that does not see it is worth nothing; `ci/parity-bites` tries every tensor. Prints `raised`, or `empty` if the tensor has no
//! element that a run compares.

use safetensors::tensor::TensorView;
use safetensors::{Dtype, SafeTensors};
use std::error::Error;

/// How many limits a number is raised by.
const LIMITS: f64 = 10.0;

fn main() -> Result<(), Box<dyn Error>> {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let [golden, name, limit, out] = &args[..] else {
        return Err("expected: raise_golden GOLDEN TENSOR LIMIT OUT".into());
    };
    let bytes = std::fs::read(golden)?;
    let file = SafeTensors::deserialize(&bytes)?;
    let tensor = file.tensor(name)?;
    let mut data = tensor.data().to_vec();
    let raised = match tensor.dtype() {
        Dtype::F32 => raise_real(name, tensor.shape(), &mut data, limit.parse()?),
        Dtype::I64 => raise_int(&mut data),
        other => return Err(format!("tensor {name} is {other:?}, expected F32 or I64").into()),
    };
    println!("{}", if raised { "raised" } else { "empty" });
    if raised {
        let views = file.tensors().into_iter().map(|(other, view)| {
            let own = other == *name;
            let bytes = if own { &data[..] } else { view.data() };
            Ok((other, TensorView::new(view.dtype(), view.shape().to_vec(), bytes)?))
        });
        let views: Vec<_> = views.collect::<Result<_, safetensors::SafeTensorError>>()?;
        safetensors::serialize_to_file(views, None, out.as_ref())?;
    }
    Ok(())
}

/// Raises the last finite number of a row that a run compares. An exact one becomes the next larger number.
fn raise_real(name: &str, shape: &[usize], data: &mut [u8], limit: f64) -> bool {
    let read = |i: usize| f32::from_le_bytes([data[4 * i], data[4 * i + 1], data[4 * i + 2], data[4 * i + 3]]);
    let count = data.len() / 4;
    let place = match name.ends_with("attn.index_scores") {
        // A row has scores of entries that it does not see, which are no result. The last row sees the first entry, if there is one.
        true => shape.first().zip(shape.get(1)).and_then(|(rows, entries)| (count > 0).then(|| (rows - 1) * entries)),
        false => (0..count).rev().find(|&i| read(i).is_finite()),
    };
    let Some(i) = place else { return false };
    let value = read(i);
    let next = if limit > 0.0 { (value as f64 + LIMITS * limit) as f32 } else { value.next_up() };
    data[4 * i..4 * i + 4].copy_from_slice(&next.to_le_bytes());
    true
}

/// Changes the first index that is not absent. Its set has no such index twice, so it becomes another set.
fn raise_int(data: &mut [u8]) -> bool {
    for word in data.chunks_exact_mut(8) {
        let mut value = [0; 8];
        value.copy_from_slice(word);
        let value = i64::from_le_bytes(value);
        if value >= 0 {
            word.copy_from_slice(&(value + 1).to_le_bytes());
            return true;
        }
    }
    false
}
