//! Compiling kernels: nvcc, NVRTC, and a host compiler for running their logic without a device.

use super::{families, source, sources, store};
use cudarc::nvrtc::sys as rtc;
use omnihal::{Error, ErrorKind, Result};
use std::ffi::{CStr, CString};
use std::path::{Path, PathBuf};
use std::process::Command;

/// Options that both vendor compilers take. Fused multiply-adds stay on; nothing is flushed and division is exact.
const OPTIONS: [&str; 3] = ["-std=c++17", "-ftz=false", "-prec-div=true"];

/// What makes images.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Compiler {
    /// The vendor's compiler driver, at this path.
    Nvcc(PathBuf),
    /// The vendor's compiler as a library.
    Nvrtc,
    /// A C++ compiler of the host, by this name or path, with further options: images are shared libraries that only a stand-in driver loads.
    Host(PathBuf, Vec<String>),
}

/// The compiler to use at run time: nvcc if it is found, else NVRTC.
pub(super) fn found() -> Result<Compiler> {
    if let Some(nvcc) = nvcc() {
        return Ok(Compiler::Nvcc(nvcc));
    }
    // SAFETY: only asks whether the library can be opened.
    if unsafe { rtc::is_culib_present() } {
        return Ok(Compiler::Nvrtc);
    }
    Err(Error::new(
        ErrorKind::NotFound,
        format!(
            "kernels must be compiled and no compiler was found: searched $CUDA_HOME/bin/nvcc, $CUDA_PATH/bin/nvcc, nvcc on $PATH and libnvrtc.so; \
             install one, or set {} to a folder of kernels built ahead",
            super::FOLDER
        ),
    ))
}

/// nvcc below the variables that name an installation, then on the path.
fn nvcc() -> Option<PathBuf> {
    let homes =
        ["CUDA_HOME", "CUDA_PATH"].into_iter().filter_map(std::env::var_os).map(|home| Path::new(&home).join("bin"));
    let path = std::env::var_os("PATH").unwrap_or_default();
    homes
        .chain(std::env::split_paths(&path))
        .filter(|folder| folder.is_absolute())
        .map(|folder| folder.join("nvcc"))
        .find(|file| file.is_file())
}

impl Compiler {
    /// Compiles a family for an architecture such as `sm_90a`.
    pub(super) fn image(&self, family: &str, arch: &str) -> Result<Vec<u8>> {
        tracing::info!(family, arch, compiler = ?self, "compiling kernels");
        match self {
            Compiler::Nvrtc => nvrtc(family, arch),
            _ => {
                let folder = Scratch::new()?;
                for (name, text) in sources(family)? {
                    std::fs::write(folder.0.join(name), text).map_err(|e| io(&folder.0, &e))?;
                }
                self.image_of(&folder.0, family, arch)
            }
        }
    }

    /// Compiles the file of a family in a folder that holds all sources.
    fn image_of(&self, sources: &Path, family: &str, arch: &str) -> Result<Vec<u8>> {
        let (input, folder) = (sources.join(format!("{family}.cu")), Scratch::new()?);
        let output = folder.0.join("image");
        let mut command = match self {
            Compiler::Nvcc(nvcc) => {
                let mut command = Command::new(nvcc);
                command
                    .args(OPTIONS)
                    .arg(format!("-gencode=arch={},code={arch}", arch.replace("sm_", "compute_")))
                    .arg("-cubin");
                command
            }
            Compiler::Host(compiler, options) => {
                let mut command = Command::new(compiler);
                command
                    .args([
                        "-x",
                        "c++",
                        "-std=c++17",
                        "-O2",
                        "-fPIC",
                        "-shared",
                        "-fno-strict-aliasing",
                        "-fno-gnu-unique",
                        "-fvisibility-inlines-hidden",
                        "-ffp-contract=off",
                        "-w",
                    ])
                    .args(options);
                command
            }
            Compiler::Nvrtc => return nvrtc(family, arch),
        };
        command.arg("-o").arg(&output).arg(&input);
        let run = command.output().map_err(|e| io(Path::new(command.get_program()), &e))?;
        if !run.status.success() {
            let words = String::from_utf8_lossy(&run.stderr).into_owned();
            return Err(Error::new(ErrorKind::InvalidInput, format!("{family} does not compile for {arch}: {words}")));
        }
        std::fs::read(&output).map_err(|e| io(&output, &e))
    }
}

fn io(path: &Path, error: &std::io::Error) -> Error {
    Error::new(ErrorKind::Io, format!("{}: {error}", path.display()))
}

/// A folder that is removed at the end.
struct Scratch(PathBuf);

