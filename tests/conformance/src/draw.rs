//! The inputs of a case, drawn from its seed: the same numbers on every host.

mod words;

use crate::batch::{Batch, Twist};
use crate::case::{Case, Data};
use crate::image::Image;
use crate::random::Random;
use omnihal::op::{ArgType, Role};
use omnihal::{Column, DType, Op, Result, RowFormat, Shape, StepColumns, StepShape, WeightFormat};
use omnihal_reference::format;

/// Draws every argument of a case.
pub fn draw(case: &Case, salt: u64) -> Result<Image> {
    let mut random = Random::new(case.seed(salt));
    let mut image = Image { columns: step_table(case, &[], &mut random)?, ..Image::default() };
    for arg in case.op.arg_types() {
        if !arg.present {
            image.args.push(None);
            continue;
        }
        if let Some(tensor) = image.shared(&case.op, &arg, case.layout) {
            image.args.push(Some(tensor));
            continue;
        }
        let tensor = image.lay_out(case.op.kind(), &arg, case.layout)?;
        image.args.push(Some(tensor));
        let codes = match (arg.role, arg.format) {
            (Role::Write, _) => continue,
            (_, WeightFormat::Blocked { scale, .. }) => {
                let scales = arg.format.scale_shape(&arg.shape).map_or(0, |s| s.elements());
                let scales = scale_codes(scale, scales, case.data, &mut random);
                image.put_scales(&tensor, &scales);
                weight_codes(arg.format.dtype(), arg.shape, case.data, &mut random)
            }
            (_, WeightFormat::Plain(DType::I32)) => words::words(case, &arg, image.columns.as_ref(), &mut random),
            (_, WeightFormat::Plain(DType::U8)) => packed_rows(&case.op, &arg, &mut random),
            (_, WeightFormat::Plain(dtype)) => {
                let mut codes = reals(case, &arg, dtype, &mut random);
                if case.data == Data::Nan && matches!(arg.name, "pool" | "ring") {
                    spoil_unseen(case, &arg, image.columns.as_ref(), &mut codes);
                }
                codes
            }
        };
        image.put(&tensor, &codes);
    }
    if case.data == Data::Nan {
        spoil_unused(case, &mut image);
    }
    Ok(image)
}

/// Fills weights of groups without rows with NaN: what nobody uses must not be multiplied.
fn spoil_unused(case: &Case, image: &mut Image) {
    let Op::GemmGrouped(d) = case.op else { return };
    let named = |name: &str| image.args.iter().flatten().find(|t| t.name == name).copied();
    let (Some(counts), Some(w)) = (named("counts"), named("w")) else { return };
    if w.scales.is_some() {
        return;
    }
    let counts = Image::elements(&counts, &image.slabs[counts.slab].bytes);
    let mut codes = Image::elements(&w, &image.slabs[w.slab].bytes);
    let group = codes.len() / d.groups;
    for (codes, _) in codes.chunks_mut(group).zip(counts.chunks(4)).filter(|(_, count)| **count == [0; 4]) {
        // 0xFFFF and 0xFFFFFFFF are NaN in BF16 and in F32.
        codes.fill(0xFF);
    }
    image.put(&w, &codes);
}

/// The step table of a case with the columns that a plan asks for: the same batch as in [`draw`].
pub fn columns(case: &Case, salt: u64, derived: &[Column]) -> Result<Option<StepColumns>> {
    step_table(case, derived, &mut Random::new(case.seed(salt)))
}

fn step_table(case: &Case, derived: &[Column], random: &mut Random) -> Result<Option<StepColumns>> {
    let twist = twist(case);
    let build = |batch: &Batch| batch.columns(twist, derived.iter().copied(), |n| random.below(n));
    case.batch.map(build).transpose()
}

fn twist(case: &Case) -> Twist {
    let own_tokens = match &case.op {
        Op::EmbedIds(d) => Some(d.drafts),
        _ => None,
    };
    Twist { absent_page: case.data == Data::Whole, own_tokens }
}

/// The step of a case as its operator sees it.
pub fn step(case: &Case) -> Option<StepShape> {
    let batch = case.batch?;
    Some(StepShape { drafts: twist(case).own_tokens.unwrap_or(1), ..batch.shape() })
}

