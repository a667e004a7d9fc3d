//! The table of functions. Rows with the same name and other parameters belong to different profiles: a name alone binds nothing.

mod acl;
mod base;
mod core;
mod fused;
mod hccl;
mod helpers;
mod vllm;

use super::c_type::CType;

/// Hands every function that is called directly to `$callback!`, one call for each library, in item position:
///
/// ```text
/// callback! {
///     AscendCl, Acl;                                  // a variant of Library, a variant of Profile
///     [Header] aclrtFree(dev_ptr: *mut c_void) -> aclError;   // [a variant of Evidence]
///     ...
/// }
/// ```
///
/// The types are those of [`crate::sys::types`], [`crate::sys::constants`] and [`crate::sys::c_type`], which the callback's module must bring
/// into scope, as well as `std::ffi::c_void`.
#[macro_export]
macro_rules! ascend_functions {
    ($($callback:ident)::+) => {
        $crate::ascend_acl!($($callback)::+);
        $crate::ascend_hccl!($($callback)::+);
        $crate::ascend_base!($($callback)::+);
        $crate::ascend_helpers!($($callback)::+);
    };
}

/// Hands every two-phase operator to `$callback!`, one call for each profile, in item position:
///
/// ```text
/// callback! {
///     OpApi, Core;
///     [Source] aclnnMm, aclnnMmGetWorkspaceSize(this: T, mat2: T, out: T, cube_math_type: i8);
///     ...
/// }
/// ```
///
/// The first phase takes the parameters of the row, then `workspace_size: *mut u64, executor: *mut *mut aclOpExecutor`. The second phase takes
/// `workspace: *mut c_void, workspace_size: u64, executor: *mut aclOpExecutor, stream: aclrtStream`. Both return `aclnnStatus`.
#[macro_export]
macro_rules! ascend_operators {
    ($($callback:ident)::+) => {
        $crate::ascend_core!($($callback)::+);
        $crate::ascend_fused!($($callback)::+);
        $crate::ascend_vllm!($($callback)::+);
    };
}

/// A shared object of the vendor, or a set of them that stand for one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Library {
    /// `libascendcl.so`: devices, memory, streams, graphs.
    AscendCl,
    /// `libnnopbase.so`: tensors and executors.
    NnopBase,
    /// `libopapi.so` and the parts that newer releases split it into: operators.
    OpApi,
    /// `libcust_opapi.so`: operators of a package other than CANN.
    CustOpApi,
    /// `libhccl.so`: collectives.
    Hccl,
}

impl Library {
    /// File names under which it is installed, the one to try first in front.
    pub fn files(self) -> &'static [&'static str] {
        match self {
            Library::AscendCl => &["libascendcl.so"],
            Library::NnopBase => &["libnnopbase.so"],
            // CANN 8.5 and later also install the parts; the name of the last is an assumption.
            Library::OpApi => {
                &["libopapi.so", "libopapi_math.so", "libopapi_nn.so", "libopapi_transformer.so", "libopapi_cv.so"]
            }
            Library::CustOpApi => &["libcust_opapi.so"],
            Library::Hccl => &["libhccl.so"],
        }
    }
}

/// A set of signatures that belong together: the functions of one package in the versions that were compared.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Profile {
    /// `acl/acl.h`, API 1.17.
    Acl,
    /// `hccl/hccl.h`.
    Hccl,
    /// Base of the operator interface.
    Base,
    /// Helpers of matrix layouts, which are no operators.
    Helpers,
    /// Plain operators of CANN 8 and 9.
    Core,
    /// Fused operators of CANN 9.1.
    Fused91,
    /// Operators of the package vllm-ascend 0.23.0.
    Vllm023,
}

