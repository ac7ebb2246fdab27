"""EfficientNet-Lite2 for inference, made of its stored tensors alone (Tan and Le 2019, arXiv 1905.11946).

Each batch normalisation is folded into the convolution before it: the same function in half of the memory traffic.
Written here since importing timm, which has it too, takes longer than reading the weights and looking at a picture.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

import torch
from torch import nn
from torch.nn import functional
from torch.nn.utils.fusion import fuse_conv_bn_weights

EPSILON = 1e-3  # of batch normalisation, as the weights were trained


class Stage(NamedTuple):
    """Blocks of one width; the first of them has the stride."""

    kernel: int
    stride: int
    expand: int
    width: int
    blocks: int


STEM, HEAD, CLASSES = 32, 1280, 1000
STAGES = (
    Stage(kernel=3, stride=1, expand=1, width=16, blocks=1),
    Stage(kernel=3, stride=2, expand=6, width=24, blocks=3),
    Stage(kernel=5, stride=2, expand=6, width=48, blocks=3),
    Stage(kernel=3, stride=2, expand=6, width=88, blocks=4),
    Stage(kernel=5, stride=1, expand=6, width=120, blocks=4),
    Stage(kernel=5, stride=2, expand=6, width=208, blocks=5),
    Stage(kernel=3, stride=1, expand=6, width=352, blocks=1),
)


class Convolution(nn.Conv2d):
    """A convolution with the padding of TensorFlow: what a stride leaves over goes to the right and the bottom."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """(n, in, h, w) to (n, out, ceil(h / stride), ceil(w / stride))."""
        if self.stride == (1, 1):
            return functional.conv2d(x, self.weight, self.bias, padding=self.kernel_size[0] // 2, groups=self.groups)
        (kernel, _), (stride, _) = self.kernel_size, self.stride
        over = [max((-(-size // stride) - 1) * stride + kernel - size, 0) for size in x.shape[2:]]
        (top, left), (bottom, right) = ([o // 2 for o in over], [o - o // 2 for o in over])
        return functional.conv2d(
            functional.pad(x, (left, right, top, bottom)), self.weight, self.bias, self.stride, 0, 1, self.groups
        )


class Block(nn.Module):
    """Inverted residual: widen, filter each channel, narrow; the input is added where it has the same shape."""

    def __init__(self, width: int, stage: Stage, stride: int) -> None:
        wide = width * stage.expand
        widening = [_convolution(width, wide, 1), nn.ReLU6(inplace=True)] if stage.expand > 1 else []
        filtering = [_convolution(wide, wide, stage.kernel, stride, groups=wide), nn.ReLU6(inplace=True)]
        super().__init__()
        self.inner = nn.Sequential(*widening, *filtering, _convolution(wide, stage.width, 1))
        self._residual = stride == 1 and width == stage.width

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """(n, width, h, w) to (n, stage's width, h / stride, w / stride)."""
        out: torch.Tensor = self.inner(x)
        return out.add_(x) if self._residual else out


class EfficientNetLite2(nn.Module):
    """The classifier: ``head(stages(stem(x)))`` are the feature maps, whose means ``classifier`` reads."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Sequential(_convolution(3, STEM, 3, 2), nn.ReLU6(inplace=True))
        widths = [STEM, *(stage.width for stage in STAGES)]
        self.stages = nn.ModuleList(
            nn.Sequential(
                *(Block(stage.width if n else width, stage, 1 if n else stage.stride) for n in range(stage.blocks))
            )
            for width, stage in zip(widths, STAGES, strict=False)
        )
        self.head = nn.Sequential(_convolution(widths[-1], HEAD, 1), nn.ReLU6(inplace=True))
        self.classifier = nn.Linear(HEAD, CLASSES)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """(n, 3, h, w) to scores of the classes (n, 1000)."""
        x = self.stem(x)
        for stage in self.stages:
            x = stage(x)
        scores: torch.Tensor = self.classifier(self.head(x).mean(dim=(2, 3)))
        return scores

    def fill(self, stored: list[torch.Tensor]) -> None:
        """Take the weights: of each convolution its kernel and its batch normalisation, in the order they are applied.

        Raises ValueError when they are not of this network.
        """
        tensors = iter(stored)
        for module in self.modules():
            if isinstance(module, Convolution):
                self._fill(module, tensors)
        for own in (self.classifier.weight, self.classifier.bias):
            _put(own, _next(tensors))
        if more := sum(1 for _ in tensors):
            raise ValueError(f"{more} tensors too many")

    @staticmethod
    def _fill(module: Convolution, tensors: Iterator[torch.Tensor]) -> None:
        kernel, weight, bias, mean, variance, _ = (_next(tensors) for _ in range(6))
        fused = fuse_conv_bn_weights(kernel, None, mean, variance, EPSILON, weight, bias)
        for own, told in zip((module.weight, module.bias), fused, strict=True):
            assert own is not None
            _put(own, told)


def _convolution(width: int, out: int, kernel: int, stride: int = 1, groups: int = 1) -> Convolution:
    return Convolution(width, out, kernel, stride, groups=groups)


def _next(tensors: Iterator[torch.Tensor]) -> torch.Tensor:
    found = next(tensors, None)
    if found is None:
        raise ValueError("tensors are missing")
    return found


def _put(own: torch.Tensor, told: torch.Tensor) -> None:
    if own.shape != told.shape:
        raise ValueError(f"a tensor of shape {tuple(told.shape)} where {tuple(own.shape)} belongs")
    own.data.copy_(told)
