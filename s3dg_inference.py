"""The video network of s3dg.py arranged for speed: the same function of the same weights.

Batch norms are folded into the convolutions. The layout is channels last, in which all convolutions
but the first are two-dimensional, the fastest ones of oneDNN and cuDNN. Max pooling is done one
dimension at a time. The first convolution scales the pixels, and a block's branches are gated
straight into their slices of its output. benchmarks/README.md measures each step.
"""

from copy import deepcopy

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.nn.utils.fusion import fuse_conv_bn_weights

from s3dg import S3D, InceptionBlock, SelfGating, STConv3D, check_video


class S3DInference(nn.Module):
    """The video network of an S3D that has its weights, for inference in a dtype on a device."""

    def __init__(self, network: S3D, dtype: torch.dtype, device: str):
        super().__init__()
        stem = network.conv1.conv1
        weight, bias = fold(stem, network.conv1.bn1)
        self.conv1 = nn.Conv3d(stem.in_channels, stem.out_channels, stem.kernel_size, device="meta")
        weight = (weight / 255).contiguous(memory_format=torch.channels_last_3d)
        self.conv1.weight, self.conv1.bias = nn.Parameter(weight), bias
        self.conv_2b, self.conv_2c = Convolutions(network.conv_2b), Convolutions(network.conv_2c)
        self.gating = Gating(network.gating)
        self.mixed_3 = blocks(network, "3b", "3c")
        self.mixed_4 = blocks(network, "4b", "4c", "4d", "4e", "4f")
        self.mixed_5 = blocks(network, "5b", "5c")
        self.fc = deepcopy(network.fc)
        self.requires_grad_(False).to(device, dtype)

    def forward(self, frames: Tensor) -> Tensor:
        """frames: [B, T, H, W, 3], RGB in [0, 255] of any type, on the network's device; T, H and W
        even. Returns the video embeddings [B, D]. Raises ValueError for any other shape."""
        x = space_to_depth(frames, self.conv1.weight.dtype)
        x = F.relu_(self.conv1(x.movedim(4, 1)).movedim(1, 4))  # [B, T/2, H/2, W/2, 64]
        x = halve(halve(x, 2, 3), 3, 3)  # [B, T/2, H/4, W/4, 64]
        x = self.conv_2c(self.conv_2b(x))
        x *= self.gating(x)
        x = halve(halve(x, 2, 3), 3, 3)  # [B, T/2, H/8, W/8, 192]
        x = self.mixed_3(x)
        x = halve(halve(halve(x, 1, 3), 2, 3), 3, 3)  # [B, T/4, H/16, W/16, 480]
        x = self.mixed_4(x)
        x = halve(halve(halve(x, 1, 2), 2, 2), 3, 2)  # [B, T/8, H/32, W/32, 832]
        x = self.mixed_5(x)
        return self.fc(x.mean((1, 2, 3)))


class Convolutions(nn.Module):
    """Any STConv3D but the first: [B, T, H, W, C] -> [B, T, H, W, C']."""

    def __init__(self, conv: STConv3D):
        super().__init__()
        self.space = in_two_dimensions(conv.conv1, conv.bn1, without=0)
        self.time = in_two_dimensions(conv.conv2, conv.bn2, without=2) if conv.separable else None

    def forward(self, x: Tensor) -> Tensor:
        b, t, h, w, _ = x.shape
        x = self.space(x.flatten(0, 1).movedim(3, 1)).movedim(1, 3)
        x = F.relu_(x)  # [B * T, H, W, C']
        if self.time is not None:
            x = self.time(x.reshape(b, t, h * w, -1).movedim(3, 1)).movedim(1, 3)
            x = F.relu_(x)  # [B, T, H * W, C']
        return x.reshape(b, t, h, w, -1)


class Gating(nn.Module):
    """The gates of a SelfGating: [B, T, H, W, C] -> [B, 1, 1, 1, C]."""

    def __init__(self, gating: SelfGating):
        super().__init__()
        self.fc = deepcopy(gating.fc)

    def forward(self, x: Tensor) -> Tensor:
        return torch.sigmoid(self.fc(x.mean((1, 2, 3), keepdim=True)))


