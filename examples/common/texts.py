"""Text in records of so many bytes, for models whose tokens are bytes."""

import lzma
from pathlib import Path

TEXTS = Path(__file__).resolve().parent.parent / "texts"
TOKENS = ("--tokenizer", "bytes", "--bos", "256")  # a byte model's options of `switchyard import`


class Text:
    """A text's records, side by side in it: to learn from, to judge by, and to tune by."""

    def __init__(self, name, windows):
        text = lzma.decompress((TEXTS / f"{name}.txt.xz").read_bytes()).decode("ascii")
        size, of, most = (windows.getint(key) for key in ("bytes", "held-out-of", "judged"))
        records = [{"text": text[at : at + size]} for at in range(0, len(text) - size + 1, size)]
        self.judged, self.tuned_by = records[::of][:most], records[of // 2 :: of][:most]
        self.learnt = [record for i, record in enumerate(records) if i % of not in (0, of // 2)]
