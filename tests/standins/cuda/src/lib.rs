//! A stand-in for the CUDA driver, `libcuda.so.1`: the calls that OmniHAL makes, with the driver's names, signatures and rules (CUDA Driver API reference). Kernels are
//! images that a host compiler made of the same kernel files (`kernels/fiber.h`), so what is shown here is host code and kernel logic, never a device.
//!
//! Enforced: a current context for every call; live handles; ranges within live allocations; pinned memory for asynchronous host copies; sizes of grids, blocks and
//! shared memory; what a capture forbids; the first failure for ever after. Streams are threads that are now and then late.
//!
//! Variables: `FAKE_CUDA_ORDER` (`forward`, `reverse` or a seed: the order of a block's threads), `FAKE_CUDA_MEMORY` (bytes), `FAKE_CUDA_FAIL`
//! (`call:after:code,...`), `FAKE_CUDA_CAPABILITY` (`90`), `FAKE_CUDA_DRY` (kernels are checked and not run).
//!
//! Safety: every exported function has the contract of the driver's function of that name.
#![allow(non_snake_case, reason = "the driver's names")]
#![allow(clippy::missing_safety_doc, reason = "the contract of each function is the driver's, as the crate says")]

mod codes;
mod graphs;
mod memory;
mod module;
mod state;
mod stream;

use codes::Code;
use module::{Kernel, Launch, Module};
use state::{CONTEXT, enter, handle, state};
use std::ffi::{CStr, c_char, c_int, c_uint, c_void};
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use stream::{Event, Node, Stream};

/// The driver's name for the device; every report shows it.
const NAME: &CStr = c"stand-in (kernels run on the CPU)";

fn answer(result: Result<(), Code>) -> Code {
    result.err().unwrap_or(codes::SUCCESS)
}

/// Exports functions that count themselves and check the context first.
macro_rules! driver {
    ($($(#[$doc:meta])* fn $name:ident($($arg:ident: $ty:ty),*) $body:block)*) => {
        $(
            $(#[$doc])*
            #[unsafe(no_mangle)]
            pub unsafe extern "C" fn $name($($arg: $ty),*) -> Code {
                answer(enter(stringify!($name)).and_then(|()| $body))
            }
        )*
    };
}
pub(crate) use driver;

pub(crate) fn find_stream(stream: usize) -> Result<Arc<Stream>, Code> {
    // The default stream would tie all others to it: no caller may use it.
    state().streams.get(&stream).cloned().ok_or(codes::INVALID_HANDLE)
}

pub(crate) fn find_event(event: usize) -> Result<Arc<Event>, Code> {
    state().events.get(&event).cloned().ok_or(codes::INVALID_HANDLE)
}

/// Initialises.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn cuInit(flags: c_uint) -> Code {
    answer(state::count("cuInit").and(if flags == 0 { Ok(()) } else { Err(codes::INVALID_VALUE) }))
}

/// CUDA 13.0.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn cuDriverGetVersion(version: *mut c_int) -> Code {
    // SAFETY: the caller's integer.
    unsafe { *version = 13000 };
    codes::SUCCESS
}

/// Gives the name of a code.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn cuGetErrorName(code: Code, name: *mut *const c_char) -> Code {
    let found = codes::text(code);
    // SAFETY: the caller's pointer.
    unsafe { *name = found.map_or(std::ptr::null(), |(name, _)| name.as_ptr()) };
    if found.is_some() { codes::SUCCESS } else { codes::INVALID_VALUE }
}

/// Gives the words of a code.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn cuGetErrorString(code: Code, words: *mut *const c_char) -> Code {
    let found = codes::text(code);
    // SAFETY: the caller's pointer.
    unsafe { *words = found.map_or(std::ptr::null(), |(_, words)| words.as_ptr()) };
    if found.is_some() { codes::SUCCESS } else { codes::INVALID_VALUE }
}

/// One device.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn cuDeviceGetCount(count: *mut c_int) -> Code {
    // SAFETY: the caller's integer.
    unsafe { *count = 1 };
    answer(state::count("cuDeviceGetCount"))
}

/// Gives device 0.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn cuDeviceGet(device: *mut c_int, ordinal: c_int) -> Code {
    // SAFETY: the caller's integer.
    unsafe { *device = ordinal };
    answer(state::count("cuDeviceGet").and(if ordinal == 0 { Ok(()) } else { Err(codes::INVALID_DEVICE) }))
}

/// Gives the stand-in's name.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn cuDeviceGetName(name: *mut c_char, len: c_int, device: c_int) -> Code {
    let text = NAME.to_bytes_with_nul();
    if device != 0 || (len as usize) < text.len() {
        return codes::INVALID_VALUE;
    }
    // SAFETY: the caller's buffer has `len` bytes.
    unsafe { name.copy_from_nonoverlapping(text.as_ptr().cast(), text.len()) };
    codes::SUCCESS
}

