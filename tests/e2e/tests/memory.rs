//! The state of an engine takes the bytes that `omnihal plan` predicted.

#![allow(clippy::unwrap_used, reason = "a test: what panics here is the failure it reports")]

use omnihal::DType;
use omnihal_deepseek::account::{Account, CacheFormat, Query};
use omnihal_deepseek::config::Precision;
use omnihal_deepseek::engine::{Engine, EngineOptions};
use omnihal_deepseek::weights::Checkpoint;
use std::path::PathBuf;

#[test]
fn the_state_takes_the_bytes_that_were_planned() {
    let cases = [
        ("mixed", Precision::Plain, DType::F32, CacheFormat::F32),
        ("mixed", Precision::Plain, DType::BF16, CacheFormat::Bf16),
        ("mtp", Precision::Plain, DType::F32, CacheFormat::F32),
        ("official", Precision::Plain, DType::BF16, CacheFormat::Bf16),
        ("official", Precision::QatAll, DType::BF16, CacheFormat::Packed),
    ];
    for (case, precision, act, cache_format) in cases {
        let dir = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("oracle/cases").join(case);
        let checkpoint = Checkpoint::open(&dir).unwrap();
        for (batch, context) in [(1, 256), (3, 5000)] {
            let mut options = EngineOptions::new(checkpoint.config(), context);
            (options.precision, options.act, options.sequences) = (precision, act, batch);
            let device = omnihal_backends::registry().open("cpu").unwrap();
            let engine = Engine::load(device, &checkpoint, options, &mut |_| {}).unwrap();
            let query = Query { batch: batch as u64, tensor_parallel: 1, cache_format, ..Query::new(context as u64) };
            let planned = Account::new(checkpoint.config(), query).unwrap().device.state;
            assert_eq!(engine.memory()[1] as u64, planned, "{case} {precision} {act}, {batch} x {context}");
        }
    }
}
