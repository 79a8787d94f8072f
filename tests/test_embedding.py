"""Frames through a model, with a model small enough to see through."""

import numpy as np
import pytest
import torch
from make_videos import counting_frames, write_video

from embedding import (
    DeviceError,
    Embedded,
    choose_device,
    choose_precision,
    embed_prompts,
    embed_trajectories,
    normalized,
    similarity,
)
from videos import VideoError, read_clip


class MeanColour:
    """Embeds a video as the mean of its pixels, [B, 3]; a prompt as its length and two zeros."""

    n_frames, resize, size = 4, "crop", 32
    device, precision = torch.device("cpu"), torch.float32

    def __init__(self):
        self.batch_sizes = []

    def prepare(self, frames):
        if frames.shape[1] == 40:
            raise ValueError("40 pixels are too high")
        return torch.from_numpy(frames).float()

    def embed_videos(self, batch):
        self.batch_sizes.append(len(batch))
        return batch.mean((1, 2, 3)).numpy()

    def embed_texts(self, prompts):
        return np.array([[len(prompt), 0, 0] for prompt in prompts], np.float32)


@pytest.fixture(scope="module")
def paths(tmp_path_factory):
    folder = tmp_path_factory.mktemp("clips")
    for i in range(5):
        frames = counting_frames(6 + i, 32 + 2 * (i // 3), 32) // (i + 1)
        write_video(folder / f"{i}.mp4", frames)
    (folder / "bad.mp4").write_text("no video")
    return [folder / f"{i}.mp4" for i in range(5)]


def expected(path, resize="crop"):
    return read_clip(path, 4, resize, 32).frames.astype(np.float32).mean((0, 1, 2))


@pytest.mark.parametrize("batch_size", [None, 1, 2, 4, 100])
def test_order_and_values_hold_for_every_batch_size(paths, batch_size):
    model = MeanColour()
    answers = list(embed_trajectories(model, paths, batch_size))
    assert [answer.clip.length for answer in answers] == [6, 7, 8, 9, 10]
    for path, answer in zip(paths, answers):
        assert answer.embedding == pytest.approx(expected(path), rel=1e-5)
        assert answer.clip.frames is None
    assert max(model.batch_sizes) == min(batch_size or 1, 5)


def test_videos_of_one_shape_share_a_batch(paths):
    model = MeanColour()
    model.resize = "half"  # frames at their own size: three of 32x32, two of 34x32
    assert len(list(embed_trajectories(model, paths, 4))) == 5
    assert model.batch_sizes == [3, 2]


def test_errors_stand_in_their_place(paths, tmp_path):
    write_video(tmp_path / "high.mp4", counting_frames(3, 40, 32))
    bad = paths[0].with_name("bad.mp4")
    model = MeanColour()
    model.resize = "half"
    listed = [bad, paths[0], tmp_path / "high.mp4", tmp_path / "none.mp4", paths[1]]
    answers = list(embed_trajectories(model, listed, 4))
    assert [type(answer) for answer in answers] == [
        *(VideoError, Embedded, VideoError, VideoError, Embedded)
    ]
    assert str(answers[2]) == f"{tmp_path / 'high.mp4'}: 40 pixels are too high"


def test_no_videos():
    assert list(embed_trajectories(MeanColour(), [], 4)) == []


def test_similarity(paths):
    numbers = similarity(MeanColour(), paths, ["a", "bb"])
    assert numbers.shape == (5, 2) and numbers.dtype == np.float32
    colour = expected(paths[0])
    assert numbers[0, 0] == pytest.approx(colour[0] / np.linalg.norm(colour), abs=1e-5)
    with pytest.raises(VideoError, match=r"bad\.mp4"):
        similarity(MeanColour(), [paths[0].with_name("bad.mp4")], ["a"])


@pytest.mark.parametrize("wrong", [[], "a.mp4"])
def test_similarity_wants_a_list_of_paths(wrong):
    with pytest.raises(ValueError, match="list of at least one path"):
        similarity(MeanColour(), wrong, ["a"])


def test_devices():
    assert choose_device("cpu").type == "cpu"
    assert choose_device("auto").type in ("cpu", "cuda", "mps")
    with pytest.raises(DeviceError, match="no such device: gpu"):
        choose_device("gpu")
    with pytest.raises(DeviceError, match="cuda"):
        choose_device(f"cuda:{torch.cuda.device_count()}")


@pytest.mark.parametrize(
    ("device", "capability", "expected"),
    [
        ("cpu", None, torch.float32),
        ("mps", None, torch.float32),
        ("cuda", (6, 1), torch.float32),
        ("cuda", (7, 0), torch.float16),
        ("cuda:1", (8, 6), torch.bfloat16),
        ("cuda", (9, 0), torch.bfloat16),
    ],
)
def test_automatic_precision(monkeypatch, device, capability, expected):
    monkeypatch.setattr(torch.cuda, "get_device_capability", lambda _: capability)
    assert choose_precision("auto", torch.device(device)) == expected
    assert choose_precision("float32", torch.device(device)) == torch.float32


def test_matrices_are_multiplied_at_the_precision(paths):
    class Products(MeanColour):
        def embed_videos(self, batch):
            products = batch.flatten(1, 3).mT @ batch.flatten(1, 3)  # [B, 3, 3]
            self.type = products.dtype
            return products.flatten(1).float().numpy()

    model = Products()
    for model.precision in (torch.float32, torch.bfloat16, torch.float16):
        list(embed_trajectories(model, paths[:1]))
        assert model.type == model.precision


def test_an_overflow_is_named(paths):
    class Overflows(MeanColour):
        precision = torch.float16

        def embed_videos(self, batch):
            return super().embed_videos(batch) * [1, 1, np.inf if batch.shape[2] == 32 else 1]

    answers = list(embed_trajectories(Overflows(), paths))
    assert str(answers[0]) == f"{paths[0]}: too much for float16: give --precision float32"
    assert [isinstance(answer, VideoError) for answer in answers] == [True] * 5


def test_prompts_come_back_in_order():
    prompts = ["x" * (i % 7) for i in range(600)]
    embeddings = embed_prompts(MeanColour(), prompts)
    assert embeddings[:, 0].tolist() == [len(prompt) for prompt in prompts]


def test_normalized():
    video = normalized(np.full((2, 4, 6, 3), [0, 51, 255], np.uint8), (0, 0.1, 0.5), (1, 0.5, 0.25))
    assert video.shape == (2, 3, 4, 6) and video.dtype == torch.float32
    assert video[1, :, 2, 3].tolist() == pytest.approx([0, 0.2, 2])
