//! The search for values that no weight may have. It runs over every byte of a checkpoint, so the
//! common answer, none, comes from a pass without branches.

use omnihal::DType;

/// Bytes searched at once: enough to run at memory speed, little enough to find the culprit quickly.
const PIECE: usize = 1 << 14;

/// Bytes of a stored element; packed FP4 is counted by the byte.
pub(super) fn width(dtype: DType) -> usize {
    (dtype.bits() / 8).max(1)
}

/// The first element that is not a finite number or, in a table, not below `limit`.
pub(super) fn first_bad(dtype: DType, limit: u32, bytes: &[u8]) -> Option<usize> {
    match dtype {
        DType::F32 => search(bytes, |b| u32::from_le_bytes(b) & 0x7f80_0000 == 0x7f80_0000),
        DType::BF16 => search(bytes, |b| u16::from_le_bytes(b) & 0x7f80 == 0x7f80),
        DType::F16 => search(bytes, |b| u16::from_le_bytes(b) & 0x7c00 == 0x7c00),
        DType::F8E4M3 => search(bytes, |[b]| b & 0x7f == 0x7f),
        // As unsigned numbers, negative ones are above any limit.
        DType::I32 => search(bytes, |b| u32::from_le_bytes(b) >= limit),
        DType::I64 => search(bytes, |b| u64::from_le_bytes(b) >= u64::from(limit)),
        _ => None,
    }
}

/// The first scale that is not a finite number, or is negative.
pub(super) fn first_bad_scale(dtype: DType, bytes: &[u8]) -> Option<usize> {
    match dtype {
        DType::E8M0 => search(bytes, |[b]| b == 0xff),
        // Bit patterns from infinity on are infinity, NaN, and everything with a sign.
        DType::F32 => search(bytes, |b| u32::from_le_bytes(b) >= 0x7f80_0000),
        _ => None,
    }
}

fn search<const N: usize>(bytes: &[u8], bad: impl Fn([u8; N]) -> bool) -> Option<usize> {
    let (elements, _) = bytes.as_chunks::<N>();
    let mut before = 0;
    for piece in elements.chunks(PIECE / N) {
        if piece.iter().fold(false, |any, e| any | bad(*e)) {
            return piece.iter().position(|e| bad(*e)).map(|i| before + i);
        }
        before += piece.len();
    }
    None
}

/// An element as its bits, and as a number where that says more.
pub(super) fn show(dtype: DType, bytes: &[u8], element: usize) -> String {
    let width = width(dtype);
    let start = element * width;
    let Some(stored) = bytes.get(start..start + width) else {
        return "nothing".into();
    };
    let mut wide = [0; 8];
    wide[..width].copy_from_slice(stored);
    let bits = u64::from_le_bytes(wide);
    match dtype {
        DType::I64 => format!("{}", bits as i64),
        DType::I32 => format!("{}", bits as u32 as i32),
        DType::F32 => format!("{} ({bits:#010x})", f32::from_bits(bits as u32)),
        _ => format!("{dtype} {bits:#0digits$x}", digits = 2 + 2 * width),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_bad_bit_pattern_is_found_and_no_good_one() {
        let bf16 = |bits: u16| half::bf16::from_bits(bits).is_finite();
        let f16 = |bits: u16| half::f16::from_bits(bits).is_finite();
        for bits in 0..=u16::MAX {
            let bytes = bits.to_le_bytes();
            assert_eq!(first_bad(DType::BF16, 0, &bytes).is_none(), bf16(bits), "{bits:#x}");
            assert_eq!(first_bad(DType::F16, 0, &bytes).is_none(), f16(bits), "{bits:#x}");
            let f32_bits = u32::from(bits) << 16;
            let finite = f32::from_bits(f32_bits).is_finite();
            let bytes = f32_bits.to_le_bytes();
            assert_eq!(first_bad(DType::F32, 0, &bytes).is_none(), finite, "{bits:#x}");
            let scale = finite && f32_bits >> 31 == 0;
            assert_eq!(first_bad_scale(DType::F32, &bytes).is_none(), scale, "{bits:#x}");
        }
        for byte in 0..=u8::MAX {
            let nan = byte == 0x7f || byte == 0xff;
            assert_eq!(first_bad(DType::F8E4M3, 0, &[byte]).is_some(), nan, "{byte:#x}");
            assert_eq!(first_bad_scale(DType::E8M0, &[byte]).is_some(), byte == 0xff);
            assert_eq!(first_bad(DType::F4E2M1X2, 0, &[byte]), None);
        }
    }

    #[test]
    fn the_first_bad_element_is_found_in_any_piece() {
        for at in [0, 1, PIECE - 1, PIECE, 3 * PIECE + 7] {
            let mut bytes = vec![0u8; 4 * PIECE];
            bytes[at] = 0xff;
            bytes[4 * PIECE - 1] = 0xff;
            assert_eq!(first_bad_scale(DType::E8M0, &bytes), Some(at));
        }
    }

    #[test]
    fn table_entries_outside_the_experts_are_found() {
        for (entry, bad) in [(0i64, false), (5, false), (6, true), (-1, true), (i64::MAX, true)] {
            assert_eq!(first_bad(DType::I64, 6, &entry.to_le_bytes()).is_some(), bad);
            let narrow = (entry as i32).to_le_bytes();
            let bad = !(0..6).contains(&(entry as i32));
            assert_eq!(first_bad(DType::I32, 6, &narrow).is_some(), bad);
        }
    }

    #[test]
    fn values_are_shown_as_numbers_or_bits() {
        assert_eq!(show(DType::E8M0, &[0, 255], 1), "E8M0 0xff");
        assert_eq!(show(DType::BF16, &[0xc0, 0x7f], 0), "BF16 0x7fc0");
        assert_eq!(show(DType::I64, &(-1i64).to_le_bytes(), 0), "-1");
        let inf = f32::INFINITY.to_le_bytes();
        assert_eq!(show(DType::F32, &inf, 0), "inf (0x7f800000)");
    }
}
