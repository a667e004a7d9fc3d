//! The vendor's libraries: which are needed, and where they are looked for.
//!
//! * `libascendcl.so`: devices, memory, streams, graphs
//! * `libnnopbase.so`: tensors and executors of the operator interface
//! * `libopapi.so`: the operators

use omnihal_runtime::search::LibrarySearch;

/// Variables that CANN's `set_env.sh` sets.
const VARIABLES: &[(&str, &str)] = &[("ASCEND_TOOLKIT_HOME", "lib64"), ("ASCEND_HOME_PATH", "lib64")];

/// Where the CANN installer puts libraries for root.
const DEFAULTS: &[&str] = &["/usr/local/Ascend/ascend-toolkit/latest/lib64"];

/// The libraries without which no device can be driven.
pub(crate) const LIBRARIES: [LibrarySearch<'_>; 3] =
    [search("libascendcl.so"), search("libnnopbase.so"), search("libopapi.so")];

const fn search(library: &str) -> LibrarySearch<'_> {
    LibrarySearch { library, variables: VARIABLES, defaults: DEFAULTS }
}
