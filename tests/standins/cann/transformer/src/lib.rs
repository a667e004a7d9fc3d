//! A strict stand-in for `libopapi_transformer.so`: the fused operators of CANN 9.1. One that the stand-in cannot compute says that it has no kernel.
#![allow(non_snake_case, missing_docs, reason = "the vendor's names")]
#![allow(clippy::missing_safety_doc, reason = "the contract of each function is the vendor's")]
#![allow(clippy::too_many_arguments, reason = "the parameters are the vendor's")]

use fake_cann::abi::types::*;
use fake_cann::operators;

fake_cann::ascend_fused!(operators);
