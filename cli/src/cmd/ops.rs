//! `omnihal ops`.

use crate::failure::{Failure, Outcome};
use crate::output;
use clap::Args;
use omnihal::OpKind;
use omnihal::op::{Tier, catalogue_markdown};
use serde::Serialize;
use std::fmt::Write;

/// Print the catalogue of operators: the boundary between the model and every chip
#[derive(Args)]
#[command(after_help = "\
Examples:
  omnihal ops
  omnihal ops --markdown > docs/ops.md
  omnihal ops --json")]
pub struct Ops {
    /// The whole catalogue with every field and argument, as Markdown
    #[arg(long, conflicts_with = "json")]
    markdown: bool,
    /// The whole catalogue as one JSON array
    #[arg(long)]
    json: bool,
}

#[derive(Serialize)]
struct Entry {
    name: &'static str,
    family: &'static str,
    tier: &'static str,
    doc: &'static str,
    fields: Vec<Item>,
    args: Vec<Argument>,
}

#[derive(Serialize)]
struct Item {
    name: &'static str,
    r#type: &'static str,
    doc: &'static str,
}

#[derive(Serialize)]
struct Argument {
    name: &'static str,
    role: String,
    optional: bool,
    doc: &'static str,
}

/// A tier as outputs spell it.
pub fn tier(tier: Tier) -> &'static str {
    match tier {
        Tier::Core => "core",
        Tier::Fused => "fused",
    }
}

fn entry(kind: &OpKind) -> Entry {
    let spec = kind.spec();
    Entry {
        name: spec.name,
        family: kind.family(),
        tier: tier(spec.tier),
        doc: spec.doc.trim(),
        fields: spec.fields.iter().map(|f| Item { name: f.name, r#type: f.ty, doc: f.doc.trim() }).collect(),
        args: spec
            .args
            .iter()
            .map(|a| {
                let role = format!("{:?}", a.role).to_lowercase();
                Argument { name: a.name, role, optional: a.optional, doc: a.doc.trim() }
            })
            .collect(),
    }
}

fn list() -> String {
    let mut out = String::new();
    for kind in OpKind::ALL.iter() {
        let first = kind.spec().doc.trim().lines().next().unwrap_or_default();
        // Writing to a String cannot fail.
        let _ = writeln!(out, "{:<24} {:<6} {}", kind.name(), tier(kind.spec().tier), first.trim());
    }
    let core = OpKind::ALL.iter().filter(|k| k.spec().tier == Tier::Core).count();
    let _ = writeln!(out, "{core} core, {} fused", OpKind::ALL.len() - core);
    out
}

impl Ops {
    pub fn run(self) -> Result<Outcome, Failure> {
        match (self.markdown, self.json) {
            (true, _) => output::text(catalogue_markdown())?,
            (_, true) => output::json(&OpKind::ALL.iter().map(entry).collect::<Vec<_>>())?,
            _ => output::text(list())?,
        }
        Ok(Outcome::Good)
    }
}
