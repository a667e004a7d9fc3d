//! Placement: where each operator runs, and why.

use crate::decompose::{Context, decompose};
use crate::recipe::Recipe;
use omnihal::op::Tier;
use omnihal::{Determinism, Device, Error, Op, OpKind, Plan, Result, Support};
use serde::Serialize;
use std::collections::{BTreeMap, HashMap};
use std::fmt;
use std::sync::Arc;

/// Which operators a program may use natively.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TierLimit {
    /// Every operator that the device has.
    All,
    /// Core operators only; every fused one is composed.
    Core,
}

/// Where one operator runs.
#[derive(Clone)]
pub enum Place {
    /// On the device.
    Native(Arc<dyn Plan>),
    /// On the device, as smaller operators.
    Composed(Arc<Recipe>),
    /// On the fallback device, with copies.
    Fallback(Arc<dyn Plan>),
}

/// One line of the placement table.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Row {
    /// Operator.
    pub op: &'static str,
    /// Core or fused.
    pub tier: Tier,
    /// `native`, `composed` or `fallback`.
    pub place: &'static str,
    /// Why.
    pub reason: String,
    /// D0, D1 or D2, where the device runs it itself.
    pub determinism: Option<String>,
    /// Distinct descriptors.
    pub descriptors: usize,
    /// Calls in a step, those inside composed operators included.
    pub calls: usize,
}

/// The placement table of a program.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct PlacementTable {
    /// Lines by operator and place.
    pub rows: Vec<Row>,
}

impl PlacementTable {
    /// Calls of one step that reach a device.
    pub fn device_calls(&self) -> usize {
        self.rows.iter().filter(|r| r.place != "composed").map(|r| r.calls).sum()
    }

    /// Calls of one step that run on the fallback device.
    pub fn fallback_calls(&self) -> usize {
        self.rows.iter().filter(|r| r.place == "fallback").map(|r| r.calls).sum()
    }
}

impl fmt::Display for PlacementTable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{:<22} {:<6} {:<9} {:>6} {:>4}  why", "operator", "tier", "place", "calls", "bits")?;
        for row in &self.rows {
            let tier = format!("{:?}", row.tier).to_lowercase();
            let bits = row.determinism.as_deref().unwrap_or("-");
            writeln!(f, "{:<22} {tier:<6} {:<9} {:>6} {bits:>4}  {}", row.op, row.place, row.calls, row.reason)?;
        }
        Ok(())
    }
}

/// Decides where operators run on one device, and remembers.
pub struct Placer<'a> {
    device: &'a dyn Device,
    fallback: Option<&'a dyn Device>,
    limit: TierLimit,
    context: Context<'a>,
    known: HashMap<String, (Place, String)>,
    counts: BTreeMap<(OpKind, &'static str), Count>,
}

#[derive(Default)]
struct Count {
    reason: String,
    determinism: Option<Determinism>,
    descriptors: usize,
    calls: usize,
}

impl<'a> Placer<'a> {
    /// A placer for a device, with an optional device for what it cannot run.
    pub fn new(
        device: &'a dyn Device,
        fallback: Option<&'a dyn Device>,
        limit: TierLimit,
        context: Context<'a>,
    ) -> Self {
        Placer { device, fallback, limit, context, known: HashMap::new(), counts: BTreeMap::new() }
    }

    /// Capacities of the step.
    pub fn step(&self) -> &'a omnihal::StepShape {
        self.context.step
    }

    /// Where one call of `op` runs. Order: native, composed, fallback.
    pub fn place(&mut self, op: &Op) -> Result<Place> {
        // A descriptor's debug form holds every field, so it identifies the plan.
        let key = format!("{op:?}");
        let fresh = !self.known.contains_key(&key);
        if fresh {
            let decided = self.decide(op)?;
            self.known.insert(key.clone(), decided);
        }
        let (place, reason) = &self.known[&key];
        let (name, determinism) = match place {
            Place::Native(plan) => ("native", Some(plan.determinism())),
            Place::Composed(_) => ("composed", None),
            Place::Fallback(plan) => ("fallback", Some(plan.determinism())),
        };
        let count = self.counts.entry((op.kind(), name)).or_default();
        count.calls += 1;
        if fresh {
            count.descriptors += 1;
            count.reason = reason.clone();
            count.determinism = count.determinism.min(determinism).or(determinism);
        }
        Ok(place.clone())
    }

    fn decide(&self, op: &Op) -> Result<(Place, String)> {
        let fused = op.kind().spec().tier == Tier::Fused;
        let refusal = if fused && self.limit == TierLimit::Core {
            "only the core tier was asked for".to_owned()
        } else {
            match self.device.supports(op) {
                Support::Native => return Ok((Place::Native(self.device.plan(op)?), "the device has it".to_owned())),
                Support::Emulated(how) => return Ok((Place::Native(self.device.plan(op)?), how)),
                Support::No(reason) => reason,
            }
        };
        if let Some(recipe) = decompose(op, &self.context)? {
            return Ok((Place::Composed(Arc::new(recipe)), refusal));
        }
        match self.fallback {
            Some(device) => Ok((Place::Fallback(device.plan(op)?), refusal)),
            None => Err(Error::unsupported(format!(
                "{} cannot run this operator ({refusal}), it has no decomposition, and no fallback was allowed",
                self.device.info().backend
            ))
            .with_op(op.kind())),
        }
    }

    /// The table of everything placed so far.
    pub fn table(&self) -> PlacementTable {
        let rows = self.counts.iter().map(|(&(kind, place), count)| Row {
            op: kind.name(),
            tier: kind.spec().tier,
            place,
            reason: count.reason.clone(),
            determinism: count.determinism.map(|d| d.to_string()),
            descriptors: count.descriptors,
            calls: count.calls,
        });
        PlacementTable { rows: rows.collect() }
    }
}
