"""Models from Hugging Face folders against what the libraries' own code gave on the same small
random ones."""

import json
import sys
import time
from functools import cache
from threading import Event, Thread

import numpy as np
import pytest
import torch
from conftest import refused
from recipe import GOLDEN

from hf_loading import quiet
from trajeval.sources import Source
from transformers_evaluator import TransformersModel

MODELS = GOLDEN / "models"
FEATURES = {  # of each family: what the figures call its two embeddings
    "videoprism": ("video_features", "text_features"),
    "pe_video": ("video_embeds", "text_video_embeds"),
}


@cache
def load(name, **settings):
    return TransformersModel.load(str(MODELS / name), device="cpu", **settings)


@cache
def figures(name):
    return np.load(GOLDEN / f"{name}/{name}.npz")


@cache
def facts(name):
    return json.loads((GOLDEN / f"{name}/{name}.json").read_text())


def assert_agree(ours, theirs):
    """Within 1e-4 of the largest value, as all networks here must."""
    assert np.abs(np.asarray(ours) - theirs).max() <= 1e-4 * np.abs(theirs).max()


def embed_clips(model, frames, times):
    with torch.inference_mode():
        return model.embed_clips(torch.from_numpy(frames), times).numpy()


@pytest.mark.parametrize("name", FEATURES)
def test_embeddings_of_videos_and_prompts(name):
    model, found = load(name), figures(name)
    frames = np.stack([found[f"video_{i}"] for i in range(3)])
    videos, texts = FEATURES[name]
    ours = embed_clips(model, frames, np.zeros(frames.shape[:2]))
    assert_agree(ours, found[videos].reshape(ours.shape))
    assert_agree(model.embed_texts(facts(name)["prompts"]), found[texts])


def test_the_similarity_of_videoprism_is_the_cosine():
    model, found = load("videoprism"), figures("videoprism")
    videos = [found[f"video_{i}"] for i in range(3)]
    ours = model.similarity(videos, facts("videoprism")["prompts"])
    assert_agree(ours, found["cosine"])


def test_the_similarity_of_pe_av_is_the_cosine_within_its_logits():
    model, found = load("pe_video"), figures("pe_video")
    frames = np.stack([found[f"video_{i}"] for i in range(3)])
    videos = embed_clips(model, frames, np.zeros(frames.shape[:2]))
    texts = model.embed_texts(facts("pe_video")["prompts"])
    scale, bias = (facts("pe_video")[f"text_video_logit_{name}"] for name in ("scale", "bias"))
    assert_agree(videos @ texts.T * scale + bias, found["logits_video_text"])


@pytest.mark.parametrize("i", range(3))
def test_x_clip_scores_as_its_forward_does(i):
    model, found = load("xclip"), figures("xclip")
    frames = np.stack([model.resize(frame) for frame in found[f"video_{i}"]])
    assert_agree(model.pixels(torch.from_numpy(frames)), found["pixel_values"][i])
    scores = model.score(torch.from_numpy(frames), np.zeros(8), facts("xclip")["prompts"])
    assert_agree(scores, found["cosine"][i])
    assert np.abs(scores - found["plain_cosine"][i]).max() > 0.01  # another number


def test_x_clip_scores_a_prompt_the_same_whatever_the_others_are():
    model, frames = load("xclip"), figures("xclip")["video_0"]
    frames = torch.from_numpy(np.stack([model.resize(frame) for frame in frames]))
    prompts = facts("xclip")["prompts"]
    alone = [model.score(frames, np.zeros(8), [prompt])[0] for prompt in prompts]
    assert_agree(alone, model.score(frames, np.zeros(8), prompts))


@pytest.mark.parametrize("i", range(3))
def test_sentence_transformers_get_frames_as_sampled_with_their_times(i):
    model, found = load("qwen3vl_embedding"), figures("embedding")
    told = facts("embedding")["video_metadata"][i]
    times = np.array(told["frames_indices"]) / told["fps"]
    ours = embed_clips(model, found[f"video_{i}"][None], times[None])
    assert_agree(ours[0], found["video_frames_as_they_are"][i])
    sampled_again = found["video_bare_array_default_sampling"][i]
    assert np.abs(ours[0] - sampled_again).max() > 1e-3


