//! Arithmetic that remembers an overflow until the result is asked for.

use std::iter::Sum;
use std::ops::{Add, Mul};

use super::AccountError;

/// A count, or the fact that it left 64 bits.
#[derive(Debug, Clone, Copy)]
pub(super) struct Count(Option<u64>);

impl Count {
    pub(super) fn get(self, quantity: &'static str) -> Result<u64, AccountError> {
        self.0.ok_or(AccountError::Overflow { quantity })
    }
}

impl From<u64> for Count {
    fn from(value: u64) -> Self {
        Self(Some(value))
    }
}

impl From<usize> for Count {
    fn from(value: usize) -> Self {
        Self(u64::try_from(value).ok())
    }
}

impl<T: Into<Count>> Add<T> for Count {
    type Output = Count;
    fn add(self, other: T) -> Count {
        Count(self.0.zip(other.into().0).and_then(|(a, b)| a.checked_add(b)))
    }
}

impl<T: Into<Count>> Mul<T> for Count {
    type Output = Count;
    fn mul(self, other: T) -> Count {
        Count(self.0.zip(other.into().0).and_then(|(a, b)| a.checked_mul(b)))
    }
}

impl Sum for Count {
    fn sum<I: Iterator<Item = Count>>(counts: I) -> Count {
        counts.fold(Count(Some(0)), |a, b| a + b)
    }
}

/// Starts a formula.
pub(super) fn count(value: impl Into<Count>) -> Count {
    value.into()
}
