"""Views of trajectories through a model of one line: embedded once, kept, and right."""

import numpy as np
import pytest
import torch
from make_videos import counting_frames, write_video
from test_embedding import MeanColour, Small, Untouched, no_decoder, whole

from trajeval import batches, embedding, videos
from trajeval.batches import mean_of_frames
from trajeval.cache import Cache
from trajeval.embedding import embed_trajectories, embed_videos
from trajeval.model import FrameModel
from trajeval.sources import Source
from trajeval.terminal import UserError
from trajeval.videos import VideoError
from trajeval.views import ORDERS, WHOLE, View, sample_indices, shuffle, views_of

K = 5
CURVE, REVERSED_CURVE = View(None, "prefix", K), View("reversed", "prefix", K)
VIEWS = views_of("prefix", K, None, True, None)


class Ordered(MeanColour):
    """Embeds a clip as the sum of its colours, each times its place: order matters."""

    name, resize = "ordered", staticmethod(whole)

    def embed_clips(self, frames, times):
        self.batch_sizes.append(len(frames))
        places = torch.arange(1, 1 + frames.shape[1])[:, None]
        return (frames.float().mean((2, 3)) * places).sum(1) / 100


class ByFrame(MeanColour):
    """Embeds each frame as its colour, and says so."""

    name = "by frame"

    def embed_frames(self, frames):
        self.batch_sizes.append(len(frames))
        return frames.float().mean((1, 2)) + 1

    def embed_clips(self, frames, times):
        return FrameModel.embed_clips(self, frames, times)


@pytest.fixture
def store(tmp_path):
    return Cache(tmp_path / "cache")


@pytest.fixture(scope="module")
def path(tmp_path_factory):
    """A video of 43 frames that keeps every pixel."""
    folder = tmp_path_factory.mktemp("curve")
    frames = counting_frames(43, 32, 48)
    return write_video(folder / "a.mov", frames, codec="png", pix_fmt="rgb24", fps=10)


FRAMES = counting_frames(43, 32, 48)


def embed(model, sources, views=VIEWS, cache=embedding.NO_CACHE, batch_size=None):
    return list(embed_trajectories(model, sources, batch_size, cache, views))


@pytest.mark.parametrize("batch_size", [1, 2, 64])
def test_each_point_is_a_video_cut_there(path, batch_size):
    """Prefixes equal the videos with those frames alone."""
    model = Ordered()
    answers = embed(model, [path, FRAMES[:7], FRAMES[:1]], batch_size=batch_size)
    for frames, answer in zip((FRAMES, FRAMES[:7], FRAMES[:1]), answers):
        curve = answer.views[CURVE]
        assert curve.shape == (K, 3) and curve.dtype == np.float32
        cut = embed_videos(Ordered(), [frames[: end + 1] for end in answer.ends])
        assert curve.tobytes() == cut.tobytes()
        assert curve[-1].tobytes() == answer.embedding.tobytes()
        sampled = frames[sample_indices(len(frames), 4)]
        changed = [sampled[[2] * 4], sampled[shuffle(4)], sampled[::-1]]
        for order, expected in zip(ORDERS, embed_videos(Ordered(), changed)):
            assert answer.views[View(order)][0].tobytes() == expected.tobytes()
        backwards = [frames[len(frames) - 1 - end :] for end in answer.ends]
        backwards = [part[sample_indices(len(part), 4)][::-1] for part in backwards]
        found = answer.views[REVERSED_CURVE]
        assert found.tobytes() == embed_videos(Ordered(), backwards).tobytes()
    assert answers[0].ends == [8, 17, 25, 34, 42]
    assert answers[0].end_times == pytest.approx([0.8, 1.7, 2.5, 3.4, 4.2])
    assert np.isnan(answers[1].end_times).all()


def test_nothing_is_embedded_twice(path):
    """Not the whole, which is the last prefix; not the points that a short video repeats."""
    model = Ordered()
    embed(model, [path], [WHOLE, CURVE])
    assert sum(model.batch_sizes) == K
    model = Ordered()
    embed(model, [FRAMES[:3]], [WHOLE, CURVE])
    assert sum(model.batch_sizes) == 3
    model = Ordered()
    embed(model, [FRAMES[:1]])
    assert sum(model.batch_sizes) == 1, "one frame is the same in any order"


