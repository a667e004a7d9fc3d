//! Writes `kernels/params*.h`.

fn main() -> std::io::Result<()> {
    for (file, text) in omnihal_cuda::params_headers() {
        std::fs::write(format!("{}/kernels/{file}", env!("CARGO_MANIFEST_DIR")), text)?;
    }
    Ok(())
}
