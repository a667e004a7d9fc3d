//! The parts of the library's config that are shaped differently: lists of words for lists of numbers.

use super::fields::Fields;
use super::{Block, BlockKind, FieldError, Yarn};

/// Ratios from `layer_types` and `compress_rates`, if there.
pub(super) fn ratios(root: &Fields<'_>, max: usize) -> Result<Option<Vec<usize>>, FieldError> {
    let Some(types) = root.texts_opt("layer_types")? else {
        return Ok(None);
    };
    let rates = root.object("compress_rates")?;
    let rate = |name: &str, kind: BlockKind| -> Result<usize, FieldError> {
        let rate = match rates {
            Some(rates) => rates.count(&[name], max)?,
            None => return Err(root.error("compress_rates", "an object", "nothing")),
        };
        if Block::new(rate, false).kind != kind {
            let expected = match kind {
                BlockKind::Csa => "4, the only overlapping ratio",
                _ => "a ratio that is neither 0 nor 4",
            };
            return Err(root.error(&format!("compress_rates.{name}"), expected, rate));
        }
        Ok(rate)
    };
    let mut out = Vec::with_capacity(types.len());
    for name in types {
        out.push(match name {
            "sliding_attention" => 0,
            "compressed_sparse_attention" => rate(name, BlockKind::Csa)?,
            "heavily_compressed_attention" => rate(name, BlockKind::Hca)?,
            other => return Err(root.error("layer_types", "the name of an attention kind", other)),
        });
    }
    Ok(Some(out))
}

/// Which blocks route by token id, from `mlp_layer_types`, if there.
pub(super) fn hash_routed(root: &Fields<'_>) -> Result<Option<Vec<bool>>, FieldError> {
    let Some(types) = root.texts_opt("mlp_layer_types")? else {
        return Ok(None);
    };
    types
        .into_iter()
        .map(|name| match name {
            "hash_moe" => Ok(true),
            "moe" => Ok(false),
            other => Err(root.error("mlp_layer_types", "hash_moe or moe", other)),
        })
        .collect::<Result<_, _>>()
        .map(Some)
}

/// Rotary settings of the whole model.
pub(super) struct Ropes {
    pub(super) theta: f64,
    pub(super) compress_theta: f64,
    pub(super) yarn: Option<Yarn>,
}

/// From `rope_parameters`, if there.
pub(super) fn ropes(root: &Fields<'_>) -> Result<Option<Ropes>, FieldError> {
    let Some(parameters) = root.object("rope_parameters")? else {
        return Ok(None);
    };
    let part = |name| parameters.object(name)?.ok_or_else(|| parameters.error(name, "an object", "nothing"));
    let (main, compress) = (part("main")?, part("compress")?);
    Ok(Some(Ropes {
        theta: main.number(&["rope_theta"])?,
        compress_theta: compress.number(&["rope_theta"])?,
        yarn: yarn(&compress)?,
    }))
}

/// YaRN settings of a `rope_scaling` object or of one of `rope_parameters`.
pub(super) fn yarn(fields: &Fields<'_>) -> Result<Option<Yarn>, FieldError> {
    match fields.text_opt(&["rope_type", "type"])? {
        Some("yarn") => {}
        None | Some("default") => return Ok(None),
        Some(other) => return Err(fields.error("rope_type", "yarn or default", other)),
    }
    // Scores and rotations carry no amplitude in this family; a file that asks for one is another model.
    if let Some(found) = fields.number_opt(&["attention_factor"])?.filter(|f| *f != 1.0) {
        return Err(fields.error("attention_factor", "1", found));
    }
    Ok(Some(Yarn {
        factor: fields.number(&["factor"])?,
        original_max_position_embeddings: fields
            .count(&["original_max_position_embeddings"], super::validate::POSITIONS)?,
        beta_fast: fields.number_opt(&["beta_fast"])?.unwrap_or(32.0),
        beta_slow: fields.number_opt(&["beta_slow"])?.unwrap_or(1.0),
    }))
}
