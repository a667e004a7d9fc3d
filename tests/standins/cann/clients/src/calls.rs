//! Clients of the two phases of a call: executors, workspaces, tensors.

use crate::rig::{BYTES, N, Prepared, Rig};
use fake_cann::abi::{constants::*, types::*};
use std::ptr::null_mut;

pub fn woven_phases(r: &Rig) {
    r.prepared();
    r.prepared();
}

pub fn executor_twice(r: &Rig) {
    let (prepared, ..) = r.prepared();
    let (_, workspace) = r.launch_well(prepared);
    r.launch(prepared, workspace, prepared.size);
}

pub fn executor_after_refusal(r: &Rig) {
    let (prepared, ..) = r.prepared();
    r.launch(prepared, null_mut(), prepared.size);
    // SAFETY: what is tried: the refusal has consumed it.
    unsafe { (r.cann.base.aclDestroyAclOpExecutor)(prepared.executor) };
}

pub fn phases_on_two_threads(r: &Rig) {
    let (prepared, ..) = r.prepared();
    let at = prepared.executor as usize;
    std::thread::scope(|scope| {
        let second = scope.spawn(move || {
            // SAFETY: what is tried.
            unsafe { (r.cann.acl.aclrtSetDevice)(0) };
            r.launch_well(Prepared { size: prepared.size, executor: at as *mut aclOpExecutor }).0
        });
        _ = second.join();
    });
}

pub fn executor_left(r: &Rig) {
    r.prepared();
    // SAFETY: what is tried.
    unsafe { (r.cann.acl.aclrtResetDevice)(0) };
}

pub fn small_workspace(r: &Rig) {
    let (prepared, ..) = r.prepared();
    r.launch(prepared, r.memory(4096), prepared.size - 1);
}

pub fn no_workspace(r: &Rig) {
    let (prepared, ..) = r.prepared();
    r.launch(prepared, null_mut(), prepared.size);
}

pub fn workspace_in_a_tensor(r: &Rig) {
    let memory = r.memory(1 << 16);
    let x = r.tensor(r.memory(BYTES), aclDataType::ACL_FLOAT);
    let y = r.tensor_of(memory, aclDataType::ACL_FLOAT, 1 << 13, 0);
    if let Ok(prepared) = r.exp(y, r.tensor_of(r.memory(1 << 15), aclDataType::ACL_FLOAT, 1 << 13, 0)) {
        r.launch(prepared, memory, prepared.size);
    }
    let _ = x;
}

pub fn workspace_not_alive(r: &Rig) {
    let (prepared, ..) = r.prepared();
    let at = r.memory(1 << 16);
    r.free(at);
    r.launch(prepared, at, prepared.size);
}

pub fn tensor_destroyed_early(r: &Rig) {
    let (prepared, tensors, _) = r.prepared();
    // SAFETY: what is tried.
    unsafe { (r.cann.base.aclDestroyTensor)(tensors[0]) };
    r.launch_well(prepared);
}

pub fn destroyed_with_its_list(r: &Rig) {
    let tensor: *const aclTensor = r.tensor(r.memory(BYTES), aclDataType::ACL_FLOAT);
    // SAFETY: what is tried: the list owns the tensor.
    unsafe {
        let list = (r.cann.base.aclCreateTensorList)(&tensor, 1);
        (r.cann.base.aclDestroyTensorList)(list);
        (r.cann.base.aclDestroyTensor)(tensor);
    }
}

pub fn tensor_too_long(r: &Rig) {
    let x = r.tensor_of(r.memory(BYTES), aclDataType::ACL_FLOAT, N as i64 + 1, 0);
    _ = r.exp(x, r.tensor_of(r.memory(2 * BYTES), aclDataType::ACL_FLOAT, N as i64 + 1, 0));
}

pub fn crooked_address(r: &Rig) {
    let x = r.tensor(r.memory(2 * BYTES).wrapping_byte_add(4), aclDataType::ACL_FLOAT);
    _ = r.exp(x, r.tensor(r.memory(BYTES), aclDataType::ACL_FLOAT));
}

pub fn negative_dimension(r: &Rig) {
    r.tensor_of(r.memory(BYTES), aclDataType::ACL_FLOAT, -1, 0);
}

pub fn output_is_input(r: &Rig) {
    let at = r.memory(BYTES);
    _ = r.exp(r.tensor(at, aclDataType::ACL_FLOAT), r.tensor(at, aclDataType::ACL_FLOAT));
}

pub fn missing_type(r: &Rig) {
    let kind = aclDataType::ACL_FLOAT8_E4M3FN;
    let refused = r.exp(r.tensor(r.memory(BYTES), kind), r.tensor(r.memory(BYTES), kind));
    assert_eq!(refused.err(), Some(161_002));
}
