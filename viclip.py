"""ViCLIP, the video-text network trained on InternVid, for inference.

Paper: "InternVid: A Large-scale Video-Text Dataset for Multimodal Understanding and Generation"
(Wang et al., 2024): CLIP's vision transformer (Radford et al., 2021) with attention over all
patches of all frames at once and a position embedding for time, and CLIP's text transformer with
a short context. State-dict keys and arithmetic follow the authors' release, Data/InternVid/viclip
in OpenGVLab/InternVideo, so its published weights load strictly; the masking of patches in training
is not implemented.

    net = ViCLIP("l")
    net.load_state_dict(torch.load("ViClip-InternVid-10M-FLT.pth", weights_only=True)["model"])
    net.eval()
    net.encode_video(video)               # [B, 768]
    net.encode_text(["a dog running"])    # [P, 768]

The two embeddings are compared by their cosine.
"""

from functools import cache
from importlib.util import find_spec, module_from_spec, spec_from_file_location
from pathlib import Path
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

N_FRAMES = 8  # of the published weights
SIDE = 224  # pixels
CONTEXT = 32  # tokens of a text, including its begin and end
VOCABULARY = 49408
HEAD_WIDTH = 64


class Size(NamedTuple):
    patch: int  # pixels
    width: int
    layers: int
    text_width: int
    embedding: int  # width of the joint space


SIZES = {"l": Size(14, 1024, 24, 768, 768), "b": Size(16, 768, 12, 512, 512)}
TEXT_LAYERS = 12


class Attention(nn.Module):
    def __init__(self, width):
        super().__init__()
        self.n_heads = width // HEAD_WIDTH
        self.in_proj_weight = nn.Parameter(torch.zeros(3 * width, width))
        self.in_proj_bias = nn.Parameter(torch.zeros(3 * width))
        self.out_proj = nn.Linear(width, width)

    def forward(self, x: Tensor, causal: bool, n: int | None = None) -> Tensor:
        sizes = x.shape[2], 2 * x.shape[2]
        of_q, of_kv = self.in_proj_weight.split(sizes)
        bias_of_q, bias_of_kv = self.in_proj_bias.split(sizes)
        q = F.linear(x[:, :n], of_q, bias_of_q).unflatten(2, (self.n_heads, HEAD_WIDTH))
        kv = F.linear(x, of_kv, bias_of_kv).unflatten(2, (2, self.n_heads, HEAD_WIDTH))
        q, (k, v) = q.transpose(1, 2), kv.permute(2, 0, 3, 1, 4)  # each [B, heads, N, 64]
        x = F.scaled_dot_product_attention(q, k, v, is_causal=causal)
        return self.out_proj(x.transpose(1, 2).flatten(2))


class MLP(nn.Module):
    def __init__(self, width):
        super().__init__()
        self.c_fc = nn.Linear(width, 4 * width)
        self.c_proj = nn.Linear(4 * width, width)

    def forward(self, x: Tensor) -> Tensor:
        x = self.c_fc(x)
        return self.c_proj(x * torch.sigmoid(1.702 * x))  # OpenAI's approximation of GELU


class Block(nn.Module):
    def __init__(self, width):
        super().__init__()
        self.attn = Attention(width)
        self.ln_1 = nn.LayerNorm(width)
        self.mlp = MLP(width)
        self.ln_2 = nn.LayerNorm(width)

    def forward(self, x: Tensor, causal: bool, n: int | None = None) -> Tensor:
        """The first n output tokens, or all."""
        x = x[:, :n] + self.attn(self.ln_1(x), causal, n)
        return x + self.mlp(self.ln_2(x))


class Transformer(nn.Module):
    def __init__(self, width, layers):
        super().__init__()
        self.resblocks = nn.ModuleList(Block(width) for _ in range(layers))

    def forward(self, x: Tensor, causal: bool = False, n: int | None = None) -> Tensor:
        """The first n output tokens, or all; the last block computes no others."""
        *blocks, last = self.resblocks
        for block in blocks:
            x = block(x, causal)
        return last(x, causal, n)


