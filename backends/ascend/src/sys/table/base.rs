//! Tensors, arrays and executors of the operator interface. The header is in no wheel: creating and destroying were compared with the function types of `op_api_common_base.h`.

/// Calls `$callback!` with the functions of `libnnopbase.so`.
///
/// Rows: `[evidence] name(parameters) -> result;`, for the callback that `ascend_functions!` describes.
#[macro_export]
macro_rules! ascend_base {
    ($($callback:ident)::+) => {
        $($callback)::+! {
            NnopBase, Base;
            [Header] aclCreateTensor(view_dims: *const i64, view_dims_num: u64, data_type: aclDataType, stride: *const i64, offset: i64, format: aclFormat, storage_dims: *const i64, storage_dims_num: u64, tensor_data: *mut c_void) -> *mut aclTensor;
            [Header] aclCreateScalar(value: *mut c_void, data_type: aclDataType) -> *mut aclScalar;
            [Header] aclCreateIntArray(value: *const i64, size: u64) -> *mut aclIntArray;
            [Header] aclCreateFloatArray(value: *const f32, size: u64) -> *mut aclFloatArray;
            [Header] aclCreateBoolArray(value: *const bool, size: u64) -> *mut aclBoolArray;
            [Header] aclCreateTensorList(value: *const *const aclTensor, size: u64) -> *mut aclTensorList;
            [Header] aclDestroyTensor(tensor: *const aclTensor) -> aclnnStatus;
            [Header] aclDestroyScalar(scalar: *const aclScalar) -> aclnnStatus;
            [Header] aclDestroyIntArray(array: *const aclIntArray) -> aclnnStatus;
            [Header] aclDestroyFloatArray(array: *const aclFloatArray) -> aclnnStatus;
            [Header] aclDestroyBoolArray(array: *const aclBoolArray) -> aclnnStatus;
            [Header] aclDestroyTensorList(array: *const aclTensorList) -> aclnnStatus;
            [Source] aclSetAclOpExecutorRepeatable(executor: *mut aclOpExecutor) -> aclnnStatus;
            [Source] aclDestroyAclOpExecutor(executor: *mut aclOpExecutor) -> aclnnStatus;
            [Source] aclSetTensorAddr(executor: *mut aclOpExecutor, index: usize, tensor: *mut aclTensor, addr: *mut c_void) -> aclnnStatus;
            [Source] aclSetInputTensorAddr(executor: *mut aclOpExecutor, index: usize, tensor: *mut aclTensor, addr: *mut c_void) -> aclnnStatus;
            [Source] aclSetOutputTensorAddr(executor: *mut aclOpExecutor, index: usize, tensor: *mut aclTensor, addr: *mut c_void) -> aclnnStatus;
            [Source] aclSetDynamicTensorAddr(executor: *mut aclOpExecutor, ir_index: usize, relative_index: usize, tensors: *mut aclTensorList, addr: *mut c_void) -> aclnnStatus;
            [Source] aclGetRawTensorAddr(tensor: *const aclTensor, addr: *mut *mut c_void) -> aclnnStatus;
            [Source] aclSetRawTensorAddr(tensor: *mut aclTensor, addr: *mut c_void) -> aclnnStatus;
            [Source] aclnnInit(config_path: *const CChar) -> aclnnStatus;
            [Source] aclnnFinalize() -> aclnnStatus;
        }
    };
}
