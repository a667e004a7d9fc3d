//! Calls that a device cannot run, run on another one with copies there and back.

use omnihal::op::Role;
use omnihal::{Args, Buffer, Device, Mem, MemoryKind, Op, Plan, Quant, Result, Stream, View};
use std::sync::Arc;
use std::time::Duration;

/// Longest wait for the copies of one call.
const TIMEOUT: Duration = Duration::from_secs(60);

/// One call on the fallback device: shadows of its arguments, and a stream to run it on.
pub(crate) struct FallbackCall {
    stream: Box<dyn Stream>,
    shadows: Vec<Option<Shadow>>,
    views: Box<[Option<View>]>,
    workspace: Buffer,
}

struct Shadow {
    data: Buffer,
    scale: Option<Buffer>,
    role: Role,
}

impl FallbackCall {
    /// Allocates shadows for the arguments of `op`, on a device whose memory the host can address.
    pub(crate) fn new(device: &Arc<dyn Device>, op: &Op, views: &[Option<View>]) -> Result<Self> {
        let roles = op.arg_types();
        let (mut shadows, mut moved) = (Vec::new(), Vec::new());
        for (view, arg) in views.iter().zip(&roles) {
            let Some(view) = view else {
                shadows.push(None);
                moved.push(None);
                continue;
            };
            let data = device.alloc(view.extent_bytes(), MemoryKind::Device)?;
            let scale = view.quant.map(|q| device.alloc(scale_mem(&q).len, MemoryKind::Device)).transpose()?;
            let quant = view.quant.zip(scale.as_ref()).map(|(q, s)| Quant { mem: s.mem(), ..q });
            moved.push(Some(View { mem: data.mem(), offset: 0, quant, ..*view }));
            shadows.push(Some(Shadow { data, scale, role: arg.role }));
        }
        let workspace = device.alloc(device.plan(op)?.workspace().max(1), MemoryKind::Device)?;
        Ok(FallbackCall { stream: device.stream()?, shadows, views: moved.into(), workspace })
    }

    /// Waits for `stream`, copies the arguments over, runs, and copies the results back.
    pub(crate) fn run(&self, stream: &dyn Stream, plan: &dyn Plan, args: &Args<'_>) -> Result<()> {
        for (view, shadow) in self.pairs(args) {
            // Outputs travel too: a strided one must not lose what lies between its rows.
            pull(stream, &*self.stream, data_mem(view)?, shadow.data.mem())?;
            if let (Some(q), Some(scale)) = (&view.quant, &shadow.scale) {
                pull(stream, &*self.stream, scale_mem(q), scale.mem())?;
            }
        }
        let moved = Args { views: &self.views, workspace: self.workspace.mem(), rows_hint: args.rows_hint };
        // SAFETY: the views are shadows of checked arguments and owned by this call, which waits below.
        unsafe { self.stream.run(plan, &moved)? };
        self.stream.sync(TIMEOUT)?;
        for (view, shadow) in self.pairs(args).filter(|(_, shadow)| shadow.role != Role::Read) {
            pull(&*self.stream, stream, shadow.data.mem(), data_mem(view)?)?;
        }
        Ok(())
    }

    fn pairs<'a>(&'a self, args: &Args<'a>) -> impl Iterator<Item = (&'a View, &'a Shadow)> {
        args.views.iter().zip(&self.shadows).filter_map(|(view, shadow)| Some((view.as_ref()?, shadow.as_ref()?)))
    }
}

fn data_mem(view: &View) -> Result<Mem> {
    view.mem.slice(view.offset, view.extent_bytes())
}

fn scale_mem(quant: &Quant) -> Mem {
    Mem { len: quant.dtype.bytes(quant.shape.elements()), ..quant.mem }
}

/// Copies between two devices through the host.
fn pull(from: &dyn Stream, to: &dyn Stream, src: Mem, dst: Mem) -> Result<()> {
    let mut bytes = vec![0; src.len];
    // SAFETY: both ranges belong to buffers that the program keeps alive.
    unsafe {
        from.read(src, &mut bytes, TIMEOUT)?;
        to.write(dst, &bytes)
    }
}
