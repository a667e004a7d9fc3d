//! Cases: data, not code.

use crate::Profile;
use crate::batch::Batch;
use omnihal::op::Role;
use omnihal::{DType, Op, WeightFormat};
use serde::{Deserialize, Serialize};
use std::fmt;

/// One case of an operator.
#[derive(Clone, Debug, PartialEq)]
pub struct Case {
    /// Its name: operator, descriptor, data, step, layout. Everything random in the case follows from it.
    pub id: String,
    /// The operator with its descriptor.
    pub op: Op,
    /// What the inputs are like.
    pub data: Data,
    /// How the tensors lie in memory.
    pub layout: Layout,
    /// The step that the operator takes part in, where it has one.
    pub batch: Option<&'static Batch>,
    /// The profile that requires it.
    pub profile: Profile,
    /// One of the cases that `--quick` runs.
    pub quick: bool,
    /// Another name that the inputs follow from, for cases that were made from another.
    pub seed_of: Option<String>,
}

/// What the real numbers of the inputs are like.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Data {
    /// Near normal.
    Normal,
    /// Near normal, each row with a power of two of its own from 2^-12 to 2^12: groups, scales and maxima differ.
    Wide,
    /// Whole numbers of small size: sums are exact, ties are many.
    Whole,
    /// Zeros of both signs, subnormal and just normal numbers, a few ordinary ones.
    Small,
    /// With NaN and both infinities. Only where the operator says what becomes of them.
    Special,
    /// Near normal, with a NaN here and there: it spoils its own row and no other.
    Nan,
    /// Near normal, each 32 neighbours with a power of two of their own from 2^-30 to 2^8.
    Groups,
    /// Groups of 32 whose largest is exactly the end of a code grid, `6 * 2^k` or `448 * 2^k`.
    Peaks,
    /// Exactly between two BF16 numbers, or next to there; with fractions that a cast to integers drops.
    Ties,
    /// All far below zero.
    Low,
    /// Equal, or one unit in the last place apart.
    Near,
    /// Nothing but zeros.
    Zero,
}

/// How the tensors lie in memory. Shapes are logical and the same in all.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Layout {
    /// Without gaps, from an aligned address.
    Dense,
    /// Rows lie apart wherever the operator allows it.
    Apart,
    /// Without gaps, one element after an aligned address.
    Shifted,
    /// Any strides: axes permuted, every one with gaps. Only for operators that take them.
    Any,
    /// Without gaps, and the output is the very input that it may be.
    InPlace,
}

/// A case as text, for one that is in no list: what `--shrink` finds, and what a developer types.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Spelled {
    /// The operator with its descriptor.
    pub op: Op,
    /// What the inputs are like.
    pub data: Data,
    /// How the tensors lie.
    pub layout: Layout,
    /// Name of the step, for operators of one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub batch: Option<String>,
    /// The case whose seed the inputs follow from; its own, if there is none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub seed_of: Option<String>,
}

impl Spelled {
    /// The case that it spells; fails for a descriptor that no device could honour and for an unknown step.
    pub fn case(&self) -> Result<Case, String> {
        self.op.check().map_err(|e| e.to_string())?;
        let batch = match &self.batch {
            None => None,
            Some(name) => Some(
                *crate::batch::ALL
                    .iter()
                    .find(|b| b.name == name)
                    .ok_or_else(|| format!("`{name}` is the name of no step"))?,
            ),
        };
        let mut case = Case::new(self.op, self.data, self.layout, batch, Profile::Core, false);
        case.seed_of = self.seed_of.clone();
        Ok(case)
    }
}

impl Case {
    /// The case as text.
    pub fn spelled(&self) -> Spelled {
        Spelled {
            op: self.op,
            data: self.data,
            layout: self.layout,
            batch: self.batch.map(|b| b.name.to_owned()),
            seed_of: self.seed_of.clone(),
        }
    }

    /// A case. Its name follows from what it is.
    pub fn new(
        op: impl Into<Op>,
        data: Data,
        layout: Layout,
        batch: Option<&'static Batch>,
        profile: Profile,
        quick: bool,
    ) -> Case {
        let op = op.into();
        let step = batch.map(|b| format!("/{}", b.name)).unwrap_or_default();
        let id = format!("{}/{}/{data}{step}/{layout}", op.kind().name(), fields(&op));
        Case { id, op, data, layout, batch, profile, quick, seed_of: None }
    }

