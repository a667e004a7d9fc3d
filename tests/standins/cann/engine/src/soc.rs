//! Which chip and release the stand-in plays.

use crate::abi::constants::aclDataType;

/// A generation of chips.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Soc {
    /// Atlas A2.
    A2,
    /// Atlas A3.
    A3,
    /// Ascend 950.
    A950,
}

fn asked() -> String {
    std::env::var("FAKE_CANN_SOC").unwrap_or_else(|_| "Ascend910B2".to_owned())
}

/// What the chip calls itself, with a word that no chip has.
pub fn name() -> String {
    format!("{} (stand-in)", asked())
}

/// The release, with a word that no release has: `FAKE_CANN_VERSION`, or 8.5.1.
pub fn version() -> String {
    format!("{}-stand-in", std::env::var("FAKE_CANN_VERSION").unwrap_or_else(|_| "8.5.1".to_owned()))
}

/// The generation.
pub fn soc() -> Soc {
    let name = asked();
    match (name.starts_with("Ascend910_93"), name.starts_with("Ascend950")) {
        (true, _) => Soc::A3,
        (_, true) => Soc::A950,
        _ => Soc::A2,
    }
}

/// Whether tensors of a type exist on the chip: 8-bit and 4-bit floats and their scales only on the newest.
pub fn has(kind: aclDataType) -> bool {
    match kind.0 {
        34..=41 => soc() == Soc::A950,
        0..=12 | 27 => true,
        _ => false,
    }
}
