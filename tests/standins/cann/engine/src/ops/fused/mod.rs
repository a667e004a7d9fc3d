//! Fused operators of CANN 9.1 and of vllm-ascend, from the vendor's documents alone: what no document says is an assumption, marked so. Sizes that the documents fix are enforced.

mod attention;
mod hyper;
mod indexer;
mod rotary;
mod router;
mod swiglu;
pub mod wrong;

use super::Action;
use super::reader::Reader;
use crate::fault::Answer;

/// The action of a fused operator, if it is one that is computed here.
pub(crate) fn prepare(name: &str, r: &mut Reader<'_>) -> Option<Answer<Action>> {
    Some(match name {
        "MhcPreSinkhorn" => hyper::mhc_pre_sinkhorn(r),
        "MhcPost" => hyper::mhc_post(r),
        "HcPre" => hyper::hc_pre(r),
        "HcPost" => hyper::hc_post(r),
        "MoeGatingTopKV2" => router::gating(r, "MoeGatingTopKV2"),
        "MoeGatingTopKHash" => router::gating(r, "MoeGatingTopKHash"),
        "ClippedSwiglu" => swiglu::clipped(r),
        "SparseFlashMla" => attention::sparse(r),
        "SparseFlashMlaMetadata" => attention::metadata(r),
        "LightningIndexerV2" => indexer::select(r),
        "LightningIndexerV2Metadata" => indexer::metadata(r),
        "InplacePartialRotaryMul" => rotary::partial(r),
        _ => return None,
    })
}
