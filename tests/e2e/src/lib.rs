//! Whole-model parity with the oracle.
