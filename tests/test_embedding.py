"""Clips and prompts through a model of one line."""

import hashlib
import os
import shutil
import threading
import time
from contextlib import contextmanager

import numpy as np
import pytest
import torch
from make_videos import counting_frames, write_video
from PIL import Image

from trajeval import batches, contents, embedding, videos
from trajeval.batches import normalized
from trajeval.cache import Cache
from trajeval.embedding import (
    Embedded,
    embed_prompts,
    embed_trajectories,
    embed_videos,
    similarity,
)
from trajeval.readings import Reading
from trajeval.sources import Source
from trajeval.terminal import UserError
from trajeval.videos import VideoError, read_clip


def whole(frame):
    """Leaves a frame at its own size."""
    return frame


class MeanColour:
    """Embeds a video as the mean of its pixels, [B, 3]; a prompt as its length and two zeros."""

    name, architecture, packages = "mean", "colour", ("numpy",)
    n_frames, resize, size = 4, "crop", 32
    device, precision = "cpu", "float32"
    video_network = text_network = None

    def __init__(self, **settings):
        self.weights = {"w.pth": "ab12"}
        self.batch_sizes, self.prompts = [], []
        for name, value in settings.items():
            setattr(self, name, value)

    @property
    def preparation(self):
        resize = self.resize if isinstance(self.resize, str) else self.resize.__name__
        return {"resize": resize, "size": self.size}

    def embed_clips(self, frames, times):
        self.batch_sizes.append(len(frames))
        if frames.shape[2] == 40:
            raise ValueError("40 pixels are too high")
        return frames.float().mean((1, 2, 3))

    def embed_texts(self, prompts):
        self.prompts += prompts
        return np.array([[len(prompt), 0, 0] for prompt in prompts], np.float32)

    def read_texts(self, prompts):
        return [Reading([len(prompt)], [f"length {len(prompt)}"]) for prompt in prompts]