    /// The types that matter, as `BF16` or `F32 x F8E4M3`.
    pub fn types(&self) -> String {
        let types = self.op.arg_types();
        let present = || types.iter().filter(|t| t.present);
        let is_weight = |name: &str| matches!(name, "w" | "w13" | "gate" | "table");
        let real = |format: WeightFormat| match format {
            WeightFormat::Plain(dtype) if dtype.is_float() => Some(dtype),
            _ => None,
        };
        let first = present().filter(|t| !is_weight(t.name)).find_map(|t| real(t.format)).unwrap_or(DType::I32);
        let packed = present().any(|t| t.role != Role::Write && t.format == WeightFormat::Plain(DType::U8));
        let weight = present().find(|t| is_weight(t.name)).map(|t| t.format.dtype().name());
        let coded = present().find(|t| t.format.is_quantised()).map(|t| t.format.dtype().name());
        match coded.or(weight.filter(|w| *w != first.name())).or(packed.then_some("packed")) {
            Some(second) => format!("{first} x {second}"),
            None => first.name().to_owned(),
        }
    }

    /// Seed of everything random in the case: FNV-1a of the name, then of the salt.
    pub fn seed(&self, salt: u64) -> u64 {
        let fnv = |hash: u64, byte: u8| (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3);
        let named = self.seed_of.as_deref().unwrap_or(&self.id).bytes().fold(0xcbf2_9ce4_8422_2325, fnv);
        if salt == 0 { named } else { salt.to_le_bytes().into_iter().fold(named, fnv) }
    }
}

impl fmt::Display for Data {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Data::Normal => "normal",
            Data::Wide => "wide",
            Data::Whole => "whole",
            Data::Small => "small",
            Data::Special => "special",
            Data::Nan => "nan",
            Data::Groups => "groups",
            Data::Peaks => "peaks",
            Data::Ties => "ties",
            Data::Low => "low",
            Data::Near => "near",
            Data::Zero => "zero",
        })
    }
}

impl fmt::Display for Layout {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Layout::Dense => "dense",
            Layout::Apart => "apart",
            Layout::Shifted => "shifted",
            Layout::Any => "any",
            Layout::InPlace => "in-place",
        })
    }
}

/// The fields of a descriptor as `name=value,...`, without spaces or the names of types.
pub fn fields(op: &Op) -> String {
    let text = format!("{op:?}");
    // `GemmLinear(Linear { rows: 1, .. })`: the fields stand between the first and the last brace.
    let inner = match (text.find('{'), text.rfind('}')) {
        (Some(start), Some(end)) => &text[start + 1..end],
        _ => "",
    };
    let inner = inner.replace("Blocked { data: F8E4M3, scale: E8M0, block: (128, 128) }", "F8E4M3");
    let inner = inner.replace("Blocked { data: F4E2M1X2, scale: E8M0, block: (1, 32) }", "F4E2M1X2");
    inner.replace("Plain(", "(").replace(": ", "=").replace(", ", ",").replace([' ', '\n'], "").trim().to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;
    use omnihal::op::{ActQuant, gemm};

    fn linear(weight: WeightFormat) -> Op {
        let (input, output) = (DType::F32, DType::BF16);
        let a_quant = ActQuant::None;
        gemm::Linear { rows: 7, inner: 256, outer: 3, input, weight, a_quant, output, accumulate: false }.into()
    }

    #[test]
    fn a_case_is_named_by_all_that_it_is() {
        let case = Case::new(linear(WeightFormat::FP8_BLOCK), Data::Wide, Layout::Apart, None, Profile::V4Quant, true);
        let fields = "rows=7,inner=256,outer=3,input=F32,weight=F8E4M3,a_quant=None,output=BF16,accumulate=false";
        assert_eq!(case.id, format!("gemm.linear/{fields}/wide/apart"));
        assert_eq!(case.types(), "F32 x F8E4M3");
    }

    #[test]
    fn the_seed_follows_from_the_name_and_the_salt() {
        let case = |rows| {
            let mut op = linear(WeightFormat::Plain(DType::F32));
            if let Op::GemmLinear(d) = &mut op {
                d.rows = rows;
            }
            Case::new(op, Data::Normal, Layout::Dense, None, Profile::Core, true)
        };
        assert_eq!(case(3).seed(0), case(3).seed(0));
        assert_ne!(case(3).seed(0), case(4).seed(0));
        assert_ne!(case(3).seed(0), case(3).seed(1));
    }
}
