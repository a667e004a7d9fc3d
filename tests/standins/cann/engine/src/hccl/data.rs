//! What a collective does with the members' bytes (collective library documents).

/// What is exchanged.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Every member gets the reduction.
    Reduce,
    /// Every member gets all parts, by rank.
    Gather,
    /// Every member gets its part of the reduction.
    Scatter,
    /// Nothing; all have arrived.
    Barrier,
}

/// One member's call. Those of all members must be equal.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Call {
    /// What.
    pub kind: Kind,
    /// Element type, the vendor's number.
    pub dtype: i32,
    /// Reduction, the vendor's number.
    pub op: i32,
    /// Elements, as the call counts them.
    pub count: u64,
}

const KINDS: [Kind; 4] = [Kind::Reduce, Kind::Gather, Kind::Scatter, Kind::Barrier];

impl Call {
    /// As it is sent.
    pub fn bytes(self) -> [u8; 20] {
        let mut all = [0; 20];
        let kind = KINDS.iter().position(|&kind| kind == self.kind).unwrap_or(0) as i32;
        all[..4].copy_from_slice(&kind.to_le_bytes());
        all[4..8].copy_from_slice(&self.dtype.to_le_bytes());
        all[8..12].copy_from_slice(&self.op.to_le_bytes());
        all[12..].copy_from_slice(&self.count.to_le_bytes());
        all
    }

    /// As it was sent.
    pub fn of(all: [u8; 20]) -> Call {
        let word = |at: usize| i32::from_le_bytes([all[at], all[at + 1], all[at + 2], all[at + 3]]);
        let count = u64::from(word(12) as u32) | u64::from(word(16) as u32) << 32;
        Call { kind: KINDS[word(0) as usize % KINDS.len()], dtype: word(4), op: word(8), count }
    }
}

/// Bytes of an element of the types that can be moved here.
pub fn width(dtype: i32) -> Option<usize> {
    Some(match dtype {
        0 | 7 | 14..=17 => 1,
        1 | 3 | 8 | 11 => 2,
        2 | 4 | 9 => 4,
        5 | 6 | 10 => 8,
        _ => return None,
    })
}

/// Types that can be reduced on every generation of chips.
pub fn reduces(dtype: i32) -> bool {
    matches!(dtype, 0 | 1 | 2 | 3 | 4 | 5 | 11)
}

/// Every member's result; `None` if the members did not make the same call. `round` decides in which order members are added up.
pub fn exchange(calls: &[(Call, Vec<u8>)], round: usize) -> Option<Vec<Vec<u8>>> {
    let (first, bytes) = calls.first()?;
    if calls.iter().any(|(call, sent)| call != first || sent.len() != bytes.len()) {
        return None;
    }
    let all = |result: Vec<u8>| vec![result; calls.len()];
    match first.kind {
        Kind::Barrier => Some(all(Vec::new())),
        Kind::Gather => Some(all(calls.iter().flat_map(|(_, sent)| sent.iter().copied()).collect())),
        Kind::Reduce => reduced(calls, *first, round).map(all),
        Kind::Scatter => {
            let sum = reduced(calls, *first, round)?;
            Some(sum.chunks(sum.len().div_ceil(calls.len()).max(1)).map(<[u8]>::to_vec).collect())
        }
    }
}

fn reduced(calls: &[(Call, Vec<u8>)], call: Call, round: usize) -> Option<Vec<u8>> {
    let width = width(call.dtype)?;
    let order: Vec<&[u8]> = (0..calls.len()).map(|i| &calls[(i + round) % calls.len()].1[..]).collect();
    let mut result = Vec::with_capacity(order[0].len());
    for at in (0..order[0].len()).step_by(width) {
        let elements = order.iter().map(|sent| &sent[at..at + width]);
        match call.dtype {
            0 | 1 | 2 | 5 => {
                let total = elements.map(whole).reduce(|a, b| fold(call.op, a, b, i64::wrapping_add))?;
                result.extend_from_slice(&total.to_le_bytes()[..width]);
            }
            _ => {
                let total = elements.map(|e| real(call.dtype, e)).reduce(|a, b| fold(call.op, a, b, |a, b| a + b))?;
                result.extend_from_slice(&stored(call.dtype, total)[..width]);
            }
        }
    }
    Some(result)
}

