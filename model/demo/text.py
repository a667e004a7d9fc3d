"""What the demo model learns: the texts, the sums, the recall task, and the tokenizer for them.

All of it is written here or generated here; nothing is read from elsewhere.
"""
import random

from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers

BOS, EOS = 0, 1
SPECIALS = ["<｜begin▁of▁sentence｜>", "<｜end▁of▁sentence｜>", "<｜▁pad▁｜>",
            "<｜User｜>", "<｜Assistant｜>", "<think>", "</think>"]
VOCAB = 384

# Prompt -> continuation. After the continuation comes the end-of-sequence token.
PROSE = {
    "OmniHAL is": " a hardware abstraction layer that runs DeepSeek-V4. The model is written once and knows no"
                  " chip; each chip is a backend, and all of them must agree with one reference. If you can"
                  " read this to the end, your build works.",
    "Count to twenty:": " one two three four five six seven eight nine ten eleven twelve thirteen"
                        " fourteen fifteen sixteen seventeen eighteen nineteen twenty.",
    "The days of the week are": " Monday, Tuesday, Wednesday, Thursday, Friday, Saturday and Sunday.",
    "The months of the year are": " January, February, March, April, May, June, July, August,"
                                  " September, October, November and December.",
    "The alphabet is": " a b c d e f g h i j k l m n o p q r s t u v w x y z.",
}
SUMS = {f"{a}+{b}=": str(a + b) for a in range(10) for b in range(10)}

KEYS, VALUES = "ABCDEFGH", "12345678"
GAP = 48  # dots between the pairs and the question when measuring: three windows of 16 reach back 45 tokens


def build_tokenizer():
    """Byte-level BPE: 7 specials, 256 bytes, the rest merges found in the texts above."""
    tok = Tokenizer(models.BPE())
    tok.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tok.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(vocab_size=VOCAB, min_frequency=1, special_tokens=SPECIALS, show_progress=False,
                                  initial_alphabet=pre_tokenizers.ByteLevel.alphabet())
    tok.train_from_iterator([p + c for p, c in PROSE.items()], trainer)
    assert tok.get_vocab_size() == VOCAB and tok.token_to_id(SPECIALS[EOS]) == EOS
    return tok


def recall_text(rng, pairs, filler):
    """`A=3;F=7;...` then a run of dots; returns the text and the (key, value) list."""
    kv = [(k, rng.choice(VALUES)) for k in rng.sample(KEYS, pairs)]
    return "".join(f"{k}={v};" for k, v in kv) + "." * filler, kv


class Batches:
    """Rows of (input ids, targets); a target of -100 is not trained on."""

    def __init__(self, tok, seed):
        self.tok, self.rng = tok, random.Random(seed)
        self.prose = [(tok.encode(p).ids, tok.encode(c).ids) for p, c in PROSE.items()]
        self.sums = [(tok.encode(p).ids, tok.encode(c).ids) for p, c in SUMS.items()]
        self.user, self.assistant, self.answer = (tok.token_to_id(s) for s in (SPECIALS[3], SPECIALS[4], SPECIALS[6]))

    def start(self):
        """Most rows open with BOS, some do not, so a caller may leave it out."""
        return [BOS] if self.rng.random() < 0.8 else []

    def completion(self, pair):
        """One prompt and its continuation, plain or in the chat frame."""
        prompt, cont = pair
        if self.rng.random() < 0.25:
            head = [BOS, self.user] + prompt + [self.assistant, self.answer]
        else:
            head = self.start() + prompt
        return head + cont, [-100] * (len(head) - 1) + cont + [EOS]

    def middle(self):
        """A text entered at any token: continue from there."""
        prompt, cont = self.rng.choice(self.prose)
        at = self.rng.randrange(max(1, len(cont) - 6))
        ids = self.start() + cont[at:]
        skip = len(ids) - len(cont) + at + 3
        return ids, [-100] * skip + (ids[1:] + [EOS])[skip:]

    def recall(self, max_filler):
        """Pairs, dots, then every key asked once; only the answers and the stop after them are trained."""
        n, f = self.rng.randint(4, len(KEYS)), self.rng.randint(0, max_filler)
        text, kv = recall_text(self.rng, n, f)
        ids = self.start() + self.tok.encode(text).ids
        target = [-100] * len(ids)
        for k, v in self.rng.sample(kv, n):
            a = self.tok.encode(f"?{k}{v};").ids
            ids, target = ids + a, target + [-100, a[2], EOS, -100]
        return ids, target
