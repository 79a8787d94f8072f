"""Judges: against the references' figures, from Python and from the command line."""

import json
import shutil
from functools import cache, partial
from pathlib import Path
from types import SimpleNamespace

import hub
import numpy as np
import pytest
import recipe
import runs
import torch
from conftest import refused, write
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image
from runs import PROMPTS, TRAJECTORIES, read_numbers

from trajeval.videos import read_clip
from vlm_evaluator import MODEL, RERANKER, VlmJudge
from vlm_prefix import next_logits
from vlm_questions import score_of

MODELS = recipe.GOLDEN / "models"
TOPREWARD = np.load(recipe.GOLDEN / "topreward/topreward.npz")
TASKS = json.loads((recipe.GOLDEN / "topreward/topreward.json").read_text())["instructions"]
EMBEDDING = np.load(recipe.GOLDEN / "embedding/embedding.npz")
RERANKED = json.loads((recipe.GOLDEN / "embedding/embedding.json").read_text())
FRAMES = torch.from_numpy(TOPREWARD["video"])
UNKNOWN = np.full(len(FRAMES), np.nan)
evaluate = partial(runs.evaluate, "vlm_evaluator.py")
evaluate_here = partial(runs.evaluate_here, VlmJudge)
WAYS = [("true", False), ("true", True), ("yes", False), ("rank", False)]


@cache
def judge(question="true", chat_template=False, folder=None):
    folder = folder or MODELS / ("qwen3vl_reranker" if question == "rank" else "qwen3vl")
    return VlmJudge(str(folder), question, chat_template=chat_template, device="cpu")


def scaled(model, frames):
    return torch.from_numpy(np.stack([model.resize(frame) for frame in frames.numpy()]))


def score(model, frames=FRAMES, times=None, prompts=TASKS):
    frames = scaled(model, frames)
    with torch.inference_mode():
        return model.score(frames, UNKNOWN[: len(frames)] if times is None else times, prompts)


def one_by_one(model, *arguments, prompts):
    return np.concatenate([score(model, *arguments, prompts=[prompt]) for prompt in prompts])


def agree(found, expected):
    """Within 1e-4 of the largest value."""
    return np.abs(found - expected).max() <= 1e-4 * np.abs(expected).max()


# --- the references' figures


@pytest.mark.parametrize("way, chat_template", [("plain", False), ("chat", True)])
def test_true_is_topreward(way, chat_template):
    model = judge("true", chat_template)
    found = score(model)
    assert found.dtype == np.float32 and found.shape == (5,)
    assert agree(found, TOPREWARD[f"{way}_rewards"])
    curve = np.stack([score(model, FRAMES[:n]) for n in range(1, 9)], axis=1)
    assert agree(curve, TOPREWARD[f"{way}_official_curve_raw"])
    assert agree(curve[:, 1:], TOPREWARD[f"{way}_curve_raw"])


@pytest.mark.parametrize("way, chat_template", [("plain", False), ("chat", True)])
def test_frames_are_scaled_as_topreward_does(way, chat_template):
    """The authors' code scales frames to 244 by 244 first, and the processor to 256 by 256."""
    images = [Image.fromarray(frame).resize((244, 244)) for frame in FRAMES.numpy()]
    frames = torch.from_numpy(np.stack([np.asarray(image) for image in images]))
    found = score(judge("true", chat_template), frames)
    assert agree(found, TOPREWARD[f"{way}_official244_rewards"])


def test_yes_is_vqascore():
    assert agree(score(judge("yes")), TOPREWARD["vqascore_frames"])


@pytest.mark.parametrize("i", range(3))
def test_rank_is_the_rerankers_logit(i):
    facts = RERANKED["video_metadata"][i]
    times = np.array(facts["frames_indices"]) / facts["fps"]
    frames = torch.from_numpy(EMBEDDING[f"video_{i}"])
    found = score(judge("rank"), frames, times, RERANKED["prompts"])
    assert agree(found, EMBEDDING["reranker_logit"][:, i])


@pytest.mark.parametrize(
    "question, chat_template, name, predicted",
    [("true", False, "plain", 1), ("true", True, "chat", 1), ("yes", False, "vqa", 0)],
)
def test_token_ids_are_the_references(question, chat_template, name, predicted):
    model = judge(question, chat_template)
    video, texts = model.encode(scaled(model, FRAMES), UNKNOWN, TASKS)
    for i, text in enumerate(texts):
        ids = text["input_ids"][0].tolist() + model.answer * predicted
        assert ids == TOPREWARD[f"{name}_input_ids_{i}"].tolist()
    if predicted:
        assert video["video_grid_thw"].tolist() == TOPREWARD[f"{name}_video_grid_thw"].tolist()
        pixels = video["pixel_values_videos"].numpy()
        np.testing.assert_allclose(pixels, TOPREWARD[f"{name}_pixel_values_videos"], atol=1e-6)


