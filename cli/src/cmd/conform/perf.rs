//! The `perf` profile: times, never a verdict.

use super::Conform;
use crate::failure::Failure;
use omnihal_conformance::perf;
use omnihal_conformance::report::PerfRow;

/// Times the operators of the selection in this process. A case that fails is left out: its own profile says why.
pub fn rows(conform: &Conform, mut each: impl FnMut(usize, usize)) -> Result<Vec<PerfRow>, Failure> {
    let (target, _) = conform.device.open()?;
    let device = &**target.device();
    let ceilings = perf::ceilings(device)?;
    let filters = &conform.selection.filter;
    let named = |id: &str| filters.is_empty() || filters.iter().any(|f| omnihal_conformance::glob::glob(f, id));
    let quick = |case: &omnihal_conformance::Case| !conform.selection.quick || case.quick;
    let cases: Vec<_> = perf::cases().into_iter().filter(|c| named(&c.id) && quick(c)).collect();
    let mut rows = Vec::new();
    for (i, case) in cases.iter().enumerate() {
        each(i, cases.len());
        rows.extend(perf::measure(device, case, Some(ceilings)).ok());
    }
    Ok(rows)
}