class VisionEncoder(nn.Module):
    def __init__(self, size: Size, n_frames: int):
        super().__init__()
        width, patch = size.width, (1, size.patch, size.patch)
        self.conv1 = nn.Conv3d(3, width, patch, stride=patch, bias=False)
        self.class_embedding = nn.Parameter(torch.zeros(width))
        self.positional_embedding = nn.Parameter(torch.zeros((SIDE // size.patch) ** 2 + 1, width))
        self.temporal_positional_embedding = nn.Parameter(torch.zeros(1, n_frames, width))
        self.ln_pre = nn.LayerNorm(width)
        self.transformer = Transformer(width, size.layers)
        self.ln_post = nn.LayerNorm(width)
        self.proj = nn.Parameter(torch.zeros(width, size.embedding))

    def forward(self, video: Tensor) -> Tensor:
        n_frames = self.temporal_positional_embedding.shape[1]
        if video.ndim != 5 or video.shape[2:] != (3, SIDE, SIDE):
            raise ValueError(f"expected [B, T, 3, {SIDE}, {SIDE}], got {list(video.shape)}")
        if video.shape[1] != n_frames:
            raise ValueError(f"expected {n_frames} frames, got {video.shape[1]}")
        x = self.conv1(video.transpose(1, 2))  # [B, width, T, H, W] in patches
        x = x.flatten(3).permute(0, 2, 3, 1)  # [B, T, H * W, width]
        x = x + self.positional_embedding[1:] + self.temporal_positional_embedding[:, :, None]
        x = x.flatten(1, 2)  # [B, T * H * W, width]
        first = self.class_embedding + self.positional_embedding[0]  # one for the whole clip
        x = torch.cat((first.expand(len(x), 1, -1), x), 1)
        x = self.transformer(self.ln_pre(x), n=1)
        return self.ln_post(x[:, 0]) @ self.proj


class TextEncoder(nn.Module):
    def __init__(self, size: Size):
        super().__init__()
        width = size.text_width
        self.token_embedding = nn.Embedding.from_pretrained(torch.zeros(VOCABULARY, width))
        self.positional_embedding = nn.Parameter(torch.zeros(CONTEXT, width))
        self.transformer = Transformer(width, TEXT_LAYERS)
        self.ln_final = nn.LayerNorm(width)
        self.text_projection = nn.Parameter(torch.zeros(width, size.embedding))

    def forward(self, ids: Tensor) -> Tensor:
        x = self.token_embedding(ids) + self.positional_embedding  # [P, CONTEXT, width]
        x = self.ln_final(self.transformer(x, causal=True))
        end = ids.argmax(1)  # the end of text has the highest id
        return x[torch.arange(len(ids), device=ids.device), end] @ self.text_projection


class ViCLIP(nn.Module):
    """Both encoders, in a joint space of 768 (size "l": L/14) or 512 ("b": B/16) dimensions.

    n_frames is the length of the position embedding for time. Until weights are loaded, most of the
    parameters are zero.
    """

    def __init__(self, size: str = "l", n_frames: int = N_FRAMES):
        super().__init__()
        self.temp = nn.Parameter(torch.tensor(0.01))  # the temperature of the training
        self.vision_encoder = VisionEncoder(SIZES[size], n_frames)
        self.text_encoder = TextEncoder(SIZES[size])

    def encode_video(self, video: Tensor) -> Tensor:
        """[B, T, 3, 224, 224] -> [B, D], in the weights' type and on their device. Pixels: RGB in
        [0, 1], normalized by ImageNet's mean and standard deviation. Raises ValueError for any
        other shape or number of frames."""
        return self.vision_encoder(video)

    def encode_text(self, sentences: list[str]) -> Tensor:
        """P sentences -> [P, D], in the weights' type and on their device. Raises ValueError if
        `sentences` is a single string."""
        return self.text_encoder(tokenize(sentences).to(self.temp.device))


def interpolate_time(embedding: Tensor, n_frames: int) -> Tensor:
    """A position embedding for time [1, T, width] -> [1, n_frames, width], linear in between."""
    return F.interpolate(embedding.float().mT, n_frames, mode="linear").mT.to(embedding.dtype)


def tokenize(sentences: list[str], context: int = CONTEXT) -> Tensor:
    """CLIP's token ids, int64 [P, context] on the CPU, padded with 0; longer texts are cut, and end
    with the end-of-text token. Raises ValueError if `sentences` is a single string."""
    if isinstance(sentences, str):
        raise ValueError("expected a list of sentences, got one string: put it in a list")
    return _tokenizer()(sentences, context)


@cache
def _tokenizer():
    """open_clip's tokenizer, with CLIP's own spelling of the two special tokens."""
    # The file alone: importing the package takes far longer than importing torch.
    path = Path(find_spec("open_clip").origin).with_name("tokenizer.py")
    spec = spec_from_file_location("open_clip_tokenizer", path)
    module = module_from_spec(spec)
    spec.loader.exec_module(module)
    tokenizer = module.SimpleTokenizer()
    clean = tokenizer.clean_fn

    def clean_and_respell(text):
        text = clean(text).replace("<|startoftext|>", "<start_of_text>")
        return text.replace("<|endoftext|>", "<end_of_text>")

    tokenizer.clean_fn = clean_and_respell
    return tokenizer
