//! The text of `include/ohal_types.h` and of `layout.tsv`, made from the operator catalogue.

use crate::codes::{
    AccumulationKind, Coded, EntriesKind, Entry, FormatKind, FuncKind, LayoutKind, RoutingKind, RowKind, SourceKind,
    SupportKind, WeightFormKind,
};
use crate::layout::{Struct, table};
use crate::{columns, sys, wire};
use omnihal::op::elementwise::{Arith, Cmp, Reduction};
use omnihal::op::sample::PARAMS;
use omnihal::op::{ActQuant, FAMILIES, OpSpec, QuantKind, Role, RowQuant, Tier};
use omnihal::{DType, Determinism, ErrorKind, MAX_RANK, MemoryKind, OpKind, Severity};
use std::fmt::Write;

const OPENING: &str = "\
// OmniHAL plug-in interface: types, operators, descriptors.
//
// Made by `cargo run -p omnihal-abi --example header` from the operator catalogue; do not edit. The functions are in ohal_plugin.h.
//
// Rules that hold everywhere:
// * Integers have fixed width; a switch is a uint32_t, 0 or 1; a word of a list is a uint32_t with the constants below. A number that a
//   reader does not know is legal: it answers \"unsupported\".
// * Structs marked \"plain data\" and the `..._desc` structs have no header. Plain data never changes; descriptors and all other structs
//   grow at their end only.
// * Members named `reserved` are 0.
// * Tensors: the last axis of an input is contiguous and rows may lie apart, except that elementwise.*, copy.copy and the outer axes of
//   gemm.batched take any strides.
// * An index below zero or out of range is absent. In pools and rings slot 0 and page 0 are null: all zero, never written; slot 1 and
//   page 1 are trash: never read.
// * \"f32 inside\" means: convert, compute, round once to nearest even. TF32, HF32 and fp16 accumulation are forbidden.
// * Rows that pad a batch (slot -1) are unspecified in outputs, must not fault, and no valid row depends on one.

#ifndef OHAL_TYPES_H
#define OHAL_TYPES_H

#include <stdint.h>
";

/// The text of `include/ohal_types.h`.
pub fn types_header() -> String {
    let mut h = Header(OPENING.to_owned());
    h.define("OHAL_NONE", "UINT32_MAX", "No element type, no operator.");
    h.define(
        "OHAL_UNKNOWN",
        "UINT64_MAX",
        "A number that nobody knows, such as a memory size that the vendor does not tell.",
    );
    h.define("OHAL_MAX_RANK", &MAX_RANK.to_string(), "Largest rank of a tensor.");
    h.define(
        "OHAL_MAX_ARGS",
        &crate::MAX_ARGS.to_string(),
        "Most arguments that a run has: the operator's own, step-table columns, prologue output.",
    );
    h.words::<ErrorKind>();
    h.words::<Severity>();
    h.words::<DType>();
    h.words::<SupportKind>();
    h.words::<Determinism>();
    h.words::<AccumulationKind>();
    h.words::<MemoryKind>();
    h.words::<LayoutKind>();
    h.words::<FormatKind>();
    h.words::<RowKind>();
    h.words::<WeightFormKind>();
    h.words::<ActQuant>();
    h.words::<QuantKind>();
    h.words::<RowQuant>();
    h.words::<FuncKind>();
    h.words::<Arith>();
    h.words::<Cmp>();
    h.words::<Reduction>();
    h.words::<SourceKind>();
    h.words::<EntriesKind>();
    h.words::<RoutingKind>();
    h.list(
        "ohal_column_kind",
        "Step-table columns: N rows, B sequences, R wanted rows, C closings, NT tiles of Q rows, Pm pages of a page table, E entries of a page\n\
         table, h halves and m positions of an entry. Every element has 4 bytes.",
        "OHAL_COLUMN_",
        columns::ENTRIES,
    );
    h.operator_numbers();
    sys::plain_structs().iter().for_each(|s| h.structure(s));
    for family in FAMILIES {
        let _ = write!(h.0, "\n// ---- {family} ----\n");
        OpKind::ALL.iter().filter(|k| k.family() == family).for_each(|k| h.operator(*k));
    }
    h.0.push_str("\n#endif\n");
    h.0
}

