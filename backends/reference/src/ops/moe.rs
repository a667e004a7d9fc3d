//! Sorting rows by expert. Fused operators of the family are in `fused`.

use crate::tensor::{Output, read};
use omnihal::op::moe;
use omnihal::{Args, Result};

/// Pairs by expert, then by pair; absent and foreign experts last.
pub fn group(d: &moe::Group, args: &Args<'_>) -> Result<Vec<Output>> {
    let a = moe::GroupArgs::new(args)?;
    let (first, local) = (d.first as f64, d.local as f64);
    let place = |expert: f64| {
        let e = expert - first;
        if expert >= 0.0 && e >= 0.0 && e < local { e as usize } else { d.local }
    };
    let experts: Vec<usize> = read(a.idx)?.data.into_iter().map(place).collect();
    let mut perm: Vec<usize> = (0..experts.len()).collect();
    perm.sort_by_key(|&pair| (experts[pair], pair));
    let mut inv = vec![0; perm.len()];
    perm.iter().enumerate().for_each(|(sorted, &pair)| inv[pair] = sorted);
    let counts = (0..d.local).map(|e| experts.iter().filter(|&&x| x == e).count());
    let numbers = |arg: usize, values: Vec<usize>| Output::exact(arg, values.into_iter().map(|x| x as f64));
    Ok(vec![
        numbers(1, perm.clone()),
        numbers(2, perm.iter().map(|pair| pair / d.choices).collect()),
        numbers(3, inv),
        numbers(4, counts.collect()),
    ])
}

#[cfg(test)]
mod tests {
    use crate::testing::{Bench, get_ints};
    use omnihal::DType;
    use omnihal::op::moe;

    #[test]
    fn pairs_are_sorted_by_expert_and_those_without_a_local_one_come_last() {
        let mut bench = Bench::new();
        let d = moe::Group { rows: 3, choices: 2, first: 4, local: 3 };
        let idx = bench.ints([3, 2], &[6, 4, -1, 6, 3, 7]);
        let out = [6, 6, 6, 3].map(|n| bench.empty(DType::I32, [n]));
        bench.run(d, &[Some(idx), Some(out[0]), Some(out[1]), Some(out[2]), Some(out[3])]).unwrap();
        let found = out.map(|v| get_ints(&v));
        assert_eq!(found[0], [1, 0, 3, 2, 4, 5]);
        assert_eq!(found[1], [0, 0, 1, 1, 2, 2]);
        assert_eq!(found[2], [1, 0, 3, 2, 4, 5]);
        assert_eq!(found[3], [1, 0, 2]);
    }

    #[test]
    fn the_inverse_leads_each_pair_to_its_sorted_place() {
        let mut bench = Bench::new();
        let d = moe::Group { rows: 4, choices: 1, first: 0, local: 2 };
        let idx = bench.ints([4, 1], &[1, 1, 0, i32::MIN]);
        let out = [4, 4, 4, 2].map(|n| bench.empty(DType::I32, [n]));
        bench.run(d, &[Some(idx), Some(out[0]), Some(out[1]), Some(out[2]), Some(out[3])]).unwrap();
        assert_eq!(get_ints(&out[0]), [2, 0, 1, 3]);
        assert_eq!(get_ints(&out[2]), [1, 2, 0, 3]);
    }
}
