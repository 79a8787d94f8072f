"""Models from Hugging Face folders, small random ones, from the command line."""

import json
import shutil
from functools import partial
from importlib import metadata
from pathlib import Path

import hub
import imageio.v3 as iio
import numpy as np
import pytest
import runs
import torch
from conftest import refused, write
from recipe import GOLDEN
from runs import PROMPTS, TRAJECTORIES, read_numbers
from safetensors.torch import load_file, save_file

import hf_loading
import hf_sentences
from hf_embedders import PeVideo, VideoPrism
from hf_sentences import SentenceModel
from hf_xclip import XClip
from trajeval.weights import sha256
from transformers_evaluator import TransformersModel

evaluate = partial(runs.evaluate, "transformers_evaluator.py")
evaluate_here = partial(runs.evaluate_here, TransformersModel)
MODELS = GOLDEN / "models"
FAMILIES = ("qwen3vl_embedding", "videoprism", "pe_video")


def options(model, *others):
    return ["--model", str(model), "--device", "cpu", *others]


@pytest.fixture
def copy(tmp_path):
    """Makes a copy of a model that a test may change."""

    def made(name):
        return Path(shutil.copytree(MODELS / name, tmp_path / f"mine_{name}"))

    return made


def edit(path, **changes):
    """Changes keys of a JSON file; None removes one."""
    content = json.loads(path.read_text()) | changes
    path.write_text(json.dumps({k: v for k, v in content.items() if v is not None}))


# --- whole runs


@pytest.mark.parametrize("name", FAMILIES)
def test_a_run_and_a_second_one_that_needs_no_network(project, name):
    assert evaluate_here(*options(MODELS / name)) == 0
    assert iio.imread("out/exp.png").std() > 10
    header, names, numbers = read_numbers("out/exp")
    assert header == ["trajectory", *PROMPTS]
    assert names == [path.as_posix() for path in TRAJECTORIES]
    assert np.isfinite(numbers).all() and np.ptp(numbers) > 1e-3 and np.abs(numbers).max() <= 1
    run = json.loads(Path("out/exp/run.json").read_text(encoding="utf-8"))
    path = MODELS / name / "model.safetensors"
    assert run["weights"] == [{"path": str(path), "sha256": sha256(path)}]
    assert run["description"] == name and run["size"] and "transformers" in run["versions"]

    for module in ("torch", "av", "transformers", "sentence_transformers", "huggingface_hub"):
        write(project / f"shadow/{module}.py", f"raise RuntimeError('{module} was imported')")
    before = Path("out/exp/similarities.csv").read_bytes()
    shutil.rmtree("out")
    shadow = {"PYTHONPATH": str(project / "shadow")}
    done = evaluate(*options(MODELS / name), **shadow)
    assert (done.returncode, done.stdout) == (0, "out/exp.png\n"), done.stderr
    assert Path("out/exp/similarities.csv").read_bytes() == before
    again = json.loads(Path("out/exp/run.json").read_text(encoding="utf-8"))
    for record in (run, again):
        del record["started"], record["seconds"]
    assert again == run
    assert "was imported" in evaluate(*options(MODELS / name), "--no-cache", **shadow).stderr


def test_a_run_tells_what_the_weights_take_and_nothing_of_the_libraries(project):
    done = evaluate(*options(MODELS / "pe_video"))
    assert (done.returncode, done.stdout) == (0, "out/exp.png\n"), done.stderr
    first, *_ = done.stderr.splitlines()
    assert first == f"loading {MODELS / 'pe_video'}: 0.9 MB of weights in float32 on cpu"
    for word in ("Loading weights", "[transformers]", "[ERROR]", "Warning"):
        assert word not in done.stderr


def test_order_and_batch_size_change_nothing(project):
    model = options(MODELS / "qwen3vl_embedding", "--n-frames", 4)
    assert evaluate_here(*model) == 0
    before = read_numbers("out/exp")
    Path("trajectories.txt").write_text("\n".join(map(str, TRAJECTORIES[::-1])))
    assert evaluate_here(*model, "--batch-size", 3, "--no-cache") == 0
    after = read_numbers("out/exp")
    assert after[1] == before[1][::-1]
    assert after[2] == pytest.approx(before[2][::-1], abs=1e-5)


