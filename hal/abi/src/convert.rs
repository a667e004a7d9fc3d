//! Plain data of the boundary as C structs, and back. Nothing here allocates on success.

use crate::codes::{AccumulationKind, Coded, LayoutKind, NONE};
use crate::{MAX_ARGS, limits, sys, wire};
use omnihal::{Accumulation, DType, Error, ErrorKind, Layout, Mem, Quant, Result, Shape, View, WeightDesc};
use std::mem::MaybeUninit;
use std::ptr;
use std::time::Duration;

/// Input from the other side that breaks the rules of the interface.
pub(crate) fn broken(message: impl Into<String>) -> Error {
    Error::new(ErrorKind::InvalidInput, message)
}

pub(crate) fn mem_out(mem: Mem) -> sys::Mem {
    sys::Mem { addr: mem.addr, len: mem.len as u64 }
}

pub(crate) fn mem_in(mem: sys::Mem) -> Result<Mem> {
    Ok(Mem { addr: mem.addr, len: size_in(mem.len, "length of a range")? })
}

pub(crate) fn size_in(value: u64, what: &str) -> Result<usize> {
    usize::try_from(value).map_err(|_| broken(format!("{what} is {value}, which this machine cannot address")))
}

/// Nanoseconds, the longest wait for what does not fit.
pub(crate) fn timeout_out(timeout: Duration) -> u64 {
    u64::try_from(timeout.as_nanos()).unwrap_or(u64::MAX)
}

/// The longest is 584 years, which a backend may add to the present time without overflow.
pub(crate) fn timeout_in(nanoseconds: u64) -> Duration {
    Duration::from_nanos(nanoseconds)
}

pub(crate) fn str_out(text: &str) -> sys::Str {
    sys::Str { data: text.as_ptr().cast(), len: text.len() as u64 }
}

/// Bytes of a text from the other side.
///
/// # Safety
/// If `data` is not NULL, `len` bytes must be readable there while the result is used.
unsafe fn bytes_in<'a>(text: sys::Str, what: &str) -> Result<&'a [u8]> {
    match text.len {
        0 => Ok(&[]),
        len if len > limits::TEXT => Err(broken(format!("{what} has {len} bytes, expected at most {}", limits::TEXT))),
        len if text.data.is_null() => Err(broken(format!("{what} has {len} bytes at NULL"))),
        // SAFETY: promised by the caller; the length is bounded.
        len => Ok(unsafe { std::slice::from_raw_parts(text.data.cast::<u8>(), len as usize) }),
    }
}

/// A text from the other side.
///
/// # Safety
/// As for [`bytes_in`].
pub(crate) unsafe fn str_in<'a>(text: sys::Str, what: &str) -> Result<&'a str> {
    // SAFETY: promised by the caller.
    let bytes = unsafe { bytes_in(text, what)? };
    std::str::from_utf8(bytes).map_err(|_| broken(format!("{what} is not UTF-8")))
}

/// A text whose loss would hide an error: what is not UTF-8 is replaced.
///
/// # Safety
/// As for [`bytes_in`].
pub(crate) unsafe fn lossy(text: sys::Str, what: &str) -> String {
    // SAFETY: promised by the caller.
    match unsafe { bytes_in(text, what) } {
        Ok(bytes) => String::from_utf8_lossy(bytes).into_owned(),
        Err(error) => error.message().to_owned(),
    }
}

/// An array from the other side.
///
/// # Safety
/// If `data` is not NULL, `count` elements must be readable there while the result is used.
pub(crate) unsafe fn array_in<'a, T>(data: *const T, count: u64, limit: u64, what: &str) -> Result<&'a [T]> {
    if count == 0 {
        return Ok(&[]);
    }
    if count > limit {
        return Err(broken(format!("{count} {what} were given, expected at most {limit}")));
    }
    if data.is_null() || !data.is_aligned() {
        return Err(broken(format!("{count} {what} lie at {data:?}, expected an aligned address")));
    }
    // SAFETY: promised by the caller; count and address are checked.
    Ok(unsafe { std::slice::from_raw_parts(data, count as usize) })
}

