//! `compress.update`.

use super::attention::{ROW_F8R, activation, gain};
use super::{Choice, CudaPlan, fits, int, unsupported};
use crate::modules::Modules;
use crate::params::{Rows, params};
use crate::stream::Queue;
use omnihal::op::RowQuant;
use omnihal::op::compress::{Update, UpdateArgs, halves};
use omnihal::{Args, Error, Op, Result, RowFormat};

params! {
    /// Parameters of `compress_update`.
    CompressUpdate {
        proj: Rows,
        ape: Rows,
        norm: Rows,
        rope: Rows,
        state: Rows,
        pool: Rows,
        pt: Rows,
        toks: Rows,
        seqs: Rows,
        close: Rows,
        seq_count: i32,
        closings: i32,
        ratio: i32,
        /// Halves of a row.
        halves: i32,
        width: i32,
        rotary: i32,
        positions: i32,
        ring_rows: i32,
        page_entries: i32,
        page_table: i32,
        page_count: i32,
        hadamard: i32,
        /// 0 none, 1 E4M3 on the channels without rope, 2 E2M1 on all.
        quant: i32,
        /// A type, 100 for F8R, 101 for F4.
        format: i32,
        /// Type of the pooled value.
        act: i32,
        eps: f32,
    }
}

/// How kernels know rows of F4.
const ROW_F4: i32 = 101;

/// Threads of a block: one for each channel of a released model's entry.
const THREADS: u32 = 512;

pub(crate) fn plan(op: &Op, modules: &Modules) -> Result<Choice> {
    let Op::CompressUpdate(d) = op else { return unsupported(op) };
    fits(&[d.rows, d.closings + d.seqs, 4 * d.width, d.positions, d.ring, d.pages.capacity(), d.pages.pages])?;
    activation(d.act)?;
    gain(d.weight)?;
    let exact = match d.format {
        RowFormat::Plain(dtype) => activation(dtype).is_ok(),
        RowFormat::F8R => d.quant == RowQuant::F8Nope,
        RowFormat::F4 => d.quant == RowQuant::F4All,
    };
    if !exact {
        return Err(Error::unsupported(format!(
            "entries rounded by {:?} do not fit rows of {}; use F32 or BF16",
            d.quant, d.format
        )));
    }
    Ok(Choice::new(update, &[modules.function("compress", "compress_update", shared(d))?]))
}

fn shared(d: &Update) -> u32 {
    4 * d.width as u32
}

fn update(plan: &CudaPlan, args: &Args<'_>, queue: &Queue<'_>) -> Result<()> {
    let (Op::CompressUpdate(d), a) = (&plan.op, UpdateArgs::new(args)?) else { return Ok(()) };
    let params = CompressUpdate {
        proj: Rows::new(a.proj),
        ape: Rows::new(a.ape),
        norm: Rows::new(a.norm),
        rope: Rows::new(a.rope),
        state: Rows::new(a.state),
        pool: Rows::new(a.pool),
        pt: Rows::new(a.pt),
        toks: Rows::new(a.toks),
        seqs: Rows::new(a.seqs),
        close: Rows::new(a.close),
        seq_count: int(d.seqs),
        closings: int(d.closings),
        ratio: int(d.ratio),
        halves: int(halves(d.overlap)),
        width: int(d.width),
        rotary: int(d.rotary),
        positions: int(d.positions),
        ring_rows: int(d.ring),
        page_entries: int(d.pages.entries),
        page_table: int(d.pages.table),
        page_count: int(d.pages.pages),
        hadamard: i32::from(d.hadamard),
        quant: match d.quant {
            RowQuant::None => 0,
            RowQuant::F8Nope => 1,
            RowQuant::F4All => 2,
        },
        format: match d.format {
            RowFormat::Plain(dtype) => dtype as i32,
            RowFormat::F8R => ROW_F8R,
            RowFormat::F4 => ROW_F4,
        },
        act: d.act as i32,
        eps: d.eps,
    };
    queue.launch(plan.kernel(0)?, [(d.seqs + d.closings) as u32, 1, 1], THREADS, shared(d), &params)
}
