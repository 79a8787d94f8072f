"""ViCLIP against the reference implementation's answers for made-up weights."""

import numpy as np
import pytest
import recipe
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st

from viclip import ViCLIP, interpolate_time, tokenize
from viclip_evaluator import MEAN, STD

FACTS = recipe.VICLIP_FACTS
SIZES = [
    pytest.param("b", "b16", id="B/16"),
    pytest.param("l", "l14", id="L/14", marks=pytest.mark.slow),
]


def golden_network(size, name):
    keys = FACTS[name]["keys"]
    state = {key: torch.from_numpy(recipe.fill(key, tuple(shape))) for key, shape in keys.items()}
    with torch.device("meta"):
        net = ViCLIP(size)
    net.load_state_dict(state, assign=True)
    return net.eval().requires_grad_(False)


def golden_video(name):
    video = torch.from_numpy(recipe.video(**FACTS[name]["video"]))
    return (video - torch.tensor(MEAN).view(3, 1, 1)) / torch.tensor(STD).view(3, 1, 1)


@pytest.fixture(scope="module")
def small_network():
    return golden_network("b", "b16")


@pytest.mark.parametrize(("size", "name"), [("b", "b16"), ("l", "l14")])
def test_keys_and_shapes_are_the_published_ones(size, name):
    with torch.device("meta"):
        state = ViCLIP(size).state_dict()
    assert {key: list(value.shape) for key, value in state.items()} == FACTS[name]["keys"]


@pytest.mark.parametrize(("size", "name"), SIZES)
def test_golden_embeddings_at_every_precision(size, name):
    golden = np.load(recipe.GOLDEN / f"viclip_{name}.npz")
    net, video = golden_network(size, name), golden_video(name)
    with torch.inference_mode():
        vision, text = net.encode_video(video), net.encode_text(FACTS["prompts"])
        assert agrees(vision, golden["vision"]) and agrees(text, golden["text"])
        similarity = F.normalize(vision) @ F.normalize(text).T
        assert np.abs(similarity.numpy() - golden["similarity"]).max() < 1e-5
        # slow where emulated, as on most CPUs: only one of them for the large network
        for precision in (torch.bfloat16, torch.float16)[: 2 if size == "b" else 1]:
            with torch.autocast("cpu", precision):
                lower = net.encode_video(video[:1]).float()
            moved = F.normalize(lower) @ F.normalize(text).T - similarity[:1]
            assert 0 < moved.abs().max() < 0.005


def agrees(ours, golden):
    return np.abs(ours.numpy() - golden).max() < 1e-4 * np.abs(golden).max()


def test_golden_tokens():
    for name in ("b16", "l14"):
        golden = np.load(recipe.GOLDEN / f"viclip_{name}.npz")["token_ids"]
        assert np.array_equal(tokenize(FACTS["prompts"]), golden)


@given(st.text(max_size=80))
@settings(max_examples=50)
def test_any_text_gives_tokens(text):
    ids = tokenize([text])
    assert ids.shape == (1, 32) and ids[0, 0] == 49406 and (ids == 49407).any()


def test_tokens_of_one_string_are_refused():
    with pytest.raises(ValueError, match="put it in a list"):
        tokenize("a dog running")


@pytest.mark.parametrize(
    ("shape", "message"),
    [
        ((1, 8, 3, 224, 200), r"expected \[B, T, 3, 224, 224\], got \[1, 8, 3, 224, 200\]"),
        ((1, 3, 8, 224, 224), r"expected \[B, T, 3, 224, 224\]"),
        ((8, 3, 224, 224), r"expected \[B, T, 3, 224, 224\]"),
        ((1, 4, 3, 224, 224), "expected 8 frames, got 4"),
    ],
)
def test_wrong_shapes_are_named(small_network, shape, message):
    with pytest.raises(ValueError, match=message):
        small_network.encode_video(torch.zeros(shape))


def test_nothing_in_the_forward_goes_to_the_cpu():
    with torch.device("meta"):
        net = ViCLIP("b")
    assert net.encode_video(torch.zeros(2, 8, 3, 224, 224, device="meta")).shape == (2, 512)
    assert net.encode_text(["a dog", "a cat", "a bird"]).shape == (3, 512)


def test_frames_in_another_order_are_another_video(small_network):
    video = golden_video("b16")[:1]
    with torch.inference_mode():
        there, back = small_network.encode_video(torch.cat((video, video.flip(1))))
    assert F.cosine_similarity(there, back, dim=0) < 0.999


def test_interpolated_time():
    time = torch.arange(8.0).view(1, 8, 1).expand(1, 8, 5)
    assert torch.equal(interpolate_time(time, 8), time)
    double = interpolate_time(time, 16)
    assert double.shape == (1, 16, 5)
    # frame i of n stands for the i-th of n parts of the video, at its middle
    assert double[0, 1:15, 0].tolist() == pytest.approx([(i + 0.5) / 2 - 0.5 for i in range(1, 15)])
    assert interpolate_time(time, 4)[0, :, 0].tolist() == [0.5, 2.5, 4.5, 6.5]
    assert interpolate_time(time.half(), 3).dtype == torch.float16


def test_a_network_of_another_length():
    net = ViCLIP("b", n_frames=2).eval()
    assert net.encode_video(torch.zeros(1, 2, 3, 224, 224)).shape == (1, 512)