impl Profile {
    /// Where the signatures were read.
    pub fn source(self) -> &'static str {
        match self {
            Profile::Acl => "acl/acl.h in torch-npu 2.9.0.post9 and 2.14.0",
            Profile::Hccl => "hccl/hccl.h in torch-npu 2.9.0.post9 and 2.14.0",
            Profile::Base => {
                "op_api_common_base.h in torch-npu 2.9.0.post9 and 2.14.0; opbase sources of CANN 9.1 for the rest"
            }
            Profile::Helpers => "operator documents of CANN 9.1",
            Profile::Core | Profile::Fused91 => {
                "operator headers in the sources of CANN 9.1; operator documents for the rest"
            }
            Profile::Vllm023 => "op_api/include/aclnnop in vllm-ascend 0.23.0",
        }
    }
}

/// How sure a signature is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Evidence {
    /// Compiled against the vendor's header.
    Header,
    /// Read in the vendor's published source.
    Source,
    /// Taken from the vendor's documents; the header is made by a build.
    Docs,
    /// Seen in nothing of the vendor's: from others' code, or by analogy with the functions beside it. The first to check where there is a toolkit.
    Inferred,
}

/// One function, as data.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Function {
    /// Where it lives.
    pub library: Library,
    /// Which signature this is.
    pub profile: Profile,
    /// How sure the signature is.
    pub evidence: Evidence,
    /// The symbol.
    pub name: &'static str,
    /// Names and C types of the parameters.
    pub parameters: Vec<(&'static str, String)>,
    /// C type of the result.
    pub result: String,
    /// The operator that this is a phase of, if any.
    pub operator: Option<&'static str>,
}

/// Every function of the table: an operator counts as two.
pub fn functions() -> Vec<Function> {
    let mut all = rows::plain();
    all.extend(rows::operators());
    all
}

mod rows {
    use super::super::{c_type::*, constants::*, types::*};
    use super::{CType, Evidence, Function, Library, Profile};
    use std::ffi::c_void;

    macro_rules! function {
        ($library:ident, $profile:ident, $evidence:ident, $name:expr, $operator:expr, $result:ty, $(($p:expr, $t:ty))*) => {
            Function {
                library: Library::$library,
                profile: Profile::$profile,
                evidence: Evidence::$evidence,
                name: $name,
                parameters: vec![$(($p, <$t as CType>::c())),*],
                result: <$result as CType>::c(),
                operator: $operator,
            }
        };
    }

    macro_rules! plain_rows {
        ($library:ident, $profile:ident; $([$evidence:ident] $name:ident($($p:ident: $t:ty),*) -> $r:ty;)*) => {
            pub(super) fn $profile(all: &mut Vec<Function>) {
                $(all.push(function!($library, $profile, $evidence, stringify!($name), None, $r, $((stringify!($p), $t))*));)*
            }
        };
    }

    macro_rules! operator_rows {
        ($library:ident, $profile:ident; $([$evidence:ident] $name:ident, $sizes:ident($($p:ident: $t:ty),*);)*) => {
            pub(super) fn $profile(all: &mut Vec<Function>) {
                $(
                all.push(function!($library, $profile, $evidence, stringify!($sizes), Some(stringify!($name)), aclnnStatus,
                    $((stringify!($p), $t))* ("workspace_size", *mut u64) ("executor", *mut *mut aclOpExecutor)));
                all.push(function!($library, $profile, $evidence, stringify!($name), Some(stringify!($name)), aclnnStatus,
                    ("workspace", *mut c_void) ("workspace_size", u64) ("executor", *mut aclOpExecutor) ("stream", aclrtStream)));
                )*
            }
        };
    }

    mod by_profile {
        use super::*;
        crate::ascend_functions!(plain_rows);
        crate::ascend_operators!(operator_rows);
    }

    pub(super) fn plain() -> Vec<Function> {
        let mut all = Vec::new();
        by_profile::Acl(&mut all);
        by_profile::Hccl(&mut all);
        by_profile::Base(&mut all);
        by_profile::Helpers(&mut all);
        all
    }

    pub(super) fn operators() -> Vec<Function> {
        let mut all = Vec::new();
        by_profile::Core(&mut all);
        by_profile::Fused91(&mut all);
        by_profile::Vllm023(&mut all);
        all
    }
}

#[cfg(test)]
mod tests;
