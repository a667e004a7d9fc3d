//! What this backend takes for true without a device having shown it. A look at an installation settles some; the rest stays on the list.

use super::{Examination, unsure_signatures};
use crate::sys::table::Evidence;

/// How an assumption stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum State {
    /// Nothing has shown it here.
    Open,
    /// It holds here.
    Closed,
    /// It does not hold here.
    Refuted,
}

/// Something that is taken for true.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Assumption {
    /// What.
    pub what: String,
    /// Where it comes from: the vendor's documents, or an inference.
    pub from: &'static str,
    /// How it stands.
    pub state: State,
    /// What settled it, or would.
    pub by: String,
}

const DOCUMENTS: &str = "documents";
const INFERENCE: &str = "inference";

/// Assumptions that a self-check settles: what, where from, the vendor's operators that depend on it.
const BY_CHECK: &[(&str, &str, &[&str])] = &[
    ("Sinkhorn adds its epsilon to the softmax and to every sum, columns first", DOCUMENTS, &["aclnnMhcPreSinkhorn"]),
    (
        "intermediate results of MhcPreSinkhorn may be given without being asked for",
        INFERENCE,
        &["aclnnMhcPreSinkhorn"],
    ),
    ("MhcPost multiplies by the transposed mixing", DOCUMENTS, &["aclnnMhcPost"]),
    ("HcPre and HcPost mean what MhcPreSinkhorn and MhcPost do", INFERENCE, &["aclnnHcPre", "aclnnHcPost"]),
    (
        "the router divides by the sum of the chosen scores, not of all, and equal scores go to the lower expert",
        INFERENCE,
        &["aclnnMoeGatingTopKV2", "aclnnMoeGatingTopKHash"],
    ),
    ("ClippedSwiglu clips the first half above and the second on both sides", DOCUMENTS, &["aclnnClippedSwiglu"]),
    ("the rotation pairs neighbours in mode 1, and takes f32", DOCUMENTS, &["aclnnInplacePartialRotaryMul"]),
    ("the sink is one more key without a value", DOCUMENTS, &["aclnnSparseFlashMla"]),
    ("a row of its own sequence with no entries yet is legal to SparseFlashMla", INFERENCE, &["aclnnSparseFlashMla"]),
    (
        "the indexer sums over heads in f32, and takes no metadata before Ascend 950",
        INFERENCE,
        &["aclnnLightningIndexerV2"],
    ),
    ("attention rounds probabilities no more coarsely than to bf16", INFERENCE, &["aclnnSparseFlashMla"]),
];

/// Assumptions that no look settles.
const LATER: &[(&str, &str, &str)] = &[
    ("collectives of CANN 9 may live in libhcomm.so", INFERENCE, "an installation of 9.x with collectives"),
    (
        "the default stream cannot be captured (107031)",
        INFERENCE,
        "a capture on the device; this backend uses no default stream",
    ),
    (
        "counts and offsets of HcclAlltoAllV are read during the call",
        INFERENCE,
        "two devices; they are kept until the next wait",
    ),
    ("half floats overflow to infinity on Atlas A2 and later", INFERENCE, "the kit's cases of large values"),
    ("RmsNorm takes 16-bit rows with f32 gains", DOCUMENTS, "nothing: this backend gives it f32 only"),
];

fn new(what: impl Into<String>, from: &'static str, state: State, by: impl Into<String>) -> Assumption {
    Assumption { what: what.into(), from, state, by: by.into() }
}

/// How checks of these operators came out: closed if all passed, refuted if one failed.
fn checked(all: &Examination, operators: &[&str]) -> Option<State> {
    let belongs = |by: &str| operators.iter().any(|name| by.split_whitespace().next() == Some(name));
    let mut mine = all.checks.iter().filter(|check| belongs(&check.by)).peekable();
    mine.peek()?;
    Some(if mine.all(|check| check.refused.is_none()) { State::Closed } else { State::Refuted })
}

/// Every assumption, as it stands after a look.
pub(super) fn judged(all: &Examination) -> Vec<Assumption> {
    let mut list = Vec::new();
    for (what, from, operators) in BY_CHECK {
        let state = checked(all, operators).unwrap_or(State::Open);
        list.push(new(*what, from, state, format!("the self-check of {}", operators.join(", "))));
    }
    for (operator, evidence) in unsure_signatures() {
        let from = if evidence == Evidence::Docs { DOCUMENTS } else { INFERENCE };
        // A self-check that failed may have failed for other reasons than the signature.
        let passed = checked(all, &[operator]) == Some(State::Closed);
        let state = if passed { State::Closed } else { State::Open };
        list.push(new(format!("the parameters of {operator}"), from, state, "a call that gives the right result"));
    }
    let parts = all.searched.iter().any(|place| place.contains("libopapi_cv.so") && place.ends_with("(found)"));
    let state = if parts { State::Closed } else { State::Open };
    list.push(new(
        "the last part of the operator library is libopapi_cv.so",
        INFERENCE,
        state,
        "an installation of 8.5 or later",
    ));
    list.extend(LATER.iter().map(|(what, from, by)| new(*what, from, State::Open, *by)));
    list
}
