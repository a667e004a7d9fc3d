//! The files against the config: every tensor there, of the right type and shape, and no others.

use super::files::{Entry, Tensors};
use super::manifest::{self, Role, Spec};
use super::{WeightError, names};
use crate::config::{Config, ExpertFormat};
use safetensors::Dtype;
use std::path::PathBuf;

/// Columns of a packed FP4 row that share a scale.
pub(super) const FP4_GROUP: usize = 32;

/// How a tensor is stored.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Stored {
    Plain,
    Fp8,
    Fp4,
}

/// Checks everything but values. The config is made to say what the files hold.
pub(super) fn check(config: &mut Config, tensors: &mut Tensors) -> Result<(), WeightError> {
    let has_tail = tensors.entries.keys().any(|name| name.starts_with("mtp."));
    if tensors.library && !has_tail {
        config.mtp.clear();
    }
    let mut checker = Checker { config, tensors, quantised: false };
    for spec in manifest::globals(config) {
        checker.require(&spec)?;
    }
    let mut experts = None;
    for (prefix, block, mtp) in manifest::block_prefixes(config) {
        for spec in manifest::block_specs(config, &prefix, block, mtp) {
            checker.require(&spec)?;
        }
        let stored = checker.experts(&prefix)?;
        experts.get_or_insert(stored);
    }
    let quantised = checker.quantised;
    no_others(config, tensors)?;
    config.quantised = quantised;
    config.expert_format = match experts {
        Some(Stored::Fp8) => ExpertFormat::Fp8,
        Some(Stored::Fp4) => ExpertFormat::Fp4,
        Some(Stored::Plain) | None => ExpertFormat::Plain,
    };
    Ok(())
}

/// Every tensor that was not asked for is one too many. A tail that the config does not use may stay unread.
fn no_others(config: &Config, tensors: &Tensors) -> Result<(), WeightError> {
    let tail = |name: &str| config.mtp.is_empty() && name.starts_with("mtp.");
    let others = || {
        let all = tensors.entries.iter();
        all.filter(|(name, entry)| !entry.used && !tail(name))
    };
    let Some((name, entry)) = others().min_by_key(|(_, entry)| (entry.shard, entry.start)) else {
        return Ok(());
    };
    Err(WeightError::Unknown {
        file: tensors.shards[entry.shard].path.clone(),
        tensor: entry.stored.as_ref().unwrap_or(name).clone(),
        count: others().count(),
    })
}

struct Checker<'a> {
    config: &'a Config,
    tensors: &'a mut Tensors,
    quantised: bool,
}

