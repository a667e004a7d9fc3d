//! Prints the table of vendor functions: as C++ to compare with a header, as a listing, or as symbol names.
//!
//! `declarations acl|hccl|base|vllm [--plant NAME]`, `declarations count acl|...`, `declarations names acl|...`, `declarations listing`, `declarations symbols LIBRARY`

use omnihal_ascend::sys::declare::{self, Against};
use omnihal_ascend::sys::table::Library;
use std::process::ExitCode;

fn against(word: &str) -> Option<Against> {
    Some(match word {
        "acl" => Against::Acl,
        "hccl" => Against::Hccl,
        "base" => Against::Base,
        "vllm" => Against::Vllm,
        _ => return None,
    })
}

fn library(word: &str) -> Option<Library> {
    [Library::AscendCl, Library::NnopBase, Library::OpApi, Library::CustOpApi, Library::Hccl]
        .into_iter()
        .find(|library| library.files()[0] == word)
}

fn text(words: &[&str]) -> Option<String> {
    Some(match words {
        ["listing"] => declare::listing(),
        ["count", header] => format!("{}\n", against(header)?.functions().len()),
        ["names", header] => {
            against(header)?.functions().iter().map(|function| format!("{}\n", function.name)).collect()
        }
        ["symbols", file] => declare::symbols(library(file)?).join("\n") + "\n",
        [header] => declare::cpp(against(header)?, None),
        [header, "--plant", name] => {
            let header = against(header)?;
            header.functions().iter().find(|function| function.name == *name)?;
            declare::cpp(header, Some(name))
        }
        _ => return None,
    })
}

fn main() -> ExitCode {
    let words: Vec<String> = std::env::args().skip(1).collect();
    let words: Vec<&str> = words.iter().map(String::as_str).collect();
    match text(&words) {
        Some(text) => {
            print!("{text}");
            ExitCode::SUCCESS
        }
        None => {
            eprintln!(
                "asked for `{}`, expected `acl|hccl|base|vllm [--plant NAME]`, `count` or `names` and one of these, `listing` or `symbols FILE`",
                words.join(" ")
            );
            ExitCode::FAILURE
        }
    }
}
