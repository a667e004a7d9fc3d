//! Writes a checkpoint with drawn weights for a config: `drawn_checkpoint CONFIG FOLDER`. Matrices are bf16 with the size that keeps activations as they are, so that real widths can be
//! run without real weights. The numbers are the same on every machine.

use omnihal_deepseek::config::Config;
use omnihal_deepseek::weights::{Role, Spec, manifest};
use serde_json::{Map, Value, json};
use std::error::Error;
use std::fs::File;
use std::io::{BufWriter, Write};
use std::path::Path;

/// The type of a tensor in the file, and the bytes of an element.
fn stored(spec: &Spec) -> (&'static str, usize) {
    match spec.role {
        Role::Linear | Role::Expert | Role::Matrix => ("BF16", 2),
        Role::Norm | Role::Float32 => ("F32", 4),
        Role::Table => ("I32", 4),
    }
}

fn elements(spec: &Spec) -> usize {
    spec.shape.iter().product()
}

fn header(specs: &[Spec]) -> Result<Vec<u8>, serde_json::Error> {
    let (mut all, mut end) = (Map::new(), 0);
    for spec in specs {
        let (name, bytes) = stored(spec);
        let start = end;
        end += elements(spec) * bytes;
        all.insert(spec.name.clone(), json!({ "dtype": name, "shape": spec.shape, "data_offsets": [start, end] }));
    }
    serde_json::to_vec(&Value::Object(all))
}

/// Numbers from -1 to 1 (Marsaglia's xorshift64*).
struct Draw(u64);

impl Draw {
    fn next(&mut self) -> f32 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        (self.0.wrapping_mul(0x2545_f491_4f6c_dd1d) >> 40) as f32 / (1 << 23) as f32 - 1.0
    }
}

fn write(out: &mut impl Write, spec: &Spec, experts: usize, draw: &mut Draw) -> std::io::Result<()> {
    let inner = spec.shape.last().copied().unwrap_or(1) as f32;
    for at in 0..elements(spec) {
        match spec.role {
            // The standard deviation of the draw is the root of a third.
            Role::Linear | Role::Expert | Role::Matrix => {
                let value = draw.next() * (3.0 / inner).sqrt();
                out.write_all(&((value.to_bits() >> 16) as u16).to_le_bytes())?;
            }
            Role::Norm => out.write_all(&(1.0 + 0.1 * draw.next()).to_le_bytes())?,
            Role::Float32 => out.write_all(&(draw.next() * inner.recip().sqrt()).to_le_bytes())?,
            // Different experts in every row.
            Role::Table => {
                let choices = spec.shape[1];
                let expert = (at / choices + at % choices) % experts;
                out.write_all(&(expert as i32).to_le_bytes())?;
            }
        }
    }
    Ok(())
}

fn main() -> Result<(), Box<dyn Error>> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [config, folder] = &arguments[..] else { return Err("usage: drawn_checkpoint CONFIG FOLDER".into()) };
    let parsed = Config::from_file(Path::new(config))?;
    let specs: Vec<Spec> = manifest(&parsed).collect();
    std::fs::create_dir_all(folder)?;
    std::fs::copy(config, Path::new(folder).join("config.json"))?;
    let mut out = BufWriter::new(File::create(Path::new(folder).join("model.safetensors"))?);
    let header = header(&specs)?;
    out.write_all(&(header.len() as u64).to_le_bytes())?;
    out.write_all(&header)?;
    let mut draw = Draw(0x9e37_79b9_7f4a_7c15);
    specs.iter().try_for_each(|spec| write(&mut out, spec, parsed.n_routed_experts, &mut draw))?;
    out.flush()?;
    Ok(())
}
