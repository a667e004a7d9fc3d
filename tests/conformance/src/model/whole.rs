//! The demo model as a whole: its texts, its logits, the ways to feed it, its graphs.

use super::bisect::likeliest;
use super::runs::{Kind, Observed, hal, logits, tokens};
use crate::outcome::{Check, Finding};
use crate::script::Verdict;
use crate::target::Target;
use omnihal::{DType, Determinism, Device, Error, ErrorKind, Result};
use omnihal_deepseek::demo::{self, Expected};
use omnihal_deepseek::engine::{Engine, Feed, Want};
use omnihal_reference::ReferenceBackend;
use std::sync::Arc;

/// Runs a check; a device that has not what it takes says so.
fn verdict(
    target: &Target,
    act: DType,
    check: impl FnOnce(&Arc<dyn Device>) -> Result<Vec<Finding>>,
) -> Result<Verdict> {
    if !target.device().caps().activations.contains(&act) {
        return Ok(Verdict::Unsupported(format!("the device takes no activations of type {act}")));
    }
    match check(target.device()) {
        Err(error) if error.kind() == ErrorKind::Unsupported => Ok(Verdict::Unsupported(error.to_string())),
        outcome => outcome.map(Verdict::Ran),
    }
}

/// The demo continues its prompts as it was taught: of those texts with up to `longest` tokens, every token.
pub fn texts(target: &Target, kind: Kind, act: DType, longest: usize) -> Result<Verdict> {
    verdict(target, act, |device| {
        let texts = demo::expected().map_err(|e| Error::argument(format!("the demo's texts cannot be read: {e}")))?;
        let mut engine = kind.engine(Arc::clone(device), act, demo::MAX_TOKENS + 16)?;
        let texts = texts.iter().filter(|t| t.continuation_tokens.len() <= longest);
        let findings = texts.map(|text| continues(&mut engine, text)).collect::<Result<Vec<_>>>()?;
        Ok(findings.into_iter().flatten().collect())
    })
}

fn continues(engine: &mut Engine, text: &Expected) -> Result<Option<Finding>> {
    let seq = engine.add().map_err(hal)?;
    let mut next = text.tokens.clone();
    let mut wrong = None;
    for (i, &expected) in text.continuation_tokens.iter().enumerate() {
        let row = engine.step(&[Feed { seq, tokens: &next, want: Want::Last }]).map_err(hal)?;
        let found = likeliest(row.row(0));
        if found != expected {
            let said = format!("after `{}`, token {i} is {found}, expected {expected}", text.prompt);
            wrong = Some(Finding::new(Check::Model, said));
            break;
        }
        next = vec![expected];
    }
    engine.remove(seq).map_err(hal)?;
    Ok(wrong)
}

/// Tokens whose logits are compared: several windows, and entries of both ratios.
const ROWS: usize = 41;

/// How often the twin's error a device's may be.
///
/// The twin is the judge in BF16: it rounds where the operators say that a value must be rounded, once, and computes exactly in between. An
/// honest device rounds at the same places, may round where the operators allow it, and adds errors of f32 sums that are far smaller. So its
/// error is made of as many roundings, or up to twice as many, each of the size of the twin's; roundings that do not depend on each other add
/// up by squares, which makes root two. Its errors are other draws than the twin's, though, and a model multiplies some of them (a flipped
/// expert, a flipped code): over many logits two such draws differ by less than root two. Together that is a factor of 2. Honest devices were
/// found between 0.2 and 1.03 times the twin's error, and mistakes planted in single operators at 2.4 (a bias in the experts' weights), 7 (no
/// sink), 9 (no factor of the weights), 18 (no inverse rotation). Mistakes that move the logits by less than roundings do are for the bounds of
/// the single calls to find.
const FACTOR: f64 = 2.0;

/// How much of the BF16 twin's error an F32 device may have, beside [`FACTOR`]: units of roundoff are 2^-24 and 2^-8; where BF16 rounds a value
/// once, F32 also rounds each of the K partial sums that make it, and these add up to root K roundoffs, with K up to 512 in the demo.
const F32_SHARE: f64 = 22.7 / 65536.0;

/// The judge's logits, and the distance that a device may have from them.
struct Twin {
    exact: Vec<f32>,
    allowed: f64,
}

impl Twin {
    /// Runs the judge in F32 and in BF16. `coarse`: some plan of the device adds up in fewer bits than f32 has.
    fn new(kind: Kind, act: DType, ids: &[u32], coarse: bool) -> Result<Twin> {
        let judge = omnihal::Backend::open(&ReferenceBackend, 0)?;
        // The judge needs no composition: fused operators in f64 are what composed ones are held to.
        let kind = if kind == Kind::Core { Kind::V4 } else { kind };
        let of = |act| logits(&mut kind.engine(Arc::clone(&judge), act, ids.len())?, ids, &[ids.len()]);
        let (exact, rounded) = (of(DType::F32)?, of(DType::BF16)?);
        // Codes flip under the smallest error, so there is no limit of its own for F32 where values are rounded to codes. A plan that truncates
        // at 13 bits, the fewest that the kit allows, errs less than one that rounds to the 8 bits of BF16.
        let fine = act == DType::F32 && kind == Kind::V4 && !coarse;
        let share = if fine { F32_SHARE } else { 1.0 };
        Ok(Twin { allowed: FACTOR * share * distance(&exact, &rounded), exact })
    }

