#!/usr/bin/env python3
"""Train the bundled demo model and write it in the official quantised DeepSeek-V4 layout.

    python -m venv venv && venv/bin/pip install -r requirements.txt
    venv/bin/python train.py              # trains, exports beside this file, measures; see README.md
    venv/bin/python train.py --check      # measures the exported files again, trains nothing

Never run by the test suite. The course, in the order of `course` below: a window block and a CSA block learn the recall
task, then the texts; an HCA block is added as an identity and trained on; everything is trained through the FP8/FP4
rounding that the exported file runs with; the indexer, which gets no gradient through its top-k, is taught to
rank entries as attention weighs them; attention gets used to the few entries kept; the prediction block comes last.
"""
import argparse
import os
import time

import torch
import torch.nn.functional as F

import measure
import text
from network import ALL_ENTRIES, FULL, SEED, SMALL, TOP_K, Rounded, grow, new_model, oracle, set_top_k, shape

LONGEST = text.GAP + 4


def pad(rows):
    width = max(len(i) for i, _ in rows)
    ids = torch.tensor([i + [text.EOS] * (width - len(i)) for i, _ in rows])
    return ids, torch.tensor([t + [-100] * (width - len(t)) for _, t in rows])


def cross_entropy(logits, target):
    return F.cross_entropy(logits.flatten(0, 1), target.flatten(), ignore_index=-100)


def draw_rows(data, recall, prose, filler):
    """Rows of the recall task, of the texts, and of the sums."""
    texts = [data.completion(data.rng.choice(data.prose)) if i % 3 else data.middle() for i in range(prose)]
    sums = [data.completion(data.rng.choice(data.sums)) for _ in range(6 * prose)]
    return [rows for rows in ([data.recall(filler) for _ in range(recall)], texts, sums) if rows]


# --------------------------------------------------------------------------- what each stage minimises
def language_loss(model, data, recall, prose, filler):
    def losses(done):
        for rows in draw_rows(data, recall, prose, filler(done)):
            ids, target = pad(rows)
            yield cross_entropy(model(input_ids=ids, use_cache=False).logits, target)
    return losses


def index_loss(model, data, recall, prose):
    """KL from the mass that attention gives each visible entry to the softmax of the indexer's scores."""
    def losses(_done):
        for rows in draw_rows(data, recall, prose, LONGEST)[:2]:
            ids, target = pad(rows)
            got, taps = {}, []
            for layer in model.model.layers:
                indexer = getattr(layer.self_attn.compressor, "indexer", None)
                if indexer is not None:
                    taps.append(indexer.register_forward_hook(lambda m, args, _o: got.__setitem__("in", (m, args))))
                    taps.append(layer.self_attn.register_forward_hook(lambda m, _a, o: got.__setitem__("probs", o[1])))
            with torch.no_grad():
                model(input_ids=ids, use_cache=False)
            for tap in taps:
                tap.remove()
            indexer, args = got["in"]
            tap = indexer.scorer.register_forward_hook(lambda m, _a, out: got.__setitem__("scores", out))
            indexer(*args)
            tap.remove()
            scores = got["scores"]
            mass = got["probs"][..., -scores.shape[-1]:].sum(1)
            seen = (torch.arange(ids.shape[1]) + 1) // 4
            hidden = torch.arange(scores.shape[-1])[None] >= seen[:, None]
            want = mass / mass.sum(-1, keepdim=True).clamp(min=1e-9)
            logp = scores.masked_fill(hidden, -1e9).log_softmax(-1)
            rowloss = (want * ((want + 1e-9).log() - logp)).sum(-1)
            yield rowloss[(target >= 0) & (seen > 1)].mean()
    return losses


def draft_loss(model, mtp, data, recall, prose):
    """The prediction block guesses the token after next from the backbone's last streams."""
    def losses(_done):
        for rows in draw_rows(data, recall, prose, LONGEST):
            ids, target = pad(rows)
            got = {}
            tap = model.model.layers[-1].register_forward_hook(lambda _m, _a, out: got.__setitem__("streams", out))
            with torch.no_grad():
                model(input_ids=ids, use_cache=False)
            tap.remove()
            pos = torch.arange(ids.shape[1] - 1)[None]
            logits = mtp(model, got["streams"][:, :-1], ids[:, 1:], pos, None)[2]
            yield cross_entropy(logits, target[:, 1:])
    return losses


