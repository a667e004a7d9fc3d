//! OmniHAL backend for ascend devices.
