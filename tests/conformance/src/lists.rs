//! Must-pass lists: which cases a profile requires, by name, in files of their own, so that a change shows in review.

use crate::profile::Profile;
use crate::report::{MustPass, ReportError};
use crate::suite;

/// Version of the lists. It changes when a case is added or removed.
pub const VERSION: &str = "1";

/// The lists as they are checked in: what belongs to each profile itself. `perf` has none: it is never part of a verdict.
const FILES: [&str; 6] = [
    include_str!("../must-pass/runtime.txt"),
    include_str!("../must-pass/core.txt"),
    include_str!("../must-pass/v4.txt"),
    include_str!("../must-pass/v4-quant.txt"),
    include_str!("../must-pass/soak.txt"),
    include_str!("../must-pass/fault.txt"),
];

/// Profiles that have a list.
pub const LISTED: [Profile; 6] =
    [Profile::Runtime, Profile::Core, Profile::V4, Profile::V4Quant, Profile::Soak, Profile::Fault];

/// What each profile requires, with what it includes of others.
pub fn must_pass() -> Result<MustPass, ReportError> {
    let own = MustPass::parse(FILES)?;
    Ok(LISTED.into_iter().fold(MustPass::new(&own.version), |all, profile| {
        let included = LISTED.into_iter().filter(|p| profile.includes(*p));
        all.with(profile, included.flat_map(|p| own.ids(p).iter().cloned()))
    }))
}

/// The file of a profile as it should be, from the cases there are.
pub fn generate(profile: Profile) -> String {
    let ids = suite::own(profile).into_iter().map(|item| item.id().to_owned());
    MustPass::new(VERSION).with(profile, ids).text(profile)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_lists_name_exactly_the_cases_there_are() {
        for (profile, file) in LISTED.into_iter().zip(FILES) {
            let name = format!("tests/conformance/must-pass/{profile}.txt");
            assert_eq!(file, generate(profile), "{name} is not current: make it with ci/conformance-lists");
        }
    }
}
