//! Files beside the libraries that say what is installed. Their places are those of the vendor's installers.

use super::Examination;
use crate::toolkit::search::Env;
use std::io::Read;
use std::path::Path;

/// A version file is a few lines; a larger file is something else.
const LIMIT: u64 = 64 << 10;
/// Where the driver's installer writes its version.
const DRIVER: &str = "/usr/local/Ascend/driver/version.info";
/// Folders of compiled kernels below the operator package.
const KERNELS: &str = "built-in/op_impl/ai_core/tbe/kernel";

/// The lines of a version file that name a version, joined.
fn version(file: &Path) -> Option<String> {
    let mut text = String::new();
    std::fs::File::open(file).ok()?.take(LIMIT).read_to_string(&mut text).ok()?;
    let lines: Vec<_> = text.lines().map(str::trim).filter(|line| line.to_lowercase().contains("version")).collect();
    (!lines.is_empty()).then(|| lines.join(", "))
}

/// Folders inside a folder, in order.
fn folders(inside: &Path) -> Vec<String> {
    let entries = std::fs::read_dir(inside).into_iter().flatten().flatten();
    let mut names: Vec<_> =
        entries.filter(|e| e.path().is_dir()).map(|e| e.file_name().to_string_lossy().into_owned()).collect();
    names.sort();
    names
}

/// Notes driver and operator package.
pub(super) fn look(env: Env<'_>, all: &mut Examination) {
    match version(Path::new(DRIVER)) {
        Some(version) => all.found("driver", version),
        None => all.missing(
            format!("the driver's {DRIVER}"),
            "without the driver no device is seen; in a container its files must be mounted",
        ),
    }
    let Some(opp) = env("ASCEND_OPP_PATH").filter(|path| !path.is_empty()) else {
        return all.missing("$ASCEND_OPP_PATH", "no operator can be prepared: source CANN's set_env.sh");
    };
    let opp = Path::new(&opp);
    if let Some(version) = version(&opp.join("version.info")) {
        all.found("operator package", version);
    }
    let kernels = folders(&opp.join(KERNELS));
    match kernels.is_empty() {
        false => all.found("kernels", kernels.join(", ")),
        true => all.missing(
            format!("compiled kernels in {}", opp.join(KERNELS).display()),
            "operators fail with 561003 or 561103: install the kernels package of the chip",
        ),
    }
}
