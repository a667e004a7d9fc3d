//! The must-pass lists: which cases a profile requires, by name.
//!
//! A list is a text file, three lines of head and one name a line:
//!
//! ```text
//! # omnihal must-pass list
//! # version 1
//! # profile core
//! gemm.linear/rows=1,.../normal/dense
//! ```

use super::ReportError;
use crate::Profile;
use sha2::{Digest, Sha256};
use std::collections::{BTreeMap, HashSet};
use std::fmt::Write;

/// Longest name of a case.
pub const MAX_ID: usize = 4096;
/// Most cases of a list or of a report: far above any kit, small enough to be held.
pub const MAX_CASES: usize = 200_000;

const HEAD: &str = "# omnihal must-pass list";

/// The must-pass lists of one version.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct MustPass {
    /// Their version, as `1`.
    pub version: String,
    lists: BTreeMap<Profile, Vec<String>>,
}

impl MustPass {
    /// Lists without a case.
    pub fn new(version: &str) -> MustPass {
        MustPass { version: version.to_owned(), lists: BTreeMap::new() }
    }

    /// Adds a profile's list.
    #[must_use]
    pub fn with(mut self, profile: Profile, ids: impl IntoIterator<Item = impl Into<String>>) -> MustPass {
        self.lists.insert(profile, ids.into_iter().map(Into::into).collect());
        self
    }

    /// Reads the files of one version.
    pub fn parse<'a>(texts: impl IntoIterator<Item = &'a str>) -> Result<MustPass, ReportError> {
        let mut all = MustPass::default();
        for text in texts {
            let (version, profile, ids) = parse_one(text)?;
            if !all.lists.is_empty() && version != all.version {
                let why = format!("version {version} beside version {}, all lists must have one", all.version);
                return Err(ReportError::malformed(format!("must-pass list of {profile}"), why));
            }
            if all.lists.insert(profile, ids).is_some() {
                return Err(ReportError::malformed(format!("must-pass list of {profile}"), "is given twice"));
            }
            all.version = version;
        }
        Ok(all)
    }

    /// The cases that a profile requires.
    pub fn ids(&self, profile: Profile) -> &[String] {
        self.lists.get(&profile).map_or(&[], Vec::as_slice)
    }

    /// Profiles that have a list.
    pub fn profiles(&self) -> impl Iterator<Item = Profile> + '_ {
        self.lists.keys().copied()
    }

    /// The list of a profile as a file.
    pub fn text(&self, profile: Profile) -> String {
        let mut text = format!("{HEAD}\n# version {}\n# profile {profile}\n", self.version);
        for id in self.ids(profile) {
            let _ = writeln!(text, "{id}");
        }
        text
    }

    /// SHA-256 over all lists as files, one after the other in the order of the profiles.
    pub fn sha256(&self) -> String {
        let mut digest = Sha256::new();
        self.profiles().for_each(|p| digest.update(self.text(p)));
        super::hex(&digest.finalize())
    }
}

fn parse_one(text: &str) -> Result<(String, Profile, Vec<String>), ReportError> {
    let bad = |why: String| ReportError::malformed("must-pass list", why);
    let mut lines = text.lines();
    if lines.next() != Some(HEAD) {
        return Err(bad(format!("the first line must be `{HEAD}`")));
    }
    let mut head = |name: &str| {
        let line = lines.next().and_then(|l| l.strip_prefix(&format!("# {name} ")));
        line.map(str::to_owned).ok_or_else(|| bad(format!("line `# {name} ...` is missing from the head")))
    };
    let version = head("version")?;
    let profile: Profile = head("profile")?.parse().map_err(bad)?;
    let ids: Vec<String> = lines.map(str::to_owned).collect();
    if ids.len() > MAX_CASES {
        return Err(bad(format!("{profile} lists {} cases, at most {MAX_CASES} are read", ids.len())));
    }
    let mut seen = HashSet::new();
    for id in &ids {
        check_id(id).map_err(|why| bad(format!("{profile}: {why}")))?;
        if !seen.insert(id) {
            return Err(bad(format!("{profile} lists `{id}` twice")));
        }
    }
    Ok((version, profile, ids))
}

/// Whether a text can be the name of a case: one line, not empty, of bounded length.
pub(super) fn check_id(id: &str) -> Result<(), String> {
    if id.is_empty() || id.len() > MAX_ID || id.chars().any(char::is_control) {
        let shown: String = id.chars().filter(|c| !c.is_control()).take(80).collect();
        return Err(format!("`{shown}` is no name of a case: one line of 1 to {MAX_ID} bytes is expected"));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lists_read_as_they_were_written_and_their_hash_follows_from_every_name() {
        let lists = MustPass::new("3").with(Profile::Core, ["a/1", "b/2"]).with(Profile::Runtime, ["runtime/x"]);
        let texts: Vec<String> = lists.profiles().map(|p| lists.text(p)).collect();
        let read = MustPass::parse(texts.iter().map(String::as_str)).unwrap();
        assert_eq!(read, lists);
        let other = MustPass::new("3").with(Profile::Core, ["a/1", "b/3"]).with(Profile::Runtime, ["runtime/x"]);
        assert_ne!(read.sha256(), other.sha256());
        assert_ne!(read.sha256(), MustPass { version: "4".into(), ..lists }.sha256());
    }

    #[test]
    fn damaged_lists_are_refused_with_a_reason() {
        for (text, why) in [
            ("", "first line"),
            ("# omnihal must-pass list\n# profile core\n", "version"),
            ("# omnihal must-pass list\n# version 1\n# profile corn\n", "corn"),
            ("# omnihal must-pass list\n# version 1\n# profile core\na\na\n", "twice"),
            ("# omnihal must-pass list\n# version 1\n# profile core\na\n\nb\n", "no name"),
        ] {
            let error = MustPass::parse([text]).unwrap_err().to_string();
            assert!(error.contains(why), "{error}");
        }
        let one = "# omnihal must-pass list\n# version 1\n# profile core\na\n";
        let two = "# omnihal must-pass list\n# version 2\n# profile v4\na\n";
        assert!(MustPass::parse([one, two]).unwrap_err().to_string().contains("version 2 beside version 1"));
        assert!(MustPass::parse([one, one]).unwrap_err().to_string().contains("twice"));
    }
}
