//! Writes `kernels/params.h`.

fn main() -> std::io::Result<()> {
    std::fs::write(concat!(env!("CARGO_MANIFEST_DIR"), "/kernels/params.h"), omnihal_cuda::params_header())
}
