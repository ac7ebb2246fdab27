"""Tensors that torch has pickled, read with its restricted unpickler: for weights that come in no other form."""

from __future__ import annotations

import pickle
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from vsearch.errors import EncoderError

if TYPE_CHECKING:
    from numpy.typing import NDArray


class PickledFile:
    """The same as ``TensorFile``, at the price of importing torch."""

    def __init__(self, path: Path) -> None:
        """Map the file.  Raises EncoderError for one that holds anything but tensors, or is cut."""
        import torch

        self.path = path
        try:
            held: Any = torch.load(path, map_location="cpu", weights_only=True, mmap=True)
            held = held.get("state_dict", held)
            self._tensors = {str(name): tensor.detach() for name, tensor in held.items()}
        except (OSError, RuntimeError, ValueError, KeyError, AttributeError, pickle.UnpicklingError) as error:
            raise EncoderError(
                f"{path}: it cannot be read as tensors ({error}). Fetch or copy the model again, as safetensors if "
                "there is a choice"
            ) from error

    def __contains__(self, name: str) -> bool:
        return name in self._tensors

    @property
    def names(self) -> list[str]:
        """Of all tensors."""
        return list(self._tensors)

    def shape(self, name: str) -> tuple[int, ...]:
        """The shape of a tensor.  Raises EncoderError when it is not there."""
        return self.stored(name).shape

    def stored(self, name: str) -> NDArray[np.generic]:
        """A tensor as it is stored; bfloat16 as float32.  Raises EncoderError."""
        import torch

        if name not in self._tensors:
            raise EncoderError(f"{self.path}: the tensor {name} is missing. Fetch or copy the model again")
        tensor = self._tensors[name]
        array: NDArray[np.generic] = (tensor.float() if tensor.dtype == torch.bfloat16 else tensor).numpy()
        return array

    def floats(self, name: str, *shape: int) -> NDArray[np.float32]:
        """A tensor as float32.  shape: what it must have, if given.  Raises EncoderError."""
        array = self.stored(name)
        if shape and array.shape != shape:
            raise EncoderError(f"{self.path}: the tensor {name} has the shape {array.shape}, where {shape} is wanted")
        return np.asarray(array, np.float32)

    def release(self) -> None:
        """Does nothing: the mapping is torch's, and its pages are the system's to take back."""
