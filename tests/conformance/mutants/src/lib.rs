//! A plain device whose kernels can be planted with known bugs, by which the conformance kit is itself tested.
