//! What a run of the kit consists of.

use crate::case::{Case, Spelled};
use crate::cases;
use crate::outcome::{CaseResult, Check, Finding};
use crate::profile::Profile;
use crate::run::{self, Options};
use crate::script::{self, Script};
use crate::target::Target;
use std::collections::HashMap;

/// One thing to run.
#[derive(Clone)]
pub enum Item {
    /// An operator.
    Op(Box<Case>),
    /// A script.
    Script(Script),
}

impl Item {
    /// Its name.
    pub fn id(&self) -> &str {
        match self {
            Item::Op(case) => &case.id,
            Item::Script(script) => script.id,
        }
    }

    /// What a worker is asked: the name, or the spelled case where its name alone would not do.
    pub fn asked(&self) -> String {
        match self {
            Item::Op(case) if case.seed_of.is_some() => serde_json::to_string(&case.spelled()).unwrap_or_default(),
            _ => self.id().to_owned(),
        }
    }

    /// The profile that it belongs to.
    pub fn profile(&self) -> Profile {
        match self {
            Item::Op(case) => case.profile,
            Item::Script(script) => script.profile,
        }
    }

    /// Operator or group, and types: row and column of the report.
    pub fn place(&self) -> (&str, String) {
        match self {
            Item::Op(case) => (case.op.kind().name(), case.types()),
            Item::Script(script) => (script.group, "-".to_owned()),
        }
    }

    /// One of the short ones.
    pub fn quick(&self) -> bool {
        match self {
            Item::Op(case) => case.quick,
            Item::Script(script) => script.quick,
        }
    }

    /// Runs it. What the host computed for the device is no result of the device.
    pub fn run(&self, target: &Target, options: Options) -> CaseResult {
        let before = target.fallbacks();
        let result = self.run_as_it_is(target, options);
        if target.fallbacks() == before {
            return result;
        }
        let reason = target.last_fallback().unwrap_or_default();
        let text = format!("the device let the host compute: {reason}");
        let mut findings = vec![Finding::new(Check::Placement, text)];
        findings.extend(result.findings.iter().cloned());
        result.with_findings(findings)
    }

    fn run_as_it_is(&self, target: &Target, options: Options) -> CaseResult {
        match self {
            Item::Op(case) => run::run(&*target.device_for(case), case, options),
            Item::Script(script) => {
                let started = std::time::Instant::now();
                let seed =
                    script.id.bytes().fold(options.salt, |h, b| (h ^ u64::from(b)).wrapping_mul(0x0100_0000_01b3));
                let mut result = script.judge(target, seed);
                result.millis = started.elapsed().as_secs_f64() * 1e3;
                result
            }
        }
    }
}

/// Everything there is.
pub fn all() -> Vec<Item> {
    let cases = cases::all().into_iter().map(|case| Item::Op(Box::new(case)));
    cases.chain(script::all().into_iter().map(Item::Script)).collect()
}

/// What belongs to a profile itself.
pub fn own(profile: Profile) -> Vec<Item> {
    all().into_iter().filter(|item| item.profile() == profile).collect()
}

/// Which part of a profile to run.
#[derive(Clone, Debug, Default)]
pub struct Selection {
    /// Only the short ones.
    pub quick: bool,
    /// Only names that match one of these patterns; all if there is none.
    pub filters: Vec<String>,
    /// Only part `i` of `n`, counted from 1: every n-th item.
    pub fraction: Option<(usize, usize)>,
}

impl Selection {
    /// True if it leaves out nothing.
    pub fn is_complete(&self) -> bool {
        !self.quick && self.filters.is_empty() && self.fraction.is_none()
    }

    /// The items of a profile that it selects. `perf` measures the operators of `v4`.
    pub fn of(&self, profile: Profile) -> Vec<Item> {
        let wanted = |item: &Item| match profile {
            Profile::Perf => item.profile() == Profile::Perf,
            _ => profile.includes(item.profile()),
        };
        let named =
            |item: &Item| self.filters.is_empty() || self.filters.iter().any(|f| crate::glob::glob(f, item.id()));
        let kept = all().into_iter().filter(wanted).filter(|item| !self.quick || item.quick()).filter(named);
        match self.fraction {
            None => kept.collect(),
            Some((i, n)) => kept.enumerate().filter(|(k, _)| k % n.max(1) == i - 1).map(|(_, item)| item).collect(),
        }
    }
}

/// Every item by its name, for whoever looks up many.
pub struct Index(HashMap<String, Item>);

impl Default for Index {
    fn default() -> Index {
        Index(all().into_iter().map(|item| (item.id().to_owned(), item)).collect())
    }
}

impl Index {
    /// As [`find`].
    pub fn find(&self, id: &str) -> Result<Item, String> {
        self.0.get(id).cloned().map_or_else(|| find(id), Ok)
    }
}

/// The item of that name, or the case that a JSON text spells ([`Spelled`]).
pub fn find(id: &str) -> Result<Item, String> {
    if id.trim_start().starts_with('{') {
        let spelled: Spelled = serde_json::from_str(id).map_err(|e| format!("the case is not spelled right: {e}"))?;
        return Ok(Item::Op(Box::new(spelled.case()?)));
    }
    all()
        .into_iter()
        .find(|item| item.id() == id)
        .ok_or_else(|| format!("no case is named `{id}`: `omnihal conform --list` names them all"))
}
