#!/usr/bin/env python3
"""What lm-evaluation-harness makes of texts: the requests of a multiple-choice task and of a rolling one, their token ids, sums of
log-probabilities and metrics.

usage: make_golden.py          (writes model/ and golden.json beside this file; nothing is downloaded)

The files in the repository were made with Python 3.11, lm-eval 0.4.13, torch 2.13.0, transformers 5.23.0, tokenizers 0.23.3;
only these (with accelerate, h5py) are needed. golden.json:

choices   "items": each with "gold", the index of the right choice; "conditional", a request per choice; "unconditional", the same
          continuations after nothing. A request: "context", "continuation", their ids as lm-eval separates them ("context_enc",
          "continuation_enc"), "logprob" of the continuation, and "greedy": each of its tokens is the most likely one.
rolling   "documents": "text", "windows" (pairs of ids: given, scored), "logprob" over all windows, "words"; no model input is longer
          than "max_length", and "prefix_token" stands before the first window.
bos       requests as above, encoded only, with a tokenizer that puts BOS before every text (../tokenizers/TOKENIZER.json).
"metrics" are the tasks' own. A request's texts are encoded with special tokens recognised. Sums are of float32 on a CPU.
"""
import json, os, pathlib, shutil, sys, tempfile

os.environ |= dict(HF_HUB_OFFLINE="1", HF_DATASETS_OFFLINE="1", TRANSFORMERS_OFFLINE="1", CUDA_VISIBLE_DEVICES="")

import datasets, lm_eval, tokenizers, torch, transformers
from lm_eval.api.instance import Instance
from lm_eval.models.huggingface import HFLM

HERE = pathlib.Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parent))
from checkpoints import edit_config, random_transformers_checkpoint, released_spelling

TOKENIZERS, TEXTS = HERE.parent / "tokenizers", HERE.parents[2] / "demo/texts"
ADDED = {"<|endoftext|>": True, "<|im_start|>": True, "<|im_end|>": True, "<think>": False}  # whether special
WINDOW = 64


# ---- the model: random, with the front end of Qwen's tokenizer ---------------------------------------------------------------------

def write_tokenizer(path):
    tokenizer = json.loads((TOKENIZERS / "qwen3.json").read_text())
    first, plain = len(tokenizer["model"]["vocab"]), tokenizer["added_tokens"][0]
    tokenizer["added_tokens"] = [plain | dict(id=first + i, content=text, special=special) for i, (text, special) in enumerate(ADDED.items())]
    text = json.dumps(tokenizer, ensure_ascii=False, separators=(",", ":"))
    (path / "tokenizer.json").write_text(text.replace('"merges":', '\n"merges":').replace('"added_tokens":', '\n"added_tokens":') + "\n")
    write_json(path / "tokenizer_config.json", dict(
        tokenizer_class="PreTrainedTokenizerFast", bos_token=None, eos_token="<|endoftext|>", pad_token="<|endoftext|>",
        add_bos_token=False, clean_up_tokenization_spaces=False, model_max_length=256))
    return first


def write_model(path):
    """peak: logits differ by several nats, routers choose clearly."""
    shutil.rmtree(path, ignore_errors=True)
    random_transformers_checkpoint(
        path, "qwen3_moe", torch.bfloat16, 11, peak=1.5, hidden_size=48, num_hidden_layers=2, num_attention_heads=4,
        num_key_value_heads=2, head_dim=16, num_experts=8, num_experts_per_tok=2, moe_intermediate_size=24, intermediate_size=64,
        vocab_size=368, norm_topk_prob=True, tie_word_embeddings=False, rope_theta=1e6, max_position_embeddings=256, rms_norm_eps=1e-6)
    eos = write_tokenizer(path)
    edit_config(path, released_spelling)
    edit_config(path, lambda config: config.update(eos_token_id=eos))


# ---- the texts ---------------------------------------------------------------------------------------------------------------------

LIKELY = object()  # stands for what the model itself would say

def passage(name, begin, end):
    return (TEXTS / f"{name}.txt").read_text()[begin:end]


