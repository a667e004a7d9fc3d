//! moe.route, swiglu, mlp, experts (deepseek-v4.md 6).

use super::{choice, result, step, vector};
use crate::num::{self, Num};
use crate::tensor::{Choice, Output, Reader, index, read};
use omnihal::op::ActQuant;
use omnihal::op::moe::{Experts, ExpertsArgs, Mlp, MlpArgs, Route, RouteArgs, Routing, Swiglu, SwigluArgs};
use omnihal::{Args, DType, OpKind, Result, View};

/// Keeps the division defined when all scores are 0 (deepseek-v4.md 10, row 12).
const SUM_FLOOR: f64 = 1e-20;

pub fn route(d: &Route, args: &Args) -> Result<Vec<Output>> {
    let a = RouteArgs::new(args)?;
    let tokens = step::tokens(a.toks, args.rows_hint)?;
    let (x, gate) = (read(a.x)?, read(a.gate)?);
    let bias = a.bias.map(read).transpose()?;
    let table = a.table.map(read).transpose()?.zip(a.ids.map(read).transpose()?);

    let mut idx = vec![-1.0; d.rows * d.choices];
    let mut wt = vec![Num::ZERO; d.rows * d.choices];
    let mut all_logits = vec![Num::ZERO; d.rows * d.experts];
    let mut decided = result::leading(d.rows, args.rows_hint);
    let mut open = vec![None; d.rows];
    for row in (0..d.rows).filter(|&row| tokens[row].is_some()) {
        let logits: Vec<Num> = (0..d.experts).map(|e| num::dot(x.row(row), gate.row(e))).collect();
        let scores: Vec<Num> = logits.iter().map(|l| l.sqrt_softplus()).collect();
        let chosen: Vec<Option<usize>> = match (&bias, &table) {
            (Some(bias), _) => {
                let biased: Vec<Num> = scores.iter().zip(&bias.data).map(|(&s, &b)| s + Num::exact(b)).collect();
                let order = choice::best(&biased, d.choices);
                decided[row] = choice::set_is_decided(&biased, &order) && choice::order_is_decided(&biased, &order);
                open[row] = (!decided[row]).then(|| biased.iter().copied().enumerate().collect());
                order.into_iter().map(Some).collect()
            }
            (None, Some((table, ids))) => match index(ids.data[row], table_rows(d.routing)) {
                Some(id) => table.row(id).iter().map(|&e| index(e, d.experts)).collect(),
                None => vec![None; d.choices],
            },
            (None, None) => vec![None; d.choices],
        };
        let total = num::sum(&chosen.iter().flatten().map(|&e| scores[e]).collect::<Vec<_>>()) + Num::exact(SUM_FLOOR);
        for (q, expert) in chosen.into_iter().enumerate() {
            let Some(expert) = expert else { continue };
            idx[row * d.choices + q] = expert as f64;
            wt[row * d.choices + q] = scores[expert] / total * Num::exact(f64::from(d.scale));
        }
        all_logits[row * d.experts..(row + 1) * d.experts].copy_from_slice(&logits);
    }
    let live = step::live(&tokens);
    let weighed: Vec<bool> = live.iter().zip(&decided).map(|(live, decided)| *live && *decided).collect();
    // Padding rows promise -1 for the choice and nothing for the weights.
    let mut outputs = vec![
        result::dense_exact(OpKind::MoeRoute, "idx", idx, &decided).with_choice(Choice { keep: d.choices, rows: open }),
        result::dense(OpKind::MoeRoute, "wt", wt, &weighed),
    ];
    if d.with_logits {
        outputs.push(result::dense(OpKind::MoeRoute, "logits", all_logits, &live));
    }
    Ok(outputs)
}

fn table_rows(routing: Routing) -> usize {
    match routing {
        Routing::Hash(rows) => rows,
        Routing::Scored => 0,
    }
}

/// `silu(min(g, limit)) * clamp(u, -limit, limit) * wt` of one row `g | u`.
fn hidden(x: &[Num], limit: f32, wt: Option<f64>) -> Vec<Num> {
    let limit = f64::from(limit);
    let (gate, up) = x.split_at(x.len() / 2);
    let value = |(g, u): (&Num, &Num)| {
        let y = g.min(Num::exact(limit)).silu() * u.clamp(-limit, limit);
        wt.map_or(y, |wt| y * Num::exact(wt))
    };
    gate.iter().zip(up).map(value).collect()
}

