//! How far two honest runs may be from each other. Each is within the catalogue's bound of the exact result (architecture.md 6): the unit roundoff of the output's type times the value, and for
//! sums of K products 6 sqrt(K) unit roundoffs of f32 times the sum of magnitudes. The magnitudes are not at hand here; for drawn values their sum is about sqrt(K) times the largest result. So
//! twice both terms, with the largest value of the tensor; where the operator rounds inside, that rounding of the largest value too. A wrong pairing, a transposed weight or a missing term is
//! off by about the values themselves.

use super::cases::Case;
use super::run::Output;
use omnihal::DType;

/// Unit roundoff of a type.
fn roundoff(dtype: DType) -> f32 {
    match dtype {
        DType::BF16 => 2f32.powi(-9),
        _ => 2f32.powi(-24),
    }
}

/// Compares an output with that of the composition.
pub(super) fn within(case: &Case, got: &Output, expected: &Output) -> Result<(), String> {
    let largest = expected.values.iter().fold(0f32, |most, v| most.max(v.abs()));
    let sums = 6.0 * case.products as f32 * roundoff(DType::F32) * largest;
    let inside = if case.rounds_inside { 2.0 * roundoff(DType::BF16) * largest } else { 0.0 };
    let exact = expected.dtype == DType::I32;
    for (at, (&a, &b)) in got.values.iter().zip(&expected.values).enumerate() {
        let allowed = if exact { 0.0 } else { 2.0 * (2.0 * roundoff(expected.dtype) * b.abs() + sums + inside) };
        let near = a == b || (a - b).abs() <= allowed;
        if !near {
            return Err(format!("`{}` at {at} is {a}, composed {b}, allowed {allowed:.1e}", expected.name));
        }
    }
    Ok(())
}
