//! Libraries that lack an operator or are of another release, over the stand-ins.
#![allow(clippy::unwrap_used, missing_docs, reason = "tests")]

mod stand_in;

use omnihal::op::norm::Rms;
use omnihal::{Backend, DType, ErrorKind, Op, Support};
use omnihal_ascend::AscendBackend;
use stand_in::StandIn;

fn norm() -> Op {
    Rms { rows: 2, heads: 1, width: 4, eps: 0.0, weight: None, input: DType::F32, output: DType::F32 }.into()
}

/// Renames a symbol of a library, so that nobody finds it.
fn hide(path: &std::path::Path, symbol: &str) {
    let mut bytes = std::fs::read(path).unwrap();
    let name: Vec<u8> = [b"\0", symbol.as_bytes(), b"\0"].concat();
    let found: Vec<usize> = (0..bytes.len() - name.len()).filter(|&at| bytes[at..].starts_with(&name)).collect();
    assert!(!found.is_empty(), "{symbol} in {}", path.display());
    found.iter().for_each(|at| bytes[at + 1] = b'x');
    // A file that is mapped must not be written to.
    std::fs::remove_file(path).unwrap();
    std::fs::write(path, bytes).unwrap();
}

#[test]
fn a_missing_operator_is_told_before_anything_runs_and_another_release_is_not_called_at_all() {
    let cann = StandIn::stage("Ascend910B2");
    let home = std::env::var_os("ASCEND_TOOLKIT_HOME").unwrap();
    hide(&std::path::Path::new(&home).join("lib64/libopapi.so"), "aclnnRmsNorm");
    {
        let device = cann.open();
        let Support::No(reason) = device.supports(&norm()) else { panic!("a missing operator is supported") };
        assert!(reason.contains("function aclnnRmsNorm asked for, not found in "), "{reason}");
        assert_eq!(device.plan(&norm()).err().unwrap().kind(), ErrorKind::Unsupported);
        let copy = omnihal::op::copy::Fill { shape: omnihal::Shape::from([4]), value: 1.0, dtype: DType::F32 };
        assert!(matches!(device.supports(&copy.into()), Support::Native));
    }
    for release in ["7.3.0", "9.2.0"] {
        // SAFETY: no other thread of the test reads the environment now.
        unsafe { std::env::set_var("FAKE_CANN_VERSION", release) };
        let error = AscendBackend.open(0).err().unwrap();
        assert!(error.message().contains("the signatures of operators are those of 8.0 to 9.1"), "{error}");
    }
    assert_eq!(cann.live(), [0; 8]);
    assert_eq!(cann.broken(), "");
}
