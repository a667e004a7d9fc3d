//! The clients: each breaks one rule, and is otherwise as it should be.

use crate::rig::{BYTES, Rig};
use crate::{calls, groups};
use fake_cann::abi::{constants::*, types::*};
use std::ffi::c_void;
use std::ptr::{null, null_mut};

/// How a client must end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Caught {
    /// The log names this rule.
    Rule(&'static str),
    /// The process dies of a memory access.
    Fault,
    /// No rule is broken.
    Not,
}

use Caught::{Fault, Not, Rule};

/// A client: its name, how it must end, what it does.
pub type Client = (&'static str, Caught, fn(&Rig));

const H2D: aclrtMemcpyKind = aclrtMemcpyKind::ACL_MEMCPY_HOST_TO_DEVICE;
const D2D: aclrtMemcpyKind = aclrtMemcpyKind::ACL_MEMCPY_DEVICE_TO_DEVICE;

fn event(r: &Rig, flags: u32) -> aclrtEvent {
    let mut event = aclrtEvent::NULL;
    // SAFETY: a place to write to.
    unsafe { (r.cann.acl.aclrtCreateEventExWithFlag)(&mut event, flags) };
    event
}

fn right(r: &Rig) {
    let (prepared, tensors, memory) = r.prepared();
    let (code, workspace) = r.launch_well(prepared);
    let ended = r.sync();
    assert_eq!((code, ended), (0, 0));
    // SAFETY: made above, given back once.
    unsafe {
        tensors.iter().for_each(|&t| _ = (r.cann.base.aclDestroyTensor)(t));
        (r.cann.acl.aclrtDestroyStream)(r.stream);
    }
    memory.iter().chain([&workspace]).for_each(|&at| _ = r.free(at));
    // SAFETY: nothing is left.
    unsafe { (r.cann.acl.aclrtResetDevice)(0) };
}

fn twice_ready(r: &Rig) {
    // SAFETY: a second start is answered, not refused.
    assert_eq!(unsafe { (r.cann.acl.aclInit)(null()) }, 100_002);
}

fn after_the_end(r: &Rig) {
    // SAFETY: what is tried.
    unsafe { (r.cann.acl.aclFinalize)() };
    r.memory(BYTES);
}

fn without_context(r: &Rig) {
    std::thread::scope(|scope| _ = scope.spawn(|| r.memory(BYTES).is_null()).join());
}

fn forced_reset(r: &Rig) {
    // SAFETY: what is tried.
    unsafe { (r.cann.acl.aclrtResetDeviceForce)(0) };
}

fn foreign_context(r: &Rig) {
    let mut context = aclrtContext::NULL;
    // SAFETY: a place to write to; it is current from here on.
    unsafe { (r.cann.acl.aclrtCreateContext)(&mut context, 0) };
    r.sync();
}

fn dead_stream(r: &Rig) {
    // SAFETY: what is tried.
    unsafe { (r.cann.acl.aclrtDestroyStream)(r.stream) };
    r.sync();
}

fn reads_the_device(r: &Rig) {
    let at = r.memory(BYTES);
    // SAFETY: what is tried: no host may.
    std::process::exit(unsafe { at.cast::<u8>().read_volatile() } as i32 & 1);
}

fn nothing_allocated(r: &Rig) {
    r.memory(0);
}

fn freed_in_use(r: &Rig) {
    let at = r.memory(BYTES);
    r.busy();
    r.fill(at);
    r.free(at);
}

fn workspace_freed_in_use(r: &Rig) {
    let (prepared, ..) = r.prepared();
    r.busy();
    let (_, workspace) = r.launch_well(prepared);
    r.free(workspace);
}

fn freed_twice(r: &Rig) {
    let at = r.memory(BYTES);
    r.free(at);
    r.free(at);
}

fn freed_inside(r: &Rig) {
    r.free(r.memory(BYTES).wrapping_byte_add(64));
}

fn freed_null(r: &Rig) {
    r.free(null_mut());
}

fn small_destination(r: &Rig) {
    r.copy(r.memory(BYTES), BYTES - 1, r.memory(BYTES), BYTES, D2D);
}

fn past_the_end(r: &Rig) {
    r.copy(r.memory(BYTES), BYTES + 4, r.memory(2 * BYTES), BYTES + 4, D2D);
}

fn overlapping_copy(r: &Rig) {
    let at = r.memory(2 * BYTES);
    r.copy(at.wrapping_byte_add(64), BYTES, at, BYTES, D2D);
}

fn wrong_direction(r: &Rig) {
    r.copy(r.memory(BYTES), BYTES, r.memory(BYTES), BYTES, H2D);
}

fn pageable(r: &Rig) {
    let host = [0u8; BYTES];
    r.copy(r.memory(BYTES), BYTES, host.as_ptr().cast(), BYTES, H2D);
}

fn graph_of_freed_memory(r: &Rig) {
    let at = r.memory(BYTES);
    r.capture();
    r.fill(at);
    let (_, graph) = r.captured();
    r.free(at);
    r.replay(graph);
}

fn wait_in_capture(r: &Rig) {
    r.capture();
    r.sync();
}

fn copy_that_waits_in_capture(r: &Rig) {
    let (to, host) = (r.memory(BYTES), [0u8; BYTES]);
    r.capture();
    // SAFETY: what is tried.
    unsafe { (r.cann.acl.aclrtMemcpy)(to, BYTES, host.as_ptr().cast::<c_void>(), BYTES, H2D) };
}

fn capture_ends_elsewhere(r: &Rig) {
    r.capture();
    std::thread::scope(|scope| {
        let other = scope.spawn(|| {
            // SAFETY: what is tried.
            unsafe { (r.cann.acl.aclrtSetDevice)(0) };
            r.captured().0
        });
        _ = other.join();
    });
}

fn default_stream_captured(r: &Rig) {
    let mode = aclmdlRICaptureMode::ACL_MODEL_RI_CAPTURE_MODE_THREAD_LOCAL;
    // SAFETY: what is tried.
    unsafe { (r.cann.acl.aclmdlRICaptureBegin)(aclrtStream::NULL, mode) };
}

fn capture_waits_for_outside(r: &Rig) {
    let event = event(r, ACL_EVENT_SYNC);
    // SAFETY: what is tried.
    unsafe { (r.cann.acl.aclrtRecordEvent)(event, r.stream) };
    r.capture();
    // SAFETY: what is tried.
    unsafe { (r.cann.acl.aclrtStreamWaitEvent)(r.stream, event) };
}

fn event_without_sync(r: &Rig) {
    let event = event(r, ACL_EVENT_TIME_LINE);
    // SAFETY: what is tried.
    unsafe { (r.cann.acl.aclrtStreamWaitEvent)(r.stream, event) };
}

fn failure_mode_twice(r: &Rig) {
    // SAFETY: what is tried.
    unsafe {
        (r.cann.acl.aclrtSetStreamFailureMode)(r.stream, ACL_STOP_ON_FAILURE);
        (r.cann.acl.aclrtSetStreamFailureMode)(r.stream, ACL_STOP_ON_FAILURE);
    }
}

fn busy_stream_destroyed(r: &Rig) {
    r.busy();
    // SAFETY: what is tried.
    unsafe { (r.cann.acl.aclrtDestroyStream)(r.stream) };
}

fn running_graph_destroyed(r: &Rig) {
    let at = r.memory(BYTES);
    r.capture();
    r.busy();
    r.fill(at);
    let (_, graph) = r.captured();
    r.replay(graph);
    // SAFETY: what is tried.
    unsafe { (r.cann.acl.aclmdlRIDestroy)(graph) };
}

fn stream_left(r: &Rig) {
    // SAFETY: what is tried.
    unsafe { (r.cann.acl.aclrtResetDevice)(0) };
}

fn index_outside(r: &Rig) {
    let (x, at) = (r.tensor(r.memory(BYTES), aclDataType::ACL_FLOAT), r.memory(BYTES));
    // SAFETY: a fill that waits: every index is 0x01010101.
    unsafe { (r.cann.acl.aclrtMemset)(at, BYTES, 1, BYTES) };
    let (index, y) = (r.tensor(at, aclDataType::ACL_INT32), r.tensor(r.memory(BYTES), aclDataType::ACL_FLOAT));
    let (mut size, mut executor) = (0, null_mut());
    // SAFETY: two places to write to; the second phase as it should be.
    unsafe {
        (r.cann.ops.aclnnIndexSelectGetWorkspaceSize)(x, 0, index, y, &mut size, &mut executor);
        (r.cann.ops.aclnnIndexSelect)(r.memory(size as usize), size, executor, r.stream);
    }
    r.sync();
}

fn reduced_precision(r: &Rig) {
    let matrix = || {
        let (dims, at) = ([8i64, 8], r.memory(BYTES));
        let format = aclFormat::ACL_FORMAT_ND;
        // SAFETY: arrays of two elements.
        unsafe {
            (r.cann.base.aclCreateTensor)(
                dims.as_ptr(),
                2,
                aclDataType::ACL_FLOAT,
                null(),
                0,
                format,
                dims.as_ptr(),
                2,
                at,
            )
        }
    };
    let (mut size, mut executor) = (0, null_mut());
    // SAFETY: two places to write to.
    unsafe { (r.cann.ops.aclnnMmGetWorkspaceSize)(matrix(), matrix(), matrix(), 1, &mut size, &mut executor) };
}

fn null_places(r: &Rig) {
    let x = r.tensor(r.memory(BYTES), aclDataType::ACL_FLOAT);
    // SAFETY: what is tried.
    unsafe { (r.cann.ops.aclnnExpGetWorkspaceSize)(x, x, null_mut(), null_mut()) };
}

fn time_of_an_event_without_it(r: &Rig) {
    let event = event(r, ACL_EVENT_SYNC);
    let mut milliseconds = 0.0;
    // SAFETY: what is tried.
    unsafe {
        (r.cann.acl.aclrtRecordEvent)(event, r.stream);
        r.sync();
        (r.cann.acl.aclrtEventElapsedTime)(&mut milliseconds, event, event);
    }
}

fn crooked_workspace(r: &Rig) {
    let (prepared, ..) = r.prepared();
    r.launch(prepared, r.memory(1 << 16).wrapping_byte_add(4), prepared.size);
}

fn output_freed_in_use(r: &Rig) {
    let (prepared, _, memory) = r.prepared();
    r.busy();
    r.launch_well(prepared);
    r.free(memory[1]);
}

fn within_the_host(r: &Rig) {
    let (from, mut to) = ([0u8; BYTES], [0u8; BYTES]);
    let kind = aclrtMemcpyKind::ACL_MEMCPY_HOST_TO_HOST;
    assert_eq!(r.copy(to.as_mut_ptr().cast(), BYTES, from.as_ptr().cast(), BYTES, kind), 207_000);
}

fn text_twice(r: &Rig) {
    let kind = aclDataType::ACL_FLOAT8_E4M3FN;
    assert!(r.exp(r.tensor(r.memory(BYTES), kind), r.tensor(r.memory(BYTES), kind)).is_err());
    // SAFETY: takes nothing.
    let texts = unsafe { [(); 2].map(|()| (r.cann.acl.aclGetRecentErrMsg)().is_null()) };
    assert_eq!(texts, [false, true], "the first read consumes the text");
}

fn repeated_on_another_stream(r: &Rig) {
    let event = event(r, ACL_EVENT_SYNC);
    let mut other = aclrtStream::NULL;
    let at = r.memory(BYTES);
    r.busy();
    r.fill(at);
    // SAFETY: what is tried: the mark on the idle stream passes first, and says nothing about the busy one.
    unsafe {
        (r.cann.acl.aclrtCreateStream)(&mut other);
        (r.cann.acl.aclrtRecordEvent)(event, r.stream);
        (r.cann.acl.aclrtRecordEvent)(event, other);
        (r.cann.acl.aclrtSynchronizeEvent)(event);
    }
    r.free(at);
}

/// All of them. The first two are right: they must not be caught.
pub const ALL: &[Client] = &[
    ("a right client", Not, right),
    ("started twice", Not, twice_ready),
    ("a call after the end", Rule("init"), after_the_end),
    ("a thread without a context", Rule("contexts"), without_context),
    ("a stream of another context", Rule("contexts"), foreign_context),
    ("a forced reset", Rule("devices"), forced_reset),
    ("a destroyed stream", Rule("handles"), dead_stream),
    ("the host reads device memory", Fault, reads_the_device),
    ("0 bytes allocated", Rule("sizes"), nothing_allocated),
    ("memory freed while a task uses it", Rule("free in use"), freed_in_use),
    ("workspace freed while a task uses it", Rule("free in use"), workspace_freed_in_use),
    ("memory freed twice", Rule("free"), freed_twice),
    ("memory freed from its middle", Rule("free"), freed_inside),
    ("null freed", Rule("free"), freed_null),
    ("a copy larger than its destination", Rule("ranges"), small_destination),
    ("a copy past the end", Rule("ranges"), past_the_end),
    ("a copy onto itself", Rule("overlap"), overlapping_copy),
    ("a copy in the wrong direction", Rule("memory kind"), wrong_direction),
    ("an asynchronous copy of pageable memory", Rule("pageable"), pageable),
    ("an operator prepared between another's phases", Rule("phases"), calls::woven_phases),
    ("an executor used twice", Rule("executors"), calls::executor_twice),
    ("an executor destroyed after the second phase refused", Rule("executors"), calls::executor_after_refusal),
    ("phases on two threads", Rule("executors"), calls::phases_on_two_threads),
    ("an executor left over", Rule("leaks"), calls::executor_left),
    ("another size of workspace", Rule("workspace"), calls::small_workspace),
    ("no workspace", Rule("workspace"), calls::no_workspace),
    ("a workspace within a tensor", Rule("workspace"), calls::workspace_in_a_tensor),
    ("a workspace that was freed", Rule("ranges"), calls::workspace_not_alive),
    ("a tensor destroyed between the phases", Rule("handles"), calls::tensor_destroyed_early),
    ("a tensor destroyed after its list", Rule("handles"), calls::destroyed_with_its_list),
    ("a tensor longer than its memory", Rule("ranges"), calls::tensor_too_long),
    ("a tensor at a crooked address", Rule("tensor alignment"), calls::crooked_address),
    ("a tensor of negative length", Rule("tensor shape"), calls::negative_dimension),
    ("an output that is an input", Rule("aliasing"), calls::output_is_input),
    ("an element type that the chip lacks", Not, calls::missing_type),
    ("a graph of freed memory", Rule("freed memory"), graph_of_freed_memory),
    ("a wait within a capture", Rule("capture"), wait_in_capture),
    ("a copy that waits within a capture", Rule("capture"), copy_that_waits_in_capture),
    ("a capture ended by another thread", Rule("capture"), capture_ends_elsewhere),
    ("a capture of the default stream", Rule("capture"), default_stream_captured),
    ("a capture that waits for work outside", Rule("capture"), capture_waits_for_outside),
    ("a wait for an event without SYNC", Rule("event flags"), event_without_sync),
    ("the failure mode set twice", Rule("failure mode"), failure_mode_twice),
    ("a busy stream destroyed", Rule("stream in use"), busy_stream_destroyed),
    ("a running graph destroyed", Rule("graph in use"), running_graph_destroyed),
    ("a stream left over", Rule("leaks"), stream_left),
    ("an index outside", Rule("index"), index_outside),
    ("a product in reduced precision", Rule("precision"), reduced_precision),
    ("no place for a result", Rule("null"), null_places),
    ("the time of an event that keeps none", Rule("event flags"), time_of_an_event_without_it),
    ("a workspace at a crooked address", Rule("workspace"), crooked_workspace),
    ("an output freed while an operator writes it", Rule("free in use"), output_freed_in_use),
    ("a copy within the host in a stream's order", Not, within_the_host),
    ("the text of a failure read twice", Not, text_twice),
    ("memory freed by an event's mark on another stream", Rule("free in use"), repeated_on_another_stream),
    ("a right group", Not, groups::right),
    ("members that make different calls", Rule("collective"), groups::different_counts),
    ("two members of one place", Rule("collective"), groups::same_place),
    ("a communicator used after its end", Rule("handles"), groups::ended),
    ("a communicator ended while a call is enqueued", Rule("communicator in use"), groups::ended_in_use),
    ("memory freed while a collective uses it", Rule("free in use"), groups::freed_in_use),
    ("the host's memory in a collective", Rule("ranges"), groups::host_memory),
    ("a collective that receives where it sends", Rule("overlap"), groups::overlapping),
    ("a member that never calls", Not, groups::absent),
];
