//! Gives the stand-in the soname of the library that it stands for.

fn main() {
    println!("cargo::rustc-cdylib-link-arg=-Wl,-soname,libcublasLt.so.13");
    println!("cargo::rerun-if-changed=build.rs");
}
