"""The S3D text-video network trained on HowTo100M with MIL-NCE.

Papers: "Rethinking Spatiotemporal Feature Learning: Speed-Accuracy Trade-offs in Video
Classification" (Xie et al., 2018) for the video network, "End-to-End Learning of Visual
Representations from Uncurated Instructional Videos" (Miech et al., 2020) for the text network
and the joint space. Interface, state-dict keys and arithmetic follow the authors' PyTorch
release, antoine77340/S3D_HowTo100M, so its published weights load strictly:

    net = S3D("checkpoints/s3d_dict.npy", 512)
    net.load_state_dict(torch.load("checkpoints/s3d_howto100m.pth", weights_only=True))
    net.eval()
    net(video)["video_embedding"]                         # [B, 512]
    net.text_module(["open door"])["text_embedding"]      # [P, 512]

The two embeddings are compared by their dot product, or by its cosine.
"""

from pathlib import Path

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from s3dg_text import load_dictionary, number, tokenize


class STConv3D(nn.Module):
    """Convolution, batch norm, ReLU. A separable one is a 2D convolution in space followed by a
    1D convolution in time, each with its own batch norm and ReLU."""

    def __init__(self, n_in, n_out, kernel_size, padding=0, separable=False):
        super().__init__()
        self.separable = separable
        if separable:
            k, p = kernel_size, padding
            self.conv1 = nn.Conv3d(n_in, n_out, (1, k, k), padding=(0, p, p), bias=False)
            self.bn1 = nn.BatchNorm3d(n_out)
            self.conv2 = nn.Conv3d(n_out, n_out, (k, 1, 1), padding=(p, 0, 0), bias=False)
            self.bn2 = nn.BatchNorm3d(n_out)
        else:
            self.conv1 = nn.Conv3d(n_in, n_out, kernel_size, padding=padding, bias=False)
            self.bn1 = nn.BatchNorm3d(n_out)

    def forward(self, x: Tensor) -> Tensor:
        x = F.relu(self.bn1(self.conv1(x)))
        if self.separable:
            x = F.relu(self.bn2(self.conv2(x)))
        return x


class SelfGating(nn.Module):
    """Each channel is scaled by a gate computed from the clip's mean features (S3D-G)."""

    def __init__(self, n_channels):
        super().__init__()
        self.fc = nn.Linear(n_channels, n_channels)

    def forward(self, x: Tensor) -> Tensor:
        gate = torch.sigmoid(self.fc(x.mean((2, 3, 4))))  # [B, C]
        return x * gate[:, :, None, None, None]