def test_x_clip_is_a_judge(project):
    model = options(MODELS / "xclip")
    assert evaluate_here(*model) == 0
    assert iio.imread("out/exp.png").std() > 10
    _, _, numbers = read_numbers("out/exp")
    assert np.abs(numbers).max() <= 1 and np.ptp(numbers) > 1e-3
    run = json.loads(Path("out/exp/run.json").read_text(encoding="utf-8"))
    assert run["similarity"] == "cosine similarity, X-CLIP" and run["n_frames"] == 8
    frames = iio.imread(TRAJECTORIES[1], plugin="pyav")
    frames = frames[np.arange(8) * len(frames) // 8]
    whole = TransformersModel.load(str(MODELS / "xclip"), device="cpu")
    found = whole.processor(videos=list(frames), text=PROMPTS, padding=True, return_tensors="pt")
    with torch.inference_mode():
        network = whole.video_network
        logits = network(**found).logits_per_video[0] / network.logit_scale.exp()
    assert numbers[1] == pytest.approx(logits.numpy(), abs=1e-5)

    for module in ("torch", "av", "transformers"):
        write(project / f"shadow/{module}.py", f"raise RuntimeError('{module} was imported')")
    before = Path("out/exp/similarities.csv").read_bytes()
    done = evaluate(*model, PYTHONPATH=str(project / "shadow"))
    assert (done.returncode, done.stdout) == (0, "out/exp.png\n"), done.stderr
    assert Path("out/exp/similarities.csv").read_bytes() == before


def test_frames_are_those_that_the_model_was_made_for(project, copy):
    folder = copy("pe_video")
    settings = json.loads((folder / "processor_config.json").read_text())
    settings["video_processor"]["num_frames"] = 3  # as facebook/pe-av-*-16-frame say 16
    (folder / "processor_config.json").write_text(json.dumps(settings))
    assert evaluate_here(*options(folder)) == 0
    run = json.loads(Path("out/exp/run.json").read_text(encoding="utf-8"))
    assert run["n_frames"] == 3 and len(run["trajectories"][0]["frames"]) == 3
    assert evaluate_here(*options(folder, "--n-frames", 5)) == 0
    assert json.loads(Path("out/exp/run.json").read_text())["n_frames"] == 5


def test_arrays_need_their_frames_per_second_where_times_are_read(project, capsys):
    np.save("array.npy", np.random.default_rng(0).integers(0, 256, (9, 64, 64, 3), np.uint8))
    Path("trajectories.txt").write_text("array.npy")
    model = options(MODELS / "qwen3vl_embedding", "--n-frames", 4)
    assert evaluate_here(*model) == 1
    assert "array.npy: this model reads when each frame is shown" in capsys.readouterr().err
    assert evaluate_here(*model, "--fps", 10) == 0
    at_ten = read_numbers("out/exp")[2]
    assert evaluate_here(*model, "--fps", 1) == 0
    assert (read_numbers("out/exp")[2] != at_ten).any()


def test_weights_over_several_files(project, copy):
    folder = copy("videoprism")
    assert evaluate_here(*options(folder)) == 0
    before = read_numbers("out/exp")[2]
    weights = load_file(folder / "model.safetensors")
    (folder / "model.safetensors").unlink()
    names = {key: f"model-0000{1 + i % 2}-of-00002.safetensors" for i, key in enumerate(weights)}
    for name in set(names.values()):
        save_file({k: v for k, v in weights.items() if names[k] == name}, folder / name)
    write(
        folder / "model.safetensors.index.json", json.dumps({"metadata": {}, "weight_map": names})
    )
    assert evaluate_here(*options(folder)) == 0
    assert read_numbers("out/exp")[2] == pytest.approx(before, abs=1e-6)
    run = json.loads(Path("out/exp/run.json").read_text(encoding="utf-8"))
    assert [Path(one["path"]).name for one in run["weights"]] == sorted(set(names.values()))
    (folder / "model-00002-of-00002.safetensors").unlink()
    assert f"{folder / 'model-00002-of-00002.safetensors'} does not exist" in refused(
        TransformersModel.load, str(folder)
    )


def test_the_video_branch_of_a_model_of_audio_and_video(tmp_path):
    """facebook/pe-av-*, whose text encoder three branches share."""
    from transformers import AutoProcessor, PeAudioVideoConfig, PeAudioVideoModel

    config = json.loads((MODELS / "pe_video/config.json").read_text())
    video, small = config["video_config"], {"hidden_size": 64, "num_hidden_layers": 1}
    small |= {"intermediate_size": 96, "num_attention_heads": 4, "head_dim": 16}
    codec = {"encoder_hidden_size": 8, "hidden_size": 16, "downsampling_ratios": [2, 4]}
    audio = small | {"dac_config": codec}
    both = small | {"audio_config": audio, "video_config": video}
    torch.manual_seed(0)
    settings = PeAudioVideoConfig(text_config=config["text_config"], audio_video_config=both)
    network = PeAudioVideoModel(settings).eval()
    network.save_pretrained(tmp_path / "whole")
    AutoProcessor.from_pretrained(MODELS / "pe_video").save_pretrained(tmp_path / "whole")
    model = TransformersModel.load(str(tmp_path / "whole"), device="cpu")
    assert model.name == "pe-video"
    frames = torch.randint(0, 256, (2, 4, 32, 32, 3), dtype=torch.uint8)
    with torch.inference_mode():
        found = network.video_model(
            pixel_values_videos=model.pixels(frames), **model.tokens(PROMPTS)
        )
        ours = model.embed_clips(frames, np.zeros((2, 4)))
    assert ours.numpy() == pytest.approx(found.video_embeds.numpy(), abs=1e-5)
    texts = model.embed_texts(PROMPTS)
    assert texts == pytest.approx(found.text_video_embeds.numpy(), abs=1e-5)


# --- the cache


def change_weights(folder):
    weights = load_file(folder / "model.safetensors")
    save_file({k: v * 1.2 for k, v in weights.items()}, folder / "model.safetensors")


def change_template(folder):
    path = folder / "chat_template.jinja"
    path.write_text(path.read_text().replace("Represent the user's input.", "Say what it is."))


def change_pooling(folder):
    edit(folder / "1_Pooling/config.json", pooling_mode="mean")


@pytest.mark.parametrize("change", [change_weights, change_template, change_pooling])
def test_a_changed_model_is_not_taken_from_the_cache(project, copy, change):
    folder = copy("qwen3vl_embedding")
    model = options(folder, "--n-frames", 2)
    assert evaluate_here(*model) == 0
    before = read_numbers("out/exp")[2]
    change(folder)
    assert evaluate_here(*model) == 0
    changed = read_numbers("out/exp")[2]
    assert (changed != before).any()
    assert evaluate_here(*model, "--no-cache") == 0
    assert read_numbers("out/exp")[2] == pytest.approx(changed, abs=1e-6)


@pytest.mark.parametrize("others", [["--dimensions", 16], ["--precision", "bfloat16"]])
def test_options_are_part_of_what_the_cache_goes_by(project, others):
    model = options(MODELS / "qwen3vl_embedding", "--n-frames", 2)
    assert evaluate_here(*model) == 0
    before = np.load("out/exp/embeddings.npz")
    assert evaluate_here(*model, *others) == 0
    after = np.load("out/exp/embeddings.npz")
    for name in ("videos", "texts"):
        assert after[name].shape != before[name].shape or (after[name] != before[name]).any()
    assert evaluate_here(*model) == 0
    assert (np.load("out/exp/embeddings.npz")["texts"] == before["texts"]).all()


def test_a_model_that_changes_while_it_is_loaded(copy, monkeypatch):
    folder = copy("videoprism")
    model = TransformersModel.load.__func__  # the families' own load
    check = hf_loading.check_keys

    def change(*arguments):
        change_weights(folder)
        check(*arguments)

    monkeypatch.setattr(hf_loading, "check_keys", change)
    message = refused(model, TransformersModel, str(folder), device="cpu")
    assert "model.safetensors changed while it was being loaded" in message


# --- what is wrong with models


@pytest.mark.parametrize(
    "path, content, message",
    [
        ("config.json", "{", "config.json: not JSON"),
        ("config.json", "[]", "config.json: must hold an object"),
        ("config.json", b"\xff\xfe", "config.json: not UTF-8"),
        ("config.json", "{}", "config.json: has no model_type"),
        ("config.json", '{"model_type": "bert"}', "is of type bert: takes models of sentence-"),
        ("config.json", None, "config.json: cannot be read: No such file"),
        ("tokenizer.json", None, "has no tokenizer (tokenizer.json"),
        ("processor_config.json", None, "has no processor of frames"),
        ("processor_config.json", "nonsense", "processor_config.json: not JSON"),
        ("model.safetensors", None, "model.safetensors does not exist"),
        ("model.safetensors", b"", "model.safetensors is empty"),
        ("model.safetensors", b"<html>", "model.safetensors is a web page"),
        ("model.safetensors", b"version https://git-lfs", "is a git-LFS pointer"),
        (
            "model.safetensors",
            b"\x02" + b"\0" * 7 + b"{}",
            "model.safetensors is not a safetensors",
        ),
        ("model.safetensors", b"\x09" + b"\0" * 7 + b'{"a":[1]}', "model.safetensors is not a saf"),
    ],
)
def test_broken_folders(project, copy, capsys, path, content, message):
    folder = copy("videoprism")
    (folder / path).unlink()
    if content is not None:
        write(folder / path, content)
    assert evaluate_here(*options(folder)) == 2
    told = capsys.readouterr().err
    assert message in told and str(folder) in told and "Traceback" not in told
    assert not Path("out").exists()


def test_weights_that_are_cut_short(project, copy, capsys):
    path = copy("xclip") / "model.safetensors"
    path.write_bytes(path.read_bytes()[:-1])
    assert evaluate_here(*options(path.parent)) == 2
    assert f"{path} is not a safetensors file, or damaged or cut short" in capsys.readouterr().err


def test_pickled_weights_are_not_read(project, copy, capsys):
    folder = copy("videoprism")
    weights = load_file(folder / "model.safetensors")
    (folder / "model.safetensors").unlink()
    torch.save(weights, folder / "pytorch_model.bin")
    assert evaluate_here(*options(folder)) == 2
    told = capsys.readouterr().err
    assert "has weights as pytorch_model.bin only, which are not loaded" in told


@pytest.mark.parametrize(
    "name, key",
    [
        ("xclip", "text_projection.weight"),
        ("videoprism", "text_model.layers.0.attention.q_proj.weight"),
        ("qwen3vl_embedding", "language_model.layers.0.mlp.up_proj.weight"),
    ],
)
def test_weights_must_fit(copy, name, key):
    folder = copy(name)
    path = folder / "model.safetensors"
    weights = load_file(path)
    value = weights.pop(key)
    changes = {
        f"1 missing: {key}": {},
        "1 unknown: extra.weight": {key: value, "extra.weight": value.clone()},
        "shape": {key: value[:-1].clone()},
        "holds NaN or infinite values": {key: value * float("nan")},
    }
    for message, change in changes.items():
        save_file(weights | change, path)
        told = refused(TransformersModel.load, str(folder), device="cpu")
        assert str(folder) in told and message in told, told


def test_the_head_that_an_embedder_was_made_without_is_no_mistake(copy):
    path = copy("qwen3vl_embedding") / "model.safetensors"
    save_file(load_file(path) | {"lm_head.weight": torch.zeros(4, 4)}, path)
    assert TransformersModel.load(str(path.parent), device="cpu")


@pytest.mark.parametrize(
    "changes, message",
    [
        ({"vision_config": {"num_frames": "many"}}, "cannot be loaded"),
        ({"text_config": "none"}, "cannot be loaded"),
        ({"text_config": {"hidden_size": 40}}, "of another shape: text_model.embeddings"),
        ({"quantization_config": {"quant_method": "awq"}}, "quantized weights cannot be used"),
        ({"attn_implementation": "someone/kernel"}, "attn_implementation: takes eager or sdpa"),
    ],
)
def test_configurations_that_lie(project, copy, capsys, changes, message):
    folder = copy("videoprism")
    edit(folder / "config.json", **changes)
    assert evaluate_here(*options(folder)) == 2
    told = capsys.readouterr().err
    assert message in told and "Traceback" not in told


@pytest.mark.parametrize(
    "name, part, key, value",
    [
        ("qwen3vl_embedding", "text_config", "num_hidden_layers", 10**9),
        ("qwen3vl_embedding", "vision_config", "depth", 10**9),
        ("qwen3vl_embedding", "vision_config", "num_position_embeddings", 10**12),
        ("videoprism", "vision_config", "num_spatial_layers", 10**9),
        ("videoprism", "text_config", "vocab_size", 10**9),
        ("xclip", "text_config", "num_hidden_layers", 10**9),
        ("xclip", "vision_config", "num_frames", 10**9),
    ],
)
def test_networks_that_are_larger_than_their_weights(copy, name, part, key, value):
    folder = copy(name)
    config = json.loads((folder / "config.json").read_text())
    edit(folder / "config.json", **{part: config[part] | {key: value}})
    told = refused(TransformersModel.load, str(folder), device="cpu")
    assert "config.json: describes a network that is larger than its weights" in told


def test_a_network_of_timm_that_would_be_fetched(project, copy, capsys):
    folder = copy("pe_video")
    text = (folder / "config.json").read_text()
    write(folder / "config.json", text.replace("vit_pe_core_tiny_patch16_384", "hf-hub:a/b"))
    assert evaluate_here(*options(folder)) == 2
    assert "architecture: must be a model of timm, got hf-hub:a/b" in capsys.readouterr().err


def test_code_beside_a_model_is_not_run(project, copy):
    (project / "elsewhere.py").write_text("open('it_ran', 'w')\nclass Evil: pass\n")
    for name in ("qwen3vl_embedding", "videoprism"):
        folder = copy(name)
        (folder / "evil.py").write_text("open('it_ran', 'w')\nclass Evil: pass\n")
        auto_map = dict.fromkeys(("AutoConfig", "AutoModel", "AutoProcessor"), "evil.Evil")
        edit(folder / "config.json", auto_map=auto_map)
        edit(folder / "processor_config.json", auto_map=auto_map, processor_class="Evil")
        edit(folder / "tokenizer_config.json", auto_map={"AutoTokenizer": ["evil.Evil", None]})
        evaluate(*options(folder))
    modules = json.loads((folder.parent / "mine_qwen3vl_embedding/modules.json").read_text())
    modules.append({"idx": 3, "name": "3", "path": "3_Evil", "type": "elsewhere.Evil"})
    write(folder.parent / "mine_qwen3vl_embedding/modules.json", json.dumps(modules))
    done = evaluate(*options(folder.parent / "mine_qwen3vl_embedding"), PYTHONPATH=str(project))
    assert done.returncode == 2
    assert "elsewhere.Evil is code that does not belong to sentence-transformers" in done.stderr
    assert not Path("it_ran").exists()


# --- what is wrong with options


@pytest.mark.parametrize(
    "name, others, message",
    [
        ("xclip", ["--n-frames", 16], "--n-frames 16: xclip takes 8 frames, no other number"),
        ("xclip", ["--dimensions", 8], "xclip is not trained for it"),
        ("qwen3vl_embedding", ["--dimensions", 65], "this model's embeddings have 64"),
        ("qwen3vl_embedding", ["--dimensions", 0], "takes a whole number from 1"),
        ("videoprism", ["--device-map", "auto"], "--device-map: cannot be combined with --device"),
        ("videoprism", ["--device-map", "balanced"], "takes auto"),
    ],
)
def test_wrong_options(project, capsys, name, others, message):
    assert evaluate_here(*options(MODELS / name, *others)) == 2
    assert message in capsys.readouterr().err


@pytest.mark.parametrize(
    "model, message",
    [
        ("", "neither a folder nor OWNER/NAME"),
        ("xclip", "neither a folder nor OWNER/NAME"),
        ("a/b/c", "neither a folder nor OWNER/NAME"),
        ("a/b@", "neither a folder nor OWNER/NAME"),
        ("https://huggingface.co/Qwen/Qwen3-VL-Embedding-2B", "neither a folder nor OWNER/NAME"),
        ("prompts.txt", "is a file: give the folder that it is in"),
        (".", "config.json: cannot be read"),
    ],
)
def test_wrong_names(project, capsys, model, message):
    assert evaluate_here("--model", model, "--device", "cpu") == 2
    assert message in capsys.readouterr().err


def test_a_model_that_takes_no_video(project, copy, capsys):
    folder = copy("qwen3vl_embedding")
    settings = json.loads((folder / "sentence_bert_config.json").read_text())
    del settings["modality_config"]["video"]
    write(folder / "sentence_bert_config.json", json.dumps(settings))
    assert evaluate_here(*options(folder)) == 2
    told = capsys.readouterr().err
    assert "takes no video, only text, image, message" in told


def test_a_reranker_is_a_judge(project, copy, capsys):
    folder = copy("qwen3vl_embedding")
    edit(folder / "config_sentence_transformers.json", model_type="CrossEncoder")
    assert evaluate_here(*options(folder)) == 2
    assert "a reranker has no embeddings: use vlm_evaluator.py" in capsys.readouterr().err


def test_dimensions_only_where_a_model_is_trained_for_them(project, copy, capsys):
    folder = copy("qwen3vl_embedding")
    edit(folder / "config.json", model_type="qwen2_vl")
    assert evaluate_here(*options(folder, "--dimensions", 8)) == 2
    assert "--dimensions: mine_qwen3vl_embedding is not known to be" in capsys.readouterr().err


@pytest.mark.parametrize("found", [None, "5.3.0"])
def test_sentence_transformers_that_is_missing_or_too_old(project, monkeypatch, capsys, found):
    def version(package):
        if found is None:
            raise metadata.PackageNotFoundError(package)
        return found

    monkeypatch.setattr(hf_sentences, "version", version)
    assert evaluate_here(*options(MODELS / "qwen3vl_embedding")) == 2
    told = capsys.readouterr().err
    assert "this model needs sentence-transformers 5.4 or later" in told
    assert "uv run --extra hf transformers_evaluator.py" in told and "uv sync --extra hf" in told
    assert ("and 5.3.0 is installed" in told) == (found is not None)
    assert evaluate_here(*options(MODELS / "videoprism")) == 0  # which does not need it


def test_transformers_that_is_too_old(project, monkeypatch, capsys):
    monkeypatch.setattr("transformers_evaluator.version", lambda _: "5.2.1")
    assert evaluate_here(*options(MODELS / "videoprism")) == 2
    told = capsys.readouterr().err
    assert "needs transformers 5.13 or later, and 5.2.1 is installed" in told


def test_more_weights_than_memory(project, monkeypatch, capsys):
    monkeypatch.setattr(hf_loading, "total_memory", lambda place: 500_000)
    assert evaluate_here(*options(MODELS / "videoprism")) == 0
    assert evaluate_here(*options(MODELS / "pe_video")) == 2
    told = capsys.readouterr().err
    assert "its weights take 0.9 MB in float32, and cpu has 0.5 MB" in told
    embedding = options(MODELS / "qwen3vl_embedding")
    assert evaluate_here(*embedding) == 2
    monkeypatch.setattr(hf_loading, "total_memory", lambda place: 600_000)
    assert evaluate_here(*embedding, "--precision", "bfloat16") == 0


def test_weights_spread_by_accelerate(project):
    model = ["--model", str(MODELS / "qwen3vl_embedding"), "--n-frames", "2"]
    assert evaluate_here(*model, "--device", "cpu") == 0
    before = read_numbers("out/exp")[2]
    assert evaluate_here(*model, "--device-map", "auto", "--no-cache") == 0
    assert read_numbers("out/exp")[2] == pytest.approx(before, abs=0.05)


# --- the Hub


def test_models_of_the_hub(project):
    with hub.serve(project / "served") as (address, requests):
        served = project / "served/test"
        for name in ("videoprism", "qwen3vl_embedding"):
            shutil.copytree(MODELS / name, served / name)
        write(served / "videoprism/pytorch_model.bin", b"not asked for")
        (project / "served/test/gated").mkdir()
        environment = {"HF_ENDPOINT": address, "HF_HOME": str(project / "hub")}
        for name in ("videoprism", "qwen3vl_embedding"):
            model = ["--model", f"test/{name}", "--device", "cpu", "--n-frames", 2]
            done = evaluate(*model, **environment)
            assert (done.returncode, done.stdout) == (0, "out/exp.png\n"), done.stderr
            assert f"downloading the weights of test/{name}: model.safetensors" in done.stderr
        assert not [path for _, path, _ in requests if path.endswith(".bin")]
        before = len(requests)
        done = evaluate(*model, "--no-cache", **environment)  # is all here
        assert done.returncode == 0 and len(requests) == before
        done = evaluate("--model", "test/missing", **environment)
        assert done.returncode == 2
        assert "test/missing could not be downloaded: the Hub has no such repo" in done.stderr
        assert "hf download test/missing --local-dir checkpoints/missing" in done.stderr
        done = evaluate("--model", "test/missing@refs/pr/4", **environment)
        assert "hf download test/missing --revision refs/pr/4 --local-dir" in done.stderr
        assert any("revision/refs%2Fpr%2F4" in path for _, path, _ in requests)
        assert "Traceback" not in done.stderr


def test_a_repository_that_asks_for_agreement(project, monkeypatch, capsys):
    import huggingface_hub
    from huggingface_hub.errors import GatedRepoError

    def refuse(name, local_files_only=False, **_):
        if local_files_only:
            raise huggingface_hub.errors.LocalEntryNotFoundError("not here")
        response = type("Response", (), {"status_code": 403, "headers": {}, "request": None})()
        raise GatedRepoError("gated", response=response)

    monkeypatch.setattr(huggingface_hub, "snapshot_download", refuse)
    assert evaluate_here("--model", "facebook/pe-av-small", "--device", "cpu") == 2
    told = capsys.readouterr().err
    assert "facebook/pe-av-small could not be downloaded: its owners ask for your agr" in told


def test_without_a_network(project):
    environment = {"HF_ENDPOINT": "http://127.0.0.1:9", "HF_HOME": str(project / "hub")}
    done = evaluate("--device", "cpu", **environment)
    name = "Qwen/Qwen3-VL-Embedding-2B"
    assert done.returncode == 2
    assert done.stderr.splitlines() == [
        f"{name} could not be downloaded: the connection was refused",
        f"  published at: https://huggingface.co/{name}",
        f"  get it with:  hf download {name} --local-dir checkpoints/Qwen3-VL-Embedding-2B",
        "  then give:    --model checkpoints/Qwen3-VL-Embedding-2B",
    ]
    environment["HF_HUB_OFFLINE"] = "1"
    done = evaluate(**environment)
    assert f"{name} could not be downloaded: it is not in the Hub's cache" in done.stderr


# --- start-up


def test_help_imports_nothing_heavy(project):
    heavy = ("torch", "numpy", "av", "transformers", "sentence_transformers", "huggingface_hub")
    for name in heavy:
        Path(f"{name}.py").write_text(f"raise RuntimeError('{name} was imported')")
    done = evaluate("--help", PYTHONPATH=str(project))
    assert (done.returncode, done.stderr) == (0, "")
    assert "--dimensions" in done.stdout


def test_constructing_reads_nothing():
    for family in (SentenceModel, VideoPrism, PeVideo, XClip):
        assert family("/nonexistent/name", device="cpu").description == "name"
