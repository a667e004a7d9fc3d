//! moe.group, route, swiglu, mlp, experts (deepseek-v4.md 6).

mod experts;
mod group;
mod route;
mod swiglu;
#[cfg(test)]
mod tests;
mod variants;

pub use variants::VARIANTS;

use crate::Call;
use omnihal::Op;

/// Runs one call.
pub fn run(call: &Call<'_>) {
    match call.op {
        Op::MoeGroup(d) => group::group(call, d),
        Op::MoeRoute(d) => route::route(call, d),
        Op::MoeSwiglu(d) => swiglu::swiglu(call, d),
        Op::MoeMlp(d) => experts::mlp(call, d),
        Op::MoeExperts(d) => experts::experts(call, d),
        _ => (),
    }
}
