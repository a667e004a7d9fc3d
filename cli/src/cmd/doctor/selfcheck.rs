//! Does the demo model give the tokens that it must?

use super::Finding;
use crate::failure::Failure;
use crate::open::{self, BackendArgs};
use omnihal::DType;
use omnihal_deepseek::demo::{self, Expected};
use omnihal_deepseek::engine::EngineOptions;
use omnihal_deepseek::generate::{Generator, Request};
use omnihal_deepseek::sampler::SamplerParams;
use std::ops::ControlFlow;
use std::time::Instant;

/// Continues every prompt with known tokens, in both activation types.
pub fn run(backend: &BackendArgs) -> Result<Vec<Finding>, Failure> {
    let expected = demo::expected().map_err(|e| Failure::input(format!("the demo in this build is damaged: {e}")))?;
    [DType::F32, DType::BF16].into_iter().map(|act| check(backend, act, &expected)).collect()
}

fn check(backend: &BackendArgs, act: DType, expected: &[Expected]) -> Result<Finding, Failure> {
    let checkpoint = demo::checkpoint()?;
    let longest = expected.iter().map(|e| e.tokens.len() + e.continuation_tokens.len()).max().unwrap_or(1);
    let mut options = EngineOptions::new(checkpoint.config(), longest);
    options.act = act;
    options.fallback = backend.open_fallback()?;
    let mut generator = Generator::new(open::load(backend.open()?, &checkpoint, options)?);
    let start = Instant::now();
    let (mut right, mut tokens, mut first) = (0, 0, None);
    for case in expected {
        let request = Request {
            params: SamplerParams::default(),
            max_tokens: case.continuation_tokens.len(),
            stop: checkpoint.config().eos_token_ids.clone(),
        };
        let made = generator.tokens(&case.tokens, &request, &mut |_| Ok(ControlFlow::Continue(())))?;
        tokens += made.tokens.len();
        match made.tokens == case.continuation_tokens {
            true => right += 1,
            false => first = first.or(Some(case)),
        }
    }
    let found = format!(
        "demo in {act}: {right} of {} texts exact, {tokens} tokens in {:.2} s",
        expected.len(),
        start.elapsed().as_secs_f64()
    );
    Ok(match first {
        None => Finding::ok("self-check", found),
        Some(case) => Finding::fail(
            "self-check",
            format!("{found}; wrong first at {:?}", case.prompt),
            format!(
                "this backend computes wrongly: compare operators with `omnihal parity --backend {}`",
                backend.backend
            ),
        ),
    })
}
