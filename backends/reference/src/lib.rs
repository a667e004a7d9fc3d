//! The OmniHAL judge: every operator in f64, with an error bound beside each result.
