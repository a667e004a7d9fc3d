//! What lies where in the judge's memory: by it a call is placed in the model.

use omnihal::{Mem, View};
use std::collections::BTreeMap;
use std::sync::Arc;

/// Named ranges of memory.
#[derive(Default)]
pub struct Places {
    /// First byte to the byte past the last, and the tensor.
    ranges: BTreeMap<u64, (u64, Arc<str>)>,
    /// Written since the last tensor was named.
    pending: Vec<Mem>,
}

impl Places {
    /// Something was written and will be named.
    pub fn written(&mut self, mem: Mem) {
        self.pending.push(mem);
    }

    /// What was written since the last name is this tensor.
    pub fn named(&mut self, name: &str) {
        let name: Arc<str> = name.into();
        for mem in std::mem::take(&mut self.pending) {
            self.insert(mem, &name);
        }
    }

    /// What was written since the last name has none.
    pub fn unnamed(&mut self) {
        self.pending.clear();
    }

    /// Names a range. What was there before is gone: memory is used again.
    pub fn insert(&mut self, mem: Mem, name: &Arc<str>) {
        if mem.len == 0 {
            return;
        }
        let (start, end) = (mem.addr, mem.addr + mem.len as u64);
        let stale: Vec<u64> = self
            .ranges
            .range(..end)
            .rev()
            .take_while(|(_, (last, _))| *last > start)
            .map(|(first, _)| *first)
            .collect();
        stale.iter().for_each(|first| drop(self.ranges.remove(first)));
        self.ranges.insert(start, (end, Arc::clone(name)));
    }

    /// The tensor that a view's first element lies in, or the first one inside the view.
    pub fn of(&self, view: &View) -> Option<&Arc<str>> {
        let (start, end) = (view.addr(), view.addr() + view.extent_bytes() as u64);
        let before = self.ranges.range(..=start).next_back().filter(|(_, (last, _))| *last > start);
        before.or_else(|| self.ranges.range(start..end).next()).map(|(_, (_, name))| name)
    }
}

/// The part of the model that a tensor belongs to: `layers.2`, `mtp.0`, `embed`, `head`.
pub fn layer(tensor: &str) -> String {
    let mut parts = tensor.split('.');
    match (parts.next(), parts.next()) {
        (Some(stack @ ("layers" | "mtp")), Some(number)) => format!("{stack}.{number}"),
        (Some("embed"), _) => "embed".to_owned(),
        // The last norm, the last collapse and the projection to logits.
        _ => "head".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use omnihal::DType;

    fn view(addr: u64, len: usize) -> View {
        View::contiguous(Mem { addr, len }, DType::U8, [len]).unwrap()
    }

    #[test]
    fn memory_has_the_name_of_what_was_written_last() {
        let mut places = Places::default();
        places.written(Mem { addr: 100, len: 50 });
        places.written(Mem { addr: 200, len: 50 });
        places.named("layers.1.attn.wkv.weight");
        places.written(Mem { addr: 220, len: 4 });
        places.named("layers.2.ffn.gate.weight");
        places.written(Mem { addr: 300, len: 4 });
        places.unnamed();
        places.named("nothing");
        let name = |addr| places.of(&view(addr, 4)).map(|n| layer(n));
        assert_eq!(name(149), Some("layers.1".into()));
        assert_eq!(name(150), None);
        assert_eq!(name(220), Some("layers.2".into()));
        assert_eq!(name(200), None, "a buffer that is used again has lost its name");
        assert_eq!(name(300), None);
    }

    #[test]
    fn tensors_outside_blocks_belong_to_the_ends() {
        assert_eq!(layer("embed.weight"), "embed");
        assert_eq!(layer("hc_head_fn"), "head");
        assert_eq!(layer("mtp.0.e_proj.weight"), "mtp.0");
    }
}
