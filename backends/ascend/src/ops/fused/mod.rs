//! Fused operators by the vendor's own symbols: each behind the profile of its signature, the generation of the chip, and what its documents say of types and sizes. A device runs one only
//! after it has passed the self-check against the composition of plain operators ([`crate::selfcheck`]).

mod attention;
mod hyper;
mod indexer;
mod moe;

use super::calls::Calls;
use super::tensor::Tensor;
use crate::sys::constants::aclDataType;
use crate::sys::table::Profile;
use crate::toolkit::Toolkit;
use crate::toolkit::version::Soc;
use omnihal::{Column, DType, Error, Op, OpKind, Result, Shape, View};

/// Why a descriptor does not fit a vendor's operator.
type Fits = std::result::Result<(), String>;

/// One way to run a fused operator.
#[derive(Debug)]
pub(crate) struct Fused {
    /// The operator of the catalogue.
    pub(crate) kind: OpKind,
    /// The vendor's signatures.
    pub(crate) profile: Profile,
    /// The vendor's operators, the one that gives it its name first.
    pub(crate) symbols: &'static [&'static str],
    /// Step columns that it wants beside the arguments.
    pub(crate) columns: &'static [Column],
    fits: fn(&Op, Soc) -> Fits,
    build: fn(&mut Calls<'_>, &Op, &[Option<View>]) -> Result<()>,
}

const fn fused(
    kind: OpKind,
    profile: Profile,
    symbols: &'static [&'static str],
    fits: fn(&Op, Soc) -> Fits,
    build: fn(&mut Calls<'_>, &Op, &[Option<View>]) -> Result<()>,
) -> Fused {
    Fused { kind, profile, symbols, columns: &[], fits, build }
}

const INDEXER: &[&str] = &["aclnnLightningIndexerV2", "aclnnLightningIndexerV2Metadata"];
const ROTATION: &[&str] = &["aclnnInplacePartialRotaryMul"];
const ATTENTION: &[&str] = &["aclnnSparseFlashMla", "aclnnSparseFlashMlaMetadata", "aclnnInplacePartialRotaryMul"];

/// All of them, the preferred one of an operator first.
pub(crate) static ALL: &[Fused] = &[
    fused(OpKind::HyperPre, Profile::Fused91, &["aclnnMhcPreSinkhorn"], hyper::pre_fits, hyper::mhc_pre),
    fused(OpKind::HyperPre, Profile::Vllm023, &["aclnnHcPre"], hyper::pre_fits, hyper::hc_pre),
    fused(OpKind::HyperPost, Profile::Fused91, &["aclnnMhcPost"], hyper::post_fits, hyper::mhc_post),
    fused(OpKind::HyperPost, Profile::Vllm023, &["aclnnHcPost"], hyper::post_fits, hyper::hc_post),
    fused(OpKind::MoeRoute, Profile::Fused91, &["aclnnMoeGatingTopKV2"], moe::gating_fits, moe::gating),
    fused(OpKind::MoeRoute, Profile::Vllm023, &["aclnnMoeGatingTopKHash"], moe::hash_fits, moe::gating_hash),
    fused(OpKind::MoeSwiglu, Profile::Fused91, &["aclnnClippedSwiglu"], moe::swiglu_fits, moe::swiglu),
    fused(OpKind::IndexerSelect, Profile::Fused91, INDEXER, indexer::older_fits, indexer::older),
    fused(OpKind::IndexerSelect, Profile::Fused91, INDEXER, indexer::newer_fits, indexer::newer),
    fused(OpKind::AttentionQuery, Profile::Fused91, ROTATION, attention::query_fits, attention::query),
    fused(OpKind::AttentionQuery, Profile::Vllm023, ROTATION, attention::query_fits, attention::query_vllm),
    Fused {
        columns: attention::SPARSE_COLUMNS,
        ..fused(OpKind::AttentionSparse, Profile::Fused91, ATTENTION, attention::sparse_fits, attention::sparse)
    },
];

/// Operators of the catalogue that no vendor's operator can serve, and why.
const NEVER: &[(OpKind, &str)] = &[
    (
        OpKind::CompressUpdate,
        "the vendor's Compressor (17 parameters in CANN 9.1, 22 in vllm-ascend) projects its input itself, this operator takes projected rows",
    ),
    (
        OpKind::MoeExperts,
        "the vendor has no operator for the whole; its products are GroupedMatmulV5 and its gate is ClippedSwiglu, where that passes, in the composition too",
    ),
    (OpKind::IndexerQuery, "the vendor's RotateQuant rounds to other numbers than this operator"),
];

impl Fused {
    /// The name to tell.
    pub(crate) fn name(&self) -> String {
        let package = match self.profile {
            Profile::Vllm023 => "vllm-ascend 0.23.0",
            _ => "CANN 9.1",
        };
        format!("{} of {package}", self.symbols[0])
    }

    /// Whether the installation has every symbol with the signature that is called.
    pub(crate) fn offered(&self, toolkit: &Toolkit) -> Result<()> {
        self.symbols.iter().try_for_each(|symbol| toolkit.offers(self.profile, symbol))
    }

    /// Whether the installation has it and the descriptor fits.
    fn takes(&self, op: &Op, toolkit: &Toolkit) -> Fits {
        self.offered(toolkit).map_err(|error| error.message().to_owned())?;
        (self.fits)(op, toolkit.soc.1)
    }

    /// Views of its columns without memory, to measure temporaries with.
    pub(crate) fn column_outlines(&self, op: &Op, nowhere: View) -> impl Iterator<Item = Option<View>> {
        let dims = self.columns.iter().map(|column| attention::column_dims(op, *column));
        dims.map(move |dims| {
            let shape = Shape::new(&dims);
            Some(View { dtype: DType::I32, shape, strides: shape.contiguous_strides(), ..nowhere })
        })
    }

    /// Makes the calls.
    pub(crate) fn build(&self, calls: &mut Calls<'_>, op: &Op, views: &[Option<View>]) -> Result<()> {
        (self.build)(calls, op, views)
    }
}

/// The ways that fit an operator, or why there is none.
pub(crate) fn candidates(op: &Op, toolkit: &Toolkit) -> Result<Vec<&'static Fused>> {
    let kind = op.kind();
    let (mut found, mut words) = (Vec::new(), Vec::new());
    for fused in ALL.iter().filter(|fused| fused.kind == kind) {
        match fused.takes(op, toolkit) {
            Ok(()) => found.push(fused),
            Err(why) => words.push(format!("{}: {why}", fused.name())),
        }
    }
    if !found.is_empty() {
        return Ok(found);
    }
    words.extend(NEVER.iter().filter(|(never, _)| *never == kind).map(|(_, why)| (*why).to_owned()));
    let why = if words.is_empty() { "no operator of the vendor's does this".to_owned() } else { words.join("; ") };
    Err(Error::unsupported(format!("the ascend backend has no call for {}: {why}: compose it", kind.name())))
}

/// `Ok` if a condition holds.
fn want(holds: bool, words: impl FnOnce() -> String) -> Fits {
    if holds { Ok(()) } else { Err(words()) }
}

impl Calls<'_> {
    /// Where a result without gaps is computed: `y` itself if it can hold it and shares nothing with an input, else a temporary.
    fn dense_place(&mut self, y: &Tensor, kind: aclDataType, inputs: &[&Tensor]) -> Result<Tensor> {
        if y.is_contiguous() { self.place(y, kind, inputs) } else { self.temp(kind, y.dims()) }
    }
}
