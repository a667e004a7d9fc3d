//! The cases of every operator, one family a file: tables, not code.
//!
//! Axes are crossed pairwise: every pair of values of two axes occurs in some case. Beside them stand hand-picked edges and the shapes of the
//! released models at small token counts.

mod attention;
mod cache;
mod compress;
mod copy;
mod elementwise;
mod embed;
mod gemm;
mod hyper;
mod indexer;
mod moe;
mod norm;
mod pairwise;
mod quant;
mod rope;
mod sample;

use crate::batch::Batch;
use crate::case::{Case, Data, Layout};
use crate::image;
use crate::profile::Profile;
use omnihal::{DType, Op, WeightFormat};

pub use pairwise::pairwise;

/// Activation types of the model.
const ACTS: [DType; 2] = [DType::F32, DType::BF16];

/// Formats of weights.
const WEIGHTS: [WeightFormat; 4] =
    [WeightFormat::Plain(DType::F32), WeightFormat::Plain(DType::BF16), WeightFormat::FP8_BLOCK, WeightFormat::FP4_ROW];

/// Epsilon of the norms and of the mixing coefficients in the released models.
const EPS: f32 = 1e-6;

/// A list under construction.
#[derive(Default)]
struct List {
    cases: Vec<Case>,
}

impl List {
    /// Adds a case. One that is in the list already, or whose layout changes nothing, is not added again.
    fn add(&mut self, op: impl Into<Op>, data: Data, layout: Layout, batch: Option<&'static Batch>, quick: bool) {
        let op = op.into();
        let layout = if image::distinct(&op, layout) { layout } else { Layout::Dense };
        let case = Case::new(op, data, layout, batch, home(&op), quick);
        match self.cases.iter_mut().find(|known| known.id == case.id) {
            Some(known) => known.quick |= quick,
            None => self.cases.push(case),
        }
    }

    /// A dense case with ordinary numbers.
    fn plain(&mut self, op: impl Into<Op>) {
        self.add(op, Data::Normal, Layout::Dense, None, true);
    }

    /// An operator of a step.
    fn step(&mut self, op: impl Into<Op>, data: Data, batch: &'static Batch, quick: bool) {
        self.add(op, data, Layout::Dense, Some(batch), quick);
    }
}

/// The profile that requires an operator: by its tier and by what is stored in codes.
fn home(op: &Op) -> Profile {
    let coded = op.arg_types().iter().any(|t| {
        t.present
            && (t.format.is_quantised() || matches!(t.format.dtype(), DType::U8 | DType::F8E4M3 | DType::F4E2M1X2))
    });
    let rounds = crate::case::fields(op).contains("quant=F");
    match op.kind().spec().tier {
        _ if coded || rounds => Profile::V4Quant,
        omnihal::op::Tier::Core => Profile::Core,
        omnihal::op::Tier::Fused => Profile::V4,
    }
}

/// Every case of every operator, in the order of the families.
pub fn all() -> Vec<Case> {
    let mut list = List::default();
    let families = [
        embed::add,
        norm::add,
        gemm::add,
        quant::add,
        rope::add,
        attention::add,
        compress::add,
        indexer::add,
        hyper::add,
        moe::add,
        cache::add,
        sample::add,
        elementwise::add,
        copy::add,
    ];
    families.iter().for_each(|add| add(&mut list));
    list.cases
}

#[cfg(test)]
mod tests {
    use super::*;
    use omnihal::OpKind;
    use std::collections::HashSet;

    #[test]
    fn every_operator_has_cases_and_every_case_is_legal() {
        let cases = all();
        let ids: HashSet<_> = cases.iter().map(|c| &c.id).collect();
        assert_eq!(ids.len(), cases.len());
        for kind in OpKind::ALL {
            let of: Vec<_> = cases.iter().filter(|c| c.op.kind() == *kind).collect();
            assert!(of.len() >= 4, "{} has {} cases", kind.name(), of.len());
            assert!(of.iter().any(|c| c.quick), "{} has no quick case", kind.name());
        }
        for case in cases {
            case.op.check().unwrap_or_else(|e| panic!("{}: {e}", case.id));
        }
    }
}
