//! Reading operands out of memory, and writing results back: any strides, any type, with or without scales.

use crate::format::{decode, encode};
use crate::num::Num;
use omnihal::{DType, Error, ErrorKind, Layout, Mem, Quant, Result, RowFormat, Shape, View};

/// Reads single elements and rows of a view. Used directly for pools and weights of which only a part matters.
#[derive(Clone, Copy)]
pub struct Reader {
    view: View,
}

/// A dense tensor of exact values.
#[derive(Clone, Debug, PartialEq)]
pub struct Tensor {
    /// Dimensions.
    pub shape: Shape,
    /// Values, last axis fastest.
    pub data: Vec<f64>,
}

/// The new values of one argument.
#[derive(Clone, Debug, PartialEq)]
pub enum Values {
    /// Every element, in view order.
    Dense(Vec<Num>),
    /// Only some rows of the view, seen as `[.., width]` with all leading axes joined. The others keep their contents.
    Rows {
        /// Rows that change. A row that occurs twice ends with its last values.
        rows: Vec<usize>,
        /// Elements of a row: the length of the last axes that a row spans.
        width: usize,
        /// Their values, row after row.
        values: Vec<Num>,
    },
}

/// What one output argument becomes.
#[derive(Clone, Debug, PartialEq)]
pub struct Output {
    /// Its place among the arguments.
    pub arg: usize,
    /// New values, before the rounding to the argument's type.
    pub values: Values,
    /// Every device must store the same bits.
    pub exact: bool,
    /// False for elements of `values` that the operator leaves unspecified. `None`: all are specified.
    pub mask: Option<Vec<bool>>,
    /// For chosen places: the candidates of each row in which honest devices may choose differently. A comparator then checks that the
    /// choice is one of those.
    pub choice: Option<Choice>,
    /// For packed rows whose codes honest devices may choose differently: what the rows hold, unpacked, with bounds.
    pub packed: Option<Packed>,
}

/// Numbers of packed rows.
#[derive(Clone, Debug, PartialEq)]
pub struct Packed {
    /// How they are packed.
    pub format: RowFormat,
    /// Rotated channels at the end of a row.
    pub rotary: usize,
    /// Row of the view, and its numbers.
    pub rows: Vec<(usize, Vec<Num>)>,
}

/// Candidates of the rows whose choice is not decided.
#[derive(Clone, Debug, PartialEq)]
pub struct Choice {
    /// Places chosen in a row.
    pub keep: usize,
    /// For each row, every candidate with its score; `None` where the choice is decided, or unspecified.
    pub rows: Vec<Option<Vec<(usize, Num)>>>,
}

impl Output {
    /// A dense result that may differ by its bounds.
    pub fn dense(arg: usize, values: Vec<Num>) -> Output {
        Output { arg, values: Values::Dense(values), exact: false, mask: None, choice: None, packed: None }
    }

    /// A dense result that every device must give.
    pub fn exact(arg: usize, values: impl IntoIterator<Item = f64>) -> Output {
        let values = Values::Dense(values.into_iter().map(Num::exact).collect());
        Output { arg, values, exact: true, mask: None, choice: None, packed: None }
    }

    /// Adds the candidates of undecided rows.
    pub fn with_choice(mut self, choice: Choice) -> Output {
        self.choice = Some(choice);
        self
    }

    /// Marks which elements are specified.
    pub fn with_mask(mut self, mask: Vec<bool>) -> Output {
        self.mask = Some(mask);
        self
    }

    /// The values, in the order of `mask`.
    pub fn nums(&self) -> &[Num] {
        match &self.values {
            Values::Dense(values) | Values::Rows { values, .. } => values,
        }
    }
}

impl Tensor {
    /// Length of the last axis; 1 for a scalar.
    pub fn width(&self) -> usize {
        self.shape.dims().last().copied().unwrap_or(1)
    }

