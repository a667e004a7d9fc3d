//! Collectives: `hccl/hccl.h`.

/// Calls `$callback!` with the functions of `libhccl.so`.
///
/// Rows: `[evidence] name(parameters) -> result;`, for the callback that `ascend_functions!` describes.
#[macro_export]
macro_rules! ascend_hccl {
    ($($callback:ident)::+) => {
        $($callback)::+! {
            Hccl, Hccl;
            [Header] HcclGetRootInfo(root_info: *mut HcclRootInfo) -> HcclResult;
            [Header] HcclCommInitRootInfo(n_ranks: u32, root_info: *const HcclRootInfo, rank: u32, comm: *mut HcclComm) -> HcclResult;
            [Header] HcclCommInitAll(ndev: u32, devices: *mut i32, comms: *mut HcclComm) -> HcclResult;
            [Header] HcclCommDestroy(comm: HcclComm) -> HcclResult;
            [Header] HcclGetRankSize(comm: HcclComm, rank_size: *mut u32) -> HcclResult;
            [Header] HcclGetRankId(comm: HcclComm, rank: *mut u32) -> HcclResult;
            [Header] HcclGetCommName(comm: HcclComm, comm_name: *mut CChar) -> HcclResult;
            [Header] HcclGetCommAsyncError(comm: HcclComm, async_error: *mut HcclResult) -> HcclResult;
            [Header] HcclGetErrorString(code: HcclResult) -> *const CChar;
            [Header] HcclAllReduce(send_buf: *mut c_void, recv_buf: *mut c_void, count: u64, data_type: HcclDataType, op: HcclReduceOp, comm: HcclComm, stream: aclrtStream) -> HcclResult;
            [Header] HcclAllGather(send_buf: *mut c_void, recv_buf: *mut c_void, send_count: u64, data_type: HcclDataType, comm: HcclComm, stream: aclrtStream) -> HcclResult;
            [Header] HcclReduceScatter(send_buf: *mut c_void, recv_buf: *mut c_void, recv_count: u64, data_type: HcclDataType, op: HcclReduceOp, comm: HcclComm, stream: aclrtStream) -> HcclResult;
            [Header] HcclBroadcast(buf: *mut c_void, count: u64, data_type: HcclDataType, root: u32, comm: HcclComm, stream: aclrtStream) -> HcclResult;
            [Header] HcclSend(send_buf: *mut c_void, count: u64, data_type: HcclDataType, dest_rank: u32, comm: HcclComm, stream: aclrtStream) -> HcclResult;
            [Header] HcclRecv(recv_buf: *mut c_void, count: u64, data_type: HcclDataType, src_rank: u32, comm: HcclComm, stream: aclrtStream) -> HcclResult;
            [Header] HcclAlltoAll(send_buf: *const c_void, send_count: u64, send_type: HcclDataType, recv_buf: *const c_void, recv_count: u64, recv_type: HcclDataType, comm: HcclComm, stream: aclrtStream) -> HcclResult;
            [Header] HcclAlltoAllV(send_buf: *const c_void, send_counts: *const c_void, sdispls: *const c_void, send_type: HcclDataType, recv_buf: *const c_void, recv_counts: *const c_void, rdispls: *const c_void, recv_type: HcclDataType, comm: HcclComm, stream: aclrtStream) -> HcclResult;
            [Header] HcclBarrier(comm: HcclComm, stream: aclrtStream) -> HcclResult;
        }
    };
}
