"""Judges: twelve prompts about one video, against one prompt, and against twelve on their own."""

import sys
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import numpy as np
import torch
from measuring import ROOT, Row, compared, fastest, limited

from vlm_evaluator import VlmJudge

FOLDER = ROOT / "tests/golden/models/qwen3vl"  # a tokenizer and a processor of Qwen3-VL's kind
PROMPTS = [f"the robot opens drawer {i} and puts the red cube into it" for i in range(12)]
SIDE = 256


def rows(folder: Path, quick: bool) -> Iterator[Row]:
    print("judges", file=sys.stderr)
    network = small_network()
    pixels = np.random.default_rng(0).integers(0, 256, (16, SIDE, SIDE, 3), np.uint8)
    frames, times = torch.from_numpy(pixels), np.arange(16) / 2
    for question in ("true", "yes", "rank"):
        model = VlmJudge(str(FOLDER), question, device="cpu", precision="float32")
        model.video_network = network  # in place of what would be loaded
        score = partial(model.score, frames, times)
        with torch.inference_mode():
            seconds = fastest(
                {
                    "one": (lambda score=score: score(PROMPTS[:1]), 1),
                    "twelve": (lambda score=score: score(PROMPTS), 1),
                    "alone": (lambda score=score: [score([prompt]) for prompt in PROMPTS], 1),
                },
                1 if quick else 3,
            )
            found, alone = score(PROMPTS), np.concatenate([score([one]) for one in PROMPTS])
        name = f"judge, --question {question}: 12 prompts"
        yield compared(name, seconds["twelve"], seconds["alone"])
        ratio = seconds["twelve"] / seconds["one"]
        if question == "rank":  # its prompt comes before the video
            yield Row(f"{name}, over one prompt", f"{ratio:.3g}")
        else:
            yield limited(f"{name}, over one prompt", ratio, 3, "")
        error = np.abs(found - alone).max() / np.abs(alone).max()
        yield limited(f"{name}: difference, of the largest value", error, 1e-4, "")


def small_network():
    """A Qwen3-VL of 6 million parameters, with random weights."""
    from transformers import AutoConfig, AutoModelForImageTextToText

    config = AutoConfig.from_pretrained(FOLDER)
    text, vision = config.text_config, config.vision_config
    text.hidden_size, text.intermediate_size, text.num_hidden_layers = 256, 768, 6
    text.num_attention_heads, text.num_key_value_heads = 8, 4
    vision.hidden_size, vision.intermediate_size, vision.num_heads = 128, 512, 4
    vision.out_hidden_size, vision.depth = 256, 4
    torch.manual_seed(0)
    network = AutoModelForImageTextToText.from_config(config, dtype=torch.float32)
    return network.eval().requires_grad_(False)
