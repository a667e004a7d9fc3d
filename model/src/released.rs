//! The configs of the released models, compiled in. Their weights come from the publisher.

use crate::config::{Config, ConfigError};

/// Names that [`config`] knows.
pub const NAMES: [&str; 2] = ["flash", "pro"];

/// The config of a released model by its short name; `None` for a name that is none of [`NAMES`].
///
/// # Errors
/// Only if the file in this build is damaged.
pub fn config(name: &str) -> Option<Result<Config, ConfigError>> {
    let text: &[u8] = match name {
        "flash" => include_bytes!("../configs/flash.json"),
        "pro" => include_bytes!("../configs/pro.json"),
        _ => return None,
    };
    Some(Config::from_slice(&format!("the built-in config {name}"), text))
}
