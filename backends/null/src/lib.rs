//! The OmniHAL backend that does nothing: what a new backend author copies.
