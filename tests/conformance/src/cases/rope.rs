//! rope.apply.

use super::{ACTS, List, pairwise};
use crate::case::{Data, Layout};
use omnihal::op::rope::Apply;

pub(super) fn add(list: &mut List) {
    let sizes = [(1, 1, 2, 2), (6, 3, 64, 24), (2, 5, 66, 64), (4, 1, 40, 40)];
    let data = [Data::Normal, Data::Wide, Data::Small];
    let layouts = [Layout::Dense, Layout::Apart, Layout::Shifted];
    for [size, inverse, act, data_, layout] in pairwise([4, 2, 2, 3, 3]) {
        let (rows, heads, width, rotary) = sizes[size];
        let d = Apply { rows, heads, width, rotary, inverse: inverse == 1, dtype: ACTS[act] };
        list.add(d, data[data_], layouts[layout], None, true);
    }
    for dtype in ACTS {
        for rows in [17, 35] {
            list.plain(Apply { rows, heads: 2, width: 32, rotary: 16, inverse: rows == 35, dtype });
        }
        for inverse in [false, true] {
            let d = Apply { rows: 2, heads: 64, width: 512, rotary: 64, inverse, dtype };
            list.add(d, Data::Normal, Layout::Dense, None, false);
        }
    }
}