/// Gives the bytes of the device.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn cuDeviceTotalMem_v2(bytes: *mut usize, _device: c_int) -> Code {
    // SAFETY: the caller's integer.
    unsafe { *bytes = memory::total() };
    codes::SUCCESS
}

/// Gives an attribute: those of an H200 where they matter.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn cuDeviceGetAttribute(value: *mut c_int, attribute: c_uint, _device: c_int) -> Code {
    let capability = std::env::var("FAKE_CUDA_CAPABILITY").ok().and_then(|text| text.parse().ok()).unwrap_or(90);
    let found = match attribute {
        // CU_DEVICE_ATTRIBUTE_MULTIPROCESSOR_COUNT: few, so that grids made by it stay small here.
        16 => 4,
        75 => capability / 10,
        76 => capability % 10,
        // CU_DEVICE_ATTRIBUTE_MAX_SHARED_MEMORY_PER_BLOCK_OPTIN
        97 => MAX_SHARED as c_int,
        _ => return codes::NOT_SUPPORTED,
    };
    // SAFETY: the caller's integer.
    unsafe { *value = found };
    codes::SUCCESS
}

const MAX_SHARED: u32 = 227 << 10;

/// Retains the context.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn cuDevicePrimaryCtxRetain(context: *mut usize, _device: c_int) -> Code {
    answer(state::count("cuDevicePrimaryCtxRetain").map(|()| {
        state().retained += 1;
        // SAFETY: the caller's pointer.
        unsafe { *context = CONTEXT };
    }))
}

/// Releases the context; at the last time nothing made in it may live.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn cuDevicePrimaryCtxRelease_v2(_device: c_int) -> Code {
    let mut state = state();
    if state.retained == 0 {
        return codes::INVALID_CONTEXT;
    }
    state.retained -= 1;
    let left =
        (state.streams.len(), state.events.len(), state.execs.len(), state.modules.len(), state.memory.blocks.len());
    if state.retained == 0 && left != (0, 0, 0, 0, 0) {
        eprintln!("stand-in driver: the context ends and leaves (streams, events, graphs, modules, blocks) {left:?}");
    }
    codes::SUCCESS
}

/// Makes a context current.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn cuCtxSetCurrent(context: usize) -> Code {
    if context != 0 && context != CONTEXT {
        return codes::INVALID_CONTEXT;
    }
    state::set_current(context);
    codes::SUCCESS
}

/// Gives the current context.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn cuCtxGetCurrent(context: *mut usize) -> Code {
    // SAFETY: the caller's pointer.
    unsafe { *context = state::current() };
    codes::SUCCESS
}

