//! The kit catches what it is there to catch: every planted mistake, on its own operator, under one seed. `ci/kill-table` does it under fifty.

#![allow(clippy::unwrap_used, reason = "a test: what panics here is the failure it reports")]

mod table;

use omnihal_mutants::Class;
use table::{families, rate, rows};

/// Families of the catalogue. Mistakes of streams and memory are judged by tests/runtime.rs, in processes of their own.
const FAMILIES: [&str; 14] = [
    "embed",
    "norm",
    "gemm",
    "quant",
    "rope",
    "attention",
    "compress",
    "indexer",
    "hyper",
    "moe",
    "cache",
    "sample",
    "elementwise",
    "copy",
];

fn judge(family: &str) {
    let rows = rows(&format!("{family}."), 1, |_| {});
    let planted = rows.iter().filter(|r| r.planted()).count();
    assert!(planted >= 8, "{family} has {planted} planted mistakes");
    let (killed, all) = rate(&rows, family);
    let survivors: Vec<_> = rows.iter().filter(|r| r.planted() && !r.killed()).map(|r| r.variant.id).collect();
    assert!(killed * 100 >= all * 95, "{family}: {killed} of {all} are caught; not {survivors:?}");
    let unexplained: Vec<_> = rows
        .iter()
        .filter(|r| r.planted() && !r.killed() && r.variant.equivalent.is_none())
        .map(|r| r.variant.id)
        .collect();
    assert!(unexplained.is_empty(), "survivors without a reason: {unexplained:?}");
    for row in rows.iter().filter(|r| !r.planted()) {
        assert_eq!(row.caught, 0, "`{}` is honest and was flagged by {}", row.variant.id, row.by.as_deref().unwrap());
    }
}

macro_rules! families {
    ($($test:ident = $family:literal;)*) => {
        $(#[test]
        fn $test() {
            judge($family);
        })*

        #[test]
        fn every_family_is_judged_and_the_plain_device_passes() {
            assert_eq!([$($family),*], FAMILIES);
            let planted = omnihal_mutants::all().into_iter().filter(|v| v.class == Class::Planted);
            let ids: String = planted.map(|v| format!("{}\n", v.id)).collect();
            assert_eq!(ids, include_str!("../../must-pass/mistakes.txt"), "make the lists anew: ci/conformance-lists");
            let found = families(&rows("none.", 0, |_| {}));
            assert!(found.is_empty());
            for variant in omnihal_mutants::all() {
                let family = variant.id.split('.').next().unwrap();
                assert!(family == "stream" || FAMILIES.contains(&family), "{} belongs to no family that is judged", variant.id);
                assert!(matches!(variant.class, Class::Honest | Class::Planted));
            }
        }
    };
}

families! {
    mistakes_in_embed_are_caught = "embed";
    mistakes_in_norm_are_caught = "norm";
    mistakes_in_gemm_are_caught = "gemm";
    mistakes_in_quant_are_caught = "quant";
    mistakes_in_rope_are_caught = "rope";
    mistakes_in_attention_are_caught = "attention";
    mistakes_in_compress_are_caught = "compress";
    mistakes_in_indexer_are_caught = "indexer";
    mistakes_in_hyper_are_caught = "hyper";
    mistakes_in_moe_are_caught = "moe";
    mistakes_in_cache_are_caught = "cache";
    mistakes_in_sample_are_caught = "sample";
    mistakes_in_elementwise_are_caught = "elementwise";
    mistakes_in_copy_are_caught = "copy";
}