def test_sentence_transformers_read_prompts_as_queries():
    model, prompts = load("qwen3vl_embedding"), facts("embedding")["prompts"]
    assert_agree(model.embed_texts(prompts), figures("embedding")["text"])
    model = TransformersModel.load(str(MODELS / "qwen3vl_embedding"), device="cpu")
    model.text_network.prompts["query"] = facts("embedding")["instruction"]
    assert_agree(model.embed_texts(prompts), figures("embedding")["text_instruction"])
    ids = model.read_texts(prompts)[0].tokens
    assert len(ids) > len(figures("embedding")["text_input_ids_0"])  # the longer instruction


def test_dimensions_are_the_first_ones():
    whole = load("qwen3vl_embedding")
    cut = load("qwen3vl_embedding", dimensions=16)
    prompts = facts("embedding")["prompts"]
    assert_agree(cut.embed_texts(prompts), whole.embed_texts(prompts)[:, :16])
    frames = figures("embedding")["video_0"][None]
    times = np.arange(8.0)[None]
    assert_agree(embed_clips(cut, frames, times), embed_clips(whole, frames, times)[:, :16])


@pytest.mark.parametrize("name", ["xclip", "videoprism", "pe_video"])
def test_tokens_of_prompts(name):
    found = figures(name)
    wanted = [
        ids[mask > 0].tolist() for ids, mask in zip(found["input_ids"], found["attention_mask"])
    ]
    readings = load(name).read_texts(facts(name)["prompts"])
    assert [reading.tokens for reading in readings] == wanted
    assert not any(reading.unseen for reading in readings)


def test_tokens_of_prompts_within_a_chat_template():
    readings = load("qwen3vl_embedding").read_texts(facts("embedding")["prompts"])
    for i, reading in enumerate(readings):
        assert reading.tokens == figures("embedding")[f"text_input_ids_{i}"].tolist()


@pytest.mark.parametrize("name, context", [("xclip", 77), ("qwen3vl_embedding", 4096)])
def test_what_is_cut_off_a_prompt_is_told(name, context):
    (reading,) = load(name).read_texts(["drawer " * 9000 + "shut"])
    assert len(reading.tokens) == context
    (message,) = reading.unseen
    assert message.startswith(f"longer than the model's {context} tokens; cut off: drawer")


def test_words_that_a_vocabulary_lacks_are_told():
    (reading,) = load("videoprism").read_texts(["open the 抽屉 drawer"])
    assert reading.unseen == ["not in the model's vocabulary: 抽屉"]


@pytest.mark.parametrize(
    "name, token",
    [
        ("qwen3vl_embedding", "<|video_pad|>"),
        ("qwen3vl_embedding", "<|im_start|>"),
        ("xclip", "<|endoftext|>"),
        ("videoprism", "</s>"),
        ("pe_video", "[SEP]"),
    ],
)
def test_a_prompt_with_a_token_of_the_models_own(name, token):
    model, prompts = load(name), ["open it", f"open {token} it"]
    for use in (model.read_texts, model.embed_texts or model.read_texts):
        assert f"the model takes {token} for a sign of its own" in refused(use, prompts)


# --- frames

SIZES = [(100, 130), (20, 20), (300, 50), (480, 640)]


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("name", ["xclip", "videoprism", "pe_video"])
def test_frames_are_prepared_as_the_processor_does(name, size):
    model = load(name)
    frames = np.random.default_rng(0).integers(0, 256, (8, *size, 3), np.uint8)
    scaled = torch.from_numpy(np.stack([model.resize(frame) for frame in frames]))
    if name == "xclip":
        theirs = model.processor(videos=list(frames), return_tensors="pt")["pixel_values"][0]
    else:
        video = torch.from_numpy(frames).movedim(3, 1)
        found = model.processor.video_processor(
            videos=[video], do_sample_frames=False, return_tensors="pt"
        )
        theirs = found["pixel_values_videos"][0]
    assert_agree(model.pixels(scaled), theirs.numpy())