# context, choices, index of the right one
ITEMS = [
    ("The cat sat on the", [" mat", " hat.", " unto them", " "], 0),
    ("And the LORD said unto  ", ["him", "her", "Moses, Go"], 2),  # white space goes to the continuation
    ("Question: 2 + 2 = ?\nAnswer:\n", ["4", "22", "four"], 0),
    ("Prix :\u00a0", ["12 €", "13 €", "\u00a014 €"], 1),
    ("我们去中文。\u3000", ["かな", "カナ", "한국어"], 0),
    ("unit\x1f", ["a", "b\x1f"], 1),  # white space for Python, if for few others
    ("line\u2028\x85\x0b", ["next", "\x1cnext"], 0),
    ("zero width\u200b", [" a", "b", "\ufeff"], 2),  # none
    ("She sells th", ["e shells", "ese shells", "at all"], 0),  # one token over both
    ("LOR", ["D God", "DS and ladies"], 1),
    ("Un cafe", ["\u0301 noir", "s noirs", "\u0327\u0301"], 0),  # one character over both
    ("\u1100", ["\u1161\u11a8 x", "\u1161 y"], 1),
    ("Mood: 👍", ["🏽 yes", " no 👩‍👩‍👧", "😀"], 1),
    ("In 18", ["03, she", "30.", " 03", "٣٤ ½"], 0),
    ("ไทย", ["ม้า", " हिन्दी"], 1),
    ("<|im_start|>user\nHi<|im_end|>\n<|im_start|>assistant\n", ["Hello<|im_end|>", "<think>\nHm", "<|im_end|>"], 0),
    ("ends with <|im_", ["end|> and then there is more of it", "start|> and then there is less"], 1),
    ("<|endoftext|>Once", [" upon a time", " more", " no<|endoftext|>"], 0),
    ("", ["It is a truth", "<|im_start|>x", " A man"], 2),
    ("", ["<|endoftext|>The end", "The beginning"], 0),  # what stands for an empty context is there already
    ("  \n indented", [" code", "\n\tx = 1", "\n\n"], 1),
    ("a\tb\r\n", ["c", "\r\nd", "  d"], 2),
    ("I", ["'m here", "'LL go", "ʼm"], 0),
    ("def f(x):\n    return", [" x", " x + 1", "\n"], 1),
    (passage("austen", 400, 690), [" She was", " considerable", "\nthirteen years"], 1),
    ("the character of", [LIKELY, " useful", " plain sense"], 0),
    ("CHAPTER 1 No one ", [LIKELY, "who had", "her"], 0),
    ("The public are entreated", [LIKELY, " to bear"], 1),
]
BOS_PAIRS = [("It is a", " truth"), ("It is a ", "truth"), ("", "It is"), ("", " It is"), ("", "<s>It is"), (" ", "It is"), ("<s>It is", " a truth"), ("x<s>", "y</s>"),
             ("e", "\u0301 <0x41>"), ("th", "e the"), ("我们", "中文😀"), ("\n", "")]


def prefix_of(text, num_tokens, tokenizer):
    """A beginning of `text` that has so many tokens."""
    return next(text[:n] for n in range(num_tokens, len(text)) if len(tokenizer.encode(text[:n])) == num_tokens)


def documents(tokenizer):
    austen, kjv = passage("austen", 1000, 2500), passage("kjv", 0, 2500)
    mixed = "Iʼm naïve: 我们中文 かな 한국어 été ÉTÉ ЖЗ 123 4567 1/2 {\n\t\"a\": [1, 2],\n}\n\n  x = y;\r\n 😀 e\u0301 <|im_end|> <think>\u00a0 "
    return ["a", "It is a truth universally acknowledged.\n", prefix_of(austen, WINDOW, tokenizer), prefix_of(kjv, WINDOW + 1, tokenizer),
            prefix_of(kjv[700:], 2 * WINDOW + 1, tokenizer), "<|endoftext|>" + prefix_of(austen[600:], WINDOW, tokenizer),
            prefix_of(mixed + kjv[300:], 4 * WINDOW - 20, tokenizer)]


# ---- lm-eval -----------------------------------------------------------------------------------------------------------------------

class Recorder(HFLM):
    """Remembers what is asked of the model, a list for each call from the outside."""
    encoded_only = False

    def __init__(self, path, **more):
        super().__init__(pretrained=str(path), dtype="float32", device="cpu", batch_size=1, **more)
        self.asked = []

    def _loglikelihood_tokens(self, requests, **more):
        self.asked.extend((list(given), list(scored)) for _, given, scored in requests)
        return [(0.0, False)] * len(requests) if self.encoded_only else super()._loglikelihood_tokens(requests, **more)

    def loglikelihood_rolling(self, requests, disable_tqdm=False):
        sums, self.windows = [], []
        for request in requests:
            self.asked = []
            sums += super().loglikelihood_rolling([request], disable_tqdm)
            self.windows.append(self.asked)
        return sums

    def likely(self, context):
        """The most likely next tokens that are text and stay themselves when they are encoded with the context."""
        ids = given = self.tok_encode(context.rstrip())
        best = ""
        for _ in range(4):
            ids = ids + [int(self._model_call(torch.tensor([ids]))[0, -1].argmax())]
            text = self.tokenizer.decode(ids)
            if self.tok_encode(text) == ids and text.startswith(context): best = text[len(context):]
        assert best, f"no text follows {context!r}: {ids[len(given):]}"
        return best


