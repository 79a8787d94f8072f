"""Models of open_clip, with random weights, from the command line and from Python."""

import json
import os
import shutil
import subprocess
import sys
from functools import partial
from pathlib import Path

import hub
import imageio.v3 as iio
import numpy as np
import open_clip
import pytest
import runs
import torch
from conftest import write
from make_videos import counting_frames, write_video
from PIL import Image
from runs import PROMPTS, ROOT, TRAJECTORIES, read_numbers
from safetensors.torch import save_file
from tokenizers import Tokenizer, models, pre_tokenizers, processors
from transformers import PreTrainedTokenizerFast

import clip_evaluator
from clip_evaluator import ClipModel
from clip_loading import load_network
from clip_names import weights_in, wrong_names
from trajeval.cache import Cache
from trajeval.embedding import embed_trajectories
from trajeval.terminal import UserError
from trajeval.videos import VideoError, read_views
from trajeval.views import views_of
from trajeval.weights import sha256

evaluate = partial(runs.evaluate, "clip_evaluator.py")
evaluate_here = partial(runs.evaluate_here, ClipModel)

CLIP = {
    "embed_dim": 32,
    "vision_cfg": {"image_size": 64, "layers": 2, "width": 48, "head_width": 16, "patch_size": 16},
    "text_cfg": {"context_length": 16, "vocab_size": 49408, "width": 32, "heads": 2, "layers": 2},
}
SIGLIP = {
    "embed_dim": 192,
    "init_logit_bias": -10,
    "custom_text": True,
    "vision_cfg": {
        "image_size": 224,
        "timm_model_name": "vit_tiny_patch16_224",
        "timm_pool": "avg",
        "timm_proj": "none",
    },
    "text_cfg": {
        "context_length": 12,
        "vocab_size": 40,
        "hf_tokenizer_name": "test/siglip",
        "tokenizer_kwargs": {"clean": "canonicalize"},
        "width": 32,
        "heads": 2,
        "layers": 2,
        "no_causal_mask": True,
        "proj_bias": True,
        "pool_type": "last",
    },
}
PREPARATIONS = {  # mean, standard deviation, interpolation and shape differ
    "clip": {"size": 64, "mean": [0.5, 0.4, 0.3], "std": [0.2, 0.3, 0.4]},
    "siglip": {
        "size": 224,
        "mean": [0.5, 0.5, 0.5],
        "std": [0.5, 0.5, 0.5],
        "interpolation": "bilinear",
        "resize_mode": "squash",
    },
    "padded": {"size": 64, "resize_mode": "longest", "fill_color": 128},
}


def save(folder, config, preparation):
    """A folder with a network of random weights, as open_clip saves them."""
    folder.mkdir(parents=True)
    content = {"model_cfg": config, "preprocess_cfg": preparation}
    (folder / "open_clip_config.json").write_text(json.dumps(content))
    torch.manual_seed(0)
    network = open_clip.create_model(f"local-dir:{folder}", pretrained_text=False)
    torch.save(network.state_dict(), folder / "open_clip_pytorch_model.bin")


@pytest.fixture(scope="module")
def folders(tmp_path_factory):
    """Folders of networks by name; they are repositories of a Hub as well."""
    owner = tmp_path_factory.mktemp("models") / "test"
    save(owner / "clip", CLIP, PREPARATIONS["clip"])
    save(owner / "padded", CLIP, PREPARATIONS["padded"])
    save(owner / "siglip", SIGLIP, PREPARATIONS["siglip"])
    words = ["<pad>", "</s>", "<unk>", "a", "cheetah", "is", "running", "jumping", "trembling"]
    tokenizer = Tokenizer(models.WordLevel({w: i for i, w in enumerate(words)}, "<unk>"))
    tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()
    tokenizer.post_processor = processors.TemplateProcessing("$A </s>", None, [("</s>", 1)])
    special = {"pad_token": "<pad>", "eos_token": "</s>", "unk_token": "<unk>"}
    fast = PreTrainedTokenizerFast(tokenizer_object=tokenizer, **special)
    fast.save_pretrained(owner / "siglip")
    return {path.name: path for path in owner.iterdir()}


