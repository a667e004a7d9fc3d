//! Clients of the collectives: two members, each a thread.

use crate::rig::{BYTES, N, Rig};
use fake_cann::abi::{constants::*, types::*};
use std::ffi::c_void;

const F32: HcclDataType = HcclDataType::HCCL_DATA_TYPE_FP32;
const SUM: HcclReduceOp = HcclReduceOp::HCCL_REDUCE_SUM;

/// A member.
#[derive(Clone, Copy)]
struct Member<'a> {
    rig: &'a Rig,
    comm: HcclComm,
    stream: aclrtStream,
}

fn info(r: &Rig) -> HcclRootInfo {
    let mut info = HcclRootInfo([0; HCCL_ROOT_INFO_BYTES]);
    // SAFETY: a place to write to.
    unsafe { (r.cann.hccl.HcclGetRootInfo)(&mut info) };
    info
}

fn join<'a>(rig: &'a Rig, info: &HcclRootInfo, rank: u32) -> (i32, Member<'a>) {
    let (mut comm, mut stream) = (HcclComm::NULL, aclrtStream::NULL);
    // SAFETY: places to write to.
    let code = unsafe {
        (rig.cann.acl.aclrtSetDevice)(0);
        (rig.cann.acl.aclrtCreateStream)(&mut stream);
        (rig.cann.hccl.HcclCommInitRootInfo)(2, info, rank, &mut comm)
    };
    (code.0, Member { rig, comm, stream })
}

impl Member<'_> {
    fn sum(&self, from: *mut c_void, to: *mut c_void, count: usize) -> i32 {
        // SAFETY: whether it may run is what the clients try.
        unsafe { (self.rig.cann.hccl.HcclAllReduce)(from, to, count as u64, F32, SUM, self.comm, self.stream).0 }
    }

    fn sync(&self) -> i32 {
        // SAFETY: as above.
        unsafe { (self.rig.cann.acl.aclrtSynchronizeStream)(self.stream) }
    }

    fn end(&self) -> i32 {
        // SAFETY: as above.
        unsafe { (self.rig.cann.hccl.HcclCommDestroy)(self.comm).0 }
    }
}

/// Both members, each on a thread.
fn both(r: &Rig, act: impl Fn(Member<'_>, usize) + Sync) {
    let info = info(r);
    std::thread::scope(|scope| {
        let (act, info) = (&act, &info);
        for rank in 0..2 {
            scope.spawn(move || {
                let (code, member) = join(r, info, rank as u32);
                assert_eq!(code, 0);
                act(member, rank);
            });
        }
    });
}

pub fn right(r: &Rig) {
    both(r, |member, _| {
        let at = r.memory(BYTES);
        assert_eq!([member.sum(at, at, N), member.sync(), member.end()], [0; 3]);
    });
}

pub fn different_counts(r: &Rig) {
    both(r, |member, rank| {
        let at = r.memory(BYTES);
        member.sum(at, at, N - rank);
        member.sync();
    });
}

pub fn same_place(r: &Rig) {
    let info = info(r);
    std::thread::scope(|scope| {
        let tasks: Vec<_> = (0..2).map(|_| scope.spawn(|| join(r, &info, 0).0)).collect();
        // One is told, the other one still waits for its fellow.
        while tasks.iter().all(|task| !task.is_finished()) {
            std::thread::yield_now();
        }
        std::process::exit(0);
    });
}

pub fn ended(r: &Rig) {
    both(r, |member, _| {
        let at = r.memory(BYTES);
        member.end();
        member.sum(at, at, N);
    });
}

pub fn ended_in_use(r: &Rig) {
    both(r, |member, rank| {
        let at = r.memory(BYTES);
        if rank == 0 {
            member.sum(at, at, N);
            member.end();
            std::process::exit(0);
        }
        std::thread::park();
    });
}

pub fn freed_in_use(r: &Rig) {
    both(r, |member, rank| {
        let at = r.memory(BYTES);
        if rank == 0 {
            member.sum(at, at, N);
            r.free(at);
            std::process::exit(0);
        }
        std::thread::park();
    });
}

pub fn host_memory(r: &Rig) {
    both(r, |member, _| {
        let mut host = [0f32; N];
        member.sum(host.as_mut_ptr().cast(), r.memory(BYTES), N);
    });
}

pub fn overlapping(r: &Rig) {
    both(r, |member, _| {
        let at = r.memory(2 * BYTES);
        member.sum(at, at.wrapping_byte_add(64), N);
    });
}

pub fn absent(r: &Rig) {
    // SAFETY: no other thread of this client reads the environment now.
    unsafe { std::env::set_var("HCCL_EXEC_TIMEOUT", "1") };
    both(r, |member, rank| {
        let at = r.memory(BYTES);
        if rank == 0 {
            assert_eq!([member.sum(at, at, N), member.sync()], [0, 107_020]);
            let mut error = HcclResult::HCCL_SUCCESS;
            // SAFETY: a place to write to.
            unsafe { (r.cann.hccl.HcclGetCommAsyncError)(member.comm, &mut error) };
            assert_eq!(error, HcclResult::HCCL_E_TIMEOUT);
            std::process::exit(0);
        }
        std::thread::park();
    });
}
