//! moe.group, route, swiglu, mlp, experts.

use super::{ACTS, List, WEIGHTS};
use crate::batch;
use crate::case::{Data, Layout};
use omnihal::op::ActQuant;
use omnihal::op::moe::{Experts, Group, Mlp, Route, Routing, Swiglu};
use omnihal::{DType, WeightFormat};

pub(super) fn add(list: &mut List) {
    for (rows, choices, first, local) in [(7, 3, 1, 4), (1, 1, 0, 1), (33, 6, 0, 16), (5, 2, 3, 2), (16, 4, 0, 64)] {
        list.plain(Group { rows, choices, first, local });
        list.add(Group { rows, choices, first, local }, Data::Normal, Layout::Apart, None, true);
    }
    for act in ACTS {
        route(list, act);
        for output in ACTS {
            for (rows, inter, limit, weighted) in
                [(6, 33, 1.0, true), (1, 1, 10.0, false), (4, 130, 0.5, true), (9, 64, 10.0, false)]
            {
                let d = Swiglu { rows, inter, limit, weighted, input: act, output };
                for data in [Data::Normal, Data::Wide, Data::Small] {
                    list.add(d, data, Layout::Dense, None, true);
                }
                list.add(d, Data::Nan, Layout::Dense, None, true);
                list.add(d, Data::Normal, Layout::Apart, None, false);
            }
        }
        for (w13, w2) in
            [(WEIGHTS[1], WEIGHTS[0]), (WEIGHTS[1], WEIGHTS[1]), (WEIGHTS[2], WEIGHTS[2]), (WEIGHTS[3], WEIGHTS[3])]
        {
            for a_quant in [ActQuant::None, ActQuant::F8G128] {
                mlp(list, w13, w2, a_quant, act);
                experts(list, w13, w2, a_quant, act);
                if act == DType::BF16 {
                    prompt(list, w13, w2, a_quant);
                }
            }
        }
    }
}

/// The router sees the step only to know its padding.
fn route(list: &mut List, act: DType) {
    for step in [&batch::MIXED, &batch::DECODE, &batch::ALONE, &batch::EMPTY, &batch::CHUNK] {
        for routing in [Routing::Scored, Routing::Hash(7)] {
            for (width, experts, choices, scale) in [(48, 9, 3, 1.5), (33, 17, 6, 2.5), (8, 2, 1, 1.0)] {
                let gate = if experts == 17 { DType::F32 } else { DType::BF16 };
                let d =
                    Route { rows: step.rows, width, experts, choices, routing, scale, gate, act, with_logits: true };
                list.step(d, Data::Normal, step, experts != 2);
                list.step(
                    Route { with_logits: false, ..d },
                    if experts == 17 { Data::Whole } else { Data::Wide },
                    step,
                    false,
                );
            }
        }
    }
    for data in [Data::Nan, Data::Zero, Data::Normal] {
        let (routing, gate, rows) = (Routing::Scored, DType::F32, batch::CHUNK.rows);
        let d = Route { rows, width: 40, experts: 9, choices: 3, routing, scale: 1.5, gate, act, with_logits: true };
        list.add(d, data, Layout::Apart, Some(&batch::CHUNK), true);
    }
    let step = &batch::ALONE;
    for (width, experts, scale) in [(4096, 256, 1.5), (7168, 384, 2.5)] {
        let (routing, gate) = (Routing::Scored, DType::BF16);
        let d = Route { rows: step.rows, width, experts, choices: 6, routing, scale, gate, act, with_logits: true };
        list.step(d, Data::Normal, step, false);
    }
}

fn mlp(list: &mut List, w13: WeightFormat, w2: WeightFormat, a_quant: ActQuant, act: DType) {
    // Coded weights and rounded activations come in whole groups.
    let whole = w13.is_quantised() || a_quant != ActQuant::None;
    let sizes = if whole { [(6, 128, 128), (1, 256, 128)] } else { [(6, 40, 33), (1, 130, 65)] };
    for (rows, width, inter) in sizes {
        for (limit, data) in [(1.0, Data::Normal), (10.0, Data::Wide)] {
            list.add(Mlp { rows, width, inter, w13, w2, limit, a_quant, act }, data, Layout::Dense, None, rows == 6);
        }
    }
    if a_quant != ActQuant::None {
        let d = Mlp { rows: 3, width: 256, inter: 256, w13, w2, limit: 10.0, a_quant, act };
        list.add(d, Data::Groups, Layout::Dense, None, true);
        list.add(d, Data::Nan, Layout::Apart, None, true);
    }
    let (_, width, inter) = sizes[0];
    list.add(
        Mlp { rows: 3, width, inter, w13, w2, limit: 1.0, a_quant, act },
        Data::Normal,
        Layout::Apart,
        None,
        false,
    );
    if a_quant == ActQuant::None {
        let d = Mlp { rows: 1, width: 4096, inter: 256, w13, w2, limit: 10.0, a_quant, act };
        list.add(d, Data::Normal, Layout::Dense, None, false);
    }
}

/// As many rows as a prompt brings, so that experts have tiles of 32 and 64 pairs to fill.
fn prompt(list: &mut List, w13: WeightFormat, w2: WeightFormat, a_quant: ActQuant) {
    let (width, inter, limit, act) = (128, 128, 10.0, DType::BF16);
    for rows in [70, 130] {
        list.add(Mlp { rows, width, inter, w13, w2, limit, a_quant, act }, Data::Normal, Layout::Dense, None, false);
    }
    for (rows, choices, local) in [(30, 2, 5), (100, 2, 2)] {
        let d =
            Experts { rows, width, inter, choices, first: 0, local, w13, w2, limit, a_quant, act, accumulate: true };
        list.add(d, Data::Normal, Layout::Dense, None, false);
    }
}

fn experts(list: &mut List, w13: WeightFormat, w2: WeightFormat, a_quant: ActQuant, act: DType) {
    let whole = w13.is_quantised() || a_quant != ActQuant::None;
    let (width, inter) = if whole { (128, 128) } else { (40, 33) };
    for (rows, choices, first, local) in [(6, 2, 0, 4), (1, 1, 0, 1), (17, 3, 2, 5)] {
        for accumulate in [false, true] {
            let d =
                Experts { rows, width, inter, choices, first, local, w13, w2, limit: 1.0, a_quant, act, accumulate };
            list.add(d, Data::Normal, Layout::Dense, None, rows == 6);
        }
        let d = Experts {
            rows,
            width,
            inter,
            choices,
            first,
            local,
            w13,
            w2,
            limit: 10.0,
            a_quant,
            act,
            accumulate: false,
        };
        list.add(d, Data::Wide, Layout::Dense, None, false);
    }
    let d = Experts {
        rows: 5,
        width: 128,
        inter: 128,
        choices: 3,
        first: 1,
        local: 3,
        w13,
        w2,
        limit: 10.0,
        a_quant,
        act,
        accumulate: true,
    };
    list.add(d, Data::Normal, Layout::InPlace, None, true);
    list.add(d, Data::Nan, Layout::Apart, None, true);
    list.add(
        Experts { width: 256, inter: 256, rows: 3, accumulate: false, ..d },
        Data::Groups,
        Layout::Dense,
        None,
        true,
    );
    if a_quant == ActQuant::None {
        let (rows, width, inter, choices, local) = (2, 4096, 128, 2, 3);
        let d = Experts {
            rows,
            width,
            inter,
            choices,
            first: 0,
            local,
            w13,
            w2,
            limit: 10.0,
            a_quant,
            act,
            accumulate: false,
        };
        list.add(d, Data::Normal, Layout::Dense, None, false);
    }
}
