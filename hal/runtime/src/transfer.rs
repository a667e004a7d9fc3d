//! Safe one-off work on a device: uploads, downloads and single runs, each waited for before it returns.

use omnihal::{Args, Buffer, Device, Error, Mem, MemoryKind, Op, Result, Stream, View};
use std::time::Duration;

/// Longest wait for one transfer or run.
const TIMEOUT: Duration = Duration::from_secs(600);

/// Allocates device memory, every byte set to `byte`.
pub fn filled(device: &dyn Device, stream: &dyn Stream, bytes: usize, byte: u8) -> Result<Buffer> {
    let buffer = device.alloc(bytes, MemoryKind::Device)?;
    fill(stream, &buffer, 0, bytes, byte)?;
    Ok(buffer)
}

/// Sets bytes of a buffer.
pub fn fill(stream: &dyn Stream, dst: &Buffer, offset: usize, bytes: usize, byte: u8) -> Result<()> {
    // SAFETY: `dst` is borrowed until the wait below has passed.
    unsafe { stream.fill(dst.mem().slice(offset, bytes)?, byte)? };
    stream.sync(TIMEOUT)
}

/// Copies host bytes into a buffer.
pub fn write(stream: &dyn Stream, dst: &Buffer, offset: usize, bytes: &[u8]) -> Result<()> {
    // SAFETY: `dst` is borrowed until the wait below has passed.
    unsafe { stream.write(dst.mem().slice(offset, bytes.len())?, bytes)? };
    stream.sync(TIMEOUT)
}

/// Copies a part of a buffer to the host.
pub fn read(stream: &dyn Stream, src: &Buffer, offset: usize, bytes: &mut [u8]) -> Result<()> {
    // SAFETY: `src` is borrowed until the read, which waits, has returned.
    unsafe { stream.read(src.mem().slice(offset, bytes.len())?, bytes, TIMEOUT) }
}

/// Copies the bytes of a contiguous view that lies in `owner` to the host.
pub fn read_view(stream: &dyn Stream, owner: &Buffer, view: &View, bytes: &mut [u8]) -> Result<()> {
    let offset = (view.addr().checked_sub(owner.mem().addr)).filter(|_| view.is_contiguous());
    match offset {
        Some(offset) => read(stream, owner, offset as usize, bytes),
        None => Err(Error::argument("the view is not a contiguous part of that buffer")),
    }
}

/// Plans and runs one operator, and waits for it. `owners` are the buffers that the views lie in.
pub fn run_once(
    device: &dyn Device,
    stream: &dyn Stream,
    op: &Op,
    views: &[Option<View>],
    owners: &[&Buffer],
) -> Result<()> {
    check_call(op, views, owners)?;
    let plan = device.plan(op)?;
    let workspace = match plan.workspace() {
        0 => None,
        bytes => Some(device.alloc(bytes, MemoryKind::Device)?),
    };
    let mut args = Args::new(views);
    args.workspace = workspace.as_ref().map_or(Mem::default(), Buffer::mem);
    // SAFETY: the arguments were checked against the operator and their owners, which are borrowed until the wait has passed.
    unsafe { stream.run(&*plan, &args)? };
    stream.sync(TIMEOUT)
}

/// Checks presence, format, shape and that every view lies in one of its owners.
fn check_call(op: &Op, views: &[Option<View>], owners: &[&Buffer]) -> Result<()> {
    let refuse = |message: String| Err(Error::argument(message).with_op(op.kind()));
    let types = op.arg_types();
    if types.len() != views.len() {
        return refuse(format!("{} arguments given, {} expected", views.len(), types.len()));
    }
    for (view, want) in views.iter().zip(&types) {
        match view {
            Some(view) if want.present => {
                if view.format() != want.format || view.shape != want.shape {
                    let (found, shape) = (view.format(), view.shape);
                    return refuse(format!(
                        "argument `{}` is {found} {shape}, expected {} {}",
                        want.name, want.format, want.shape
                    ));
                }
                view.check_bounds()?;
                let inside = |mem: Mem| {
                    owners
                        .iter()
                        .map(|o| o.mem())
                        .any(|o| mem.addr >= o.addr && mem.addr + mem.len as u64 <= o.addr + o.len as u64)
                };
                if !inside(view.mem) || !view.quant.is_none_or(|q| inside(q.mem)) {
                    return refuse(format!("argument `{}` lies outside the buffers given", want.name));
                }
            }
            None if !want.present => {}
            _ => return refuse(format!("argument `{}` must be {}", want.name, presence(want.present))),
        }
    }
    Ok(())
}

fn presence(present: bool) -> &'static str {
    if present { "given" } else { "left out" }
}

/// Copies bytes inside one buffer; the two ranges must not overlap.
pub fn copy_within(stream: &dyn Stream, buffer: &Buffer, dst: usize, src: usize, bytes: usize) -> Result<()> {
    if dst < src + bytes && src < dst + bytes {
        return Err(Error::argument(format!("ranges {dst}+{bytes} and {src}+{bytes} of a copy overlap")));
    }
    let mem = buffer.mem();
    // SAFETY: `buffer` is borrowed until the wait below has passed, and the ranges are disjoint.
    unsafe { stream.copy(mem.slice(dst, bytes)?, mem.slice(src, bytes)?)? };
    stream.sync(TIMEOUT)
}