def test_windows(path):
    window = View(None, "window", K, 0.5)
    (answer,) = embed(Ordered(), [path], [WHOLE, window])
    cut = [FRAMES[max(0, end - 4) : end + 1] for end in answer.ends]
    assert answer.views[window].tobytes() == embed_videos(Ordered(), cut).tobytes()


def test_clips_of_several_videos_share_a_batch(path, monkeypatch):
    monkeypatch.setattr(batches, "split_work", lambda _: (1, 1))
    model = Ordered()
    embed(model, [path, Source(FRAMES)], [WHOLE, CURVE], batch_size=4)
    assert model.batch_sizes == [4, 4, 2]


def test_times_are_those_of_the_places(path):
    class Times(MeanColour):
        def embed_clips(self, frames, times):
            assert times.dtype == np.float64 and times.shape == frames.shape[:2]
            return torch.from_numpy(times).float()

    (answer,) = embed(Times(), [path])
    assert answer.embedding.tolist() == pytest.approx([0, 1, 2.1, 3.2])
    for order in ORDERS:
        assert answer.views[View(order)][0].tolist() == answer.embedding.tolist()
    assert answer.views[CURVE][0].tolist() == pytest.approx([0, 0.2, 0.4, 0.6])


# Frame by frame


@pytest.mark.parametrize("batch_size", [1, 3, 64])
def test_frame_by_frame_is_the_same_and_each_frame_is_embedded_once(path, batch_size):
    model = ByFrame()
    views = views_of("prefix", K, None, True, None)
    answers = embed(model, [path, FRAMES[:3]], views, batch_size=batch_size)
    ((footage), short) = videos.read_views([path, FRAMES[:3]], [views] * 2, 4, size=32)
    assert sum(model.batch_sizes) == len(footage.frames) + 3
    assert len(short.frames) == 3
    for footage_, answer in zip((footage, short), answers):
        for view, shots in footage_.views.items():
            frames = torch.from_numpy(footage_.frames[shots.places])
            clips = model.embed_clips(frames, shots.times).numpy()
            assert np.abs(clips - answer.views[view]).max() <= 1e-6
            assert np.abs(np.linalg.norm(clips, axis=1) - 1).max() < 1e-6


def test_a_curve_of_frames_takes_at_most_three_times_a_clip(path):
    model = ByFrame(n_frames=8)
    views = views_of("prefix", 15, None, True, 2 * model.n_frames)
    (answer,) = embed(model, [path], views)
    assert sum(model.batch_sizes) <= 3 * model.n_frames
    (plain,) = embed(model, [path], [WHOLE])
    assert np.abs(answer.embedding - plain.embedding).max() <= 1e-6
    assert np.abs(answer.views[views[4]][-1] - plain.embedding).max() <= 1e-6


def test_frames_of_several_videos_share_a_batch(path, monkeypatch):
    monkeypatch.setattr(batches, "split_work", lambda _: (1, 1))
    model = ByFrame()
    embed(model, [path, FRAMES[:3], FRAMES[:30]], [WHOLE], batch_size=2)
    assert model.batch_sizes == [4 + 3, 4]


def test_frames_that_do_not_fit_together(path, monkeypatch):
    class SmallFrames(ByFrame):
        def embed_frames(self, frames):
            if len(frames) > 5:
                raise Small.error
            return super().embed_frames(frames)

    expected = embed(ByFrame(), [path])[0].views
    (answer,) = embed(SmallFrames(), [path], batch_size=4)
    assert all(np.allclose(answer.views[view], expected[view], atol=1e-6) for view in VIEWS)
    with pytest.raises(UserError, match="^not enough memory on cpu for one clip$"):
        embed(SmallFrames(n_frames=6), [path])


def test_the_mean_of_frames():
    frames = torch.tensor([[3.0, 4], [0, 2], [0, 0]])
    assert mean_of_frames(frames).tolist() == pytest.approx(
        (np.array([0.6, 1.8]) / np.hypot(0.6, 1.8)).tolist()
    )
    assert mean_of_frames(torch.zeros(5, 3, 2)).tolist() == [[0, 0]] * 5


# Errors


def test_a_clip_that_is_not_finite_is_the_videos_error(path):
    class Overflows(Ordered):
        def embed_clips(self, frames, times):
            found = super().embed_clips(frames, times)
            found[(frames[:, 0] == torch.from_numpy(FRAMES[32])).flatten(1).all(1)] = torch.nan
            return found

    answers = embed(Overflows(), [path, FRAMES[:20]])
    assert str(answers[0]) == f"{path}: its embedding has NaN or infinite values"
    assert answers[1].views.keys() == set(VIEWS)


