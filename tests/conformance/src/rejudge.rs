//! Judging the outputs of a bundle again: the same inputs from name and salt, the judge's results, the same comparison.

use crate::draw;
use crate::image::Image;
use crate::judge;
use crate::outcome::CaseResult;
use crate::report::verify::Rejudged;
use crate::run;
use crate::suite::{self, Item};
use omnihal::Accumulation;
use omnihal_reference::Output;

/// Judges what a case's kept outputs are worth, without the device.
pub fn rejudge(
    items: &suite::Index,
    result: &CaseResult,
    outputs: &[(String, Vec<u8>)],
    salt: u64,
) -> Result<Rejudged, String> {
    let case = match items.find(&result.id)? {
        Item::Op(case) => case,
        Item::Script(_) => {
            return Ok(Rejudged::NeedsDevice("it is about what a device does, not about one result".into()));
        }
    };
    if outputs.is_empty() {
        return Ok(Rejudged::NeedsDevice("its outputs were not kept".into()));
    }
    let class = result.accumulation.as_deref().map_or(Ok(Accumulation::F32), read_class)?;
    let fail = |e: omnihal::Error| format!("{}: {e}", result.id);
    let image = draw::draw(&case, salt).map_err(fail)?;
    let expected = run::expected(&case, &image, class).map_err(fail)?;
    let before: Vec<Vec<u8>> = image.slabs.iter().map(|s| s.bytes.clone()).collect();
    let before = judge::outputs_of(&image, &expected, &before);
    own_outputs(result, &image, &expected)?;
    let (mut findings, mut records) = (Vec::new(), Vec::new());
    for (expected, before) in expected.iter().zip(&before) {
        let Some(tensor) = &image.args[expected.arg] else { continue };
        let Some((_, bytes)) = outputs.iter().find(|(name, _)| name == tensor.name) else { continue };
        if bytes.len() != before.len() {
            return Err(format!("`{}` has {} bytes, the case makes {}", tensor.name, bytes.len(), before.len()));
        }
        let judged = judge::output(&case, class, tensor, expected, bytes, before).map_err(fail)?;
        findings.extend(judged.findings);
        records.push(judged.record);
    }
    Ok(Rejudged::Judged { findings, records })
}

/// Refuses a report whose outputs are not the case's own: fewer, others, or of other types and shapes.
fn own_outputs(result: &CaseResult, image: &Image, expected: &[Output]) -> Result<(), String> {
    let own = expected.iter().filter_map(|e| image.args[e.arg].as_ref());
    let own: Vec<_> = own.map(|t| (t.name, t.view.dtype.name(), t.view.shape.dims().to_vec())).collect();
    let reported: Vec<_> = result.outputs.iter().map(|o| (o.arg.as_str(), o.dtype.as_str(), o.shape.clone())).collect();
    match own == reported {
        true => Ok(()),
        false => Err(format!("the outputs reported are {reported:?}, the case has {own:?}")),
    }
}

/// The class as a result records it.
pub fn class_text(class: Accumulation) -> String {
    serde_json::to_string(&class).unwrap_or_default().trim_matches('"').to_owned()
}

fn read_class(text: &str) -> Result<Accumulation, String> {
    serde_json::from_str(text)
        .or_else(|_| serde_json::from_str(&format!("\"{text}\"")))
        .map_err(|_| format!("`{text}` is no class of accumulation"))
}
