//! The table of variants: other honest ways to compute, and mistakes that a judge must find.

use crate::{ops, stream};
use omnihal::OpKind;

/// What a variant is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Class {
    /// Another legal way to compute: no judge may object.
    Honest,
    /// A mistake: a judge must find it.
    Planted,
}

/// One change of one kernel.
#[derive(Debug)]
pub struct Variant {
    /// `family.words_with_underscores`.
    pub id: &'static str,
    /// Honest or planted.
    pub class: Class,
    /// Operators whose kernels it changes; empty for variants of streams and memory.
    pub ops: &'static [OpKind],
    /// What it does, in one sentence.
    pub what: &'static str,
    /// Why no legal input can show a planted one. Such a variant stays in the table, for the reason to be read.
    pub equivalent: Option<&'static str>,
}

impl Variant {
    /// An honest variant.
    pub const fn honest(id: &'static str, ops: &'static [OpKind], what: &'static str) -> Variant {
        Variant { id, class: Class::Honest, ops, what, equivalent: None }
    }

    /// A planted mistake.
    pub const fn planted(id: &'static str, ops: &'static [OpKind], what: &'static str) -> Variant {
        Variant { id, class: Class::Planted, ops, what, equivalent: None }
    }

    /// A planted mistake that no legal input can show.
    pub const fn equivalent(
        id: &'static str,
        ops: &'static [OpKind],
        what: &'static str,
        why: &'static str,
    ) -> Variant {
        Variant { id, class: Class::Planted, ops, what, equivalent: Some(why) }
    }

    /// The part of the id before the dot.
    pub fn family(&self) -> &'static str {
        self.id.split('.').next().unwrap_or_default()
    }
}

/// Every variant, by family.
pub fn all() -> Vec<&'static Variant> {
    ops::TABLES.iter().chain([&stream::VARIANTS]).flat_map(|table| table.iter()).collect()
}

/// The variant of that id.
pub fn find(id: &str) -> Option<&'static Variant> {
    all().into_iter().find(|v| v.id == id)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::HashSet;

    #[test]
    fn ids_are_distinct_and_lie_in_the_family_of_their_operators() {
        let mut seen = HashSet::new();
        for v in all() {
            assert!(seen.insert(v.id), "{} occurs twice", v.id);
            assert!(v.ops.iter().all(|op| op.family() == v.family()), "{} changes another family", v.id);
            assert!(v.ops.is_empty() == (v.family() == "stream"), "{} names no operator", v.id);
        }
    }

    /// The text of every source file below `dir`.
    fn source(dir: &std::path::Path) -> String {
        let entries = std::fs::read_dir(dir).unwrap().map(|e| e.unwrap().path());
        entries.map(|p| if p.is_dir() { source(&p) } else { std::fs::read_to_string(p).unwrap() }).collect()
    }

    #[test]
    fn every_id_of_the_table_has_a_branch_in_a_kernel_and_every_branch_an_id() {
        let text = source(std::path::Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/src")));
        for v in all() {
            let uses = text.matches(&format!("\"{}\"", v.id)).count();
            // Branches that several families share ask for the part after the dot.
            let shared = v.id.split_once('.').is_some_and(|id| text.contains(&format!("\"{}\"", id.1)));
            assert!(uses > 1 || shared || v.id == "stream.slow_engine", "nothing does {}", v.id);
        }
        for asked in text.split("is(\"").skip(1).filter_map(|rest| rest.split('"').next()) {
            assert!(find(asked).is_some(), "no variant is called {asked}");
        }
    }
}
