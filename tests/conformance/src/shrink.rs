//! From a case that fails to the smallest one nearby that still does.

use crate::case::{Case, Data, Layout};
use omnihal::Op;
use serde_json::Value;

/// Fields that belong to a step: they change with the step only.
const OF_STEP: [&str; 9] = ["rows", "seqs", "closings", "wanted", "ratio", "ring", "slots", "positions", "window"];

/// Smaller cases next to one: plainer numbers, a plainer layout, and each size made smaller. The inputs keep the seed of the first case.
pub fn smaller(case: &Case) -> Vec<Case> {
    let seed_of = Some(case.seed_of.clone().unwrap_or_else(|| case.id.clone()));
    let make = |op: Op, data: Data, layout: Layout| {
        let mut made = Case::new(op, data, layout, case.batch, case.profile, false);
        made.seed_of = seed_of.clone();
        made
    };
    let mut all = Vec::new();
    if case.layout != Layout::Dense {
        all.push(make(case.op, case.data, Layout::Dense));
    }
    if case.data != Data::Normal {
        all.push(make(case.op, Data::Normal, case.layout));
    }
    all.extend(smaller_ops(&case.op, case.batch.is_some()).into_iter().map(|op| make(op, case.data, case.layout)));
    all.retain(|c| c.op.check().is_ok());
    all
}

fn smaller_ops(op: &Op, of_step: bool) -> Vec<Op> {
    let Ok(value) = serde_json::to_value(op) else { return Vec::new() };
    let Some((variant, fields)) = value.as_object().and_then(|o| o.iter().next()) else { return Vec::new() };
    let Some(fields) = fields.as_object() else { return Vec::new() };
    let mut all = Vec::new();
    for (name, field) in fields {
        if of_step && OF_STEP.contains(&name.as_str()) {
            continue;
        }
        for smaller in smaller_values(field) {
            let mut changed = fields.clone();
            changed.insert(name.clone(), smaller);
            let whole = Value::Object([(variant.clone(), Value::Object(changed))].into_iter().collect());
            all.extend(serde_json::from_value::<Op>(whole).ok());
        }
    }
    all
}

/// Halves first: most of the way is made in few steps.
fn smaller_values(field: &Value) -> Vec<Value> {
    match field.as_u64() {
        Some(n) if n > 1 => {
            let mut sizes = vec![1, n / 2, n - n / 4, n - 1];
            sizes.retain(|&m| (1..n).contains(&m));
            sizes.dedup();
            sizes.into_iter().map(Value::from).collect()
        }
        _ => Vec::new(),
    }
}

/// Follows smaller failing cases until there is none, or until `tries` cases were tried.
pub fn shrink(case: &Case, mut tries: usize, mut fails: impl FnMut(&Case) -> bool) -> Case {
    let mut best = case.clone();
    loop {
        let mut found = None;
        for next in smaller(&best) {
            if tries == 0 {
                return best;
            }
            tries -= 1;
            if fails(&next) {
                found = Some(next);
                break;
            }
        }
        match found {
            Some(next) => best = next,
            None => return best,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Profile;
    use omnihal::op::ActQuant;
    use omnihal::op::gemm::Linear;
    use omnihal::{DType, WeightFormat};

    #[test]
    fn a_failure_of_one_size_shrinks_to_that_size_alone() {
        let (input, output, weight) = (DType::F32, DType::F32, WeightFormat::Plain(DType::F32));
        let d = Linear {
            rows: 17,
            inner: 257,
            outer: 33,
            input,
            weight,
            a_quant: ActQuant::None,
            output,
            accumulate: false,
        };
        let case = Case::new(d, Data::Wide, Layout::Apart, None, Profile::Core, false);
        let fails = |c: &Case| matches!(c.op, Op::GemmLinear(d) if d.inner >= 65);
        let least = shrink(&case, 1000, fails);
        let Op::GemmLinear(d) = least.op else { panic!() };
        assert_eq!((d.rows, d.inner, d.outer), (1, 65, 1));
        assert_eq!((least.data, least.layout), (Data::Normal, Layout::Dense));
        assert_eq!(least.seed(3), case.seed(3));
    }
}
