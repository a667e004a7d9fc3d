//! Handles, opaque objects and structures of the vendor's interface, under the vendor's names.

use super::c_type::{CChar, CType, named};
use std::ffi::c_void;

/// Result of an `acl` call: 0 is success.
pub type aclError = i32;
/// Result of an `aclnn` call: 0 is success.
pub type aclnnStatus = i32;
/// An operator's tensor argument: input, output and in-place argument are the same to the interface.
pub type T = *const aclTensor;
/// An operator's list of tensors.
pub type TL = *const aclTensorList;
/// An operator's array of integers.
pub type IA = *const aclIntArray;
/// An operator's array of truth values.
pub type BA = *const aclBoolArray;
/// An operator's scalar.
pub type S = *const aclScalar;
/// An operator's text argument.
pub type Str = *const CChar;

macro_rules! handles {
    ($($(#[$doc:meta])* $name:ident,)*) => {
        $($(#[$doc])*
        #[repr(transparent)]
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
        pub struct $name(pub *mut c_void);

        impl $name {
            /// No object.
            pub const NULL: Self = Self(std::ptr::null_mut());

            /// True for no object.
            pub fn is_null(self) -> bool {
                self.0.is_null()
            }
        }

        // SAFETY: a handle is a number; who may use it, and when, is the business of the unsafe functions that take it.
        unsafe impl Send for $name {}
        // SAFETY: as above.
        unsafe impl Sync for $name {}

        named! { $name => stringify!($name) })*

        /// Name, size and alignment of every handle.
        pub const HANDLES: &[(&str, usize, usize)] = &[$((stringify!($name), size_of::<$name>(), align_of::<$name>())),*];
    };
}

handles! {
    /// A stream of a device.
    aclrtStream,
    /// An event of a device.
    aclrtEvent,
    /// What calls of a thread act on.
    aclrtContext,
    /// Physical memory without an address.
    aclrtDrvMemHandle,
    /// A group of captured tasks.
    aclrtTaskGrp,
    /// A loaded kernel binary.
    aclrtBinHandle,
    /// A kernel of a binary.
    aclrtFuncHandle,
    /// A captured graph.
    aclmdlRI,
    /// A member of a group of devices.
    HcclComm,
}

macro_rules! opaque {
    ($($(#[$doc:meta])* $name:ident,)*) => {
        $($(#[$doc])*
        #[repr(C)]
        #[derive(Debug)]
        pub struct $name([u8; 0]);

        named! { $name => stringify!($name) })*
    };
}

opaque! {
    /// A view over device memory.
    aclTensor,
    /// A number with its type.
    aclScalar,
    /// An array of integers.
    aclIntArray,
    /// An array of floats.
    aclFloatArray,
    /// An array of truth values.
    aclBoolArray,
    /// A list that owns its tensors.
    aclTensorList,
    /// What the first phase of an operator makes and the second phase consumes.
    aclOpExecutor,
    /// What a callback learns about a failed task.
    aclrtExceptionInfo,
    /// Options of loading a kernel binary.
    aclrtBinaryLoadOptions,
    /// Options of launching a kernel.
    aclrtLaunchKernelCfg,
}

/// A function that a stream calls on a host thread. It must not call any `acl` function.
pub type aclrtHostFunc = Option<unsafe extern "C" fn(args: *mut c_void)>;
/// A function that is told about failed tasks.
pub type aclrtExceptionInfoCallback = Option<unsafe extern "C" fn(info: *mut aclrtExceptionInfo)>;

named! {
    aclrtHostFunc => "aclrtHostFunc",
    aclrtExceptionInfoCallback => "aclrtExceptionInfoCallback",
    aclrtPlaceHolderInfo => "aclrtPlaceHolderInfo",
    aclrtMemLocation => "aclrtMemLocation",
    aclrtPhysicalMemProp => "aclrtPhysicalMemProp",
    HcclRootInfo => "HcclRootInfo",
}

/// Where an address stands in a kernel's arguments, and what it points at.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default)]
pub struct aclrtPlaceHolderInfo {
    /// Offset of the address.
    pub addr_offset: u32,
    /// Offset of the data.
    pub data_offset: u32,
}

/// Which device or host holds memory.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default)]
pub struct aclrtMemLocation {
    /// Index of the device.
    pub id: u32,
    /// Kind of place: 1 is a device.
    pub kind: i32,
}

/// What physical memory is asked for.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default)]
pub struct aclrtPhysicalMemProp {
    /// 0: not shared with another process.
    pub handle_type: i32,
    /// 0: pinned.
    pub allocation_type: i32,
    /// An `aclrtMemAttr`.
    pub mem_attr: i32,
    /// Where.
    pub location: aclrtMemLocation,
    /// 0.
    pub reserve: u64,
}

/// Bytes of [`HcclRootInfo`].
pub const HCCL_ROOT_INFO_BYTES: usize = 4108;

/// What the first member of a group makes and the others need to join.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct HcclRootInfo(pub [u8; HCCL_ROOT_INFO_BYTES]);

/// Name, size and alignment of every structure that we lay out.
pub const STRUCTURES: &[(&str, usize, usize)] = &[
    ("aclrtPlaceHolderInfo", size_of::<aclrtPlaceHolderInfo>(), align_of::<aclrtPlaceHolderInfo>()),
    ("aclrtMemLocation", size_of::<aclrtMemLocation>(), align_of::<aclrtMemLocation>()),
    ("aclrtPhysicalMemProp", size_of::<aclrtPhysicalMemProp>(), align_of::<aclrtPhysicalMemProp>()),
    ("HcclRootInfo", size_of::<HcclRootInfo>(), align_of::<HcclRootInfo>()),
];
