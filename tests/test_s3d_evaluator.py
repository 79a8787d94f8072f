"""S3D from the command line and from Python."""

import csv
import json
import os
import shutil
import subprocess
import sys
import threading
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from conftest import write
from make_videos import counting_frames, write_video
from safetensors.torch import save_file

import s3d_evaluator
from s3d_evaluator import S3DModel, half
from s3dg import S3D
from trajeval import download, evaluator
from trajeval.arguments import check_arguments, check_inputs
from trajeval.cache import Cache
from trajeval.readings import warnings
from trajeval.similarity import cosine_similarity
from trajeval.terminal import UserError
from trajeval.videos import VideoError, read_clip
from trajeval.weights import sha256

ROOT = Path(__file__).parent.parent


@pytest.fixture(scope="module")
def model(small_weights):
    return S3DModel.load(small_weights / "weights.pth", device="cpu", n_frames=4, size=200)


@pytest.fixture(scope="module")
def clip_paths(tmp_path_factory):
    folder = tmp_path_factory.mktemp("clips")
    for i, shape in enumerate([(9, 64, 96), (2, 96, 64), (30, 64, 64)]):
        write_video(folder / f"{i}.mp4", counting_frames(*shape))
    return [folder / f"{i}.mp4" for i in range(3)]


def test_similarity_is_that_of_the_bare_network(model, small_weights, clip_paths):
    prompts = ["open door", "cut tomato"]
    ours = model.similarity(clip_paths, prompts)
    net = S3D(small_weights / "s3d_dict.npy", 512)
    net.load_state_dict(torch.load(small_weights / "weights.pth", weights_only=True))
    net.eval()
    frames = np.stack([read_clip(path, 4, "crop", 200).frames for path in clip_paths])
    video = torch.from_numpy(frames).permute(0, 4, 1, 2, 3).float() / 255
    with torch.inference_mode():
        videos = net(video)["video_embedding"]
        texts = net.text_module(prompts)["text_embedding"]
    assert ours.shape == (3, 2) and ours.dtype == np.float32
    assert ours == pytest.approx((F.normalize(videos) @ F.normalize(texts).T).numpy(), abs=1e-5)


def test_similarity_names_the_bad_video(model, clip_paths):
    with pytest.raises(VideoError, match=r"none\.mp4"):
        model.similarity([clip_paths[0], "none.mp4"], ["open door"])


def test_frames_are_scaled_to_what_the_network_takes(model):
    frames = torch.tensor([0, 51, 255], dtype=torch.uint8).expand(1, 4, 200, 200, 3)
    video = torch.tensor([0, 0.2, 1]).view(1, 3, 1, 1, 1).expand(1, 3, 4, 200, 200)
    with torch.inference_mode():
        ours, plain = model.embed_clips(frames, None), model.network(video)["video_embedding"]
    assert ours.dtype == torch.float32
    assert ours.numpy() == pytest.approx(plain.numpy(), abs=1e-4 * plain.abs().max().item())


def test_half_is_what_the_original_script_did(clip_paths):
    frames = read_clip(clip_paths[0], 4, lambda frame: frame).frames
    assert frames.shape == (4, 64, 96, 3)
    original = torch.from_numpy(frames).permute(0, 3, 1, 2).float() / 255
    original = F.interpolate(original, mode="bicubic", scale_factor=0.5)
    original = torch.clamp(original, 0, 1).permute(1, 0, 2, 3)
    ours = read_clip(clip_paths[0], 4, half).frames
    assert ours.shape == (4, 32, 48, 3) and ours.dtype == np.float32
    assert ours.min() == 0 and ours.max() == 255  # beyond which bicubic goes
    assert np.abs(ours.transpose(3, 0, 1, 2) / 255 - original.numpy()).max() < 1e-6


