//! What the catalogue says about strides and aliasing, operator by operator.

use omnihal::OpKind;

/// Outputs that may be identical to an input: same address, type, shape and strides. From the operators' documentation.
const IN_PLACE: [(OpKind, &str, &[&str]); 8] = [
    (OpKind::NormRms, "y", &["x"]),
    (OpKind::QuantQdq, "y", &["x"]),
    (OpKind::HyperPost, "y", &["x"]),
    (OpKind::MoeExperts, "y", &["acc"]),
    (OpKind::Unary, "y", &["x"]),
    (OpKind::Binary, "y", &["a", "b"]),
    (OpKind::Where, "y", &["a", "b", "p", "q"]),
    (OpKind::Softmax, "y", &["x"]),
];

/// True if `output` may be the very tensor that `input` is.
pub(super) fn may_be(op: OpKind, output: &str, input: &str) -> bool {
    IN_PLACE.iter().any(|(kind, out, inputs)| *kind == op && *out == output && inputs.contains(&input))
}

/// True if even the last axis may have any stride.
pub(super) fn any_strides(op: OpKind) -> bool {
    op.family() == "elementwise" || op == OpKind::Copy
}

/// True if inputs may repeat an axis by stride 0.
pub(super) fn may_repeat(op: OpKind) -> bool {
    any_strides(op) || op == OpKind::GemmBatched
}

/// True if rows of a written output may lie apart.
pub(super) fn spread_outputs(op: OpKind) -> bool {
    matches!(op.family(), "elementwise" | "copy" | "rope" | "norm")
        || matches!(op, OpKind::GemmLinear | OpKind::GemmBatched | OpKind::QuantQdq)
}