driver! {
    /// Makes a stream.
    fn cuStreamCreate(stream: *mut usize, flags: c_uint) {
        // CU_STREAM_NON_BLOCKING only: the other kind waits for the default stream.
        if flags != 1 { return Err(codes::INVALID_VALUE) }
        let made = handle();
        state().streams.insert(made, Arc::new(Stream::new()));
        // SAFETY: the caller's pointer.
        unsafe { *stream = made };
        Ok(())
    }

    /// Forgets a stream; its work still runs to its end.
    fn cuStreamDestroy_v2(stream: usize) {
        state().streams.remove(&stream).map(|_| ()).ok_or(codes::INVALID_HANDLE)
    }

    /// Says whether a stream is idle.
    fn cuStreamQuery(stream: usize) {
        let stream = find_stream(stream)?;
        stream.outside_capture()?;
        if !stream.idle() { return Err(codes::NOT_READY) }
        state::lost().map_or(Ok(()), Err)
    }

    /// Waits for a stream.
    fn cuStreamSynchronize(stream: usize) {
        let stream = find_stream(stream)?;
        stream.outside_capture()?;
        while !stream.idle() {
            std::thread::sleep(std::time::Duration::from_micros(20));
        }
        state::lost().map_or(Ok(()), Err)
    }

    /// Makes an event.
    fn cuEventCreate(event: *mut usize, _flags: c_uint) {
        let made = handle();
        state().events.insert(made, Arc::new(Event::default()));
        // SAFETY: the caller's pointer.
        unsafe { *event = made };
        Ok(())
    }

    /// Forgets an event.
    fn cuEventDestroy_v2(event: usize) {
        state().events.remove(&event).map(|_| ()).ok_or(codes::INVALID_HANDLE)
    }

    /// Says whether an event has passed.
    fn cuEventQuery(event: usize) {
        let event = find_event(event)?;
        if event.is_captured() { return Err(codes::CAPTURED_EVENT) }
        if !event.done() { return Err(codes::NOT_READY) }
        state::lost().map_or(Ok(()), Err)
    }

    /// Marks the end of a stream. In a capture, flag 1 makes a node of it.
    fn cuEventRecordWithFlags(event: usize, stream: usize, flags: c_uint) {
        let (event, stream) = (find_event(event)?, find_stream(stream)?);
        match (stream.is_capturing(), flags) {
            (false, 0) => {
                let mark = event.mark();
                stream.push(Node::Record(event, mark))
            }
            (true, 1) => stream.push(Node::RecordNow(event)),
            (true, 0) => {
                event.captured();
                Ok(())
            }
            _ => Err(codes::INVALID_VALUE),
        }
    }

    /// Makes a stream wait. In a capture, flag 1 makes a node of it; without, work outside the capture may not be waited for.
    fn cuStreamWaitEvent(stream: usize, event: usize, flags: c_uint) {
        let (event, stream) = (find_event(event)?, find_stream(stream)?);
        match (stream.is_capturing(), flags) {
            (false, 0) => {
                let mark = event.newest();
                stream.push(Node::Wait(event, mark))
            }
            (true, 1) => stream.push(Node::WaitNow(event)),
            (true, 0) => {
                let _ = stream.outside_capture();
                Err(codes::CAPTURE_ISOLATION)
            }
            _ => Err(codes::INVALID_VALUE),
        }
    }

    /// Allocates device memory, in the order of a stream.
    fn cuMemAllocAsync(addr: *mut u64, bytes: usize, stream: usize) {
        find_stream(stream)?.outside_capture()?;
        // SAFETY: the caller's integer.
        unsafe { *addr = state().memory.alloc(bytes, false)? as u64 };
        Ok(())
    }

    /// Frees device memory.
    fn cuMemFreeAsync(addr: u64, stream: usize) {
        find_stream(stream)?.outside_capture()?;
        state().memory.free(addr as usize, false).inspect_err(|&code| if code == codes::ILLEGAL_ADDRESS { state::lose(code) })
    }

    /// Allocates pinned host memory.
    fn cuMemHostAlloc(at: *mut *mut c_void, bytes: usize, _flags: c_uint) {
        // SAFETY: the caller's pointer.
        unsafe { *at = state().memory.alloc(bytes, true)? as *mut c_void };
        Ok(())
    }

    /// Frees pinned host memory.
    fn cuMemFreeHost(at: *mut c_void) {
        state().memory.free(at as usize, true)
    }

    /// Free and total bytes.
    fn cuMemGetInfo_v2(free: *mut usize, total: *mut usize) {
        // SAFETY: the caller's integers.
        unsafe { (*total, *free) = (memory::total(), memory::total() - state().memory.used) };
        Ok(())
    }

    /// Gives the pool.
    fn cuDeviceGetDefaultMemPool(pool: *mut usize, _device: c_int) {
        // SAFETY: the caller's pointer.
        unsafe { *pool = 0x9001 };
        Ok(())
    }

    /// Accepts the release threshold.
    fn cuMemPoolSetAttribute(_pool: usize, _attribute: c_uint, _value: *mut c_void) {
        Ok(())
    }

    /// Bytes used or reserved: the same here.
    fn cuMemPoolGetAttribute(_pool: usize, _attribute: c_uint, value: *mut c_void) {
        // SAFETY: the attributes that are asked for have 64 bits.
        unsafe { *value.cast::<u64>() = state().memory.used as u64 };
        Ok(())
    }

    /// Copies between any two places.
    fn cuMemcpyAsync(to: u64, from: u64, bytes: usize, stream: usize) {
        copy(to as usize, from as usize, bytes, stream, None)
    }

    /// Copies from pinned host memory.
    fn cuMemcpyHtoDAsync_v2(to: u64, from: *const c_void, bytes: usize, stream: usize) {
        copy(to as usize, from as usize, bytes, stream, Some(from as usize))
    }

    /// Copies to pinned host memory.
    fn cuMemcpyDtoHAsync_v2(to: *mut c_void, from: u64, bytes: usize, stream: usize) {
        copy(to as usize, from as usize, bytes, stream, Some(to as usize))
    }

    /// Fills with a byte.
    fn cuMemsetD8Async(at: u64, byte: u8, bytes: usize, stream: usize) {
        let stream = find_stream(stream)?;
        if !state::dry() && state().memory.holds(at as usize, bytes).is_none() { return Err(codes::INVALID_VALUE) }
        stream.push(Node::Fill(at as usize, byte, bytes))
    }

    /// Loads an image.
    fn cuModuleLoadData(module: *mut usize, image: *const c_void) {
        // SAFETY: passed on from the caller.
        let loaded = unsafe { Module::load(image.cast()) }?;
        let made = handle();
        state().modules.insert(made, Arc::new(loaded));
        // SAFETY: the caller's pointer.
        unsafe { *module = made };
        Ok(())
    }

    /// Unloads a module.
    fn cuModuleUnload(module: usize) {
        state().modules.remove(&module).map(|_| ()).ok_or(codes::INVALID_HANDLE)
    }

    /// Finds a kernel: the same handle each time. It lives as long as the process: the driver's has no end of its own either.
    fn cuModuleGetFunction(function: *mut *const Kernel, module: usize, name: *const c_char) {
        let module = state().modules.get(&module).cloned().ok_or(codes::INVALID_HANDLE)?;
        // SAFETY: the caller's string and pointer.
        unsafe { *function = Arc::into_raw(module.kernel(CStr::from_ptr(name))?) };
        Ok(())
    }

    /// Enqueues a call of a host function.
    fn cuLaunchHostFunc(stream: usize, function: extern "C" fn(*mut c_void), data: *mut c_void) {
        find_stream(stream)?.push(Node::Host(function, data as usize))
    }

    /// Allows dynamic shared memory.
    fn cuFuncSetAttribute(function: *const Kernel, attribute: c_uint, value: c_int) {
        // CU_FUNC_ATTRIBUTE_MAX_DYNAMIC_SHARED_SIZE_BYTES
        if attribute != 8 || value < 0 || value as u32 > MAX_SHARED { return Err(codes::INVALID_VALUE) }
        // SAFETY: a handle that `cuModuleGetFunction` gave.
        unsafe { &*function }.shared.store(value as u32, Relaxed);
        Ok(())
    }

    /// Enqueues a kernel.
    fn cuLaunchKernel(function: *const Kernel, gx: c_uint, gy: c_uint, gz: c_uint, bx: c_uint, by: c_uint, bz: c_uint, shared: c_uint, stream: usize, params: *mut *mut c_void, extra: *mut *mut c_void) {
        let stream = find_stream(stream)?;
        // SAFETY: a handle that `cuModuleGetFunction` gave, held for ever.
        let kernel = unsafe { Arc::increment_strong_count(function); Arc::from_raw(function) };
        let threads = [bx, by, bz].iter().map(|&n| n as u64).product::<u64>();
        if !extra.is_null() || gx == 0 || gy == 0 || gz == 0 || gx > i32::MAX as u32 || gy > 65535 || gz > 65535 || threads == 0 || threads > 1024 || bz > 64 {
            eprintln!("stand-in driver: {}: grid {gx} {gy} {gz}, block {bx} {by} {bz} is refused", kernel.name);
            return Err(codes::INVALID_VALUE);
        }
        if shared > kernel.allowed() {
            eprintln!("stand-in driver: {}: {shared} bytes of shared memory, {} allowed", kernel.name, kernel.allowed());
            return Err(codes::INVALID_VALUE);
        }
        let mut words = vec![0u64; kernel.params.div_ceil(8)];
        // SAFETY: the one parameter is a structure of the size that the kernel told.
        unsafe { (*params).cast::<u8>().copy_to_nonoverlapping(words.as_mut_ptr().cast(), kernel.params) };
        let launch = Launch { grid: [gx, gy, gz], block: [bx, by, bz], shared, order: 0, seed: 0 };
        stream.push(Node::Run(kernel, launch, words.into()))
    }
}

