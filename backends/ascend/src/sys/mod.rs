//! The vendor's interface: one table of every function that this backend calls, and what follows from it.
//!
//! * [`table`]: the rows, handed to a callback macro by [`crate::ascend_functions!`] and [`crate::ascend_operators!`]
//! * [`types`], [`constants`]: what the rows are written in
//! * [`declare`]: the rows as C declarations, compared with the vendor's headers by `ci/check-ascend-abi`
//! * [`load`], [`call`]: libraries opened at run time, functions looked up in the library that their row names
//! * [`executor`]: the two phases of an operator
//!
//! Nothing here is copied from a header: names, types and numbers only.
// The names are the vendor's, so that they can be searched for in its documents.
#![allow(non_camel_case_types, non_snake_case)]

pub mod c_type;
pub mod call;
pub mod constants;
pub mod declare;
pub mod executor;
pub mod load;
pub mod table;
pub mod types;
