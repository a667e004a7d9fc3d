"""The exported files: writing them, reading them back, and measuring what the weights in them can do.

Every number is taken from the stored weights, dequantised, with activations rounded as in precision mode qat_all.
"""
import json
import os
import random

import torch
from safetensors import safe_open
from safetensors.torch import save_file
from tokenizers import Tokenizer

import text
from network import HERE, SEED, new_model, oracle


def write_json(name, value):
    """Indented, but with one line for each prompt."""
    rows = value.get("prompts", [])
    body = json.dumps({**value, "prompts": "@"} if rows else value, indent=1, ensure_ascii=False)
    lines = ",\n".join("  " + json.dumps(r, ensure_ascii=False) for r in rows)
    with open(os.path.join(HERE, name), "w", encoding="utf-8") as f:
        f.write(body.replace('"@"', f"[\n{lines}\n ]") + "\n")


def write_model(model, mtp, c):
    """config.json, model.safetensors and the tokenizer, in the official layout."""
    stored = {}
    for name, value in oracle.official_state(model, mtp, c).items():
        stored.update(oracle.official_storage(name, value)[0])
    save_file(stored, os.path.join(HERE, "model.safetensors"), metadata={"format": "pt"})
    write_json("config.json", oracle.official_config(c))
    text.build_tokenizer().save(os.path.join(HERE, "tokenizer.json"))
    write_json("tokenizer_config.json", dict(
        add_bos_token=False, add_eos_token=False, bos_token=text.SPECIALS[text.BOS], eos_token=text.SPECIALS[text.EOS],
        pad_token=text.SPECIALS[2], model_max_length=c["yarn"][0] * c["yarn"][1],
        tokenizer_class="PreTrainedTokenizerFast"))


@torch.no_grad()
def read_model(c):
    """(backbone, prediction block) holding what the exported file holds, dequantised."""
    model, mtp = new_model(c, 0)
    values = {}
    with safe_open(os.path.join(HERE, "model.safetensors"), "pt") as f:
        names = set(f.keys())
        for name in names:
            t, scale = f.get_tensor(name), name[:-6] + "scale"
            if name.endswith(".weight") and scale in names:
                back = oracle.dequant_fp4 if t.dtype == torch.int8 else oracle.dequant_fp8_block
                values[name] = back(t, f.get_tensor(scale))
            elif t.dtype != torch.float8_e8m0fnu:
                values[name] = t if t.dtype == torch.int64 else t.float()
    oracle.put_back(model, mtp, c, values)
    return model.eval(), mtp.eval()


class Hooked:
    """Forward hooks on some modules for the length of a `with`."""

    def __init__(self, modules, hook):
        self.hooks = [m.register_forward_hook(hook) for m in modules]

    def __enter__(self):
        return self

    def __exit__(self, *_):
        for h in self.hooks:
            h.remove()


def hide_entries(_compressor, args, out):
    """Masks every compressed entry out of attention: what is left is the sliding window."""
    entries = out[0]
    return entries, entries.new_full((entries.shape[0], 1, args[0].shape[1], entries.shape[2]), float("-inf"))


def score_at_random(_scorer, _args, out):
    """Lets chance pick the entries instead of the indexer."""
    return torch.rand(out.shape, generator=torch.Generator().manual_seed(SEED))


@torch.no_grad()
def greedy(model, ids, limit=160):
    """Token by token through the cache; ends with EOS if the model does."""
    cache, feed, out = oracle.DynamicCache(config=model.config), torch.tensor([ids]), []
    while len(out) < limit and (not out or out[-1] != text.EOS):
        logits = model(input_ids=feed, past_key_values=cache, use_cache=True).logits[0, -1]
        out.append(int(logits.argmax()))
        feed = torch.tensor([[out[-1]]])
    return out


def lead(logits, want):
    """By how much each wanted token beats the best other one; negative where it loses."""
    mine = logits.gather(-1, want[:, None])[:, 0]
    return mine - logits.scatter(-1, want[:, None], float("-inf")).amax(-1)