def test_errors_keep_their_place(path, tmp_path):
    bad = tmp_path / "bad.mp4"
    bad.write_text("no video")
    window = [WHOLE, View(None, "window", K, 1.0)]
    answers = embed(Ordered(), [bad, path, FRAMES, path, bad], window, batch_size=3)
    assert [isinstance(answer, VideoError) for answer in answers] == [1, 0, 1, 0, 1]
    assert "--fps" in str(answers[2]) and "bad.mp4: is not a video" in str(answers[0])
    high = counting_frames(9, 40, 32)
    (error,) = embed(MeanColour(resize=whole), [high])
    assert str(error) == "video 0: 40 pixels are too high"


# The cache


def of(found):
    return {view: values.tobytes() for view, values in found.views.items()}


def test_views_are_kept(path, store, monkeypatch):
    listed = [path, Source(FRAMES[:9]), Source(path, 1, 3.5)]
    fresh = embed(Ordered(), listed, cache=store)
    assert not any(answer.kept or answer.partly for answer in fresh)
    monkeypatch.setattr(videos, "read_views", no_decoder)
    kept = embed(Untouched(name="ordered", resize=whole), listed, cache=store)
    for one, other in zip(fresh, kept):
        assert of(one) == of(other) and other.kept and not other.partly
        assert (one.ends, one.indices, one.warning) == (other.ends, other.indices, other.warning)
        assert one.end_times == pytest.approx(other.end_times, nan_ok=True)


def asked_of(monkeypatch):
    """A list that gets the views that are decoded, for each video."""
    asked, read_views = [], videos.read_views

    def recording(sources, views, *arguments):
        views = [list(its_views) for its_views in views]
        asked.extend(views)
        return read_views(sources, views, *arguments)

    monkeypatch.setattr(videos, "read_views", recording)
    return asked


def test_only_what_is_missing_is_decoded_and_embedded(path, store, monkeypatch):
    embed(Ordered(), [path], [WHOLE], store)
    asked = asked_of(monkeypatch)
    (answer,) = embed(Ordered(), [path], [WHOLE, CURVE], store)
    assert asked == [[CURVE]] and answer.partly and not answer.kept
    assert of(answer) == of(embed(Ordered(), [path], [WHOLE, CURVE])[0])
    asked.clear()
    (answer,) = embed(Ordered(), [path], VIEWS, store)
    assert asked == [[*map(View, ORDERS), View("shuffled", "prefix", K), REVERSED_CURVE]]
    assert of(answer) == of(embed(Ordered(), [path])[0])
    asked.clear()
    other = [WHOLE, View(None, "prefix", K + 1)]
    embed(Ordered(), [path], other, store)
    embed(Ordered(), [path], [WHOLE, View(None, "window", K, 1.0)], store)
    embed(Ordered(), [path], [WHOLE, View(None, "window", K, 2.0)], store)
    assert [views[0] for views in asked] == [
        other[1],
        *(View(None, "window", K, s) for s in (1.0, 2.0)),
    ]


def test_a_still_picture_says_so_once_kept(store):
    for _ in range(2):
        (answer,) = embed(Ordered(), [Source(FRAMES[:1])], cache=store)
        assert answer.warning == "a still picture: all 4 frames are the same"
    assert answer.kept


def test_damage_of_the_curve_alone_is_told(store, tmp_path, monkeypatch):
    path = write_video(tmp_path / "a.mp4", counting_frames(60), options={"g": "5", "bf": "0"})
    import av

    with av.open(str(path)) as container:
        spots = [(p.pos, p.size) for p in container.demux(video=0) if p.size]
    data, (at, size) = bytearray(path.read_bytes()), spots[22]
    data[at + 5 : at + size] = b"\xff" * (size - 5)
    path.write_bytes(data)
    curve = View(None, "prefix", 15)
    for _ in range(2):
        (answer,) = embed(Ordered(), [path], [WHOLE, curve], store)
        assert answer.warning.startswith("its curves and controls: damaged (")
        assert answer.length == 60 and answer.ends[-1] < 60
    assert answer.kept
    (plain,) = embed(Ordered(), [path], [WHOLE], store)
    assert plain.warning is None and plain.embedding.tobytes() == answer.embedding.tobytes()