/// Fills rows of a ring or a pool that no row of the step sees with NaN: a key that is masked must not be multiplied.
fn spoil_unseen(case: &Case, arg: &ArgType, table: Option<&StepColumns>, codes: &mut [u8]) {
    let (Some(batch), Some(table)) = (case.batch, table) else { return };
    let (rows, ratio) = (arg.shape[1], ratio_of(&case.op));
    let mut seen: Vec<usize> = (0..rows).collect();
    for (b, member) in batch.members.iter().enumerate() {
        if arg.name == "ring" {
            let window = batch.geometry.window;
            seen.extend(
                ((member.first + 1).saturating_sub(window)..member.first).map(|pos| member.slot * rows + pos % rows),
            );
        } else if let Some(pages) = table.column(Column::PageTable(ratio as u32)) {
            let own = &pages[b * batch.geometry.pages.table..];
            let visible = (member.first + member.len) / ratio.max(1);
            seen.extend((0..visible).map(|e| own[e / rows] as usize * rows + e % rows));
        }
    }
    if matches!(case.op, Op::IndexerSelect(_)) {
        // One entry that is seen, and whose score is NaN: it ranks below every number.
        seen.truncate(seen.len() - 1);
    }
    let bytes = codes.len() / (arg.shape[0] * rows);
    let nan = if arg.format.dtype() == DType::F32 { [0x00, 0x00, 0xC0, 0x7F] } else { [0xC0, 0x7F, 0xC0, 0x7F] };
    for (_, codes) in codes.chunks_mut(bytes).enumerate().filter(|(row, _)| !seen.contains(row)) {
        codes.iter_mut().zip(nan.iter().cycle()).for_each(|(code, nan)| *code = *nan);
    }
}

/// The compression ratio that an operator's pages belong to; 0 for one without.
fn ratio_of(op: &Op) -> usize {
    match op {
        Op::CompressUpdate(d) => d.ratio,
        Op::IndexerSelect(d) => d.ratio,
        Op::AttentionSparse(d) => d.ratio,
        _ => 0,
    }
}

/// Codes of a quantised weight. NaN codes are refused at load (deepseek-v4.md 2), so none is drawn.
fn weight_codes(dtype: DType, shape: Shape, data: Data, random: &mut Random) -> Vec<u8> {
    let code = |random: &mut Random| {
        let byte = random.bits() as u8;
        match (dtype, data) {
            // 0x7F and 0xFF are the NaNs of E4M3.
            (DType::F8E4M3, Data::Small) => byte & 0x87,
            (DType::F8E4M3, _) if byte & 0x7F == 0x7F => 0x3A,
            _ => byte,
        }
    };
    (0..dtype.bytes(shape.elements())).map(|_| code(random)).collect()
}

/// Power-of-two scales: near 2^-6, or anywhere between 2^-20 and 2^12.
fn scale_codes(dtype: DType, count: usize, data: Data, random: &mut Random) -> Vec<u8> {
    let exponent = |random: &mut Random| match data {
        Data::Wide => 107 + random.below(33) as u8,
        _ => 118 + random.below(6) as u8,
    };
    let exponents: Vec<u8> = (0..count).map(|_| exponent(random)).collect();
    match dtype {
        DType::E8M0 => exponents,
        _ => exponents.iter().flat_map(|&e| f32::from_bits(u32::from(e) << 23).to_le_bytes()).collect(),
    }
}

/// Rows of a packed pool: each packed from numbers, so that codes and scales are ones that a device would store.
fn packed_rows(op: &Op, arg: &ArgType, random: &mut Random) -> Vec<u8> {
    let (format, width, rotary) = match op {
        Op::AttentionSparse(d) => (d.format, d.head, d.rotary),
        Op::CompressUpdate(d) => (d.format, d.width, d.rotary),
        Op::IndexerSelect(d) => (d.format, d.width, d.rotary),
        Op::CacheStore(d) => (d.format, d.width, d.rotary),
        _ => (RowFormat::Plain(DType::U8), 0, 0),
    };
    let stored = arg.shape[arg.shape.rank() - 1];
    if let RowFormat::Plain(_) = format {
        return (0..arg.shape.elements()).map(|_| random.bits() as u8).collect();
    }
    let null = arg.shape.elements() / arg.shape[0] / stored;
    let mut bytes = Vec::with_capacity(arg.shape.elements());
    for row in 0..arg.shape.elements() / stored {
        let size = f64::from(2f32.powi(random.below(7) as i32 - 3));
        let values: Vec<f64> = (0..width).map(|_| f64::from(random.normal()) * size).collect();
        match row < null {
            true => bytes.resize(bytes.len() + stored, 0),
            false => bytes.extend(omnihal_reference::rows::pack(format, &values, rotary).iter().map(|&b| b as u8)),
        }
    }
    bytes
}

