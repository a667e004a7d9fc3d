//! Versions, chips, and which signatures are safe to call with them.

use crate::sys::table::Profile;
use omnihal::{Error, ErrorKind, Result};
use sha2::{Digest, Sha256};
use std::fmt;
use std::path::Path;

/// A release of CANN.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Version {
    /// First number.
    pub major: u32,
    /// Second number.
    pub minor: u32,
}

impl Version {
    /// Reads `9.1.0`, `8.5.1`, `8.0.RC1.alpha001`.
    pub fn parse(text: &str) -> Option<Self> {
        let mut parts = text.trim().split('.');
        let major = parts.next()?.parse().ok()?;
        let minor = parts.next()?.parse().ok()?;
        Some(Version { major, minor })
    }
}

impl fmt::Display for Version {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}", self.major, self.minor)
    }
}

/// A generation of chips.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Soc {
    /// Atlas A2: Ascend 910B.
    A2,
    /// Atlas A3: Ascend 910_93.
    A3,
    /// Ascend 950.
    A950,
}

impl Soc {
    /// The generation of a chip that the runtime calls `name`.
    pub fn of(name: &str) -> Result<Self> {
        // The order matters to nothing: no prefix is another's.
        for (prefix, soc) in [("Ascend910B", Soc::A2), ("Ascend910_93", Soc::A3), ("Ascend950", Soc::A950)] {
            if name.starts_with(prefix) {
                return Ok(soc);
            }
        }
        Err(Error::unsupported(format!(
            "the chip calls itself `{name}`, supported are Ascend910B (Atlas A2), Ascend910_93 (Atlas A3) and Ascend950: use another backend"
        )))
    }

    /// Bytes behind an allocation that operators may read, beside rounding up to 32.
    pub fn slack(self) -> usize {
        match self {
            Soc::A2 | Soc::A3 => 32,
            Soc::A950 => 0,
        }
    }
}

/// Oldest and newest release whose plain operators take the parameters of our table.
const CORE: [Version; 2] = [Version { major: 8, minor: 0 }, Version { major: 9, minor: 1 }];
/// The release whose fused operators the table has. Neighbours differ.
const FUSED: Version = Version { major: 9, minor: 1 };

/// Checksums of `libcust_opapi.so` in the wheels of vllm-ascend 0.23.0, whose headers the table was compared with. Its own version file names a
/// compiler only.
const VLLM_0_23: [(&str, &str); 2] = [
    ("x86_64", "c44c0072a58bfdef72b7dc3e8ad033863407502ad2ef7d67553f84f9cf9a2fc6"),
    ("aarch64", "cc5d3f37c4601c99a6b40b21b0b23d92f037a00b1f8eb1575d8112e52520cfa2"),
];

/// Whether operators of a profile may be called with this release; if not, why.
pub fn operators_match(profile: Profile, version: Option<Version>) -> Result<()> {
    let named =
        || version.map_or_else(|| "the runtime names no release".to_owned(), |found| format!("the release is {found}"));
    let fits = match (profile, version) {
        // Runtimes from before the version query are older than the newest release of the list.
        (Profile::Core, version) => version.is_none_or(|found| CORE[0] <= found && found <= CORE[1]),
        (Profile::Fused91, version) => version == Some(FUSED),
        _ => true,
    };
    match (fits, profile) {
        (true, _) => Ok(()),
        (false, Profile::Fused91) => {
            Err(Error::unsupported(format!("{}, the signatures of fused operators are those of {FUSED}", named())))
        }
        (false, _) => {
            let [oldest, newest] = CORE;
            Err(Error::unsupported(format!(
                "{}, the signatures of operators are those of {oldest} to {newest}",
                named()
            )))
        }
    }
}

/// Whether a file is the library of operators that the table was compared with, or the one that a user vouches for; if not, why.
pub fn is_vllm_0_23(file: &Path, vouched: Option<&str>) -> Result<()> {
    let bytes =
        std::fs::read(file).map_err(|found| Error::new(ErrorKind::Io, format!("{}: {found}", file.display())))?;
    let sum: String = Sha256::digest(bytes).iter().map(|byte| format!("{byte:02x}")).collect();
    match VLLM_0_23.iter().map(|(_, known)| *known).chain(vouched).any(|known| known.eq_ignore_ascii_case(&sum)) {
        true => Ok(()),
        false => Err(Error::unsupported(format!(
            "{} is not that of vllm-ascend 0.23.0 (sha256 {sum}): its operators may take other parameters",
            file.display()
        ))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn releases_are_read_with_and_without_a_candidate() {
        let version = |major, minor| Some(Version { major, minor });
        for (text, expected) in [
            ("8.5.1", version(8, 5)),
            ("9.1.0\n", version(9, 1)),
            ("8.0.RC1.alpha001", version(8, 0)),
            ("9", None),
            ("", None),
            ("loopback", None),
            ("99999999999.0", None),
        ] {
            assert_eq!(Version::parse(text), expected, "{text}");
        }
    }

    #[test]
    fn chips_are_told_by_their_names_and_others_are_refused_by_name() {
        for (name, soc) in [
            ("Ascend910B1", Soc::A2),
            ("Ascend910B2C", Soc::A2),
            ("Ascend910_9382", Soc::A3),
            ("Ascend950PR_9599", Soc::A950),
        ] {
            assert_eq!(Soc::of(name).unwrap(), soc);
        }
        for name in ["Ascend910", "Ascend910A", "Ascend910ProB", "Ascend310P3", ""] {
            let error = Soc::of(name).unwrap_err();
            assert_eq!(error.kind(), ErrorKind::Unsupported);
            assert!(error.message().contains(&format!("`{name}`")), "{error}");
        }
    }

    #[test]
    fn operators_are_called_only_with_the_releases_of_their_signatures() {
        let at = |major, minor| Some(Version { major, minor });
        for (profile, version, fits) in [
            (Profile::Core, at(8, 0), true),
            (Profile::Core, at(8, 5), true),
            (Profile::Core, at(9, 1), true),
            (Profile::Core, None, true),
            (Profile::Core, at(7, 3), false),
            (Profile::Core, at(9, 2), false),
            (Profile::Fused91, at(9, 1), true),
            (Profile::Fused91, at(9, 0), false),
            (Profile::Fused91, at(9, 2), false),
            (Profile::Fused91, None, false),
        ] {
            assert_eq!(operators_match(profile, version).is_ok(), fits, "{profile:?} {version:?}");
        }
        assert_eq!(
            operators_match(Profile::Fused91, at(8, 5)).unwrap_err().message(),
            "the release is 8.5, the signatures of fused operators are those of 9.1"
        );
    }

    #[test]
    fn a_package_of_operators_is_known_by_its_bytes_alone() {
        let folder = tempfile::TempDir::new().unwrap();
        let file = folder.path().join("libcust_opapi.so");
        std::fs::write(&file, b"").unwrap();
        let error = is_vllm_0_23(&file, None).unwrap_err();
        // The checksum of nothing, a published constant.
        assert!(
            error.message().contains("e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"),
            "{error}"
        );
        assert!(is_vllm_0_23(&folder.path().join("absent"), None).is_err());
        let vouched = "E3B0C44298FC1C149AFBF4C8996FB92427AE41E4649B934CA495991B7852B855";
        assert!(is_vllm_0_23(&file, Some(vouched)).is_ok());
        std::fs::write(&file, b"changed").unwrap();
        assert!(is_vllm_0_23(&file, Some(vouched)).is_err());
    }
}
