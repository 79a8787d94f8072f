"""S3D against the reference implementation, and its errors for wrong input."""

import numpy as np
import pytest
import recipe
import torch
import torch.nn.functional as F

from s3dg import S3D

ANSWERS = np.load(recipe.GOLDEN / "s3d.npz")


@pytest.fixture(scope="module")
def net(golden_dict, golden_state_dict):
    net = S3D(golden_dict, 512).eval()
    net.load_state_dict(golden_state_dict)  # strict
    return net


def clip(name):
    facts = recipe.S3D_FACTS["videos"][name]
    return torch.from_numpy(recipe.video(facts["seed"], tuple(facts["shape"])))


def assert_agrees(ours, reference, tolerance=1e-4):
    error = np.abs(ours.float().numpy() - reference).max() / np.abs(reference).max()
    assert error < tolerance


def test_state_dict_is_the_published_one(net):
    shapes = {key: list(value.shape) for key, value in net.state_dict().items()}
    assert shapes == recipe.S3D_FACTS["keys"]
    assert len(shapes) == 537


@pytest.mark.parametrize("name", recipe.S3D_FACTS["videos"])
@torch.inference_mode()
def test_video_agrees_with_the_reference(net, name):
    answer = net(clip(name))
    assert set(answer) == {"video_embedding", "mixed_5c"}
    for key, value in answer.items():
        assert_agrees(value, ANSWERS[f"{key}_{name}"])


@torch.inference_mode()
def test_text_agrees_with_the_reference(net):
    prompts = recipe.S3D_FACTS["prompts"]
    assert (net.text_module.tokenize(prompts).numpy() == ANSWERS["token_ids"]).all()
    assert_agrees(net.text_module(prompts)["text_embedding"], ANSWERS["text_embedding"])


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
@torch.inference_mode()
def test_autocast_changes_similarities_little(net, dtype):
    """As the evaluator does it: weights in float32, the video network in 16 bits."""
    video = torch.from_numpy(recipe.video(2, (2, 3, 8, 64, 64)))
    text = net.text_module(recipe.S3D_FACTS["prompts"])["text_embedding"]
    plain = net(video)["video_embedding"]
    with torch.autocast("cpu", dtype):
        lower = net(video)["video_embedding"].float()
    moved = (F.normalize(lower) - F.normalize(plain)) @ F.normalize(text).T
    assert 0 < moved.abs().max() < 0.005


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
@torch.inference_mode()
def test_half_precision_changes_similarities_little(net, golden_dict, golden_state_dict, dtype):
    half = S3D(golden_dict, 512).eval()
    half.load_state_dict(golden_state_dict)
    half.to(dtype)
    video = torch.from_numpy(recipe.video(2, (2, 3, 8, 64, 64)))
    prompts = recipe.S3D_FACTS["prompts"]

    def similarities(net, video):
        video, text = net(video)["video_embedding"], net.text_module(prompts)["text_embedding"]
        assert video.dtype == text.dtype == net.fc.weight.dtype
        return F.normalize(video.float()) @ F.normalize(text.float()).T

    moved = similarities(half, video.to(dtype)) - similarities(net, video)
    assert moved.abs().max() < 0.005


def test_forward_stays_on_its_device(small_dict):
    """On the meta device, any step through the CPU or numpy raises."""
    net = S3D(small_dict, 512).eval().to("meta")
    assert net(torch.zeros(2, 3, 4, 32, 32, device="meta"))["video_embedding"].shape == (2, 512)
    assert net.text_module(["open door"])["text_embedding"].device.type == "meta"


def test_one_string_is_refused(net):
    with pytest.raises(ValueError, match="list of sentences"):
        net.text_module("open door")


@pytest.mark.parametrize(
    ("shape", "message"),
    [
        ((1, 3, 31, 224, 224), "time must be even.* 31"),
        ((1, 3, 32, 223, 224), "height must be even.* 223"),
        ((1, 3, 32, 224, 225), "width must be even.* 225"),
        ((1, 3, 0, 224, 224), "time must be even.* 0"),
        ((3, 32, 224, 224), r"\[B, 3, T, H, W\], got \[3, 32, 224, 224\]"),
        ((1, 32, 3, 224, 224), r"\[B, 3, T, H, W\], got \[1, 32, 3, 224, 224\]"),
    ],
)
def test_wrong_shapes_are_refused(net, shape, message):
    with pytest.raises(ValueError, match=message):
        net(torch.zeros(shape))


@torch.inference_mode()
def test_smallest_clip(net):
    assert net(torch.zeros(1, 3, 2, 2, 2))["video_embedding"].isfinite().all()


def test_word_table_is_as_long_as_the_dictionary_plus_one(small_dict):
    assert S3D(small_dict).state_dict()["text_module.word_embd.weight"].shape == (51, 300)
