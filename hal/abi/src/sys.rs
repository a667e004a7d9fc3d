//! The structs of the headers, member by member. `include/ohal_types.h` is made from the first part; the second mirrors
//! `include/ohal_plugin.h`. Both are held against a C compiler by `tests/headers.rs`.

use crate::layout::{CType, Member, Struct, member_size};
use std::ffi::{c_char, c_void};

pub mod handles {
    //! Objects of a plug-in, or of a host, that the other side passes around and never looks into.

    macro_rules! handles {
        ($($(#[doc = $doc:literal])+ $Name:ident;)*) => {$(
            $(#[doc = $doc])+
            #[repr(C)]
            pub struct $Name {
                _opaque: [u8; 0],
            }
        )*};
    }
    handles! {
        /// An error of the host.
        ErrorHandle;
        /// A device of the plug-in.
        DeviceHandle;
        /// An allocation.
        BufferHandle;
        /// A stream.
        StreamHandle;
        /// An event.
        EventHandle;
        /// A plan.
        PlanHandle;
        /// A captured graph.
        GraphHandle;
    }
}
use handles::*;

impl CType for *const c_char {
    fn declare(name: &str) -> String {
        format!("const char *{name}")
    }
}
impl CType for *mut c_char {
    fn declare(name: &str) -> String {
        format!("char *{name}")
    }
}
impl CType for *const c_void {
    fn declare(name: &str) -> String {
        format!("const void *{name}")
    }
}
impl CType for *const Ext {
    fn declare(name: &str) -> String {
        format!("const struct ohal_ext *{name}")
    }
}

/// Structs whose C text is made from this declaration.
macro_rules! c_structs {
    ($($(#[doc = $doc:literal])+ $Name:ident = $c:literal {
        $($(#[doc = $fdoc:literal])+ $field:ident: $ty:ty,)*
    })*) => {
        $($(#[doc = $doc])+
        #[repr(C)]
        #[derive(Clone, Copy, Debug)]
        pub struct $Name { $($(#[doc = $fdoc])+ pub $field: $ty,)* }

        impl CType for $Name {
            fn declare(name: &str) -> String {
                format!(concat!($c, " {}"), name)
            }
        })*

        /// The plain structs of `ohal_types.h`, in order.
        pub(crate) fn plain_structs() -> Vec<Struct> {
            vec![$(Struct {
                name: $c.to_owned(),
                doc: concat!($($doc, "\n"),+).to_owned(),
                members: vec![$(Member {
                    name: stringify!($field).to_owned(),
                    doc: concat!($($fdoc, "\n"),+).to_owned(),
                    text: <$ty as CType>::declare(stringify!($field)),
                    offset: std::mem::offset_of!($Name, $field),
                    size: size_of::<$ty>(),
                }),*],
                size: size_of::<$Name>(),
            }),*]
        }
    };
}

c_structs! {
    /// Text in UTF-8, not ended by 0. `data` may be NULL if `len` is 0. Plain data: never changes.
    Str = "ohal_str" {
        /// First byte.
        data: *const c_char,
        /// Bytes.
        len: u64,
    }
    /// Room for text that a callee writes. Plain data: never changes.
    Text = "ohal_text" {
        /// First byte of the room.
        data: *mut c_char,
        /// Bytes of the room.
        capacity: u64,
        /// Bytes written, at most `capacity`; longer text is cut. 0 before the call.
        len: u64,
    }
    /// A link of an extension chain. An extension is a struct that starts with these members. A reader skips every `id` that it does not
    /// know. No extension is defined yet. Plain data: never changes.
    Ext = "ohal_ext" {
        /// Bytes of the whole extension.
        struct_size: u32,
        /// Which extension.
        id: u32,
        /// The next one, or NULL.
        next: *const Ext,
    }
    /// A range of device memory. Plain data: never changes.
    Mem = "ohal_mem" {
        /// Device address of the first byte. A host may read it only if the device's caps say that it is host-addressable.
        addr: u64,
        /// Bytes.
        len: u64,
    }
    /// Dimensions, outermost first; those past `rank` are 1. Plain data: never changes.
    Shape = "ohal_shape" {
        /// Number of dimensions, at most OHAL_MAX_RANK.
        rank: u32,
        /// 0.
        reserved: u32,
        /// The dimensions.
        dims: [u64; 6],
    }
    /// How the values of a weight are stored. Plain data: never changes.
    WeightFormat = "ohal_weight_format" {
        /// OHAL_FORMAT_PLAIN or OHAL_FORMAT_BLOCKED.
        kind: u32,
        /// Element type: of the numbers, or of the codes.
        data: u32,
        /// Type of a scale; OHAL_NONE for plain numbers.
        scale: u32,
        /// 0.
        reserved: u32,
        /// Rows that share a scale; 0 for plain numbers.
        block_rows: u64,
        /// Columns that share a scale; 0 for plain numbers.
        block_cols: u64,
    }
    /// How a row of a state pool is stored. Plain data: never changes.
    RowFormat = "ohal_row_format" {
        /// OHAL_ROW_...
        kind: u32,
        /// Element type of OHAL_ROW_PLAIN, else OHAL_NONE.
        dtype: u32,
    }
    /// The pages of a state pool: entry j of a sequence lies in row table[j / entries] * entries + j % entries. Plain data: never changes.
    PageSpace = "ohal_page_space" {
        /// Pages of the pool, the null and the trash page included.
        pages: u64,
        /// Entries in a page.
        entries: u64,
        /// Pages in a sequence's page table.
        table: u64,
    }
    /// A function of one variable. Plain data: never changes.
    Func = "ohal_func" {
        /// OHAL_FUNC_...
        kind: u32,
        /// Lower bound of OHAL_FUNC_CLAMP, else 0.
        low: f32,
        /// Upper bound of OHAL_FUNC_CLAMP, else 0.
        high: f32,
        /// 0.
        reserved: u32,
    }
    /// An operand that is a tensor or one number for all. Plain data: never changes.
    Source = "ohal_source" {
        /// OHAL_SOURCE_TENSOR or OHAL_SOURCE_CONST.
        kind: u32,
        /// The constant, or 0.
        value: f32,
        /// Shape of the tensor; rank 0 for a constant.
        shape: Shape,
    }
    /// Which compressed entries a row attends to. Plain data: never changes.
    Entries = "ohal_entries" {
        /// OHAL_ENTRIES_...
        kind: u32,
        /// 0.
        reserved: u32,
        /// Entries listed for a row, for OHAL_ENTRIES_LISTED, else 0.
        listed: u64,
    }
    /// How a row's experts are chosen. Plain data: never changes.
    Routing = "ohal_routing" {
        /// OHAL_ROUTING_...
        kind: u32,
        /// 0.
        reserved: u32,
        /// Rows of the table, for OHAL_ROUTING_HASH, else 0.
        rows: u64,
    }
    /// The scales of a quantised tensor: same rank as its data, one scale a block, contiguous. Plain data: never changes.
    Quant = "ohal_quant" {
        /// Memory of the scales.
        mem: Mem,
        /// OHAL_DTYPE_E8M0 or OHAL_DTYPE_F32; OHAL_NONE if the tensor has no scales, and then the other members mean nothing.
        dtype: u32,
        /// 0.
        reserved: u32,
        /// Rows of data that share a scale.
        block_rows: u64,
        /// Columns of data that share a scale.
        block_cols: u64,
        /// Shape of the scale tensor.
        shape: Shape,
    }
    /// A tensor. Owns nothing. Plain data: never changes.
    View = "ohal_view" {
        /// The memory it lies in. Element 0 is at mem.addr + offset.
        mem: Mem,
        /// Bytes from the start of `mem` to element 0.
        offset: u64,
        /// Dimensions in logical elements: FP4 counts single values.
        shape: Shape,
        /// Distance in logical elements between neighbours along each axis. 0 repeats an input.
        strides: [u64; 6],
        /// Element type.
        dtype: u32,
        /// OHAL_LAYOUT_...
        layout: u32,
        /// Which private layout, for OHAL_LAYOUT_VENDOR, else 0.
        vendor_layout: u32,
        /// 0.
        reserved: u32,
        /// Scales, if the elements are codes.
        quant: Quant,
    }
    /// A step-table column. Plain data: never changes.
    Column = "ohal_column" {
        /// OHAL_COLUMN_...
        kind: u32,
        /// Compression ratio whose state space it belongs to; 0 for a column that belongs to none.
        ratio: u32,
    }
    /// An operator with its descriptor. `desc` points to the `ohal_<family>_<name>_desc` of `kind`.
    Op = "ohal_op" {
        /// Bytes of this struct.
        struct_size: u32,
        /// OHAL_OP_...
        kind: u32,
        /// Extensions, or NULL.
        ext: *const Ext,
        /// The descriptor, aligned to 8 bytes, valid during the call.
        desc: *const c_void,
        /// Bytes of the descriptor. If there are more than the reader knows, the rest must be 0, else the operator is unsupported;
        /// if fewer, missing members are 0.
        desc_size: u64,
    }
}

/// Structs whose C text is written by hand in `ohal_plugin.h`.
macro_rules! c_tables {
    ($($(#[doc = $doc:literal])+ $Name:ident = $c:literal { $($field:ident: $ty:ty,)* })*) => {
        $($(#[doc = $doc])+
        #[repr(C)]
        #[derive(Clone, Copy, Debug)]
        #[allow(missing_docs, reason = "documented in ohal_plugin.h")]
        pub struct $Name { $(pub $field: $ty,)* })*

        /// The structs of `ohal_plugin.h`, in order.
        pub(crate) fn plugin_structs() -> Vec<Struct> {
            vec![$(Struct {
                name: $c.to_owned(),
                doc: String::new(),
                members: vec![$(Member {
                    name: stringify!($field).to_owned(),
                    doc: String::new(),
                    text: String::new(),
                    offset: std::mem::offset_of!($Name, $field),
                    size: member_size(|s: &$Name| &s.$field),
                }),*],
                size: size_of::<$Name>(),
            }),*]
        }
    };
}

/// An error as functions return it: NULL is success.
pub type Fallible = *mut ErrorHandle;

c_tables! {
    /// What an error says.
    ErrorInfo = "ohal_error_info" {
        struct_size: u32, kind: u32, ext: *const Ext,
        severity: u32, op: u32, sequence: u64,
        message: Str,
        vendor_code: i64, vendor_text: Str,
        has_vendor: u32, reserved: u32,
    }
    /// What a host offers.
    Host = "ohal_host" {
        struct_size: u32, magic: u32, ext: *const Ext,
        abi_major: u32, abi_minor: u32,
        context: *mut c_void,
        alloc: Option<unsafe extern "C" fn(*const Host, u64, u64) -> *mut c_void>,
        free: Option<unsafe extern "C" fn(*const Host, *mut c_void, u64, u64)>,
        log: Option<unsafe extern "C" fn(*const Host, u32, Str)>,
        error_create: Option<unsafe extern "C" fn(*const Host, *const ErrorInfo) -> Fallible>,
        report_fallback: Option<unsafe extern "C" fn(*const Host, u32, Str)>,
    }
    /// A version found.
    Version = "ohal_version" { name: Str, value: Str, }
    /// What a search for devices found.
    Probe = "ohal_probe" {
        struct_size: u32, reserved: u32, ext: *const Ext,
        device_count: u64, searched: *const Str, searched_count: u64,
    }
    /// Facts of a device.
    DeviceInfo = "ohal_device_info" {
        struct_size: u32, reserved: u32, ext: *const Ext,
        name: Str, memory: u64, versions: *const Version, version_count: u64,
    }
    /// What a device can do.
    DeviceCaps = "ohal_device_caps" {
        struct_size: u32, activations: u32, ext: *const Ext,
        ops: [u64; 4], alignment: u64, host_addressable: u32, native_graphs: u32,
    }
    /// An answer to `supports`.
    Support = "ohal_support" { struct_size: u32, kind: u32, ext: *const Ext, reason: Text, }
    /// Facts of a plan.
    PlanInfo = "ohal_plan_info" {
        struct_size: u32, determinism: u32, ext: *const Ext,
        accumulation: u32, accumulation_bits: u32, accumulation_promote: u32, capture_safe: u32,
        workspace: u64, flops: f64, bytes: f64,
        columns: *const Column, column_count: u64,
    }
    /// Work done once a step.
    Prologue = "ohal_prologue" {
        struct_size: u32, reserved: u32, ext: *const Ext,
        key: Str, bytes: u64, plan: *mut PlanHandle,
    }
    /// Arguments of a run.
    Args = "ohal_args" {
        struct_size: u32, count: u32, ext: *const Ext,
        views: *const *const View, workspace: Mem, rows_hint: u64,
    }
    /// A weight as the model wants to use it.
    WeightDesc = "ohal_weight_desc" {
        struct_size: u32, act: u32, ext: *const Ext, shape: Shape, format: WeightFormat,
    }
    /// How a device wants a weight.
    WeightForm = "ohal_weight_form" {
        struct_size: u32, kind: u32, ext: *const Ext,
        dtype: u32, layout: u32, bytes: u64, row_granule: u64, reason: Text,
    }
    /// Use of a device's memory.
    DeviceMemory = "ohal_device_memory" {
        struct_size: u32, reserved: u32, ext: *const Ext, in_use: u64, available: u64,
    }
    /// What a plug-in offers.
    Plugin = "ohal_plugin" {
        struct_size: u32, reserved: u32, ext: *const Ext,
        magic: u64, abi_major: u32, abi_minor: u32,
        name: Str, version: Str, context: *mut c_void,
        probe: Option<unsafe extern "C" fn(*const Plugin, *mut Probe) -> Fallible>,
        device_info: Option<unsafe extern "C" fn(*const Plugin, u64, *mut DeviceInfo) -> Fallible>,
        device_open: Option<unsafe extern "C" fn(*const Plugin, u64, *mut *mut DeviceHandle) -> Fallible>,
        device_close: Option<unsafe extern "C" fn(*mut DeviceHandle)>,
        device_caps: Option<unsafe extern "C" fn(*mut DeviceHandle, *mut DeviceCaps) -> Fallible>,
        buffer_alloc: Option<unsafe extern "C" fn(*mut DeviceHandle, u64, u32, *mut Mem, *mut *mut BufferHandle) -> Fallible>,
        buffer_free: Option<unsafe extern "C" fn(*mut BufferHandle)>,
        buffer_import: Option<unsafe extern "C" fn(*mut DeviceHandle, *const c_void, u64, *mut Mem, *mut *mut BufferHandle) -> Fallible>,
        stream_create: Option<unsafe extern "C" fn(*mut DeviceHandle, *mut *mut StreamHandle) -> Fallible>,
        stream_destroy: Option<unsafe extern "C" fn(*mut StreamHandle)>,
        event_create: Option<unsafe extern "C" fn(*mut DeviceHandle, *mut *mut EventHandle) -> Fallible>,
        event_destroy: Option<unsafe extern "C" fn(*mut EventHandle)>,
        supports: Option<unsafe extern "C" fn(*mut DeviceHandle, *const Op, *mut Support) -> Fallible>,
        plan_create: Option<unsafe extern "C" fn(*mut DeviceHandle, *const Op, *mut *mut PlanHandle) -> Fallible>,
        plan_destroy: Option<unsafe extern "C" fn(*mut PlanHandle)>,
        plan_info: Option<unsafe extern "C" fn(*mut PlanHandle, *mut PlanInfo) -> Fallible>,
        plan_prologue: Option<unsafe extern "C" fn(*mut PlanHandle, *mut Prologue) -> Fallible>,
        plan_workspace_for: Option<unsafe extern "C" fn(*mut PlanHandle, *const *const View, u32, *mut u64) -> Fallible>,
        plan_bind: Option<unsafe extern "C" fn(*mut PlanHandle, *const Args, *mut *mut PlanHandle) -> Fallible>,
        weight_form: Option<unsafe extern "C" fn(*mut DeviceHandle, *const WeightDesc, *mut WeightForm) -> Fallible>,
        repack: Option<unsafe extern "C" fn(*mut DeviceHandle, *mut StreamHandle, *const WeightDesc, *const View, Mem) -> Fallible>,
        health: Option<unsafe extern "C" fn(*mut DeviceHandle) -> Fallible>,
        stream_run: Option<unsafe extern "C" fn(*mut StreamHandle, *mut PlanHandle, *const Args) -> Fallible>,
        stream_copy: Option<unsafe extern "C" fn(*mut StreamHandle, Mem, Mem) -> Fallible>,
        stream_fill: Option<unsafe extern "C" fn(*mut StreamHandle, Mem, u32) -> Fallible>,
        stream_write: Option<unsafe extern "C" fn(*mut StreamHandle, Mem, *const c_void, u64) -> Fallible>,
        stream_read: Option<unsafe extern "C" fn(*mut StreamHandle, Mem, *mut c_void, u64, u64) -> Fallible>,
        stream_record: Option<unsafe extern "C" fn(*mut StreamHandle, *mut EventHandle) -> Fallible>,
        stream_wait: Option<unsafe extern "C" fn(*mut StreamHandle, *mut EventHandle) -> Fallible>,
        stream_begin_capture: Option<unsafe extern "C" fn(*mut StreamHandle) -> Fallible>,
        stream_end_capture: Option<unsafe extern "C" fn(*mut StreamHandle, *mut *mut GraphHandle) -> Fallible>,
        stream_launch: Option<unsafe extern "C" fn(*mut StreamHandle, *mut GraphHandle) -> Fallible>,
        stream_poll: Option<unsafe extern "C" fn(*mut StreamHandle, *mut u32) -> Fallible>,
        stream_sync: Option<unsafe extern "C" fn(*mut StreamHandle, u64) -> Fallible>,
        graph_nodes: Option<unsafe extern "C" fn(*mut GraphHandle) -> u64>,
        graph_destroy: Option<unsafe extern "C" fn(*mut GraphHandle)>,
        event_poll: Option<unsafe extern "C" fn(*mut EventHandle, *mut u32) -> Fallible>,
        event_sync: Option<unsafe extern "C" fn(*mut EventHandle, u64) -> Fallible>,
        device_memory: Option<unsafe extern "C" fn(*mut DeviceHandle, *mut DeviceMemory) -> Fallible>,
    }
}
