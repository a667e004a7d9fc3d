//! What the stand-ins for CANN's libraries share. The libraries themselves only export: [`table`] is how the others reach the one that holds the books.
//!
//! Everything is judged more strictly than a device would: handles are numbers that are never used twice, device memory cannot be read by the host, streams are late, workspaces
//! are of random sizes and full of garbage, executors are used once. A rule that a client breaks is refused, printed and kept ([`fault::take_broken`]).
//!
//! Variables: `FAKE_CANN_SOC` (`Ascend910B2`, `Ascend910_9391`, `Ascend950PR_9599`), `FAKE_CANN_VERSION`, `FAKE_CANN_DEVICES`, `FAKE_CANN_MEMORY` (bytes), `FAKE_CANN_STREAMS`,
//! `FAKE_CANN_FAIL` (`call:after:code,...`), `FAKE_CANN_LOG` (a file that every broken rule is appended to),
//! `FAKE_CANN_CALLS` (a file that the name of every operator's second phase is appended to), `FAKE_CANN_WRONG` (`operator:mistake,...`, see [`ops::fused::wrong`]).
#![allow(clippy::too_many_arguments, reason = "the vendor's signatures")]
#![allow(clippy::not_unsafe_ptr_arg_deref, reason = "the contract of each function is the vendor's")]

pub mod abi;
pub mod acl;
pub mod base;
pub mod books;
pub mod executor;
pub mod fault;
pub mod hccl;
pub mod memory;
pub mod operators;
pub mod ops;
pub mod soc;
pub mod stream;
pub mod table;
pub mod tensor;
