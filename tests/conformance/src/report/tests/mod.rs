mod bundles;
mod format;
mod pages;
mod rules;
pub(super) mod sample;
mod verified;