    /// Row `r`, all axes but the last joined; empty if there is none.
    pub fn row(&self, r: usize) -> &[f64] {
        let width = self.width();
        self.data.get(r * width..(r + 1) * width).unwrap_or(&[])
    }

    /// The values as exact numbers.
    pub fn nums(&self) -> Vec<Num> {
        self.data.iter().copied().map(Num::exact).collect()
    }
}

/// Elements that the judge holds of one tensor: beyond, its 16 bytes a number are more than a host has. A view with a stride
/// of 0 can be larger than any memory.
const MAX_DENSE: usize = 1 << 32;

/// Refuses a tensor that is too large to be held as numbers.
pub(crate) fn check_dense(view: &View) -> Result<()> {
    if view.elements() <= MAX_DENSE {
        return Ok(());
    }
    let message = format!("the judge holds tensors of up to {MAX_DENSE} elements, found {:?}", view.shape);
    Err(Error::new(ErrorKind::OutOfMemory, message))
}

/// Reads a whole view.
pub fn read(view: &View) -> Result<Tensor> {
    let reader = Reader::new(view)?;
    check_dense(view)?;
    let data = (0..view.elements()).map(|i| reader.get(i)).collect::<Result<Vec<_>>>()?;
    Ok(Tensor { shape: view.shape, data })
}

/// Reads an I32 tensor as indices; `None` is an absent one.
pub fn read_indices(view: &View, limit: usize) -> Result<Vec<Option<usize>>> {
    Ok(read(view)?.data.into_iter().map(|x| index(x, limit)).collect())
}

/// The index that a stored number means: absent if negative or not below `limit`.
pub fn index(x: f64, limit: usize) -> Option<usize> {
    (x >= 0.0 && x < limit as f64).then_some(x as usize)
}

impl Reader {
    /// Checks that the view and its scales lie in their memory.
    pub fn new(view: &View) -> Result<Reader> {
        if let Layout::Vendor(id) = view.layout {
            return Err(Error::argument(format!("layout {id} is private to a device, expected a strided view")));
        }
        view.check_bounds()?;
        if let Some(quant) = &view.quant {
            check_scales(view, quant)?;
        }
        Ok(Reader { view: *view })
    }

    /// Dimensions of the view.
    pub fn shape(&self) -> Shape {
        self.view.shape
    }

    /// Element `i` in view order, with its scale.
    pub fn get(&self, i: usize) -> Result<f64> {
        let value = self.code(i)?;
        match &self.view.quant {
            None => Ok(value),
            Some(quant) => Ok(value * self.scale(quant, i)?),
        }
    }

    /// Row `r` of the view, all axes but the last joined.
    pub fn row(&self, r: usize) -> Result<Vec<f64>> {
        let width = self.view.shape.dims().last().copied().unwrap_or(1);
        (r * width..(r + 1) * width).map(|i| self.get(i)).collect()
    }

    fn code(&self, i: usize) -> Result<f64> {
        if i >= self.view.elements() {
            return Err(Error::argument(format!("element {i} is outside {:?}", self.view.shape)));
        }
        let code = load(&self.view.mem, self.view.offset, self.view.dtype, element(&self.view, i));
        if self.view.dtype == DType::I64 && (code as i64).unsigned_abs() > 1 << 53 {
            return Err(Error::new(
                ErrorKind::Execution,
                format!("the judge holds integers up to 2^53, found {}", code as i64),
            ));
        }
        Ok(decode(self.view.dtype, code))
    }

    fn scale(&self, quant: &Quant, i: usize) -> Result<f64> {
        let rank = self.view.shape.rank();
        let mut at = coordinates(&self.view.shape, i);
        at[rank - 2] /= quant.block.0;
        at[rank - 1] /= quant.block.1;
        let strides = quant.shape.contiguous_strides();
        let place: usize = (0..rank).map(|axis| at[axis] * strides[axis]).sum();
        Ok(decode(quant.dtype, load(&quant.mem, 0, quant.dtype, place)))
    }
}