@pytest.mark.parametrize("size", [*SIZES, (1000, 1500)])
@pytest.mark.parametrize("n_frames", [1, 2, 5])
def test_frames_are_scaled_one_by_one_as_qwen_scales_the_clip(size, n_frames):
    model = load("qwen3vl_embedding", n_frames=n_frames)
    n_frames = max(n_frames, 2)  # a single frame is doubled
    frames = np.random.default_rng(0).integers(0, 256, (n_frames, *size, 3), np.uint8)
    scaled = np.stack([model.resize(frame) for frame in frames])
    process = model.processor.video_processor
    settings = {"do_sample_frames": False, "cap_pixels_per_frame": True, "return_tensors": "pt"}
    theirs = process(videos=[torch.from_numpy(frames).movedim(3, 1)], **settings)
    ours = process(videos=[torch.from_numpy(scaled).movedim(3, 1)], do_resize=False, **settings)
    assert torch.equal(ours["video_grid_thw"], theirs["video_grid_thw"])
    assert torch.equal(ours["pixel_values_videos"], theirs["pixel_values_videos"])


def test_a_single_frame_is_a_still_pair():
    model, frame = load("qwen3vl_embedding"), figures("embedding")["video_0"][None, :1]
    pair = np.repeat(frame, 2, axis=1)
    one = embed_clips(model, frame, np.zeros((1, 1)))
    assert_agree(one, embed_clips(model, pair, np.zeros((1, 2))))


def test_unknown_times_are_an_error_where_the_model_reads_them():
    model, frames = load("qwen3vl_embedding"), figures("embedding")["video_0"][None]
    with pytest.raises(ValueError, match=r"give the frames per second \(--fps\)"):
        embed_clips(model, frames, np.full((1, 8), np.nan))


def test_more_frames_than_the_model_reads():
    model, frames = load("qwen3vl_embedding"), np.zeros((1, 600, 64, 64, 3), np.uint8)
    with pytest.raises(ValueError, match=r"than the \d+ tokens .* use a lower --n-frames"):
        embed_clips(model, frames, np.arange(600.0)[None])


def test_what_is_printed_meanwhile_is_dropped_in_one_thread_at_a_time(capsys):
    inside, outside, left = Event(), sys.stdout, []

    def wait_inside():
        with quiet():
            inside.set()
            time.sleep(0.2)
            print("dropped")
            left.append(True)

    thread = Thread(target=wait_inside)
    thread.start()
    inside.wait()
    with quiet():
        assert left, "the other has restored what it found"
    thread.join()
    assert sys.stdout is outside
    print("told")
    assert capsys.readouterr().out == "told\n"


def test_another_number_of_frames():
    frames = np.random.default_rng(0).integers(0, 256, (1, 11, 36, 36, 3), np.uint8)
    interpolated = embed_clips(load("videoprism"), frames, np.zeros((1, 11)))
    assert np.isfinite(interpolated).all()
    with pytest.raises(ValueError, match="X-CLIP takes 8 frames, got 11"):
        load("xclip").score(torch.zeros(11, 64, 64, 3, dtype=torch.uint8), np.zeros(11), ["a"])


@pytest.mark.parametrize("precision", ["bfloat16", "float16"])
@pytest.mark.parametrize("name", ["qwen3vl_embedding", "videoprism", "pe_video"])
def test_precision_changes_similarities_little(name, precision):
    frames = np.random.default_rng(0).integers(0, 256, (8, 64, 64, 3), np.uint8)
    prompts = facts("xclip")["prompts"]
    videos = [Source(frames, fps=8), Source(frames[::-1].copy(), fps=8)]
    plain = load(name).similarity(videos, prompts)
    moved = load(name, precision=precision).similarity(videos, prompts) - plain
    assert 0 < np.abs(moved).max() < 0.05
