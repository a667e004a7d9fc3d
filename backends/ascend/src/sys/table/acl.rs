//! Devices, memory, streams, events, graphs: `acl/acl.h`, API 1.17.

/// Calls `$callback!` with the functions of `libascendcl.so`.
///
/// Rows: `[evidence] name(parameters) -> result;`, for the callback that `ascend_functions!` describes.
#[macro_export]
macro_rules! ascend_acl {
    ($($callback:ident)::+) => {
        $($callback)::+! {
            AscendCl, Acl;
            [Header] aclInit(config_path: *const CChar) -> aclError;
            [Header] aclFinalize() -> aclError;
            [Header] aclGetRecentErrMsg() -> *const CChar;
            [Header] aclsysGetVersionStr(pkg_name: *mut CChar, version_str: *mut CChar) -> aclError;
            [Header] aclsysGetVersionNum(pkg_name: *mut CChar, version_num: *mut i32) -> aclError;
            [Header] aclrtGetVersion(major_version: *mut i32, minor_version: *mut i32, patch_version: *mut i32) -> aclError;
            [Header] aclrtGetSocName() -> *const CChar;
            [Header] aclDataTypeSize(data_type: aclDataType) -> usize;
            [Header] aclrtGetRunMode(run_mode: *mut aclrtRunMode) -> aclError;
            [Header] aclrtGetDeviceCount(count: *mut u32) -> aclError;
            [Header] aclrtSetDevice(device_id: i32) -> aclError;
            [Header] aclrtGetDevice(device_id: *mut i32) -> aclError;
            [Header] aclrtResetDevice(device_id: i32) -> aclError;
            [Header] aclrtResetDeviceForce(device_id: i32) -> aclError;
            [Header] aclrtSynchronizeDevice() -> aclError;
            [Header] aclrtSynchronizeDeviceWithTimeout(timeout: i32) -> aclError;
            [Header] aclrtGetDeviceInfo(device_id: u32, attr: aclrtDevAttr, value: *mut i64) -> aclError;
            [Header] aclGetDeviceCapability(device_id: u32, device_info: aclDeviceInfo, value: *mut i64) -> aclError;
            [Header] aclrtGetMemInfo(attr: aclrtMemAttr, free: *mut usize, total: *mut usize) -> aclError;
            [Header] aclrtDeviceCanAccessPeer(can_access_peer: *mut i32, device_id: i32, peer_device_id: i32) -> aclError;
            [Header] aclrtDeviceEnablePeerAccess(peer_device_id: i32, flags: u32) -> aclError;
            [Header] aclrtDeviceDisablePeerAccess(peer_device_id: i32) -> aclError;
            [Header] aclrtCreateContext(context: *mut aclrtContext, device_id: i32) -> aclError;
            [Header] aclrtDestroyContext(context: aclrtContext) -> aclError;
            [Header] aclrtSetCurrentContext(context: aclrtContext) -> aclError;
            [Header] aclrtGetCurrentContext(context: *mut aclrtContext) -> aclError;
            [Header] aclrtCtxSetSysParamOpt(opt: aclSysParamOpt, value: i64) -> aclError;
            [Header] aclrtPeekAtLastError(level: aclrtLastErrLevel) -> aclError;
            [Header] aclrtGetLastError(level: aclrtLastErrLevel) -> aclError;
            [Header] aclrtSetExceptionInfoCallback(callback: aclrtExceptionInfoCallback) -> aclError;
            [Header] aclrtGetTaskIdFromExceptionInfo(info: *const aclrtExceptionInfo) -> u32;
            [Header] aclrtGetStreamIdFromExceptionInfo(info: *const aclrtExceptionInfo) -> u32;
            [Header] aclrtGetErrorCodeFromExceptionInfo(info: *const aclrtExceptionInfo) -> u32;
            [Header] aclrtSetOpWaitTimeout(timeout: u32) -> aclError;
            [Header] aclrtSetOpExecuteTimeOut(timeout: u32) -> aclError;
            [Header] aclrtCreateStream(stream: *mut aclrtStream) -> aclError;
            [Header] aclrtCreateStreamWithConfig(stream: *mut aclrtStream, priority: u32, flag: u32) -> aclError;
            [Header] aclrtDestroyStream(stream: aclrtStream) -> aclError;
            [Header] aclrtDestroyStreamForce(stream: aclrtStream) -> aclError;
            [Header] aclrtSynchronizeStream(stream: aclrtStream) -> aclError;
            [Header] aclrtSynchronizeStreamWithTimeout(stream: aclrtStream, timeout: i32) -> aclError;
            [Header] aclrtStreamQuery(stream: aclrtStream, status: *mut aclrtStreamStatus) -> aclError;
            [Header] aclrtSetStreamFailureMode(stream: aclrtStream, mode: u64) -> aclError;
            [Header] aclrtGetStreamAvailableNum(stream_count: *mut u32) -> aclError;
            [Header] aclrtStreamGetId(stream: aclrtStream, stream_id: *mut i32) -> aclError;
            [Header] aclrtStreamAbort(stream: aclrtStream) -> aclError;
            [Header] aclrtLaunchHostFunc(stream: aclrtStream, function: aclrtHostFunc, args: *mut c_void) -> aclError;
            [Header] aclrtCreateEventExWithFlag(event: *mut aclrtEvent, flag: u32) -> aclError;
            [Header] aclrtCreateEventWithFlag(event: *mut aclrtEvent, flag: u32) -> aclError;
            [Header] aclrtDestroyEvent(event: aclrtEvent) -> aclError;
            [Header] aclrtRecordEvent(event: aclrtEvent, stream: aclrtStream) -> aclError;
            [Header] aclrtStreamWaitEvent(stream: aclrtStream, event: aclrtEvent) -> aclError;
            [Header] aclrtQueryEventStatus(event: aclrtEvent, status: *mut aclrtEventRecordedStatus) -> aclError;
            [Header] aclrtSynchronizeEvent(event: aclrtEvent) -> aclError;
            [Header] aclrtSynchronizeEventWithTimeout(event: aclrtEvent, timeout: i32) -> aclError;
            [Header] aclrtEventElapsedTime(ms: *mut f32, start_event: aclrtEvent, end_event: aclrtEvent) -> aclError;
            [Header] aclrtMalloc(dev_ptr: *mut *mut c_void, size: usize, policy: aclrtMemMallocPolicy) -> aclError;
            [Header] aclrtMallocAlign32(dev_ptr: *mut *mut c_void, size: usize, policy: aclrtMemMallocPolicy) -> aclError;
            [Header] aclrtFree(dev_ptr: *mut c_void) -> aclError;
            [Header] aclrtFreeWithDevSync(dev_ptr: *mut c_void) -> aclError;
            [Header] aclrtMallocHost(host_ptr: *mut *mut c_void, size: usize) -> aclError;
            [Header] aclrtFreeHost(host_ptr: *mut c_void) -> aclError;
            [Header] aclrtHostRegisterV2(ptr: *mut c_void, size: u64, flag: u32) -> aclError;
            [Header] aclrtHostUnregister(ptr: *mut c_void) -> aclError;
            [Header] aclrtMemcpy(dst: *mut c_void, dest_max: usize, src: *const c_void, count: usize, kind: aclrtMemcpyKind) -> aclError;
            [Header] aclrtMemcpyAsync(dst: *mut c_void, dest_max: usize, src: *const c_void, count: usize, kind: aclrtMemcpyKind, stream: aclrtStream) -> aclError;
            [Header] aclrtMemcpy2dAsync(dst: *mut c_void, dpitch: usize, src: *const c_void, spitch: usize, width: usize, height: usize, kind: aclrtMemcpyKind, stream: aclrtStream) -> aclError;
            [Header] aclrtMemset(dev_ptr: *mut c_void, max_count: usize, value: i32, count: usize) -> aclError;
            [Header] aclrtMemsetAsync(dev_ptr: *mut c_void, max_count: usize, value: i32, count: usize, stream: aclrtStream) -> aclError;
            [Header] aclrtReserveMemAddress(vir_ptr: *mut *mut c_void, size: usize, alignment: usize, expect_ptr: *mut c_void, flags: u64) -> aclError;
            [Header] aclrtReleaseMemAddress(vir_ptr: *mut c_void) -> aclError;
            [Header] aclrtMallocPhysical(handle: *mut aclrtDrvMemHandle, size: usize, prop: *const aclrtPhysicalMemProp, flags: u64) -> aclError;
            [Header] aclrtFreePhysical(handle: aclrtDrvMemHandle) -> aclError;
            [Header] aclrtMapMem(vir_ptr: *mut c_void, size: usize, offset: usize, handle: aclrtDrvMemHandle, flags: u64) -> aclError;
            [Header] aclrtUnmapMem(vir_ptr: *mut c_void) -> aclError;
            [Header] aclrtMemGetAllocationGranularity(prop: *mut aclrtPhysicalMemProp, option: aclrtMemGranularityOptions, granularity: *mut usize) -> aclError;
            [Header] aclmdlRICaptureBegin(stream: aclrtStream, mode: aclmdlRICaptureMode) -> aclError;
            [Header] aclmdlRICaptureGetInfo(stream: aclrtStream, status: *mut aclmdlRICaptureStatus, model_ri: *mut aclmdlRI) -> aclError;
            [Header] aclmdlRICaptureEnd(stream: aclrtStream, model_ri: *mut aclmdlRI) -> aclError;
            [Header] aclmdlRICaptureThreadExchangeMode(mode: *mut aclmdlRICaptureMode) -> aclError;
            [Header] aclmdlRIExecuteAsync(model_ri: aclmdlRI, stream: aclrtStream) -> aclError;
            [Header] aclmdlRIDestroy(model_ri: aclmdlRI) -> aclError;
            [Header] aclmdlRIDebugPrint(model_ri: aclmdlRI) -> aclError;
            [Header] aclmdlRICaptureTaskGrpBegin(stream: aclrtStream) -> aclError;
            [Header] aclmdlRICaptureTaskGrpEnd(stream: aclrtStream, handle: *mut aclrtTaskGrp) -> aclError;
            [Header] aclmdlRICaptureTaskUpdateBegin(stream: aclrtStream, handle: aclrtTaskGrp) -> aclError;
            [Header] aclmdlRICaptureTaskUpdateEnd(stream: aclrtStream) -> aclError;
            [Header] aclrtBinaryLoadFromData(data: *const c_void, length: usize, options: *const aclrtBinaryLoadOptions, bin_handle: *mut aclrtBinHandle) -> aclError;
            [Header] aclrtBinaryGetFunction(bin_handle: aclrtBinHandle, kernel_name: *const CChar, func_handle: *mut aclrtFuncHandle) -> aclError;
            [Header] aclrtBinaryUnLoad(bin_handle: aclrtBinHandle) -> aclError;
            [Header] aclrtLaunchKernelWithHostArgs(func_handle: aclrtFuncHandle, num_blocks: u32, stream: aclrtStream, cfg: *mut aclrtLaunchKernelCfg, host_args: *mut c_void, args_size: usize, place_holder_array: *mut aclrtPlaceHolderInfo, place_holder_num: usize) -> aclError;
        }
    };
}
