//! DeepSeek-V4 on any OmniHAL device: config, weights, tokenizer, graph, state, sampler.

pub mod account;
pub mod config;
pub mod sampler;
pub mod tokenizer;
pub mod weights;