/// Real numbers. Null slots and pages are zero, gains lie near 1, weights of a choice are positive.
fn reals(case: &Case, arg: &ArgType, dtype: DType, random: &mut Random) -> Vec<u8> {
    let (shape, name) = (arg.shape, arg.name);
    let null = if matches!(name, "state" | "ring" | "pool") { shape.elements() / shape[0] } else { 0 };
    let width = shape.dims().last().copied().unwrap_or(1);
    let whole = case.data == Data::Nan && (is_weight(name) || matches!(name, "pool" | "ring" | "kv" | "sink"));
    // An entry is zero only if nothing is added to it.
    let zero = case.data == Data::Zero && name == "ape";
    let data = if (tame(name) && !zero) || whole { Data::Normal } else { case.data };
    let mut size = 1.0;
    let mut codes = Vec::with_capacity(dtype.bytes(shape.elements()));
    for i in 0..shape.elements() {
        match data {
            Data::Wide if i % width == 0 => size = 2f32.powi(random.below(25) as i32 - 12),
            Data::Groups | Data::Peaks if i % width % GROUP == 0 => size = 2f32.powi(random.below(39) as i32 - 30),
            _ => {}
        }
        let drawn = match (data, i % width % GROUP) {
            // The largest of the group: the end of E2M1, or of E4M3.
            (Data::Peaks, 0) => size * [6.0, -6.0, 448.0, 1.5][random.below(4)],
            // Half steps: many lie exactly between two codes.
            (Data::Peaks, _) => size * 0.5 * (random.below(13) as f32 - 6.0),
            _ => number(data, random) * size,
        };
        let value = match (&case.op, name) {
            _ if i < null => 0.0,
            (_, "norm" | "weight" | "q_norm" | "kv_norm") => 1.0 + 0.1 * drawn,
            (_, "wt") => drawn.abs(),
            // A sink far above every logit: only a maximum that includes it keeps the exponentials finite.
            (Op::AttentionSparse(_), "sink") if case.data == Data::Wide => 200.0 * drawn,
            (_, "w" | "w13" | "w2" | "gate" | "projection") if data == Data::Normal => 0.3 * drawn,
            (Op::SamplePick(_), "par") => parameter(i % width, random),
            (Op::SamplePick(_), "u") => random.unit(),
            (Op::SamplePick(_), "seen") => (random.below(3) == 0) as u8 as f32,
            (Op::SamplePick(_), "logits") => 3.0 * drawn,
            (Op::Unary(d), _) => within(&d.func, drawn),
            _ => drawn,
        };
        let code = format::encode(dtype, f64::from(value)).to_le_bytes();
        codes.extend_from_slice(&code[..dtype.bytes(1)]);
    }
    codes
}

/// Arguments whose size is part of the model's meaning: they stay near 1 whatever the data.
fn tame(name: &str) -> bool {
    matches!(
        name,
        "rope"
            | "norm"
            | "weight"
            | "q_norm"
            | "kv_norm"
            | "wt"
            | "scale"
            | "base"
            | "sink"
            | "bias"
            | "projection"
            | "ape"
            | "par"
            | "u"
            | "seen"
    )
}

/// Neighbours that share a power of two where groups do.
const GROUP: usize = 32;

/// What many rows share.
fn is_weight(name: &str) -> bool {
    matches!(name, "w" | "w13" | "w2" | "gate")
}

fn number(data: Data, random: &mut Random) -> f32 {
    match data {
        Data::Normal | Data::Wide | Data::Groups | Data::Peaks => random.normal(),
        Data::Nan if random.below(60) == 0 => f32::NAN,
        Data::Nan => random.normal(),
        Data::Ties => {
            let near = f32::from_bits(
                random.normal().to_bits() & 0xFFFF_0000 | [0x8000, 0x7FFF, 0x8001, 0x4000][random.below(4)],
            );
            if random.below(3) == 0 { near * 100.0 } else { near }
        }
        Data::Low => -7e4 - 1e5 * random.unit(),
        Data::Zero => 0.0,
        Data::Near => f32::from_bits([1.5f32, -2.25, 1e-3][random.below(3)].to_bits() + random.below(3) as u32),
        Data::Whole => random.below(9) as f32 - 4.0,
        Data::Small => match random.below(8) {
            0 => 0.0,
            1 => -0.0,
            // Subnormal in F32 and in BF16 alike.
            2 => f32::from_bits(1 + random.below(1 << 22) as u32),
            3 => -f32::from_bits((1 + random.below(100) as u32) << 16),
            4 => f32::MIN_POSITIVE * (1.0 + random.unit()),
            5 => random.normal() * 1e-18,
            _ => random.normal(),
        },
        Data::Special => match random.below(16) {
            0 => f32::NAN,
            1 => f32::INFINITY,
            2 => f32::NEG_INFINITY,
            3 => -0.0,
            _ => random.normal(),
        },
    }
}

/// Functions that are not defined everywhere get arguments from where they are.
fn within(func: &omnihal::op::elementwise::Func, x: f32) -> f32 {
    use omnihal::op::elementwise::Func;
    match func {
        Func::Sqrt | Func::Rsqrt | Func::Log => x.abs() + 1e-3,
        _ => x,
    }
}

/// A sampling parameter, by its column (`omnihal::op::sample::PARAMS`).
fn parameter(column: usize, random: &mut Random) -> f32 {
    let choices: [f32; 3] = match column {
        0 => [0.0, 0.7, 1.3],
        1 => [0.0, 3.0, 5.0],
        2 => [1.0, 0.9, 0.5],
        3 => [0.0, 0.02, 0.1],
        4 => [1.0, 1.2, 0.8],
        _ => [0.0; 3],
    };
    choices[random.below(3)]
}
