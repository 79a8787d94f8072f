"""Networks of open_clip, with random weights, behind the command and the Python interface."""

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
from trajeval.cache import Cache, read_entry, write_entry
from trajeval.terminal import UserError
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
    """The similarities as open_clip's own functions give them, from all frames of the videos."""
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


@pytest.mark.parametrize("precision", ["bfloat16", "float16"])
def test_precision_moves_little(folders, precision):
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


def test_a_named_model_with_its_weights_is_kept_too(project):
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
    """Which is no part of what run.json says of the preparation."""
    config = json.loads((folder / "open_clip_config.json").read_text())
    config["preprocess_cfg"] |= {"resize_mode": "longest", "fill_color": 77}
    (folder / "open_clip_config.json").write_text(json.dumps(config))


def change_weights(folder):
    path = folder / "open_clip_pytorch_model.bin"
    state = torch.load(path, weights_only=True)
    torch.save({key: value * 1.5 for key, value in state.items()}, path)


def add_weights(folder):
    """Of the two, open_clip takes these."""
    state = torch.load(folder / "open_clip_pytorch_model.bin", weights_only=True)
    state = {key: (value * 1.5).contiguous() for key, value in state.items()}
    save_file(state, folder / "open_clip_model.safetensors")


@pytest.mark.parametrize("change", [change_mean, change_padding, change_weights, add_weights])
def test_a_changed_model_is_not_answered_for_from_the_cache(project, folders, change):
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


def test_a_model_that_is_gone_is_not_answered_for_from_the_cache(project, folders, capsys):
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
        model()
        known = model()  # from the hashes of its files
        replace()
        with pytest.raises(UserError, match=message):
            _ = known.loaded
        return
    create_model = open_clip.create_model
    monkeypatch.setattr(
        open_clip, "create_model", lambda *a, **k: (create_model(*a, **k), replace())[0]
    )
    with pytest.raises(UserError, match=message):
        model()


@pytest.mark.parametrize("damage", ["weights", "preparation", "files"])
def test_facts_of_another_form_are_found_again(folders, tmp_path, damage):
    cache = Cache(tmp_path)
    first = ClipModel(f"local-dir:{folders['clip']}", device="cpu", cache=cache)
    (path,) = tmp_path.glob("models/*/*.npz")
    entry = read_entry(str(path))
    for wrong in ([], {}, None, "x"):
        write_entry(str(path), entry | {damage: wrong})
        again = ClipModel(f"local-dir:{folders['clip']}", device="cpu", cache=cache)
        assert (again.preparation, again.weights) == (first.preparation, first.weights)


def test_an_unreachable_hub_is_told_of_in_words(tmp_path):
    """Its library retries each of two names five times; it does not wait here."""
    code = (
        "import time; time.sleep = lambda _: None\n"
        "from clip_evaluator import ClipModel\n"
        "from trajeval.terminal import run_command\n"
        "run_command(lambda: ClipModel(device='cpu'))"
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


def test_perception_encoders_come_with_it(tmp_path):
    torch.manual_seed(0)
    network = open_clip.create_model("PE-Core-T-16-384")
    torch.save(network.state_dict(), tmp_path / "pe.pt")
    model = ClipModel.load("PE-Core-T-16-384", tmp_path / "pe.pt", device="cpu", n_frames=2)
    assert model.preparation["size"] == [384, 384]
    assert np.isfinite(model.similarity(TRAJECTORIES[:1], PROMPTS)).all()


def test_prompts_that_are_cut_are_named(folders):
    clip = ClipModel.load(f"local-dir:{folders['clip']}", device="cpu")
    siglip = ClipModel.load(f"local-dir:{folders['siglip']}", device="cpu")
    prompt = "a cheetah is running " * 4
    cut = "longer than the network's {} tokens, cut off: {}"
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
        "--model vit-b32: no model of open_clip; nearest: ViT-B-32, ViT-S-32, ViT-M-32; "
        "--list-models shows what there is",
        "2 to put right; nothing was run",
    ]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--model", "ViT-L-14"], "--pretrained is missing: a tag that --list-models shows for"),
        (["--pretrained", "no.pt"], "no.pt does not exist."),
        (["--pretrained", "page.pt"], "page.pt is a web page (HTML), not weights."),
        (["--model", "hf-hub:a/b", "--pretrained", "x"], "--pretrained: has no meaning with"),
        (["--model", "local-dir:no"], "no/open_clip_config.json: cannot be read"),
        (["--model", "local-dir:bare"], "bare: holds no weights"),
        (["--model", "local-dir:odd"], "odd/open_clip_config.json: has no model_cfg"),
        (["--model", "local-dir:bad"], "bad/open_clip_config.json: not JSON in UTF-8"),
    ],
)
def test_wrong_names_of_models_and_weights(project, arguments, message):
    Path("page.pt").write_text("<html>")
    for name, content in (("bare", '{"model_cfg": {}}'), ("odd", "[]"), ("bad", "{")):
        Path(name).mkdir()
        (Path(name) / "open_clip_config.json").write_text(content)
    done = evaluate(*arguments)
    assert (done.returncode, done.stdout) == (2, "")
    assert message in done.stderr and "Traceback" not in done.stderr


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


def test_code_that_a_model_brings_is_not_run(folders, tmp_path, monkeypatch):
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
    with pytest.raises(UserError, match=r"opanai: no .*nearest: openai; it has openai"):
        ClipModel.load("ViT-B-32", "opanai")


def test_weights_trained_with_another_activation(monkeypatch, tmp_path):
    """OpenAI's weights need QuickGELU, which the name ViT-B-32 does not say."""
    torch.manual_seed(0)
    network = open_clip.create_model("ViT-B-32", force_quick_gelu=True)
    torch.save(network.state_dict(), tmp_path / "openai.pt")
    monkeypatch.setattr(open_clip, "download_pretrained", lambda _: str(tmp_path / "openai.pt"))
    monkeypatch.setattr(
        open_clip.factory, "download_pretrained", lambda *_, **__: str(tmp_path / "openai.pt")
    )
    model = ClipModel.load("ViT-B-32", "openai", device="cpu")
    image = torch.zeros(1, 3, 224, 224)
    with torch.inference_mode():
        ours = model.video_network.encode_image(image)
        assert torch.equal(ours, network.eval().encode_image(image))


def test_models_of_the_hub(project, folders):
    with hub.serve(folders["clip"].parent.parent) as (address, requests):
        environment = {"HF_ENDPOINT": address, "HF_HOME": str(project / "hub")}
        done = evaluate("--model", "hf-hub:test/siglip", "--device", "cpu", **environment)
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


def test_list_models():
    command = [sys.executable, ROOT / "clip_evaluator.py", "--list-models"]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0
    assert "--model ViT-B-32 --pretrained laion2b_s34b_b79k" in done.stdout.splitlines()


def test_help_imports_nothing_heavy(project):
    for name in ("torch", "numpy", "av", "open_clip", "PIL", "transformers"):
        Path(f"{name}.py").write_text(f"raise RuntimeError('{name} was imported')")
    done = evaluate("--help", PYTHONPATH=str(project))
    assert (done.returncode, done.stderr) == (0, "")
    assert "--pretrained" in done.stdout