def test_the_rerankers_token_ids_are_the_references():
    times = np.arange(8) / 2
    frames = torch.from_numpy(EMBEDDING["video_0"])
    model = judge("rank")
    _, [text] = model.encode(scaled(model, frames), times, RERANKED["prompts"][:1])
    assert text["input_ids"][0].tolist() == EMBEDDING["reranker_input_ids_0"].tolist()


# --- what prompts share


@settings(max_examples=12)
@given(
    way=st.sampled_from(WAYS),
    shape=st.tuples(st.integers(1, 5), st.integers(20, 90), st.integers(20, 90)),
    prompts=st.lists(st.text(max_size=20), min_size=2, max_size=4, unique=True),
    fps=st.sampled_from([np.nan, 0.3, 30.0]),
)
def test_prompts_do_not_change_each_others_scores(way, shape, prompts, fps):
    pixels = np.random.default_rng(shape).integers(0, 256, (*shape, 3), np.uint8)
    frames, times = torch.from_numpy(pixels), np.arange(shape[0]) / fps
    together = score(judge(*way), frames, times, prompts)
    assert agree(together, one_by_one(judge(*way), frames, times, prompts=prompts))


def read_by(module, call):
    """How many tokens, or parts of frames, go through a module during a call."""
    seen = []

    def note(_module, arguments, settings):
        seen.append(next(v for v in (*arguments, *settings.values()) if torch.is_tensor(v)))

    hook = module.register_forward_pre_hook(note, with_kwargs=True)
    try:
        call()
    finally:
        hook.remove()
    return sum(value.shape[-2] for value in seen)


@pytest.mark.parametrize("question", ["true", "yes", "rank"])
def test_the_video_goes_through_the_network_once(question):
    model = judge(question)
    tower = model.video_network.model.visual
    assert read_by(tower, lambda: score(model)) == read_by(
        tower, lambda: score(model, prompts=TASKS[:1])
    )
    if question == "rank":  # there the prompt comes before the video
        return
    layer = model.video_network.model.language_model.layers[0]
    lengths = [
        text["input_ids"].shape[1]
        for text in model.encode(scaled(model, FRAMES), UNKNOWN, TASKS)[1]
    ]
    assert read_by(layer, lambda: score(model)) < sum(lengths) / 2
    assert read_by(layer, lambda: score(model, prompts=TASKS[:1])) == lengths[0]


def test_a_score_does_not_depend_on_the_video_before():
    model = judge("true")
    before = score(model, prompts=TASKS[:2])
    score(model, FRAMES[:3, :32])
    np.testing.assert_array_equal(score(model, prompts=TASKS[:2]), before)


# --- times and frames


def test_topreward_does_not_look_at_times():
    model, times = judge("true"), np.arange(8) * 3.0
    np.testing.assert_array_equal(score(model, times=times), score(model))


@pytest.mark.parametrize("question", ["yes", "rank"])
def test_unknown_times_are_half_a_second_apart(question):
    model, times = judge(question), np.arange(8) / 2
    np.testing.assert_array_equal(score(model, times=times), score(model))
    assert np.abs(score(model, times=times * 4) - score(model)).max() > 0


@pytest.mark.parametrize("question, chat_template", WAYS)
def test_one_frame_is_doubled(question, chat_template):
    found = score(judge(question, chat_template), FRAMES[:1], np.zeros(1))
    assert np.isfinite(found).all()
    if question != "true":  # to which the second frame is half a second later
        doubled = score(judge(question), FRAMES[:1].repeat(2, 1, 1, 1), np.zeros(2))
        np.testing.assert_array_equal(found, doubled)


def test_frames_of_any_shape_that_the_processor_refuses_are_a_value_error():
    with pytest.raises(ValueError, match="aspect ratio"):
        score(judge(), torch.zeros(2, 4, 2000, 3, dtype=torch.uint8))


# --- scores