impl Scratch {
    fn new() -> Result<Scratch> {
        use std::sync::atomic::{AtomicU32, Ordering::Relaxed};
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let name = format!("omnihal-cuda-{}-{}", std::process::id(), COUNT.fetch_add(1, Relaxed));
        let folder = std::env::temp_dir().join(name);
        // Fails if somebody else has made it: nothing of theirs may be compiled.
        std::fs::create_dir(&folder).map_err(|e| io(&folder, &e))?;
        Ok(Scratch(folder))
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        // What cannot be removed is left to the system's cleaning of temporary files.
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

/// Builds the images of all families for all of `archs` into `folder`. `sources` gives another folder of kernel files than the built-in text, for kernels that were
/// changed on purpose; the images then still say that they are of the built-in text.
pub fn build(
    compiler: &Compiler,
    folder: &Path,
    archs: &[&str],
    sources: Option<&Path>,
    wanted: &dyn Fn(&str) -> bool,
) -> Result<()> {
    for family in families().filter(|family| wanted(family)) {
        for arch in archs {
            let image = match sources {
                Some(sources) => compiler.image_of(sources, family, arch)?,
                None => compiler.image(family, arch)?,
            };
            store::write(folder, family, arch, &super::digest(family)?, &image)?;
        }
    }
    Ok(())
}

fn nvrtc(family: &str, arch: &str) -> Result<Vec<u8>> {
    // SAFETY: only asks whether the library can be opened.
    if !unsafe { rtc::is_culib_present() } {
        return Err(Error::new(ErrorKind::NotFound, "libnvrtc.so was not found"));
    }
    let c = |text: &str| CString::new(text).map_err(|_| Error::argument("a kernel text holds a zero byte"));
    let files =
        sources(family)?.into_iter().map(|(name, text)| Ok((c(&name)?, c(text)?))).collect::<Result<Vec<_>>>()?;
    let (names, texts): (Vec<_>, Vec<_>) = files.iter().map(|(n, t)| (n.as_ptr(), t.as_ptr())).unzip();
    let (text, name) = (c(source(family)?)?, c(&format!("{family}.cu"))?);
    let options =
        [&OPTIONS[..], &[format!("-arch={arch}").as_str()]].concat().into_iter().map(c).collect::<Result<Vec<_>>>()?;
    let options: Vec<_> = options.iter().map(|option| option.as_ptr()).collect();
    let mut program = std::ptr::null_mut();
    // SAFETY: all strings end with zero and live until the program is destroyed; sizes are asked for before bytes are fetched.
    unsafe {
        let made = rtc::nvrtcCreateProgram(
            &mut program,
            text.as_ptr(),
            name.as_ptr(),
            names.len() as i32,
            texts.as_ptr(),
            names.as_ptr(),
        );
        rtc_check(made, "nvrtcCreateProgram")?;
        let compiled = rtc::nvrtcCompileProgram(program, options.len() as i32, options.as_ptr());
        let image = if compiled == rtc::nvrtcResult::NVRTC_SUCCESS {
            fetch(program, rtc::nvrtcGetCUBINSize, rtc::nvrtcGetCUBIN)
        } else {
            let log = fetch(program, rtc::nvrtcGetProgramLogSize, rtc::nvrtcGetProgramLog)?;
            let words = String::from_utf8_lossy(&log).into_owned();
            Err(Error::new(ErrorKind::InvalidInput, format!("{family} does not compile for {arch}: {words}")))
        };
        let _ = rtc::nvrtcDestroyProgram(&mut program);
        image
    }
}

/// Fetches bytes whose size is asked for first.
///
/// # Safety
/// The program must be alive, and the two functions must belong together.
unsafe fn fetch(
    program: rtc::nvrtcProgram,
    size: unsafe fn(rtc::nvrtcProgram, *mut usize) -> rtc::nvrtcResult,
    bytes: unsafe fn(rtc::nvrtcProgram, *mut std::ffi::c_char) -> rtc::nvrtcResult,
) -> Result<Vec<u8>> {
    let mut len = 0;
    // SAFETY: passed on from the caller; the vector has the size that was told.
    unsafe {
        rtc_check(size(program, &mut len), "the size of a result")?;
        let mut result = vec![0u8; len];
        rtc_check(bytes(program, result.as_mut_ptr().cast()), "a result")?;
        Ok(result)
    }
}

fn rtc_check(code: rtc::nvrtcResult, call: &str) -> Result<()> {
    if code == rtc::nvrtcResult::NVRTC_SUCCESS {
        return Ok(());
    }
    // SAFETY: gives the address of a static string.
    let words = unsafe { CStr::from_ptr(rtc::nvrtcGetErrorString(code)) }.to_string_lossy().into_owned();
    Err(Error::new(ErrorKind::InvalidState, format!("NVRTC: {call}")).with_vendor(code as i64, words))
}
