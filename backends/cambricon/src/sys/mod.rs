//! The vendor's libraries: which are needed, and where they are looked for.
//!
//! * `libcndrv.so`: the driver interface: kernel modules and launches
//! * `libcnrt.so`: devices, memory, queues, capture
//! * `libcnnl.so`: the operators

use omnihal_runtime::search::LibrarySearch;

/// The variable that names a Neuware installation.
const VARIABLES: &[(&str, &str)] = &[("NEUWARE_HOME", "lib64")];

/// Where the Neuware installer puts libraries.
const DEFAULTS: &[&str] = &["/usr/local/neuware/lib64"];

/// The libraries without which no device can be driven.
pub(crate) const LIBRARIES: [LibrarySearch<'_>; 3] =
    [search("libcndrv.so"), search("libcnrt.so"), search("libcnnl.so")];

const fn search(library: &str) -> LibrarySearch<'_> {
    LibrarySearch { library, variables: VARIABLES, defaults: DEFAULTS }
}
