//! The operator catalogue: the boundary between the model and every chip.
//!
//! Two tiers. The *core* tier is enough to run the whole model; the *fused* tier makes it fast, and every fused operator but
//! `quant.quantize` has a decomposition in `omnihal-runtime`. Each operator is declared once, in its family's file; descriptor, arguments,
//! capability bit, checks and `docs/ops.md` all come from that declaration.
//!
//! Conventions that hold everywhere:
//! * outputs are arguments; no operator allocates;
//! * counts, positions, lengths and page tables are device tensors (the step table, [`crate::StepLayout`]); a plan is made for a capacity;
//! * the last dimension of an input is contiguous, rows may lie apart; an index below zero or out of range is absent;
//! * "f32 inside" means: convert, compute, round once to nearest even. TF32, HF32 and fp16 accumulation are forbidden;
//! * rows that pad a batch (slot -1) are unspecified in outputs, and no valid row depends on one;
//! * in pools and rings slot 0 and page 0 are null: all zero, never written; slot 1 and page 1 are trash: never read.

mod define;
mod docs;
mod field;
mod types;

pub mod attention;
pub mod cache;
pub mod compress;
pub mod copy;
pub mod elementwise;
pub mod embed;
pub mod gemm;
pub mod hyper;
pub mod indexer;
pub mod moe;
pub mod norm;
pub mod quant;
pub mod rope;
pub mod sample;

pub use docs::catalogue_markdown;
pub use field::{FieldKind, FieldValue};
pub use types::*;

pub(crate) use define::{catalogue, operators};
pub(crate) use field::Field;
pub(crate) use types::{Descriptor, DynDescriptor, Kind, field_count, product, required};

catalogue! {
    EmbedLookup(embed::Lookup),
    NormRms(norm::Rms),
    GemmLinear(gemm::Linear),
    GemmBatched(gemm::Batched),
    GemmGrouped(gemm::Grouped),
    QuantQdq(quant::Qdq),
    QuantDequant(quant::Dequant),
    RopeApply(rope::Apply),
    MoeGroup(moe::Group),
    CacheRows(cache::Rows),
    SampleTopK(sample::TopK),
    Unary(elementwise::Unary),
    Binary(elementwise::Binary),
    Where(elementwise::Where),
    Reduce(elementwise::Reduce),
    Softmax(elementwise::Softmax),
    Cumsum(elementwise::Cumsum),
    Copy(copy::Copy),
    Fill(copy::Fill),
    Gather(copy::Gather),
    Scatter(copy::Scatter),
    Take(copy::Take),
    Concat(copy::Concat),
    EmbedIds(embed::Ids),
    QuantQuantize(quant::Quantize),
    HyperPre(hyper::Pre),
    HyperSinkhorn(hyper::Sinkhorn),
    HyperPost(hyper::Post),
    HyperHead(hyper::Head),
    CompressUpdate(compress::Update),
    IndexerQuery(indexer::Query),
    IndexerSelect(indexer::Select),
    AttentionLatent(attention::Latent),
    AttentionQuery(attention::Query),
    AttentionSparse(attention::Sparse),
    CacheStore(cache::Store),
    CacheCopyRows(cache::CopyRows),
    MoeRoute(moe::Route),
    MoeSwiglu(moe::Swiglu),
    MoeMlp(moe::Mlp),
    MoeExperts(moe::Experts),
    SamplePick(sample::Pick),
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::HashSet;

    #[test]
    fn the_catalogue_has_23_core_and_19_fused_operators_with_distinct_names() {
        let core = OpKind::ALL.iter().filter(|k| k.spec().tier == Tier::Core).count();
        let names: HashSet<_> = OpKind::ALL.iter().map(|k| k.name()).collect();
        assert_eq!((core, OpKind::ALL.len(), names.len()), (23, 42, 42));
    }

    #[test]
    fn every_name_starts_with_its_family() {
        for kind in OpKind::ALL {
            assert!(FAMILIES.contains(&kind.family()), "{}", kind.name());
        }
    }

    #[test]
    fn absurd_sizes_are_refused_before_they_are_multiplied() {
        let op: Op = moe::Group { rows: usize::MAX / 2, choices: 8, first: 0, local: 4 }.into();
        assert_eq!(op.check().unwrap_err().kind(), crate::ErrorKind::InvalidDescriptor);
        let op: Op = moe::Group { rows: 1 << 31, choices: 1 << 31, first: 0, local: 4 }.into();
        assert_eq!(op.check().unwrap_err().kind(), crate::ErrorKind::InvalidDescriptor);
    }

    #[test]
    fn a_zero_width_is_refused_and_named() {
        let op: Op =
            embed::Lookup { rows: 4, vocab: 8, width: 0, copies: 4, table: crate::DType::F32, act: crate::DType::F32 }
                .into();
        let error = op.check().unwrap_err();
        assert_eq!(error.kind(), crate::ErrorKind::InvalidDescriptor);
        assert!(error.to_string().contains("table"), "{error}");
    }
}
