//! cache.store, copy_rows (op-catalogue.md 5).

use super::result::{self, NewRow};
use super::step;
use super::{stored::RowShape, vector};
use crate::tensor::{Output, Reader, read_indices};
use omnihal::op::cache::{CopyRows, CopyRowsArgs, Store, StoreArgs};
use omnihal::{Args, OpKind, Result};

pub fn store(d: &Store, args: &Args) -> Result<Vec<Output>> {
    let a = StoreArgs::new(args)?;
    let sequences = step::sequences(a.seqs)?;
    let kv = Reader::new(a.kv)?;
    let shape = RowShape { format: d.format, width: d.width, rotary: d.rotary };
    let mut rows = Vec::new();
    for (row, token) in step::tokens(a.toks, args.rows_hint)?.iter().enumerate() {
        let Some(token) = token else { continue };
        let target = step::sequence_of(token, &sequences).and_then(|s| s.target(token.pos, d.ring));
        if let Some(target) = target {
            let values = shape.pack(&vector::exact(&kv.row(row)?));
            rows.push(NewRow { row: target, values, decided: true });
        }
    }
    Ok(vec![result::rows(OpKind::CacheStore, "ring", shape.stored(), true, rows)])
}

pub fn copy_rows(d: &CopyRows, args: &Args) -> Result<Vec<Output>> {
    let a = CopyRowsArgs::new(args)?;
    let t = Reader::new(a.t)?;
    let mut rows = Vec::new();
    for (from, to) in read_indices(a.from, d.rows)?.into_iter().zip(read_indices(a.to, d.rows)?) {
        if let (Some(from), Some(to)) = (from, to) {
            rows.push(NewRow { row: to, values: vector::exact(&t.row(from)?), decided: true });
        }
    }
    Ok(vec![result::rows(OpKind::CacheCopyRows, "t", d.width, true, rows)])
}
