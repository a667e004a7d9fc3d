//! Hardware abstraction for DeepSeek-V4.

mod dtype;
pub use dtype::DType;