def test_several_tokens_count_by_their_geometric_mean():
    logits = torch.tensor([[0.0, 1.0, 2.0], [3.0, 0.0, 1.0]])
    p = logits.softmax(1)
    assert score_of("yes", logits, [2, 0]) == pytest.approx((p[0, 2] * p[1, 0]).sqrt().item())
    assert score_of("yes", logits[:1], [2]) == pytest.approx(p[0, 2].item())
    assert score_of("true", logits[:1], [1]) == pytest.approx(p[0, 1].log().item())
    assert score_of("rank", logits[1:], [0, 2]) == 2


@pytest.mark.parametrize("precision", ["bfloat16", "float16"])
def test_half_precision_is_near(precision):
    model = VlmJudge(str(MODELS / "qwen3vl"), device="cpu", precision=precision)
    assert np.abs(score(model) - TOPREWARD["plain_rewards"]).max() < 0.3
    assert model.video_network.dtype == getattr(torch, precision)


def test_similarities_from_python_are_scores():
    model = VlmJudge.load(str(MODELS / "qwen3vl"), "yes", device="cpu", n_frames=8)
    found = model.similarity([FRAMES.numpy(), TRAJECTORIES[0]], TASKS)
    assert agree(found[0], TOPREWARD["vqascore_frames"])
    assert found.shape == (2, 5) and model.embed_videos is None


def test_a_device_map_changes_nothing():
    model = VlmJudge(str(MODELS / "qwen3vl"), device_map="auto", precision="float32")
    assert agree(score(model), TOPREWARD["plain_rewards"])


def test_labels_and_names():
    assert [judge(*way).score_label for way in WAYS] == [
        *["log p(True)"] * 2,
        "p(Yes)",
        "logit(yes) - logit(no)",
    ]
    assert judge().description == "qwen3vl, question true"
    assert judge("true", True).description == "qwen3vl, question true, chat template"
    assert VlmJudge().model == VlmJudge(question="yes").model == MODEL
    assert VlmJudge(question="rank").model == RERANKER


# --- other models


def random_weights(network):
    torch.manual_seed(0)
    with torch.no_grad():
        for value in network.parameters():
            if value.ndim > 1:
                value.normal_(0, 0.3)
    return network


@pytest.fixture(scope="module")
def qwen25(tmp_path_factory):
    """A small Qwen2.5-VL, which numbers positions by seconds and has no times in its words."""
    import transformers as hf

    folder = tmp_path_factory.mktemp("qwen25")
    tokenizer = hf.AutoTokenizer.from_pretrained(MODELS / "qwen3vl")
    ids = tokenizer.get_vocab()
    places = ("image_pad", "video_pad", "vision_start", "vision_end")
    names = ("image_token_id", "video_token_id", "vision_start_token_id", "vision_end_token_id")
    config = hf.Qwen2_5_VLConfig(
        text_config={
            **{"hidden_size": 64, "intermediate_size": 128, "num_hidden_layers": 2},
            **{"num_attention_heads": 4, "num_key_value_heads": 2, "vocab_size": 544},
            "rope_parameters": {
                **{"rope_type": "default", "rope_theta": 1e6},
                "mrope_section": [4, 2, 2],
            },
        },
        vision_config={
            **{"depth": 2, "hidden_size": 32, "intermediate_size": 64, "num_heads": 2},
            **{"out_hidden_size": 64, "window_size": 56, "fullatt_block_indexes": [1]},
        },
        **{name: ids[f"<|{place}|>"] for name, place in zip(names, places)},
    )
    random_weights(hf.Qwen2_5_VLForConditionalGeneration(config)).save_pretrained(folder)
    template = (MODELS / "qwen3vl/chat_template.jinja").read_text()
    hf.Qwen2_5_VLProcessor(
        hf.Qwen2VLImageProcessor(), tokenizer, hf.Qwen2VLVideoProcessor(), chat_template=template
    ).save_pretrained(folder)
    return folder


