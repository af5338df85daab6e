#!/usr/bin/env python3
"""Other tokenizers on the work of `bench_tokens`: a text in records of 2000 bytes, one thread, in turns with it.

Needs pip install tokenizers tiktoken, and takes quicktok-v1 and bpe-qwen where they are there and have the vocabulary. One JSON line each: the
median over the rounds of MB/s (10^6 bytes), tokens, and bench_tokens' rate divided by it. tiktoken gets the file's own vocabulary and
first split pattern. What Python adds per record, a list of ids, is part of the peers' times; quicktok-v1's "count" is without it.

    perf/peers/encode_tokens.py build/release/perf/tokens/bench_tokens TOKENIZER.json TEXT [--quicktok qwen3] [--rounds 5]
"""
import argparse
import json
import statistics
import subprocess
import tempfile
import time


def options():
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument("bench")
    p.add_argument("tokenizer")
    p.add_argument("text")
    p.add_argument("--quicktok", help="quicktok-v1's name of the same vocabulary: o200k_base, qwen3, …")
    p.add_argument("--record-bytes", type=int, default=2000)
    p.add_argument("--rounds", type=int, default=5)
    return p.parse_args()


def records_of(path, size):
    text, records = open(path, "rb").read(), []
    while text:
        end = min(size, len(text))
        while end < len(text) and text[end] & 0xC0 == 0x80:
            end += 1
        records.append(text[:end].decode())
        text = text[end:]
    return records


def byte_of_character():
    own = [*range(0x21, 0x7F), *range(0xA1, 0xAD), *range(0xAE, 0x100)]
    others = [b for b in range(256) if b not in own]
    return {chr(b): b for b in own} | {chr(256 + i): b for i, b in enumerate(others)}


def tiktoken_peer(path):
    import tiktoken
    file = json.load(open(path))
    byte_of = byte_of_character()
    ranks = {bytes(byte_of[c] for c in token): i for token, i in file["model"]["vocab"].items() if all(c in byte_of for c in token)}
    regex = file["pre_tokenizer"]["pretokenizers"][0]["pattern"]["Regex"]
    encoding = tiktoken.Encoding("file", pat_str=regex, mergeable_ranks=ranks, special_tokens={})
    return encoding.encode_ordinary


def tokenizers_peer(path):
    import tokenizers
    tokenizer = tokenizers.Tokenizer.from_file(path)
    return lambda text: tokenizer.encode(text, add_special_tokens=False).ids


def bpe_qwen_peer(path):
    """It has Qwen's split pattern built in, and takes vocabulary and merges from two files."""
    from bpe_qwen import QwenTokenizer
    model = json.load(open(path))["model"]
    with tempfile.TemporaryDirectory() as folder:
        json.dump(model["vocab"], open(f"{folder}/vocab.json", "w"), ensure_ascii=False)
        merges = [merge if isinstance(merge, str) else " ".join(merge) for merge in model["merges"]]
        open(f"{folder}/merges.txt", "w").write("\n".join(["#version: 0.2", *merges, ""]))
        return QwenTokenizer(folder).encode


def quicktok_peers(name):
    import quicktok
    encoding = quicktok.get_encoding(name)
    return encoding.encode_ordinary, lambda text: range(encoding.count(text))


def peers_of(o):
    peers = {}

    def add(name, make):
        try:
            made = make()
        except Exception as error:  # a peer that is missing, or does not know this vocabulary
            print(json.dumps({"peer": name, "missing": str(error)}))
            return
        peers.update(made)

    add("tiktoken", lambda: {"tiktoken": tiktoken_peer(o.tokenizer)})
    add("tokenizers", lambda: {"tokenizers": tokenizers_peer(o.tokenizer)})
    if o.quicktok and o.quicktok.startswith("qwen"):
        add("bpe-qwen", lambda: {"bpe-qwen": bpe_qwen_peer(o.tokenizer)})
    if o.quicktok:
        add("quicktok-v1", lambda: dict(zip(("quicktok-v1", "quicktok-v1 count"), quicktok_peers(o.quicktok))))
    return peers


def rate_of(encode, records, total):
    """The best of three, as bench_tokens has it of more."""
    best, tokens = float("inf"), 0
    for _ in range(3):
        start = time.perf_counter()
        tokens = sum(len(encode(record)) for record in records)
        best = min(best, time.perf_counter() - start)
    return total / best / 1e6, tokens


def main():
    o = options()
    records = records_of(o.text, o.record_bytes)
    total = sum(len(record.encode()) for record in records)
    peers = peers_of(o)
    rates, tokens, ours = {name: [] for name in peers}, {}, []
    for _ in range(o.rounds):
        line = json.loads(subprocess.check_output([o.bench, o.tokenizer, o.text, str(o.record_bytes)]))
        ours.append(line)
        for name, encode in peers.items():
            rate, tokens[name] = rate_of(encode, records, total)
            rates[name].append(rate)
    own = statistics.median(line["mb_per_second"] for line in ours)
    print(json.dumps({"peer": "switchyard", "mb_per_second": own, **{k: v for k, v in ours[-1].items() if k != "mb_per_second"}}))
    for name in peers:
        rate = statistics.median(rates[name])
        print(json.dumps({"peer": name, "mb_per_second": round(rate, 1), "tokens": tokens[name], "ours_over_it": round(own / rate, 2)}))


main()
