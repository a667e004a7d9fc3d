//! An installation of CANN: opened, asked what it is, and bound profile by profile.

pub mod search;
pub mod version;

use crate::sys::c_type::CChar;
use crate::sys::call::{Acl, Base, Core, Fused91, Hccl, Helpers, Vllm023};
use crate::sys::constants::ACL_PKG_VERSION_MAX_SIZE;
use crate::sys::executor::Api;
use crate::sys::load::OpenLibrary;
use crate::sys::table::{Library, Profile};
use omnihal::{Error, ErrorKind, Result};
use search::Files;
use std::ffi::CStr;
use std::path::PathBuf;
use std::sync::Arc;
use version::{Soc, Version, is_vllm_0_23, operators_match};

/// Names the SHA-256 of a `libcust_opapi.so` that has the signatures of vllm-ascend 0.23.0 although it is not that of its wheels: of a build of one's own.
pub const VOUCHED: &str = "OMNIHAL_ASCEND_CUSTOM_SHA256";

/// An opened installation.
#[derive(Debug)]
pub struct Toolkit {
    /// Runtime and base of the operator interface.
    pub api: Arc<Api>,
    /// Plain operators.
    pub core: Core,
    /// Layout helpers.
    pub helpers: Helpers,
    /// Fused operators, if the release is the one of their signatures.
    pub fused: Option<Fused91>,
    /// Operators of vllm-ascend, if installed and known.
    pub vllm: Option<Vllm023>,
    /// Collectives, if installed.
    pub hccl: Option<Hccl>,
    /// The release, if the runtime names it.
    pub release: Option<Version>,
    /// Names and versions in the vendor's words.
    pub versions: Vec<(String, String)>,
    /// What the chip calls itself, and its generation.
    pub soc: (String, Soc),
    /// Devices.
    pub devices: usize,
    /// What was left out, and why.
    pub left_out: Vec<String>,
}

impl Toolkit {
    /// Opens the libraries, starts the runtime and asks it what there is.
    ///
    /// The runtime is never stopped and the libraries are never unloaded: other users of the process may share them, and they keep threads.
    ///
    /// `vouched` is the checksum of a `libcust_opapi.so` whose signatures a user vouches for ([`VOUCHED`]).
    pub fn open(files: &Files, vouched: Option<&str>) -> Result<Self> {
        let one = |library, file: &PathBuf| OpenLibrary::open(library, std::slice::from_ref(file)).map(Arc::new);
        let acl = Acl::new(one(Library::AscendCl, &files.acl)?);
        let base = Base::new(one(Library::NnopBase, &files.base)?);
        let operators = Arc::new(OpenLibrary::open(Library::OpApi, &files.operators)?);

        // SAFETY: no configuration file.
        acl.check("aclInit", unsafe { acl.aclInit(std::ptr::null()) }?)?;
        let soc = soc(&acl)?;
        let devices = devices(&acl)?;
        let (release, versions) = releases(&acl);
        operators_match(Profile::Core, release)?;

        let api = Arc::new(Api { acl, base });
        let mut left_out = Vec::new();
        let mut keep = |answer: Result<()>| answer.map_err(|error| left_out.push(error.to_string())).is_ok();
        let why_not_fused = operators_match(Profile::Fused91, release);
        let fused = keep(why_not_fused).then(|| Fused91::new(operators.clone(), api.clone()));
        // Only the package that CANN itself would prefer: a later one is hidden by it.
        let custom = files.custom.first().filter(|file| keep(is_vllm_0_23(file, vouched)));
        let vllm = match custom {
            Some(file) => Some(Vllm023::new(one(Library::CustOpApi, file)?, api.clone())),
            None => None,
        };
        let hccl = match &files.hccl {
            Some(file) => Some(Hccl::new(one(Library::Hccl, file)?)),
            None => None,
        };
        let (core, helpers) = (Core::new(operators.clone(), api.clone()), Helpers::new(operators));
        Ok(Toolkit { api, core, helpers, fused, vllm, hccl, release, versions, soc, devices, left_out })
    }
}

impl Toolkit {
    /// The fused operators of CANN.
    pub fn fused(&self) -> Result<&Fused91> {
        self.fused.as_ref().ok_or_else(|| match operators_match(Profile::Fused91, self.release) {
            Err(error) => error,
            Ok(()) => Error::unsupported("the fused operators of CANN 9.1 are not installed"),
        })
    }

    /// The operators of vllm-ascend.
    pub fn vllm(&self) -> Result<&Vllm023> {
        self.vllm
            .as_ref()
            .ok_or_else(|| Error::unsupported("the package vllm-ascend 0.23.0 is not installed, or not known"))
    }

    /// Whether both phases of an operator are there, with the signatures of a profile; if not, why.
    pub fn offers(&self, profile: Profile, operator: &str) -> Result<()> {
        let found = match profile {
            Profile::Fused91 => self.fused()?.resolve(),
            Profile::Vllm023 => self.vllm()?.resolve(),
            _ => self.core.resolve(),
        };
        let found = found.into_iter().find(|(name, _)| *name == operator).map(|(_, found)| found.map(|_| ()));
        found.unwrap_or_else(|| Err(Error::unsupported(format!("{operator} is not of that profile"))))
    }
}

fn soc(acl: &Acl) -> Result<(String, Soc)> {
    // SAFETY: takes nothing.
    let name = unsafe { acl.aclrtGetSocName() }?;
    if name.is_null() {
        let text = acl.recent_text();
        let words = format!(
            "the runtime does not name the chip: {text}: install the driver, and look at the device with npu-smi"
        );
        return Err(Error::new(ErrorKind::NotFound, words));
    }
    // SAFETY: a text of the library, which stays open.
    let name = unsafe { CStr::from_ptr(name.cast()) }.to_string_lossy().into_owned();
    let soc = Soc::of(&name)?;
    Ok((name, soc))
}

fn devices(acl: &Acl) -> Result<usize> {
    let mut count = 0;
    // SAFETY: a place to write to.
    acl.check("aclrtGetDeviceCount", unsafe { acl.aclrtGetDeviceCount(&mut count) }?)?;
    usize::try_from(count)
        .map_err(|_| Error::new(ErrorKind::InvalidInput, format!("the runtime counts {count} devices")))
}

/// The release and everything that the runtime says of versions. Asking must not fail: older runtimes lack the questions.
fn releases(acl: &Acl) -> (Option<Version>, Vec<(String, String)>) {
    let mut versions = Vec::new();
    let mut package = *b"runtime\0";
    let mut text = [0u8; ACL_PKG_VERSION_MAX_SIZE];
    // SAFETY: a text with its end, and a place of the size that the interface names.
    let code =
        unsafe { acl.aclsysGetVersionStr(package.as_mut_ptr().cast::<CChar>(), text.as_mut_ptr().cast::<CChar>()) };
    let answer = code.and_then(|code| acl.check("aclsysGetVersionStr", code));
    let named = answer
        .ok()
        .and_then(|()| CStr::from_bytes_until_nul(&text).ok())
        .map(|text| text.to_string_lossy().into_owned());
    let release = named.as_deref().and_then(Version::parse);
    versions.extend(named.map(|text| ("CANN runtime".to_owned(), text)));

    let (mut major, mut minor, mut patch) = (0, 0, 0);
    // SAFETY: three places to write to.
    let code = unsafe { acl.aclrtGetVersion(&mut major, &mut minor, &mut patch) };
    if code.and_then(|code| acl.check("aclrtGetVersion", code)).is_ok() {
        versions.push(("acl".to_owned(), format!("{major}.{minor}.{patch}")));
    }
    (release, versions)
}
