//! The best of a row, and choosing a token.

mod cuts;
mod pick;
mod topk;
mod variants;

pub use topk::best;
pub use variants::VARIANTS;

use crate::Call;
use omnihal::Op;

/// Runs one call.
pub fn run(call: &Call<'_>) {
    match call.op {
        Op::SampleTopK(d) => topk::run(call, d),
        Op::SamplePick(d) => pick::run(call, d),
        _ => {}
    }
}

#[cfg(test)]
mod tests {
    use crate::testing::{Bench, once};
    use omnihal::op::sample::{Pick, TopK};

    #[test]
    fn equal_values_go_by_their_place_and_nan_comes_last_either_way() {
        for (largest, values, places) in [(true, [5.0, 5.0, 2.0], [1, 3, 2]), (false, [2.0, 5.0, 5.0], [2, 1, 3])] {
            let d = TopK { rows: 1, width: 4, keep: 3, largest, sorted: true };
            let mut bench = Bench::new(&d.into());
            bench.set(0, &[f32::NAN, 5.0, 2.0, 5.0]);
            once(&bench);
            assert_eq!((bench.get(1), bench.ints(2)), (values.to_vec(), places.to_vec()));
        }
    }

    /// Logits whose probabilities are 1/2, 1/4 and twice 1/8.
    fn picked(par: [f32; 8], u: f32) -> (i32, f32, Vec<i32>) {
        let d = Pick { wanted: 1, vocab: 4, candidates: 4, rows: 1, slots: 3, drafts: 0, penalties: true };
        let mut bench = Bench::new(&d.into());
        bench.set(0, &[0.125f32.ln(), 0.5f32.ln(), 0.25f32.ln(), 0.125f32.ln()]);
        bench.set(1, &par);
        bench.set(2, &[u]);
        bench.set_ints(3, &[0]);
        bench.set_ints(4, &[9, 2, 0, 1]);
        once(&bench);
        assert_eq!(bench.get(5).iter().sum::<f32>(), 1.0, "one token of one slot is marked as seen");
        (bench.ints(7)[0], bench.get(8)[0], bench.ints(6))
    }

    #[test]
    fn the_draw_falls_into_the_shares_of_what_the_cuts_leave() {
        let plain = [1.0, 0.0, 1.0, 0.0, 1.0, 0.0, 0.0, 0.0];
        assert_eq!([0.0, 0.49, 0.6, 0.8, 0.9].map(|u| picked(plain, u).0), [1, 1, 2, 0, 3]);
        let (token, logprob, last) = picked(plain, 0.6);
        assert!((logprob - 0.25f32.ln()).abs() < 1e-6);
        assert_eq!(last, [0, 0, token]);
        let cut = |i: usize, value: f32| {
            let mut par = plain;
            par[i] = value;
            picked(par, 0.99).0
        };
        assert_eq!((cut(1, 2.0), cut(2, 0.6), cut(3, 0.4)), (2, 2, 2));
        assert_eq!(picked([0.0; 8], 0.99).0, 1);
    }
}
