"""The fast network against the plain one."""

import numpy as np
import pytest
import recipe
import torch
import torch.nn.functional as F
from hypothesis import example, given, settings
from hypothesis import strategies as st

from s3dg import S3D
from s3dg_inference import S3DInference

ANSWERS = np.load(recipe.GOLDEN / "s3d.npz")


@pytest.fixture(scope="module")
def plain(small_weights):
    net = S3D(small_weights / "s3d_dict.npy", 512).eval()
    net.load_state_dict(torch.load(small_weights / "weights.pth", weights_only=True))
    return net.requires_grad_(False)


@pytest.fixture(scope="module")
def fast(plain):
    return S3DInference(plain, torch.float32, "cpu")


def random_frames(*shape, seed=0):
    """uint8 [B, T, H, W, 3], noise, so that any shift or cut shows."""
    frames = np.random.default_rng(seed).integers(0, 256, (*shape, 3), np.uint8)
    return torch.from_numpy(frames)


def of_plain(net, frames):
    with torch.inference_mode():
        return net(frames.movedim(4, 1).float() / 255)["video_embedding"]


def of_fast(net, frames):
    with torch.inference_mode():
        return net(frames)


def error(ours, reference):
    """The largest difference, relative to the largest value."""
    ours, reference = (np.asarray(values, np.float32) for values in (ours, reference))
    assert ours.shape == reference.shape
    return np.abs(ours - reference).max() / np.abs(reference).max()


@pytest.mark.parametrize(
    "shape",
    [
        (2, 2, 200, 200),
        (1, 16, 202, 210),
        (1, 4, 36, 50),  # odd at every halving
        (1, 6, 34, 66),
        (2, 10, 14, 22),
        (1, 2, 2, 2),
        (3, 2, 2, 130),
        (1, 32, 4, 2),
    ],
    ids=str,
)
def test_it_is_the_plain_network(plain, fast, shape):
    frames = random_frames(*shape)
    assert error(of_fast(fast, frames), of_plain(plain, frames)) < 1e-4


EVEN = st.integers(1, 24).map(lambda n: 2 * n)


@settings(max_examples=40)
@given(b=st.integers(1, 3), t=st.integers(1, 6).map(lambda n: 2 * n), h=EVEN, w=EVEN, seed=EVEN)
@example(b=1, t=4, h=4, w=4, seed=0)
@example(b=2, t=2, h=48, w=2, seed=0)
def test_it_is_the_plain_network_at_every_size(plain, fast, b, t, h, w, seed):
    frames = random_frames(b, t, h, w, seed=seed)
    assert error(of_fast(fast, frames), of_plain(plain, frames)) < 1e-4


@pytest.mark.parametrize("value", [0, 255])
def test_one_colour(plain, fast, value):
    """Extremes: with zeros only the biases remain, and padding must not win any maximum."""
    frames = torch.full((1, 4, 36, 50, 3), value, dtype=torch.uint8)
    assert error(of_fast(fast, frames), of_plain(plain, frames)) < 1e-4


@pytest.mark.parametrize("name", recipe.S3D_FACTS["videos"])
def test_it_agrees_with_the_reference(fast, name):
    video = torch.from_numpy(recipe.video(**recipe.S3D_FACTS["videos"][name]))
    frames = (255 * video).movedim(1, 4)
    assert error(of_fast(fast, frames), ANSWERS[f"video_embedding_{name}"]) < 1e-4


def test_a_batch_equals_its_clips(fast):
    frames = random_frames(4, 4, 36, 50)
    together = of_fast(fast, frames)
    alone = torch.cat([of_fast(fast, frames[i : i + 1]) for i in range(4)])
    assert error(together, alone) < 1e-5
    assert error(alone, alone.flip(0)) > 0.01  # the clips do differ


def test_frames_of_any_type_and_in_any_order_of_memory(fast):
    frames = random_frames(2, 4, 36, 50)
    answer = of_fast(fast, frames)
    assert error(of_fast(fast, frames.float()), answer) < 1e-6
    elsewhere = frames.permute(4, 3, 0, 2, 1).contiguous().permute(2, 4, 3, 1, 0)
    assert error(of_fast(fast, elsewhere), answer) < 1e-6


def test_frames_are_not_changed(fast):
    frames = random_frames(1, 2, 32, 32).float()
    before = frames.clone()
    of_fast(fast, frames)
    assert torch.equal(frames, before)


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_half_precision_changes_similarities_little(plain, dtype):
    video = torch.from_numpy(recipe.video(2, (2, 3, 8, 64, 64)))
    frames = (255 * video).movedim(1, 4)
    answer = of_fast(S3DInference(plain, dtype, "cpu"), frames)
    assert answer.dtype == dtype
    with torch.inference_mode():
        text = plain.text_module(["open door", "cut tomato", "w1 w2"])["text_embedding"]
    moved = F.normalize(answer.float()) - F.normalize(of_plain(plain, frames))
    assert 0 < (moved @ F.normalize(text).T).abs().max() < 0.005


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_the_plain_network_is_not_changed(small_weights, dtype):
    net = S3D(small_weights / "s3d_dict.npy", 512).eval()
    net.load_state_dict(torch.load(small_weights / "weights.pth", weights_only=True))
    before = {key: value.clone() for key, value in net.state_dict().items()}
    strides = {key: value.stride() for key, value in net.state_dict().items()}
    of_fast(S3DInference(net, dtype, "cpu"), random_frames(1, 2, 32, 32))
    after = net.state_dict()
    assert list(after) == list(before)
    for key, value in after.items():
        assert value.dtype == before[key].dtype and value.stride() == strides[key]
        assert torch.equal(value, before[key])
    assert {p.dtype for p in net.parameters()} == {torch.float32}


def test_it_shares_nothing_with_the_plain_network(plain, fast):
    ours = {p.untyped_storage().data_ptr() for p in fast.parameters()}
    assert ours.isdisjoint(p.untyped_storage().data_ptr() for p in plain.parameters())


def test_it_stays_on_its_device(plain):
    """On the meta device, any step through the CPU or numpy raises."""
    net = S3DInference(plain, torch.bfloat16, "meta")
    answer = net(torch.zeros((2, 4, 36, 50, 3), dtype=torch.uint8, device="meta"))
    assert (answer.shape, answer.device.type, answer.dtype) == ((2, 512), "meta", torch.bfloat16)


@pytest.mark.parametrize(
    ("shape", "message"),
    [
        ((1, 31, 32, 32, 3), "time must be even.* 31"),
        ((1, 2, 33, 32, 3), "height must be even.* 33"),
        ((1, 2, 32, 35, 3), "width must be even.* 35"),
        ((1, 0, 32, 32, 3), "time must be even.* 0"),
        ((1, 2, 32, 32, 4), "expected "),
        ((1, 3, 2, 32, 32), "expected "),
        ((2, 32, 32, 3), "expected "),
        ((32, 32, 3), "expected "),
        ((1, 1, 2, 32, 32, 3), "expected "),
    ],
    ids=str,
)
def test_wrong_shapes_are_refused(fast, shape, message):
    with pytest.raises(ValueError, match=message):
        fast(torch.zeros(shape))
