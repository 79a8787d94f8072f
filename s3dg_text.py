"""The text network of S3D without PyTorch, whose import takes longer than everything else in a run
that only adds a prompt. s3dg.py takes the dictionary and the token ids from here; the arithmetic is
that of its TextModule, in NumPy."""

import re
from pathlib import Path

import numpy as np

MAX_WORDS = 16
ARRAYS = ("word_embd.weight", "fc1.weight", "fc1.bias", "fc2.weight", "fc2.bias")


def load_dictionary(path: str | Path) -> list[str]:
    """The words of a .npy dictionary, in order. The file must hold one array of strings [n].

    Raises FileNotFoundError if it is missing, ValueError if it holds anything else. Nothing in
    it is unpickled.
    """
    path = Path(path)
    try:
        with path.open("rb") as file:
            words = np.lib.format.read_array(file, allow_pickle=False)
        if words.ndim != 1 or words.dtype.kind != "U" or not len(words):
            raise ValueError(f"it holds {words.dtype} of shape {list(words.shape)}")
        listed = words.tolist()
    except FileNotFoundError:
        raise FileNotFoundError(f"{path}: no such dictionary") from None
    except Exception as error:  # a damaged file can raise anything
        raise ValueError(f"{path}: not a dictionary, one array of strings: {error}") from error
    return listed


def number(words: list[str]) -> dict[str, int]:
    """Each word of a dictionary -> its token id, from 1 on: 0 is padding."""
    return {word: i + 1 for i, word in enumerate(words)}


def split(sentence: str, word_to_token: dict[str, int]) -> tuple[list[str], list[str]]:
    """The words of a sentence that are in the dictionary, and those that are not, in order. The
    network sees the first `MAX_WORDS` of the former."""
    words = re.findall(r"[\w']+", sentence.lower())
    known = [word for word in words if word in word_to_token]
    unknown = [word for word in words if word not in word_to_token]
    return known, unknown


def tokenize(sentences: list[str], word_to_token: dict[str, int]) -> np.ndarray:
    """Token ids, int64 [P, MAX_WORDS], padded with 0. Raises ValueError for a single string."""
    if isinstance(sentences, str):
        raise ValueError("expected a list of sentences, got one string: put it in a list")
    ids = np.zeros((len(sentences), MAX_WORDS), np.int64)
    for row, sentence in zip(ids, sentences):
        tokens = [word_to_token[word] for word in split(sentence, word_to_token)[0][:MAX_WORDS]]
        row[: len(tokens)] = tokens
    return ids


def embed(ids: np.ndarray, weights: dict[str, np.ndarray]) -> np.ndarray:
    """Token ids, int64 [P, MAX_WORDS] -> the embeddings, float32 [P, 512].

    weights: the state dict of s3dg.TextModule, float32.
    """
    x = weights["word_embd.weight"][ids]  # [P, MAX_WORDS, 300]
    x = np.maximum(x @ weights["fc1.weight"].T + weights["fc1.bias"], 0)
    x = x.max(1, keepdims=True)  # [P, 1, 2048]; over the padding too, as in the reference
    # One product per prompt: in a single one, the last bits would depend on the other prompts.
    return (x @ weights["fc2.weight"].T + weights["fc2.bias"])[:, 0]
