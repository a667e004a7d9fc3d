//! Functions of `libopapi.so` that are no two-phase operators.

/// Calls `$callback!` with the helpers of `libopapi.so` and its parts.
///
/// Rows: `[evidence] name(parameters) -> result;`, for the callback that `ascend_functions!` describes.
#[macro_export]
macro_rules! ascend_helpers {
    ($($callback:ident)::+) => {
        $($callback)::+! {
            OpApi, Helpers;
            [Docs] aclnnCalculateMatmulWeightSizeV2(tensor_shape: IA, data_type: aclDataType, elements: *mut u64) -> aclnnStatus;
            [Docs] aclnnNpuFormatCastCalculateSizeAndFormat(src_tensor: T, dst_format: i32, additional_dtype: i32, dst_shape: *mut *mut i64, dst_shape_size: *mut u64, actual_format: *mut i32) -> aclnnStatus;
        }
    };
}