@pytest.fixture(scope="module")
def onevision(tmp_path_factory):
    """A small LLaVA-OneVision, whose positions are plain and whose frames have one size."""
    import transformers as hf

    folder = tmp_path_factory.mktemp("onevision")
    tokenizer = hf.AutoTokenizer.from_pretrained(MODELS / "qwen3vl")
    tokenizer.add_special_tokens({"additional_special_tokens": ["<image>", "<video>"]})
    ids, size = tokenizer.get_vocab(), {"height": 56, "width": 56}
    config = hf.LlavaOnevisionConfig(
        vision_config={
            **{"model_type": "siglip_vision_model", "hidden_size": 32, "intermediate_size": 64},
            **{"num_hidden_layers": 2, "num_attention_heads": 2, "vision_use_head": False},
            **{"image_size": 56, "patch_size": 14},
        },
        text_config={
            **{"model_type": "qwen2", "hidden_size": 64, "intermediate_size": 128},
            **{"num_hidden_layers": 2, "num_attention_heads": 4, "num_key_value_heads": 2},
            "vocab_size": 560,
        },
        image_token_index=ids["<image>"],
        video_token_index=ids["<video>"],
        image_grid_pinpoints=[[56, 56]],
    )
    random_weights(hf.LlavaOnevisionForConditionalGeneration(config)).save_pretrained(folder)
    template = (MODELS / "qwen3vl/chat_template.jinja").read_text()
    hf.LlavaOnevisionProcessor(
        hf.LlavaOnevisionImageProcessor(size=size),
        tokenizer,
        hf.LlavaOnevisionVideoProcessor(size=size),
        num_image_tokens=16,
        vision_feature_select_strategy="full",
        chat_template=template.replace("<|vision_start|><|video_pad|><|vision_end|>", "<video>"),
    ).save_pretrained(folder)
    return folder


@pytest.mark.parametrize("family", ["qwen25", "onevision"])
@pytest.mark.parametrize("question", ["true", "yes"])
def test_other_models_share_the_video_too(family, question, request):
    model = judge(question, False, request.getfixturevalue(family))
    times = np.arange(8) / 3
    together = score(model, FRAMES, times)
    assert agree(together, one_by_one(model, FRAMES, times, prompts=TASKS))
    assert np.ptp(together) > 0
    assert np.abs(together - score(model, FRAMES.flip(0), times)).max() > 0
    layer = model.video_network.model.language_model.layers[0]
    lengths = [
        text["input_ids"].shape[1] for text in model.encode(scaled(model, FRAMES), times, TASKS)[1]
    ]
    assert read_by(layer, lambda: score(model)) < sum(lengths) / 2


@pytest.mark.parametrize("family", ["qwen3vl", "qwen25", "onevision"])
@pytest.mark.parametrize("size", [(20, 90), (240, 320), (1080, 1920)])
@pytest.mark.parametrize("n_frames", [1, 5])
def test_frames_are_scaled_one_by_one_as_the_processor_scales_the_clip(
    family, size, n_frames, request
):
    folder = MODELS / family if family == "qwen3vl" else request.getfixturevalue(family)
    model = VlmJudge(str(folder), device="cpu", n_frames=n_frames)
    process = model.text_network.video_processor
    if family != "onevision":
        process.size.longest_edge = 400_000  # or all of these are small enough
    noise = np.random.default_rng(0).integers(0, 256, (n_frames, *size, 3), np.uint8)
    frames = torch.from_numpy(noise)
    model.video_network = SimpleNamespace(device="cpu", dtype=torch.float32)
    ours = model.encode(scaled(model, frames), UNKNOWN[:n_frames], TASKS[:1])[0]
    clip = (frames.expand(2, -1, -1, -1) if n_frames == 1 else frames).movedim(3, 1)
    theirs = process(videos=[clip], do_sample_frames=False, return_tensors="pt")
    for name, values in theirs.items():
        assert torch.equal(ours[name], values), name


# --- models that cannot be asked


@pytest.fixture
def folder(tmp_path):
    """A copy of the small Qwen3-VL."""
    return Path(shutil.copytree(MODELS / "qwen3vl", tmp_path / "copy"))


def edit(path, **changes):
    path.write_text(json.dumps(json.loads(path.read_text()) | changes))


def load(folder, *arguments, **settings):
    return VlmJudge(str(folder), *arguments, device="cpu", **settings).video_network


def test_a_model_that_does_not_answer_questions(folder):
    edit(folder / "config.json", model_type="clip")
    assert "is of type clip, which does not answer questions about videos" in refused(load, folder)


def test_a_model_without_a_chat_template(folder):
    (folder / "chat_template.jinja").unlink()
    assert "has no chat template" in refused(load, folder)


def test_a_template_without_a_place_for_a_video(folder):
    (folder / "chat_template.jinja").write_text("{{ messages[0].content[1].text }}")
    assert "has no place for a video" in refused(load, folder, "yes")


def test_a_reranker_of_another_kind(onevision):
    assert "takes Qwen3-VL-Reranker and its kin" in refused(load, onevision, "rank")


