#!/usr/bin/env python3
"""Writes small tokenizers and what Hugging Face makes of difficult texts (needs: pip install tokenizers==0.23.3).

Each is trained on demo/texts and has the front end of a family of models. NAME.json is the tokenizer; NAME.jsonl has for each line
of texts.jsonl [ids, ids with special tokens, ids with special tokens left as text, their text]. classes.json has digests of its
regular expressions' classes and of its NFC.

    tests/data/tokenizers/make_tokenizers.py
"""
import itertools
import json
import pathlib
import random

import tokenizers
from tokenizers import AddedToken, Regex, Tokenizer, models, normalizers, pre_tokenizers, trainers

assert tokenizers.__version__ == "0.23.3", tokenizers.__version__
HERE = pathlib.Path(__file__).parent
TRAINING = [path.read_text()[:60000] for path in sorted((HERE / "../../../demo/texts").glob("*.txt"))]
TRAINING.append("Iʼm naïve: 我们中文 かな 한국어 été ÉTÉ ЖЗ 123 4567 1/2 {\n\t\"a\": [1, 2],\n}\n\n  x = y;\r\n" * 30)

QWEN = (r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+")
QWEN35 = QWEN.replace(r"?\p{L}+", r"?[\p{L}\p{M}]+").replace(r"[^\s\p{L}\p{N}]", r"[^\s\p{L}\p{M}\p{N}]")
CL100K = QWEN.replace(r"\p{N}|", r"\p{N}{1,3}|")
_WORD = r"[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]%s[\p{Ll}\p{Lm}\p{Lo}\p{M}]%s(?i:'s|'t|'re|'ve|'m|'ll|'d)?|"
O200K = _WORD % ("*", "+") + _WORD % ("+", "*") + r"\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n/]*|\s*[\r\n]+|\s+(?!\S)|\s+"
DEEPSEEK3 = [r"\p{N}{1,3}", "[一-龥\u3040-ゟ゠-ヿ]+",
             "[!\"#$%&'()*+,\\-./:;<=>?@\\[\\\\\\]^_`{|}~][A-Za-z]+|[^\r\n\\p{L}\\p{P}\\p{S}]?[\\p{L}\\p{M}]+|"
             " ?[\\p{P}\\p{S}]+[\r\n]*|\\s*[\r\n]+|\\s+(?!\\S)|\\s+"]
DEEPSEEK2 = ["[\r\n]", "\\s?[A-Za-zµÀ-ÖØ-öø-ƺ]+", "\\s?[!-/:-~！-／：-～‘-‟\u3000-。]+", "\\s+$",
             "[一-龥ࠀ-一가-\ud7ff]+"]

TEXTS = [
    "", " ", "  ", "a", "Hello world", " Hello  world ", "It is a truth universally acknowledged, that a single man",
    "I'm you're HE'LL they'd 'S 's 'ſ 'K Iʼm don't", "e<|end|>\u0301 e\u0301 \u0301", "<|end|><|end|> <|end|>", "<|end|", "|||NAME|||",
    "ab<mask>cd <mask> xx<mask>", "a\n\nb\r\n c\t\td\n", "x   \ny  \n  z   ", "   \n   \n", "\n", "\r\n\r\n  \r", "tab\there",
    "1234567890 12.5 ٣٤ ½ Ⅻ 1a2b", "UPPER lower CamelCase XMLHttpRequest ÉCOLE école ǅ ʰ", "我们去中文。かなカナ한국어", "ไทยม้า हिन्दी",
    "é e\u0301 가 \u1100\u1161 각 \u1100\u1161\u11a8 \u212b \u0958", "a\u0327\u0301 a\u0301\u0327 \u0f73 \u2126", "\U00011935\U00011930 \u09fe",
    "😀 👍🏽 👩‍👩‍👧 ❤️", "\u180e\u200b\u2028\u2029\u0085\u00a0\u3000x", "\ufeffBOM", "\u0000\u0001\u007f", "[INST] <s> </s> <unk> <0x41> ▁▁a _",
    "print('x')  # comment\n    return {a: [1,2]}\n", "https://example.org/a?b=c&d=%20", "naïve façade — “quoted” … ‘it’s’",
    "𐐀𐐨 Ꮠ \U0001f6d8 \U0001fae9", "  <t0>  <t1> x<t2>y <t3>", "!!!???...---", "a/b//c///\n/d", "\\frac{a}{b} _x ^y", "·•†‡§¶",
    "the the thethethe" * 8, "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa", " " * 70 + "x",
]


def byte_level(use_regex=False, prefix=False):
    return pre_tokenizers.ByteLevel(add_prefix_space=prefix, use_regex=use_regex)


def split(regex, behavior="isolated", invert=False):
    return pre_tokenizers.Split(Regex(regex), behavior, invert)


def train(normalizer, pre_tokenizer, special=(), alphabet=pre_tokenizers.ByteLevel.alphabet(), size=360, **model):
    tokenizer = Tokenizer(models.BPE(**model))
    if normalizer:
        tokenizer.normalizer = normalizer
    if pre_tokenizer:
        tokenizer.pre_tokenizer = pre_tokenizer
    trainer = trainers.BpeTrainer(vocab_size=size, initial_alphabet=sorted(alphabet), special_tokens=list(special), show_progress=False)
    tokenizer.train_from_iterator(TRAINING, trainer)
    return json.loads(tokenizer.to_str())


def bpe_of_bytes(normalizer, *pre, added=(), **model):
    """A byte-level tokenizer with its usual decoder and post-processor."""
    out = train(normalizer, pre_tokenizers.Sequence(list(pre)) if len(pre) > 1 else pre[0], **model)
    level = {"type": "ByteLevel", "add_prefix_space": False, "trim_offsets": False, "use_regex": False}
    return dict(out, decoder=level, post_processor=level, added_tokens=numbered(out, added))


def bpe_of_characters(normalizer, pre_tokenizer, decoder, **more):
    """A SentencePiece-like one: bytes for unknown characters, "<s>" before every text. Training needs words, so it has those."""
    words = pre_tokenizers.Metaspace()
    special = ["<unk>", "<s>", "</s>"] + [f"<0x{b:02X}>" for b in range(256)]
    out = train(None, words, special, alphabet=[], size=460, unk_token="<unk>", fuse_unk=True, byte_fallback=True)
    out["added_tokens"] = [token for token in out["added_tokens"] if token["id"] < 3]
    template = {"type": "TemplateProcessing", "single": [{"SpecialToken": {"id": "<s>", "type_id": 0}}, {"Sequence": {"id": "A", "type_id": 0}}],
                "pair": [{"Sequence": {"id": "A", "type_id": 0}}, {"Sequence": {"id": "B", "type_id": 1}}],
                "special_tokens": {"<s>": {"id": "<s>", "ids": [1], "tokens": ["<s>"]}}}
    return dict(out, normalizer=normalizer, pre_tokenizer=pre_tokenizer, decoder=decoder, post_processor=template, **more)


def numbered(tokenizer, added):
    first = len(tokenizer["model"]["vocab"])
    plain = {"single_word": False, "lstrip": False, "rstrip": False, "normalized": False, "special": False}
    return [dict(plain, id=first + i, **token) for i, token in enumerate(added)]


def old_merges(tokenizer):
    tokenizer["model"]["merges"] = [" ".join(pair) for pair in tokenizer["model"]["merges"]]
    return tokenizer


END = {"content": "<|end|>", "special": True}
MASK = {"content": "<mask>"}
SENTENCEPIECE = {"type": "Sequence", "decoders": [
    {"type": "Replace", "pattern": {"String": "▁"}, "content": " "}, {"type": "ByteFallback"}, {"type": "Fuse"},
    {"type": "Strip", "content": " ", "start": 1, "stop": 0}]}


def metaspace(scheme, split_words):
    return {"type": "Metaspace", "replacement": "▁", "prepend_scheme": scheme, "split": split_words}


def all_flags():
    names = ("special", "normalized", "lstrip", "rstrip", "single_word")
    return [dict(zip(names, flags), content=f"<t{i}>") for i, flags in enumerate(itertools.product((False, True), repeat=5))] + [
        {"content": "  ", "lstrip": True, "rstrip": True}, {"content": "é", "normalized": True}]


TOKENIZERS = {
    "qwen3": lambda: bpe_of_bytes(normalizers.NFC(), split(QWEN), byte_level(), added=[END, MASK]),
    "qwen3.5": lambda: old_merges(bpe_of_bytes(normalizers.NFC(), split(QWEN35), byte_level(), added=[END])),
    "cl100k": lambda: bpe_of_bytes(None, split(CL100K, "removed", True), byte_level(), added=[END, MASK], ignore_merges=True),
    "o200k": lambda: bpe_of_bytes(None, split(O200K), byte_level(), added=[END], ignore_merges=True),
    "deepseek-v3": lambda: bpe_of_bytes(normalizers.Sequence([]), *map(split, DEEPSEEK3), byte_level(), added=[
        END, {"content": "<｜User｜>", "normalized": True}]),
    "deepseek-v2": lambda: old_merges(bpe_of_bytes(normalizers.Sequence([]), *map(split, DEEPSEEK2), pre_tokenizers.Digits(True), byte_level(), added=[
        dict(END, normalized=True)])),
    "gpt2": lambda: bpe_of_bytes(normalizers.NFC(), byte_level(True), added=[
        {"content": "|||NAME|||", "normalized": True}, END] + [{"content": " " * n, "normalized": True} for n in range(24, 1, -1)]),
    "prefix-space": lambda: bpe_of_bytes(None, byte_level(True, True), added=[END, MASK]),
    "mixtral": lambda: old_merges(bpe_of_characters({"type": "Sequence", "normalizers": [
        {"type": "Prepend", "prepend": "▁"}, {"type": "Replace", "pattern": {"String": " "}, "content": "▁"}]}, None, SENTENCEPIECE)),
    "mistral": lambda: bpe_of_characters(None, metaspace("first", False), SENTENCEPIECE),
    "metaspace": lambda: bpe_of_characters({"type": "Replace", "pattern": {"Regex": "[\\t\\n]"}, "content": " "}, metaspace("always", True), metaspace("always", True)),
    "flags": lambda: bpe_of_bytes(normalizers.NFC(), byte_level(True), added=all_flags(), size=270),
}


def texts_of(added):
    """The texts of all, and some made of a tokenizer's own added tokens."""
    draw = random.Random(7)
    between = ["", " ", "  ", "a", "x ", " é", "\n", "_", "1", ".", "\u200d", "e\u0301"]
    own = ["".join(draw.choice(between) + draw.choice(added) for _ in range(draw.randint(1, 6))) + draw.choice(between)
           for _ in range(60 if len(added) > 10 else 10)] if added else []
    return own


def write_references(name, tokenizer):
    text = json.dumps(tokenizer, ensure_ascii=False, separators=(",", ":"))
    (HERE / f"{name}.json").write_text(text.replace('"merges":', '\n"merges":').replace('"added_tokens":', '\n"added_tokens":') + "\n")
    loaded = Tokenizer.from_file(str(HERE / f"{name}.json"))
    with open(HERE / f"{name}.jsonl", "w") as out:
        for text in TEXTS + texts_of([token["content"] for token in tokenizer["added_tokens"]]):
            loaded.encode_special_tokens = True
            plain = loaded.encode(text, add_special_tokens=False).ids
            loaded.encode_special_tokens = False
            ids = loaded.encode(text, add_special_tokens=False).ids
            special = loaded.encode(text).ids
            line = {"text": text, "ids": ids, "decoded": loaded.decode(special, skip_special_tokens=False)}
            if special != ids:
                line["ids_special"] = special
            if plain != ids:
                line["ids_plain"] = plain
            print(json.dumps(line, ensure_ascii=False, separators=(",", ":")), file=out)


def fnv(text):
    value = 0xCBF29CE484222325
    for byte in text.encode():
        value = (value ^ byte) * 0x100000001B3 % 2**64
    return f"{value:016x}"


def class_digests():
    """What each class has, one character at a time: {class: [count, digest of "first-last,"…]}; of NFC the digest of all texts."""
    scalars = [chr(c) for c in range(0x110000) if not 0xD800 <= c < 0xE000]
    everything = "".join(scalars)
    out = {}
    for name in [r"\s", r"\d", r"\w", r"\W", r"[\w]", r"[^\w]", r"[\W]", r"[\r\n]"] + [f"\\p{{{c}}}" for c in "L M N P S Z C Lu Ll Lt Lm Lo Mn Nd Pc Sk Cf".split()]:
        found = pre_tokenizers.Split(Regex(name), "removed", True).pre_tokenize_str(everything)
        ranges = []
        for text, _ in found:
            for c in map(ord, text):
                if ranges and ranges[-1][1] == c - 1:
                    ranges[-1][1] = c
                else:
                    ranges.append([c, c])
        out[name] = [sum(b - a + 1 for a, b in ranges), fnv("".join(f"{a}-{b}," for a, b in ranges))]
    nfc = normalizers.NFC()
    texts = "\n".join(f"{c}\n\u0327{c}\u0301\na{c}" for c in scalars if c != "\n")
    out["NFC"] = fnv("".join(nfc.normalize_str(line) + "\n" for line in texts.split("\n")))
    return out


for name, make in TOKENIZERS.items():
    write_references(name, make())
(HERE / "classes.json").write_text(json.dumps(class_digests(), indent=1) + "\n")