class MaxPoolSame(nn.Module):
    """Max pooling with TensorFlow's "SAME" padding, for sizes that the stride divides: the odd
    element of padding comes at the end. Padding with zeros is safe, as the inputs come out of a
    ReLU."""

    def __init__(self, kernel_size, stride):
        super().__init__()
        self.kernel_size, self.stride = kernel_size, stride
        missing = [max(k - s, 0) for k, s in zip(kernel_size, stride)]
        self.padding = [n for m in reversed(missing) for n in (m // 2, m - m // 2)]  # W, H, T

    def forward(self, x: Tensor) -> Tensor:
        x = F.pad(x, self.padding)
        return F.max_pool3d(x, self.kernel_size, self.stride, ceil_mode=True)


class InceptionBlock(nn.Module):
    """Four branches over the same input, each gated, concatenated along the channels."""

    def __init__(self, n_in, n_b0, n_b1_a, n_b1_b, n_b2_a, n_b2_b, n_b3):
        super().__init__()
        self.conv_b0 = STConv3D(n_in, n_b0, 1)
        self.conv_b1_a = STConv3D(n_in, n_b1_a, 1)
        self.conv_b1_b = STConv3D(n_b1_a, n_b1_b, 3, padding=1, separable=True)
        self.conv_b2_a = STConv3D(n_in, n_b2_a, 1)
        self.conv_b2_b = STConv3D(n_b2_a, n_b2_b, 3, padding=1, separable=True)
        self.maxpool_b3 = nn.MaxPool3d(3, stride=1, padding=1)
        self.conv_b3_b = STConv3D(n_in, n_b3, 1)
        self.gating_b0 = SelfGating(n_b0)
        self.gating_b1 = SelfGating(n_b1_b)
        self.gating_b2 = SelfGating(n_b2_b)
        self.gating_b3 = SelfGating(n_b3)
        self.n_out = n_b0 + n_b1_b + n_b2_b + n_b3

    def forward(self, x: Tensor) -> Tensor:
        b0 = self.gating_b0(self.conv_b0(x))
        b1 = self.gating_b1(self.conv_b1_b(self.conv_b1_a(x)))
        b2 = self.gating_b2(self.conv_b2_b(self.conv_b2_a(x)))
        b3 = self.gating_b3(self.conv_b3_b(self.maxpool_b3(x)))
        return torch.cat((b0, b1, b2, b3), 1)


class TextModule(nn.Module):
    """Word vectors, a layer, the maximum over the words, a layer. Word order does not matter."""

    def __init__(self, dict_path, embd_dim, word_dim=300, hidden_dim=2048):
        super().__init__()
        words = load_dictionary(dict_path)
        self.word_to_token = number(words)
        vectors = torch.empty(len(words) + 1, word_dim)
        if not vectors.is_meta:  # normal_ on the meta device costs seconds of imports
            nn.init.normal_(vectors)
        self.word_embd = nn.Embedding.from_pretrained(vectors, freeze=False)
        self.fc1 = nn.Linear(word_dim, hidden_dim)
        self.fc2 = nn.Linear(hidden_dim, embd_dim)

    def tokenize(self, sentences: list[str]) -> Tensor:
        """Token ids, int64 [P, MAX_WORDS] on the CPU, padded with 0."""
        return torch.from_numpy(tokenize(sentences, self.word_to_token))

    def forward(self, sentences: list[str]) -> dict[str, Tensor]:
        """`{"text_embedding": [P, embd_dim]}` in the weights' type and on their device.
        Raises ValueError if `sentences` is a single string."""
        ids = self.tokenize(sentences).to(self.word_embd.weight.device)
        x = F.relu(self.fc1(self.word_embd(ids)))  # [P, MAX_WORDS, hidden_dim]
        x = x.amax(1)  # over the padding too, as in the reference
        return {"text_embedding": self.fc2(x)}


class S3D(nn.Module):
    """S3D with self-gating and a space-to-depth stem, and the text network beside it.

    dict_path: .npy file with the words, one array of strings [n]; word i is token i + 1.
    num_classes: width of the joint space, 512 in the published weights.

    Raises FileNotFoundError if there is no dictionary, ValueError if the file is something else.
    """

    def __init__(self, dict_path: str | Path, num_classes: int = 512):
        super().__init__()
        self.conv1 = STConv3D(24, 64, (2, 4, 4), padding=(1, 2, 2))
        self.maxpool_2a = MaxPoolSame((1, 3, 3), (1, 2, 2))
        self.conv_2b = STConv3D(64, 64, 1)
        self.conv_2c = STConv3D(64, 192, 3, padding=1, separable=True)
        self.gating = SelfGating(192)
        self.maxpool_3a = MaxPoolSame((1, 3, 3), (1, 2, 2))
        self.mixed_3b = InceptionBlock(192, 64, 96, 128, 16, 32, 32)
        self.mixed_3c = InceptionBlock(self.mixed_3b.n_out, 128, 128, 192, 32, 96, 64)
        self.maxpool_4a = MaxPoolSame((3, 3, 3), (2, 2, 2))
        self.mixed_4b = InceptionBlock(self.mixed_3c.n_out, 192, 96, 208, 16, 48, 64)
        self.mixed_4c = InceptionBlock(self.mixed_4b.n_out, 160, 112, 224, 24, 64, 64)
        self.mixed_4d = InceptionBlock(self.mixed_4c.n_out, 128, 128, 256, 24, 64, 64)
        self.mixed_4e = InceptionBlock(self.mixed_4d.n_out, 112, 144, 288, 32, 64, 64)
        self.mixed_4f = InceptionBlock(self.mixed_4e.n_out, 256, 160, 320, 32, 128, 128)
        self.maxpool_5a = MaxPoolSame((2, 2, 2), (2, 2, 2))
        self.mixed_5b = InceptionBlock(self.mixed_4f.n_out, 256, 160, 320, 32, 128, 128)
        self.mixed_5c = InceptionBlock(self.mixed_5b.n_out, 384, 192, 384, 48, 128, 128)
        self.fc = nn.Linear(self.mixed_5c.n_out, num_classes)
        self.text_module = TextModule(dict_path, num_classes)

    def forward(self, video: Tensor) -> dict[str, Tensor]:
        """Embed a batch of clips.

        video: [B, 3, T, H, W], RGB in [0, 1], in the weights' type and on their device; T, H and
        W even. Trained with T = 32 (16 works too) and H, W from 200 to 256.

        Returns `video_embedding` [B, num_classes], in the joint space, and `mixed_5c` [B, 1024],
        the features before the last layer. Raises ValueError for any other shape.
        """
        x = space_to_depth(video)  # [B, 24, T/2, H/2, W/2]
        x = self.conv1(x)[:, :, 1:, 1:, 1:]  # [B, 64, T/2, H/2, W/2]
        x = self.maxpool_2a(x)  # [B, 64, T/2, H/4, W/4]
        x = self.conv_2c(self.conv_2b(x))
        x = self.maxpool_3a(self.gating(x))  # [B, 192, T/2, H/8, W/8]
        x = self.mixed_3c(self.mixed_3b(x))
        x = self.maxpool_4a(x)  # [B, 480, T/4, H/16, W/16]
        x = self.mixed_4d(self.mixed_4c(self.mixed_4b(x)))
        x = self.mixed_4f(self.mixed_4e(x))
        x = self.maxpool_5a(x)  # [B, 832, T/8, H/32, W/32]
        x = self.mixed_5c(self.mixed_5b(x))
        x = x.mean((2, 3, 4))  # [B, 1024]
        return {"video_embedding": self.fc(x), "mixed_5c": x}


def space_to_depth(video: Tensor) -> Tensor:
    """[B, C, T, H, W] -> [B, 8C, T/2, H/2, W/2]: each 2x2x2 block becomes one position."""
    check_video(video)
    b, c, t, h, w = video.shape
    x = video.reshape(b, c, t // 2, 2, h // 2, 2, w // 2, 2)
    return x.permute(0, 3, 5, 7, 1, 2, 4, 6).reshape(b, 8 * c, t // 2, h // 2, w // 2)


def check_video(video: Tensor) -> None:
    """Raises ValueError unless a video is [B, 3, T, H, W] with T, H and W even."""
    if video.ndim != 5 or video.shape[1] != 3:
        raise ValueError(f"expected a video [B, 3, T, H, W], got {list(video.shape)}")
    for name, n in zip(("time", "height", "width"), video.shape[2:]):
        if n < 2 or n % 2:
            raise ValueError(
                f"{name} must be even and at least 2 for S3D, got {n} in a video of shape "
                f"{list(video.shape)}"
            )
