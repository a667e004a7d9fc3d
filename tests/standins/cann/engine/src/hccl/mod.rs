//! The collective library's functions, with the vendor's names, signatures and rules (collective library documents). Members are threads or processes of one machine.
//!
//! A call only enqueues; the members meet when their streams reach it. All must make the same calls in the same order. A member that goes away is an error for those that wait
//! for it, one that does not come an error after `HCCL_EXEC_TIMEOUT` seconds (`HCCL_CONNECT_TIMEOUT` while a group is made).
//!
//! Safety: every function has the contract of the vendor's function of that name.
#![allow(non_snake_case, reason = "the vendor's names")]
#![allow(clippy::missing_safety_doc, reason = "the contract of each function is the vendor's, as the module says")]
#![allow(clippy::too_many_arguments, reason = "the parameters are the vendor's")]

mod data;
mod hub;

use crate::abi::c_type::CChar;
use crate::abi::constants::*;
use crate::abi::types::*;
use crate::books::{books, current, enter, handle, number};
use crate::fault::{Answer, Fault, broken, code, refuse, tell};
use crate::stream::{Task, Work, lock};
use data::{Call, Kind};
use hub::Hello;
use std::ffi::c_void;
use std::net::{Ipv4Addr, Shutdown, TcpListener, TcpStream};
use std::sync::atomic::{AtomicI32, AtomicUsize, Ordering::Relaxed};
use std::sync::{Arc, Mutex};
use std::time::Duration;

/// Numbers of the collective library.
pub mod result {
    #![allow(missing_docs, reason = "the vendor's names say what they are")]
    pub const SUCCESS: i32 = 0;
    pub const PARA: i32 = 1;
    pub const NULL: i32 = 2;
    pub const NOT_SUPPORTED: i32 = 5;
    pub const TIMEOUT: i32 = 9;
    pub const RUNTIME: i32 = 15;
    pub const REMOTE: i32 = 21;
}

/// A member's communicator.
pub struct Comm {
    rank: u32,
    size: u32,
    group: u64,
    context: u64,
    socket: Mutex<TcpStream>,
    /// The first failure of a call that ran.
    error: AtomicI32,
    /// Calls that are enqueued.
    pending: AtomicUsize,
}

fn seconds(name: &str, otherwise: u64) -> Duration {
    Duration::from_secs(number(name, otherwise))
}

/// Counts a call, runs it, keeps its words for the thread, and gives a number of this library.
fn call(name: &str, body: impl FnOnce() -> Answer) -> HcclResult {
    let planned = books().planned(name);
    let answer = match planned {
        Some(code) => refuse(code, format!("{name} failed as planned")),
        None => enter().and_then(|()| body()),
    };
    match answer {
        Ok(()) => HcclResult(result::SUCCESS),
        Err(Fault { code, text }) => {
            tell(format!("{name}: {text}"));
            // What the runtime refuses has one number here.
            HcclResult(if code < 100 { code } else { result::RUNTIME })
        }
    }
}

fn give<T>(to: *mut T, value: T) -> Answer {
    if to.is_null() {
        return broken("null", result::NULL, "a null place for a result");
    }
    // SAFETY: the caller's place for this type.
    unsafe { to.write(value) };
    Ok(())
}

fn alive(comm: HcclComm) -> Answer<Arc<Comm>> {
    match books().comms.get(&(comm.0 as u64)).cloned() {
        None => broken("handles", result::PARA, "a communicator that is not alive"),
        Some(found) if found.context != current() => {
            broken("contexts", result::PARA, "a communicator of another context than the current one")
        }
        Some(found) => Ok(found),
    }
}

