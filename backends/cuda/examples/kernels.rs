//! Builds kernel images ahead: `kernels FOLDER --nvcc PATH | --nvrtc | --host COMPILER [--arch sm_80,sm_90a] [--option OPTION ...] [--sources FOLDER] [--family NAME]`.

use omnihal_cuda::kernels::{Compiler, build};
use std::path::PathBuf;
use std::process::ExitCode;

fn main() -> ExitCode {
    match run() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("{error}");
            ExitCode::FAILURE
        }
    }
}

fn run() -> Result<(), Box<dyn std::error::Error>> {
    let mut args = std::env::args().skip(1);
    let folder = PathBuf::from(args.next().ok_or("a folder is needed")?);
    let (mut compiler, mut archs, mut options, mut sources, mut family) =
        (None, "sm_80,sm_90a".to_owned(), Vec::new(), None, None);
    while let Some(arg) = args.next() {
        let mut value = || args.next().ok_or(format!("{arg} needs a value"));
        match arg.as_str() {
            "--nvcc" => compiler = Some(Compiler::Nvcc(value()?.into())),
            "--nvrtc" => compiler = Some(Compiler::Nvrtc),
            "--host" => compiler = Some(Compiler::Host(value()?.into(), Vec::new())),
            "--arch" => archs = value()?,
            "--option" => options.push(value()?),
            "--sources" => sources = Some(PathBuf::from(value()?)),
            "--family" => family = Some(value()?),
            other => return Err(format!("unknown argument {other}").into()),
        }
    }
    let compiler = match compiler.ok_or("--nvcc, --nvrtc or --host is needed")? {
        Compiler::Host(name, _) => Compiler::Host(name, options),
        other => other,
    };
    let archs: Vec<_> = archs.split(',').collect();
    Ok(build(&compiler, &folder, &archs, sources.as_deref(), &|name| {
        family.as_deref().is_none_or(|wanted| wanted == name)
    })?)
}
