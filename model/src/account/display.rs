//! The numbers as a person reads them.

use std::fmt;

use super::{Account, Fit, Flops};

const GIB: f64 = (1u64 << 30) as f64;

fn gib(bytes: u64) -> f64 {
    bytes as f64 / GIB
}

fn giga(value: u64) -> f64 {
    value as f64 / 1e9
}

fn mega(value: u64) -> f64 {
    value as f64 / 1e6
}

fn percent(part: f64, whole: f64) -> f64 {
    100.0 * part / whole
}

/// Decimal bytes in the unit that suits the size.
fn bytes(value: u64) -> String {
    match value {
        0..10_000 => format!("{value} B"),
        10_000..1_000_000 => format!("{:.1} kB", value as f64 / 1e3),
        1_000_000..1_000_000_000 => format!("{:.1} MB", mega(value)),
        _ => format!("{:.2} GB", giga(value)),
    }
}

/// Binary bytes of memories and files: GiB, or MiB where that would show no digits.
fn memory(value: u64, digits: usize) -> String {
    const SMALL: u64 = 8 << 20;
    match value {
        0..SMALL => format!("{:.3} MiB", value as f64 / f64::from(1 << 20)),
        _ => format!("{:.digits$} GiB", gib(value)),
    }
}

/// Whole MB as published tables have them, unless that would be one digit.
fn traffic(value: u64) -> String {
    if value < 10_000_000 { bytes(value) } else { format!("{:.0} MB", mega(value)) }
}

fn parameters(value: u64, digits: usize) -> String {
    match value {
        0..10_000_000 => format!("{:.3}M", mega(value)),
        _ => format!("{:.digits$}B", giga(value)),
    }
}

impl fmt::Display for Account {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let p = &self.parameters;
        writeln!(f, "parameters   {} total, {} active", parameters(p.total, 1), parameters(p.active, 2))?;
        self.weights_table(f)?;
        self.cache_table(f)?;
        self.flops_table(f)?;
        self.step_lines(f)?;
        self.device_lines(f)
    }
}

impl Account {
    fn weights_table(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let w = &self.weights;
        writeln!(
            f,
            "checkpoint   {} ({} backbone, {} MTP, {} small tensors)",
            memory(w.checkpoint, 1),
            memory(w.stored.total, 1),
            memory(w.mtp, 1),
            bytes(w.small)
        )?;
        // One unit for the whole table, so that its rows can be compared at a glance.
        let large = w.read.total >= 1_000_000_000;
        let show = |value| if large { format!("{:.2}", giga(value)) } else { format!("{:.3}", mega(value)) };
        let title = if large { "weights, GB" } else { "weights, MB" };
        writeln!(f, "\n{title:<28}{:>14}{:>14}", "read/token", "stored")?;
        for (name, read, stored) in [
            ("attention", w.read.attention, w.stored.attention),
            ("compressors + indexer", w.read.compressor_indexer, w.stored.compressor_indexer),
            ("routed experts", w.read.routed, w.stored.routed),
            ("shared experts", w.read.shared, w.stored.shared),
            ("mHC + gate + head", w.read.rest, w.stored.rest),
            ("sum", w.read.total, w.stored.total),
        ] {
            writeln!(f, "  {name:<26}{:>14}{:>14}", show(read), show(stored))?;
        }
        Ok(())
    }

    fn cache_table(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let base = &self.baseline;
        writeln!(f, "\ncache of one sequence of {} tokens", self.query.context)?;
        for (name, cache, whole) in
            [("mixed", &self.cache.mixed, base.kv_mixed), ("bf16", &self.cache.bf16, base.kv_bf16)]
        {
            writeln!(
                f,
                "  {name:<20}{:>12}  {:>5.1}% of {}'s {:.2} GiB, {} read/token",
                memory(cache.size, 3),
                percent(cache.size as f64, whole as f64),
                base.name,
                gib(whole),
                traffic(cache.read)
            )?;
        }
        let s = &self.sequence;
        writeln!(
            f,
            "  in {:<6} pools     {:>12}  {} slot ({} rings, {} open windows) + {} pages",
            s.format.name(),
            memory(s.total, 3),
            bytes(s.slot),
            bytes(s.ring),
            bytes(s.open_windows),
            bytes(s.pages)
        )
    }

    fn flops_table(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let base = &self.baseline;
        let (title, unit) = match self.flops.total {
            0..1_000_000_000 => ("MFLOP per decoded token", 1e6),
            _ => ("GFLOP per decoded token", 1e9),
        };
        writeln!(
            f,
            "\n{title:<28}{:>12}{:>12}{:>12}{:>12}{:>16}",
            "linear", "indexer", "core", "total", "FP8-equivalent"
        )?;
        let row = |f: &mut fmt::Formatter<'_>, name: &str, x: &Flops| {
            let [linear, indexer, core, total] = [x.linear, x.indexer, x.core, x.total].map(|v| v as f64 / unit);
            write!(f, "  {name:<26}{linear:>12.1}{indexer:>12.1}")?;
            writeln!(f, "{core:>12.1}{total:>12.1}{:>16.1}", x.fp8_equivalent / unit)
        };
        row(f, "this model", &self.flops)?;
        row(f, base.name, &base.flops)?;
        writeln!(
            f,
            "  {:<26}{:>47.1}%{:>15.1}%",
            "share",
            percent(self.flops.total as f64, base.flops.total as f64),
            percent(self.flops.fp8_equivalent, base.flops.fp8_equivalent)
        )
    }

    fn step_lines(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let s = &self.step;
        writeln!(
            f,
            "\ndecode step  batch {}: {} weights ({:.1} experts a block) + {} cache, {} and {:.3} GFLOP a token",
            self.query.batch,
            bytes(s.weight_bytes as u64),
            s.experts_per_block,
            bytes(s.cache_bytes as u64),
            bytes(s.bytes_per_token as u64),
            s.flops / self.query.batch as f64 / 1e9
        )
    }

    fn device_lines(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let d = &self.device;
        writeln!(
            f,
            "each device  of {}: {} weights + {} state = {}, activations and workspace come on top",
            self.query.tensor_parallel,
            memory(d.weights, 2),
            memory(d.state, 2),
            memory(d.total, 2)
        )?;
        match self.weights.expanded == self.weights.checkpoint {
            true => Ok(()),
            false => writeln!(
                f,
                "as bf16      {} weights + {} state = {}, where a device expands coded weights as it loads them",
                memory(d.expanded_weights, 2),
                memory(d.state, 2),
                memory(d.expanded_total, 2)
            ),
        }
    }
}

impl fmt::Display for Fit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let size = memory(self.device_memory, 2);
        if self.fits {
            write!(f, "fits         {size} with {} to spare", memory(self.free, 2))?;
        } else {
            write!(f, "does not fit {size}, {} are missing", memory(self.missing, 2))?;
        }
        write!(f, "; largest batch at this context: {}", self.largest_batch)
    }
}
