//! Parts of a case on their own: one row of a batch, one sequence of a step. A device that declares D2 gives them the same bits.

use crate::batch::Member;
use crate::case::{Case, Layout};
use crate::image::Image;
use omnihal::op::Role;
use omnihal::{Op, OpKind, Result, SpaceShape};

/// A part of a case.
pub struct Part {
    /// The operator for the part.
    pub op: Op,
    /// Its arguments.
    pub image: Image,
    /// What it is, for messages.
    pub what: String,
    /// First row of the part in the whole.
    first: usize,
    /// Rows of the part.
    rows: usize,
}

/// Operators whose rows have nothing to do with each other and take part in no step, or only by their position.
const BY_ROW: [OpKind; 14] = [
    OpKind::EmbedLookup,
    OpKind::NormRms,
    OpKind::GemmLinear,
    OpKind::QuantQdq,
    OpKind::RopeApply,
    OpKind::SampleTopK,
    OpKind::HyperPre,
    OpKind::HyperSinkhorn,
    OpKind::HyperPost,
    OpKind::IndexerQuery,
    OpKind::AttentionLatent,
    OpKind::AttentionQuery,
    OpKind::MoeRoute,
    OpKind::MoeSwiglu,
];

/// Operators that see the sequences of a step.
const BY_SEQUENCE: [OpKind; 4] =
    [OpKind::CompressUpdate, OpKind::IndexerSelect, OpKind::AttentionSparse, OpKind::CacheStore];

/// Parts of a case to run on their own: a row, or a sequence; none for operators without either.
pub fn parts(case: &Case, image: &Image) -> Result<Vec<Part>> {
    let kind = case.op.kind();
    let by_row = BY_ROW.contains(&kind) || matches!(kind, OpKind::MoeMlp | OpKind::MoeExperts);
    if by_row {
        let Some(rows) = field(&case.op, "rows").filter(|&rows| rows > 1) else { return Ok(Vec::new()) };
        let live = |row: usize| !is_padding(image, row);
        return (0..rows).filter(|&r| live(r)).take(2).map(|row| one(case, image, row)).collect();
    }
    if !BY_SEQUENCE.contains(&kind) {
        return Ok(Vec::new());
    }
    let members = case.batch.map_or(&[][..], |b| b.members);
    if members.len() < 2 {
        return Ok(Vec::new());
    }
    [0, members.len() - 1].into_iter().map(|b| sequence(case, image, members, b)).collect()
}

/// A hint that leaves out the last row of an operator that works row by row, and its rows.
pub fn hint(case: &Case) -> Option<(usize, usize)> {
    let by_row = BY_ROW.contains(&case.op.kind()) || matches!(case.op.kind(), OpKind::MoeMlp | OpKind::MoeExperts);
    let rows = field(&case.op, "rows").filter(|&rows| by_row && rows > 1)?;
    Some((rows - 1, rows))
}

/// The operator with another number in a field; descriptors with infinite numbers do not survive and have no parts.
fn with(op: &Op, changes: &[(&str, usize)]) -> Option<Op> {
    let mut value = serde_json::to_value(op).ok()?;
    let fields = value.as_object_mut()?.values_mut().next()?.as_object_mut()?;
    for (name, number) in changes {
        if let Some(field) = fields.get_mut(*name) {
            *field = (*number).into();
        }
    }
    serde_json::from_value(value).ok()
}

fn field(op: &Op, name: &str) -> Option<usize> {
    let value = serde_json::to_value(op).ok()?;
    value.as_object()?.values().next()?.get(name)?.as_u64().map(|n| n as usize)
}

fn words(image: &Image, name: &str) -> Option<Vec<i32>> {
    let tensor = image.args.iter().flatten().find(|t| t.name == name)?;
    let bytes = Image::elements(tensor, &image.slabs[tensor.slab].bytes);
    Some(bytes.chunks_exact(4).map(|b| i32::from_le_bytes([b[0], b[1], b[2], b[3]])).collect())
}

fn is_padding(image: &Image, row: usize) -> bool {
    words(image, "toks").is_some_and(|toks| toks[4 * row + 1] < 0)
}

