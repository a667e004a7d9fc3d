//! Descriptors on the wire: there and back, and everything that may arrive instead.

use super::*;
use omnihal::ErrorKind;
use omnihal::RowFormat;
use omnihal::op::attention::Entries;
use omnihal::op::elementwise::{Arith, Cmp, Reduction};
use omnihal::op::elementwise::{Func, Source};
use omnihal::op::moe::Routing;
use omnihal::op::{ActQuant, QuantKind, RowQuant};
use omnihal::op::{FieldValue, PageSpace};
use std::mem::offset_of;

/// A value of each kind that differs with `n`.
fn sample(kind: FieldKind, n: usize) -> FieldValue {
    let dtype = DType::ALL[n % DType::ALL.len()];
    let shape = Shape::from([n + 1, 2, 5]);
    match kind {
        FieldKind::Size => FieldValue::Size(n + 0x1_0000_0001),
        FieldKind::Sizes => FieldValue::Sizes([n + 1, n + 2, n, 0]),
        FieldKind::Number => FieldValue::Number(n as f32 - 0.5),
        FieldKind::Flag => FieldValue::Flag(n % 2 == 0),
        FieldKind::Type => FieldValue::Type(dtype),
        FieldKind::OptionalType => FieldValue::OptionalType((n % 3 != 0).then_some(dtype)),
        FieldKind::Weight if n % 2 == 0 => FieldValue::Weight(WeightFormat::FP4_ROW),
        FieldKind::Weight => FieldValue::Weight(WeightFormat::Plain(dtype)),
        FieldKind::Row => FieldValue::Row([RowFormat::Plain(dtype), RowFormat::F8R, RowFormat::F4][n % 3]),
        FieldKind::Dims => FieldValue::Dims(shape),
        FieldKind::Pages => FieldValue::Pages(PageSpace { pages: n + 2, entries: n + 1, table: n }),
        FieldKind::ActRounding => FieldValue::ActRounding([ActQuant::None, ActQuant::F8G128][n % 2]),
        FieldKind::Grid => FieldValue::Grid([QuantKind::F8E4M3, QuantKind::F4E2M1][n % 2]),
        FieldKind::RowRounding => FieldValue::RowRounding([RowQuant::None, RowQuant::F8Nope, RowQuant::F4All][n % 3]),
        FieldKind::Function => {
            FieldValue::Function([Func::Exp, Func::Clamp(-1.0, n as f32), Func::SqrtSoftplus, Func::Log][n % 4])
        }
        FieldKind::Operation => FieldValue::Operation([Arith::Add, Arith::Div, Arith::Max][n % 3]),
        FieldKind::Comparison => FieldValue::Comparison([Cmp::Lt, Cmp::Eq][n % 2]),
        FieldKind::Combination => FieldValue::Combination([Reduction::Sum, Reduction::MeanSquare][n % 2]),
        FieldKind::Operand => FieldValue::Operand([Source::Const(n as f32), Source::Tensor(shape)][n % 2]),
        FieldKind::Attended => FieldValue::Attended([Entries::None, Entries::Listed(n), Entries::All][n % 3]),
        FieldKind::Choice => FieldValue::Choice([Routing::Scored, Routing::Hash(n)][n % 2]),
    }
}

fn op(kind: OpKind, seed: usize) -> Op {
    let fields: Vec<_> = kind.spec().fields.iter().enumerate().map(|(i, f)| sample(f.kind, seed + 3 * i)).collect();
    Op::from_fields(kind, &fields).unwrap()
}

/// The descriptor's bytes, as the other side sees them.
fn bytes(op: &Op) -> Vec<u8> {
    let encoded = Encoded::new(op);
    encoded.words.iter().flat_map(|w| w.to_ne_bytes()).take(encoded.bytes).collect()
}

#[test]
fn every_descriptor_survives_the_wire() {
    for &kind in OpKind::ALL {
        for seed in 0..12 {
            let op = op(kind, seed);
            let wire = bytes(&op);
            assert_eq!(wire.len(), descriptor_struct(kind).size, "{}", kind.name());
            assert_eq!(decode(kind as u32, &wire).unwrap(), op);
        }
    }
}

fn word(found: &[u8], at: usize) -> u32 {
    u32::from_ne_bytes(found[at..at + 4].try_into().unwrap())
}

fn long(found: &[u8], at: usize) -> u64 {
    u64::from_ne_bytes(found[at..at + 8].try_into().unwrap())
}

