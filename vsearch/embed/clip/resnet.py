"""CLIP's residual network, in torch: three convolutions at the start, means instead of strides, attention at the end.

After Radford et al., 2021, section 2.4, and with the names of weights that open_clip has.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional

from vsearch.embed.clip.vision_transformer import Get

GROWTH = 4  # of the channels, from the inside of a block to its outside


class Bottleneck(nn.Module):
    """A block: 1 x 1, 3 x 3 and 1 x 1 convolutions beside a way around them."""

    def __init__(self, channels: int, inner: int, stride: int) -> None:
        super().__init__()
        outer = inner * GROWTH
        self.conv1, self.bn1 = nn.Conv2d(channels, inner, 1, bias=False), nn.BatchNorm2d(inner)
        self.conv2, self.bn2 = nn.Conv2d(inner, inner, 3, padding=1, bias=False), nn.BatchNorm2d(inner)
        self.conv3, self.bn3 = nn.Conv2d(inner, outer, 1, bias=False), nn.BatchNorm2d(outer)
        self.stride = stride
        around = nn.ModuleDict({"0": nn.Conv2d(channels, outer, 1, bias=False), "1": nn.BatchNorm2d(outer)})
        self.downsample = around if stride > 1 or channels != outer else None

    def forward(self, x: Tensor) -> Tensor:
        """(n, channels, h, w) to (n, 4 inner, h / stride, w / stride)."""
        out = functional.relu(self.bn1(self.conv1(x)))
        out = functional.relu(self.bn2(self.conv2(out)))
        out = self.bn3(self.conv3(_smaller(out, self.stride)))
        if self.downsample is not None:
            x = self.downsample["1"](self.downsample["0"](_smaller(x, self.stride)))
        return functional.relu(out + x)


class AttentionPool(nn.Module):
    """What the mean of all places takes from each of them."""

    def __init__(self, side: int, width: int, heads: int, dim: int) -> None:
        super().__init__()
        self.heads = heads
        self.positional_embedding = nn.Parameter(torch.empty(side**2 + 1, width))
        self.q_proj, self.k_proj, self.v_proj = (nn.Linear(width, width) for _ in range(3))
        self.c_proj = nn.Linear(width, dim)

    def forward(self, x: Tensor) -> Tensor:
        """(n, width, h, w) to (n, dim)."""
        x = x.flatten(2).transpose(1, 2)
        x = torch.cat([x.mean(1, keepdim=True), x], dim=1) + self.positional_embedding

        def split(rows: Tensor) -> Tensor:
            n, places, width = rows.shape
            return rows.reshape(n, places, self.heads, width // self.heads).transpose(1, 2)

        q, k, v = split(self.q_proj(x[:, :1])), split(self.k_proj(x)), split(self.v_proj(x))
        pooled = functional.scaled_dot_product_attention(q, k, v).transpose(1, 2).flatten(2)
        out: Tensor = self.c_proj(pooled[:, 0])
        return out


class ResNet(nn.Module):
    """Pictures (n, 3, side, side) to vectors (n, dim), of any length."""

    def __init__(self, blocks: list[int], width: int, side: int, heads: int, dim: int) -> None:
        """blocks: of each of the four stages.  width: channels of the first."""
        super().__init__()
        half = width // 2
        self.conv1, self.bn1 = nn.Conv2d(3, half, 3, stride=2, padding=1, bias=False), nn.BatchNorm2d(half)
        self.conv2, self.bn2 = nn.Conv2d(half, half, 3, padding=1, bias=False), nn.BatchNorm2d(half)
        self.conv3, self.bn3 = nn.Conv2d(half, width, 3, padding=1, bias=False), nn.BatchNorm2d(width)
        channels = width
        for number, count in enumerate(blocks):
            inner = width << number
            first = Bottleneck(channels, inner, stride=2 if number else 1)
            channels = inner * GROWTH
            rest = (Bottleneck(channels, inner, stride=1) for _ in range(count - 1))
            self.add_module(f"layer{number + 1}", nn.Sequential(first, *rest))
        self.attnpool = AttentionPool(side // 32, channels, heads, dim)

    def forward(self, pixels: Tensor) -> Tensor:
        """Embed normalised pixels."""
        out: Tensor = self.attnpool(self._places(pixels))
        return out

    def unpooled(self, pixels: Tensor) -> Tensor:
        """What the last stage gives of each place, row by row from the top left: (n, places, channels)."""
        return self._places(pixels).flatten(2).transpose(1, 2)

    def _places(self, pixels: Tensor) -> Tensor:
        x = functional.relu(self.bn1(self.conv1(pixels)))
        x = functional.relu(self.bn2(self.conv2(x)))
        x = functional.relu(self.bn3(self.conv3(x)))
        x = functional.avg_pool2d(x, 2)
        for number in range(1, 5):
            x = self.get_submodule(f"layer{number}")(x)
        return x


def _smaller(x: Tensor, stride: int) -> Tensor:
    return functional.avg_pool2d(x, stride) if stride > 1 else x


def loaded(blocks: list[int], width: int, side: int, heads: int, dim: int, get: Get) -> ResNet:
    """A tower with the weights of a file, which are not copied.  Raises RuntimeError where they do not fit."""
    with torch.device("meta"):
        tower = ResNet(blocks, width, side, heads, dim)
    tower.load_state_dict({name: get(f"visual.{name}") for name in tower.state_dict()}, assign=True)
    return tower.requires_grad_(False).eval()