fn one(case: &Case, image: &Image, row: usize) -> Result<Part> {
    let op = with(&case.op, &[("rows", 1)]).unwrap_or(case.op);
    part(case, image, op, (row, 1), format!("row {row} alone"), |_| None)
}

fn sequence(case: &Case, image: &Image, members: &[Member], b: usize) -> Result<Part> {
    let first = members[..b].iter().map(|m| m.len).sum::<usize>();
    let rows = members[b].len;
    let ratio = field(&case.op, "ratio").filter(|&r| r > 0);
    let closings = ratio.map_or(1, |ratio| SpaceShape::max_closings(ratio, rows, 1));
    let op = with(&case.op, &[("rows", rows), ("seqs", 1), ("closings", closings)]).unwrap_or(case.op);
    let table = field_of_pages(&case.op);
    let replaced = |name: &str| -> Option<Vec<i32>> {
        let old = words(image, name)?;
        Some(match name {
            "toks" => old[4 * first..4 * (first + rows)].chunks(4).flat_map(|t| [t[0], t[1], 0, t[3]]).collect(),
            "seqs" => vec![members[b].slot as i32, members[b].first as i32, 0, rows as i32],
            "pt" => old[b * table..(b + 1) * table].to_vec(),
            "close" => {
                let mut own: Vec<i32> = old.chunks(2).filter(|c| c[0] == b as i32).flat_map(|c| [0, c[1]]).collect();
                own.resize(2 * closings, -1);
                own
            }
            _ => return None,
        })
    };
    part(case, image, op, (first, rows), format!("sequence {b} alone"), replaced)
}

fn field_of_pages(op: &Op) -> usize {
    match op {
        Op::CompressUpdate(d) => d.pages.table,
        Op::IndexerSelect(d) => d.pages.table,
        Op::AttentionSparse(d) => d.pages.table,
        _ => 1,
    }
}

fn part(
    case: &Case,
    image: &Image,
    op: Op,
    (first, rows): (usize, usize),
    what: String,
    replaced: impl Fn(&str) -> Option<Vec<i32>>,
) -> Result<Part> {
    let mut small = Image { columns: None, ..Image::default() };
    for (arg, old) in op.arg_types().iter().zip(&image.args) {
        let Some(old) = old else {
            small.args.push(None);
            continue;
        };
        let tensor = small.lay_out(case.op.kind(), arg, Layout::Dense)?;
        small.args.push(Some(tensor));
        if let (Some(from), Some(to)) = (old.scales, tensor.scales) {
            small.slabs[to].bytes.clone_from(&image.slabs[from].bytes);
        }
        if arg.role == Role::Write {
            continue;
        }
        let codes = match replaced(arg.name) {
            Some(words) => words.iter().flat_map(|w| w.to_le_bytes()).collect(),
            None => cut(&Image::elements(old, &image.slabs[old.slab].bytes), old.view.shape[0], arg.shape[0], first),
        };
        small.put(&tensor, &codes);
    }
    Ok(Part { op, image: small, what, first, rows })
}

/// The part of an argument: all of it where its first axis does not change, else as many of its rows.
fn cut(elements: &[u8], whole: usize, part: usize, first: usize) -> Vec<u8> {
    if whole == part {
        return elements.to_vec();
    }
    let row = elements.len() / whole;
    elements[first * row..(first + part) * row].to_vec()
}

impl Part {
    /// Compares an output of the part with that of the whole, in view order; `changed` are the elements that the part's run changed in place.
    /// The first element that differs.
    pub fn differs(&self, arg: usize, of_part: &[u8], of_whole: &[u8], before: &[u8]) -> Option<usize> {
        let Some(tensor) = &self.image.args[arg] else { return None };
        let bytes = tensor.view.dtype.bytes(1);
        if of_part.len() == of_whole.len() && tensor.role == Role::Update {
            // State: what the part wrote, the whole has written too.
            let wrote = |i: usize| of_part[i] != before[i];
            return (0..of_part.len()).find(|&i| wrote(i) && of_part[i] != of_whole[i]).map(|i| i / bytes);
        }
        let row = of_part.len() / self.rows;
        let same = of_whole.get(self.first * row..(self.first + self.rows) * row)?;
        (0..of_part.len()).find(|&i| of_part[i] != same[i]).map(|i| i / bytes)
    }
}
