//! Writes `include/ohal_types.h` and `layout.tsv` anew: run it after the operator catalogue or the interface has changed.

use std::path::Path;

fn main() -> std::io::Result<()> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    std::fs::write(root.join("include/ohal_types.h"), omnihal_abi::types_header())?;
    std::fs::write(root.join("layout.tsv"), omnihal_abi::layout_table())
}