/// Enqueues a copy. `host`: the end that must be pinned, because the driver would otherwise wait for the stream behind the caller's back.
fn copy(to: usize, from: usize, bytes: usize, stream: usize, host: Option<usize>) -> Result<(), Code> {
    let stream = find_stream(stream)?;
    {
        let memory = &state().memory;
        if memory.holds(to, bytes).is_none() || memory.holds(from, bytes).is_none() {
            return Err(codes::INVALID_VALUE);
        }
        if host.is_some_and(|at| memory.holds(at, bytes).is_none_or(|block| !block.pinned)) {
            return Err(codes::INVALID_VALUE);
        }
    }
    stream.push(Node::Copy(to, from, bytes))
}

/// Calls of a function so far: for tests.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn fake_cuda_calls(name: *const c_char) -> u64 {
    // SAFETY: the caller's string.
    let name = unsafe { CStr::from_ptr(name) }.to_string_lossy().into_owned();
    state().calls.get(name.as_str()).copied().unwrap_or(0)
}

/// Plans a failure of a call after `after` that go well: for tests.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn fake_cuda_fail(name: *const c_char, after: u64, code: Code) {
    // SAFETY: the caller's string.
    let name = unsafe { CStr::from_ptr(name) }.to_string_lossy().into_owned();
    state().planned.push((name, after, code));
}

/// What lives: streams, events, executable graphs, modules, blocks of memory. For tests.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn fake_cuda_live(counts: *mut [u64; 5]) {
    let state = state();
    let all =
        [state.streams.len(), state.events.len(), state.execs.len(), state.modules.len(), state.memory.blocks.len()];
    // SAFETY: the caller's array.
    unsafe { *counts = all.map(|count| count as u64) };
}