/// Holds the members of a C value, read by their names, against the Rust value.
fn check_value(found: &[u8], value: FieldValue) {
    let shape_at = |at: usize, s: Shape| {
        assert_eq!(word(found, at + offset_of!(sys::Shape, rank)) as usize, s.rank());
        let dims = at + offset_of!(sys::Shape, dims);
        s.dims().iter().enumerate().for_each(|(axis, d)| assert_eq!(long(found, dims + 8 * axis), *d as u64));
    };
    match value {
        FieldValue::Size(n) => assert_eq!(long(found, 0), n as u64),
        FieldValue::Number(n) => assert_eq!(word(found, 0), n.to_bits()),
        FieldValue::Type(d) => assert_eq!(word(found, 0), d.code()),
        FieldValue::OptionalType(d) => assert_eq!(word(found, 0), d.map_or(u32::MAX, |d| d as u32)),
        FieldValue::Flag(f) => assert_eq!(word(found, 0), u32::from(f)),
        FieldValue::Dims(s) => shape_at(0, s),
        FieldValue::Sizes(n) => (0..4).for_each(|i| assert_eq!(long(found, 8 * i), n[i] as u64)),
        FieldValue::Pages(p) => {
            assert_eq!(long(found, offset_of!(sys::PageSpace, pages)), p.pages as u64);
            assert_eq!(long(found, offset_of!(sys::PageSpace, entries)), p.entries as u64);
            assert_eq!(long(found, offset_of!(sys::PageSpace, table)), p.table as u64);
        }
        FieldValue::Weight(WeightFormat::Blocked { data, scale, block }) => {
            assert_eq!(word(found, offset_of!(sys::WeightFormat, data)), data as u32);
            assert_eq!(word(found, offset_of!(sys::WeightFormat, scale)), scale as u32);
            assert_eq!(long(found, offset_of!(sys::WeightFormat, block_rows)), block.0 as u64);
            assert_eq!(long(found, offset_of!(sys::WeightFormat, block_cols)), block.1 as u64);
        }
        FieldValue::Row(RowFormat::Plain(d)) => assert_eq!(word(found, offset_of!(sys::RowFormat, dtype)), d as u32),
        FieldValue::Function(Func::Clamp(low, high)) => {
            assert_eq!(word(found, offset_of!(sys::Func, low)), low.to_bits());
            assert_eq!(word(found, offset_of!(sys::Func, high)), high.to_bits());
        }
        FieldValue::Operand(Source::Const(n)) => {
            assert_eq!(word(found, offset_of!(sys::Source, value)), n.to_bits());
        }
        FieldValue::Operand(Source::Tensor(s)) => shape_at(offset_of!(sys::Source, shape), s),
        FieldValue::Attended(Entries::Listed(n)) => {
            assert_eq!(long(found, offset_of!(sys::Entries, listed)), n as u64);
        }
        FieldValue::Choice(Routing::Hash(n)) => assert_eq!(long(found, offset_of!(sys::Routing, rows)), n as u64),
        _ => {}
    }
}

#[test]
fn fields_lie_where_the_header_says() {
    for seed in 0..12 {
        OpKind::ALL.iter().for_each(|kind| fields_lie_right(*kind, seed));
    }
}

fn fields_lie_right(kind: OpKind, seed: usize) {
    let (op, members) = (op(kind, seed), descriptor_struct(kind).members);
    let wire = bytes(&op);
    for (spec, value) in kind.spec().fields.iter().zip(op.fields()) {
        let member = members.iter().find(|m| m.name == spec.name).unwrap();
        check_value(&wire[member.offset..member.offset + member.size], value);
    }
    for pad in members.iter().filter(|m| m.name.starts_with("reserved")) {
        assert_eq!(wire[pad.offset..pad.offset + pad.size], [0; 4], "{} {}", kind.name(), pad.name);
    }
}

#[test]
fn a_longer_descriptor_is_read_only_if_the_rest_is_zero() {
    let op = op(OpKind::GemmLinear, 1);
    let mut wire = bytes(&op);
    wire.extend([0; 24]);
    assert_eq!(decode(op.kind() as u32, &wire).unwrap(), op);
    *wire.last_mut().unwrap() = 1;
    let error = decode(op.kind() as u32, &wire).unwrap_err();
    assert_eq!((error.kind(), error.op()), (ErrorKind::Unsupported, Some(op.kind())));
}

#[test]
fn missing_members_of_a_shorter_descriptor_are_zero() {
    let linear = op(OpKind::GemmLinear, 0);
    let (wire, members) = (bytes(&linear), descriptor_struct(OpKind::GemmLinear).members);
    let cut = members.iter().find(|m| m.name == "a_quant").unwrap().offset;
    let Op::GemmLinear(whole) = linear else { panic!("another operator") };
    let Op::GemmLinear(read) = decode(OpKind::GemmLinear as u32, &wire[..cut]).unwrap() else {
        panic!("another operator")
    };
    assert_eq!((read.rows, read.weight), (whole.rows, whole.weight));
    assert_eq!((read.a_quant, read.output, read.accumulate), (ActQuant::None, DType::F32, false));
}

#[test]
fn unknown_operators_and_words_are_unsupported() {
    assert_eq!(decode(OpKind::ALL.len() as u32, &[]).unwrap_err().kind(), ErrorKind::Unsupported);
    assert_eq!(decode(NONE, &[0; 8]).unwrap_err().kind(), ErrorKind::Unsupported);
    for &kind in OpKind::ALL {
        let (wire, members) = (bytes(&op(kind, 2)), descriptor_struct(kind).members);
        for spec in kind.spec().fields {
            if matches!(spec.kind, FieldKind::Size | FieldKind::Sizes | FieldKind::Number | FieldKind::Pages) {
                continue;
            }
            let member = members.iter().find(|m| m.name == spec.name).unwrap();
            let mut broken = wire.clone();
            broken[member.offset..member.offset + 4].copy_from_slice(&0x7fff_fff0u32.to_ne_bytes());
            let error = decode(kind as u32, &broken).unwrap_err();
            assert_eq!(error.kind(), ErrorKind::Unsupported, "{} {}", kind.name(), spec.name);
            assert!(error.message().contains(&format!("`{}`", spec.name)), "{error}");
        }
    }
}

#[test]
fn noise_is_read_or_refused_and_never_panics() {
    let mut state = 0x9e37_79b9_7f4a_7c15u64;
    let mut read = 0;
    for &kind in OpKind::ALL {
        let size = descriptor_struct(kind).size;
        for length in [0, 1, size / 2, size - 1, size, size + 9] {
            let noise: Vec<u8> = (0..length)
                .map(|_| {
                    state ^= state << 13;
                    state ^= state >> 7;
                    state ^= state << 17;
                    // Mostly zeros, so that words are often known.
                    if state % 8 == 0 { (state >> 32) as u8 } else { 0 }
                })
                .collect();
            if let Ok(op) = decode(kind as u32, &noise) {
                let _ = op.check();
                read += 1;
            }
        }
    }
    assert!(read > 0);
}
