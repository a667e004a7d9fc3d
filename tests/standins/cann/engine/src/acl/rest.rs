//! Functions that this stand-in does not have: they say so.

use super::early;
use crate::abi::c_type::CChar;
use crate::abi::constants::*;
use crate::abi::types::*;
use crate::fault::{code, refuse};
use std::ffi::c_void;

early! {
    /// Not here.
    fn aclGetDeviceCapability(_device_id: u32, _device_info: aclDeviceInfo, _value: *mut i64) { refuse(code::UNSUPPORTED, "the stand-in does not have this function") }
    /// Not here.
    fn aclrtDeviceCanAccessPeer(_can_access_peer: *mut i32, _device_id: i32, _peer_device_id: i32) { refuse(code::UNSUPPORTED, "the stand-in does not have this function") }
    /// Not here.
    fn aclrtDeviceEnablePeerAccess(_peer_device_id: i32, _flags: u32) { refuse(code::UNSUPPORTED, "the stand-in does not have this function") }
    /// Not here.
    fn aclrtDeviceDisablePeerAccess(_peer_device_id: i32) { refuse(code::UNSUPPORTED, "the stand-in does not have this function") }
    /// Not here.
    fn aclrtPeekAtLastError(_level: aclrtLastErrLevel) { refuse(code::UNSUPPORTED, "the stand-in does not have this function") }
    /// Not here.
    fn aclrtGetLastError(_level: aclrtLastErrLevel) { refuse(code::UNSUPPORTED, "the stand-in does not have this function") }
    /// Not here.
    fn aclrtSetExceptionInfoCallback(_callback: aclrtExceptionInfoCallback) { refuse(code::UNSUPPORTED, "the stand-in does not have this function") }
    /// Not here.
    fn aclrtSetOpWaitTimeout(_timeout: u32) { refuse(code::UNSUPPORTED, "the stand-in does not have this function") }
    /// Not here.
    fn aclrtSetOpExecuteTimeOut(_timeout: u32) { refuse(code::UNSUPPORTED, "the stand-in does not have this function") }
    /// Not here.
    fn aclrtStreamAbort(_stream: aclrtStream) { refuse(code::UNSUPPORTED, "the stand-in does not have this function") }
    /// Not here.
    fn aclrtHostRegisterV2(_ptr: *mut c_void, _size: u64, _flag: u32) { refuse(code::UNSUPPORTED, "the stand-in does not have this function") }
    /// Not here.
    fn aclrtHostUnregister(_ptr: *mut c_void) { refuse(code::UNSUPPORTED, "the stand-in does not have this function") }
    /// Not here.
    fn aclrtMemcpy2dAsync(_dst: *mut c_void, _dpitch: usize, _src: *const c_void, _spitch: usize, _width: usize, _height: usize, _kind: aclrtMemcpyKind, _stream: aclrtStream) { refuse(code::UNSUPPORTED, "the stand-in does not have this function") }
    /// Not here.
    fn aclrtReserveMemAddress(_vir_ptr: *mut *mut c_void, _size: usize, _alignment: usize, _expect_ptr: *mut c_void, _flags: u64) { refuse(code::UNSUPPORTED, "the stand-in does not have this function") }
    /// Not here.
    fn aclrtReleaseMemAddress(_vir_ptr: *mut c_void) { refuse(code::UNSUPPORTED, "the stand-in does not have this function") }
    /// Not here.
    fn aclrtMallocPhysical(_handle: *mut aclrtDrvMemHandle, _size: usize, _prop: *const aclrtPhysicalMemProp, _flags: u64) { refuse(code::UNSUPPORTED, "the stand-in does not have this function") }
    /// Not here.
    fn aclrtFreePhysical(_handle: aclrtDrvMemHandle) { refuse(code::UNSUPPORTED, "the stand-in does not have this function") }
    /// Not here.
    fn aclrtMapMem(_vir_ptr: *mut c_void, _size: usize, _offset: usize, _handle: aclrtDrvMemHandle, _flags: u64) { refuse(code::UNSUPPORTED, "the stand-in does not have this function") }
    /// Not here.
    fn aclrtUnmapMem(_vir_ptr: *mut c_void) { refuse(code::UNSUPPORTED, "the stand-in does not have this function") }
    /// Not here.
    fn aclrtMemGetAllocationGranularity(_prop: *mut aclrtPhysicalMemProp, _option: aclrtMemGranularityOptions, _granularity: *mut usize) { refuse(code::UNSUPPORTED, "the stand-in does not have this function") }
    /// Not here.
    fn aclmdlRICaptureThreadExchangeMode(_mode: *mut aclmdlRICaptureMode) { refuse(code::UNSUPPORTED, "the stand-in does not have this function") }
    /// Not here.
    fn aclmdlRIDebugPrint(_model_ri: aclmdlRI) { refuse(code::UNSUPPORTED, "the stand-in does not have this function") }
    /// Not here.
    fn aclmdlRICaptureTaskGrpBegin(_stream: aclrtStream) { refuse(code::UNSUPPORTED, "the stand-in does not have this function") }
    /// Not here.
    fn aclmdlRICaptureTaskGrpEnd(_stream: aclrtStream, _handle: *mut aclrtTaskGrp) { refuse(code::UNSUPPORTED, "the stand-in does not have this function") }
    /// Not here.
    fn aclmdlRICaptureTaskUpdateBegin(_stream: aclrtStream, _handle: aclrtTaskGrp) { refuse(code::UNSUPPORTED, "the stand-in does not have this function") }
    /// Not here.
    fn aclmdlRICaptureTaskUpdateEnd(_stream: aclrtStream) { refuse(code::UNSUPPORTED, "the stand-in does not have this function") }
    /// Not here.
    fn aclrtBinaryLoadFromData(_data: *const c_void, _length: usize, _options: *const aclrtBinaryLoadOptions, _bin_handle: *mut aclrtBinHandle) { refuse(code::UNSUPPORTED, "the stand-in does not have this function") }
    /// Not here.
    fn aclrtBinaryGetFunction(_bin_handle: aclrtBinHandle, _kernel_name: *const CChar, _func_handle: *mut aclrtFuncHandle) { refuse(code::UNSUPPORTED, "the stand-in does not have this function") }
    /// Not here.
    fn aclrtBinaryUnLoad(_bin_handle: aclrtBinHandle) { refuse(code::UNSUPPORTED, "the stand-in does not have this function") }
    /// Not here.
    fn aclrtLaunchKernelWithHostArgs(_func_handle: aclrtFuncHandle, _num_blocks: u32, _stream: aclrtStream, _cfg: *mut aclrtLaunchKernelCfg, _host_args: *mut c_void, _args_size: usize, _place_holder_array: *mut aclrtPlaceHolderInfo, _place_holder_num: usize) { refuse(code::UNSUPPORTED, "the stand-in does not have this function") }
}

/// Not here: no callback is ever called.
pub unsafe fn aclrtGetTaskIdFromExceptionInfo(_info: *const aclrtExceptionInfo) -> u32 {
    0
}

/// Not here: no callback is ever called.
pub unsafe fn aclrtGetStreamIdFromExceptionInfo(_info: *const aclrtExceptionInfo) -> u32 {
    0
}

/// Not here: no callback is ever called.
pub unsafe fn aclrtGetErrorCodeFromExceptionInfo(_info: *const aclrtExceptionInfo) -> u32 {
    0
}
