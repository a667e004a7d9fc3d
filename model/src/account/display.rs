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

/// GB where it shows four digits or more, otherwise MB or bytes: small models should not read 0.00.
fn bytes(value: u64) -> String {
    match value {
        0..10_000 => format!("{value} B"),
        10_000..10_000_000 => format!("{:.3} MB", mega(value)),
        _ => format!("{:.2} GB", giga(value)),
    }
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
            "checkpoint   {:.1} GiB ({:.1} GiB backbone, {:.1} GiB MTP, {} small tensors)",
            gib(w.checkpoint),
            gib(w.stored.total),
            gib(w.mtp),
            bytes(w.small)
        )?;
        writeln!(f, "\n{:<28}{:>14}{:>14}", "weights", "read/token", "stored")?;
        for (name, read, stored) in [
            ("attention", w.read.attention, w.stored.attention),
            ("compressors + indexer", w.read.compressor_indexer, w.stored.compressor_indexer),
            ("routed experts", w.read.routed, w.stored.routed),
            ("shared experts", w.read.shared, w.stored.shared),
            ("mHC + gate + head", w.read.rest, w.stored.rest),
            ("sum", w.read.total, w.stored.total),
        ] {
            writeln!(f, "  {name:<26}{:>14}{:>14}", bytes(read), bytes(stored))?;
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
                "  {name:<26}{:>10.3} GiB  {:>5.1}% of {}'s {:.2} GiB, {:.0} MB read/token",
                gib(cache.size),
                percent(cache.size as f64, whole as f64),
                base.name,
                gib(whole),
                mega(cache.read)
            )?;
        }
        let s = &self.sequence;
        writeln!(
            f,
            "  in {:<6} pools {:>23.3} GiB  {} slot ({} rings, {} open windows) + {} pages",
            s.format.name(),
            gib(s.total),
            bytes(s.slot),
            bytes(s.ring),
            bytes(s.open_windows),
            bytes(s.pages)
        )
    }

    fn flops_table(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let base = &self.baseline;
        writeln!(
            f,
            "\n{:<28}{:>10}{:>10}{:>10}{:>10}{:>16}",
            "GFLOP per decoded token", "linear", "indexer", "core", "total", "FP8-equivalent"
        )?;
        let row = |f: &mut fmt::Formatter<'_>, name: &str, x: &Flops| {
            write!(f, "  {name:<26}{:>10.1}{:>10.1}", giga(x.linear), giga(x.indexer))?;
            writeln!(f, "{:>10.1}{:>10.1}{:>16.1}", giga(x.core), giga(x.total), x.fp8_equivalent / 1e9)
        };
        row(f, "this model", &self.flops)?;
        row(f, base.name, &base.flops)?;
        writeln!(
            f,
            "  {:<26}{:>39.1}%{:>15.1}%",
            "share",
            percent(self.flops.total as f64, base.flops.total as f64),
            percent(self.flops.fp8_equivalent, base.flops.fp8_equivalent)
        )
    }

    fn step_lines(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let s = &self.step;
        writeln!(
            f,
            "\ndecode step  batch {}: {:.2} GB weights ({:.1} experts a block) + {:.2} GB cache, {:.2} GB and {:.1} GFLOP a token",
            self.query.batch,
            s.weight_bytes / 1e9,
            s.experts_per_block,
            s.cache_bytes / 1e9,
            s.bytes_per_token / 1e9,
            s.flops / self.query.batch as f64 / 1e9
        )
    }

    fn device_lines(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let d = &self.device;
        writeln!(
            f,
            "each device  of {}: {:.2} GiB weights + {:.2} GiB state = {:.2} GiB, activations and workspace come on top",
            self.query.tensor_parallel,
            gib(d.weights),
            gib(d.state),
            gib(d.total)
        )
    }
}

impl fmt::Display for Fit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let memory = gib(self.device_memory);
        if self.fits {
            write!(f, "fits         {memory:.2} GiB with {:.2} GiB to spare", gib(self.free))?;
        } else {
            write!(f, "does not fit {memory:.2} GiB, {:.2} GiB are missing", gib(self.missing))?;
        }
        write!(f, "; largest batch at this context: {}", self.largest_batch)
    }
}
