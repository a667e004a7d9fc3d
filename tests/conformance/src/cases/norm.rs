//! norm.rms.

use super::{ACTS, EPS, List, pairwise};
use crate::case::{Data, Layout};
use omnihal::DType;
use omnihal::op::norm::Rms;

pub(super) fn add(list: &mut List) {
    let weights = [None, Some(DType::F32), Some(DType::BF16)];
    let sizes = [(1, 1, 1), (6, 3, 77), (2, 1, 512), (5, 2, 33)];
    let data = [Data::Normal, Data::Wide, Data::Small, Data::Whole];
    let layouts = [Layout::Dense, Layout::Apart, Layout::Shifted];
    for [size, weight, act, data_, layout, out] in pairwise([4, 3, 2, 4, 3, 2]) {
        let (rows, heads, width) = sizes[size];
        let d = Rms { rows, heads, width, eps: EPS, weight: weights[weight], input: ACTS[act], output: ACTS[out] };
        list.add(d, data[data_], layouts[layout], None, true);
    }
    for act in ACTS {
        for (rows, data, layout) in
            [(9, Data::Nan, Layout::Dense), (13, Data::Groups, Layout::Apart), (19, Data::Wide, Layout::InPlace)]
        {
            let d = Rms { rows, heads: 2, width: 70, eps: EPS, weight: Some(DType::BF16), input: act, output: act };
            list.add(d, data, layout, None, true);
        }
        let d = Rms { rows: 3, heads: 1, width: 64, eps: EPS, weight: None, input: act, output: act };
        list.add(d, Data::Zero, Layout::Dense, None, true);
        // Rows of one number: some of them zero, and no epsilon to divide by.
        let d = Rms { rows: 40, heads: 1, width: 1, eps: 0.0, weight: None, input: act, output: act };
        list.add(d, Data::Whole, Layout::Dense, None, true);
        // The epsilon decides where all is small; large epsilons and none at all.
        for eps in [1e-2, 1.0] {
            let d = Rms { rows: 3, heads: 1, width: 64, eps, weight: Some(DType::F32), input: act, output: act };
            list.add(d, Data::Small, Layout::Dense, None, true);
        }
        for width in [1024, 1536, 4096, 7168] {
            let d = Rms { rows: 2, heads: 1, width, eps: EPS, weight: Some(DType::BF16), input: act, output: act };
            list.add(d, Data::Normal, Layout::Dense, None, false);
        }
    }
}
