//! The vendor's codes that are worth a name, as data.
//!
//! Names and numbers of the `ACL_ERROR` codes are compared with the headers; those of the operator interface come from its documents, and
//! what a code asks a user to do from documents and user reports.

use super::{Class, Code};

/// Rows: code, name, class, what it means.
macro_rules! codes {
    ($($code:literal $name:ident $class:ident $meaning:literal,)*) => {
        &[$(Code { code: $code, name: stringify!($name), class: Class::$class, meaning: $meaning },)*]
    };
}

/// Codes of `acl` and `aclnn` calls, in rising order.
pub(super) const CODES: &[Code] = codes! {
    0 ACL_SUCCESS Success "success",
    100000 ACL_ERROR_INVALID_PARAM Usage "invalid parameter",
    100002 ACL_ERROR_REPEAT_INITIALIZE Success "initialised before",
    107000 ACL_ERROR_RT_PARAM_INVALID Usage "invalid parameter",
    107001 ACL_ERROR_RT_INVALID_DEVICEID Usage "no device of that index",
    107002 ACL_ERROR_RT_CONTEXT_NULL Context "the calling thread has no context",
    107003 ACL_ERROR_RT_STREAM_CONTEXT Context "the stream belongs to another context",
    107008 ACL_ERROR_RT_ADDR_UNALIGNED Usage "the address is not aligned",
    107016 ACL_ERROR_RT_INVALID_MEMORY_TYPE Usage "wrong type of memory",
    107017 ACL_ERROR_RT_INVALID_HANDLE Usage "the handle is not alive",
    107019 ACL_ERROR_RT_WAIT_TIMEOUT Timeout "a wait ran out",
    107020 ACL_ERROR_RT_TASK_TIMEOUT Timeout "a task ran out of time",
    107024 ACL_ERROR_RT_CAPTURE_DEPENDENCY Capture "captured and other work depend on each other",
    107025 ACL_ERROR_RT_STREAM_UNJOINED Capture "a captured side stream was not joined",
    107026 ACL_ERROR_RT_MODEL_CAPTURED Capture "the graph is captured",
    107027 ACL_ERROR_RT_STREAM_CAPTURED Capture "the stream is captured",
    107028 ACL_ERROR_RT_EVENT_CAPTURED Capture "the event is captured",
    107029 ACL_ERROR_RT_STREAM_NOT_CAPTURED Capture "the stream is not captured",
    107030 ACL_ERROR_RT_CAPTURE_MODE_NOT_SUPPORT Capture "the capture forbids this call",
    107031 ACL_ERROR_RT_STREAM_CAPTURE_IMPLICIT Capture "a dependency on the default stream",
    107036 ACL_ERROR_RT_STREAM_CAPTURE_UNMATCHED Capture "the capture began on another stream",
    107038 ACL_ERROR_RT_STREAM_CAPTURE_WRONG_THREAD Capture "the capture began on another thread",
    107041 ACL_ERROR_RT_CAPTURE_MODE_BLOCK_ASYNC Capture "a wait or a query within a capture",
    161001 ACLNN_ERR_PARAM_NULLPTR Refused "an operator's argument is null",
    161002 ACLNN_ERR_PARAM_INVALID Refused "an operator does not take this element type, shape or layout",
    200000 ACL_ERROR_BAD_ALLOC OutOfMemory "no host memory",
    200006 ACL_ERROR_FEATURE_UNSUPPORTED Unsupported "not supported here",
    207000 ACL_ERROR_RT_FEATURE_NOT_SUPPORT Unsupported "not supported here",
    207001 ACL_ERROR_RT_MEMORY_ALLOCATION OutOfMemory "no device memory",
    207005 ACL_ERROR_RT_RESOURCE_ALLOC_FAIL Exhausted "no resource left",
    207007 ACL_ERROR_RT_NO_EVENT_RESOURCE Exhausted "no event left",
    207008 ACL_ERROR_RT_NO_STREAM_RESOURCE Exhausted "no stream left",
    207018 ACL_ERROR_RT_DEVICE_OOM OutOfMemory "no device memory",
    361001 ACLNN_ERR_RUNTIME_ERROR Runtime "an operator's runtime call failed",
    507014 ACL_ERROR_RT_AICORE_TIMEOUT DeviceFault "a kernel ran out of time on an AI core",
    507015 ACL_ERROR_RT_AICORE_EXCEPTION DeviceFault "a kernel failed on an AI core",
    507017 ACL_ERROR_RT_AICPU_TIMEOUT DeviceFault "a kernel ran out of time on an AI CPU",
    507018 ACL_ERROR_RT_AICPU_EXCEPTION DeviceFault "a kernel failed on an AI CPU",
    507034 ACL_ERROR_RT_VECTOR_CORE_TIMEOUT DeviceFault "a kernel ran out of time on a vector core",
    507035 ACL_ERROR_RT_VECTOR_CORE_EXCEPTION DeviceFault "a kernel failed on a vector core",
    507042 ACL_ERROR_RT_AICORE_TRAP_READ_OVERFLOW DeviceFault "an AI core read out of range",
    507043 ACL_ERROR_RT_AICORE_TRAP_WRITE_OVERFLOW DeviceFault "an AI core wrote out of range",
    507044 ACL_ERROR_RT_VECTOR_CORE_TRAP_READ_OVERFLOW DeviceFault "a vector core read out of range",
    507045 ACL_ERROR_RT_VECTOR_CORE_TRAP_WRITE_OVERFLOW DeviceFault "a vector core wrote out of range",
    507046 ACL_ERROR_RT_STREAM_SYNC_TIMEOUT Timeout "the wait for a stream ran out",
    507047 ACL_ERROR_RT_EVENT_SYNC_TIMEOUT Timeout "the wait for an event ran out",
    507053 ACL_ERROR_RT_DEVICE_MEM_ERROR Hardware "device memory failed",
    507054 ACL_ERROR_RT_HBM_MULTI_BIT_ECC_ERROR Hardware "device memory has an error that cannot be corrected",
    507056 ACL_ERROR_RT_LINK_ERROR Hardware "a link between devices failed",
    507903 ACL_ERROR_RT_STREAM_CAPTURE_INVALIDATED Capture "the capture was invalidated",
    561000 ACLNN_ERR_INNER Operator "an operator failed to prepare",
    561001 ACLNN_ERR_INNER_INFERSHAPE_ERROR Operator "an operator could not infer its shapes",
    561002 ACLNN_ERR_INNER_TILING_ERROR Operator "an operator could not split its work",
    561003 ACLNN_ERR_INNER_FIND_KERNEL_ERROR Operator "an operator has no kernel for this chip",
    561103 ACLNN_ERR_INNER_NULLPTR Environment "the operator interface lacks an object, most often because no kernels are installed",
    561107 ACLNN_ERR_INNER_OPP_PATH_NOT_FOUND Environment "ASCEND_OPP_PATH does not lead to operators",
    561112 ACLNN_ERR_INNER_OPP_KERNEL_PKG_NOT_FOUND Environment "the kernels package is not installed",
};

/// Codes of `Hccl` calls, in rising order.
pub(super) const HCCL_CODES: &[Code] = codes! {
    0 HCCL_SUCCESS Success "success",
    1 HCCL_E_PARA Usage "invalid parameter, or members that do not make the same call",
    2 HCCL_E_PTR Usage "an argument is null",
    3 HCCL_E_MEMORY OutOfMemory "no memory",
    4 HCCL_E_INTERNAL Runtime "the collective library failed",
    5 HCCL_E_NOT_SUPPORT Unsupported "not supported here",
    9 HCCL_E_TIMEOUT Timeout "a member did not arrive in time",
    15 HCCL_E_RUNTIME Runtime "a runtime call failed",
    20 HCCL_E_AGAIN Timeout "not ready yet",
    21 HCCL_E_REMOTE Hardware "another member or the link to it failed",
    24 HCCL_E_OOM OutOfMemory "no memory",
};
