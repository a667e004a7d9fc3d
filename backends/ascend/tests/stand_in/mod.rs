//! The backend over the stand-ins for CANN's libraries, staged as an installation is. Each test file is a process of its own: a device that failed stays so.
#![allow(dead_code, clippy::unwrap_used, missing_docs, reason = "test helpers, not all used by every file")]

use omnihal::{Args, Backend, Buffer, DType, Device, MemoryKind, Op, Result, Shape, Stream, View};
use omnihal_ascend::AscendBackend;
use sha2::Digest;
use std::ffi::{CString, c_char};
use std::sync::Arc;
use std::time::Duration;

pub const LIMIT: Duration = Duration::from_secs(60);

/// The stand-ins, and the functions by which a test looks into them.
pub struct StandIn {
    library: libloading::Library,
    _folder: tempfile::TempDir,
}

impl StandIn {
    /// Puts the stand-ins into an installation and its name into the environment.
    pub fn stage(chip: &str) -> StandIn {
        let folder = tempfile::tempdir().unwrap();
        let (lib, opp) = (folder.path().join("lib64"), folder.path().join("opp"));
        std::fs::create_dir(&lib).unwrap();
        std::fs::create_dir(&opp).unwrap();
        let built = std::env::current_exe().unwrap();
        for name in ["ascendcl", "nnopbase", "opapi", "hccl"] {
            let from = built.with_file_name(format!("libfake_{name}.so"));
            std::fs::copy(from, lib.join(format!("lib{name}.so"))).unwrap();
        }
        // SAFETY: the test has started no thread yet.
        unsafe {
            std::env::set_var("ASCEND_TOOLKIT_HOME", folder.path());
            std::env::set_var("ASCEND_OPP_PATH", &opp);
            std::env::set_var("FAKE_CANN_SOC", chip);
        }
        // SAFETY: the stand-in has no constructors.
        let library = unsafe { libloading::Library::new(lib.join("libascendcl.so")) }.unwrap();
        StandIn { library, _folder: folder }
    }

    /// As [`StandIn::stage`], of the release that has fused operators, with the package of vllm-ascend if asked for.
    pub fn stage_fused(chip: &str, package: bool) -> StandIn {
        let cann = StandIn::stage(chip);
        let built = std::env::current_exe().unwrap();
        let copy = |name: &str, to: &std::path::Path| std::fs::copy(built.with_file_name(name), to).unwrap();
        copy("libfake_opapi_transformer.so", &cann._folder.path().join("lib64/libopapi_transformer.so"));
        // SAFETY: the test has started no thread yet.
        unsafe { std::env::set_var("FAKE_CANN_VERSION", "9.1.0") };
        if package {
            let lib = cann._folder.path().join("custom/op_api/lib");
            std::fs::create_dir_all(&lib).unwrap();
            let file = lib.join("libcust_opapi.so");
            copy("libfake_cust_opapi.so", &file);
            let sum = sha2::Sha256::digest(std::fs::read(&file).unwrap());
            let sum: String = sum.iter().map(|byte| format!("{byte:02x}")).collect();
            // SAFETY: as above.
            unsafe {
                std::env::set_var("ASCEND_CUSTOM_OPP_PATH", cann._folder.path().join("custom"));
                std::env::set_var("OMNIHAL_ASCEND_CUSTOM_SHA256", sum);
            }
        }
        cann
    }

    /// Plans mistakes of fused operators.
    pub fn wrong(&self, mistakes: &str) {
        let mistakes = CString::new(mistakes).unwrap();
        // SAFETY: the stand-in's own function.
        unsafe {
            self.library.get::<unsafe extern "C" fn(*const c_char)>("fake_cann_wrong").unwrap()(mistakes.as_ptr())
        }
    }

    pub fn open(&self) -> Arc<dyn Device> {
        self.device(0)
    }

    pub fn device(&self, index: usize) -> Arc<dyn Device> {
        AscendBackend.open(index).unwrap()
    }

    /// Calls of a function so far.
    pub fn calls(&self, name: &str) -> u64 {
        let name = CString::new(name).unwrap();
        // SAFETY: the stand-in's own function.
        unsafe {
            self.library.get::<unsafe extern "C" fn(*const c_char) -> u64>("fake_cann_calls").unwrap()(name.as_ptr())
        }
    }

    /// Makes a later call fail.
    pub fn fail(&self, name: &str, after: u64, code: i32) {
        let name = CString::new(name).unwrap();
        // SAFETY: the stand-in's own function.
        unsafe {
            self.library.get::<unsafe extern "C" fn(*const c_char, u64, i32)>("fake_cann_fail").unwrap()(
                name.as_ptr(),
                after,
                code,
            )
        }
    }

    /// Live streams, events, graphs, device blocks, pinned blocks, tensors, other objects, executors.
    pub fn live(&self) -> [u64; 8] {
        let mut counts = [0; 8];
        // SAFETY: the stand-in's own function.
        unsafe { self.library.get::<unsafe extern "C" fn(*mut [u64; 8])>("fake_cann_live").unwrap()(&mut counts) };
        counts
    }

    /// Rules that were broken since the last question.
    pub fn broken(&self) -> String {
        let mut text = vec![0u8; 1 << 16];
        // SAFETY: the stand-in's own function; the place has this many bytes.
        unsafe {
            self.library.get::<unsafe extern "C" fn(*mut c_char, usize) -> u64>("fake_cann_broken").unwrap()(
                text.as_mut_ptr().cast(),
                text.len(),
            )
        };
        let end = text.iter().position(|&b| b == 0).unwrap();
        String::from_utf8_lossy(&text[..end]).into_owned()
    }
}

/// Runs an operator on f32 inputs, once; gives the outputs' f32 values in the order of the arguments. `None` is an output of that many elements.
pub fn run(
    device: &dyn Device,
    stream: &dyn Stream,
    op: &Op,
    args: &[(DType, Shape, Option<Vec<f32>>)],
) -> Result<Vec<Vec<f32>>> {
    let plan = device.plan(op)?;
    let mut buffers: Vec<Buffer> = Vec::new();
    let mut views = Vec::new();
    for (dtype, shape, values) in args {
        let buffer = device.alloc(dtype.bytes(shape.elements()), MemoryKind::Device)?;
        if let Some(values) = values {
            let bytes: Vec<u8> = match dtype {
                DType::I32 => values.iter().flat_map(|v| (*v as i32).to_le_bytes()).collect(),
                _ => values.iter().flat_map(|v| v.to_le_bytes()).collect(),
            };
            // SAFETY: the buffer outlives the stream's work, which is waited for.
            unsafe { stream.write(buffer.mem(), &bytes)? };
        }
        views.push(Some(View::contiguous(buffer.mem(), *dtype, *shape)?));
        buffers.push(buffer);
    }
    let workspace = device.alloc(plan.workspace_for(&views)?.max(1), MemoryKind::Device)?;
    let mut call = Args::new(&views);
    call.workspace = workspace.mem();
    // SAFETY: as above.
    let ran = unsafe { stream.run(&*plan, &call) };
    stream.sync(LIMIT)?;
    ran?;
    let mut outputs = Vec::new();
    for ((_, _, values), buffer) in args.iter().zip(&buffers) {
        if values.is_none() {
            let mut bytes = vec![0; buffer.len()];
            // SAFETY: as above.
            unsafe { stream.read(buffer.mem(), &mut bytes, LIMIT)? };
            outputs.push(bytes.chunks(4).map(|b| f32::from_le_bytes(b.try_into().unwrap())).collect());
        }
    }
    Ok(outputs)
}
