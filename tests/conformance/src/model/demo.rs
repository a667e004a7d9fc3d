//! The bundled demo model, as it is and with its weights multiplied out.

use omnihal::DType;
use omnihal_deepseek::demo;
use omnihal_deepseek::error::ModelError;
use omnihal_deepseek::weights::{Checkpoint, Tensor, WeightError, manifest};
use omnihal_reference::format;
use serde_json::{Map, Value, json};

/// In which form the demo's weights are stored.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stored {
    /// FP8 and FP4 codes, as bundled: what a device of profile v4-quant must run.
    Coded,
    /// BF16: the very same numbers, since codes times powers of two are exact in it. What profiles core and v4 must run.
    Plain,
}

/// The demo's checkpoint.
///
/// # Errors
/// Only if the files in this build are damaged.
pub fn checkpoint(stored: Stored) -> Result<Checkpoint, ModelError> {
    let coded = demo::checkpoint()?;
    match stored {
        Stored::Coded => Ok(coded),
        Stored::Plain => plain(&coded),
    }
}

/// The same checkpoint without codes.
fn plain(coded: &Checkpoint) -> Result<Checkpoint, ModelError> {
    let (mut header, mut data) = (Map::new(), Vec::new());
    for spec in manifest(coded.config()) {
        let tensor = coded.tensor(&spec.name)?;
        let (name, bytes) = match &tensor.scale {
            None => (stored_name(tensor.dtype), tensor.read_checked()?.to_vec()),
            Some(_) => ("BF16", multiplied_out(&tensor)?),
        };
        let (start, end) = (data.len(), data.len() + bytes.len());
        header.insert(spec.name, json!({"dtype": name, "shape": tensor.shape, "data_offsets": [start, end]}));
        data.extend(bytes);
    }
    let mut header = Value::Object(header).to_string();
    // The data must start at a multiple of 8.
    while !header.len().is_multiple_of(8) {
        header.push(' ');
    }
    let mut file = (header.len() as u64).to_le_bytes().to_vec();
    file.extend(header.as_bytes());
    file.extend(data);
    Ok(Checkpoint::from_memory(coded.config().clone(), "the demo's weights, multiplied out", file)?)
}

/// The name of a type in a safetensors header.
fn stored_name(dtype: DType) -> &'static str {
    match dtype {
        DType::F16 => "F16",
        DType::BF16 => "BF16",
        DType::I32 => "I32",
        DType::I64 => "I64",
        _ => "F32",
    }
}

/// Codes times scales in BF16.
fn multiplied_out(tensor: &Tensor<'_>) -> Result<Vec<u8>, WeightError> {
    let codes = tensor.read_checked()?;
    let Some(scale) = &tensor.scale else { return Ok(codes.to_vec()) };
    let (rows, cols) = (tensor.shape[0], tensor.shape[1]);
    let scales = crate::judge::decode(scale.bytes, scale.dtype, scale.shape.iter().product());
    let values = crate::judge::decode(codes, tensor.dtype, rows * cols);
    let number = |i: usize| {
        let at = (i / cols) / scale.block[0] * scale.shape[1] + (i % cols) / scale.block[1];
        (format::encode(DType::BF16, values[i] * scales[at]) as u16).to_le_bytes()
    };
    Ok((0..rows * cols).flat_map(number).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn multiplying_out_loses_nothing() {
        let (coded, plain) = (checkpoint(Stored::Coded).unwrap(), checkpoint(Stored::Plain).unwrap());
        assert!(coded.quantised() && !plain.quantised());
        for name in ["layers.1.attn.wq_a.weight", "layers.2.ffn.experts.3.w2.weight"] {
            let (codes, numbers) = (coded.tensor(name).unwrap(), plain.tensor(name).unwrap());
            let scale = codes.scale.as_ref().unwrap();
            let (cols, last) = (codes.shape[1], codes.shape[0] * codes.shape[1] - 1);
            let values = crate::judge::decode(codes.bytes, codes.dtype, last + 1);
            let scales = crate::judge::decode(scale.bytes, scale.dtype, scale.shape.iter().product());
            let found = crate::judge::decode(numbers.bytes, DType::BF16, last + 1);
            for i in [0, 31, 32, 4_000, last] {
                let at = (i / cols) / scale.block[0] * scale.shape[1] + (i % cols) / scale.block[1];
                assert_eq!(found[i], values[i] * scales[at], "{name} {i}");
            }
        }
    }
}