@pytest.mark.parametrize("resize", ["crop", "stretch", "half"])
def test_frames_in_memory_give_the_numbers_of_a_lossless_file(small_weights, tmp_path, resize):
    """Bit for bit, in float32 on a CPU."""
    settings = {"device": "cpu", "n_frames": 4, "resize": resize}
    if resize != "half":
        settings["size"] = 200
    model = S3DModel.load(small_weights / "weights.pth", **settings)
    frames = counting_frames(11, 400, 448)
    path = tmp_path / "a.mp4"
    write_video(path, frames, codec="libx264rgb", pix_fmt="rgb24", options={"qp": "0"}, fps=10)
    np.save(tmp_path / "a.npy", frames)
    prompts = ["open door", "a"]
    files = model.similarity([path, f"{path}#t=0.2,0.8"], prompts)
    assert (model.similarity([frames, frames[2:8]], prompts) == files).all()
    assert (model.similarity([tmp_path / "a.npy"], prompts) == files[:1]).all()
    videos, texts = model.embed_videos([frames, frames[2:8]]), model.embed_prompts(prompts)
    assert videos.shape == texts.shape == (2, 512)
    assert videos.dtype == texts.dtype == np.float32
    assert (cosine_similarity(videos, texts) == files).all()


def test_halves_are_what_the_network_gets(small_weights, clip_paths):
    model = S3DModel.load(small_weights / "weights.pth", device="cpu", n_frames=4, resize="half")
    frames = torch.from_numpy(read_clip(clip_paths[0], 4, model.resize).frames)[None]
    video = frames.permute(0, 4, 1, 2, 3) / 255
    with torch.inference_mode():
        ours, plain = model.embed_clips(frames, None), model.network(video)["video_embedding"]
    assert ours.numpy() == pytest.approx(plain.numpy(), abs=1e-4 * plain.abs().max().item())


@pytest.mark.parametrize("shape", [(12, 8), (64, 96), (364, 500)])
def test_halves_are_those_of_all_frames_at_once(shape):
    """Bit for bit, as a frame at a time takes a quarter of the memory for the same numbers."""
    frames = np.random.default_rng(0).integers(0, 256, (6, *shape, 3), np.uint8)
    video = torch.from_numpy(frames).movedim(3, 1).float()
    video = F.interpolate(video, scale_factor=0.5, mode="bicubic").clamp(0, 255).movedim(1, 3)
    assert np.array_equal(np.stack([half(frame) for frame in frames]), video.numpy())


@pytest.mark.parametrize("size", [(66, 2), (4, 66), (2, 2), (0, 4), (6, 4)])
def test_halves_must_be_even(size):
    height, width = size
    message = f"half of its size is {width // 2}x{height // 2}, and S3D needs even sides"
    with pytest.raises(ValueError, match=message):
        half(np.zeros((height, width, 3), np.uint8))


def test_a_video_whose_half_is_odd_is_named(small_weights, tmp_path):
    model = S3DModel.load(small_weights / "weights.pth", device="cpu", n_frames=4, resize="half")
    path = write_video(tmp_path / "odd.mp4", counting_frames(4, 66, 96))
    with pytest.raises(VideoError, match=r"odd\.mp4: half of its size is 48x33, and S3D needs"):
        model.similarity([path], ["open door"])


def test_what_the_network_will_not_see(model):
    prompts = ["open door", "zzz open", "Door open", "?!", "dog " * 18]
    readings = model.read_texts(prompts)
    assert [reading.unseen for reading in readings] == [
        [],
        ["ignored, as not in the dictionary: zzz"],
        [],
        ["none of its words is in the dictionary: its scores mean nothing"],
        ["only its first 16 words are used; cut off: dog dog"],
    ]
    messages = warnings(prompts, readings)
    assert [len(m) for m in messages] == [0, 1, 1, 1, 1]
    assert messages[2] == ['indistinguishable to the model from "open door"']


def test_the_warning_of_same_words_is_true(model):
    """Equal tokens in any order and number give equal embeddings, unless all slots are full."""
    prompts = ["open door", "door open door", "open " * 15 + "door"]
    messages = warnings(prompts, model.read_texts(prompts))
    assert [bool(m) for m in messages] == [False, True, False]
    embeddings = model.embed_texts(prompts)
    assert (embeddings[0] == embeddings[1]).all()
    assert (embeddings[0] != embeddings[2]).any()


