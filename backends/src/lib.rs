//! Turns cargo features into a registry of OmniHAL backends.
