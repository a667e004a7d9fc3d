//! A case on a device: its memory there, its plan, and single runs of it.

use crate::image::{GUARD, Image, POISON};
use omnihal::op::Role;
use omnihal::{Args, Buffer, Device, Mem, MemoryKind, Plan, Result, StepColumns, Stream, View};
use std::sync::Arc;
use std::time::Duration;

/// Longest wait for one call. The supervisor's limit for a whole case is what a user sets.
pub const TIMEOUT: Duration = Duration::from_secs(120);

/// A planned case with its memory on a device.
pub struct Bench<'a> {
    device: &'a dyn Device,
    image: &'a Image,
    /// The plan.
    pub plan: Arc<dyn Plan>,
    /// Leading rows that matter; all unless set.
    pub rows_hint: usize,
    buffers: Vec<Buffer>,
    extra: Vec<Buffer>,
    workspace: Option<Buffer>,
    views: Vec<Option<View>>,
    bound: Option<Arc<dyn Plan>>,
    columns: Option<StepColumns>,
}

/// How a run is enqueued.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Way {
    /// As it is.
    Eager,
    /// Captured into a graph, which is then launched.
    Captured,
}

impl<'a> Bench<'a> {
    /// Allocates what a case needs and finishes its plan. `columns` is the step table with what the plan asks for, unless the image has these
    /// columns among its arguments, after the operator's own.
    pub fn new(
        device: &'a dyn Device,
        image: &'a Image,
        plan: Arc<dyn Plan>,
        columns: Option<StepColumns>,
    ) -> Result<Bench<'a>> {
        let buffers: Vec<Buffer> =
            image.slabs.iter().map(|s| device.alloc(s.bytes.len(), MemoryKind::Device)).collect::<Result<_>>()?;
        let views = image.views(|slab| buffers[slab].mem().addr + GUARD as u64);
        let mut bench = Bench {
            device,
            image,
            plan,
            rows_hint: usize::MAX,
            buffers,
            extra: Vec::new(),
            workspace: None,
            views,
            bound: None,
            columns,
        };
        bench.append_columns()?;
        let bytes = bench.plan.workspace_for(&bench.views)?;
        if bytes > 0 {
            bench.workspace = Some(device.alloc(bytes + 2 * GUARD, MemoryKind::Device)?);
        }
        bench.bound = bench.plan.bind(&bench.args())?;
        Ok(bench)
    }

    /// The views as the plan's run wants them.
    fn args(&self) -> Args<'_> {
        let mut args = Args::new(&self.views);
        args.workspace = self.workspace_inside();
        args.rows_hint = self.rows_hint;
        args
    }

    fn workspace_inside(&self) -> Mem {
        self.workspace
            .as_ref()
            .map_or(Mem::default(), |w| Mem { addr: w.mem().addr + GUARD as u64, len: w.len() - 2 * GUARD })
    }

    /// Columns that the plan wants beside the operator's own arguments, and the output of its prologue.
    fn append_columns(&mut self) -> Result<()> {
        if let Some(table) = self.columns.as_ref().filter(|_| !self.plan.columns().is_empty()) {
            let buffer = self.device.alloc(table.bytes().len(), MemoryKind::Device)?;
            for &column in self.plan.columns() {
                self.views.push(Some(table.layout().view(column, buffer.mem())?));
            }
            self.extra.push(buffer);
        }
        if let Some(prologue) = self.plan.prologue() {
            let buffer = self.device.alloc(prologue.bytes, MemoryKind::Device)?;
            self.views.push(Some(View::contiguous(buffer.mem(), omnihal::DType::U8, [prologue.bytes])?));
            self.extra.push(buffer);
        }
        Ok(())
    }

    /// Uploads everything as the image has it, outputs and workspace filled with a pattern.
    pub fn upload(&self, stream: &dyn Stream, poison: [u8; 4]) -> Result<()> {
        self.upload_of(stream, self.image, poison)
    }

    /// Uploads another image of the same layout: the next call of the same plan, with other numbers.
    pub fn upload_of(&self, stream: &dyn Stream, image: &Image, poison: [u8; 4]) -> Result<()> {
        let mut image = image.clone();
        image.poison(poison);
        for (slab, buffer) in image.slabs.iter().zip(&self.buffers) {
            // SAFETY: the buffers live as long as the bench, which outlives the waits of its caller.
            unsafe { stream.write(buffer.mem(), &slab.bytes)? };
        }
        if let Some(workspace) = &self.workspace {
            let pattern: Vec<u8> = poison.iter().copied().cycle().take(workspace.len()).collect();
            // SAFETY: as above.
            unsafe { stream.write(workspace.mem(), &pattern)? };
        }
        let table = self.columns.as_ref().filter(|_| !self.plan.columns().is_empty());
        if let (Some(table), Some(buffer)) = (table, self.extra.first()) {
            // SAFETY: as above.
            unsafe { stream.write(buffer.mem(), table.bytes())? };
        }
        Ok(())
    }

    /// Enqueues the run.
    pub fn enqueue(&self, stream: &dyn Stream) -> Result<()> {
        self.enqueue_rows(stream, self.rows_hint)
    }

    /// Enqueues the run, with a hint how many leading rows matter.
    pub fn enqueue_rows(&self, stream: &dyn Stream, rows_hint: usize) -> Result<()> {
        if let Some(prologue) = self.plan.prologue() {
            let first = self.views.len() - self.plan.columns().len() - 1;
            let args = Args::new(&self.views[first..]);
            // SAFETY: the views are the prologue's columns and its output; their buffers live as long as the bench.
            unsafe { stream.run(&*prologue.plan, &args)? };
        }
        let plan = self.bound.as_ref().unwrap_or(&self.plan);
        // SAFETY: the arguments were laid out for this very operator; their buffers live as long as the bench.
        unsafe { stream.run(&**plan, &Args { rows_hint, ..self.args() }) }
    }

    /// One complete run on a stream, waited for.
    pub fn run(&self, stream: &dyn Stream, poison: [u8; 4], way: Way) -> Result<()> {
        self.upload(stream, poison)?;
        match way {
            Way::Eager => self.enqueue(stream)?,
            Way::Captured => {
                stream.begin_capture()?;
                let enqueued = self.enqueue(stream);
                let graph = stream.end_capture();
                enqueued?;
                let graph = graph?;
                // SAFETY: what the captured calls name lives as long as the bench.
                unsafe { stream.launch(&*graph)? };
                stream.sync(TIMEOUT)?;
            }
        }
        stream.sync(TIMEOUT)
    }

    /// What the slabs hold now.
    pub fn download(&self, stream: &dyn Stream) -> Result<Vec<Vec<u8>>> {
        let read = |buffer: &Buffer| {
            let mut bytes = vec![0; buffer.len()];
            // SAFETY: the buffer is alive, and the read waits.
            unsafe { stream.read(buffer.mem(), &mut bytes, TIMEOUT)? };
            Ok(bytes)
        };
        self.buffers.iter().map(read).collect()
    }

    /// True if the bytes around the workspace are those that were there.
    pub fn workspace_guards_hold(&self, stream: &dyn Stream, poison: [u8; 4]) -> Result<bool> {
        let Some(workspace) = &self.workspace else { return Ok(true) };
        let mut bytes = vec![0; workspace.len()];
        // SAFETY: the buffer is alive, and the read waits.
        unsafe { stream.read(workspace.mem(), &mut bytes, TIMEOUT)? };
        let pattern: Vec<u8> = poison.iter().copied().cycle().take(bytes.len()).collect();
        let end = bytes.len() - GUARD;
        Ok(bytes[..GUARD] == pattern[..GUARD] && bytes[end..] == pattern[end..])
    }
}

/// The first finding-worthy difference of slabs that only inputs and guards may explain: `(slab, byte)`.
pub fn touched(image: &Image, before: [u8; 4], slabs: &[Vec<u8>]) -> Vec<(usize, usize, bool)> {
    let mut clean = image.clone();
    clean.poison(before);
    let mut all = Vec::new();
    for (slab, bytes) in slabs.iter().enumerate() {
        let was = &clean.slabs[slab].bytes;
        let written = image.tensor_of(slab).is_some_and(|t| t.role != Role::Read);
        let covered = if written { image.covered(slab) } else { Vec::new() };
        let changed = (0..bytes.len()).find(|&i| bytes[i] != was[i] && !(written && covered[i]));
        if let Some(at) = changed {
            let guard = at < GUARD || at >= bytes.len() - GUARD || written;
            all.push((slab, at, guard));
        }
    }
    all
}

/// The patterns of the two runs of a case.
pub const PATTERNS: [[u8; 4]; 2] = POISON;