pub fn swiglu(d: &Swiglu, args: &Args) -> Result<Vec<Output>> {
    let a = SwigluArgs::new(args)?;
    let (x, wt) = (read(a.x)?, a.wt.map(read).transpose()?);
    let y = (0..d.rows)
        .flat_map(|row| hidden(&vector::exact(x.row(row)), d.limit, wt.as_ref().map(|wt| wt.data[row])))
        .collect();
    Ok(vec![result::dense(OpKind::MoeSwiglu, "y", y, &result::leading(d.rows, args.rows_hint))])
}

/// One expert: its two matrices and how it computes.
struct Expert {
    w13: Vec<Vec<f64>>,
    w2: Vec<Vec<f64>>,
    limit: f32,
    a_quant: ActQuant,
    act: DType,
}

impl Expert {
    /// `w2 q(swiglu(w13 q(x)) * wt)` of one row.
    fn apply(&self, x: &[f64], wt: Option<f64>) -> Vec<Num> {
        let x = vector::quantise_activations(&vector::exact(x), self.a_quant);
        let up: Vec<Num> = self.w13.iter().map(|w| num::dot(&x, w).may_round(self.act)).collect();
        let mut h = hidden(&up, self.limit, wt);
        vector::round_all(&mut h, self.act);
        let h = vector::quantise_activations(&h, self.a_quant);
        self.w2.iter().map(|w| num::dot(&h, w)).collect()
    }
}

/// Rows `e * rows..(e + 1) * rows` of stacked matrices.
fn matrix(view: &View, e: usize, rows: usize) -> Result<Vec<Vec<f64>>> {
    let reader = Reader::new(view)?;
    (e * rows..(e + 1) * rows).map(|row| reader.row(row)).collect()
}

pub fn mlp(d: &Mlp, args: &Args) -> Result<Vec<Output>> {
    let a = MlpArgs::new(args)?;
    let x = read(a.x)?;
    let (w13, w2) = (matrix(a.w13, 0, 2 * d.inter)?, matrix(a.w2, 0, d.width)?);
    let expert = Expert { w13, w2, limit: d.limit, a_quant: d.a_quant, act: d.act };
    let y = (0..d.rows).flat_map(|row| expert.apply(x.row(row), None)).collect();
    Ok(vec![result::dense(OpKind::MoeMlp, "y", y, &result::leading(d.rows, args.rows_hint))])
}

pub fn experts(d: &Experts, args: &Args) -> Result<Vec<Output>> {
    let a = ExpertsArgs::new(args)?;
    let (x, idx, wt) = (read(a.x)?, read(a.idx)?, read(a.wt)?);
    let acc = a.acc.map(read).transpose()?;
    let chosen: Vec<Option<usize>> = idx
        .data
        .iter()
        .map(|&e| index(e, d.first.saturating_add(d.local)).and_then(|e| e.checked_sub(d.first)))
        .collect();
    // What each pair of row and choice adds, expert by expert so that only those met are read.
    let mut parts: Vec<Option<Vec<Num>>> = vec![None; chosen.len()];
    for local in (0..d.local).filter(|&local| chosen.contains(&Some(local))) {
        let (w13, w2) = (matrix(a.w13, local, 2 * d.inter)?, matrix(a.w2, local, d.width)?);
        let expert = Expert { w13, w2, limit: d.limit, a_quant: d.a_quant, act: d.act };
        for (pair, part) in parts.iter_mut().enumerate().filter(|(pair, _)| chosen[*pair] == Some(local)) {
            let y = expert.apply(x.row(pair / d.choices), Some(wt.data[pair]));
            *part = Some(y.into_iter().map(|y| y.may_round(d.act)).collect());
        }
    }
    let mut y = Vec::with_capacity(d.rows * d.width);
    for row in 0..d.rows {
        for c in 0..d.width {
            let own = parts[row * d.choices..(row + 1) * d.choices].iter().flatten().map(|part| part[c]);
            y.push(num::sum(&own.chain(acc.as_ref().map(|acc| Num::exact(acc.row(row)[c]))).collect::<Vec<_>>()));
        }
    }
    Ok(vec![result::dense(OpKind::MoeExperts, "y", y, &result::leading(d.rows, args.rows_hint))])
}