def test_an_answer_of_several_tokens(folder):
    path = folder / "tokenizer.json"
    content = json.loads(path.read_text(encoding="utf-8"))
    merges = content["model"]["merges"]
    content["model"]["merges"] = [
        pair for pair in merges if "".join(pair)[-3:] not in ("rue", "Yes")
    ]
    path.write_text(json.dumps(content), encoding="utf-8")
    assert '" True" is ' in refused(load, folder) and "and not one" in refused(load, folder)
    model = judge("yes", False, folder)  # by the geometric mean
    assert len(model.answer) > 1
    together = score(model)
    assert (together > 0).all() and (together < 1).all()
    assert agree(together, one_by_one(model, prompts=TASKS))
    video, texts = model.encode(scaled(model, FRAMES), UNKNOWN, TASKS[:1])
    with torch.inference_mode():
        [logits] = next_logits(model.video_network, video, texts, len(model.answer))
    p = logits.softmax(1)[range(len(model.answer)), model.answer]
    assert together[0] == pytest.approx(p.prod().item() ** (1 / len(p)), rel=1e-4)


@pytest.mark.parametrize("token", ["<|video_pad|>", "<|im_end|>", "<|endoftext|>"])
def test_a_prompt_with_a_token_of_the_models_own(token):
    for call in (judge().read_texts, lambda prompts: score(judge(), prompts=prompts)):
        message = refused(call, ["open", f"close {token} it"])
        assert f"the model takes {token} for a sign of its own" in message


def test_what_a_model_reads_of_prompts():
    readings = judge().read_texts(["open the drawer", 'say "50 %", 开'])
    assert all(reading.tokens and not reading.unseen for reading in readings)
    assert readings[0].tokens != readings[1].tokens


# --- from the command line


def small(name="qwen3vl"):
    """Arguments of a run that is quick."""
    return ["--model", MODELS / name, "--device", "cpu", "--n-frames", 2]


@pytest.fixture
def two(project):
    """A project of two videos."""
    Path("trajectories.txt").write_text("\n".join(map(str, TRAJECTORIES[:2])))
    return project


@pytest.mark.parametrize("question, chat_template", WAYS)
def test_a_run_leaves_the_heatmap_and_its_numbers(question, chat_template, two, capsys):
    name = "qwen3vl_reranker" if question == "rank" else "qwen3vl"
    arguments = ["--question", question, *(["--chat-template"] if chat_template else [])]
    assert evaluate_here(*small(name), *arguments) == 0
    out, err = capsys.readouterr()
    assert out == "out/exp.png\n"
    assert f"loading {MODELS / name}: 1.1 MB of weights in float32 on cpu" in err
    header, names, numbers = read_numbers("out/exp")
    assert header == ["trajectory", *PROMPTS]
    assert names == [path.as_posix() for path in TRAJECTORIES[:2]]
    model = judge(question, chat_template)
    for path, row in zip(TRAJECTORIES, numbers):
        clip = read_clip(path, 2, model.resize, None)
        frames = torch.from_numpy(clip.frames)
        assert agree(row, score(model, frames, clip.indices / clip.fps, PROMPTS))
    run = json.loads(Path("out/exp/run.json").read_text(encoding="utf-8"))
    assert (run["model"], run["similarity"]) == ("vlm", model.score_label)
    assert run["description"] == model.description
    assert [Path(one["path"]).name for one in run["weights"]] == ["model.safetensors"]
    assert run["versions"]["transformers"] and run["size"]["shortest_edge"] == 4096
    assert not Path("out/exp/embeddings.npz").exists()


def test_a_second_run_needs_neither_torch_nor_transformers(two):
    assert evaluate_here(*small()) == 0
    before = Path("out/exp/similarities.csv").read_bytes()
    for module in ("torch", "av", "transformers"):
        write(two / f"shadow/{module}.py", f"raise RuntimeError('{module} was imported')")
    shadow = {"PYTHONPATH": str(two / "shadow")}
    done = evaluate(*small(), **shadow)
    assert (done.returncode, done.stdout) == (0, "out/exp.png\n"), done.stderr
    assert Path("out/exp/similarities.csv").read_bytes() == before
    assert "was imported" in evaluate(*small(), "--no-cache", **shadow).stderr