fn shape_out(shape: &Shape) -> sys::Shape {
    let mut dims = [1; omnihal::MAX_RANK];
    dims.iter_mut().zip(shape.dims()).for_each(|(d, n)| *d = *n as u64);
    sys::Shape { rank: shape.rank() as u32, reserved: 0, dims }
}

fn shape_in(shape: &sys::Shape) -> Result<Shape> {
    wire::shape_from(shape.rank, &shape.dims)
        .ok_or_else(|| broken(format!("a shape has rank {}, expected at most {}", shape.rank, omnihal::MAX_RANK)))
}

/// The element type of that number; numbers from a newer side are unsupported.
pub(crate) fn dtype_in(code: u32) -> Result<DType> {
    DType::from_code(code)
        .ok_or_else(|| Error::unsupported(format!("element type number {code} is unknown to this side")))
}

fn quant_out(quant: &Option<Quant>) -> sys::Quant {
    match quant {
        Some(q) => sys::Quant {
            mem: mem_out(q.mem),
            dtype: q.dtype.code(),
            reserved: 0,
            block_rows: q.block.0 as u64,
            block_cols: q.block.1 as u64,
            shape: shape_out(&q.shape),
        },
        None => sys::Quant {
            mem: sys::Mem { addr: 0, len: 0 },
            dtype: NONE,
            reserved: 0,
            block_rows: 0,
            block_cols: 0,
            shape: sys::Shape { rank: 0, reserved: 0, dims: [1; omnihal::MAX_RANK] },
        },
    }
}

pub(crate) fn view_out(view: &View) -> sys::View {
    let (layout, vendor_layout) = match view.layout {
        Layout::Strided => (LayoutKind::Strided, 0),
        Layout::Vendor(id) => (LayoutKind::Vendor, id),
    };
    sys::View {
        mem: mem_out(view.mem),
        offset: view.offset as u64,
        shape: shape_out(&view.shape),
        strides: view.strides.map(|s| s as u64),
        dtype: view.dtype.code(),
        layout: layout.code(),
        vendor_layout,
        reserved: 0,
        quant: quant_out(&view.quant),
    }
}

pub(crate) fn view_in(view: &sys::View) -> Result<View> {
    let quant = match view.quant.dtype {
        NONE => None,
        code => Some(Quant {
            mem: mem_in(view.quant.mem)?,
            dtype: dtype_in(code)?,
            block: (size_in(view.quant.block_rows, "a block")?, size_in(view.quant.block_cols, "a block")?),
            shape: shape_in(&view.quant.shape)?,
        }),
    };
    let layout = match LayoutKind::from_code(view.layout) {
        Some(LayoutKind::Strided) => Layout::Strided,
        Some(LayoutKind::Vendor) => Layout::Vendor(view.vendor_layout),
        None => return Err(Error::unsupported(format!("layout number {} is unknown to this side", view.layout))),
    };
    let mut strides = [0; omnihal::MAX_RANK];
    for (stride, given) in strides.iter_mut().zip(view.strides) {
        *stride = size_in(given, "a stride")?;
    }
    Ok(View {
        mem: mem_in(view.mem)?,
        offset: size_in(view.offset, "an offset")?,
        dtype: dtype_in(view.dtype)?,
        shape: shape_in(&view.shape)?,
        strides,
        layout,
        quant,
    })
}

/// Hands views over in C form, from the stack.
pub(crate) fn with_views_out<R>(views: &[Option<View>], f: impl FnOnce(&[*const sys::View]) -> R) -> Result<R> {
    if views.len() > MAX_ARGS {
        return Err(Error::argument(format!("{} arguments were given, expected at most {MAX_ARGS}", views.len())));
    }
    let mut room = [const { MaybeUninit::<sys::View>::uninit() }; MAX_ARGS];
    let mut pointers = [ptr::null(); MAX_ARGS];
    for ((view, place), pointer) in views.iter().zip(&mut room).zip(&mut pointers) {
        if let Some(view) = view {
            *pointer = ptr::from_ref(place.write(view_out(view)));
        }
    }
    Ok(f(&pointers[..views.len()]))
}

