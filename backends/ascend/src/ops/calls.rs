//! The calls of one run. The same code first measures the temporaries that a run needs, then enqueues.

use super::handles::Handles;
use super::scratch::Scratch;
use super::tables::Table;
use super::tensor::{Tensor, width};
use crate::context::Context;
use crate::sys::call::{Core, Fused91, Vllm023};
use crate::sys::constants::aclDataType;
use crate::sys::executor::Prepared;
use crate::sys::types::aclrtStream;
use crate::toolkit::Toolkit;
use omnihal::{Error, Mem, Result};
use std::sync::Arc;

/// What operators may read behind the end of a tensor, on any chip.
const SLACK: usize = 32;
/// Alignment of a temporary: that of an allocation.
const ALIGN: usize = crate::memory::ALIGNMENT;

/// Where calls go.
pub(crate) struct Target<'a> {
    pub(crate) context: &'a Arc<Context>,
    pub(crate) stream: aclrtStream,
    pub(crate) scratch: &'a mut Scratch,
}

/// Calls of one run, or the measuring of them.
pub(crate) struct Calls<'a> {
    target: Option<Target<'a>>,
    temporaries: Mem,
    used: usize,
    most: usize,
    tables: Vec<Table>,
    needed: Vec<&'static str>,
}

impl<'a> Calls<'a> {
    /// Nothing is called; temporaries are counted.
    pub(crate) fn measure() -> Self {
        Calls {
            target: None,
            temporaries: Mem { addr: 0, len: usize::MAX },
            used: 0,
            most: 0,
            tables: Vec::new(),
            needed: Vec::new(),
        }
    }

    /// Calls are enqueued; temporaries lie in `temporaries`.
    pub(crate) fn enqueue(target: Target<'a>, temporaries: Mem) -> Self {
        Calls { target: Some(target), temporaries, used: 0, most: 0, tables: Vec::new(), needed: Vec::new() }
    }

    /// Bytes of temporaries of the run.
    pub(crate) fn most(&self) -> usize {
        self.most
    }

    /// Tables that the calls read.
    pub(crate) fn tables(&self) -> &[Table] {
        &self.tables
    }

    /// Operators that the calls make.
    pub(crate) fn needed(&self) -> &[&'static str] {
        &self.needed
    }

    /// Notes that the next call is of one of these operators.
    pub(crate) fn needs(&mut self, names: &[&'static str]) -> &mut Self {
        if self.measures() {
            self.needed.extend(names);
        }
        self
    }

    /// Notes that the calls read a table.
    pub(crate) fn wanted(&mut self, table: Table) {
        if self.measures() && !self.tables.contains(&table) {
            self.tables.push(table);
        }
    }

    /// True while nothing is called: addresses mean nothing.
    pub(crate) fn measures(&self) -> bool {
        self.target.is_none()
    }

    /// The context, when calls are enqueued.
    pub(crate) fn context(&self) -> Option<&Arc<Context>> {
        self.target.as_ref().map(|target| target.context)
    }

    /// A temporary that lives until the run ends.
    pub(crate) fn temp(&mut self, kind: aclDataType, dims: &[usize]) -> Result<Tensor> {
        let elements = dims.iter().try_fold(1usize, |all, &n| all.checked_mul(n));
        let bytes = elements.and_then(|n| n.checked_mul(width(kind))).and_then(|n| n.checked_add(SLACK + ALIGN));
        let end =
            bytes.and_then(|n| self.used.checked_add(n / ALIGN * ALIGN)).filter(|&end| end <= self.temporaries.len);
        let Some(end) = end else {
            return Err(Error::argument(format!(
                "a temporary of shape {dims:?} does not fit the {} bytes of workspace: give what the plan asked for",
                self.temporaries.len
            )));
        };
        let tensor = Tensor::at(self.temporaries.addr + self.used as u64, kind, dims);
        self.used = end;
        self.most = self.most.max(end);
        Ok(tensor)
    }

    /// One plain operator.
    pub(crate) fn call(
        &mut self,
        prepare: impl for<'c> FnOnce(&'c Core, &mut Handles<'c>) -> Result<Prepared<'c>>,
    ) -> Result<()> {
        self.call_of(|toolkit, handles| prepare(&toolkit.core, handles))
    }

    /// One fused operator of CANN.
    pub(crate) fn call_fused(
        &mut self,
        prepare: impl for<'c> FnOnce(&'c Fused91, &mut Handles<'c>) -> Result<Prepared<'c>>,
    ) -> Result<()> {
        self.call_of(|toolkit, handles| prepare(toolkit.fused()?, handles))
    }

    /// One operator of vllm-ascend.
    pub(crate) fn call_vllm(
        &mut self,
        prepare: impl for<'c> FnOnce(&'c Vllm023, &mut Handles<'c>) -> Result<Prepared<'c>>,
    ) -> Result<()> {
        self.call_of(|toolkit, handles| prepare(toolkit.vllm()?, handles))
    }

    /// One operator: both phases, back to back.
    fn call_of(
        &mut self,
        prepare: impl for<'c> FnOnce(&'c Toolkit, &mut Handles<'c>) -> Result<Prepared<'c>>,
    ) -> Result<()> {
        let Some(target) = &mut self.target else { return Ok(()) };
        let toolkit = &target.context.toolkit;
        let mut handles = Handles::new(&toolkit.api);
        let prepared = prepare(toolkit, &mut handles)?;
        let workspace = match prepared.workspace() {
            0 => std::ptr::null_mut(),
            bytes => target.scratch.at_least(bytes)?,
        };
        // SAFETY: the workspace has the size asked for; it and the temporaries belong to the stream, and whoever runs the plan answers for the arguments.
        unsafe { prepared.launch(workspace, target.stream) }
    }
}