/// Makes the bytes of a new group, and the thread where its members meet.
pub unsafe fn HcclGetRootInfo(root_info: *mut HcclRootInfo) -> HcclResult {
    call("HcclGetRootInfo", || {
        let made = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))
            .and_then(|listener| Ok((listener.local_addr()?.port(), listener)));
        let Ok((port, listener)) = made else { return refuse(result::RUNTIME, "no port of this machine is free") };
        let group = u64::from(std::process::id()) << 32 | (handle() & 0xffff_ffff);
        let limit = seconds("HCCL_EXEC_TIMEOUT", 60);
        std::thread::spawn(move || hub::serve(&listener, group, limit));
        let mut bytes = [0x5a; HCCL_ROOT_INFO_BYTES];
        bytes[..8].copy_from_slice(&group.to_le_bytes());
        bytes[8..10].copy_from_slice(&port.to_le_bytes());
        give(root_info, HcclRootInfo(bytes))
    })
}

/// Joins a group: returns when all members have.
pub unsafe fn HcclCommInitRootInfo(
    size: u32,
    root_info: *const HcclRootInfo,
    rank: u32,
    comm: *mut HcclComm,
) -> HcclResult {
    call("HcclCommInitRootInfo", || {
        if root_info.is_null() || comm.is_null() {
            return broken("null", result::NULL, "a group without its bytes, or without a place for the communicator");
        }
        if rank >= size {
            return broken("collective", result::PARA, format!("member {rank} of {size}"));
        }
        // SAFETY: the caller's structure.
        let bytes = unsafe { (*root_info).0 };
        let [a, b, c, d, e, f, g, h, port @ ..] = bytes;
        let (group, port) = (u64::from_le_bytes([a, b, c, d, e, f, g, h]), u16::from_le_bytes([port[0], port[1]]));
        let joined = join(Hello { group, size, rank }, port);
        let Ok((socket, answer)) = joined else {
            return refuse(result::TIMEOUT, "the other members did not come in time");
        };
        if answer != result::SUCCESS {
            return broken("collective", answer, format!("member {rank} of {size} fits nowhere in the group"));
        }
        let (made, context) = (handle(), current());
        let (socket, error, pending) = (Mutex::new(socket), AtomicI32::new(0), AtomicUsize::new(0));
        books().comms.insert(made, Arc::new(Comm { rank, size, group, context, socket, error, pending }));
        give(comm, HcclComm(made as *mut c_void))
    })
}

fn join(hello: Hello, port: u16) -> std::io::Result<(TcpStream, i32)> {
    let limit = seconds("HCCL_CONNECT_TIMEOUT", 120);
    let mut socket = TcpStream::connect_timeout(&(Ipv4Addr::LOCALHOST, port).into(), limit)?;
    socket.set_nodelay(true)?;
    socket.set_read_timeout(Some(limit))?;
    hub::greet(&mut socket, hello)?;
    let (answer, _) = hub::answered(&mut socket)?;
    socket.set_read_timeout(None)?;
    Ok((socket, answer))
}

/// Ends a communicator, which must have nothing enqueued.
pub unsafe fn HcclCommDestroy(comm: HcclComm) -> HcclResult {
    call("HcclCommDestroy", || {
        let found = alive(comm)?;
        if found.pending.load(Relaxed) > 0 && crate::books::Lost::cause().is_none() {
            return broken(
                "communicator in use",
                result::PARA,
                "a communicator was destroyed while calls of it are enqueued",
            );
        }
        books().comms.remove(&(comm.0 as u64));
        _ = lock(&found.socket).shutdown(Shutdown::Both);
        Ok(())
    })
}

/// Members of the group.
pub unsafe fn HcclGetRankSize(comm: HcclComm, size: *mut u32) -> HcclResult {
    call("HcclGetRankSize", || give(size, alive(comm)?.size))
}

/// Place in the group.
pub unsafe fn HcclGetRankId(comm: HcclComm, rank: *mut u32) -> HcclResult {
    call("HcclGetRankId", || give(rank, alive(comm)?.rank))
}

/// The group's name.
pub unsafe fn HcclGetCommName(comm: HcclComm, name: *mut CChar) -> HcclResult {
    call("HcclGetCommName", || {
        let text = format!("stand-in {:x}\0", alive(comm)?.group);
        // SAFETY: the interface wants a place of 128 bytes; the text is shorter.
        unsafe { name.cast::<u8>().copy_from_nonoverlapping(text.as_ptr(), text.len()) };
        Ok(())
    })
}

