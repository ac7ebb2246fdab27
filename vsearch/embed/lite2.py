"""EfficientNet-Lite2 with ImageNet weights: pictures to scores of 1,000 classes (Tan and Le 2019, arXiv 1905.11946).

The weights are Google's, converted to PyTorch.
"""

from __future__ import annotations

import pickle
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
import torch
from torch import nn

from vsearch.embed.efficientnet import CLASSES, EfficientNetLite2
from vsearch.embed.network import normalised, run, torch_errors
from vsearch.embed.precision import pick_device
from vsearch.embed.weights import LITE2_WEIGHTS, checked
from vsearch.errors import EncoderError

if TYPE_CHECKING:
    from numpy.typing import NDArray

CELLS = 9
FEATURES = 1280
STAGES = 856
MEAN = 127.0
STD = 128.0


class Look(NamedTuple):
    """What the classifier says of n pictures, float32.

    logits: scores of the ImageNet classes, (n, 1000).  attention: class activation map (Zhou et al. 2016,
    arXiv 1512.04150) of the five likeliest classes, less that of the average class, (n, 9, 9).
    pooled: mean of the last feature map, which the scores are a linear function of, (n, 1280).  stages: mean of the
    feature map after each of the seven stages before it, (n, 856).
    """

    logits: NDArray[np.float32]
    attention: NDArray[np.float32]
    pooled: NDArray[np.float32]
    stages: NDArray[np.float32]


class Lite2:
    """The classifier, in float32 everywhere.  Thread-safe: nothing changes after construction.

    In bfloat16 it is 1.4 times as fast on a CPU with AMX, but the vectors of photographs that ``mini`` makes
    of it then have cosines down to 0.996 to those of float32, and vsearch asks for 0.999.
    """

    def __init__(self, device: str | None = None) -> None:
        """Read the weights (25 MB, checked).  Raises EncoderUnavailable, EncoderError."""
        self._device = pick_device(device)
        with torch_errors():
            self._network = load_network().to(self._device).to(memory_format=torch.channels_last)

    @property
    def precision(self) -> str:
        """Where it runs and how precisely, in words."""
        return f"float32 on {self._device.type} (bf16 would fall below a cosine of 0.999)"

    def look(self, pixels: NDArray[np.uint8]) -> Look:
        """What is in each picture, and where the evidence for it is.

        pixels: (n, 260, 260, 3) uint8.  Raises EncoderError.
        """

        def forward(chunk: NDArray[np.uint8]) -> torch.Tensor:
            net = self._network
            x = net.stem(normalised(chunk, self._device, torch.float32, [MEAN], [STD]))
            stages = []
            for stage in net.stages:
                x = stage(x)
                stages.append(x.mean(dim=(2, 3)))
            features = net.head(x)
            pooled = features.mean(dim=(2, 3))
            logits = net.classifier(pooled)
            return torch.cat([logits, pooled, *stages, self._activation(features, logits).flatten(1)], dim=1)

        seen = run(forward, pixels, self._device, self._network)
        logits, pooled, stages, attention = np.split(seen, np.cumsum([CLASSES, FEATURES, STAGES]), axis=1)
        return Look(logits, attention.reshape(-1, CELLS, CELLS), pooled, stages)

    def _activation(self, features: torch.Tensor, logits: torch.Tensor) -> torch.Tensor:
        weights = self._network.classifier.weight
        likely, classes = torch.softmax(logits / 2, dim=1).topk(5, dim=1)
        mixed = (weights[classes] * (likely / likely.sum(dim=1, keepdim=True))[..., None]).sum(dim=1)
        return torch.einsum("nchw,nc->nhw", features, mixed - weights.mean(dim=0))


class Features:
    """What the last convolution reads: 352 numbers for each of 9 x 9 cells.  In float32, thread-safe."""

    def __init__(self, device: str | None = None) -> None:
        """Read the weights (25 MB, checked).  Raises EncoderUnavailable, EncoderError."""
        self._device = pick_device(device)
        with torch_errors():
            self._network = load_network().to(self._device).to(memory_format=torch.channels_last)

    def cells(self, pixels: NDArray[np.uint8]) -> NDArray[np.float32]:
        """(n, 260, 260, 3) uint8 to (n, 81, 352) float32, row by row from the top left.  Raises EncoderError."""
        trunk = nn.Sequential(self._network.stem, *self._network.stages)

        def forward(chunk: NDArray[np.uint8]) -> torch.Tensor:
            seen: torch.Tensor = trunk(normalised(chunk, self._device, torch.float32, [MEAN], [STD]))
            return seen.flatten(2).transpose(1, 2)

        return run(forward, pixels, self._device, self._network)


def load_network() -> EfficientNetLite2:
    """The network with the packaged weights, float32 on the CPU, for inference.

    Raises EncoderUnavailable when the package is missing, EncoderError when its file is another.
    """
    path = checked(LITE2_WEIGHTS)
    try:
        network = EfficientNetLite2()
        network.fill(list(torch.load(path, map_location="cpu", weights_only=True).values()))
    except (OSError, RuntimeError, ValueError, pickle.UnpicklingError) as error:
        raise EncoderError(f"The weights in {path} cannot be read: {error}. Run `vsearch doctor`.") from error
    return network.eval().requires_grad_(False)
