//! The catalogue as a document.

use super::{FAMILIES, OpKind, Role, Tier};
use std::fmt::Write;

/// The whole catalogue as Markdown: `docs/ops.md` is this text.
pub fn catalogue_markdown() -> String {
    let mut out = String::from(
        "# Operators\n\n<!-- made by `omnihal ops --markdown`; do not edit -->\n\n\
         The boundary between the model and every chip. `core` operators run the whole model; `fused` operators make it fast.\n",
    );
    for family in FAMILIES {
        let _ = write!(out, "\n## {family}\n");
        for kind in OpKind::ALL.iter().filter(|k| k.family() == family) {
            write_operator(&mut out, *kind);
        }
    }
    out
}

fn write_operator(out: &mut String, kind: OpKind) {
    let spec = kind.spec();
    let tier = match spec.tier {
        Tier::Core => "core",
        Tier::Fused => "fused",
    };
    // Writing to a String cannot fail.
    let _ = write!(out, "\n### `{}` ({tier})\n\n", spec.name);
    for line in spec.doc.lines() {
        let _ = writeln!(out, "{}", line.trim());
    }
    let _ = write!(out, "\n| field | type | meaning |\n|---|---|---|\n");
    for field in spec.fields {
        let _ = writeln!(out, "| `{}` | `{}` | {} |", field.name, field.ty, field.doc.trim());
    }
    let _ = write!(out, "\n| argument | role | meaning |\n|---|---|---|\n");
    for arg in spec.args {
        let role = match arg.role {
            Role::Read => "in",
            Role::Write => "out",
            Role::Update => "in, out",
        };
        let optional = if arg.optional { ", optional" } else { "" };
        let _ = writeln!(out, "| `{}` | {role}{optional} | {} |", arg.name, arg.doc.trim());
    }
}
