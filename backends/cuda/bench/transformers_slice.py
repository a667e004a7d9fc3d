#!/usr/bin/env python3
"""transformers on the same slice of DeepSeek-V4-Flash as slice.py writes (four blocks, ratios 0, 4, 128, 4), with BF16 weights drawn on the GPU: about 53 GB.

  transformers_slice.py CONFIG.JSON [--decode 1,64] [--context 4096] [--prefill 4096] [--device cuda]
One JSON line per measurement: seconds a decode step, tokens a second of a prompt.
"""
import argparse, json, time
import torch
from transformers import AutoConfig, AutoModelForCausalLM

ap = argparse.ArgumentParser()
ap.add_argument("config")
ap.add_argument("--decode", default="1,64")
ap.add_argument("--context", type=int, default=4096)
ap.add_argument("--prefill", type=int, default=4096)
ap.add_argument("--steps", type=int, default=8)
ap.add_argument("--device", default="cuda")
a = ap.parse_args()
torch.set_grad_enabled(False)
torch.manual_seed(0)
config = AutoConfig.from_pretrained(a.config)
if hasattr(config, "quantization_config"):
    del config.quantization_config
with torch.device(a.device):
    torch.set_default_dtype(torch.bfloat16)
    model = AutoModelForCausalLM.from_config(config).eval()
sync = torch.cuda.synchronize if a.device == "cuda" else lambda: None


def prompt(batch, tokens):
    return torch.randint(0, config.vocab_size, (batch, tokens), device=a.device)


def out(**k):
    print(json.dumps(k), flush=True)


out(parameters=sum(p.numel() for p in model.parameters()))
if a.prefill:
    ids, best = prompt(1, a.prefill), 1e9
    for _ in range(4):
        sync(); start = time.perf_counter()
        model(ids, use_cache=True, logits_to_keep=1)
        sync(); best = min(best, time.perf_counter() - start)
    out(what="prefill", tokens=a.prefill, seconds=best, tokens_per_second=a.prefill / best)
for batch in map(int, filter(None, a.decode.split(","))):
    cache = None
    for start in range(0, a.context, 512):
        r = model(prompt(batch, min(512, a.context - start)), past_key_values=cache, use_cache=True, logits_to_keep=1)
        cache = r.past_key_values
    times = []
    for _ in range(a.steps):
        sync(); start = time.perf_counter()
        cache = model(prompt(batch, 1), past_key_values=cache, use_cache=True, logits_to_keep=1).past_key_values
        sync(); times.append(time.perf_counter() - start)
    out(what="decode", batch=batch, context=a.context, seconds=sorted(times)[len(times) // 2])
    del cache
