//! The headers: made from the catalogue, valid C11 and C++17, and laid out as the Rust side believes.
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "test helpers")]

use std::fmt::Write;
use std::path::{Path, PathBuf};
use std::process::Command;

fn root() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
}

fn read(path: &str) -> String {
    std::fs::read_to_string(root().join(path)).unwrap()
}

/// Compiles with every warning an error. A compiler that is not there fails the test.
fn compile(compiler: &str, standard: &str, source: &Path, output: &Path) {
    let run = Command::new(compiler)
        .args([standard, "-Wall", "-Wextra", "-Werror", "-pedantic", "-c", "-o"])
        .arg(output)
        .arg("-I")
        .arg(root().join("include"))
        .arg(source)
        .output()
        .unwrap_or_else(|e| panic!("{compiler} does not start: {e}"));
    assert!(run.status.success(), "{compiler} {standard}:\n{}", String::from_utf8_lossy(&run.stderr));
}

#[test]
fn the_types_header_is_what_the_catalogue_makes() {
    assert_eq!(
        read("include/ohal_types.h"),
        omnihal_abi::types_header(),
        "run `cargo run -p omnihal-abi --example header`"
    );
}

#[test]
fn the_layout_table_is_what_the_rust_side_has() {
    assert_eq!(read("layout.tsv"), omnihal_abi::layout_table(), "run `cargo run -p omnihal-abi --example header`");
}

/// One assertion for each row of the layout table.
fn layout_program(assertion: &str) -> String {
    let mut program = String::from("#include \"ohal_plugin.h\"\n#include <stddef.h>\n");
    for line in read("layout.tsv").lines().skip(1) {
        let [name, field, offset, size] = line.split('\t').collect::<Vec<_>>()[..] else { panic!("{line}") };
        if field == "-" {
            writeln!(program, "{assertion}(sizeof({name}) == {size}, \"{name}\");").unwrap();
        } else {
            writeln!(program, "{assertion}(offsetof({name}, {field}) == {offset}, \"{name}.{field}\");").unwrap();
            writeln!(program, "{assertion}(sizeof((({name} *)0)->{field}) == {size}, \"{name}.{field}\");").unwrap();
        }
    }
    program + "int ohal_layout_checked;\n"
}

#[test]
fn c_and_cpp_compilers_lay_the_structs_out_alike_without_a_warning() {
    let folder = tempfile::tempdir().unwrap();
    let (c, cpp) = (folder.path().join("layout.c"), folder.path().join("layout.cc"));
    std::fs::write(&c, layout_program("_Static_assert")).unwrap();
    std::fs::write(&cpp, layout_program("static_assert")).unwrap();
    compile("cc", "-std=c11", &c, &folder.path().join("c.o"));
    compile("c++", "-std=c++17", &cpp, &folder.path().join("cpp.o"));
}

/// Constants of `OHAL_...` lists by name, from the header's text.
fn constants(header: &str) -> Vec<(String, u64)> {
    let entry = |line: &str| {
        let (name, value) = line.trim().strip_suffix(',')?.split_once(" = ")?;
        Some((name.to_owned(), value.parse().ok()?))
    };
    header.lines().filter_map(entry).collect()
}

#[test]
fn every_operator_argument_and_element_type_has_its_constant() {
    let constants = constants(&read("include/ohal_types.h"));
    let value = |name: String| constants.iter().find(|(n, _)| *n == name).unwrap_or_else(|| panic!("{name}")).1;
    for kind in omnihal::OpKind::ALL {
        let name = kind.name().replace('.', "_").to_uppercase();
        assert_eq!(value(format!("OHAL_OP_{name}")), *kind as u64);
        for (place, arg) in kind.spec().args.iter().enumerate() {
            assert_eq!(value(format!("OHAL_{name}_{}", arg.name.to_uppercase())), place as u64);
        }
    }
    for dtype in omnihal::DType::ALL {
        assert_eq!(value(format!("OHAL_DTYPE_{}", dtype.name())), dtype as u64);
    }
}

#[test]
fn every_member_is_preceded_by_a_comment() {
    let header = read("include/ohal_types.h");
    let mut members = 0;
    for (above, line) in header.lines().zip(header.lines().skip(1)) {
        if line.starts_with("    ") && !line.trim_start().starts_with("//") && line.ends_with(';') {
            assert!(above.trim_start().starts_with("//"), "no comment above `{line}`");
            members += 1;
        }
    }
    assert!(members > 300, "{members}");
}