/// The first failure of a call that ran.
pub unsafe fn HcclGetCommAsyncError(comm: HcclComm, error: *mut HcclResult) -> HcclResult {
    call("HcclGetCommAsyncError", || give(error, HcclResult(alive(comm)?.error.load(Relaxed))))
}

/// The words of a number.
pub unsafe fn HcclGetErrorString(code: HcclResult) -> *const CChar {
    let words = match code.0 {
        result::SUCCESS => c"no error",
        result::PARA => c"invalid parameter",
        result::TIMEOUT => c"a member did not come in time",
        result::REMOTE => c"a member has gone",
        _ => c"failed",
    };
    words.as_ptr().cast()
}

/// The ends of one call: what this member sends, and where its result goes.
struct Ends {
    from: (u64, usize),
    to: (u64, usize),
}

fn enqueue(name: &str, comm: HcclComm, stream: aclrtStream, asked: Call, ends: Ends) -> HcclResult {
    call(name, || {
        let comm = alive(comm)?;
        let stream = books().stream(stream.0 as u64)?;
        if matches!(asked.kind, Kind::Reduce | Kind::Scatter)
            && (!data::reduces(asked.dtype) || !(0..=3).contains(&asked.op))
        {
            return refuse(result::NOT_SUPPORTED, format!("{name} of elements of type {}", asked.dtype));
        }
        let ((from, from_bytes), (to, to_bytes)) = (ends.from, ends.to);
        if from != to && from < to + to_bytes as u64 && to < from + from_bytes as u64 {
            return broken("overlap", result::PARA, format!("{name}: what is sent and what is received overlap"));
        }
        let block = |at: u64, bytes: usize, what: &str| match bytes {
            0 => Ok(None),
            _ => books().memory.device(at, bytes, &format!("{name}, {what}")).map(Some),
        };
        let (sent, received) = (block(from, from_bytes, "what is sent")?, block(to, to_bytes, "what is received")?);
        let blocks = sent.iter().chain(&received).cloned().collect();
        let captured = stream.is_capturing();
        if !captured {
            comm.pending.fetch_add(1, Relaxed);
        }
        let mine = comm.clone();
        let action = Box::new(move || {
            let answer = exchange(
                &comm,
                asked,
                sent.as_ref().map(|b| (b.at(from), from_bytes)),
                received.as_ref().map(|b| (b.at(to), to_bytes)),
            );
            if !captured {
                comm.pending.fetch_sub(1, Relaxed);
            }
            answer
        });
        let pushed = stream.push(Task::Run(Arc::new(Work { name: name.to_owned(), blocks, action })));
        if pushed.is_err() && !captured {
            mine.pending.fetch_sub(1, Relaxed);
        }
        pushed
    })
}

/// Meets the others.
fn exchange(comm: &Comm, asked: Call, sent: Option<(*mut u8, usize)>, received: Option<(*mut u8, usize)>) -> Answer {
    // SAFETY: the task holds the block, which has these bytes.
    let payload = sent.map_or(&[][..], |(at, bytes)| unsafe { std::slice::from_raw_parts(at, bytes) });
    let mut socket = lock(&comm.socket);
    let answered = hub::send(&mut socket, asked, payload).and_then(|()| hub::answered(&mut socket));
    let (code, bytes) = answered.unwrap_or((result::REMOTE, Vec::new()));
    if code != result::SUCCESS {
        comm.error.store(code, Relaxed);
    }
    match code {
        result::SUCCESS => {}
        result::PARA => {
            return broken(
                "collective",
                code::AICORE,
                format!("member {} made another call than the others: {asked:?}", comm.rank),
            );
        }
        result::TIMEOUT => return refuse(code::TASK_TIMEOUT, "a member of the group did not come in time"),
        _ => return refuse(code::LINK, "a member of the group has gone"),
    }
    if let Some((at, room)) = received {
        // SAFETY: as above; no more than the block's bytes.
        unsafe { at.copy_from_nonoverlapping(bytes.as_ptr(), bytes.len().min(room)) };
    }
    Ok(())
}

