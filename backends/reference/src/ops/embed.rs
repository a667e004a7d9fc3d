//! Token embeddings. Fused operators of the family are in `fused`.

use crate::tensor::{Output, Reader, read_indices};
use omnihal::op::embed;
use omnihal::{Args, Result};

/// `x[t, j] = table[ids[t]]`, rounded once if the table is wider than the activations.
pub fn lookup(d: &embed::Lookup, args: &Args<'_>) -> Result<Vec<Output>> {
    let a = embed::LookupArgs::new(args)?;
    let table = Reader::new(a.table)?;
    let (mut values, mut mask) = (Vec::new(), Vec::new());
    for id in read_indices(a.ids, d.vocab)? {
        let row = match id {
            Some(id) => table.row(id)?,
            None => vec![0.0; d.width],
        };
        for _ in 0..d.copies {
            values.extend(&row);
            mask.extend(vec![id.is_some(); d.width]);
        }
    }
    Ok(vec![Output::exact(2, values).with_mask(mask)])
}

#[cfg(test)]
mod tests {
    use crate::testing::{Bench, get};
    use omnihal::DType;
    use omnihal::op::embed;

    #[test]
    fn each_stream_gets_the_row_of_its_id_and_a_foreign_id_is_unspecified() {
        let mut bench = Bench::new();
        let d = embed::Lookup { rows: 3, vocab: 3, width: 2, copies: 2, table: DType::F32, act: DType::BF16 };
        let table = bench.put(DType::F32, [3, 2], &[0.0, 1.0, 2.0, 3.0, 4.0, 5.0 + 1.0 / 128.0]);
        let views = [Some(table), Some(bench.ints([3], &[2, 0, 3])), Some(bench.empty(DType::BF16, [3, 2, 2]))];
        bench.run(d, &views).unwrap();
        assert_eq!(get(&views[2].unwrap())[..8], [4.0, 5.0, 4.0, 5.0, 0.0, 1.0, 0.0, 1.0]);
        assert_eq!(bench.judge(d, &views)[0].mask.as_ref().unwrap()[7..9], [true, false]);
    }
}
