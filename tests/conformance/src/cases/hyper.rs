//! hyper.pre, sinkhorn, post, head.

use super::{ACTS, EPS, List};
use crate::batch::{self, Batch};
use crate::case::{Data, Layout};
use omnihal::DType;
use omnihal::op::hyper::{Head, Post, Pre, Sinkhorn};

pub(super) fn add(list: &mut List) {
    for act in ACTS {
        for (rows, streams, width) in [(1, 1, 1), (6, 4, 48), (3, 2, 130), (5, 4, 33)] {
            for norm in [None, Some(DType::BF16), Some(DType::F32)] {
                list.plain(Pre { rows, streams, width, iters: 20, eps: EPS, hc_eps: EPS, norm, act });
            }
            for data in [Data::Normal, Data::Wide, Data::Small] {
                list.add(Post { rows, streams, width, act }, data, Layout::Dense, None, true);
            }
            list.add(Post { rows, streams, width, act }, Data::Whole, Layout::Apart, None, true);
            list.add(Post { rows, streams, width, act }, Data::Nan, Layout::InPlace, None, true);
        }
        let pre = Pre { rows: 4, streams: 4, width: 40, iters: 3, eps: EPS, hc_eps: 1e-2, norm: Some(DType::F32), act };
        list.add(pre, Data::Wide, Layout::Apart, None, true);
        list.add(Pre { iters: 1, norm: None, ..pre }, Data::Small, Layout::Shifted, None, true);
        for step in [&batch::MIXED, &batch::DECODE, &batch::FRESH, &batch::ALONE, &batch::EMPTY] {
            for norm in [None, Some(DType::BF16)] {
                list.step(head(step, 4, 48, norm, act), Data::Normal, step, true);
            }
            list.step(head(step, 2, 33, Some(DType::F32), act), Data::Wide, step, true);
        }
        for width in [4096, 7168] {
            let norm = Some(DType::BF16);
            let pre = Pre { rows: 2, streams: 4, width, iters: 20, eps: EPS, hc_eps: EPS, norm, act };
            list.add(pre, Data::Normal, Layout::Dense, None, false);
            list.add(Post { rows: 2, streams: 4, width, act }, Data::Normal, Layout::Dense, None, false);
            list.step(head(&batch::ALONE, 4, width, norm, act), Data::Normal, &batch::ALONE, false);
        }
    }
    for (rows, streams, iters, eps) in
        [(5, 4, 20, EPS), (1, 1, 1, EPS), (3, 2, 2, 1e-2), (7, 4, 1, EPS), (2, 6, 5, 1e-3)]
    {
        for data in [Data::Normal, Data::Wide, Data::Whole] {
            list.add(Sinkhorn { rows, streams, iters, eps }, data, Layout::Dense, None, true);
        }
        list.add(Sinkhorn { rows, streams, iters, eps }, Data::Normal, Layout::Apart, None, true);
    }
}

fn head(step: &Batch, streams: usize, width: usize, norm: Option<DType>, act: DType) -> Head {
    Head { rows: step.rows, wanted: step.wanted, streams, width, eps: EPS, hc_eps: EPS, norm, act }
}
