//! Addresses of state rows. Fused operators of the family are in `fused`.

use crate::tensor::{Output, index, read};
use omnihal::op::cache;
use omnihal::{Args, Result};

/// `phys = pt[which, j / entries] * entries + j mod entries`; 0 for an absent entry.
pub fn rows(d: &cache::Rows, args: &Args<'_>) -> Result<Vec<Output>> {
    let a = cache::RowsArgs::new(args)?;
    let (tables, which, entries) = (read(a.pt)?, read(a.which)?, read(a.j)?);
    let capacity = d.table.saturating_mul(d.entries);
    let row = |i: usize| {
        let table = index(which.data[i / d.count], d.tables)?;
        let j = index(entries.data[i], capacity)?;
        let page = tables.row(table)[j / d.entries];
        (page >= 0.0).then_some(page * d.entries as f64 + (j % d.entries) as f64)
    };
    Ok(vec![Output::exact(3, (0..entries.data.len()).map(|i| row(i).unwrap_or(0.0)))])
}

#[cfg(test)]
mod tests {
    use crate::testing::{Bench, get_ints};
    use omnihal::DType;
    use omnihal::op::cache;

    #[test]
    fn entries_lead_through_the_page_table_of_their_row_and_absent_ones_to_the_null_row() {
        let mut bench = Bench::new();
        let d = cache::Rows { rows: 2, count: 4, tables: 2, table: 2, entries: 16 };
        let pt = bench.ints([2, 2], &[2, 3, 7, 5]);
        let (which, j) = (bench.ints([2], &[1, 0]), bench.ints([2, 4], &[0, 17, -1, 32, 15, 16, 31, i32::MAX]));
        let phys = bench.empty(DType::I32, [2, 4]);
        bench.run(d, &[Some(pt), Some(which), Some(j), Some(phys)]).unwrap();
        assert_eq!(get_ints(&phys), [112, 81, 0, 0, 47, 48, 63, 0]);
        let wild = bench.ints([2], &[-1, 2]);
        bench.run(d, &[Some(pt), Some(wild), Some(j), Some(phys)]).unwrap();
        assert_eq!(get_ints(&phys), [0; 8]);
    }
}
