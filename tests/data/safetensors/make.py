"""Makes model.safetensors with the format's own library, and expected.json with what is in it.

pip install safetensors==0.8.0 numpy ml_dtypes; python make.py
"""
import json
import pathlib

import ml_dtypes
import numpy as np
from safetensors.numpy import save_file

HERE = pathlib.Path(__file__).parent
DTYPES = {"F64": np.float64, "F32": np.float32, "F16": np.float16, "BF16": ml_dtypes.bfloat16, "I64": np.int64,
          "I32": np.int32, "I16": np.int16, "I8": np.int8, "U8": np.uint8, "U16": np.uint16, "U32": np.uint32,
          "U64": np.uint64, "BOOL": np.bool_}
SHAPES = [(), (3,), (2, 3), (1, 2, 2), (0, 4)]

rng = np.random.default_rng(7)
tensors, expected = {}, {}
for number, (name, dtype) in enumerate(DTYPES.items()):
    shape = SHAPES[number % len(SHAPES)]
    values = np.asarray(rng.integers(0, 2 if name == "BOOL" else 100, size=shape)).astype(dtype)
    tensors[f"layer.{number}.{name.lower()}"] = values
    expected[f"layer.{number}.{name.lower()}"] = {"dtype": name, "shape": list(shape), "hex": values.tobytes().hex()}
tensors["naïve.名前"] = np.array([1.5, -2.5], np.float32)
expected["naïve.名前"] = {"dtype": "F32", "shape": [2], "hex": tensors["naïve.名前"].tobytes().hex()}
save_file(tensors, HERE / "model.safetensors", metadata={"format": "pt", "made by": "make.py"})
(HERE / "expected.json").write_text(json.dumps(expected, indent=1) + "\n")