def test_a_reading_is_what_the_embedding_depends_on(model):
    """Also for prompts that are read separately, as those in the cache were."""
    tokens = [model.read_texts([prompt])[0].tokens for prompt in ("open door", "Door, open!")]
    assert tokens[0] == tokens[1] and all(type(token) is int for token in tokens[0])


def test_constructing_reads_nothing():
    """A missing file is not even looked for."""
    model = S3DModel("none.pth", "none.npy", device="cpu", n_frames=4, size=200)
    assert model.description == "S3D, none.pth" and model.n_frames == 4
    assert model.preparation == {"resize": "crop", "size": 200}


def problems_of(*arguments):
    """What is wrong with a command line, beyond its lists and name, which are missing."""
    with pytest.raises(UserError) as raised:
        check_inputs(*check_arguments(S3DModel, "", list(map(str, arguments))))
    return raised.value.problems[:-4]


@pytest.mark.parametrize("size", ["62", "514", "113", "x", ""])
def test_sizes_that_are_not_taken(small_weights, size):
    path = small_weights / "weights.pth"
    (problem,) = problems_of("--model-checkpoint-path", path, "--size", size)
    shown = size or "''"
    assert problem == f"--size {shown}: takes an even number from 64 to 512"


@pytest.mark.parametrize(
    ("size", "is_usual"), [(64, False), (198, False), (200, True), (256, True), (258, False)]
)
def test_sizes_that_the_weights_were_not_trained_at(small_weights, size, is_usual):
    path = small_weights / "weights.pth"
    assert problems_of("--model-checkpoint-path", path, "--size", size) == []
    told = f"--size {size}: the published weights were trained at 200 to 256 pixels"
    assert S3DModel(path, size=size).warnings == ([] if is_usual else [told])
    assert S3DModel(path, resize="half").warnings == []


def test_demo_weights_by_path_have_their_own_size():
    model = S3DModel(**demo_weights())
    assert model.preparation == {"resize": "crop", "size": 112} and model.warnings == []
    model = S3DModel(**demo_weights(), size=224)
    assert model.warnings == ["--size 224: the demo's weights were trained at 112 pixels"]
    assert S3DModel().preparation == {"resize": "crop", "size": 224}


@pytest.mark.parametrize(
    ("path", "message"),
    [
        ("", "--model-checkpoint-path '': takes a path"),
        ("/", "/ is a folder, not a file."),
        (".", ". is a folder, not a file."),
    ],
)
def test_paths_without_a_name(path, message):
    assert message in problems_of("--model-checkpoint-path", path)
    assert problems_of("--size", 200, "--resize", "half") == [
        "--size: cannot be combined with --resize half"
    ]


def test_networks_are_loaded_when_they_are_needed(small_weights, monkeypatch):
    model = S3DModel(small_weights / "weights.pth", device="cpu")
    assert {"network", "video_network", "text_network"}.isdisjoint(vars(model))
    monkeypatch.setattr(S3DModel, "video_network", None)
    model.embed_texts(["open door"])
    assert "network" in vars(model)