/// Takes views in C form, onto the stack.
///
/// # Safety
/// `views` must be NULL or point to `count` pointers, each NULL or to a view.
pub(crate) unsafe fn with_views_in<R>(
    views: *const *const sys::View,
    count: u32,
    f: impl FnOnce(&[Option<View>]) -> Result<R>,
) -> Result<R> {
    // SAFETY: promised by the caller.
    let pointers = unsafe { array_in(views, u64::from(count), MAX_ARGS as u64, "arguments")? };
    // Only what is used is written: the whole room is 8 KB.
    let mut room = [const { MaybeUninit::<Option<View>>::uninit() }; MAX_ARGS];
    for (place, pointer) in room.iter_mut().zip(pointers) {
        // SAFETY: promised by the caller.
        place.write(unsafe { pointer.as_ref() }.map(view_in).transpose()?);
    }
    // SAFETY: the loop has written as many places as there are pointers, which are at most as many as places.
    f(unsafe { std::slice::from_raw_parts(room.as_ptr().cast(), pointers.len()) })
}

/// Kind, bits and promotion.
pub(crate) fn accumulation_out(accumulation: Accumulation) -> (u32, u32, u32) {
    match accumulation {
        Accumulation::F64 => (AccumulationKind::F64.code(), 0, 0),
        Accumulation::F32 => (AccumulationKind::F32.code(), 0, 0),
        Accumulation::TensorCoreTrunc { bits, promote } => {
            (AccumulationKind::TensorCoreTrunc.code(), u32::from(bits), promote)
        }
    }
}

pub(crate) fn accumulation_in(kind: u32, bits: u32, promote: u32) -> Option<Accumulation> {
    Some(match AccumulationKind::from_code(kind)? {
        AccumulationKind::F64 => Accumulation::F64,
        AccumulationKind::F32 => Accumulation::F32,
        AccumulationKind::TensorCoreTrunc => Accumulation::TensorCoreTrunc { bits: u8::try_from(bits).ok()?, promote },
    })
}

pub(crate) fn weight_desc_out(desc: &WeightDesc) -> sys::WeightDesc {
    let (kind, data, scale, block) = wire::format_parts(&desc.format);
    sys::WeightDesc {
        struct_size: size_of::<sys::WeightDesc>() as u32,
        act: desc.act.code(),
        ext: ptr::null(),
        shape: shape_out(&desc.shape),
        format: sys::WeightFormat {
            kind: kind.code(),
            data,
            scale,
            reserved: 0,
            block_rows: block.0 as u64,
            block_cols: block.1 as u64,
        },
    }
}

pub(crate) fn weight_desc_in(desc: &sys::WeightDesc) -> Result<WeightDesc> {
    let f = &desc.format;
    let format = wire::format_from(f.kind, f.data, f.scale, (f.block_rows, f.block_cols));
    Ok(WeightDesc {
        shape: shape_in(&desc.shape)?,
        format: format.ok_or_else(|| Error::unsupported("the weight format is unknown to this side"))?,
        act: dtype_in(desc.act)?,
    })
}

/// Writes text into the room that the other side gave, cut at a character if it is too long.
///
/// # Safety
/// If `data` is not NULL, `capacity` bytes must be writable there.
pub(crate) unsafe fn text_out(room: &mut sys::Text, text: &str) {
    let mut len = text.len().min(usize::try_from(room.capacity).unwrap_or(usize::MAX));
    while !text.is_char_boundary(len) {
        len -= 1;
    }
    if room.data.is_null() {
        len = 0;
    } else {
        // SAFETY: promised by the caller; `len` is within the capacity.
        unsafe { text.as_ptr().copy_to_nonoverlapping(room.data.cast(), len) };
    }
    room.len = len as u64;
}

/// The text that the other side wrote into `room`, whatever it says.
pub(crate) fn lossy_room(room: &[u8], len: u64) -> String {
    let len = usize::try_from(len).unwrap_or(usize::MAX).min(room.len());
    String::from_utf8_lossy(&room[..len]).into_owned()
}
