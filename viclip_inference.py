"""The vision encoder of viclip.py arranged for speed: the same function of the same weights.

On a CPU all large products go to oneDNN, with weights in its own layout: PyTorch would give those
of float32 to MKL, which uses half of an AMD processor's vector width, and its fused attention is
slower still. benchmarks/README.md measures both, and what else was tried.
"""

import platform

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from viclip import HEAD_WIDTH, MLP, VisionEncoder
from viclip import Block as PlainBlock

QUERIES = 512  # whose similarities are held at a time, so that they stay in the processor's cache


@torch.no_grad()
def arrange(encoder: VisionEncoder, dtype: torch.dtype, device: str) -> VisionEncoder:
    """The encoder itself, changed, on a device, for inference under torch.autocast to a dtype:
    matrices are converted to it once instead of for every batch. Weights are converted in place or
    a block at a time, as they may take much of the memory."""
    blocks = encoder.transformer.resblocks
    for i, block in enumerate(blocks):
        scale_to_silu(block.mlp)  # ty: ignore[invalid-argument-type]
        if device == "cpu" and has_onednn(dtype):
            blocks[i] = Block(block, dtype)  # ty: ignore[invalid-argument-type]
        else:
            block.mlp = SiluMLP(block.mlp)  # ty: ignore[invalid-argument-type]
    if dtype != torch.float32:
        for name, value in encoder.named_parameters():
            if value.ndim > 1 and "embedding" not in name:
                value.data = value.to(dtype)
    return encoder.requires_grad_(False).to(device)


def has_onednn(dtype: torch.dtype) -> bool:
    """Whether oneDNN multiplies matrices of a type here; outside x86 this is not tested."""
    if platform.machine() not in ("x86_64", "AMD64") or not torch.backends.mkldnn.is_available():
        return False
    onednn = torch.ops.mkldnn
    supported = {
        torch.bfloat16: onednn._is_mkldnn_bf16_supported,
        torch.float16: onednn._is_mkldnn_fp16_supported,
    }
    return dtype not in supported or supported[dtype]()


def scale_to_silu(mlp: MLP) -> None:
    """x sigmoid(1.702 x) is silu(1.702 x) / 1.702: puts the factors into the weights."""
    mlp.c_fc.weight.mul_(1.702)
    mlp.c_fc.bias.mul_(1.702)
    mlp.c_proj.weight.div_(1.702)


class SiluMLP(nn.Module):
    """An MLP whose weights are scaled to silu: its activation is one pass in place, not three."""

    def __init__(self, mlp: MLP):
        super().__init__()
        self.c_fc, self.c_proj = mlp.c_fc, mlp.c_proj

    def forward(self, x: Tensor) -> Tensor:
        return self.c_proj(F.silu(self.c_fc(x), inplace=True))


# --- on a CPU


def product(x: Tensor, weight: Tensor, bias: Tensor | None = None, then: str = "none") -> Tensor:
    """[..., M, K] and [N, K] -> [..., M, N] on oneDNN, what F.linear computes. then: a function of
    the results that is computed on the way, such as "swish", which is silu."""
    return torch.ops.mkldnn._linear_pointwise(x, weight, bias, then, [], "")


class Product(nn.Module):
    """product with constant weights, in oneDNN's layout and a dtype."""

    def __init__(self, weight: Tensor, bias: Tensor, dtype: torch.dtype):
        super().__init__()
        # Not a buffer: .to() knows no such layout.
        self.weight = torch.ops.mkldnn._reorder_linear_weight(weight.to(dtype), None)
        self.bias = bias.to(dtype)

    def forward(self, x: Tensor, then: str = "none") -> Tensor:
        return product(x, self.weight, self.bias, then)


class Block(nn.Module):
    """A Block of viclip.py without a mask, whose MLP is scaled to silu. Products are computed in a
    dtype, sums in float32."""

    def __init__(self, block: PlainBlock, dtype: torch.dtype):
        super().__init__()
        self.dtype, self.ln_1, self.ln_2 = dtype, block.ln_1, block.ln_2
        attention, mlp, scale = block.attn, block.mlp, HEAD_WIDTH**-0.5
        q, k, v = attention.in_proj_weight.chunk(3)
        bias_of_q, bias_of_k, bias_of_v = attention.in_proj_bias.chunk(3)
        bias = torch.cat((bias_of_q * scale, bias_of_k))
        self.query_key = Product(torch.cat((q * scale, k)), bias, dtype)
        self.value = v.to(dtype, copy=True)
        out = attention.out_proj  # attention is a mean of values: their bias can come after it
        self.out = Product(out.weight, out.bias + out.weight @ bias_of_v, dtype)
        self.c_fc = Product(mlp.c_fc.weight, mlp.c_fc.bias, dtype)
        self.c_proj = Product(mlp.c_proj.weight, mlp.c_proj.bias, dtype)

    def forward(self, x: Tensor, causal: bool, n: int | None = None) -> Tensor:
        """[B, N, width] -> the first n output tokens, or all, float32."""
        with torch.autocast("cpu", enabled=False):
            x = x[:, :n] + self.out(self.attention(self.ln_1(x).to(self.dtype), n))
            return x + self.c_proj(self.c_fc(self.ln_2(x).to(self.dtype), then="swish"))

    def attention(self, x: Tensor, n: int | None) -> Tensor:
        """[B, N, width] -> what the first n tokens see, or all, [B, n, width]."""
        seen = torch.empty_like(x[:, :n])
        for tokens, qk, out in zip(x, self.query_key(x), seen):
            q, k = qk.unflatten(1, (2, -1, HEAD_WIDTH)).permute(1, 2, 0, 3)  # [heads, N, 64] each
            v = product(self.value, tokens).unflatten(0, (-1, HEAD_WIDTH))  # [heads, 64, N]
            out = out.unflatten(1, (-1, HEAD_WIDTH)).transpose(0, 1)  # [heads, n, 64]
            for head in zip(q[:, :n], k, v, out):
                attend(*head)
        return seen


def attend(q: Tensor, k: Tensor, v: Tensor, out: Tensor) -> None:
    """Attention of one head, q: [n, 64], k: [N, 64], v: [64, N], into out: [n, 64]."""
    k = k.contiguous()
    for some, result in zip(q.split(QUERIES), out.split(QUERIES)):
        result.copy_(product(product(some, k).softmax(1), v))