def test_the_text_network_is_kept(small_weights, tmp_path):
    def embeddings():
        model = S3DModel(small_weights / "weights.pth", device="cpu", cache=Cache(tmp_path))
        return model.embed_texts(["open door", "cut tomato"]), "network" in vars(model)

    (fresh, loaded), (again, loaded_again) = embeddings(), embeddings()
    assert loaded and not loaded_again and (fresh == again).all()
    for part in (2, 3):
        for data in tmp_path.glob("segments/*.data"):
            content = bytearray(data.read_bytes())
            content[len(content) // part] ^= 1  # of the network, where it is in there
            data.write_bytes(content)
        third, loaded = embeddings()
        assert loaded and (fresh == third).all()


@pytest.mark.parametrize("path", ["", "/", ".."])
def test_paths_that_name_no_file(path):
    with pytest.raises(UserError, match="is a folder, not a file"):
        _ = S3DModel(path, device="cpu").weights


@pytest.mark.parametrize("name", ["weights.pth", "s3d_dict.npy"])
@pytest.mark.parametrize("kept", [False, True])
def test_files_replaced_between_hashing_and_loading(small_weights, tmp_path, puts, name, kept):
    """Otherwise results of the new weights would be kept under the old ones' hash."""
    folder = tmp_path / "weights"
    shutil.copytree(small_weights, folder)
    cache = Cache(tmp_path / "cache")
    if kept:
        S3DModel(folder / "weights.pth", device="cpu", cache=cache).embed_texts(["open door"])
    model = S3DModel(folder / "weights.pth", device="cpu", cache=cache)
    _ = model.weights
    shutil.copy(small_weights / name, folder / "new")
    (folder / "new").replace(folder / name)
    message = f"{name} changed while it was being loaded: run again"
    with pytest.raises(UserError, match=message):
        model.embed_texts(["open door"])
    with pytest.raises(UserError, match=message):
        _ = model.network
    assert ("text_networks" in [put[0] for put in puts]) == kept


def test_wrong_files_are_reported_when_they_are_needed(small_weights, tmp_path):
    """Missing files when they are hashed."""
    torch.save({"fc.weight": torch.zeros(512, 1024)}, tmp_path / "w.pth")
    model = S3DModel(tmp_path / "w.pth", small_weights / "s3d_dict.npy", device="cpu")
    for _ in range(2):
        with pytest.raises(UserError, match=r"w\.pth does not fit S3D"):
            _ = model.video_network
    with pytest.raises(UserError, match=r"none\.pth does not exist"):
        _ = S3DModel(tmp_path / "none.pth", device="cpu").weights


def test_text_and_video_networks_are_independent(small_weights, clip_paths):
    """Whichever is built first, and at any precision of the videos."""
    path, answers = small_weights / "weights.pth", []
    for precision, names in (
        ("float32", ("text_network", "video_network")),
        ("float32", ("video_network", "text_network")),
        ("bfloat16", ("video_network", "text_network")),
    ):
        model = S3DModel(path, device="cpu", n_frames=2, size=200, precision=precision)
        _ = [getattr(model, name) for name in names]
        answers.append(model.similarity(clip_paths[:1], ["open door", "cut tomato"]))
    assert (answers[0] == answers[1]).all()
    assert 0 < np.abs(answers[2] - answers[0]).max() < 0.005


@pytest.mark.parametrize("kind", ["old", "new", "safetensors"])
def test_every_format_loads(small_weights, tmp_path, kind):
    state = torch.load(small_weights / "weights.pth", weights_only=True)
    path = tmp_path / "weights.bin"
    if kind == "safetensors":
        save_file(state, path)
    else:
        torch.save(state, path, _use_new_zipfile_serialization=kind == "new")
    model = S3DModel.load(path, small_weights / "s3d_dict.npy", device="cpu")
    loaded = model.network.state_dict()
    assert all(torch.equal(loaded[key], value) for key, value in state.items())
    assert model.weights == {
        str(path): sha256(path),
        str(small_weights / "s3d_dict.npy"): sha256(small_weights / "s3d_dict.npy"),
    }


def test_a_dictionary_of_another_checkpoint(small_weights, tmp_path):
    np.save(tmp_path / "d.npy", np.array(["open", "door"]))
    with pytest.raises(UserError, match=r"d\.npy does not belong to .*it has 2 words.*for 100"):
        S3DModel.load(small_weights / "weights.pth", tmp_path / "d.npy")


def test_weights_with_nan(small_weights, tmp_path):
    state = torch.load(small_weights / "weights.pth", weights_only=True)
    state["fc.bias"][3] = torch.nan
    torch.save(state, tmp_path / "w.pth")
    with pytest.raises(UserError, match=r"w\.pth: fc\.bias holds NaN or infinite values"):
        S3DModel.load(tmp_path / "w.pth", small_weights / "s3d_dict.npy")


def test_a_missing_or_wrong_dictionary(small_weights, tmp_path):
    shutil.copy(small_weights / "weights.pth", tmp_path / "w.pth")
    with pytest.raises(UserError, match=r"s3d_dict\.npy does not exist\.\n.*published at"):
        S3DModel.load(tmp_path / "w.pth")
    (tmp_path / "s3d_dict.npy").write_text("words")
    with pytest.raises(UserError, match=r"s3d_dict\.npy: not a dictionary"):
        S3DModel.load(tmp_path / "w.pth")


def test_a_checkpoint_of_another_network(small_weights, tmp_path):
    torch.save({"fc.weight": torch.zeros(512, 1024), "new": torch.zeros(1)}, tmp_path / "w.pth")
    with pytest.raises(UserError, match=r"(?s)w\.pth does not fit S3D.*536 missing.*1 unknown"):
        S3DModel.load(tmp_path / "w.pth", small_weights / "s3d_dict.npy")


def test_original_snippet_works_as_written(small_weights, tmp_path):
    """The snippet in docs/python.md, run in a folder with the files."""
    text = (ROOT / "docs/python.md").read_text(encoding="utf-8")
    snippet = next(block for block in text.split("```python\n") if "th.load" in block)
    (tmp_path / "checkpoints").mkdir()
    shutil.copy(small_weights / "weights.pth", tmp_path / "checkpoints/s3d_howto100m.pth")
    shutil.copy(small_weights / "s3d_dict.npy", tmp_path / "checkpoints/s3d_dict.npy")
    done = subprocess.run(
        [sys.executable, "-c", snippet.split("```")[0]],
        cwd=tmp_path,
        env=os.environ | {"PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr


# --- the published files, from a server on loopback


class Quiet(SimpleHTTPRequestHandler):
    def log_message(self, *_):
        pass


@pytest.fixture
def server(tmp_path, monkeypatch, small_weights, clip_paths):
    """Serves tmp_path/published in place of the published address; the folder of the scripts is
    tmp_path/project, and the current one."""
    published, project = tmp_path / "published", tmp_path / "project"
    published.mkdir()
    for name in ("pyproject.toml", "s3dg.py"):
        write(project / name)
    monkeypatch.setattr(download, "project_folder", lambda: project)
    monkeypatch.chdir(project)
    Path("t.txt").write_text(f"{clip_paths[0]}\n")
    Path("p.txt").write_text("open door\n")
    shutil.copy(small_weights / "weights.pth", published / "s3d_howto100m.pth")
    shutil.copy(small_weights / "s3d_dict.npy", published / "s3d_dict.npy")
    sizes = {f.name: f.stat().st_size for f in published.iterdir()}
    monkeypatch.setattr(s3d_evaluator, "PUBLISHED_BYTES", sizes)
    monkeypatch.setenv("no_proxy", "*")
    httpd = ThreadingHTTPServer(("127.0.0.1", 0), partial(Quiet, directory=published))
    monkeypatch.setattr(s3d_evaluator, "URL", f"http://127.0.0.1:{httpd.server_port}/")
    threading.Thread(target=httpd.serve_forever, daemon=True).start()
    yield published
    httpd.shutdown()


def run_here(*arguments):
    lists = ["-t", "t.txt", "-p", "p.txt", "-e", "exp", "--n-frames", "2", "--size", "200"]
    return evaluator.main(S3DModel, "", [*lists, *arguments])


def test_missing_published_files_are_downloaded_once(server, capsys):
    assert run_here() == 0
    out, err = capsys.readouterr()
    assert out == "evaluation_results/exp.png\n"
    assert err.count("downloading ") == 2
    assert sorted(path.name for path in Path("checkpoints").iterdir()) == [
        *("s3d_dict.npy", "s3d_howto100m.pth")
    ]
    assert run_here() == 0
    assert "downloading" not in capsys.readouterr().err


def test_a_failed_download_is_one_clear_message(server, capsys):
    (server / "s3d_dict.npy").unlink()
    assert run_here() == 2
    out, err = capsys.readouterr()
    assert out == "" and "Traceback" not in err
    assert "checkpoints/s3d_dict.npy is missing and could not be downloaded: " in err
    assert "the server answered 404" in err
    assert "curl -fL --create-dirs -o checkpoints/s3d_dict.npy http://127.0.0.1:" in err
    # what came whole stays
    assert [path.name for path in Path("checkpoints").iterdir()] == ["s3d_howto100m.pth"]
    assert not Path("evaluation_results").exists()


def test_a_page_in_place_of_the_weights(server, capsys):
    size = s3d_evaluator.PUBLISHED_BYTES[s3d_evaluator.CHECKPOINT]
    (server / "s3d_howto100m.pth").write_bytes(b"<html>".ljust(size))
    assert run_here() == 2
    assert "the server sent a web page (HTML)" in capsys.readouterr().err
    assert list(Path("checkpoints").iterdir()) == []


def test_a_published_file_of_another_size(server, capsys):
    Path("checkpoints").mkdir()
    Path("checkpoints/s3d_dict.npy").write_text("half")
    assert run_here() == 2
    err = capsys.readouterr().err
    assert "checkpoints/s3d_dict.npy has 4 bytes, and the published file has " in err
    assert "delete it and run again" in err and "downloading" not in err
    assert Path("checkpoints/s3d_dict.npy").read_text() == "half"


def test_given_paths_are_never_downloaded(server, capsys):
    assert run_here("--model-checkpoint-path", "mine.pth") == 2
    err = capsys.readouterr().err
    assert "mine.pth does not exist" in err and "downloading" not in err


# --- the demo


@pytest.fixture(scope="module")
def demo(tmp_path_factory):
    out = tmp_path_factory.mktemp("out")
    command = [
        sys.executable,
        "s3d_evaluator.py",
        "--demo",
        "-o",
        out,
        "--device",
        "cpu",
        "--no-cache",
    ]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert done.stdout == f"{out / 'demo.png'}\n"
    assert "warning" not in done.stderr
    assert done.stderr.splitlines()[-1].startswith("S3D with the demo's weights tells ")
    return out / "demo"


def test_demo_shows_its_diagonal(demo):
    """For the first take and the first prompt of each behaviour, and for all of them."""
    numbers = np.load(demo / "similarities.npy")
    assert numbers.shape == (36, 36)
    assert (numbers[::3, ::3].argmax(1) == np.arange(12)).sum() >= 11
    metrics = json.loads((demo / "metrics.json").read_text())
    assert metrics["metrics"]["top1"]["value"] >= 0.9


def test_demo_rows_and_columns_stand_in_one_order(demo):
    with open(demo / "similarities.csv", newline="", encoding="utf-8") as file:
        header, *rows = csv.reader(file)
    prompts = (ROOT / "prompts/cheetah_prompts.txt").read_text().splitlines()
    assert header[2:] == [prompt for prompt in prompts if prompt[0] not in "#["]
    assert len({row[0] for row in rows}) == 36


def test_demo_says_that_it_is_one(demo):
    run = json.loads((demo / "run.json").read_text())
    assert run["weights"][0]["path"].endswith("s3d_cheetah_demo.safetensors")
    assert run["n_frames"] == 32 and run["size"] == 112
    model = S3DModel.load(**demo_weights(), device="cpu")
    assert "demo's weights" in model.description


def test_demo_weights_are_the_published_network():
    state = S3DModel.load(**demo_weights(), device="cpu").network.state_dict()
    assert len(state) == 537
    assert all(value.isfinite().all() for value in state.values())


def demo_weights():
    names = ("model_checkpoint_path", "dict_path")
    return {name: ROOT / s3d_evaluator.DEMO[name] for name in names}


def test_demo_with_lists_of_ones_own(clip_paths, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(ROOT)
    (tmp_path / "p.txt").write_text("a cheetah is jumping\na cheetah is running\n")
    (tmp_path / "t.txt").write_text("\n".join(map(str, clip_paths)))
    lists = ["-t", tmp_path / "t.txt", "-p", tmp_path / "p.txt", "-e", "mine", "-o", tmp_path]
    assert evaluator.main(S3DModel, "", ["--demo", *map(str, lists)]) == 0
    assert capsys.readouterr().out == f"{tmp_path / 'mine.png'}\n"
    assert np.load(tmp_path / "mine/similarities.npy").shape == (3, 2)
