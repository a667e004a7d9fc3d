//! Gives the stand-in the soname of the library that it stands for, so that one that was opened by its path is found again under that name.

fn main() {
    println!("cargo::rustc-cdylib-link-arg=-Wl,-soname,libopapi_transformer.so");
    println!("cargo::rerun-if-changed=build.rs");
}