def by_hand(folder, paths, prompts, n_frames):
    """The similarities by open_clip's own functions, from all frames of the videos."""
    network, _, preprocess = open_clip.create_model_and_transforms(f"local-dir:{folder}")
    tokenizer = open_clip.get_tokenizer(f"local-dir:{folder}")
    network.eval()
    rows = []
    with torch.inference_mode():
        texts = network.encode_text(tokenizer(prompts), normalize=True)
        for path in paths:
            frames = iio.imread(path, plugin="pyav")
            chosen = [frames[i * len(frames) // n_frames] for i in range(n_frames)]
            images = torch.stack([preprocess(Image.fromarray(frame)) for frame in chosen])
            mean = network.encode_image(images, normalize=True).mean(0)
            rows.append(mean / mean.norm() @ texts.T)
    return torch.stack(rows).numpy()


@pytest.mark.parametrize("name", ["clip", "siglip", "padded"])
def test_similarity_is_that_of_open_clip_by_hand(folders, tmp_path, name):
    write_video(tmp_path / "wide.mp4", counting_frames(9, 96, 160))
    write_video(tmp_path / "tall.mp4", counting_frames(2, 90, 70))
    paths = [tmp_path / "wide.mp4", tmp_path / "tall.mp4", TRAJECTORIES[0]]
    model = ClipModel.load(f"local-dir:{folders[name]}", device="cpu", n_frames=5)
    ours = model.similarity(paths, PROMPTS)
    assert ours.dtype == np.float32 and np.ptp(ours) > 1e-3
    assert ours == pytest.approx(by_hand(folders[name], paths, PROMPTS, 5), abs=1e-5)


def test_each_frame_is_embedded_once_for_all_clips(folders, tmp_path):
    """And the clips have the embeddings that they have on their own."""
    path = write_video(tmp_path / "a.mp4", counting_frames(43, 64, 96))
    model = ClipModel.load(f"local-dir:{folders['clip']}", device="cpu", n_frames=5)
    views = views_of("prefix", 6, None, True, 10)
    (answer,) = embed_trajectories(model, [path], views=views)
    ((footage),) = read_views([path], [views], 5, model.resize, model.size)
    assert len(footage.frames) <= 10
    for view, shots in footage.views.items():
        with torch.inference_mode():
            frames = torch.from_numpy(footage.frames[shots.places])
            clips = model.embed_clips(frames, shots.times).numpy()
        assert np.abs(clips - answer.views[view]).max() <= 1e-6
    assert np.abs(model.embed_videos([path])[0] - answer.embedding).max() <= 1e-6


def test_a_video_that_is_too_narrow(folders, tmp_path):
    path = write_video(tmp_path / "line.mkv", counting_frames(3, 2, 600))
    model = ClipModel.load(f"local-dir:{folders['padded']}", device="cpu", n_frames=2)
    with pytest.raises(VideoError, match=r"line\.mkv: 600x2 pixels are too narrow for this model"):
        model.similarity([path], PROMPTS)


@pytest.mark.parametrize("precision", ["bfloat16", "float16"])
def test_precision_changes_similarities_little(folders, precision):
    name = f"local-dir:{folders['clip']}"
    plain = ClipModel.load(name, device="cpu").similarity(TRAJECTORIES, PROMPTS)
    lower = ClipModel.load(name, device="cpu", precision=precision)
    moved = lower.similarity(TRAJECTORIES, PROMPTS) - plain
    assert 0 < np.abs(moved).max() < 0.005


def test_a_run_leaves_the_heatmap_and_its_numbers(project, folders):
    done = evaluate("--model", f"local-dir:{folders['clip']}", "-v", "--device", "cpu")
    assert (done.returncode, done.stdout) == (0, "out/exp.png\n"), done.stderr
    assert "interpolation bicubic" in done.stderr
    assert iio.imread("out/exp.png").std() > 10
    header, names, numbers = read_numbers("out/exp")
    assert header == ["trajectory", *PROMPTS]
    assert names == [path.as_posix() for path in TRAJECTORIES]
    assert numbers.shape == (3, 3) and np.isfinite(numbers).all() and np.ptp(numbers) > 0
    run = json.loads(Path("out/exp/run.json").read_text(encoding="utf-8"))
    path = folders["clip"] / "open_clip_pytorch_model.bin"
    assert run["weights"] == [{"path": str(path), "sha256": sha256(path)}]
    assert run["model"] == "clip" and run["n_frames"] == 32 and run["mean"] == [0.5, 0.4, 0.3]


def test_order_and_batch_size_change_nothing(project, folders):
    model = ["--model", f"local-dir:{folders['clip']}", "--device", "cpu"]
    assert evaluate_here(*model) == 0
    before = read_numbers("out/exp")
    Path("trajectories.txt").write_text("\n".join(map(str, TRAJECTORIES[::-1])))
    assert evaluate_here(*model, "--batch-size", 2, "--no-cache") == 0
    after = read_numbers("out/exp")
    assert after[1] == before[1][::-1]
    assert after[2] == pytest.approx(before[2][::-1], abs=1e-5)


@pytest.mark.parametrize("name", ["clip", "siglip"])
def test_a_second_run_needs_neither_torch_nor_a_decoder(project, folders, name):
    model = ["--model", f"local-dir:{folders[name]}", "--device", "cpu", "--n-frames", 3]
    assert evaluate_here(*model) == 0
    before = Path("out/exp/similarities.csv").read_bytes()
    run = json.loads(Path("out/exp/run.json").read_text(encoding="utf-8"))
    for module in ("torch", "av", "transformers"):
        write(project / f"shadow/{module}.py", f"raise RuntimeError('{module} was imported')")
    shutil.rmtree("out")
    shadow = {"PYTHONPATH": str(project / "shadow")}
    done = evaluate(*model, **shadow)
    assert (done.returncode, done.stdout) == (0, "out/exp.png\n"), done.stderr
    assert Path("out/exp/similarities.csv").read_bytes() == before
    again = json.loads(Path("out/exp/run.json").read_text(encoding="utf-8"))
    for record in (run, again):
        del record["started"], record["seconds"]
    assert again == run
    assert "torch was imported" in evaluate(*model, "--no-cache", **shadow).stderr


def test_facts_of_a_named_model_are_kept(project):
    torch.manual_seed(0)
    torch.save(open_clip.create_model("ViT-S-32").state_dict(), "mine.pt")
    model = ["--model", "ViT-S-32", "--pretrained", "mine.pt", "--n-frames", 1]
    Path("trajectories.txt").write_text(str(TRAJECTORIES[0]))
    assert evaluate_here(*model) == 0
    before = read_numbers("out/exp")[2]
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(clip_evaluator, "load_network", None)
        assert evaluate_here(*model) == 0
    assert (read_numbers("out/exp")[2] == before).all()
    torch.manual_seed(1)
    torch.save(open_clip.create_model("ViT-S-32").state_dict(), "mine.pt")
    assert evaluate_here(*model) == 0
    assert (read_numbers("out/exp")[2] != before).all()


def change_mean(folder):
    config = json.loads((folder / "open_clip_config.json").read_text())
    config["preprocess_cfg"]["mean"] = [0.1, 0.2, 0.9]
    (folder / "open_clip_config.json").write_text(json.dumps(config))


def change_padding(folder):
    """Which run.json says, too."""
    config = json.loads((folder / "open_clip_config.json").read_text())
    config["preprocess_cfg"] |= {"resize_mode": "longest", "fill_color": 77}
    (folder / "open_clip_config.json").write_text(json.dumps(config))


def change_weights(folder):
    path = folder / "open_clip_pytorch_model.bin"
    state = torch.load(path, weights_only=True)
    torch.save({key: value * 1.5 for key, value in state.items()}, path)


def add_weights(folder):
    """Which open_clip prefers to those that are there."""
    state = torch.load(folder / "open_clip_pytorch_model.bin", weights_only=True)
    state = {key: (value * 1.5).contiguous() for key, value in state.items()}
    save_file(state, folder / "open_clip_model.safetensors")


@pytest.mark.parametrize("change", [change_mean, change_padding, change_weights, add_weights])
def test_a_changed_model_is_not_taken_from_the_cache(project, folders, change):
    shutil.copytree(folders["padded"], "mine")
    paths = [write_video(Path("wide.mp4"), counting_frames(9, 96, 160)), TRAJECTORIES[0]]
    Path("trajectories.txt").write_text("\n".join(map(str, paths)))
    model = ["--model", "local-dir:mine", "--device", "cpu", "--n-frames", 2]
    assert evaluate_here(*model) == 0
    before = read_numbers("out/exp")[2]
    change(Path("mine"))
    assert evaluate_here(*model) == 0
    numbers = read_numbers("out/exp")[2]
    assert (numbers != before).any()
    assert numbers == pytest.approx(by_hand("mine", paths, PROMPTS, 2), abs=1e-5)


def test_a_missing_model_is_not_taken_from_the_cache(project, folders, capsys):
    shutil.copytree(folders["clip"], "mine")
    model = ["--model", "local-dir:mine", "--device", "cpu", "--n-frames", 1]
    assert evaluate_here(*model) == 0
    Path("mine/open_clip_pytorch_model.bin").unlink()
    assert evaluate_here(*model) == 2
    assert "mine: holds no weights" in capsys.readouterr().err


@pytest.mark.parametrize("kept", [False, True])
def test_files_replaced_between_hashing_and_loading(folders, tmp_path, monkeypatch, kept):
    folder = shutil.copytree(folders["clip"], tmp_path / "mine")
    cache = Cache(tmp_path / "cache" if kept else None)

    def replace():
        for path in folder.glob("*.json"):
            shutil.copy(path, folder / "new")
            (folder / "new").replace(path)

    def model():
        return ClipModel(f"local-dir:{folder}", device="cpu", cache=cache)

    message = r"\.json changed while it was being loaded: run again"
    if kept:
        _ = model().facts
        known = model()
        _ = known.facts  # from the hashes of its files
        replace()
        with pytest.raises(UserError, match=message):
            _ = known.loaded
        return
    create_model = open_clip.create_model
    monkeypatch.setattr(
        open_clip, "create_model", lambda *a, **k: (create_model(*a, **k), replace())[0]
    )
    with pytest.raises(UserError, match=message):
        _ = model().facts


@pytest.mark.parametrize("damage", ["weights", "preparation", "files"])
def test_facts_of_another_form_are_found_again(folders, tmp_path, puts, damage):
    cache = Cache(tmp_path)
    first = ClipModel(f"local-dir:{folders['clip']}", device="cpu", cache=cache)
    _ = first.facts
    ((kind, key, entry),) = [put for put in puts if put[0] == "models"]
    for wrong in ([], {}, None, "x"):
        cache.put(kind, key, entry | {damage: wrong})
        again = ClipModel(f"local-dir:{folders['clip']}", device="cpu", cache=cache)
        assert (again.preparation, again.weights) == (first.preparation, first.weights)


def test_an_unreachable_hub_is_told_of_in_words(tmp_path):
    """Its library retries each of two names five times; it does not wait here."""
    code = (
        "import time; time.sleep = lambda _: None\n"
        "from clip_evaluator import ClipModel\n"
        "from trajeval.terminal import run_command\n"
        "run_command(lambda: ClipModel(device='cpu').weights)"
    )
    environment = os.environ | {"HF_ENDPOINT": "http://127.0.0.1:9", "HF_HOME": str(tmp_path)}
    done = subprocess.run(
        [sys.executable, "-c", code],
        cwd=ROOT,
        env=environment,
        capture_output=True,
        text=True,
        timeout=300,
    )
    repository, name = "laion/CLIP-ViT-B-32-laion2B-s34B-b79K", "open_clip_pytorch_model.bin"
    assert done.stderr.splitlines() == [
        "no answer from the Hugging Face Hub, trying again for up to a minute ...",
        f"{name} of {repository} could not be downloaded: the connection was refused",
        f"  published at: https://huggingface.co/{repository}",
        f"  get it with:  hf download {repository} {name} --local-dir checkpoints",
        f"  then give:    --pretrained checkpoints/{name}",
    ]


def test_a_named_model_with_a_file_of_weights(project, tmp_path):
    torch.manual_seed(0)
    network = open_clip.create_model("ViT-S-32")
    torch.save(network.state_dict(), "mine.pt")
    Path("trajectories.txt").write_text(str(TRAJECTORIES[0]))
    assert evaluate_here("--model", "ViT-S-32", "--pretrained", "mine.pt", "--n-frames", 2) == 0
    assert np.load("out/exp/similarities.npy").shape == (1, 3)


def test_perception_encoders_work(tmp_path):
    torch.manual_seed(0)
    network = open_clip.create_model("PE-Core-T-16-384")
    torch.save(network.state_dict(), tmp_path / "pe.pt")
    model = ClipModel.load("PE-Core-T-16-384", tmp_path / "pe.pt", device="cpu", n_frames=2)
    assert model.preparation["size"] == [384, 384]
    assert np.isfinite(model.similarity(TRAJECTORIES[:1], PROMPTS)).all()


def test_cut_prompts_are_reported(folders):
    clip = ClipModel.load(f"local-dir:{folders['clip']}", device="cpu")
    siglip = ClipModel.load(f"local-dir:{folders['siglip']}", device="cpu")
    prompt = "a cheetah is running " * 4
    cut = "longer than the model's {} tokens; cut off: {}"
    (reading,) = clip.read_texts([prompt])
    assert reading.unseen == [cut.format(16, "is running")] and len(reading.tokens) == 16
    (reading,) = siglip.read_texts([prompt])
    assert reading.unseen == [cut.format(12, "running a cheetah is running")]


def test_everything_wrong_is_named_before_torch(project):
    Path("torch.py").write_text("raise RuntimeError('torch was imported')")
    done = evaluate("--n-frames", "x", "--model", "vit-b32", PYTHONPATH=str(project))
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.splitlines() == [
        "--n-frames x: takes a whole number from 1 to 1024",
        "--model vit-b32: not a model of open_clip; nearest: ViT-B-32, ViT-S-32, ViT-M-32; "
        "--list-models shows all",
        "2 problems found; nothing was run",
    ]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--model", "ViT-L-14"], "--pretrained is missing: a tag that --list-models shows for"),
        (["--pretrained", "no.pt"], "no.pt does not exist."),
        (["--pretrained", "page.pt"], "page.pt is a web page (HTML), not weights."),
        (
            ["--model", "hf-hub:a/b", "--pretrained", "x"],
            "--pretrained: cannot be combined with --model hf-hub:a/b",
        ),
        (["--model", "local-dir:no"], "no/open_clip_config.json: cannot be read"),
        (["--model", "local-dir:bare"], "bare: holds no weights"),
        (["--model", "local-dir:odd"], "odd/open_clip_config.json: has no model_cfg"),
        (["--model", "local-dir:bad"], "bad/open_clip_config.json: not JSON: "),
    ],
)
def test_wrong_names_of_models_and_weights(project, capsys, arguments, message):
    Path("page.pt").write_text("<html>")
    for name, content in (("bare", '{"model_cfg": {}}'), ("odd", "[]"), ("bad", "{")):
        Path(name).mkdir()
        (Path(name) / "open_clip_config.json").write_text(content)
    assert evaluate_here(*arguments) == 2
    out, err = capsys.readouterr()
    assert out == "" and message in err