@pytest.fixture(scope="module")
def paths(tmp_path_factory):
    folder = tmp_path_factory.mktemp("clips")
    for i in range(5):
        frames = counting_frames(6 + i, 32 + 2 * (i // 3), 32) // (i + 1)
        write_video(folder / f"{i}.mp4", frames)
    (folder / "bad.mp4").write_text("no video")
    return [folder / f"{i}.mp4" for i in range(5)]


@pytest.fixture
def store(tmp_path):
    return Cache(tmp_path / "cache")


def expected(path, resize="crop"):
    return read_clip(path, 4, resize, 32).frames.astype(np.float32).mean((0, 1, 2))


def embed(model, paths, cache=embedding.NO_CACHE, batch_size=None):
    return list(embed_trajectories(model, paths, batch_size, cache))


def same(ours, others):
    """Whether answers are equal, embeddings bit for bit."""
    return list(map(comparable, ours)) == list(map(comparable, others))


def comparable(answer):
    values = {view: found.tobytes() for view, found in answer.views.items()}
    return answer._replace(views=values, kept=False, partly=False)


def is_right(answers, paths):
    """Whether these are the right answers for the paths, in their order."""
    colours = [expected(path) for path in paths]
    return np.allclose([answer.embedding for answer in answers], colours, rtol=1e-5)


@pytest.mark.parametrize("batch_size", [None, 1, 2, 4, 100])
def test_order_and_values_are_right_at_every_batch_size(paths, batch_size):
    model = MeanColour()
    answers = embed(model, paths, batch_size=batch_size)
    assert [answer.length for answer in answers] == [6, 7, 8, 9, 10]
    assert [answer.indices for answer in answers[:2]] == [[0, 1, 3, 4], [0, 1, 3, 5]]
    assert [answer.size for answer in answers[2:4]] == [[32, 32], [32, 34]]
    for path, answer in zip(paths, answers):
        assert answer.embedding == pytest.approx(expected(path), rel=1e-5)
        assert answer.embedding.dtype == np.float32 and answer.warning is None
    assert max(model.batch_sizes) == min(batch_size or 1, 5)


def test_videos_of_one_shape_share_a_batch(paths):
    model = MeanColour(resize=whole)  # at their own size: three of 32x32, two of 34x32
    assert len(embed(model, paths, batch_size=4)) == 5
    assert sorted(model.batch_sizes) == [2, 3]


def test_errors_keep_their_place(paths, tmp_path):
    write_video(tmp_path / "high.mp4", counting_frames(3, 40, 32))
    bad = paths[0].with_name("bad.mp4")
    listed = [bad, paths[0], tmp_path / "high.mp4", tmp_path / "none.mp4", paths[1]]
    answers = embed(MeanColour(resize=whole), listed, batch_size=4)
    assert [type(answer) for answer in answers] == [
        *(VideoError, Embedded, VideoError, VideoError, Embedded)
    ]
    assert str(answers[2]) == f"{tmp_path / 'high.mp4'}: 40 pixels are too high"


def test_no_videos(store):
    assert embed(MeanColour(), [], store) == []


def test_similarity(paths):
    numbers = similarity(MeanColour(), paths, ["a", "bb"])
    assert numbers.shape == (5, 2) and numbers.dtype == np.float32
    colour = expected(paths[0])
    assert numbers[0, 0] == pytest.approx(colour[0] / np.linalg.norm(colour), abs=1e-5)
    with pytest.raises(VideoError, match=r"bad\.mp4"):
        similarity(MeanColour(), [paths[0].with_name("bad.mp4")], ["a"])


@pytest.mark.parametrize("wrong", [[], "a.mp4"])
def test_similarity_wants_a_list_of_paths(wrong):
    with pytest.raises(ValueError, match="list of at least one video"):
        similarity(MeanColour(), wrong, ["a"])


@pytest.mark.parametrize("wrong", [[], "open door"])
def test_similarity_wants_a_list_of_prompts(paths, wrong):
    with pytest.raises(ValueError, match="list of at least one prompt"):
        similarity(MeanColour(), paths, wrong)


def test_matrices_are_multiplied_at_the_precision(paths):
    class Products(MeanColour):
        def embed_clips(self, frames, times):
            colours = frames.flatten(1, 3) / 255
            products = colours.mT @ colours  # [B, 3, 3]
            self.type = products.dtype
            return products.flatten(1)

    types = {"float32": torch.float32, "tf32": torch.float32}
    types |= {"bfloat16": torch.bfloat16, "float16": torch.float16}
    for precision, dtype in types.items():
        model = Products(precision=precision)
        (answer,) = embed(model, paths[:1])
        assert model.type == dtype
        assert answer.embedding.dtype == np.float32


def test_an_overflow_is_named(paths):
    class Overflows(MeanColour):
        def embed_clips(self, frames, times):
            wrong = torch.inf if frames.shape[2] == 32 else torch.nan
            return super().embed_clips(frames, times) * torch.tensor([1, 1, wrong])

    answers = embed(Overflows(precision="float16", resize=whole), paths)
    assert str(answers[0]) == f"{paths[0]}: overflowed in float16: use --precision float32"
    assert [isinstance(answer, VideoError) for answer in answers] == [True] * 5
    for precision in ("float32", "tf32"):
        answers = embed(Overflows(precision=precision), paths[:1])
        assert str(answers[0]) == f"{paths[0]}: its embedding has NaN or infinite values"


def test_prompts_come_back_in_order():
    prompts = ["x" * (i % 7) for i in range(600)]
    embeddings, readings = embed_prompts(MeanColour(), prompts)
    assert embeddings.dtype == np.float32 and embeddings.shape == (600, 3)
    assert embeddings[:, 0].tolist() == [len(prompt) for prompt in prompts]
    assert readings == [Reading([len(prompt)], [f"length {len(prompt)}"]) for prompt in prompts]


def test_normalized():
    frames = torch.tensor([0, 51, 255], dtype=torch.uint8).expand(1, 2, 4, 6, 3)
    video = normalized(frames, (0, 0.1, 0.5), (1, 0.5, 0.25))
    assert video.shape == (1, 2, 3, 4, 6) and video.dtype == torch.float32
    assert video[0, 1, :, 2, 3].tolist() == pytest.approx([0, 0.2, 2])


# Several batches at a time.


@pytest.fixture(params=[(1, 1), (2, 1), (4, 1)], ids=lambda split: f"{split[0]} at a time")
def split(request, monkeypatch):
    monkeypatch.setattr(batches, "split_work", lambda _: request.param)


@pytest.mark.parametrize("batch_size", [1, 2, 3, 7])
@pytest.mark.usefixtures("split")
def test_order_and_values_are_right_for_several_batches_at_a_time(paths, tmp_path, batch_size):
    """Also where the first ones take longest and errors lie between."""

    class Slow(MeanColour):
        def embed_clips(self, frames, times):
            time.sleep(0.05 / (1 + len(self.batch_sizes)))
            return super().embed_clips(frames, times)

    bad = paths[0].with_name("bad.mp4")
    listed = [*paths[::-1], bad, *paths, *paths, bad]
    answers = embed(Slow(), listed, batch_size=batch_size)
    assert [isinstance(answer, VideoError) for answer in answers] == [p == bad for p in listed]
    good = [answer for answer in answers if isinstance(answer, Embedded)]
    assert is_right(good, [path for path in listed if path != bad])


@pytest.mark.usefixtures("split")
def test_the_network_is_loaded_once(paths):
    class Loads(MeanColour):
        loads, is_loaded = 0, False

        @property
        def video_network(self):
            if not self.is_loaded:
                self.loads += 1
                time.sleep(0.05)
                self.is_loaded = True

        def embed_clips(self, frames, times):
            _ = self.video_network
            return super().embed_clips(frames, times)

    model = Loads()
    embed(model, paths)
    assert model.loads == 1


def test_everything_is_computed_with_the_right_float32_products(paths, monkeypatch):
    """Prompts are always computed in float32."""
    within = []

    @contextmanager
    def products(device, precision):
        within.append((device, precision))
        try:
            yield
        finally:
            within.pop()

    class Records(MeanColour):
        def embed_clips(self, frames, times):
            seen.append(within[:])
            return super().embed_clips(frames, times)

        def embed_texts(self, prompts):
            seen.append(within[:])
            return super().embed_texts(prompts)

    for module in (batches, embedding):
        monkeypatch.setattr(module, "float32_products", products)
    seen, model = [], Records(precision="tf32")
    embed(model, paths[:1])
    embed_prompts(model, ["a"])
    assert seen == [[("cpu", "tf32")], [("cpu", "float32")]] and within == []


@pytest.mark.usefixtures("split")
def test_no_threads_are_left(paths, store):
    before = threading.active_count()
    answers = embed_trajectories(MeanColour(), paths * 4, 1, store)
    next(answers)
    answers.close()
    deadline = time.monotonic() + 10
    while threading.active_count() > before and time.monotonic() < deadline:
        time.sleep(0.01)
    assert threading.active_count() <= before


# Memory that runs out.

ALLOCATOR = "DefaultCPUAllocator: can't allocate memory: you tried to allocate 3145728 bytes."


class Small(MeanColour):
    """Runs out of memory with more than `room` clips."""

    room, error = 2, torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB.")

    def embed_clips(self, frames, times):
        if len(frames) <= self.room:
            return super().embed_clips(frames, times)
        self.batch_sizes.append(len(frames))
        raise self.error


@pytest.mark.parametrize(
    "error",
    [
        Small.error,
        RuntimeError(ALLOCATOR),
        RuntimeError("MPS backend out of memory (MPS allocated: 9.00 GB)"),
        MemoryError(),
    ],
    ids=["CUDA", "CPU", "MPS", "Python"],
)
@pytest.mark.usefixtures("split")
def test_batches_become_smaller_until_they_fit(paths, error):
    listed = paths * 4
    model = Small(error=error)
    answers = embed(model, listed, batch_size=5)
    assert is_right(answers, listed)
    assert 1 in model.batch_sizes and 2 in model.batch_sizes


def test_later_batches_are_no_larger_than_what_fitted(paths, monkeypatch):
    monkeypatch.setattr(batches, "split_work", lambda _: (1, 1))
    model = Small()
    embed(model, paths * 8, batch_size=4)  # ten batches
    too_large = [size for size in model.batch_sizes if size > 2]
    assert 1 <= len(too_large) <= 3  # those already submitted when the first did not fit
    assert max(model.batch_sizes[-10:]) == 2


def test_an_error_among_videos_does_not_make_batches_smaller(paths, monkeypatch):
    """A video that cannot be used is a batch of its own."""
    monkeypatch.setattr(batches, "split_work", lambda _: (1, 1))
    model = MeanColour()
    embed(model, [paths[0].with_name("bad.mp4"), *paths[:3] * 4], batch_size=4)
    assert model.batch_sizes == [4, 4, 4]


def test_not_even_one_clip_fits(paths):
    with pytest.raises(UserError, match="^not enough memory on cpu for one clip$"):
        embed(Small(room=0), paths, batch_size=4)


@pytest.mark.parametrize("batch_size", [1, 3])
@pytest.mark.parametrize("n_batches", [2, 4])
def test_a_clip_that_fits_only_alone(paths, monkeypatch, n_batches, batch_size):
    """While another is at work there is no memory for it."""

    class OneAtATime(MeanColour):
        working, lock, n_refused = 0, threading.Lock(), 0

        def embed_clips(self, frames, times):
            with self.lock:
                self.working += 1
            try:
                time.sleep(0.02)
                if self.working > 1 or len(frames) > 1:
                    self.n_refused += 1
                    raise Small.error
                return super().embed_clips(frames, times)
            finally:
                with self.lock:
                    self.working -= 1

    monkeypatch.setattr(batches, "split_work", lambda _: (n_batches, 1))
    model = OneAtATime()
    assert is_right(embed(model, paths * 3, batch_size=batch_size), paths * 3)
    assert model.n_refused


def test_not_even_the_network_fits(paths):
    class Large(MeanColour):
        @property
        def video_network(self):
            raise Small.error

        def embed_texts(self, prompts):
            raise RuntimeError(ALLOCATOR)

    with pytest.raises(UserError, match="^not enough memory on cpu for the network$"):
        embed(Large(), paths)
    with pytest.raises(UserError, match="^not enough memory on cpu for the prompts$"):
        embed_prompts(Large(), ["a"])


@pytest.mark.usefixtures("split")
def test_other_errors_are_raised_as_they_are(paths):
    error = RuntimeError("mat1 and mat2 shapes cannot be multiplied")
    with pytest.raises(RuntimeError) as raised:
        embed(Small(room=0, error=error), paths, batch_size=4)
    assert raised.value is error


# The cache.


class Untouched(MeanColour):
    """Fails if it is asked for anything that needs its networks."""

    @property
    def video_network(self):
        raise AssertionError("the network was loaded")

    def embed_clips(self, frames, times):
        raise AssertionError("a video was embedded")

    def embed_texts(self, prompts):
        raise AssertionError("a prompt was embedded")

    def read_texts(self, prompts):
        raise AssertionError("a prompt was read")


def no_decoder(*_):
    raise AssertionError("a video was decoded")


def test_kept_answers_are_the_fresh_ones(paths, store, tmp_path, monkeypatch):
    cut = write_video(tmp_path / "cut.mkv", counting_frames(30))
    cut.write_bytes(cut.read_bytes()[:-2000])
    listed = [*paths, cut]
    fresh = embed(MeanColour(), listed)
    assert "damaged" in fresh[5].warning and str(cut) not in fresh[5].warning
    assert same(embed(MeanColour(), listed, store), fresh)
    monkeypatch.setattr(videos, "read_views", no_decoder)
    assert same(embed(Untouched(), listed, store), fresh)
    assert store.problem is None


def test_what_is_said_of_the_content_and_the_cache(paths, store):
    """The content's hash is there without a cache, too; results are compared by it."""
    hashes = [hashlib.blake2b(path.read_bytes()).hexdigest() for path in paths]
    bad = paths[0].with_name("bad.mp4")
    for cache, kept in ((embedding.NO_CACHE, False), (store, False), (store, True)):
        *answers, error = embed(MeanColour(), [*paths, bad], cache)
        assert [answer.content for answer in answers] == hashes
        assert [answer.kept for answer in answers] == [kept] * 5
        assert isinstance(error, VideoError)


def test_a_video_that_changes_meanwhile_has_no_hash(paths, tmp_path):
    class Replaces(MeanColour):
        def embed_clips(self, frames, times):
            shutil.copy(paths[1], path)
            return super().embed_clips(frames, times)

    path = tmp_path / "a.mp4"
    shutil.copy(paths[0], path)
    (answer,) = embed(Replaces(), [path])
    assert answer.content is None and is_right([answer], paths[:1])


@pytest.mark.parametrize("wrong", [{}, {"embedding": [1.0]}, {"indices": "0"}, {"tokens": [[1]]}])
def test_entries_with_other_content_are_computed_again(paths, store, puts, wrong):
    answers = embed(MeanColour(), paths[:1], store)
    texts, readings = embed_prompts(MeanColour(), ["a"], store)
    made = [(kind, key, entry) for kind, key, entry in puts if kind in ("videos", "prompts")]
    assert len(made) == 2
    for kind, key, entry in made:
        store.put(kind, key, (entry | wrong) if wrong else {})
    assert same(embed(MeanColour(), paths[:1], store), answers)
    again, readings_again = embed_prompts(MeanColour(), ["a"], store)
    assert (again == texts).all() and readings_again == readings


def test_without_a_cache_all_is_computed_again(paths, store):
    embed(MeanColour(), paths, store)
    model = MeanColour()
    embed(model, paths)
    assert sum(model.batch_sizes) == 5


@pytest.mark.parametrize(
    "changed",
    [
        {"n_frames": 5},
        {"resize": "stretch"},
        {"size": 34},
        {"precision": "bfloat16"},
        {"precision": "tf32"},
        {"weights": {"w.pth": "cd34"}},
        {"weights": {"w.pth": "ab12", "s3d_dict.npy": "cd34"}},
        {"architecture": "color"},
        {"name": "median"},
        {"packages": ("pillow",)},
    ],
    ids=str,
)
def test_what_the_embeddings_depend_on(paths, store, changed):
    embed(MeanColour(), paths[:2], store)
    model = MeanColour(**changed)
    assert same(embed(model, paths[:2], store), embed(MeanColour(**changed), paths[:2]))
    assert sum(model.batch_sizes) == 2
    assert same(embed(Untouched(**changed), paths[:2], store), embed(model, paths[:2]))


@pytest.mark.parametrize("name", ["VERSION", "version"])
def test_other_code_has_other_embeddings(paths, store, monkeypatch, name):
    embed(MeanColour(), paths[:1], store)
    embed_prompts(MeanColour(), ["a"], store)
    monkeypatch.setattr(embedding, name, 999 if name == "VERSION" else lambda package: "999")
    model = MeanColour()
    embed(model, paths[:1], store)
    embed_prompts(model, ["a"], store)
    assert (model.batch_sizes, model.prompts) == ([1], ["a"])


def test_another_decoder_has_other_frames(paths, store, monkeypatch):
    embed(MeanColour(), paths[:1], store)
    embed_prompts(MeanColour(), ["a"], store)
    version = embedding.version
    monkeypatch.setattr(embedding, "version", lambda p: "999" if p == "av" else version(p))
    model = MeanColour()
    embed(model, paths[:1], store)
    embed_prompts(model, ["a"], store)
    assert (model.batch_sizes, model.prompts) == ([1], [])


@pytest.mark.parametrize(
    "changed",
    [{"weights": {"elsewhere/w.safetensors": "ab12"}}, {"description": "x"}],
    ids=str,
)
def test_what_they_do_not_depend_on(paths, store, changed):
    embed(MeanColour(), paths, store)
    embed_prompts(MeanColour(), ["a"], store)
    assert is_right(embed(Untouched(**changed), paths, store), paths)
    assert embed_prompts(Untouched(**changed), ["a"], store)[0].tolist() == [[1, 0, 0]]


def test_a_kind_of_device_has_its_own_entries():
    keys = [embedding.video_key(MeanColour(device=name)) for name in ("cpu", "cuda", "cuda:1")]
    assert keys[0] != keys[1] == keys[2]


def test_a_video_is_identified_by_its_content_alone(paths, store, tmp_path, monkeypatch):
    embed(MeanColour(), paths, store)
    copy = tmp_path / "other name.bin"
    shutil.copy(paths[0], copy)
    assert is_right(embed(Untouched(), [copy, str(paths[1])], store), paths[:2])
    shutil.copy(paths[3], copy)
    assert is_right(embed(Untouched(), [copy], store), paths[3:4])
    write_video(copy, counting_frames(8, 32, 32) // 7, format="mp4")
    model = MeanColour()
    assert is_right(embed(model, [copy], store), [copy])
    assert model.batch_sizes == [1]


def test_some_videos_are_kept(paths, store):
    embed(MeanColour(), paths[1::2], store)
    model = MeanColour()
    assert is_right(embed(model, paths, store, batch_size=4), paths)
    assert sum(model.batch_sizes) == 3
    assert is_right(embed(Untouched(), paths[::-1], store), paths[::-1])


def test_errors_are_not_kept(paths, store, tmp_path, monkeypatch):
    path = write_video(tmp_path / "high.mp4", counting_frames(3, 40, 32))
    error = VideoError(f"{path}: too large for the memory")
    with monkeypatch.context() as patched:
        patched.setattr(videos, "read_views", lambda *_: (found for found in [error]))
        assert embed(MeanColour(), [path], store) == [error]
    (answer,) = embed(MeanColour(resize=whole), [path], store)
    assert isinstance(answer, VideoError)

    class Larger(MeanColour):
        def embed_clips(self, frames, times):
            return frames.float().mean((1, 2, 3))

    for resize in ("crop", whole):
        (answer,) = embed(Larger(resize=resize), [path], store)
        assert answer.embedding == pytest.approx(expected(path, resize), rel=1e-5)


def test_an_overflow_is_not_kept(paths, store):
    class Overflows(MeanColour):
        def embed_clips(self, frames, times):
            return super().embed_clips(frames, times) * torch.inf

    assert isinstance(embed(Overflows(), paths[:1], store)[0], VideoError)
    assert is_right(embed(MeanColour(), paths[:1], store), paths[:1])


def test_a_video_that_changes_meanwhile_is_not_kept(paths, store, tmp_path, monkeypatch):
    """Hashed, then replaced, then decoded: the old content's entry would have the new frames."""
    path, read_views = tmp_path / "a.mp4", videos.read_views
    shutil.copy(paths[0], path)

    def read_late(*arguments):
        shutil.copy(paths[3], path)
        return read_views(*arguments)

    with monkeypatch.context() as patched:
        patched.setattr(videos, "read_views", read_late)
        assert is_right(embed(MeanColour(), [path], store), paths[3:4])
    assert is_right(embed(MeanColour(), paths, store), paths)


def test_a_video_that_is_deleted_meanwhile(paths, store, tmp_path):
    class Removes(MeanColour):
        def embed_clips(self, frames, times):
            path.unlink()
            return super().embed_clips(frames, times)

    path = tmp_path / "a.mp4"
    shutil.copy(paths[0], path)
    assert is_right(embed(Removes(), [path], store), paths[:1])
    assert isinstance(embed(MeanColour(), [path], store)[0], VideoError)
    assert store.problem is None


@pytest.mark.parametrize("done", [1, 3])
@pytest.mark.usefixtures("split")
def test_an_interrupted_run_keeps_its_results(paths, store, done):
    answers = embed_trajectories(MeanColour(), paths, 1, store)
    for _ in range(done):
        next(answers)
    answers.close()
    assert is_right(embed(Untouched(), paths[:done], store), paths[:done])
    model = MeanColour()
    assert is_right(embed(model, paths, store), paths)
    assert sum(model.batch_sizes) == 5 - done


def test_a_failed_run_keeps_its_results(paths, store, monkeypatch):
    class Fails(MeanColour):
        def embed_clips(self, frames, times):
            if len(self.batch_sizes) == 3:
                raise RuntimeError("the machine is on fire")
            return super().embed_clips(frames, times)

    monkeypatch.setattr(batches, "split_work", lambda _: (1, 1))
    with pytest.raises(RuntimeError, match="on fire"):
        embed(Fails(), paths, store)
    assert is_right(embed(Untouched(), paths[:3], store), paths[:3])


def test_only_new_prompts_are_embedded(store):
    prompts = ["aaa", "b", "cccc", ""]
    fresh = embed_prompts(MeanColour(), prompts)
    embed_prompts(MeanColour(), prompts[::2], store)
    model = MeanColour()
    for model_, embedded in ((model, ["b", ""]), (Untouched(), [])):
        embeddings, readings = embed_prompts(model_, prompts, store)
        assert embeddings.tobytes() == fresh[0].tobytes() and embeddings.dtype == np.float32
        assert readings == fresh[1] and type(readings[0]) is Reading
        assert model_.prompts == embedded


@pytest.mark.parametrize(
    ("changed", "n_embedded"),
    [
        ({"n_frames": 5, "resize": "stretch", "precision": "bfloat16"}, 0),
        ({"weights": {"w.pth": "cd34"}}, 1),
        ({"architecture": "color"}, 1),
        ({"name": "median"}, 1),
        ({"packages": ("pillow",)}, 1),
    ],
    ids=str,
)
def test_what_prompts_depend_on(store, changed, n_embedded):
    embed_prompts(MeanColour(), ["a"], store)
    model = MeanColour(**changed)
    embed_prompts(model, ["a"], store)
    assert len(model.prompts) == n_embedded


def test_every_character_of_a_prompt_counts(store):
    embed_prompts(MeanColour(), ["A ", "a", " a", "а"], store)  # the last is Cyrillic
    model = MeanColour()
    embed_prompts(model, ["A", "a"], store)
    assert model.prompts == ["A"]


# Parts, frames and arrays


@pytest.fixture(scope="module")
def long(tmp_path_factory):
    """A video of 30 frames a second that keeps every pixel, and its frames."""
    frames = counting_frames(60, 32, 48)
    path = tmp_path_factory.mktemp("long") / "long.mov"
    return write_video(path, frames, codec="png", pix_fmt="rgb24", fps=10), frames


def test_arrays_and_folders_are_embedded_as_the_video_is(long, tmp_path):
    path, frames = long
    np.save(tmp_path / "a.npy", frames)
    (tmp_path / "f").mkdir()
    for i, frame in enumerate(frames):
        Image.fromarray(frame).save(tmp_path / f"f/{i}.png")
    model = MeanColour()
    listed = [path, frames, tmp_path / "f", tmp_path / "a.npy", f"{path}#t=0,6"]
    embeddings = embed_videos(model, listed)
    assert embeddings.shape == (5, 3) and embeddings.dtype == np.float32
    assert len({embedding.tobytes() for embedding in embeddings}) == 1
    assert (similarity(model, listed, ["a", "bb"]) == similarity(model, [path], ["a", "bb"])).all()
    part = [f"{path}#t=1,3.5", frames[10:35], Source(tmp_path / "f", 1, 3.5, fps=10)]
    first, *others = embed_videos(model, part)
    assert all(other.tobytes() == first.tobytes() for other in others)
    assert first.tobytes() != embeddings[0].tobytes()


def test_the_first_array_that_cannot_be_used_is_raised(long):
    with pytest.raises(VideoError, match=r"^video 1: is float32 \[60, 32, 48, 3\], not uint8"):
        embed_videos(MeanColour(), [long[1], long[1].astype(np.float32)])
    with pytest.raises(UserError, match="END must be after START"):
        embed_videos(MeanColour(), ["a.mp4#t=2,1"])
    with pytest.raises(TypeError, match="expected a path or an array, got NoneType"):
        embed_videos(MeanColour(), [None])


def test_each_part_is_kept_by_content_start_and_end(long, store, monkeypatch, tmp_path):
    path, _ = long
    parts = [(None, None), (1, 2), (1, None), (None, 2), (1, 2.5)]
    listed = [Source(path, *part) for part in parts]
    fresh = embed(MeanColour(), listed, store)
    assert len({answer.embedding.tobytes() for answer in fresh}) == 5
    assert len({answer.content for answer in fresh}) == 1
    copy = shutil.copy(path, tmp_path / "copy.mov")
    monkeypatch.setattr(videos, "read_views", no_decoder)
    kept = embed(Untouched(), [Source(copy, *part) for part in parts], store)
    assert same(kept, fresh) and all(answer.kept for answer in kept)


def test_folders_and_arrays_are_kept_by_their_content(long, store, monkeypatch, tmp_path):
    frames = long[1][:8]
    for folder in ("a", "b"):
        (tmp_path / folder).mkdir()
        for i, frame in enumerate(frames):
            Image.fromarray(frame).save(tmp_path / folder / f"{i}.png")
    fresh = embed(MeanColour(), [tmp_path / "a", frames, Source(frames, fps=10)], store)
    assert [answer.fps for answer in fresh] == [None, None, 10]
    assert None not in [answer.content for answer in fresh]
    with monkeypatch.context() as patched:
        patched.setattr(videos, "read_views", no_decoder)
        listed = [tmp_path / "b", frames.copy(), Source(frames[:, :, ::1], fps=10)]
        kept = embed(Untouched(), listed, store)
    assert same(kept, fresh)
    # Another order, another pixel, another shape.
    (tmp_path / "b/0.png").rename(tmp_path / "b/9.png")
    other = frames.copy()
    other[7, 31, 47, 2] ^= 1
    reshaped = frames.reshape(8, 48, 32, 3)
    assert not any(a.kept for a in embed(MeanColour(), [tmp_path / "b", other, reshaped], store))
    (answer,) = embed(MeanColour(), [frames])
    assert answer.content is None, "without a cache, nobody needs the hash of an array"


def test_parts_of_a_file_are_hashed_once(long, store, monkeypatch):
    path, _ = long
    os.utime(path, (0, 0))
    monkeypatch.setattr("trajeval.cache.SETTLED", -(10**18))  # its ctime is new
    hashed, digest = [], Cache.digest_and_stamp
    monkeypatch.setattr(Cache, "digest_and_stamp", lambda *a: hashed.append(a) or digest(*a))
    parts = [f"{path}#t={i},{i + 1}" for i in range(6)]
    answers = embed(MeanColour(), parts)
    assert len(hashed) == 1 and len({answer.content for answer in answers}) == 1


def test_a_folder_is_hashed_once(long, store, monkeypatch, tmp_path):
    for i, frame in enumerate(long[1][:4]):
        Image.fromarray(frame).save(tmp_path / f"{i}.png")
    hashed, hash_file = [], contents.hash_file
    monkeypatch.setattr(contents, "hash_file", lambda *a: hashed.append(a) or hash_file(*a))
    (first,) = embed(MeanColour(), [tmp_path], store)
    assert len(hashed) == 8, "just written: hashed again after it was read"
    monkeypatch.setattr(contents, "SETTLED", -(10**18))
    for expected in (12, 12):
        (again,) = embed(MeanColour(), [tmp_path], store)
        assert again.kept and again.content == first.content and len(hashed) == expected
    Image.fromarray(long[1][5]).save(tmp_path / "2.png")
    (changed,) = embed(MeanColour(), [tmp_path], store)
    assert not changed.kept and changed.content != first.content