/// The text of `layout.tsv`: every struct, field, offset and size.
pub fn layout_table() -> String {
    let descriptors = OpKind::ALL.iter().map(|k| wire::descriptor_struct(*k));
    let all: Vec<_> = sys::plain_structs().into_iter().chain(descriptors).chain(sys::plugin_structs()).collect();
    table(&all)
}

/// A header under construction. Writing to a String cannot fail.
struct Header(String);

impl Header {
    fn comment(&mut self, indent: &str, text: &str) {
        for line in text.trim_matches('\n').lines() {
            // A `//` comment that ends in a backslash would go on in the next line.
            let line = line.strip_prefix(' ').unwrap_or(line).trim_end().trim_end_matches('\\');
            // A link of the Rust documentation says nothing to a reader of C.
            let line = line.replace("[`PARAMS`]", &PARAMS.join(", "));
            let gap = if line.is_empty() { "" } else { " " };
            let _ = writeln!(self.0, "{indent}//{gap}{line}");
        }
    }

    fn define(&mut self, name: &str, value: &str, doc: &str) {
        self.0.push('\n');
        self.comment("", doc);
        let _ = writeln!(self.0, "#define {name} {value}");
    }

    fn words<T: Coded>(&mut self) {
        self.list(T::C_TYPE, T::DOC, T::PREFIX, T::ENTRIES);
    }

    fn list(&mut self, c_type: &str, doc: &str, prefix: &str, entries: &[Entry]) {
        self.0.push('\n');
        self.comment("", doc);
        let _ = writeln!(self.0, "typedef uint32_t {c_type};\nenum {{");
        for entry in entries {
            self.comment("    ", entry.doc);
            let _ = writeln!(self.0, "    {prefix}{} = {},", entry.name, entry.code);
        }
        self.close_enum();
    }

    /// C++ allows a comma after the last constant, and so does C since C99.
    fn close_enum(&mut self) {
        self.0.push_str("};\n");
    }

    fn operator_numbers(&mut self) {
        self.0.push('\n');
        self.comment("", "Operators, in catalogue order. New ones come after the last.");
        self.0.push_str("typedef uint32_t ohal_op_kind;\nenum {\n");
        for kind in OpKind::ALL {
            let _ = writeln!(self.0, "    OHAL_OP_{} = {},", wire::c_name(*kind).to_uppercase(), *kind as u32);
        }
        let _ =
            writeln!(self.0, "    // Number of operators in this version.\n    OHAL_OP_COUNT = {},", OpKind::ALL.len());
        self.close_enum();
    }

    fn structure(&mut self, s: &Struct) {
        self.0.push('\n');
        self.comment("", &s.doc);
        let _ = writeln!(self.0, "typedef struct {} {{", s.name);
        for m in &s.members {
            self.comment("    ", &m.doc);
            let _ = writeln!(self.0, "    {};", m.text);
        }
        let _ = writeln!(self.0, "}} {};", s.name);
    }

    fn operator(&mut self, kind: OpKind) {
        let (spec, s) = (kind.spec(), wire::descriptor_struct(kind));
        let tier = match spec.tier {
            Tier::Core => "core",
            Tier::Fused => "fused",
        };
        let doc = format!("{} ({tier})\n\n{}", spec.name, spec.doc);
        self.structure(&Struct { doc, ..s });
        self.arguments(kind, spec);
    }

    fn arguments(&mut self, kind: OpKind, spec: &OpSpec) {
        let name = wire::c_name(kind).to_uppercase();
        let _ = writeln!(self.0, "\n// Arguments of {}, by their place.\nenum {{", spec.name);
        for (place, arg) in spec.args.iter().enumerate() {
            let role = match arg.role {
                Role::Read => "In",
                Role::Write => "Out",
                Role::Update => "In and out",
            };
            let optional = if arg.optional { ", optional" } else { "" };
            self.comment("    ", &format!("{role}{optional}: {}", arg.doc.trim()));
            let _ = writeln!(self.0, "    OHAL_{name}_{} = {place},", arg.name.to_uppercase());
        }
        let _ = writeln!(self.0, "    OHAL_{name}_ARGS = {},", spec.args.len());
        self.close_enum();
    }
}
