"""S3D's prompts without PyTorch, against the reference and s3dg.py; wrong dictionaries."""

import numpy as np
import pytest
import recipe
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from s3dg import TextModule
from s3dg_text import MAX_WORDS, embed, load_dictionary, number, split, tokenize

ANSWERS = np.load(recipe.GOLDEN / "s3d.npz")
PREFIX = "text_module."


@pytest.fixture(scope="module")
def word_to_token(golden_dict):
    return number(load_dictionary(golden_dict))


@pytest.fixture(scope="module")
def weights(golden_state_dict):
    return {
        name.removeprefix(PREFIX): value.numpy()
        for name, value in golden_state_dict.items()
        if name.startswith(PREFIX)
    }


@pytest.fixture(scope="module")
def network(golden_dict, weights):
    network = TextModule(golden_dict, 512)
    network.load_state_dict({name: torch.from_numpy(value) for name, value in weights.items()})
    return network


def error_of(ours, reference):
    return np.abs(ours - reference).max() / np.abs(reference).max()


def test_prompts_agree_with_the_reference(word_to_token, weights):
    ids = tokenize(recipe.S3D_FACTS["prompts"], word_to_token)
    assert ids.dtype == np.int64 and (ids == ANSWERS["token_ids"]).all()
    embeddings = embed(ids, weights)
    assert embeddings.dtype == np.float32
    assert error_of(embeddings, ANSWERS["text_embedding"]) < 1e-6


WORDS = ["open", "the", "door", "w1", "w2", "w3", "zzz", "!"]
PROMPTS = st.lists(st.lists(st.sampled_from(WORDS), max_size=20).map(" ".join), max_size=6)


@settings(max_examples=50)
@given(prompts=PROMPTS)
def test_prompts_agree_with_the_network(network, weights, prompts):
    ids = tokenize(prompts, network.word_to_token)
    assert (network.tokenize(prompts).numpy() == ids).all()
    with torch.inference_mode():
        reference = network(prompts)["text_embedding"].numpy()
    ours = embed(ids, weights)
    assert ours.shape == reference.shape == (len(prompts), 512)
    assert not prompts or error_of(ours, reference) < 1e-6
    for i in range(len(prompts)):  # independent of the others, to the last bit
        assert (embed(ids[i : i + 1], weights) == ours[i]).all()


def test_words_are_split_as_in_the_reference(word_to_token):
    known, unknown = split("Open the DOOR, don't zzz!", word_to_token)
    assert (known, unknown) == (["open", "the", "door", "don't"], ["zzz"])
    assert split("", word_to_token) == ([], [])
    assert np.count_nonzero(tokenize(["dog " * 40], word_to_token)) == MAX_WORDS
    assert tokenize([], word_to_token).shape == (0, MAX_WORDS)


def test_missing_dictionary(tmp_path):
    with pytest.raises(FileNotFoundError, match="missing.npy: no such dictionary"):
        load_dictionary(tmp_path / "missing.npy")


class RunsCode:
    def __reduce__(self):
        return (open, ("dictionary_ran_code", "w"))

    def __repr__(self):
        return "code"


@pytest.mark.parametrize(
    "array",
    [
        np.zeros(5),
        np.array([["a", "b"]]),
        np.array([], dtype="<U1"),
        np.array("word"),
        np.array([b"bytes"]),
        np.array([RunsCode()], dtype=object),
        np.array([("a", 1)], dtype=[("word", "U1"), ("id", int)]),
    ],
    ids=str,
)
def test_files_that_are_not_a_dictionary(tmp_path, monkeypatch, array):
    monkeypatch.chdir(tmp_path)
    np.save("dict.npy", array, allow_pickle=True)
    with pytest.raises(ValueError, match="dict.npy: not a dictionary"):
        load_dictionary("dict.npy")
    assert [path.name for path in tmp_path.iterdir()] == ["dict.npy"]


@pytest.mark.parametrize("keep", [0, 3, 60, 200])
def test_truncated_dictionary(tmp_path, small_dict, keep):
    path = tmp_path / "dict.npy"
    path.write_bytes(small_dict.read_bytes()[:keep])
    with pytest.raises(ValueError, match="dict.npy: not a dictionary"):
        load_dictionary(path)


@pytest.mark.parametrize("damage", [b"{'descr': '<U4', 'shape': (", b"[]", b"{'shape': (10**99,)}"])
def test_damaged_header(tmp_path, small_dict, damage):
    data = bytearray(small_dict.read_bytes())
    data[10 : 10 + len(damage)] = damage
    path = tmp_path / "dict.npy"
    path.write_bytes(data)
    with pytest.raises(ValueError, match="dict.npy: not a dictionary"):
        load_dictionary(path)


def test_not_an_npy_file(tmp_path):
    path = tmp_path / "dict.npy"
    path.write_text("<html>404</html>" * 50)
    with pytest.raises(ValueError, match="dict.npy: not a dictionary"):
        load_dictionary(path)
