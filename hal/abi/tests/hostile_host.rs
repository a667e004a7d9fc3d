//! An exported backend in a host that breaks the interface: each broken call is an error of that host, and the plug-in lives on.
#![allow(clippy::unwrap_used, reason = "test helpers")]

use omnihal_abi::sys::handles::{DeviceHandle, ErrorHandle, PlanHandle, StreamHandle};
use omnihal_abi::sys::{Args, DeviceCaps, ErrorInfo, Fallible, Host, Mem, Op, Plugin, Probe, Str, Support, View};
use omnihal_abi::{export, through_table};
use omnihal_null::NullBackend;
use std::ffi::c_void;
use std::ptr::{self, null, null_mut};
use std::sync::Mutex;

/// Messages of the errors that were made. The test of this file that reads them is the only one that makes them.
static ERRORS: Mutex<Vec<String>> = Mutex::new(Vec::new());

/// Whether a returned error is to be NULL, as if the host had no memory.
static NO_MEMORY: Mutex<bool> = Mutex::new(false);

unsafe extern "C" fn error_create(_host: *const Host, info: *const ErrorInfo) -> Fallible {
    // SAFETY: the plug-in's struct and text are readable during the call.
    let message = unsafe {
        let message = (*info).message;
        std::slice::from_raw_parts(message.data.cast::<u8>(), message.len as usize)
    };
    ERRORS.lock().unwrap().push(String::from_utf8_lossy(message).into_owned());
    if *NO_MEMORY.lock().unwrap() { null_mut() } else { ptr::without_provenance_mut::<ErrorHandle>(0x1000) }
}

unsafe extern "C" fn log(_host: *const Host, _level: u32, _text: Str) {}
unsafe extern "C" fn report(_host: *const Host, _op: u32, _reason: Str) {}
unsafe extern "C" fn alloc(_host: *const Host, _size: u64, _align: u64) -> *mut c_void {
    null_mut()
}
unsafe extern "C" fn free(_host: *const Host, _data: *mut c_void, _size: u64, _align: u64) {}

fn host() -> &'static mut Host {
    Box::leak(Box::new(Host {
        struct_size: size_of::<Host>() as u32,
        magic: u32::from_le_bytes(*b"OHAL"),
        ext: null(),
        abi_major: 0,
        abi_minor: 2,
        context: null_mut(),
        alloc: Some(alloc),
        free: Some(free),
        log: Some(log),
        error_create: Some(error_create),
        report_fallback: Some(report),
    }))
}

fn exported(host: &'static Host) -> *const Plugin {
    // SAFETY: the host lives for ever.
    unsafe { export(Box::new(NullBackend::new()), host) }
}

#[test]
fn hosts_that_are_none_get_no_table() {
    // SAFETY: refused before anything is read.
    assert!(unsafe { export(Box::new(NullBackend::new()), null()) }.is_null());
    let breaks: [fn(&mut Host); 5] = [
        |h| h.magic = 0,
        |h| h.abi_major = 1,
        |h| h.struct_size = 0,
        |h| h.struct_size = 1 << 20,
        |h| h.error_create = None,
    ];
    for broken in breaks {
        let host = host();
        broken(host);
        assert!(exported(host).is_null());
    }
    let host = host();
    host.abi_minor = 9;
    assert!(!exported(host).is_null(), "a newer minor is welcome");
}

/// The latest error's words.
fn last(returned: Fallible) -> String {
    assert!(!returned.is_null(), "the call was not refused");
    ERRORS.lock().unwrap().pop().unwrap_or_default()
}

/// A struct as a host of this version prepares it.
fn blank<T: Copy>() -> T {
    // SAFETY: only used for structs of `sys`, where zeros are a value, and which start with their size.
    unsafe {
        let mut value: T = std::mem::zeroed();
        (&raw mut value).cast::<u32>().write(size_of::<T>() as u32);
        value
    }
}

#[test]
fn broken_calls_are_refused_one_by_one() {
    let table = exported(host());
    // SAFETY: the table lives for ever; what is broken below is refused by size, address or number.
    unsafe {
        let t = &*table;
        let mut device: *mut DeviceHandle = null_mut();
        let open = t.device_open.unwrap();
        assert!(last(open(table, 0, null_mut())).contains("place for the new object is NULL"));
        assert!(last(open(table, u64::MAX, &raw mut device)).contains("no device null"));
        assert_eq!(open(null(), 0, &raw mut device).addr(), 1, "without a table there is no host to make an error");
        assert!(open(table, 0, &raw mut device).is_null());

        let mut caps: DeviceCaps = blank();
        let get = t.device_caps.unwrap();
        assert!(get(device, &raw mut caps).is_null());
        assert_eq!(get(null_mut(), &raw mut caps).addr(), 1);
        caps.struct_size = 8;
        assert!(last(get(device, &raw mut caps)).contains("says that it has 8 bytes"));
        assert!(last(get(device, null_mut())).contains("lies at 0x0"));

        let mut probe: Probe = blank();
        probe.struct_size = 70_000;
        assert!(last(t.probe.unwrap()(table, &raw mut probe)).contains("70000 bytes"));

        operators(t, device);
        streams(t, device);
        t.device_close.unwrap()(null_mut());
        t.device_close.unwrap()(device);
    }
}

