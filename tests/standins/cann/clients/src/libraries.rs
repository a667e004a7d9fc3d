//! The stand-ins as a client opens them, with the signatures of the table.
#![allow(non_snake_case, missing_docs, reason = "the vendor's names")]

use fake_cann::abi::{c_type::*, constants::*, types::*};
use libloading::os::unix::{Library, RTLD_LAZY, RTLD_LOCAL};
use std::ffi::c_void;
use std::path::Path;

macro_rules! functions {
    ($library:ident, $profile:ident; $([$evidence:ident] $name:ident($($p:ident: $t:ty),*) -> $r:ty;)*) => {
        #[allow(dead_code, reason = "no client calls all")]
        pub struct $profile {
            $(pub $name: unsafe extern "C" fn($($t),*) -> $r,)*
        }

        impl $profile {
            unsafe fn load(library: &Library) -> Result<Self, libloading::Error> {
                // SAFETY: the signatures are those that the stand-ins export.
                Ok(unsafe { $profile { $($name: *library.get(stringify!($name).as_bytes())?,)* } })
            }
        }
    };
}
fake_cann::ascend_acl!(functions);
fake_cann::ascend_base!(functions);
fake_cann::ascend_hccl!(functions);

macro_rules! operators {
    ($library:ident, $profile:ident; $([$evidence:ident] $name:ident, $sizes:ident($($p:ident: $t:ty),*);)*) => {
        #[allow(dead_code, reason = "no client calls all")]
        pub struct $profile {
            $(pub $name: unsafe extern "C" fn(*mut c_void, u64, *mut aclOpExecutor, aclrtStream) -> aclnnStatus,
            pub $sizes: unsafe extern "C" fn($($t,)* *mut u64, *mut *mut aclOpExecutor) -> aclnnStatus,)*
        }

        impl $profile {
            unsafe fn load(library: &Library) -> Result<Self, libloading::Error> {
                // SAFETY: the signatures are those that the stand-ins export.
                Ok(unsafe { $profile { $(
                    $name: *library.get(stringify!($name).as_bytes())?,
                    $sizes: *library.get(stringify!($sizes).as_bytes())?,
                )* } })
            }
        }
    };
}
fake_cann::ascend_core!(operators);

/// All of them.
pub struct Cann {
    pub acl: Acl,
    pub base: Base,
    pub ops: Core,
    pub hccl: Hccl,
}

impl Cann {
    /// Opens the libraries of a folder, which stay open.
    pub fn open(folder: &Path) -> Result<Cann, libloading::Error> {
        let open = |name: &str| -> Result<&'static Library, libloading::Error> {
            // SAFETY: the stand-ins have no constructors.
            let library = unsafe { Library::open(Some(folder.join(name)), RTLD_LAZY | RTLD_LOCAL) }?;
            Ok(Box::leak(Box::new(library)))
        };
        // SAFETY: see `load`.
        unsafe {
            Ok(Cann {
                acl: Acl::load(open("libascendcl.so")?)?,
                base: Base::load(open("libnnopbase.so")?)?,
                ops: Core::load(open("libopapi.so")?)?,
                hccl: Hccl::load(open("libhccl.so")?)?,
            })
        }
    }
}