    fn finding(&self, what: &str, found: &[f32]) -> Option<Finding> {
        let error = distance(&self.exact, found);
        // A distance that is NaN is too large as well.
        let near = error <= self.allowed;
        (!near).then(|| {
            let share = error / self.allowed;
            let text = format!(
                "{what} differ from the judge's by {error:.3e} (root mean square), the twin in lower precision allows {:.3e}",
                self.allowed
            );
            Finding { share: Some(share).filter(|s| s.is_finite()), ..Finding::new(Check::Model, text) }
        })
    }
}

/// Root mean square of the differences.
fn distance(a: &[f32], b: &[f32]) -> f64 {
    if a.len() != b.len() {
        return f64::INFINITY;
    }
    let sum: f64 = a.iter().zip(b).map(|(a, b)| (f64::from(*a) - f64::from(*b)).powi(2)).sum();
    (sum / a.len().max(1) as f64).sqrt()
}

/// Logits are as near to the judge's as those of an honest device of that precision.
pub fn near_the_judge(target: &Target, seed: u64, kind: Kind, act: DType) -> Result<Verdict> {
    verdict(target, act, |device| {
        let ids = tokens(seed, ROWS)?;
        let device = Observed::new(device);
        let found = logits(&mut kind.engine(device.clone(), act, ROWS)?, &ids, &[ROWS])?;
        Ok(Twin::new(kind, act, &ids, device.coarse())?.finding("logits", &found).into_iter().collect())
    })
}

/// The prompt in odd chunks, and token by token, gives the logits of the whole prompt: in bits where every plan declares D2, else as near to the
/// judge's as the whole prompt must be.
pub fn any_chunks(target: &Target, seed: u64, kind: Kind, act: DType) -> Result<Verdict> {
    verdict(target, act, |device| {
        let ids = tokens(seed, ROWS)?;
        let device = Observed::new(device);
        let mut engine = kind.engine(device.clone(), act, ROWS)?;
        let whole = logits(&mut engine, &ids, &[ROWS])?;
        let mut twin = None;
        let mut findings: Vec<Finding> = says_nothing(&whole).into_iter().collect();
        for (what, lengths) in [("logits of odd chunks", &[7, 1, 13, 2, 5][..]), ("logits token by token", &[1])] {
            let found = logits(&mut engine, &ids, lengths)?;
            if declared(&mut engine, &[ROWS, 13, 7, 5, 2, 1])? >= Determinism::RowInvariant {
                findings.extend(same_bits(
                    &whole,
                    &found,
                    what,
                    "of the whole prompt, although every plan declares D2",
                ));
            } else {
                if twin.is_none() {
                    twin = Some(Twin::new(kind, act, &ids, device.coarse())?);
                }
                findings.extend(twin.as_ref().and_then(|twin| twin.finding(what, &found)));
            }
        }
        Ok(findings)
    })
}

/// Steps as captured graphs give the logits of eager steps: in bits where every plan declares D1, else as near to the judge's as those.
pub fn graphs(target: &Target, seed: u64, kind: Kind, act: DType) -> Result<Verdict> {
    verdict(target, act, |device| {
        let ids = tokens(seed, ROWS)?;
        // The second step of a size is the first that is replayed.
        let lengths = [9, 9, 1];
        let mut engine = kind.engine(Observed::eager(device), act, ROWS)?;
        let plain = logits(&mut engine, &ids, &lengths)?;
        let device = Observed::captured(device);
        let replayed = logits(&mut kind.engine(device.clone(), act, ROWS)?, &ids, &lengths)?;
        if declared(&mut engine, &[9, 1])? >= Determinism::Repeatable {
            let differs = same_bits(&plain, &replayed, "logits of captured steps", "of eager ones");
            return Ok(says_nothing(&plain).into_iter().chain(differs).collect());
        }
        Ok(Twin::new(kind, act, &ids, device.coarse())?
            .finding("logits of captured steps", &replayed)
            .into_iter()
            .collect())
    })
}

/// The least that any plan of steps of these sizes declares.
fn declared(engine: &mut Engine, rows: &[usize]) -> Result<Determinism> {
    let mut least = Determinism::RowInvariant;
    for &rows in rows {
        let placement = engine.placement(rows).map_err(hal)?;
        for found in placement.rows.iter().filter_map(|row| row.determinism.as_deref()) {
            let of = [Determinism::None, Determinism::Repeatable, Determinism::RowInvariant];
            let found = of.into_iter().find(|d| d.to_string() == found);
            least = least.min(found.unwrap_or(Determinism::None));
        }
    }
    Ok(least)
}

/// Equal bits prove something only of logits that differ among themselves: a device that does nothing is equal to itself.
fn says_nothing(logits: &[f32]) -> Option<Finding> {
    let first = logits.first().map(|v| v.to_bits());
    let same = logits.iter().all(|v| Some(v.to_bits()) == first);
    same.then(|| Finding::new(Check::Model, "all logits are the same number"))
}

fn same_bits(a: &[f32], b: &[f32], what: &str, than: &str) -> Option<Finding> {
    let differs = |i: &usize| a.get(*i).map(|v| v.to_bits()) != b.get(*i).map(|v| v.to_bits());
    let first = (0..a.len().max(b.len())).find(differs)?;
    let count = (0..a.len().max(b.len())).filter(differs).count() as u64;
    let text = format!("{what} have other bits than those {than}: {:?} and {:?}", b.get(first), a.get(first));
    Some(Finding { element: Some(vec![first]), count, ..Finding::new(Check::Model, text) })
}