unsafe fn operators(t: &Plugin, device: *mut DeviceHandle) {
    let (mut op, mut answer, mut plan): (Op, Support, *mut PlanHandle) = (blank(), blank(), null_mut());
    let create = t.plan_create.unwrap();
    // SAFETY: as in the caller.
    unsafe {
        assert!(last(create(device, null(), &raw mut plan)).contains("an operator lies at 0x0"));
        op.desc_size = 64;
        assert!(last(create(device, &raw const op, &raw mut plan)).contains("64 descriptor bytes lie at 0x0"));
        op.desc_size = u64::MAX;
        assert!(last(create(device, &raw const op, &raw mut plan)).contains("expected at most"));
        (op.kind, op.desc_size) = (4_000_000, 0);
        assert!(last(create(device, &raw const op, &raw mut plan)).contains("operator number 4000000"));
        assert!(t.supports.unwrap()(device, &raw const op, &raw mut answer).is_null());
        assert_eq!(answer.kind, 2, "an unknown operator is a no, even without room for the reason");
        assert_eq!(answer.reason.len, 0);
        let mut room = [0u8; 10];
        (answer.reason.data, answer.reason.capacity) = (room.as_mut_ptr().cast(), 10);
        assert!(t.supports.unwrap()(device, &raw const op, &raw mut answer).is_null());
        assert_eq!((answer.reason.len, &room), (10, b"operator n"));
    }
}

unsafe fn streams(t: &Plugin, device: *mut DeviceHandle) {
    let (mut stream, mut args): (*mut StreamHandle, Args) = (null_mut(), blank());
    let empty = Mem { addr: 0, len: 0 };
    // SAFETY: as in the caller.
    unsafe {
        assert!(t.stream_create.unwrap()(device, &raw mut stream).is_null());
        let run = t.stream_run.unwrap();
        assert!(last(run(stream, null_mut(), &raw const args)).contains("the plan is NULL"));
        let desc = [1u64, 1, 1, 1, 1, 1, 1, 0, 0, 0];
        let (mut op, mut plan): (Op, *mut PlanHandle) = (blank(), null_mut());
        // copy.fill: a shape of rank 1, value, dtype; the rank is the low word of the first.
        (op.kind, op.desc, op.desc_size) = (omnihal::OpKind::Fill as u32, desc.as_ptr().cast(), 64);
        assert!(t.plan_create.unwrap()(device, &raw const op, &raw mut plan).is_null());
        assert!(last(run(stream, plan, null())).contains("arguments of a run lies at 0x0"));
        args.count = 33;
        assert!(last(run(stream, plan, &raw const args)).contains("33 arguments were given"));
        args.count = 1;
        assert!(last(run(stream, plan, &raw const args)).contains("1 arguments lie at 0x0"));
        let mut view: View = std::mem::zeroed();
        let broken = &raw mut view;
        let views = [broken.cast_const()];
        args.views = views.as_ptr();
        (*broken).dtype = 99;
        assert!(last(run(stream, plan, &raw const args)).contains("element type number 99"));
        ((*broken).dtype, (*broken).shape.rank) = (0, 7);
        assert!(last(run(stream, plan, &raw const args)).contains("a shape has rank 7"));
        ((*broken).shape.rank, (*broken).layout) = (1, 3);
        assert!(last(run(stream, plan, &raw const args)).contains("layout number 3"));
        assert!(last(t.stream_fill.unwrap()(stream, empty, 256)).contains("256 is no byte"));
        assert!(last(t.stream_write.unwrap()(stream, empty, null(), 4)).contains("4 host bytes lie at NULL"));
        assert!(last(t.stream_record.unwrap()(stream, null_mut())).contains("the event is NULL"));
        assert!(last(t.stream_launch.unwrap()(stream, null_mut())).contains("the graph is NULL"));
        assert!(last(t.stream_poll.unwrap()(stream, null_mut())).contains("place for the result is NULL"));
        *NO_MEMORY.lock().unwrap() = true;
        let returned = run(stream, null_mut(), &raw const args);
        assert_eq!(returned.addr(), 1, "a host that makes no error must not see a success");
        t.plan_destroy.unwrap()(plan);
        t.stream_destroy.unwrap()(stream);
        assert_eq!(t.graph_nodes.unwrap()(null_mut()), 0);
    }
}

#[test]
fn a_backend_whose_name_breaks_the_interface_answers_with_that() {
    struct Nameless;
    impl omnihal::Backend for Nameless {
        fn name(&self) -> &'static str {
            "no name"
        }
        fn probe(&self) -> omnihal::Result<omnihal::Probe> {
            Ok(omnihal::Probe::default())
        }
        fn open(&self, index: usize) -> omnihal::Result<std::sync::Arc<dyn omnihal::Device>> {
            Err(omnihal::Error::argument(format!("{index}")))
        }
    }
    let refused = through_table(Box::new(Nameless));
    assert!(refused.probe().unwrap_err().message().contains("calls itself \"no name\""));
    assert!(refused.open(0).is_err());
}