fn check_scales(view: &View, quant: &Quant) -> Result<()> {
    let blocks = quant.block.0 > 0 && quant.block.1 > 0 && view.shape.rank() >= 2;
    let expected = if blocks { view.format().scale_shape(&view.shape) } else { None };
    if expected != Some(quant.shape) || quant.dtype.bytes(quant.shape.elements()) > quant.mem.len {
        return Err(Error::argument(format!(
            "scales {:?} in {} bytes do not cover codes {:?} in blocks of {:?}",
            quant.shape, quant.mem.len, view.shape, quant.block
        )));
    }
    Ok(())
}

/// Place along each axis of element `i` in view order.
fn coordinates(shape: &Shape, mut i: usize) -> [usize; omnihal::MAX_RANK] {
    let mut at = [0; omnihal::MAX_RANK];
    for axis in (0..shape.rank()).rev() {
        at[axis] = i % shape[axis];
        i /= shape[axis];
    }
    at
}

/// Distance in elements of element `i` in view order from element 0.
fn element(view: &View, i: usize) -> usize {
    let at = coordinates(&view.shape, i);
    (0..view.shape.rank()).map(|axis| at[axis] * view.strides[axis]).sum()
}

/// Reads the code at `place` elements after `offset` bytes; the caller has checked that it lies in `mem`.
fn load(mem: &Mem, offset: usize, dtype: DType, place: usize) -> u64 {
    let bytes = dtype.bits() / 8;
    if bytes == 0 {
        let byte = load(mem, offset, DType::U8, place / 2);
        return (byte >> (4 * (place % 2))) & 15;
    }
    let mut code = [0u8; 8];
    for (k, byte) in code.iter_mut().enumerate().take(bytes) {
        let address = mem.addr as usize + offset + place * bytes + k;
        // SAFETY: views reach this crate only through `evaluate`, whose caller promises that each names live host memory, and
        // `check_bounds` has shown that the element lies in it. Bytes have no alignment.
        *byte = unsafe { *(address as *const u8) };
    }
    u64::from_le_bytes(code)
}

fn save(view: &View, place: usize, code: u64) {
    let bytes = view.dtype.bits() / 8;
    let (address, code, kept) = if bytes == 0 {
        let shift = 4 * (place % 2);
        (view.addr() as usize + place / 2, code << shift, 0xF0u8 >> shift)
    } else {
        (view.addr() as usize + place * bytes, code, 0)
    };
    for (k, byte) in code.to_le_bytes().into_iter().enumerate().take(bytes.max(1)) {
        // SAFETY: as in `load`; the caller of `Stream::run` also promises that outputs may be written.
        unsafe {
            let target = (address + k) as *mut u8;
            *target = (*target & kept) | byte;
        }
    }
}

/// Rounds once to nearest even and writes through the strides. Unspecified elements are written too.
pub fn store(view: &View, output: &Output) -> Result<()> {
    Reader::new(view)?;
    let put = |i: usize, x: &Num| save(view, element(view, i), encode(view.dtype, x.v));
    match &output.values {
        Values::Dense(values) if values.len() == view.elements() => {
            values.iter().enumerate().for_each(|(i, x)| put(i, x));
        }
        Values::Rows { rows, width, values }
            if rows.len().checked_mul(*width) == Some(values.len())
                && rows.iter().all(|&r| r < view.elements() / (*width).max(1)) =>
        {
            for (row, values) in rows.iter().zip(values.chunks((*width).max(1))) {
                values.iter().enumerate().for_each(|(c, x)| put(row * width + c, x));
            }
        }
        _ => {
            return Err(Error::argument(format!(
                "result {} has {} values, which do not fit its argument of shape {:?}",
                output.arg,
                output.nums().len(),
                view.shape
            )));
        }
    }
    Ok(())
}

#[cfg(test)]
#[path = "tensor_tests.rs"]
mod tests;
