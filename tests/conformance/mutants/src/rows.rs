//! Rows of state pools.
