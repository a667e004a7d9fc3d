//! Making results.

use crate::num::Num;
use crate::tensor::{Output, Values};
use omnihal::OpKind;

/// Place of an argument in call order.
fn place(op: OpKind, name: &str) -> usize {
    op.spec().args.iter().position(|a| a.name == name).unwrap_or(usize::MAX)
}

/// A dense result. `live` says for each row of it, or for each equal part, whether it is specified.
pub fn dense(op: OpKind, name: &str, values: Vec<Num>, live: &[bool]) -> Output {
    let mask = repeat(live, values.len() / live.len().max(1));
    Output::dense(place(op, name), values).with_mask(mask)
}

/// A dense result that every device must give.
pub fn dense_exact(op: OpKind, name: &str, values: Vec<f64>, live: &[bool]) -> Output {
    let mask = repeat(live, values.len() / live.len().max(1));
    Output::exact(place(op, name), values).with_mask(mask)
}

/// New values of some rows.
pub fn rows(op: OpKind, name: &str, width: usize, exact: bool, rows: Vec<NewRow>) -> Output {
    let mask = rows.iter().flat_map(|r| vec![r.decided; r.values.len()]).collect();
    let (numbers, values) = rows.into_iter().map(|r| (r.row, r.values)).unzip::<_, _, Vec<_>, Vec<_>>();
    let values = Values::Rows { rows: numbers, width, values: values.concat() };
    Output { arg: place(op, name), values, exact, mask: Some(mask), choice: None, packed: None }
}

/// The new values of one row.
pub struct NewRow {
    pub row: usize,
    pub values: Vec<Num>,
    /// False where honest devices may differ by more than a bound can say, such as after a choice between equals.
    pub decided: bool,
}

fn repeat(live: &[bool], times: usize) -> Vec<bool> {
    live.iter().flat_map(|&live| std::iter::repeat_n(live, times)).collect()
}

/// `n` leading rows that matter out of `rows`.
pub fn leading(rows: usize, n: usize) -> Vec<bool> {
    (0..rows).map(|row| row < n).collect()
}
