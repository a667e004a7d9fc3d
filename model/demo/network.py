"""The demo model's shape, its first weights, and rounding that lets gradients through.

The network is the one in `transformers`. Tensor names, storage formats and the places where activations are rounded
come from this repository's oracle generator, tests/e2e/oracle/make_tiny.py.
"""
import os
import sys

import torch

import text

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, os.path.join(HERE, "..", "..", "tests", "e2e", "oracle"))
import make_tiny as oracle  # noqa: E402

torch.set_grad_enabled(True)  # the oracle switches gradients off
torch.set_num_threads(1)      # the tensors are small; more threads only wait for each other

SEED = 20260424
# Widths are the smallest that fill the FP8 (128x128), FP4 (32) and activation (64, 128) groups. The YaRN numbers put
# the ramp inside the rope channels and keep the advertised context at 4096.
SHAPE = {**oracle.BASE, **dict(
    vocab=text.VOCAB, hidden=128, inter=128, heads=4, head_dim=128, rope=64, q_lora=128, o_groups=2, o_lora=64,
    experts=4, topk=2, hash=1, window=16, idx_heads=4, idx_dim=64, limit=10.0, scale=1.5,
    yarn=(4, 1024), kind="official", mtp=1)}
SMALL, FULL = [0, 4, 0], [0, 4, 16, 0]  # the last entry belongs to the prediction block
ALL_ENTRIES, TOP_K = 32, 8              # index_topk while attention learns, and in the exported file


def shape(ratios, top_k=TOP_K):
    return {**SHAPE, "ratios": ratios, "idx_topk": top_k}


def straight_through(quantise):
    """Rounded value forwards, identity backwards; exactly the rounded value where no gradient is taken."""
    def q(x, group=32):
        if not torch.is_grad_enabled():
            return quantise(x, group)
        return x + (quantise(x.detach(), group) - x.detach())
    return q


oracle.act_fp8 = straight_through(oracle.act_fp8)
oracle.act_fp4 = straight_through(oracle.act_fp4)


class Rounded:
    """Inside the `with`, weights hold what the exported file would give back; gradients land on the exact ones."""

    def __init__(self, model, mtp, c):
        self.model, self.mtp, self.c = model, mtp, c
        self.params = list(model.parameters()) + list(mtp.parameters())

    @torch.no_grad()
    def __enter__(self):
        self.exact = [p.detach().clone() for p in self.params]
        official = oracle.official_state(self.model, self.mtp, self.c)
        back = {k: oracle.official_storage(k, v)[1] for k, v in official.items()}
        oracle.put_back(self.model, self.mtp, self.c, back)

    @torch.no_grad()
    def __exit__(self, *_):
        for p, exact in zip(self.params, self.exact):
            p.copy_(exact)


@torch.no_grad()
def draw(module, gen):
    """Unit gain per matrix, quiet block outputs, hyper-connections near the identity."""
    for name, p in sorted(module.named_parameters()):
        if p.dim() >= 2 and not name.endswith(("position_bias", "fn")):
            gain = 0.3 if name.endswith(("o_b_proj.weight", "down_proj", "down_proj.weight")) else 1.0
            p.normal_(0.0, gain * p.shape[-1] ** -0.5, generator=gen)
    for hc in module.modules():
        if isinstance(hc, oracle.M.DeepseekV4HyperConnection):
            hc.base[2 * hc.hc_mult:] += 4.0 * torch.eye(hc.hc_mult).flatten()


@torch.no_grad()
def new_model(c, seed):
    """(backbone, prediction block) with fresh weights."""
    torch.manual_seed(seed)
    gen = torch.Generator().manual_seed(seed)
    model = oracle.DeepseekV4ForCausalLM(oracle.hf_config(c))
    draw(model, gen)
    model.model.embed_tokens.weight.normal_(0.0, 1.0, generator=gen)
    for layer in model.model.layers:
        if layer.mlp.is_hash:
            rows = [torch.randperm(c["experts"], generator=gen)[: c["topk"]] for _ in range(c["vocab"])]
            layer.mlp.gate.tid2eid.copy_(torch.stack(rows))
    mtp = oracle.MTP(oracle.hf_config(c, with_mtp=True), len(model.model.layers))
    for module in mtp.modules():
        model._init_weights(module)
    draw(mtp, gen)
    return model, mtp


@torch.no_grad()
def grow(small, c, seed):
    """The small model plus new blocks whose two outputs start at zero."""
    big, mtp = new_model(c, seed)
    big.load_state_dict({**big.state_dict(), **small.state_dict()})
    for layer in big.model.layers[len(small.model.layers):]:
        layer.self_attn.o_b_proj.weight.zero_()
        layer.mlp.experts.down_proj.zero_()
        layer.mlp.shared_experts.down_proj.weight.zero_()
    return big, mtp


def set_top_k(model, k):
    for layer in model.model.layers:
        indexer = getattr(layer.self_attn.compressor, "indexer", None)
        if indexer is not None:
            indexer.index_topk = k