def balance(model, rate=1e-3):
    """Auxiliary-loss-free balancing: after a step, nudge the choice bias of over- and under-used experts."""
    used = {}

    def count(gate, _args, out):
        used[gate] = used.get(gate, 0) + torch.bincount(out[2].flatten(), minlength=gate.num_experts)

    def after_step():
        for gate, n in used.items():
            gate.e_score_correction_bias += rate * torch.sign(n.float().mean() - n)
        used.clear()
    taps = [b.mlp.gate.register_forward_hook(count) for b in model.model.layers if not b.mlp.is_hash]
    return taps, after_step


def loop(name, model, mtp, c, params, losses, steps, lr, rounded):
    """AdamW with a short warm-up and a linear tail; `rounded` trains through every rounding of the exported file."""
    params = list(params)
    opt = torch.optim.AdamW(params, lr=lr, betas=(0.9, 0.98), weight_decay=0.01)
    hooks = oracle.QAT(model, mtp, c).h if rounded else []
    taps, after_step = ([], lambda: None) if rounded else balance(model)
    weights = Rounded(model, mtp, c)
    began = time.time()
    for step in range(steps):
        left = 1 - step / steps
        for group in opt.param_groups:
            group["lr"] = lr * min(1.0, (step + 1) / 20, max(0.05, 3 * left))
        opt.zero_grad()
        if rounded:
            weights.__enter__()
        values = []
        for loss in losses(1 - left):
            loss.backward()
            values.append(f"{loss.item():.4f}")
        if rounded:
            weights.__exit__()
        torch.nn.utils.clip_grad_norm_(params, 1.0)
        opt.step()
        after_step()
        if step % 20 == 0 or step == steps - 1:
            print(f"{name:8s} {step:5d} {time.time() - began:6.0f}s", *values, flush=True)
    for hook in hooks + taps:
        hook.remove()


# --------------------------------------------------------------------------- course
class Course:
    """The stages in turn; with a folder to keep them in, saved stages are loaded instead of trained."""

    def __init__(self, keep):
        self.data, self.keep = text.Batches(text.build_tokenizer(), SEED), keep
        self.model, self.mtp = new_model(shape(SMALL, ALL_ENTRIES), SEED)

    def stage(self, name, c, params, losses, steps, lr, rounded):
        path = self.keep and os.path.join(self.keep, name + ".pt")
        if path and os.path.exists(path):
            saved = torch.load(path)
            self.model.load_state_dict(saved["model"])
            self.mtp.load_state_dict(saved["mtp"])
            return
        loop(name, self.model, self.mtp, c, params, losses, steps, lr, rounded)
        if path:
            torch.save(dict(model=self.model.state_dict(), mtp=self.mtp.state_dict()), path)

    def language(self, name, c, steps, lr, rounded, recall=12, prose=4, filler=lambda _done: LONGEST):
        params = [p for n, p in self.model.named_parameters() if ".indexer." not in n]
        self.stage(name, c, params, language_loss(self.model, self.data, recall, prose, filler), steps, lr, rounded)

    def run(self):
        c = shape(SMALL, ALL_ENTRIES)
        self.language("pairs", c, 220, 2e-3, False, recall=32, prose=0, filler=lambda _done: 0)
        self.language("texts", c, 200, 2e-3, False, filler=lambda done: int(done * LONGEST))
        c = shape(FULL, ALL_ENTRIES)
        self.model, self.mtp = grow(self.model, c, SEED + 1)
        self.language("grown", c, 100, 1e-3, False)
        self.language("rounded", c, 150, 1e-3, True)
        indexer = [p for n, p in self.model.named_parameters() if ".indexer." in n]
        self.stage("indexer", c, indexer, index_loss(self.model, self.data, 12, 6), 120, 3e-3, True)
        c = shape(FULL)
        set_top_k(self.model, TOP_K)
        self.language("sparse", c, 40, 5e-4, True)
        self.stage("draft", c, self.mtp.parameters(), draft_loss(self.model, self.mtp, self.data, 4, 4), 120, 2e-3, True)
        measure.write_model(self.model, self.mtp, c)


def main():
    ap = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    ap.add_argument("--check", action="store_true", help="measure the exported files, train nothing")
    ap.add_argument("--keep", help="folder for the weights after each stage, to go on from there")
    a = ap.parse_args()
    if not a.check:
        Course(a.keep).run()
    if not measure.measure(shape(FULL)):
        raise SystemExit("the exported model misses its targets")


if __name__ == "__main__":
    main()
