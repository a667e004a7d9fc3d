//! Moving elements: casts, strides, gathers, scatters. Values are exact but for the rounding of a cast.

use crate::{DType, Shape};

super::operators! {
    /// Copies with a cast and any strides on both sides: slices, permutations, repeats (stride 0 in x). Casts round to nearest even;
    /// F32 to I32 truncates. Equal types move bits.
    Core "copy.copy" Copy CopyArgs {
        /// Shape.
        shape: Shape,
        /// Type of x.
        input: DType,
        /// Type of y.
        output: DType,
    }
    args(d) {
        /// Source.
        read x = d.input, d.shape;
        /// Destination.
        write y = d.output, d.shape;
    }
    flops(_d) = 0.0;

    /// Sets every element to one value.
    Core "copy.fill" Fill FillArgs {
        /// Shape.
        shape: Shape,
        /// Value.
        value: f32,
        /// Element type.
        dtype: DType,
    }
    args(d) {
        /// Destination.
        write y = d.dtype, d.shape;
    }
    flops(_d) = 0.0;

    /// `y[i] = src[idx[i]]`. An absent index gives zeros.
    Core "copy.gather" Gather GatherArgs {
        /// Rows of src.
        rows: usize,
        /// Elements of a row.
        width: usize,
        /// Rows gathered.
        count: usize,
        /// Element type.
        dtype: DType,
        /// Every index is known to be legal.
        trusted: bool,
    }
    args(d) {
        /// Source rows; may lie apart.
        read src = d.dtype, [d.rows, d.width];
        /// Row numbers.
        read idx = DType::I32, [d.count];
        /// Gathered rows.
        write y = d.dtype, [d.count, d.width];
    }
    flops(_d) = 0.0;

    /// `dst[idx[i]] = src[i]`. An absent index is skipped; an index that occurs twice is legal in trash rows only.
    Core "copy.scatter" Scatter ScatterArgs {
        /// Rows of dst.
        rows: usize,
        /// Elements of a row.
        width: usize,
        /// Rows scattered.
        count: usize,
        /// Element type.
        dtype: DType,
        /// Every index is known to be legal.
        trusted: bool,
    }
    args(d) {
        /// Destination rows.
        update dst = d.dtype, [d.rows, d.width];
        /// Row numbers.
        read idx = DType::I32, [d.count];
        /// Source rows; may lie apart.
        read src = d.dtype, [d.count, d.width];
    }
    flops(_d) = 0.0;

    /// `y[i, q] = x[i, idx[i, q]]`. An absent index gives zero.
    Core "copy.take" Take TakeArgs {
        /// Rows.
        rows: usize,
        /// Elements of a row of x.
        width: usize,
        /// Elements taken from a row.
        count: usize,
        /// Element type.
        dtype: DType,
    }
    args(d) {
        /// Source rows; may lie apart.
        read x = d.dtype, [d.rows, d.width];
        /// Places in the row.
        read idx = DType::I32, [d.rows, d.count];
        /// Taken elements.
        write y = d.dtype, [d.rows, d.count];
    }
    flops(_d) = 0.0;

    /// Joins two to four tensors along the middle axis. Rows of the result may lie apart.
    Core "copy.concat" Concat ConcatArgs {
        /// Elements before the axis.
        pre: usize,
        /// Length of the axis in each input; 0 for an input that is not there.
        lens: [usize; 4],
        /// Elements after the axis.
        post: usize,
        /// Element type.
        dtype: DType,
    }
    require(d) {
        lens if d.lens[0] > 0 && d.lens[1] > 0 => "at least two inputs";
    }
    args(d) {
        /// First input.
        read a = d.dtype, [d.pre, d.lens[0], d.post];
        /// Second input.
        read b = d.dtype, [d.pre, d.lens[1], d.post];
        /// Third input.
        read c if (d.lens[2] > 0) = d.dtype, [d.pre, d.lens[2], d.post];
        /// Fourth input.
        read d if (d.lens[3] > 0) = d.dtype, [d.pre, d.lens[3], d.post];
        /// Joined tensor.
        write y = d.dtype, [d.pre, d.lens.iter().sum(), d.post];
    }
    flops(_d) = 0.0;
}