def test_a_new_prompt_is_the_only_one_that_is_scored(two, monkeypatch):
    asked, scored = [], VlmJudge.score

    def note(self, frames, times, prompts):
        asked.append(prompts)
        return scored(self, frames, times, prompts)

    monkeypatch.setattr(VlmJudge, "score", note)
    assert evaluate_here(*small()) == 0
    before = read_numbers("out/exp")[2]
    Path("prompts.txt").write_text("\n".join(["a new one", *PROMPTS]))
    assert evaluate_here(*small()) == 0
    assert asked == [PROMPTS] * 2 + [["a new one"]] * 2
    np.testing.assert_array_equal(read_numbers("out/exp")[2][:, 1:], before)
    assert evaluate_here(*small(), "--chat-template") == 0  # another question
    assert len(asked) == 6


def test_bad_videos_are_named_and_the_others_scored(two, capsys):
    write("broken.mp4", b"no video")
    np.save("narrow.npy", np.zeros((3, 4, 2000, 3), np.uint8))
    np.save("one.npy", np.full((1, 32, 32, 3), 90, np.uint8))
    Path("trajectories.txt").write_text("broken.mp4\nnarrow.npy\none.npy\n")
    assert evaluate_here(*small()) == 1
    err = capsys.readouterr().err
    assert "broken.mp4" in err and "narrow.npy: absolute aspect ratio" in err
    assert read_numbers("out/exp")[1] == ["one.npy"]


@pytest.mark.parametrize(
    "arguments, message",
    [
        (["--question", "maybe"], "--question maybe: takes true, yes, rank"),
        (["--question", "yes", "--chat-template"], "--chat-template: --question yes and rank"),
        (["--device-map", "auto"], "--device-map: cannot be combined with --device"),
        (["--model", "nowhere"], "--model nowhere: neither a folder nor OWNER/NAME"),
        (["--similarity", "projection"], "this model gives scores, no embeddings"),
        (["--ensemble", "mean-embedding"], "this model gives scores, no embeddings"),
    ],
)
def test_wrong_arguments(arguments, message, two, capsys):
    assert evaluate_here(*small(), *arguments) == 2
    assert message in capsys.readouterr().err
    assert not Path("out").exists()


def test_a_wrong_prompt_ends_the_run(two, capsys):
    Path("prompts.txt").write_text("open\nclose <|im_end|> it\n")
    assert evaluate_here(*small()) == 2
    assert 'the prompt "close <|im_end|> it"' in capsys.readouterr().err


@pytest.mark.parametrize("what", ["cut", "other", "pickled"])
def test_wrong_weights(what, two, folder, capsys):
    weights = folder / "model.safetensors"
    if what == "cut":
        weights.write_bytes(weights.read_bytes()[:-1000])
    elif what == "other":
        vision = json.loads((folder / "config.json").read_text())["vision_config"]
        edit(folder / "config.json", vision_config=vision | {"depth": 1})
    else:
        weights.rename(folder / "pytorch_model.bin")
    assert evaluate_here("--model", folder, "--device", "cpu") == 2
    err = capsys.readouterr().err
    assert {"cut": "cut short", "other": "do not fit", "pickled": "can hold code"}[what] in err
    assert "Traceback" not in err


def test_a_model_whose_code_comes_with_it(two, folder, capsys):
    edit(folder / "config.json", model_type="mine", auto_map={"AutoConfig": "evil.Evil"})
    write(folder / "evil.py", "raise SystemExit(99)")
    assert evaluate_here("--model", folder, "--device", "cpu") == 2
    assert "is of type mine, which does not answer questions" in capsys.readouterr().err


def test_a_model_of_the_hub(two, tmp_path):
    """It is downloaded once; one of another kind is not, beyond its small files."""
    for name in ("good", "other"):
        shutil.copytree(MODELS / "qwen3vl", tmp_path / "hub/test" / name)
    edit(tmp_path / "hub/test/other/config.json", model_type="clip")
    with hub.serve(tmp_path / "hub") as (address, requests):
        environment = {"HF_ENDPOINT": address, "HF_HOME": str(tmp_path / "home")}
        run = partial(evaluate, "--device", "cpu", "--n-frames", 2, **environment)
        done = run("--model", "test/other")
        assert done.returncode == 2 and "--model test/other: is of type clip" in done.stderr
        assert not [path for method, path, _ in requests if path.endswith("model.safetensors")]
        done = run("--model", "test/good")
        assert (done.returncode, done.stdout) == (0, "out/exp.png\n"), done.stderr
        assert "downloading the weights of test/good" in done.stderr
        seen = len(requests)
        assert run("--model", "test/good").returncode == 0 and len(requests) == seen
