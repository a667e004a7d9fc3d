#!/usr/bin/env bash
# The CUDA backend on a device. Build where there is a Rust toolchain, run where there is a GPU: the binary and the kernels travel in target/gpu (under 64 MiB).
#   ci/gpu.sh build                here: needs cargo and python3 (for the compiler's wheels)
#   ci/gpu.sh check                conformance of every profile, strict; the oracle in f32; the placement of a block at real width
#   ci/gpu.sh sanitize             compute-sanitizer: memcheck, racecheck, initcheck on a selection
#   ci/gpu.sh perf [FOLDER]        operators and the slice against torch and transformers, in one run; results as JSON lines in FOLDER
#   ci/gpu.sh soak                 10,000 steps with the memory watched
# Each stage but the first takes less than eight minutes on an H200.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
kit=target/gpu
export OMNIHAL_CUDA_KERNELS=$PWD/$kit/images

build() {
    local toolkit
    toolkit=$(ci/cuda-toolkit)
    mkdir -p $kit/images
    # A plain x86-64 level: the machine with the device may be older or newer than this one.
    CARGO_TARGET_DIR=target/gpu-build RUSTFLAGS='-C target-cpu=x86-64-v2' cargo build --locked --release --package omnihal-cli --features cuda
    strip -o $kit/omnihal target/gpu-build/release/omnihal
    cargo run --locked --quiet --package omnihal-cuda --example kernels -- $kit/images --nvcc "$toolkit/bin/nvcc" --arch sm_90a
    du -sh $kit
}

omnihal() { "$kit/omnihal" "$@"; }

check() {
    local failed=0
    omnihal devices
    omnihal conform --backend cuda --profile runtime --profile v4 --profile v4-quant --profile fault --jobs 4 --out "${1:-$kit/report}" || failed=1
    for case in tests/e2e/oracle/cases/*/; do
        if [ -f "$case/config.json" ]; then what=(--model "$case" --golden "$case/golden.safetensors"); else what=(--ops "$case/golden.safetensors"); fi
        omnihal parity "${what[@]}" --backend cuda || failed=1
    done
    omnihal placement --backend cuda
    omnihal generate --backend cuda
    return $failed
}

# The first two cases of each of these families, small enough for the tools.
sanitized=('norm.*' 'gemm.linear/rows=7*' 'gemm.linear/rows=200*' 'attention.sparse/*' 'indexer.select/*' 'moe.experts/*' 'hyper.pre/*' 'compress.update/*' 'sample.topk/*')

sanitize() {
    local tool pattern failed=0
    local cases=()
    for pattern in "${sanitized[@]}"; do
        mapfile -t found < <(omnihal conform --backend cuda --profile v4 --profile v4-quant --list --filter "$pattern" | sed -n 1,2p)
        [ "${#found[@]}" -gt 0 ] || { echo "no case is named $pattern" >&2; return 1; }
        cases+=("${found[@]}")
    done
    for tool in memcheck racecheck initcheck; do
        echo "=== $tool, ${#cases[@]} cases"
        for pattern in "${cases[@]}"; do
            # A case runs in a process of its own below the command's.
            compute-sanitizer --tool $tool --target-processes all --error-exitcode 9 "$kit/omnihal" conform --backend cuda --replay "$pattern" >"$kit/words" 2>&1 ||
                { tail -n 30 "$kit/words"; echo "$tool: $pattern"; failed=1; }
        done
    done
    return $failed
}

perf() {
    local out=${1:-$kit/perf} slice=${OMNIHAL_SLICE:-/tmp/v4-slice}
    mkdir -p "$out"
    nvidia-smi --query-gpu=name,memory.total,driver_version,clocks.sm,clocks.mem --format=csv,noheader | tee "$out/device"
    python3 backends/cuda/bench/torch_ops.py --ctx 4096,131072 | tee "$out/torch_ops.jsonl"
    local bf16 fp8
    bf16=$(sed -nE 's/.*"bf16 gemm.*"tflops": ([0-9.]+).*/\1/p' "$out/torch_ops.jsonl")
    fp8=$(sed -nE 's/.*"fp8 gemm.*"tflops": ([0-9.]+).*/\1/p' "$out/torch_ops.jsonl")
    omnihal bench ops --backend cuda --tflops "${bf16:-790}" --fp8-tflops "${fp8:-1400}" | tee "$out/ops.jsonl"
    OMNIHAL_CUDA_GEMM=cublaslt omnihal bench ops --backend cuda --tflops "${bf16:-790}" --fp8-tflops "${fp8:-1400}" >"$out/ops-cublaslt.jsonl" || echo 'cuBLASLt was not measured' >&2
    [ -f "$slice/model.safetensors" ] || python3 backends/cuda/bench/slice.py "$slice"
    for batch in 1 64; do
        omnihal bench model --model "$slice" --backend cuda --act bf16 --prefill $((batch == 1 ? 4096 : 0)) --decode-at 4096 --batch $batch --chunk 4096 --no-bandwidth --json | tee "$out/slice-$batch.json"
    done
    python3 backends/cuda/bench/transformers_slice.py "$slice/config.json" | tee "$out/transformers.jsonl"
}

soak() { omnihal conform --backend cuda --profile soak --out "${1:-$kit/soak}"; }

case ${1:-} in
    build | check | sanitize | perf | soak) "$@" ;;
    *) sed -n '2,9p' "$0" >&2; exit 2 ;;
esac
