//! The OmniHAL CPU backend: threads, SIMD and quantised weights.
