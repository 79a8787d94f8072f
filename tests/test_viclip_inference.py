"""ViCLIP's fast vision encoder against the plain one."""

import copy

import pytest
import recipe
import torch
import torch.nn.functional as F

from viclip import ViCLIP, interpolate_time
from viclip_evaluator import TIME
from viclip_inference import arrange


@pytest.fixture(scope="module")
def encoder(viclip_weights):
    state = torch.load(viclip_weights, weights_only=True)["model"]
    network = ViCLIP("b", n_frames=2)
    network.load_state_dict(state | {TIME: interpolate_time(state[TIME], 2)})
    encoder = network.vision_encoder.eval().requires_grad_(False)
    encoder.transformer.resblocks = encoder.transformer.resblocks[:2]  # enough for this
    return encoder


@pytest.fixture(scope="module")
def video():
    return torch.from_numpy(recipe.video(5, [2, 2, 3, 224, 224])) * 4 - 2


@pytest.fixture(scope="module")
def expected(encoder, video):
    return encoder(video)


def test_it_is_the_same_function(encoder, video, expected):
    arranged = arrange(copy.deepcopy(encoder), torch.float32, "cpu")
    difference = (arranged(video) - expected).abs().max() / expected.abs().max()
    assert difference < 1e-5


def test_no_weights_are_copied(encoder):
    mine = copy.deepcopy(encoder)
    places = {value.data_ptr() for value in mine.parameters()}
    arranged = arrange(mine, torch.float32, "cpu")
    assert {value.data_ptr() for value in arranged.parameters()} == places


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_matrices_are_converted_once(encoder, video, expected, dtype):
    arranged = arrange(copy.deepcopy(encoder), dtype, "cpu")
    types = {name: value.dtype for name, value in arranged.named_parameters()}
    assert types["transformer.resblocks.1.mlp.c_fc.weight"] == dtype
    assert types["transformer.resblocks.1.attn.in_proj_weight"] == dtype
    assert types["ln_post.weight"] == types["positional_embedding"] == torch.float32
    with torch.autocast("cpu", dtype):
        got = arranged(video).float()
    assert (F.cosine_similarity(got, expected) > 0.995).all()
