//! The same block in f64, over the whole history at once.

use super::block::{Block, Constants, EPS, Inputs, LENGTH, OWN, PAGE, SCALE};
use crate::ops::attention::row;
use crate::ops::cache::testing::rounded;
use omnihal::op::attention::Entries;

impl Block {
    /// The outputs of all rows, in f64 over the whole history.
    pub(super) fn expected(&self, name: &str) -> Vec<f64> {
        let (inputs, shared) = (self.inputs(name), self.constants(name));
        let entries: Vec<Vec<f64>> = (0..LENGTH / self.ratio).map(|j| self.entry(j, &inputs, &shared)).collect();
        (0..LENGTH)
            .flat_map(|t| {
                let keys = self.keys(t, &inputs, &entries);
                (0..self.heads).flat_map(move |h| self.attend(t, h, &keys, name)).collect::<Vec<_>>()
            })
            .collect()
    }

    fn rotated(&self, x: &mut [f64], position: usize, inverse: bool, shared: &Constants) {
        let from = x.len() - self.rotary;
        for k in 0..self.rotary / 2 {
            let c = shared.rope[position * self.rotary + 2 * k] as f64;
            let s = shared.rope[position * self.rotary + 2 * k + 1] as f64 * if inverse { -1.0 } else { 1.0 };
            let (a, b) = (x[from + 2 * k], x[from + 2 * k + 1]);
            (x[from + 2 * k], x[from + 2 * k + 1]) = (a * c - b * s, a * s + b * c);
        }
    }

    fn entry(&self, j: usize, inputs: &Inputs, shared: &Constants) -> Vec<f64> {
        let (m, w) = (self.ratio, self.head);
        let at =
            |p: usize, c: usize| (inputs.proj[p * self.columns() + c] + shared.ape[p % m * self.columns() + c]) as f64;
        let mut slots = Vec::new();
        if self.overlap && j > 0 {
            slots.extend(((j - 1) * m..j * m).map(|p| (p, 0)));
        }
        slots.extend((j * m..(j + 1) * m).map(|p| (p, if self.overlap { 2 * w } else { 0 })));
        let mut e: Vec<f64> = (0..w)
            .map(|c| {
                let gates: Vec<f64> = slots.iter().map(|&(p, half)| at(p, half + w + c).exp()).collect();
                let sum: f64 = gates.iter().sum();
                gates.iter().zip(&slots).map(|(g, &(p, half))| g / sum * at(p, half + c)).sum()
            })
            .map(|e: f64| rounded(self.act, e))
            .collect();
        let factor = 1.0 / (e.iter().map(|v| v * v).sum::<f64>() / w as f64 + EPS as f64).sqrt();
        e.iter_mut().zip(&shared.gain).for_each(|(v, g)| *v = rounded(self.act, *v * factor * *g as f64));
        self.rotated(&mut e, j * m, false, shared);
        e.iter_mut().for_each(|v| *v = rounded(self.act, *v));
        if w.is_power_of_two() {
            let before = e.clone();
            for (i, v) in e.iter_mut().enumerate() {
                let sign = |k: usize| if (i & k).count_ones() % 2 == 0 { 1.0 } else { -1.0 };
                *v = before.iter().enumerate().map(|(k, b)| sign(k) * b).sum::<f64>() / (w as f64).sqrt();
            }
        }
        let mut e: Vec<f32> = e.iter().map(|&v| v as f32).collect();
        row::quantise(self.quant, self.rotary, &mut e);
        e.iter().map(|&v| v as f64).collect()
    }

    fn keys(&self, t: usize, inputs: &Inputs, entries: &[Vec<f64>]) -> Vec<Vec<f64>> {
        let window = (t + 1).saturating_sub(self.window)..t + 1;
        let mut keys: Vec<Vec<f64>> =
            window.map(|p| inputs.kv[p * self.head..(p + 1) * self.head].iter().map(|&v| v as f64).collect()).collect();
        let visible = ((t + 1) / self.ratio).min(OWN.len() * PAGE);
        let mut chosen: Vec<usize> = match self.entries {
            Entries::None => Vec::new(),
            Entries::All => (0..visible).collect(),
            Entries::Listed(k) => {
                let list = inputs.idx[t * k..(t + 1) * k].iter();
                list.filter_map(|&j| usize::try_from(j).ok()).filter(|&j| j < visible).collect()
            }
        };
        chosen.dedup();
        keys.extend(chosen.into_iter().map(|j| entries[j].clone()));
        keys
    }

    fn attend(&self, t: usize, h: usize, keys: &[Vec<f64>], name: &str) -> Vec<f64> {
        let (inputs, shared) = (self.inputs(name), self.constants(name));
        let q = &inputs.q[(t * self.heads + h) * self.head..][..self.head];
        let p: Vec<f64> = keys
            .iter()
            .map(|k| (k.iter().zip(q).map(|(k, &q)| k * q as f64).sum::<f64>() * SCALE as f64).exp())
            .collect();
        let sum = p.iter().sum::<f64>() + (shared.sink[h] as f64).exp();
        let mut o = vec![0.0; self.head];
        for (p, key) in p.iter().zip(keys) {
            let p = rounded(self.act, p / sum);
            o.iter_mut().zip(key).for_each(|(o, k)| *o += p * k);
        }
        self.rotated(&mut o, t, true, &shared);
        o
    }
}