def evaluated(lm, name, rows, **task):
    """(samples, metrics) of a task on these rows."""
    with tempfile.TemporaryDirectory() as folder:
        data = pathlib.Path(folder) / "test.jsonl"
        data.write_text("".join(json.dumps(row) + "\n" for row in rows))
        config = dict(task=name, dataset_path="json", dataset_kwargs=dict(data_files=dict(test=str(data))), test_split="test", **task)
        datasets.config.HF_DATASETS_CACHE = datasets.config.DOWNLOADED_DATASETS_PATH = folder
        out = lm_eval.simple_evaluate(model=lm, tasks=[config], num_fewshot=0, log_samples=True, bootstrap_iters=0)
    names = [metric["metric"] for metric in task["metric_list"]]
    samples = sorted(out["samples"][name], key=lambda sample: sample["doc_id"])
    assert [sample["doc"] for sample in samples] == rows
    return samples, {metric: number(out["results"][name][f"{metric},none"]) for metric in names}


def metrics(*names):
    return [dict(metric=name) for name in names]


def number(x):
    return float(f"{x:.9g}")


def request_of(pair, ids):
    return dict(context=pair[0], continuation=pair[1], context_enc=ids[0], continuation_enc=ids[1])


def arguments_of(sample):
    """A sample's requests as the task makes them."""
    return [tuple(arguments) for arguments in sample["arguments"]]


def choices(path):
    lm = Recorder(path)
    rows = [dict(context=context, gold=gold, choices=[lm.likely(context) if choice is LIKELY else choice for choice in given])
            for context, given, gold in ITEMS]
    samples, results = evaluated(lm, "choices", rows, output_type="multiple_choice", doc_to_text="context", doc_to_choice="choices",
                                 doc_to_target="gold", target_delimiter="", metric_list=metrics("acc", "acc_norm", "acc_mutual_info"))
    asked, items = iter(lm.asked), []
    for row, sample in zip(rows, samples):
        requests = [request_of(pair, next(asked)) | dict(logprob=number(answer[0]), greedy=bool(answer[1]))
                    for pair, answer in zip(arguments_of(sample), sample["filtered_resps"], strict=True)]
        count = len(row["choices"])
        assert [r["context"] for r in requests] == [row["context"]] * count + [""] * count
        items.append(dict(gold=row["gold"], conditional=requests[:count], unconditional=requests[count:]))
    assert next(asked, None) is None
    return dict(items=items, metrics=results)


def rolling(path):
    lm = Recorder(path, max_length=WINDOW)
    rows = [dict(text=text) for text in documents(lm.tokenizer)]
    samples, results = evaluated(lm, "rolling", rows, output_type="loglikelihood_rolling", doc_to_text="", doc_to_target="text",
                                 metric_list=metrics("word_perplexity", "byte_perplexity", "bits_per_byte"))
    out = [dict(text=row["text"], windows=windows, logprob=number(sample["filtered_resps"][0]), words=sample["word_perplexity"][1])
           for row, windows, sample in zip(rows, lm.windows, samples, strict=True)]
    return dict(documents=out, max_length=WINDOW, prefix_token=lm.prefix_token_id, metrics=results)


def with_bos(path, name):
    with tempfile.TemporaryDirectory() as folder:
        shutil.copy(TOKENIZERS / f"{name}.json", f"{folder}/tokenizer.json")
        write_json(pathlib.Path(folder) / "tokenizer_config.json", dict(
            tokenizer_class="PreTrainedTokenizerFast", bos_token="<s>", eos_token="</s>", unk_token="<unk>"))
        lm = Recorder(path, tokenizer=folder)
    lm.encoded_only = True
    lm.loglikelihood([Instance("loglikelihood", {}, pair, i) for i, pair in enumerate(BOS_PAIRS)])
    return dict(tokenizer=name, requests=[request_of(*both) for both in zip(BOS_PAIRS, lm.asked, strict=True)])


def write_json(path, value):
    path.write_text(json.dumps(value, indent=1, sort_keys=True) + "\n")


def write_golden(path, golden):
    """A request or a document a line."""
    text = json.dumps(golden, ensure_ascii=True, sort_keys=True, separators=(",", ":"))
    for start in ('{"conditional":', '{"context":', '{"logprob":', '{"context_enc"', '"unconditional":', '"metrics":', '"versions":'):
        text = text.replace(start, "\n" + start)
    path.write_text(text + "\n")


if __name__ == "__main__":
    torch.set_grad_enabled(False)
    torch.manual_seed(0)
    write_model(HERE / "model")
    golden = dict(choices=choices(HERE / "model"), rolling=rolling(HERE / "model"), bos=with_bos(HERE / "model", "mistral"),
                  versions=dict(lm_eval=lm_eval.__version__, torch=torch.__version__.split("+")[0], transformers=transformers.__version__,
                                tokenizers=tokenizers.__version__))
    write_golden(HERE / "golden.json", golden)
    print(golden["choices"]["metrics"], golden["rolling"]["metrics"])
