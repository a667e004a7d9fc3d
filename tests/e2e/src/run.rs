//! Running a prompt along a path, and keeping what the steps produced.

use crate::parity::{ParityError, Path};
use omnihal::DType;
use omnihal_deepseek::engine::{Engine, Feed, Want};
use omnihal_deepseek::state::SeqId;
use std::collections::BTreeMap;

/// Rows of a kept tensor, of all steps one after the other.
#[derive(Clone, Debug, Default)]
pub struct Rows {
    /// Dimensions of one row.
    pub row: Vec<usize>,
    /// Rows kept.
    pub count: usize,
    /// Real values; integers as reals, exactly.
    pub values: Vec<f32>,
}

/// What a run along one path produced.
#[derive(Clone, Debug, Default)]
pub struct Run {
    /// Kept tensors by name.
    pub kept: BTreeMap<String, Rows>,
    /// State tensors by golden name, at the two moments the oracle looks.
    pub state: BTreeMap<String, Rows>,
}

/// The lengths of the steps of a path.
pub fn steps(path: Path, total: usize, n0: usize, chunks: &[i64]) -> Vec<usize> {
    match path {
        Path::Prefill => vec![total],
        Path::Decode => std::iter::once(n0).chain(std::iter::repeat_n(1, total - n0)).filter(|&n| n > 0).collect(),
        Path::Chunks => chunks.iter().map(|&n| n.max(0) as usize).collect(),
    }
}

/// Entries that the rows of a prompt are to attend to: `index_topk` a row, by block.
pub type Forced = BTreeMap<usize, Vec<i32>>;

/// Feeds `ids` in steps of the given lengths. `after` is called when that many positions have been fed.
pub fn feed(
    engine: &mut Engine,
    ids: &[u32],
    lengths: &[usize],
    forced: &Forced,
    mut after: impl FnMut(&mut Engine, SeqId, usize, &mut Run) -> Result<(), ParityError>,
) -> Result<Run, ParityError> {
    let mut run = Run::default();
    let seq = engine.add()?;
    let mut at = 0;
    for &len in lengths {
        for (&block, entries) in forced {
            let width = engine.config().index_topk;
            engine.force_entries(block, &entries[at * width..(at + len) * width])?;
        }
        let feed = Feed { seq, tokens: &ids[at..at + len], want: Want::All };
        let logits = engine.step(&[feed])?;
        let (count, row) = (logits.len(), logits.values().len() / logits.len().max(1));
        append(&mut run, "logits", vec![row], count, logits.values());
        keep(engine, &mut run, len)?;
        at += len;
        after(engine, seq, at, &mut run)?;
    }
    engine.remove(seq)?;
    Ok(run)
}

/// Adds the first `rows` rows of everything that the last step kept.
pub fn keep(engine: &mut Engine, run: &mut Run, rows: usize) -> Result<(), ParityError> {
    for name in engine.kept_names() {
        if name == "logits" || name == "mtp.logits" {
            continue;
        }
        let (shape, dtype, bytes) = engine.kept(&name)?;
        let words = bytes.chunks_exact(4).map(|b| [b[0], b[1], b[2], b[3]]);
        let values: Vec<f32> = match dtype {
            DType::I32 => words.map(|w| i32::from_le_bytes(w) as f32).collect(),
            _ => words.map(f32::from_le_bytes).collect(),
        };
        let row: usize = shape[1..].iter().product();
        append(run, &name, shape[1..].to_vec(), rows, &values[..rows * row]);
    }
    Ok(())
}

/// Adds rows to a kept tensor. Rows of another width start it anew: a later step's top-k may be wider.
pub fn append(run: &mut Run, name: &str, row: Vec<usize>, count: usize, values: &[f32]) {
    let rows = run.kept.entry(name.to_owned()).or_default();
    if rows.row.iter().product::<usize>() < row.iter().product() && rows.count > 0 {
        widen(rows, row.iter().product());
    }
    let width: usize = row.iter().product();
    let have: usize = rows.row.iter().product();
    if rows.count > 0 && have > width {
        for chunk in values.chunks_exact(width) {
            rows.values.extend_from_slice(chunk);
            rows.values.extend(std::iter::repeat_n(-1.0, have - width));
        }
    } else {
        rows.row = row;
        rows.values.extend_from_slice(values);
    }
    rows.count += count;
}

/// Pads every row with -1, the absent index.
fn widen(rows: &mut Rows, width: usize) {
    let have = rows.values.len() / rows.count;
    let mut wide = Vec::with_capacity(rows.count * width);
    for chunk in rows.values.chunks_exact(have) {
        wide.extend_from_slice(chunk);
        wide.extend(std::iter::repeat_n(-1.0, width - have));
    }
    rows.values = wide;
}
