//! Fused operators of the vendor's that are not to be used.
#![allow(clippy::unwrap_used, missing_docs, reason = "tests")]

mod stand_in;

use omnihal::op::hyper::Post;
use omnihal::{DType, Op, Support};
use stand_in::StandIn;

#[test]
fn fused_operators_are_refused_with_the_reason_when_off_or_of_other_sizes_or_of_another_release() {
    let cann = StandIn::stage_fused("Ascend910B2", false);
    let post = |act, streams| Op::from(Post { rows: 2, streams, width: 128, act });
    let refusal = |op: &Op| match cann.open().supports(op) {
        Support::No(why) => why,
        other => panic!("{other:?}"),
    };
    assert_eq!(cann.open().supports(&post(DType::BF16, 4)), Support::Native);
    assert!(refusal(&post(DType::F32, 4)).contains("it takes bf16"));
    assert!(refusal(&post(DType::BF16, 3)).contains("3 residual streams, it takes 4"));
    // SAFETY: no other thread of this process reads the environment now.
    unsafe { std::env::set_var("OMNIHAL_ASCEND_FUSED", "off") };
    let calls = cann.calls("aclnnMhcPost");
    assert!(refusal(&post(DType::BF16, 4)).contains("$OMNIHAL_ASCEND_FUSED"));
    assert_eq!(cann.calls("aclnnMhcPost"), calls);
    // SAFETY: as above.
    unsafe {
        std::env::remove_var("OMNIHAL_ASCEND_FUSED");
        std::env::set_var("FAKE_CANN_VERSION", "8.5.1");
    }
    let why = refusal(&post(DType::BF16, 4));
    assert!(why.contains("the release is 8.5, the signatures of fused operators are those of 9.1"), "{why}");
    assert_eq!(cann.calls("aclnnMhcPost"), calls);
    assert_eq!(cann.broken(), "");
}
