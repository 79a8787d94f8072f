"""Made-up weights, clips and dictionary behind the golden values, each a function of its name
or seed, so that what the reference implementation answered for them can be compared."""

import json
import math
import zlib
from pathlib import Path

import numpy as np

GOLDEN = Path(__file__).parent / "golden"
S3D_FACTS = json.loads((GOLDEN / "s3d.json").read_text())
VICLIP_FACTS = json.loads((GOLDEN / "viclip.json").read_text())
S3D_DICT_WORDS = 66249  # the published dictionary's length


def fill(name: str, shape: tuple[int, ...]) -> np.ndarray:
    """The value of one state-dict entry: float32, int64 for batch counters."""
    rng = np.random.default_rng(zlib.crc32(name.encode()))

    def normal(scale):
        return (scale * rng.standard_normal(shape, np.float32)).astype(np.float32)

    if name.endswith("num_batches_tracked"):
        return np.zeros(shape, np.int64)
    if name.endswith("running_var") or (len(shape) == 1 and name.endswith("weight")):
        return rng.uniform(0.5, 1.5, shape).astype(np.float32)
    if name == "temp":
        return np.full(shape, 0.01, np.float32)
    if len(shape) <= 1:
        return normal(0.1)
    if "embedding" in name or "embd" in name:
        return normal(0.3)
    return normal((1.7 if len(shape) == 5 else 1.4) / math.sqrt(math.prod(shape[1:])))


def video(seed: int, shape: list[int]) -> np.ndarray:
    """A clip of random blocks in [0, 1), float32: axes of 8 or more are 7 blocks long."""
    blocks = np.random.default_rng(seed).random([7 if n >= 8 else n for n in shape], np.float32)
    for axis, n in enumerate(shape):
        if n >= 8:
            blocks = blocks.take(np.arange(n) * 7 // n, axis)
    return blocks


def dictionary(words: list[str], n_words: int = S3D_DICT_WORDS) -> np.ndarray:
    """A dictionary [n_words] that begins with `words`, filled up with w0, w1, ..."""
    return np.array(words + [f"w{i}" for i in range(n_words - len(words))])
