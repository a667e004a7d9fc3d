//! OmniHAL backend for cambricon devices.
