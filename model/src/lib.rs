//! DeepSeek-V4 on any OmniHAL device: config, weights, tokenizer, graph, state, sampler.

pub mod account;
pub mod config;
pub mod demo;
pub mod engine;
pub mod error;
pub mod generate;
pub mod graph;
pub mod load;
pub mod released;
pub mod rope;
pub mod sampler;
pub mod state;
pub mod tokenizer;
pub mod weights;
