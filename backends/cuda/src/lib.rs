//! OmniHAL backend for cuda devices.
