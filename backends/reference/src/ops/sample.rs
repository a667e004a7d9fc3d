//! The best of a row. Fused operators of the family are in `fused`.

use crate::tensor::{Output, read};
use omnihal::op::sample;
use omnihal::{Args, Result};
use std::cmp::Ordering;

/// The best `keep` of each row, best first. Where the order is free, a comparator must look at sets.
pub fn topk(d: &sample::TopK, args: &Args<'_>) -> Result<Vec<Output>> {
    let a = sample::TopKArgs::new(args)?;
    let x = read(a.x)?;
    let (mut values, mut places) = (Vec::new(), Vec::new());
    for r in 0..d.rows {
        let row = x.row(r);
        let mut order: Vec<usize> = (0..d.width).collect();
        order.sort_by(|&i, &j| rank(row[i], row[j], d.largest).then(i.cmp(&j)));
        order.truncate(d.keep);
        values.extend(order.iter().map(|&i| row[i]));
        places.extend(order.iter().map(|&i| i as f64));
    }
    let exact = d.sorted;
    Ok(vec![Output { exact, ..Output::exact(1, values) }, Output { exact, ..Output::exact(2, places) }])
}

/// Less if `a` comes before `b`. A NaN comes after every number.
fn rank(a: f64, b: f64, largest: bool) -> Ordering {
    match (a.is_nan(), b.is_nan()) {
        (false, false) => {
            let ascending = a.partial_cmp(&b).unwrap_or(Ordering::Equal);
            if largest { ascending.reverse() } else { ascending }
        }
        (a, b) => a.cmp(&b),
    }
}

#[cfg(test)]
mod tests {
    use crate::testing::{Bench, get, get_ints};
    use omnihal::DType;
    use omnihal::op::sample;

    #[test]
    fn ties_go_to_the_lowest_place_and_a_nan_comes_last() {
        let mut bench = Bench::new();
        let x = bench.put(DType::F32, [1, 6], &[2.0, f64::NAN, 5.0, -1.0, 5.0, 2.0]);
        for (largest, values, places) in
            [(true, [5.0, 5.0, 2.0, 2.0, -1.0], [2, 4, 0, 5, 3]), (false, [-1.0, 2.0, 2.0, 5.0, 5.0], [3, 0, 5, 2, 4])]
        {
            let d = sample::TopK { rows: 1, width: 6, keep: 5, largest, sorted: true };
            let (v, i) = (bench.empty(DType::F32, [1, 5]), bench.empty(DType::I32, [1, 5]));
            bench.run(d, &[Some(x), Some(v), Some(i)]).unwrap();
            assert_eq!(get(&v), values);
            assert_eq!(get_ints(&i), places);
        }
    }
}
