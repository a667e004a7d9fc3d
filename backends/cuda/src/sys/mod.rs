//! The vendor's libraries: which are needed, and where they are looked for.
//!
//! * `libcuda.so.1`: the driver interface; its name carries the version that the driver itself installs

use omnihal_runtime::search::LibrarySearch;

/// Variables that name a CUDA installation.
const VARIABLES: &[(&str, &str)] = &[("CUDA_PATH", "lib64"), ("CUDA_HOME", "lib64")];

/// Where the CUDA installer, its compatibility package and WSL put libraries.
const DEFAULTS: &[&str] = &["/usr/local/cuda/compat", "/usr/local/cuda/lib64", "/usr/lib/wsl/lib"];

/// The libraries without which no device can be driven.
pub(crate) const LIBRARIES: [LibrarySearch<'_>; 1] =
    [LibrarySearch { library: "libcuda.so.1", variables: VARIABLES, defaults: DEFAULTS }];
