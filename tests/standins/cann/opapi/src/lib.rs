//! A strict stand-in for `libopapi.so`: every operator of the profile of plain operators is exported; one that the stand-in cannot compute says that it has no kernel. The fused
//! operators are not exported at all: the release that this stands for lacks them.
#![allow(non_snake_case, missing_docs, reason = "the vendor's names")]
#![allow(clippy::missing_safety_doc, reason = "the contract of each function is the vendor's")]
#![allow(clippy::too_many_arguments, reason = "the parameters are the vendor's")]

use fake_cann::abi::{constants::*, types::*};
use fake_cann::operators;

fake_cann::ascend_core!(operators);
