//! Behaviour of the fused operators.