fn bytes(count: u64, kind: HcclDataType) -> usize {
    data::width(kind.0).unwrap_or(1).saturating_mul(count as usize)
}

fn members(comm: HcclComm) -> usize {
    books().comms.get(&(comm.0 as u64)).map_or(1, |comm| comm.size as usize)
}

/// Reduces over all members.
pub unsafe fn HcclAllReduce(
    from: *mut c_void,
    to: *mut c_void,
    count: u64,
    kind: HcclDataType,
    op: HcclReduceOp,
    comm: HcclComm,
    stream: aclrtStream,
) -> HcclResult {
    let all = bytes(count, kind);
    let asked = Call { kind: Kind::Reduce, dtype: kind.0, op: op.0, count };
    enqueue("HcclAllReduce", comm, stream, asked, Ends { from: (from as u64, all), to: (to as u64, all) })
}

/// Puts the parts of all members one after the other.
pub unsafe fn HcclAllGather(
    from: *mut c_void,
    to: *mut c_void,
    count: u64,
    kind: HcclDataType,
    comm: HcclComm,
    stream: aclrtStream,
) -> HcclResult {
    let part = bytes(count, kind);
    let asked = Call { kind: Kind::Gather, dtype: kind.0, op: 0, count };
    enqueue(
        "HcclAllGather",
        comm,
        stream,
        asked,
        Ends { from: (from as u64, part), to: (to as u64, part * members(comm)) },
    )
}

/// Reduces over all members and leaves each its part.
pub unsafe fn HcclReduceScatter(
    from: *mut c_void,
    to: *mut c_void,
    count: u64,
    kind: HcclDataType,
    op: HcclReduceOp,
    comm: HcclComm,
    stream: aclrtStream,
) -> HcclResult {
    let part = bytes(count, kind);
    let asked = Call { kind: Kind::Scatter, dtype: kind.0, op: op.0, count };
    enqueue(
        "HcclReduceScatter",
        comm,
        stream,
        asked,
        Ends { from: (from as u64, part * members(comm)), to: (to as u64, part) },
    )
}

/// Waits in the stream's order until all have arrived.
pub unsafe fn HcclBarrier(comm: HcclComm, stream: aclrtStream) -> HcclResult {
    let asked = Call { kind: Kind::Barrier, dtype: 0, op: 0, count: 0 };
    enqueue("HcclBarrier", comm, stream, asked, Ends { from: (0, 0), to: (0, 0) })
}

macro_rules! absent {
    ($(fn $name:ident($($arg:ident: $ty:ty),*);)*) => {$(
        /// Not here.
        pub unsafe fn $name($($arg: $ty),*) -> HcclResult {
            call(stringify!($name), || refuse(result::NOT_SUPPORTED, "the stand-in does not have this function"))
        }
    )*};
}

absent! {
    fn HcclCommInitAll(_ndev: u32, _devices: *mut i32, _comms: *mut HcclComm);
    fn HcclBroadcast(_buf: *mut c_void, _count: u64, _kind: HcclDataType, _root: u32, _comm: HcclComm, _stream: aclrtStream);
    fn HcclSend(_buf: *mut c_void, _count: u64, _kind: HcclDataType, _rank: u32, _comm: HcclComm, _stream: aclrtStream);
    fn HcclRecv(_buf: *mut c_void, _count: u64, _kind: HcclDataType, _rank: u32, _comm: HcclComm, _stream: aclrtStream);
    fn HcclAlltoAll(_from: *const c_void, _sent: u64, _from_kind: HcclDataType, _to: *const c_void, _received: u64, _to_kind: HcclDataType, _comm: HcclComm, _stream: aclrtStream);
    fn HcclAlltoAllV(_from: *const c_void, _counts: *const c_void, _displs: *const c_void, _from_kind: HcclDataType, _to: *const c_void, _to_counts: *const c_void, _to_displs: *const c_void, _to_kind: HcclDataType, _comm: HcclComm, _stream: aclrtStream);
}
