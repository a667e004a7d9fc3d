//! Old plug-ins with today's host, today's plug-ins with old hosts.
#![allow(clippy::unwrap_used, reason = "test helpers")]

#[path = "common/build.rs"]
mod build;

use build::{compile, crate_file, plugin};
use omnihal::op::copy;
use omnihal::{Args, Backend, DType, MemoryKind, Op, Shape, View};
use omnihal_abi::{Imported, Importer, LoadOptions, load, through_table_with};
use omnihal_cpu::CpuBackend;
use sha2::{Digest, Sha256};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

/// The headers as version 0.1 had them.
fn old_headers() -> PathBuf {
    crate_file("../../tests/plugin-sample/include-0.1")
}

#[test]
fn the_headers_of_version_0_1_never_change() {
    let frozen = [
        ("ohal_plugin.h", "3b2fa1e918e44703a9caf7ce53bebea42e84df4b81debf4d10455867fcbd6be3"),
        ("ohal_types.h", "f5965660323cbf2bc457af85e075841ce6e78c28fc177d61f1a16a692ffaafed"),
    ];
    for (file, expected) in frozen {
        let hash = Sha256::digest(std::fs::read(old_headers().join(file)).unwrap());
        let found: String = hash.iter().map(|b| format!("{b:02x}")).collect();
        assert_eq!(found, expected, "{file}");
    }
}

/// Lines of a header without comments, blank lines and the version.
fn declarations(header: &Path) -> Vec<String> {
    let text = std::fs::read_to_string(header).unwrap();
    let lines = text.lines().map(str::trim).filter(|l| !l.is_empty() && !l.starts_with("//"));
    lines.filter(|l| !l.starts_with("#define OHAL_ABI_MINOR")).map(str::to_owned).collect()
}

#[test]
fn today_s_headers_only_add_to_those_of_version_0_1() {
    for file in ["ohal_plugin.h", "ohal_types.h"] {
        let (old, new) = (declarations(&old_headers().join(file)), declarations(&crate_file("include").join(file)));
        let mut rest = new.iter();
        for line in &old {
            // The number of operators grows with the catalogue.
            let kept = line.starts_with("OHAL_OP_COUNT") || rest.any(|l| l == line);
            assert!(kept, "{file} no longer has `{line}` in its place");
        }
    }
}

/// Runs a fill and returns what the buffer holds.
fn fill(backend: &Imported) -> Vec<u8> {
    let device = backend.open(0).unwrap();
    let op: Op = copy::Fill { shape: Shape::from([5]), value: -0.5, dtype: DType::F32 }.into();
    let (stream, plan) = (device.stream().unwrap(), device.plan(&op).unwrap());
    let buffer = device.alloc(20, MemoryKind::Device).unwrap();
    let views = [Some(View::contiguous(buffer.mem(), DType::F32, [5]).unwrap())];
    let mut bytes = vec![0; 20];
    // SAFETY: the buffer outlives the work, which the read waits for.
    unsafe {
        stream.run(&*plan, &Args::new(&views)).unwrap();
        stream.read(buffer.mem(), &mut bytes, Duration::from_secs(20)).unwrap();
    }
    bytes
}

#[test]
fn a_plug_in_of_version_0_1_works_in_today_s_host() {
    for compiler in ["cc", "c++"] {
        let folder = tempfile::tempdir().unwrap();
        let path = plugin(compiler, &old_headers(), &[], folder.path());
        let backend = load(&path, &LoadOptions::default()).unwrap().backend;
        assert_eq!(backend.abi(), (0, 1));
        assert!(backend.missing_functions().contains(&"device_memory"));
        assert_eq!(backend.open(0).unwrap().memory_in_use(), None);
        assert_eq!(fill(&backend), (-0.5f32).to_ne_bytes().repeat(5));
    }
}

#[test]
fn today_s_plug_in_works_in_a_host_that_knows_version_0_1() {
    let folder = tempfile::tempdir().unwrap();
    let path = plugin("cc", &crate_file("include"), &[], folder.path());
    let options = LoadOptions { importer: Importer::new().minor(1), ..LoadOptions::default() };
    let exported = through_table_with(Box::new(CpuBackend), Importer::new().minor(1)).unwrap();
    for backend in [load(&path, &options).unwrap().backend, exported] {
        assert_eq!(backend.abi(), (0, 2));
        assert_eq!(backend.open(0).unwrap().memory_in_use(), None, "the host does not know of device_memory");
        assert_eq!(fill(&backend), (-0.5f32).to_ne_bytes().repeat(5));
    }
}

/// The CPU backend as a shared library.
fn exported() -> PathBuf {
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let profile: &[&str] = if cfg!(debug_assertions) { &[] } else { &["--release"] };
    let run = Command::new(cargo)
        .args(["build", "--quiet", "-p", "omnihal-abi", "--example", "exported"])
        .args(profile)
        .current_dir(crate_file(""))
        .output()
        .unwrap();
    assert!(run.status.success(), "{}", String::from_utf8_lossy(&run.stderr));
    let tests = std::env::current_exe().unwrap();
    tests.parent().and_then(Path::parent).unwrap().join("examples/libexported.so")
}

#[test]
fn a_c_host_of_version_0_1_loads_today_s_plug_ins() {
    let folder = tempfile::tempdir().unwrap();
    let today = plugin("cc", &crate_file("include"), &[], folder.path());
    for (include, known) in [(old_headers(), "host 0.1"), (crate_file("include"), "host 0.2")] {
        let host = folder.path().join(known.replace(' ', "-"));
        compile("cc", &include, &crate_file("tests/plugins/host.c"), &["-ldl"], &host);
        for path in [&today, &exported()] {
            let run = Command::new(&host).arg(path).output().unwrap();
            let said = String::from_utf8_lossy(&run.stdout);
            assert!(run.status.success() && said.ends_with("all well\n"), "{}: {said}", path.display());
            assert!(said.contains(&format!("{known}, plug-in 0.2")), "{said}");
        }
    }
}

#[test]
fn a_backend_that_was_built_as_a_library_loads_as_a_plug_in() {
    let loaded = load(&exported(), &LoadOptions::default()).unwrap();
    assert_eq!((loaded.backend.name(), loaded.backend.abi()), ("cpu", (0, 2)));
    assert_eq!(loaded.backend.missing_functions(), [] as [&str; 0]);
    assert_eq!(fill(&loaded.backend), (-0.5f32).to_ne_bytes().repeat(5));
    let error = loaded.backend.open(77).err().unwrap();
    assert_eq!(
        error,
        CpuBackend.open(77).err().unwrap(),
        "an error crosses between two copies of the standard library"
    );
}