def test_weights_that_do_not_fit(folders, tmp_path):
    path = folders["clip"] / "open_clip_pytorch_model.bin"
    with pytest.raises(UserError, match=r"model.bin does not fit ViT-S-32: \w"):
        ClipModel.load("ViT-S-32", path)
    (tmp_path / "cut.pt").write_bytes(path.read_bytes()[:10_000])
    with pytest.raises(UserError, match=r"cut.pt is a PyTorch checkpoint.* cut short"):
        ClipModel.load("ViT-S-32", tmp_path / "cut.pt")
    torch.save({"a": torch.nn.Linear(2, 2)}, tmp_path / "code.pt")
    with pytest.raises(UserError, match=r"code.pt was refused: it holds code"):
        ClipModel.load("ViT-S-32", tmp_path / "code.pt")


def test_code_beside_a_model_is_not_run(folders, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    folder = tmp_path / "evil"
    shutil.copytree(folders["siglip"], folder)
    config = json.loads((folder / "open_clip_config.json").read_text())
    config["model_cfg"]["text_cfg"]["tokenizer_kwargs"] = {"trust_remote_code": True}
    (folder / "open_clip_config.json").write_text(json.dumps(config))
    (folder / "evil.py").write_text(
        "open('it_ran', 'w')\n"
        "from transformers import PreTrainedTokenizerFast\n"
        "class Evil(PreTrainedTokenizerFast): pass\n"
    )
    settings = json.loads((folder / "tokenizer_config.json").read_text())
    settings |= {"tokenizer_class": "Evil", "auto_map": {"AutoTokenizer": [None, "evil.Evil"]}}
    (folder / "tokenizer_config.json").write_text(json.dumps(settings))
    try:
        ClipModel.load(f"local-dir:{folder}", device="cpu")
    except UserError as error:
        assert "the tokenizer of" in str(error)
    assert not Path("it_ran").exists()


def test_an_unknown_tag_names_those_there_are():
    with pytest.raises(
        UserError,
        match=r"opanai: neither a file nor a tag of .*nearest: openai; all its tags: openai",
    ):
        ClipModel.load("ViT-B-32", "opanai")


# --- names of models and weights


@pytest.fixture
def openai(tmp_path, monkeypatch):
    """Weights that open_clip "downloads" for the tag openai; the path."""
    torch.manual_seed(0)
    network = open_clip.create_model("ViT-B-32", force_quick_gelu=True)
    torch.save(network.state_dict(), tmp_path / "downloaded.pt")
    monkeypatch.setattr(open_clip, "download_pretrained", lambda _: str(tmp_path / "downloaded.pt"))
    return tmp_path / "downloaded.pt"


@pytest.mark.parametrize("kind", ["file", "folder"])
def test_a_tag_has_precedence_over_a_file_of_its_name(openai, in_empty_folder, kind):
    """The weights that are hashed are those that are loaded."""
    if kind == "file":
        torch.save({}, "openai")
    else:
        Path("openai").mkdir()
    model = ClipModel.load("ViT-B-32", "openai", device="cpu")
    assert model.weights == {str(openai): sha256(openai)}
    state = torch.load(openai, weights_only=True)
    assert all(torch.equal(model.loaded.network.state_dict()[k], v) for k, v in state.items())


@pytest.mark.parametrize("name", ["./openai", "mine", "mine.pt"])
def test_a_file_of_weights_by_its_path(in_empty_folder, name):
    """Also one named like a tag, and one named like neither."""
    torch.manual_seed(1)
    state = open_clip.create_model("ViT-S-32").state_dict()
    torch.save(state, name)
    model = ClipModel.load("ViT-S-32", name, device="cpu")
    assert list(model.weights.values()) == [sha256(name)]
    assert all(torch.equal(model.loaded.network.state_dict()[k], v) for k, v in state.items())


@pytest.mark.parametrize(
    ("model", "message"),
    [
        ("local-dir:", "--model local-dir:: takes local-dir:FOLDER, a folder with a model"),
        ("hf-hub:", "--model hf-hub:: takes hf-hub:OWNER/NAME, the name of a repository"),
        ("hf-hub:https://huggingface.co/a/b", "co/a/b: takes hf-hub:OWNER/NAME, the name of"),
        ("hf-hub:a/b/c", "--model hf-hub:a/b/c: takes hf-hub:OWNER/NAME"),
        ("\x1b[31mViT", "--model \N{REPLACEMENT CHARACTER}[31mViT: not a model of open_clip"),
    ],
)
def test_incomplete_names_of_models(model, message):
    (problem,) = wrong_names(model, None)
    assert message in problem
    with pytest.raises(UserError, match="^--model "):
        _ = ClipModel(model).weights


@pytest.mark.parametrize(
    ("key", "value", "message"),
    [
        ("model_cfg", "ViT-B-32", 'model_cfg: must be an object, got "ViT-B-32"'),
        ("model_cfg.vision_cfg", None, "model_cfg.vision_cfg: must be an object, got null"),
        ("model_cfg.text_cfg", [1], "model_cfg.text_cfg: must be an object, got [1]"),
        ("preprocess_cfg", "x", 'preprocess_cfg: must be an object, got "x"'),
        ("preprocess_cfg.mean", "grey", 'preprocess_cfg.mean: must be three numbers, got "grey"'),
        ("preprocess_cfg.mean", [0.5, 0.5], "mean: must be three numbers, got [0.5, 0.5]"),
        ("preprocess_cfg.mean", [0, None, 0], "mean: must be three numbers, got [0, null, 0]"),
        ("preprocess_cfg.std", [1, 0, 1], "std: must be three numbers above 0, got [1, 0, 1]"),
        ("preprocess_cfg.std", 0, "std: must be three numbers above 0, got 0"),
        ("preprocess_cfg.size", -64, "size: must be a number of pixels, or height and width"),
        ("preprocess_cfg.size", "64", 'height and width, got "64"'),
        ("preprocess_cfg.interpolation", "best", "must be bicubic, bilinear or random, got"),
        ("preprocess_cfg.resize_mode", [], "must be shortest, longest or squash, got []"),
        ("preprocess_cfg.fill_color", 300, "fill_color: must be 0 to 255, got 300"),
        ("preprocess_cfg.mode", "L", 'preprocess_cfg.mode: must be RGB, got "L"'),
    ],
)
def test_wrong_configurations(folders, tmp_path, key, value, message):
    """The folder, the file, the key and its value are named before anything is loaded."""
    shutil.copytree(folders["clip"], tmp_path / "mine")
    path = tmp_path / "mine/open_clip_config.json"
    config = json.loads(path.read_text())
    *parents, last = key.split(".")
    (config[parents[0]] if parents else config)[last] = value
    path.write_text(json.dumps(config))
    (problem,) = wrong_names(f"local-dir:{tmp_path / 'mine'}", None)
    assert problem.startswith(f"{path}: {key}: must be") and message in problem


@pytest.mark.parametrize("name", ["open_clip_config.json", "open_clip_pytorch_model.bin"])
def test_a_pipe_in_a_models_folder_does_not_hang(folders, tmp_path, name):
    shutil.copytree(folders["clip"], tmp_path / "mine")
    (tmp_path / "mine" / name).unlink()
    os.mkfifo(tmp_path / "mine" / name)
    (problem,) = wrong_names(f"local-dir:{tmp_path / 'mine'}", None)
    assert problem.startswith(str(tmp_path / "mine" / name)) and "not a regular file" in problem


@pytest.mark.parametrize("preprocess", [None, {"mean": None, "std": None, "size": None}, {}])
def test_null_is_the_default(folders, tmp_path, preprocess):
    shutil.copytree(folders["clip"], tmp_path / "mine")
    path = tmp_path / "mine/open_clip_config.json"
    config = json.loads(path.read_text()) | {"preprocess_cfg": preprocess}
    path.write_text(json.dumps(config))
    model = ClipModel.load(f"local-dir:{tmp_path / 'mine'}", device="cpu")
    assert model.preparation["mean"] == list(open_clip.OPENAI_DATASET_MEAN)


def test_what_python_says_is_not_shown(folders, tmp_path):
    """Of weights or of a configuration that open_clip cannot use."""
    shutil.copytree(folders["clip"], tmp_path / "mine")
    path = tmp_path / "mine/open_clip_config.json"
    config = json.loads(path.read_text())
    config["model_cfg"]["vision_cfg"]["image_size"] = "64"
    path.write_text(json.dumps(config))
    with pytest.raises(UserError, match="open_clip cannot build it") as raised:
        ClipModel.load(f"local-dir:{tmp_path / 'mine'}", device="cpu")
    assert "operand" not in str(raised.value)
    torch.save([1, 2], tmp_path / "list.pt")
    np.savez(tmp_path / "big_vision.npz", a=np.zeros(1))
    for name in ("list.pt", "big_vision.npz"):
        with pytest.raises(UserError, match=f"{name} does not fit ViT-S-32") as raised:
            ClipModel.load("ViT-S-32", tmp_path / name, device="cpu")
        assert "attribute" not in str(raised.value)


def test_of_several_files_of_weights_open_clip_s_choice(folders, tmp_path):
    shutil.copytree(folders["clip"], tmp_path / "mine")
    for name in ("z.safetensors", "a.bin", "model.safetensors", "open_clip_model.safetensors"):
        (tmp_path / "mine" / name).write_bytes(b"")
        chosen = open_clip.factory._find_checkpoint_in_dir(tmp_path / "mine")
        assert str(weights_in(tmp_path / "mine")[0]) == chosen
    for path in weights_in(tmp_path / "mine"):
        assert str(weights_in(tmp_path / "mine")[0]) == str(
            open_clip.factory._find_checkpoint_in_dir(tmp_path / "mine")
        )
        path.unlink()


def test_constructing_reads_nothing():
    model = ClipModel("local-dir:none", device="cpu", n_frames=3)
    assert model.description == "local-dir:none" and model.n_frames == 3
    assert ClipModel("ViT-L-14", "none.pt").description == "ViT-L-14, none.pt"
    assert ClipModel().description == "ViT-B-32, laion2b_s34b_b79k"


def test_other_facts_are_kept_by_another_version(folders, tmp_path, monkeypatch):
    name = f"local-dir:{folders['clip']}"
    cache = Cache(tmp_path / "cache")
    _ = ClipModel(name, device="cpu", cache=cache).facts
    asked = []

    def load(*arguments):
        asked.append(arguments)
        return load_network(*arguments)

    monkeypatch.setattr(clip_evaluator, "load_network", load)
    _ = ClipModel(name, device="cpu", cache=cache).facts
    assert asked == []
    monkeypatch.setattr(clip_evaluator, "VERSION", 999)
    _ = ClipModel(name, device="cpu", cache=cache).facts
    assert len(asked) == 1


@pytest.mark.parametrize("is_known", [False, True])
def test_a_model_that_changes_while_it_is_loaded(folders, tmp_path, monkeypatch, is_known):
    shutil.copytree(folders["clip"], tmp_path / "mine")
    name, cache = f"local-dir:{tmp_path / 'mine'}", Cache(tmp_path / "cache")
    if is_known:
        _ = ClipModel(name, device="cpu", cache=cache).facts
    model = ClipModel(name, device="cpu", cache=cache)
    if is_known:
        _ = model.facts

    def load(*arguments):
        loaded = load_network(*arguments)
        change_weights(tmp_path / "mine")
        return loaded

    monkeypatch.setattr(clip_evaluator, "load_network", load)
    with pytest.raises(UserError, match="changed while it was being loaded: run again"):
        _ = model.facts, model.video_network


def test_weights_trained_with_another_activation(openai):
    """OpenAI's weights need QuickGELU, which the name ViT-B-32 does not say."""
    network = open_clip.create_model("ViT-B-32", force_quick_gelu=True)
    network.load_state_dict(torch.load(openai, weights_only=True))
    model = ClipModel.load("ViT-B-32", "openai", device="cpu")
    image = torch.zeros(1, 3, 224, 224)
    with torch.inference_mode():
        ours = model.video_network.encode_image(image)
        assert torch.equal(ours, network.eval().encode_image(image))


def test_models_of_the_hub(project, folders):
    with hub.serve(folders["clip"].parent.parent) as (address, requests):
        environment = {"HF_ENDPOINT": address, "HF_HOME": str(project / "hub")}
        siglip = ["--model", "hf-hub:test/siglip", "--n-frames", 2]
        done = evaluate(*siglip, "--device", "cpu", **environment)
        assert (done.returncode, done.stdout) == (0, "out/exp.png\n"), done.stderr
        run = json.loads(Path("out/exp/run.json").read_text(encoding="utf-8"))
        (weights,) = run["weights"]
        assert weights["sha256"] == sha256(folders["siglip"] / "open_clip_pytorch_model.bin")
        done = evaluate("--model", "hf-hub:test/gated", **environment)
        assert (done.returncode, done.stdout) == (2, "")
        reason = "its owners ask for your agreement"
        assert f"test/gated could not be downloaded: {reason}" in done.stderr
        assert "Traceback" not in done.stderr
        assert requests


def test_list_models(capsys):
    with pytest.raises(SystemExit, match="0"):
        evaluate_here("--list-models")
    shown = capsys.readouterr().out.splitlines()
    assert "--model ViT-B-32 --pretrained laion2b_s34b_b79k" in shown


def test_help_imports_nothing_heavy(project):
    for name in ("torch", "numpy", "av", "open_clip", "PIL", "transformers"):
        Path(f"{name}.py").write_text(f"raise RuntimeError('{name} was imported')")
    done = evaluate("--help", PYTHONPATH=str(project))
    assert (done.returncode, done.stderr) == (0, "")
    assert "--pretrained" in done.stdout
