"""ViCLIP's fast vision encoder against the plain one."""

import copy

import pytest
import recipe
import torch
import torch.nn.functional as F
from hypothesis import given
from hypothesis import strategies as st

import viclip_inference
from viclip import HEAD_WIDTH, ViCLIP, interpolate_time
from viclip_evaluator import TIME
from viclip_inference import arrange, attend, has_onednn


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


@pytest.fixture(params=[True, False], ids=["onednn", "torch"])
def onednn(request, monkeypatch):
    """Whether products go to oneDNN: on a GPU they do not."""
    if request.param and not has_onednn(torch.float32):
        pytest.skip("no oneDNN here")
    if not request.param:
        monkeypatch.setattr(viclip_inference, "has_onednn", lambda dtype: False)
    return request.param


def test_it_is_the_same_function(encoder, video, expected, onednn):
    arranged = arrange(copy.deepcopy(encoder), torch.float32, "cpu")
    difference = (arranged(video) - expected).abs().max() / expected.abs().max()
    assert difference < 1e-5


def test_no_weights_are_held_twice(encoder, onednn):
    mine = copy.deepcopy(encoder)
    before = dict(mine.named_parameters())
    places = {value.data_ptr() for value in before.values()}
    after = dict(arrange(mine, torch.float32, "cpu").named_parameters())
    assert {value.data_ptr() for value in after.values()} <= places
    gone = {name.split(".", 3)[3] for name in before.keys() - after.keys()}
    matrices = {
        *("attn.in_proj_weight", "attn.in_proj_bias", "attn.out_proj.weight"),
        *("attn.out_proj.bias", "mlp.c_fc.weight", "mlp.c_fc.bias", "mlp.c_proj.weight"),
        "mlp.c_proj.bias",
    }
    assert gone == (matrices if onednn else set())


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_matrices_are_converted_once(encoder, video, expected, dtype, onednn):
    arranged = arrange(copy.deepcopy(encoder), dtype, "cpu")
    if onednn and has_onednn(dtype):
        block = arranged.transformer.resblocks[1]
        products = (block.query_key, block.out, block.c_fc, block.c_proj)
        assert {product.weight.dtype for product in products} == {block.value.dtype} == {dtype}
    types = {name: value.dtype for name, value in arranged.named_parameters()}
    assert types["proj"] == types["conv1.weight"] == dtype
    if not onednn:
        assert types["transformer.resblocks.1.mlp.c_fc.weight"] == dtype
        assert types["transformer.resblocks.1.attn.in_proj_weight"] == dtype
    assert types["ln_post.weight"] == types["positional_embedding"] == torch.float32
    with torch.autocast("cpu", dtype):
        got = arranged(video).float()
    assert (F.cosine_similarity(got, expected) > 0.995).all()


@pytest.mark.skipif(not has_onednn(torch.float32), reason="no oneDNN here")
@given(st.integers(1, 1100), st.integers(1, 700), st.integers(0, 99))
def test_attention_is_torchs(n_queries, n_tokens, seed):
    torch.manual_seed(seed)
    q, k, v = (torch.randn(n, HEAD_WIDTH) for n in (n_queries, n_tokens, n_tokens))
    got = torch.empty(n_queries, 2 * HEAD_WIDTH)[:, HEAD_WIDTH:]  # a head's columns among others
    attend(q, k, v.T.contiguous(), got)
    assert torch.allclose(got, F.scaled_dot_product_attention(q, k, v, scale=1), atol=1e-5)
