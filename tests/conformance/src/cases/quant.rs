//! quant.qdq, dequant, quantize.

use super::{ACTS, List, WEIGHTS, pairwise};
use crate::case::{Data, Layout};
use omnihal::op::QuantKind;
use omnihal::op::quant::{Dequant, Qdq, Quantize};

pub(super) fn add(list: &mut List) {
    let data = [Data::Normal, Data::Wide, Data::Small, Data::Whole, Data::Groups, Data::Peaks];
    let layouts = [Layout::Dense, Layout::Apart, Layout::Shifted, Layout::InPlace];
    let kinds = [QuantKind::F8E4M3, QuantKind::F4E2M1];
    let groups = [32, 64, 128];
    for [kind, group, act, data_, layout, heads] in pairwise([2, 3, 2, 6, 4, 2]) {
        let (rows, heads, group) = (5, [1, 3][heads], groups[group]);
        let d = Qdq { rows, heads, width: 2 * group, group, kind: kinds[kind], dtype: ACTS[act] };
        // Small whole numbers are on the grid already: in place, a device that does nothing would be right.
        let layout = if data[data_] == Data::Whole { Layout::Dense } else { layouts[layout] };
        list.add(d, data[data_], layout, None, true);
    }
    for kind in kinds {
        for act in ACTS {
            let d = Qdq { rows: 9, heads: 1, width: 96, group: 32, kind, dtype: act };
            list.add(d, Data::Nan, Layout::Dense, None, true);
            // A cached key row without its rotated channels, and an indexer row.
            let (width, group) = if kind == QuantKind::F8E4M3 { (448, 64) } else { (128, 32) };
            list.add(
                Qdq { rows: 2, heads: 1, width, group, kind, dtype: act },
                Data::Normal,
                Layout::Dense,
                None,
                false,
            );
            for (rows, width, group) in [(3, 256, 128), (1, 128, 128), (7, 64, 32)] {
                let d = Quantize { rows, width, group, kind, input: act };
                let data = [Data::Peaks, Data::Groups, Data::Wide][rows / 3];
                list.add(d, data, if rows == 3 { Layout::Apart } else { Layout::Dense }, None, true);
            }
        }
    }
    for format in &WEIGHTS[2..] {
        for output in ACTS {
            for (rows, width) in
                [(1, 32), (130, 160), (3, 256), (7, if *format == WEIGHTS[2] { 33 } else { 34 }), (5, 2048)]
            {
                let d = Dequant { rows, width, format: *format, output };
                let data = if rows == 3 { Data::Wide } else { Data::Normal };
                list.add(d, data, if rows == 130 { Layout::Apart } else { Layout::Dense }, None, width < 2048);
            }
        }
    }
}
