//! Names, types and signatures of the vendor's interface. The very files from which the backend's calls are made: a signature that differs does not compile.
//! They hold declarations only; nothing of the backend runs here.
#![allow(
    non_camel_case_types,
    non_snake_case,
    unused_macros,
    unused_imports,
    reason = "the vendor's names; not every declaration is used by a stand-in"
)]

#[path = "../../../../../backends/ascend/src/sys/c_type.rs"]
pub mod c_type;
#[path = "../../../../../backends/ascend/src/sys/constants.rs"]
pub mod constants;
#[path = "../../../../../backends/ascend/src/sys/types.rs"]
pub mod types;

#[path = "../../../../../backends/ascend/src/sys/table/acl.rs"]
mod acl;
#[path = "../../../../../backends/ascend/src/sys/table/base.rs"]
mod base;
#[path = "../../../../../backends/ascend/src/sys/table/core.rs"]
mod core;
#[path = "../../../../../backends/ascend/src/sys/table/fused.rs"]
mod fused;
#[path = "../../../../../backends/ascend/src/sys/table/hccl.rs"]
mod hccl;
#[path = "../../../../../backends/ascend/src/sys/table/helpers.rs"]
mod helpers;
#[path = "../../../../../backends/ascend/src/sys/table/vllm.rs"]
mod vllm;
