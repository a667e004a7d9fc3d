//! Writes the must-pass lists of the cases there are: `ci/conformance-lists` runs it.

use omnihal_conformance::lists;
use std::path::PathBuf;
use std::process::ExitCode;

fn main() -> ExitCode {
    let Some(folder) = std::env::args_os().nth(1).map(PathBuf::from) else {
        eprintln!("usage: must_pass_lists FOLDER");
        return ExitCode::from(2);
    };
    for profile in lists::LISTED {
        let file = folder.join(format!("{profile}.txt"));
        if let Err(error) = std::fs::write(&file, lists::generate(profile)) {
            eprintln!("{}: {error}", file.display());
            return ExitCode::from(2);
        }
    }
    // Planted mistakes are never removed either.
    let mistakes = omnihal_mutants::all().into_iter().filter(|v| v.class == omnihal_mutants::Class::Planted);
    let text: String = mistakes.map(|v| format!("{}\n", v.id)).collect();
    if let Err(error) = std::fs::write(folder.join("mistakes.txt"), text) {
        eprintln!("mistakes.txt: {error}");
        return ExitCode::from(2);
    }
    ExitCode::SUCCESS
}