fn fold<T: PartialOrd + std::ops::Mul<Output = T>>(op: i32, a: T, b: T, add: impl Fn(T, T) -> T) -> T {
    match op {
        0 => add(a, b),
        1 => a * b,
        2 if a >= b => a,
        3 if a <= b => a,
        _ => b,
    }
}

fn whole(element: &[u8]) -> i64 {
    let mut bytes = [if element[element.len() - 1] & 0x80 == 0 { 0 } else { 0xff }; 8];
    bytes[..element.len()].copy_from_slice(element);
    i64::from_le_bytes(bytes)
}

fn real(dtype: i32, element: &[u8]) -> f32 {
    match dtype {
        3 => half(u16::from_le_bytes([element[0], element[1]])),
        11 => f32::from_bits(u32::from(u16::from_le_bytes([element[0], element[1]])) << 16),
        _ => f32::from_le_bytes([element[0], element[1], element[2], element[3]]),
    }
}

fn half(code: u16) -> f32 {
    let (sign, exponent, fraction) = (code >> 15, i32::from((code >> 10) & 31), f32::from(code & 1023));
    let size = match exponent {
        31 if fraction == 0.0 => f32::INFINITY,
        31 => f32::NAN,
        0 => fraction * 2f32.powi(-24),
        _ => (1024.0 + fraction) * 2f32.powi(exponent - 25),
    };
    if sign == 1 { -size } else { size }
}

/// The nearest number of the type; of two equally near the one with an even last place.
fn stored(dtype: i32, value: f32) -> [u8; 4] {
    let mut bytes = [0; 4];
    match dtype {
        11 => {
            let bits = value.to_bits();
            let rounded = bits.wrapping_add(0x7fff + ((bits >> 16) & 1));
            bytes[..2].copy_from_slice(&((rounded >> 16) as u16).to_le_bytes());
        }
        3 => {
            let nearest = (0..=u16::MAX).filter(|&code| half(code).is_finite()).min_by(|&a, &b| {
                let far = |code: u16| {
                    (
                        (half(code) - value).abs(),
                        code & 1,
                        (half(code).is_sign_negative() != value.is_sign_negative()) as u16,
                    )
                };
                far(a).partial_cmp(&far(b)).unwrap_or(std::cmp::Ordering::Equal)
            });
            bytes[..2].copy_from_slice(&nearest.unwrap_or(0x7e00).to_le_bytes());
        }
        _ => bytes = value.to_le_bytes(),
    }
    bytes
}

#[cfg(test)]
mod tests {
    use super::*;

    fn call(kind: Kind, dtype: i32, count: u64) -> Call {
        Call { kind, dtype, op: 0, count }
    }

    #[test]
    fn members_that_make_another_call_are_found() {
        let one = (call(Kind::Reduce, 4, 1), 1f32.to_le_bytes().to_vec());
        let other = (call(Kind::Reduce, 2, 1), 1i32.to_le_bytes().to_vec());
        assert_eq!(exchange(&[one.clone(), other], 0), None);
        assert_eq!(exchange(&[one.clone(), one], 1), Some(vec![2f32.to_le_bytes().to_vec(); 2]));
        assert_eq!(Call::of(call(Kind::Scatter, 11, 1 << 40).bytes()), call(Kind::Scatter, 11, 1 << 40));
    }

    #[test]
    fn sums_round_once_to_the_elements_type() {
        let sum = |dtype, a: &[u8], b: &[u8]| {
            let of = |bytes: &[u8]| (call(Kind::Reduce, dtype, 1), bytes.to_vec());
            exchange(&[of(a), of(b)], 0).unwrap().swap_remove(0)
        };
        // 1 + 2^-8 lies between two numbers of bf16: the even one.
        assert_eq!(sum(11, &0x3f80u16.to_le_bytes(), &0x3b80u16.to_le_bytes()), 0x3f80u16.to_le_bytes());
        assert_eq!(sum(3, &0x3c00u16.to_le_bytes(), &0xbc00u16.to_le_bytes()), 0u16.to_le_bytes());
        assert_eq!(sum(0, &[0xff], &[3]), [2]);
    }
}
