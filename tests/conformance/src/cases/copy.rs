//! copy.copy, fill, gather, scatter, take, concat.

use super::{List, pairwise};
use crate::case::{Data, Layout};
use omnihal::DType;
use omnihal::op::copy::{Concat, Copy, Fill, Gather, Scatter, Take};

pub(super) fn add(list: &mut List) {
    let types = [DType::F32, DType::BF16];
    let shapes: [&[usize]; 5] = [&[1], &[3, 17], &[2, 3, 4, 1, 5, 2], &[7, 1, 33], &[130, 9]];
    let data = [Data::Normal, Data::Small, Data::Special, Data::Wide];
    let layouts = [Layout::Dense, Layout::Apart, Layout::Shifted, Layout::Any];
    for [shape, input, output, data_, layout] in pairwise([5, 2, 2, 4, 4]) {
        let d = Copy { shape: omnihal::Shape::new(shapes[shape]), input: types[input], output: types[output] };
        list.add(d, data[data_], layouts[layout], None, true);
    }
    for (input, output) in
        [(DType::F32, DType::BF16), (DType::F32, DType::I32), (DType::I32, DType::F32), (DType::I32, DType::I32)]
    {
        for layout in [Layout::Dense, Layout::Any] {
            list.add(Copy { shape: [9, 40].into(), input, output }, Data::Ties, layout, None, true);
        }
    }
    list.add(
        Copy { shape: [5, 40].into(), input: DType::F32, output: DType::BF16 },
        Data::Special,
        Layout::Dense,
        None,
        true,
    );
    for (dtype, value) in [(DType::F32, 1.5), (DType::BF16, -0.0), (DType::F32, f32::NEG_INFINITY), (DType::I32, -1.0)]
    {
        for shape in [[3, 5], [1, 1], [129, 33]] {
            list.plain(Fill { shape: shape.into(), value, dtype });
        }
        list.add(Fill { shape: [6, 7].into(), value, dtype }, Data::Normal, Layout::Apart, None, true);
    }
    for dtype in [DType::F32, DType::BF16, DType::I32] {
        let reals = if dtype == DType::I32 { Data::Normal } else { Data::Special };
        for trusted in [false, true] {
            for (rows, width, count) in [(9, 5, 14), (1, 1, 1), (33, 64, 7), (4, 129, 40)] {
                let data = if rows == 9 { reals } else { Data::Normal };
                let layout = if rows == 4 { Layout::Apart } else { Layout::Dense };
                list.add(Gather { rows, width, count, dtype, trusted }, data, layout, None, true);
                let count = count.min(rows);
                list.add(Scatter { rows, width, count, dtype, trusted }, data, layout, None, true);
            }
        }
        for (rows, width, count) in [(4, 12, 6), (1, 1, 3), (3, 200, 65)] {
            list.add(Take { rows, width, count, dtype }, reals, Layout::Dense, None, true);
            list.add(Take { rows, width, count, dtype }, Data::Normal, Layout::Apart, None, false);
        }
        for (pre, lens, post) in
            [(3, [2, 3, 1, 0], 4), (1, [1, 1, 0, 0], 1), (5, [7, 1, 2, 3], 33), (2, [64, 1, 0, 0], 1)]
        {
            list.add(Concat { pre, lens, post, dtype }, reals, Layout::Dense, None, true);
            list.add(Concat { pre, lens, post, dtype }, Data::Normal, Layout::Apart, None, false);
        }
    }
}