@torch.no_grad()
def text_rows(model, mtp, tok, pairs):
    """Greedy continuation of every prompt, the smallest lead on the way, and how often the draft block agrees."""
    rows, right, drafted, agreed = [], 0, 0, 0
    for prompt, continuation in pairs:
        ids, want = [text.BOS] + tok.encode(prompt).ids, tok.encode(continuation).ids + [text.EOS]
        got, streams = greedy(model, ids), []
        tap = model.model.layers[-1].register_forward_hook(lambda _m, _a, out: streams.append(out))
        whole = torch.tensor([ids + want])
        logits = model(input_ids=whole, use_cache=False).logits[0, len(ids) - 1:-1]
        tap.remove()
        guess = mtp(model, streams[0][:, :-1], whole[:, 1:], torch.arange(whole.shape[1] - 1)[None], None)[2]
        guess = guess[0, len(ids) - 1:-1].argmax(-1)
        agreed, drafted = agreed + int((guess == torch.tensor(want[1:])).sum()), drafted + len(want) - 1
        right += got == want
        rows.append(dict(prompt=prompt, tokens=ids, continuation=tok.decode(got), continuation_tokens=got,
                         smallest_lead=round(float(lead(logits, torch.tensor(want)).min()), 3)))
        print("ok   " if got == want else "WRONG", rows[-1]["smallest_lead"], prompt + rows[-1]["continuation"])
    return rows, right == len(pairs), round(agreed / drafted, 4)


def recall_rows(tok, count, seed):
    """Eight pairs, then enough dots that no chain of sliding windows reaches back, then one key."""
    rng, rows = random.Random(seed), []
    for _ in range(count):
        body, pairs = text.recall_text(rng, len(text.KEYS), text.GAP)
        key, value = rng.choice(pairs)
        prompt = f"{body}?{key}"
        rows.append(dict(prompt=prompt, tokens=[text.BOS] + tok.encode(prompt).ids, answer=value,
                         answer_token=tok.token_to_id(value)))
    return rows


@torch.no_grad()
def recall_score(model, rows):
    """(share answered right, smallest lead of the right value)."""
    leads = []
    for i in range(0, len(rows), 64):
        part = rows[i:i + 64]
        logits = model(input_ids=torch.tensor([r["tokens"] for r in part]), use_cache=False).logits[:, -1]
        leads.append(lead(logits, torch.tensor([r["answer_token"] for r in part])))
    leads = torch.cat(leads)
    return round(float((leads > 0).float().mean()), 4), round(float(leads.min()), 3)


def measure_recall(model, rows):
    """Accuracy and smallest lead as the model is, and accuracy with parts of its memory taken away."""
    compressors = [b.self_attn.compressor for b in model.model.layers if b.self_attn.compressor is not None]
    csa = [c for c in compressors if hasattr(c, "indexer")]
    accuracy, smallest = recall_score(model, rows)
    out = dict(accuracy_with_entries=accuracy, smallest_lead=smallest)
    for key, modules, hook in (("accuracy_without_entries", compressors, hide_entries),
                               ("accuracy_without_csa_entries", csa, hide_entries),
                               ("accuracy_without_hca_entries", set(compressors) - set(csa), hide_entries),
                               ("accuracy_entries_at_random", [c.indexer.scorer for c in csa], score_at_random)):
        with Hooked(modules, hook):
            out[key] = recall_score(model, rows)[0]
    return out


def measure(c):
    """Writes recall.json and expected.json; true if the promises of README.md hold."""
    tok = Tokenizer.from_file(os.path.join(HERE, "tokenizer.json"))
    model, mtp = read_model(c)
    oracle.QAT(model, mtp, c)
    shown, many = recall_rows(tok, 64, SEED + 1), recall_rows(tok, 512, SEED + 2)
    here, there = measure_recall(model, shown), measure_recall(model, many)
    print("recall of 512:", there)
    write_json("recall.json", dict(
        task="eight key=value pairs, a run of dots, then ?key; the next token is the value", chance=0.125,
        precision="qat_all", **here, of_512=there, prompts=shown))
    sums = list(text.SUMS.items())
    rows, right, accepted = text_rows(model, mtp, tok, list(text.PROSE.items()) + sums[3::13])
    write_json("expected.json", dict(precision="qat_all", draft_agreement=accepted, prompts=rows))
    ends = [text.EOS]
    added = sum(greedy(model, [text.BOS] + tok.encode(p).ids, 4) == tok.encode(v).ids + ends for p, v in sums)
    bare = sum(greedy(model, tok.encode(p).ids) == tok.encode(v).ids + ends for p, v in text.PROSE.items())
    user, reply = text.SPECIALS[3], text.SPECIALS[4] + text.SPECIALS[6]
    chat = sum(greedy(model, [text.BOS] + tok.encode(user + p + reply).ids) == tok.encode(v).ids + ends
               for p, v in text.PROSE.items())
    print(f"sums {added}/{len(sums)}; texts without BOS {bare}/{len(text.PROSE)}, in the chat frame "
          f"{chat}/{len(text.PROSE)}; draft block agrees on {accepted}")
    return right and there["accuracy_with_entries"] >= 0.95 and there["accuracy_without_entries"] <= 0.25
