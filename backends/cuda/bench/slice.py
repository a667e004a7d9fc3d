#!/usr/bin/env python3
"""Writes a slice of DeepSeek-V4-Flash with random weights: its real widths and native formats (FP8 projections, FP4 experts), four blocks of ratios 0, 4, 128, 4.

  slice.py FOLDER [--seed N] [--divide N]        about 17 GB; --divide 8 gives a small one to try the script

Codes are drawn without NaN, scales are powers of two that keep activations near one. The numbers mean nothing; shapes, formats and the spread of the router are real.
"""
import argparse, json, os, struct
import numpy as np

ap = argparse.ArgumentParser()
ap.add_argument("folder")
ap.add_argument("--seed", type=int, default=1)
ap.add_argument("--divide", type=int, default=1)
a = ap.parse_args()
rng = np.random.default_rng(a.seed)
D = a.divide
RATIOS = [0, 4, 128, 4]
VOCAB, HIDDEN, HEADS, HEAD, ROPE, QL, GROUPS, OL = 129280 // D, 4096 // D, 64 // D, 512, 64, 1024 // D, 8, 1024 // D
IH, ID, EXPERTS, INTER = 64, 128, 256 // D, 2048 // D
if D > 1:
    GROUPS = max(1, 8 // D)
config = dict(
    architectures=["DeepseekV4ForCausalLM"], model_type="deepseek_v4", vocab_size=VOCAB, hidden_size=HIDDEN, num_hidden_layers=len(RATIOS),
    num_nextn_predict_layers=0, num_attention_heads=HEADS, num_key_value_heads=1, head_dim=HEAD, qk_rope_head_dim=ROPE, q_lora_rank=QL, o_groups=GROUPS,
    o_lora_rank=OL, compress_ratios=RATIOS, sliding_window=128, index_n_heads=IH, index_head_dim=ID, index_topk=512, n_routed_experts=EXPERTS,
    n_shared_experts=1, num_experts_per_tok=6, moe_intermediate_size=INTER, num_hash_layers=0, scoring_func="sqrtsoftplus", topk_method="noaux_tc",
    norm_topk_prob=True, routed_scaling_factor=1.5, swiglu_limit=10.0, hc_mult=4, hc_sinkhorn_iters=20, hc_eps=1e-6, rms_norm_eps=1e-6, rope_theta=10000,
    compress_rope_theta=160000, rope_scaling=dict(type="yarn", factor=16, original_max_position_embeddings=65536, beta_fast=32, beta_slow=1),
    max_position_embeddings=1048576, hidden_act="silu", attention_bias=False, attention_dropout=0.0, tie_word_embeddings=False, bos_token_id=0,
    eos_token_id=1, torch_dtype="bfloat16", expert_dtype="fp4",
    quantization_config=dict(quant_method="fp8", fmt="e4m3", activation_scheme="dynamic", scale_fmt="ue8m0", weight_block_size=[128, 128]))

tensors = []  # name, safetensors type, shape, bytes, how to draw


def add(name, dtype, shape, draw, size):
    tensors.append((name, dtype, list(shape), int(np.prod(shape)) * size, draw))


def bf16(x):
    bits = x.astype(np.float32).view(np.uint32)
    return ((bits + 0x7FFF + ((bits >> 16) & 1)) >> 16).astype(np.uint16).tobytes()


POOL = rng.integers(0, 256, 64 << 20, dtype=np.uint8)


def codes(n, mask):
    """n random bytes: a random part of the pool, so that drawing is as fast as copying"""
    out = np.empty(n, np.uint8)
    at = 0
    while at < n:
        start = int(rng.integers(0, POOL.size // 2))
        part = min(n - at, POOL.size - start)
        out[at:at + part] = POOL[start:start + part]
        at += part
    return out & mask


def normal(shape, scale):
    n = int(np.prod(shape))
    block = rng.standard_normal(min(n, 1 << 22)).astype(np.float32) * scale
    return np.resize(block, n)


def plain(name, shape, scale=0.02):
    add(name, "BF16", shape, lambda: bf16(normal(shape, scale)), 2)


def f32(name, shape, scale=0.0, value=0.0):
    add(name, "F32", shape, lambda: (normal(shape, scale) + np.float32(value)).astype(np.float32).tobytes(), 4)


def ones(name, n):
    add(name, "BF16", [n], lambda: bf16(np.ones(n)), 2)


def fp8(name, rows, cols):
    # Codes below 2^0 by masking the top exponent bit, and a scale that gives a standard deviation of about 0.02.
    add(name + ".weight", "F8_E4M3", [rows, cols], lambda: codes(rows * cols, 0xBF).tobytes(), 1)
    shape = [-(-rows // 128), -(-cols // 128)]
    add(name + ".scale", "F8_E8M0", shape, lambda: np.full(int(np.prod(shape)), 121, np.uint8).tobytes(), 1)


def fp4(name, rows, cols):
    add(name + ".weight", "I8", [rows, cols // 2], lambda: codes(rows * cols // 2, 0xFF).tobytes(), 1)
    shape = [rows, cols // 32]
    add(name + ".scale", "F8_E8M0", shape, lambda: np.full(int(np.prod(shape)), 120, np.uint8).tobytes(), 1)


plain("embed.weight", [VOCAB, HIDDEN], 1.0)
plain("head.weight", [VOCAB, HIDDEN])
ones("norm.weight", HIDDEN)
f32("hc_head_fn", [4, 4 * HIDDEN], 0.01), f32("hc_head_base", [4]), f32("hc_head_scale", [1], value=1.0)
for i, ratio in enumerate(RATIOS):
    p = f"layers.{i}."
    ones(p + "attn_norm.weight", HIDDEN), ones(p + "ffn_norm.weight", HIDDEN)
    for site in ("attn", "ffn"):
        f32(f"{p}hc_{site}_fn", [24, 4 * HIDDEN], 0.01), f32(f"{p}hc_{site}_base", [24]), f32(f"{p}hc_{site}_scale", [3], value=1.0)
    t = p + "attn."
    fp8(t + "wq_a", QL, HIDDEN), ones(t + "q_norm.weight", QL), fp8(t + "wq_b", HEADS * HEAD, QL)
    fp8(t + "wkv", HEAD, HIDDEN), ones(t + "kv_norm.weight", HEAD), f32(t + "attn_sink", [HEADS])
    fp8(t + "wo_a", GROUPS * OL, HEADS * HEAD // GROUPS), fp8(t + "wo_b", HIDDEN, GROUPS * OL)
    if ratio:
        h = 2 if ratio == 4 else 1
        plain(t + "compressor.wkv.weight", [h * HEAD, HIDDEN]), plain(t + "compressor.wgate.weight", [h * HEAD, HIDDEN])
        f32(t + "compressor.ape", [ratio, h * HEAD], 0.02), ones(t + "compressor.norm.weight", HEAD)
    if ratio == 4:
        fp8(t + "indexer.wq_b", IH * ID, QL), plain(t + "indexer.weights_proj.weight", [IH, HIDDEN])
        plain(t + "indexer.compressor.wkv.weight", [2 * ID, HIDDEN]), plain(t + "indexer.compressor.wgate.weight", [2 * ID, HIDDEN])
        f32(t + "indexer.compressor.ape", [4, 2 * ID], 0.02), ones(t + "indexer.compressor.norm.weight", ID)
    f = p + "ffn."
    plain(f + "gate.weight", [EXPERTS, HIDDEN], 0.05), f32(f + "gate.bias", [EXPERTS])
    for e in range(EXPERTS):
        fp4(f"{f}experts.{e}.w1", INTER, HIDDEN), fp4(f"{f}experts.{e}.w3", INTER, HIDDEN), fp4(f"{f}experts.{e}.w2", HIDDEN, INTER)
    for w, rows, cols in (("w1", INTER, HIDDEN), ("w3", INTER, HIDDEN), ("w2", HIDDEN, INTER)):
        fp8(f"{f}shared_experts.{w}", rows, cols)

os.makedirs(a.folder, exist_ok=True)
with open(os.path.join(a.folder, "config.json"), "w") as out:
    json.dump(config, out, indent=1)
header, at = {}, 0
for name, dtype, shape, size, _ in tensors:
    header[name] = dict(dtype=dtype, shape=shape, data_offsets=[at, at + size])
    at += size
text = json.dumps(header).encode()
text += b" " * (-len(text) % 8)
with open(os.path.join(a.folder, "model.safetensors"), "wb", buffering=16 << 20) as out:
    out.write(struct.pack("<Q", len(text)) + text)
    for name, _, _, size, draw in tensors:
        data = draw()
        assert len(data) == size, name
        out.write(data)
print(json.dumps(dict(tensors=len(tensors), bytes=at)))