class Block(nn.Module):
    """An InceptionBlock: [B, T, H, W, C] -> [B, T, H, W, C']."""

    def __init__(self, block: InceptionBlock):
        super().__init__()
        self.branches = nn.ModuleList(
            (
                Convolutions(block.conv_b0),
                nn.Sequential(Convolutions(block.conv_b1_a), Convolutions(block.conv_b1_b)),
                nn.Sequential(Convolutions(block.conv_b2_a), Convolutions(block.conv_b2_b)),
                nn.Sequential(MaxPool(), Convolutions(block.conv_b3_b)),
            )
        )
        gatings = (block.gating_b0, block.gating_b1, block.gating_b2, block.gating_b3)
        self.gatings = nn.ModuleList(map(Gating, gatings))
        self.n_out = block.n_out

    def forward(self, x: Tensor) -> Tensor:
        joined, start = x.new_empty((*x.shape[:4], self.n_out)), 0
        for branch, gating in zip(self.branches, self.gatings):
            features = branch(x)
            end = start + features.shape[4]
            torch.mul(features, gating(features), out=joined[..., start:end])
            start = end
        return joined


class MaxPool(nn.Module):
    """Max pooling over 3x3x3 with stride 1 and padding 1: [B, T, H, W, C] -> the same shape."""

    def forward(self, x: Tensor) -> Tensor:
        for dim in (1, 2, 3):
            n = x.shape[dim]
            if n > 1:
                pairs = torch.maximum(x.narrow(dim, 0, n - 1), x.narrow(dim, 1, n - 1))
                x = torch.empty_like(x)
                x.narrow(dim, 0, n - 1).copy_(pairs)
                x.select(dim, n - 1).copy_(pairs.select(dim, n - 2))
                inner = x.narrow(dim, 1, n - 2)
                torch.maximum(inner, pairs.narrow(dim, 0, n - 2), out=inner)
        return x


def halve(x: Tensor, dim: int, size: int) -> Tensor:
    """Max pooling along one dimension with stride 2 over `size` positions, 2 or 3, starting at each
    even one; windows are cut off at the end."""
    n = x.shape[dim]
    every_other = [(slice(None),) * dim + (slice(start, None, 2),) for start in range(size)]
    first, second, *third = (x[index] for index in every_other)
    if n % 2:
        x = first.clone()
        paired = x.narrow(dim, 0, n // 2)
        torch.maximum(paired, second, out=paired)
    else:
        x = torch.maximum(first, second)
    for other in third:
        paired = x.narrow(dim, 0, other.shape[dim])
        torch.maximum(paired, other, out=paired)
    return x


def space_to_depth(frames: Tensor, dtype: torch.dtype) -> Tensor:
    """[B, T, H, W, 3] -> [B, T/2 + 1, H/2 + 3, W/2 + 3, 24]: each 2x2x2 block becomes one position,
    padded with zeros so that the first convolution computes only what the plain network keeps: that
    pads both ends of each dimension and then drops the first output."""
    check_video(frames.movedim(-1, 1))
    b, t, h, w, c = frames.shape
    t, h, w = t // 2, h // 2, w // 2
    x = torch.zeros((b, t + 1, h + 3, w + 3, 8 * c), dtype=dtype, device=frames.device)
    inside = x[:, :t, 1 : h + 1, 1 : w + 1].unflatten(4, (2, 2, 2, c))
    inside.copy_(frames.reshape(b, t, 2, h, 2, w, 2, c).permute(0, 1, 3, 5, 2, 4, 6, 7))
    return x


def fold(conv: nn.Conv3d, norm: nn.BatchNorm3d) -> tuple[nn.Parameter, nn.Parameter]:
    """Weight and bias of the one convolution that equals conv followed by norm."""
    return fuse_conv_bn_weights(
        *(conv.weight, conv.bias, norm.running_mean, norm.running_var),
        *(norm.eps, norm.weight, norm.bias),
    )


def in_two_dimensions(conv: nn.Conv3d, norm: nn.BatchNorm3d, without: int) -> nn.Conv2d:
    """conv and norm as one convolution of two dimensions: without time (0) or width (2), whichever
    the kernel has only one position in."""
    weight, bias = fold(conv, norm)
    kernel, padding = list(conv.kernel_size), list(conv.padding)
    del kernel[without], padding[without]
    flat = nn.Conv2d(conv.in_channels, conv.out_channels, kernel, padding=padding, device="meta")
    weight = weight.squeeze(2 + without).contiguous(memory_format=torch.channels_last)
    flat.weight, flat.bias = nn.Parameter(weight), bias
    return flat


def blocks(network: S3D, *names: str) -> nn.Sequential:
    return nn.Sequential(*(Block(getattr(network, f"mixed_{name}")) for name in names))
