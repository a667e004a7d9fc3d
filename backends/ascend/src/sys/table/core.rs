//! Plain operators that CANN has had since 8.x on Atlas A2, A3 and 950: enough to compose the whole graph.

/// Calls `$callback!` with the plain operators of `libopapi.so` and its parts.
///
/// Rows: `[evidence] operator, first phase(parameters);`, for the callback that `ascend_operators!` describes.
#[macro_export]
macro_rules! ascend_core {
    ($($callback:ident)::+) => {
        $($callback)::+! {
            OpApi, Core;
            [Source] aclnnMatmul, aclnnMatmulGetWorkspaceSize(this: T, mat2: T, out: T, cube_math_type: i8);
            [Source] aclnnMm, aclnnMmGetWorkspaceSize(this: T, mat2: T, out: T, cube_math_type: i8);
            [Source] aclnnBatchMatMul, aclnnBatchMatMulGetWorkspaceSize(this: T, mat2: T, out: T, cube_math_type: i8);
            [Source] aclnnGroupedMatmulV5, aclnnGroupedMatmulV5GetWorkspaceSize(x: TL, weight: TL, bias_optional: TL, scale_optional: TL, offset_optional: TL, antiquant_scale_optional: TL, antiquant_offset_optional: TL, per_token_scale_optional: TL, group_list_optional: T, activation_input_optional: TL, activation_quant_scale_optional: TL, activation_quant_offset_optional: TL, split_item: i64, group_type: i64, group_list_type: i64, act_type: i64, tuning_config_optional: IA, out: TL, activation_feature_out_optional: TL, dyn_quant_scale_out_optional: TL);
            [Docs] aclnnRmsNorm, aclnnRmsNormGetWorkspaceSize(x: T, gamma: T, epsilon: f64, y_out: T, rstd_out: T);
            [Source] aclnnRotaryPositionEmbedding, aclnnRotaryPositionEmbeddingGetWorkspaceSize(x: T, cos: T, sin: T, mode: i64, out: T);
            [Source] aclnnSilu, aclnnSiluGetWorkspaceSize(this: T, out: T);
            [Source] aclnnSigmoid, aclnnSigmoidGetWorkspaceSize(this: T, out: T);
            [Source] aclnnSoftplus, aclnnSoftplusGetWorkspaceSize(this: T, beta: S, threshold: S, out: T);
            [Source] aclnnSqrt, aclnnSqrtGetWorkspaceSize(this: T, out: T);
            [Source] aclnnSoftmax, aclnnSoftmaxGetWorkspaceSize(this: T, dim: i64, out: T);
            [Source] aclnnTopk, aclnnTopkGetWorkspaceSize(this: T, k: i64, dim: i64, largest: bool, sorted: bool, values_out: T, indices_out: T);
            [Source] aclnnMoeInitRoutingV3, aclnnMoeInitRoutingV3GetWorkspaceSize(x: T, expert_idx: T, scale_optional: T, offset_optional: T, active_num: i64, expert_capacity: i64, expert_num: i64, drop_pad_mode: i64, expert_tokens_num_type: i64, expert_tokens_num_flag: bool, quant_mode: i64, active_expert_range_optional: IA, row_idx_type: i64, expanded_x_out: T, expanded_row_idx_out: T, expert_tokens_count_or_cumsum_out: T, expanded_scale_out: T);
            [Source] aclnnMoeFinalizeRoutingV2, aclnnMoeFinalizeRoutingV2GetWorkspaceSize(expanded_x: T, expanded_row_idx: T, x1_optional: T, x2_optional: T, bias_optional: T, scales_optional: T, expert_idx_optional: T, drop_pad_mode: i64, out: T);
            [Source] aclnnScatterNdUpdate, aclnnScatterNdUpdateGetWorkspaceSize(var_ref: T, indices: T, updates: T);
            [Source] aclnnIndexSelect, aclnnIndexSelectGetWorkspaceSize(this: T, dim: i64, index: T, out: T);
            [Source] aclnnGatherV2, aclnnGatherV2GetWorkspaceSize(this: T, dim: i64, index: T, out: T);
            [Source] aclnnGather, aclnnGatherGetWorkspaceSize(this: T, dim: i64, index: T, out: T);
            [Source] aclnnEmbedding, aclnnEmbeddingGetWorkspaceSize(weight: T, indices: T, out: T);
            [Source] aclnnIndexPutImpl, aclnnIndexPutImplGetWorkspaceSize(self_ref: T, indices: TL, values: T, accumulate: bool, unsafe_indexing: bool);
            [Source] aclnnIndexCopy, aclnnIndexCopyGetWorkspaceSize(self_ref: T, dim: i64, index: T, source: T, out_ref: T);
            [Source] aclnnScatter, aclnnScatterGetWorkspaceSize(this: T, dim: i64, index: T, src: T, reduce: i64, out: T);
            [Source] aclnnCast, aclnnCastGetWorkspaceSize(this: T, dtype: aclDataType, out: T);
            [Source] aclnnInplaceCopy, aclnnInplaceCopyGetWorkspaceSize(self_ref: T, src: T);
            [Source] aclnnPermute, aclnnPermuteGetWorkspaceSize(this: T, dims: IA, out: T);
            [Source] aclnnCat, aclnnCatGetWorkspaceSize(tensors: TL, dim: i64, out: T);
            [Source] aclnnSlice, aclnnSliceGetWorkspaceSize(this: T, dim: i64, start: i64, end: i64, step: i64, out: T);
            [Source] aclnnAdd, aclnnAddGetWorkspaceSize(this: T, other: T, alpha: S, out: T);
            [Source] aclnnSub, aclnnSubGetWorkspaceSize(this: T, other: T, alpha: S, out: T);
            [Source] aclnnMul, aclnnMulGetWorkspaceSize(this: T, other: T, out: T);
            [Source] aclnnMuls, aclnnMulsGetWorkspaceSize(this: T, other: S, out: T);
            [Source] aclnnAdds, aclnnAddsGetWorkspaceSize(this: T, other: S, alpha: S, out: T);
            [Source] aclnnDiv, aclnnDivGetWorkspaceSize(this: T, other: T, out: T);
            [Source] aclnnExp, aclnnExpGetWorkspaceSize(this: T, out: T);
            [Inferred] aclnnLog, aclnnLogGetWorkspaceSize(this: T, out: T);
            [Inferred] aclnnAbs, aclnnAbsGetWorkspaceSize(this: T, out: T);
            [Inferred] aclnnRelu, aclnnReluGetWorkspaceSize(this: T, out: T);
            [Inferred] aclnnFloor, aclnnFloorGetWorkspaceSize(this: T, out: T);
            [Inferred] aclnnLtTensor, aclnnLtTensorGetWorkspaceSize(this: T, other: T, out: T);
            [Inferred] aclnnGeTensor, aclnnGeTensorGetWorkspaceSize(this: T, other: T, out: T);
            [Inferred] aclnnGtTensor, aclnnGtTensorGetWorkspaceSize(this: T, other: T, out: T);
            [Inferred] aclnnGtScalar, aclnnGtScalarGetWorkspaceSize(this: T, other: S, out: T);
            [Inferred] aclnnEqScalar, aclnnEqScalarGetWorkspaceSize(this: T, other: S, out: T);
            [Inferred] aclnnBitwiseAndScalar, aclnnBitwiseAndScalarGetWorkspaceSize(this: T, other: S, out: T);
            [Source] aclnnRsqrt, aclnnRsqrtGetWorkspaceSize(this: T, out: T);
            [Source] aclnnReciprocal, aclnnReciprocalGetWorkspaceSize(this: T, out: T);
            [Source] aclnnMaximum, aclnnMaximumGetWorkspaceSize(this: T, other: T, out: T);
            [Source] aclnnMinimum, aclnnMinimumGetWorkspaceSize(this: T, other: T, out: T);
            [Source] aclnnClamp, aclnnClampGetWorkspaceSize(this: T, clip_value_min: S, clip_value_max: S, out: T);
            [Source] aclnnReduceSum, aclnnReduceSumGetWorkspaceSize(this: T, dims: IA, keep_dims: bool, dtype: aclDataType, out: T);
            [Source] aclnnMean, aclnnMeanGetWorkspaceSize(this: T, dim: IA, keep_dim: bool, dtype: aclDataType, out: T);
            [Source] aclnnAmax, aclnnAmaxGetWorkspaceSize(this: T, dim: IA, keep_dim: bool, out: T);
            [Source] aclnnArgMax, aclnnArgMaxGetWorkspaceSize(this: T, dim: i64, keepdim: bool, out: T);
            [Source] aclnnSort, aclnnSortGetWorkspaceSize(this: T, stable: bool, dim: i64, descending: bool, values_out: T, indices_out: T);
            [Source] aclnnCumsum, aclnnCumsumGetWorkspaceSize(this: T, dim: i64, dtype: aclDataType, out: T);
            [Source] aclnnSWhere, aclnnSWhereGetWorkspaceSize(condition: T, this: T, other: T, out: T);
            [Source] aclnnInplaceMaskedFillScalar, aclnnInplaceMaskedFillScalarGetWorkspaceSize(self_ref: T, mask: T, value: S);
            [Source] aclnnInplaceFillScalar, aclnnInplaceFillScalarGetWorkspaceSize(self_ref: T, value: S);
            [Source] aclnnInplaceZero, aclnnInplaceZeroGetWorkspaceSize(self_ref: T);
            [Source] aclnnArange, aclnnArangeGetWorkspaceSize(start: S, end: S, step: S, out: T);
            [Source] aclnnGeScalar, aclnnGeScalarGetWorkspaceSize(this: T, other: S, out: T);
            [Source] aclnnLtScalar, aclnnLtScalarGetWorkspaceSize(this: T, other: S, out: T);
            [Source] aclnnEqTensor, aclnnEqTensorGetWorkspaceSize(this: T, other: T, out: T);
            [Source] aclnnLogicalAnd, aclnnLogicalAndGetWorkspaceSize(this: T, other: T, out: T);
            [Source] aclnnExpand, aclnnExpandGetWorkspaceSize(this: T, size: IA, out: T);
            [Source] aclnnEinsum, aclnnEinsumGetWorkspaceSize(tensors: TL, equation: Str, output: T);
        }
    };
}
