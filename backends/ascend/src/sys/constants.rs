//! Enumerations and flags with the vendor's names and numbers. Newer libraries answer with values that are not listed, so no
//! enumeration is a Rust `enum`.

use super::c_type::{CType, named};

macro_rules! enumerations {
    ($($(#[$doc:meta])* $name:ident { $($constant:ident = $value:literal,)* })*) => {
        $($(#[$doc])*
        #[repr(transparent)]
        #[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
        pub struct $name(pub i32);

        impl $name {
            $(#[doc = concat!("`", stringify!($constant), "` is ", stringify!($value), ".")]
            pub const $constant: Self = Self($value);)*
        }

        named! { $name => stringify!($name) })*

        /// Every constant of an enumeration: the enumeration, the constant, its number.
        pub const ENUMERATIONS: &[(&str, &str, i64)] =
            &[$($((stringify!($name), stringify!($constant), $value),)*)*];
    };
}

enumerations! {
    /// Element types.
    aclDataType {
        ACL_DT_UNDEFINED = -1, ACL_FLOAT = 0, ACL_FLOAT16 = 1, ACL_INT8 = 2, ACL_INT32 = 3, ACL_UINT8 = 4, ACL_INT16 = 6,
        ACL_UINT16 = 7, ACL_UINT32 = 8, ACL_INT64 = 9, ACL_UINT64 = 10, ACL_DOUBLE = 11, ACL_BOOL = 12, ACL_COMPLEX64 = 16,
        ACL_COMPLEX128 = 17, ACL_BF16 = 27, ACL_INT4 = 29, ACL_UINT1 = 30, ACL_COMPLEX32 = 33, ACL_HIFLOAT8 = 34,
        ACL_FLOAT8_E5M2 = 35, ACL_FLOAT8_E4M3FN = 36, ACL_FLOAT8_E8M0 = 37, ACL_FLOAT6_E3M2 = 38, ACL_FLOAT6_E2M3 = 39,
        ACL_FLOAT4_E2M1 = 40, ACL_FLOAT4_E1M2 = 41,
    }
    /// Layouts of a tensor's storage.
    aclFormat {
        ACL_FORMAT_UNDEFINED = -1, ACL_FORMAT_NCHW = 0, ACL_FORMAT_NHWC = 1, ACL_FORMAT_ND = 2, ACL_FORMAT_NC1HWC0 = 3,
        ACL_FORMAT_FRACTAL_Z = 4, ACL_FORMAT_FRACTAL_NZ = 29, ACL_FORMAT_NCDHW = 30, ACL_FORMAT_NCL = 47,
        ACL_FORMAT_FRACTAL_NZ_C0_16 = 50, ACL_FORMAT_FRACTAL_NZ_C0_32 = 51, ACL_FORMAT_FRACTAL_NZ_C0_2 = 52,
        ACL_FORMAT_FRACTAL_NZ_C0_4 = 53, ACL_FORMAT_FRACTAL_NZ_C0_8 = 54,
    }
    /// Directions of a copy.
    aclrtMemcpyKind {
        ACL_MEMCPY_HOST_TO_HOST = 0, ACL_MEMCPY_HOST_TO_DEVICE = 1, ACL_MEMCPY_DEVICE_TO_HOST = 2,
        ACL_MEMCPY_DEVICE_TO_DEVICE = 3, ACL_MEMCPY_DEFAULT = 4, ACL_MEMCPY_HOST_TO_BUF_TO_DEVICE = 5,
        ACL_MEMCPY_INNER_DEVICE_TO_DEVICE = 6, ACL_MEMCPY_INTER_DEVICE_TO_DEVICE = 7,
    }
    /// Page sizes of an allocation.
    aclrtMemMallocPolicy {
        ACL_MEM_MALLOC_HUGE_FIRST = 0, ACL_MEM_MALLOC_HUGE_ONLY = 1, ACL_MEM_MALLOC_NORMAL_ONLY = 2,
        ACL_MEM_MALLOC_HUGE_FIRST_P2P = 3, ACL_MEM_MALLOC_HUGE_ONLY_P2P = 4, ACL_MEM_MALLOC_NORMAL_ONLY_P2P = 5,
        ACL_MEM_MALLOC_HUGE1G_ONLY = 6, ACL_MEM_MALLOC_HUGE1G_ONLY_P2P = 7,
    }
    /// Kinds of device memory. Free and total memory are asked for as `ACL_HBM_MEM`.
    aclrtMemAttr {
        ACL_DDR_MEM = 0, ACL_HBM_MEM = 1, ACL_DDR_MEM_HUGE = 2, ACL_DDR_MEM_NORMAL = 3, ACL_HBM_MEM_HUGE = 4,
        ACL_HBM_MEM_NORMAL = 5,
    }
    /// Whether an event has passed. Its numbers are opposite to those of the deprecated `aclrtEventStatus`.
    aclrtEventRecordedStatus { ACL_EVENT_RECORDED_STATUS_NOT_READY = 0, ACL_EVENT_RECORDED_STATUS_COMPLETE = 1, }
    /// Whether a stream is idle.
    aclrtStreamStatus { ACL_STREAM_STATUS_COMPLETE = 0, ACL_STREAM_STATUS_NOT_READY = 1, }
    /// Whether the program runs on the device's own processor or on a host.
    aclrtRunMode { ACL_DEVICE = 0, ACL_HOST = 1, }
    /// What a capture forbids to others.
    aclmdlRICaptureMode {
        ACL_MODEL_RI_CAPTURE_MODE_GLOBAL = 0, ACL_MODEL_RI_CAPTURE_MODE_THREAD_LOCAL = 1,
        ACL_MODEL_RI_CAPTURE_MODE_RELAXED = 2,
    }
    /// State of a capture.
    aclmdlRICaptureStatus {
        ACL_MODEL_RI_CAPTURE_STATUS_NONE = 0, ACL_MODEL_RI_CAPTURE_STATUS_ACTIVE = 1,
        ACL_MODEL_RI_CAPTURE_STATUS_INVALIDATED = 2,
    }
    /// Facts of a device.
    aclrtDevAttr {
        ACL_DEV_ATTR_AICORE_CORE_NUM = 101, ACL_DEV_ATTR_CUBE_CORE_NUM = 102, ACL_DEV_ATTR_VECTOR_CORE_NUM = 201,
        ACL_DEV_ATTR_TOTAL_GLOBAL_MEM_SIZE = 301, ACL_DEV_ATTR_L2_CACHE_SIZE = 302,
    }
    /// Facts of a device, older list.
    aclDeviceInfo {
        ACL_DEVICE_INFO_UNDEFINED = -1, ACL_DEVICE_INFO_AI_CORE_NUM = 0, ACL_DEVICE_INFO_VECTOR_CORE_NUM = 1,
        ACL_DEVICE_INFO_L2_SIZE = 2,
    }
    /// Options of a context.
    aclSysParamOpt { ACL_OPT_DETERMINISTIC = 0, ACL_OPT_ENABLE_DEBUG_KERNEL = 1, ACL_OPT_STRONG_CONSISTENCY = 2, }
    /// Whose last error is asked for.
    aclrtLastErrLevel { ACL_RT_THREAD_LEVEL = 0, }
    /// Which granularity of physical memory is asked for.
    aclrtMemGranularityOptions {
        ACL_RT_MEM_ALLOC_GRANULARITY_MINIMUM = 0, ACL_RT_MEM_ALLOC_GRANULARITY_RECOMMENDED = 1,
    }
    /// Element types of a collective.
    HcclDataType {
        HCCL_DATA_TYPE_INT8 = 0, HCCL_DATA_TYPE_INT16 = 1, HCCL_DATA_TYPE_INT32 = 2, HCCL_DATA_TYPE_FP16 = 3,
        HCCL_DATA_TYPE_FP32 = 4, HCCL_DATA_TYPE_INT64 = 5, HCCL_DATA_TYPE_UINT64 = 6, HCCL_DATA_TYPE_UINT8 = 7,
        HCCL_DATA_TYPE_UINT16 = 8, HCCL_DATA_TYPE_UINT32 = 9, HCCL_DATA_TYPE_FP64 = 10, HCCL_DATA_TYPE_BFP16 = 11,
        HCCL_DATA_TYPE_HIF8 = 14, HCCL_DATA_TYPE_FP8E4M3 = 15, HCCL_DATA_TYPE_FP8E5M2 = 16, HCCL_DATA_TYPE_FP8E8M0 = 17,
    }
    /// How a collective reduces.
    HcclReduceOp { HCCL_REDUCE_SUM = 0, HCCL_REDUCE_PROD = 1, HCCL_REDUCE_MAX = 2, HCCL_REDUCE_MIN = 3, }
    /// Result of an `Hccl` call.
    HcclResult {
        HCCL_SUCCESS = 0, HCCL_E_PARA = 1, HCCL_E_PTR = 2, HCCL_E_MEMORY = 3, HCCL_E_INTERNAL = 4, HCCL_E_NOT_SUPPORT = 5,
        HCCL_E_TIMEOUT = 9, HCCL_E_RUNTIME = 15, HCCL_E_AGAIN = 20, HCCL_E_REMOTE = 21, HCCL_E_OOM = 24,
    }
}

macro_rules! flags {
    ($($(#[$doc:meta])* $name:ident: $type:ty = $value:literal;)*) => {
        $($(#[$doc])*
        pub const $name: $type = $value;)*

        /// Every flag and size that the vendor's headers define by a macro.
        pub const FLAGS: &[(&str, u64)] = &[$((stringify!($name), $name as u64),)*];
    };
}

flags! {
    /// The event can be waited for by a stream.
    ACL_EVENT_SYNC: u32 = 0x1;
    /// The event follows a stream's progress while it is captured.
    ACL_EVENT_CAPTURE_STREAM_PROGRESS: u32 = 0x2;
    /// The event keeps its time.
    ACL_EVENT_TIME_LINE: u32 = 0x8;
    /// The event is for the device only.
    ACL_EVENT_DEVICE_USE_ONLY: u32 = 0x10;
    /// The event belongs to no capture.
    ACL_EVENT_EXTERNAL: u32 = 0x20;
    /// The event is shared between processes.
    ACL_EVENT_IPC: u32 = 0x40;
    /// The stream launches with less latency and more resources.
    ACL_STREAM_FAST_LAUNCH: u32 = 0x1;
    /// The stream is waited for by polling.
    ACL_STREAM_FAST_SYNC: u32 = 0x2;
    /// The stream's tasks stay on the device.
    ACL_STREAM_PERSISTENT: u32 = 0x4;
    /// The stream holds more tasks.
    ACL_STREAM_HUGE: u32 = 0x8;
    /// After a failed task the next ones run.
    ACL_CONTINUE_ON_FAILURE: u64 = 0;
    /// After a failed task no other runs.
    ACL_STOP_ON_FAILURE: u64 = 1;
    /// Registered host memory gets a device address.
    ACL_HOST_REG_MAPPED: u32 = 0x2;
    /// Registered host memory is not paged out.
    ACL_HOST_REG_PINNED: u32 = 0x1000_0000;
    /// Bytes that the text of a version may take.
    ACL_PKG_VERSION_MAX_SIZE: usize = 128;
}