impl Checker<'_> {
    /// The routed experts of a block, one by one or stacked, all stored alike.
    fn experts(&mut self, prefix: &str) -> Result<Stored, WeightError> {
        let config = self.config;
        let (gate_up, down) = (format!("{prefix}{}", names::GATE_UP), format!("{prefix}{}", names::DOWN));
        let has = |name| self.tensors.entries.contains_key(name);
        if has(&gate_up) || has(&down) {
            return self.stacked(gate_up, down);
        }
        let mut first: Option<(String, Stored, Dtype)> = None;
        for spec in manifest::experts(config, prefix) {
            let stored = self.require(&spec)?;
            let dtype = self.tensors.entries[&spec.name].dtype;
            match &first {
                None => first = Some((spec.name, stored, dtype)),
                Some((_, _, same)) if *same == dtype => {}
                Some((name, _, other)) => {
                    let expected = format!("{other}, as `{name}` of the same block");
                    return Err(self.wrong(&spec.name, expected, dtype.to_string()));
                }
            }
        }
        Ok(first.map_or(Stored::Plain, |(_, stored, _)| stored))
    }

    fn stacked(&mut self, gate_up: String, down: String) -> Result<Stored, WeightError> {
        let config = self.config;
        let experts = config.n_routed_experts;
        let (d, inter) = (config.hidden_size, config.moe_intermediate_size);
        let spec = |name, shape: [usize; 3]| Spec { name, shape: shape.into(), role: Role::Expert };
        let gate_up = spec(gate_up, [experts, 2 * inter, d]);
        let down = spec(down, [experts, d, inter]);
        let (first, second) = (self.require(&gate_up)?, self.require(&down)?);
        if first != second {
            let expected = format!("the type of `{}`", gate_up.name);
            let found = self.tensors.entries[&down.name].dtype.to_string();
            return Err(self.wrong(&down.name, expected, found));
        }
        let rows = config.weight_block[0];
        if first == Stored::Fp8 && !inter.is_multiple_of(rows) {
            let expected = format!("an inner width that is a multiple of {rows}, the scale's rows");
            return Err(self.wrong(&gate_up.name, expected, inter.to_string()));
        }
        Ok(first)
    }

    /// One tensor and, if it holds codes, its scale.
    fn require(&mut self, spec: &Spec) -> Result<Stored, WeightError> {
        let Some(entry) = self.tensors.entries.get_mut(&spec.name) else {
            return Err(WeightError::Missing {
                file: self.home(),
                tensor: spec.name.clone(),
                expected: spec.shape.clone(),
            });
        };
        entry.used = true;
        let Some(stored) = classify(entry, spec) else {
            let found = format!("{} {:?}", entry.dtype, entry.shape);
            return Err(self.wrong(&spec.name, accepted(spec), found));
        };
        self.quantised |= stored != Stored::Plain;
        if let Some(scale) = names::scale_of(&spec.name) {
            self.scale(spec, stored, &scale)?;
        }
        Ok(stored)
    }

    fn scale(&mut self, spec: &Spec, stored: Stored, name: &str) -> Result<(), WeightError> {
        let codes = match stored {
            Stored::Plain => None,
            Stored::Fp8 => {
                Some((scale_shape(&spec.shape, self.config.weight_block), &[Dtype::F8_E8M0, Dtype::F32][..]))
            }
            Stored::Fp4 => Some((scale_shape(&spec.shape, [1, FP4_GROUP]), &[Dtype::F8_E8M0][..])),
        };
        let entry = self.tensors.entries.get_mut(name);
        let (shape, dtypes) = match (codes, &entry) {
            (None, None) => return Ok(()),
            (None, Some(_)) => {
                let expected = "no scale beside a weight without codes".into();
                return Err(self.wrong(name, expected, "one".into()));
            }
            (Some(codes), _) => codes,
        };
        let kinds: Vec<String> = dtypes.iter().map(Dtype::to_string).collect();
        let expected = format!("{} {shape:?}", kinds.join(" or "));
        let Some(entry) = entry else {
            let expected = format!("a scale `{name}`, {expected}");
            return Err(self.wrong(&spec.name, expected, "none".into()));
        };
        entry.used = true;
        if dtypes.contains(&entry.dtype) && entry.shape == shape {
            return Ok(());
        }
        let found = format!("{} {:?}", entry.dtype, entry.shape);
        Err(self.wrong(name, expected, found))
    }

    /// The file to name where no file holds the tensor.
    fn home(&self) -> PathBuf {
        self.tensors.shards.first().map(|s| s.path.clone()).unwrap_or_default()
    }

    fn wrong(&self, name: &str, expected: String, found: String) -> WeightError {
        let entry = self.tensors.entries.get(name);
        let stored = entry.and_then(|e| e.stored.as_ref());
        WeightError::Tensor {
            file: entry.map_or_else(|| self.home(), |e| self.tensors.shards[e.shard].path.clone()),
            tensor: stored.map_or_else(|| name.into(), |stored| format!("{stored} = {name}")),
            expected,
            found,
        }
    }
}

fn classify(entry: &Entry, spec: &Spec) -> Option<Stored> {
    let whole = entry.shape == spec.shape;
    let float = matches!(entry.dtype, Dtype::F32 | Dtype::BF16 | Dtype::F16);
    match spec.role {
        Role::Table => {
            let integer = matches!(entry.dtype, Dtype::I64 | Dtype::I32);
            (whole && integer).then_some(Stored::Plain)
        }
        _ if float => whole.then_some(Stored::Plain),
        Role::Linear | Role::Expert if entry.dtype == Dtype::F8_E4M3 => whole.then_some(Stored::Fp8),
        Role::Expert => {
            let fits = match entry.dtype {
                Dtype::F4 => whole,
                Dtype::I8 | Dtype::U8 => packed(&spec.shape).is_some_and(|s| entry.shape == s),
                _ => false,
            };
            // Two columns share a byte, so a row of odd length has no packed form.
            (fits && packed(&spec.shape).is_some()).then_some(Stored::Fp4)
        }
        _ => None,
    }
}

/// The stored shape of packed FP4: half the columns.
fn packed(shape: &[usize]) -> Option<Vec<usize>> {
    let mut packed = shape.to_vec();
    let columns = packed.last_mut()?;
    if !columns.is_multiple_of(2) {
        return None;
    }
    *columns /= 2;
    Some(packed)
}

/// One scale for each block of the last two dimensions.
fn scale_shape(shape: &[usize], block: [usize; 2]) -> Vec<usize> {
    let mut scale = shape.to_vec();
    for (dim, block) in scale.iter_mut().rev().zip(block.into_iter().rev()) {
        *dim = dim.div_ceil(block);
    }
    scale
}

fn accepted(spec: &Spec) -> String {
    let shape = &spec.shape;
    match spec.role {
        Role::Matrix | Role::Norm | Role::Float32 => format!("F32, BF16 or F16 {shape:?}"),
        Role::Linear => format!("F32, BF16, F16 or F8_E4M3 {shape:?}"),
        Role::Table => format!("I64 or I32 {shape:?}"),
        Role::Expert => match packed(shape) {
            Some(packed) => {
                format!("F32, BF16, F16, F8_E4M3 or F4 {shape:?}, or I8 or U8 {packed:?}")
            }
            None => format!("F32, BF16, F16 or F8_E4M3 {shape:?}"),
        },
    }
}
