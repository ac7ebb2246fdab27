"""Every choice of a training run, with the reason for its default."""

from __future__ import annotations

import re
from dataclasses import asdict, dataclass
from typing import Any, Literal

from vsearch.errors import TrainError

WHAT = ("auto", "heads", "whole", "image", "text", "last:N", "lora")
MAX_SCALE = 100.0  # as in CLIP (Radford et al. 2021, arXiv 2103.00020): a greater one makes training unstable


@dataclass(frozen=True)
class TrainConfig:
    """What is trained, on what, and how.  The defaults suit fine-tuning on thousands to millions of pairs.

    what: ``heads`` (the projections, or for ``mini`` two heads over its frozen towers), ``whole``, ``image`` (the text
    tower is locked), ``text`` (the image tower is locked: LiT, Zhai et al. 2022, arXiv 2111.07991), ``last:N`` (the
    last N blocks of both towers and the projections), ``lora`` (low-rank updates of all linear layers: Hu et al.
    2021, arXiv 2106.09685).  ``auto`` is ``heads`` for ``mini`` and ``whole`` for open_clip: with the small learning
    rate and WiSE-FT below, whole towers gain most and forget little.
    """

    what: str = "auto"
    head: Literal["mlp", "linear"] = "mlp"
    """Kind of the heads over ``mini``: an MLP beside the identity; a linear one for some hundred pairs."""
    hidden: int = 1536
    """Width of the MLP heads."""
    dropout: float = 0.4
    """Share of the MLP heads' hidden units left out at each step: 6,000 pictures are soon learnt by heart."""
    lora_rank: int = 16
    """Rank of the updates: from 8 to 32 makes little difference in the paper's tables."""

    loss: Literal["infonce", "siglip"] = "infonce"
    """Symmetric InfoNCE, as in CLIP; SigLIP's sigmoid loss needs no large batch, and its own starting point."""
    hard_weight: float = 0.0
    """How much more a negative counts the more it looks like the positive (beta of Robinson et al. 2021); 0: all alike.
    Off, since with noisy captions the hardest negatives are often no negatives."""
    label_smoothing: float = 0.0
    """Off: it pulls apart what the temperature, which is learnt, already sets."""
    temperature: float | None = None
    """Where the temperature starts.  None: the encoder's own, or CLIP's 0.07."""

    epochs: int = 30
    """Passes over the pictures; early stopping usually ends before."""
    batch: int = 512
    """Pairs compared with each other at each step, over all processes.  More negatives are better as long as an epoch
    has a dozen steps."""
    chunk: int = 0
    """Pairs in a forward pass at a time.  0: the whole batch.  Less needs less memory, gives the same gradients and
    takes a third more time: gradient caching."""
    unit: Literal["picture", "caption"] = "picture"
    """What an epoch shows once: each picture with one of its captions, drawn anew, or each caption.  By picture, two
    captions of one picture never meet in a batch."""
    hard_batches: int = 0
    """Look-alikes in a row of the batch: groups of so many pictures that the encoder at the start takes for similar.
    0: at random.  It pays when pictures of a domain differ in details."""
    augment: bool = True
    """Crops of towers' pictures that keep nine tenths of them, and mirror images where no caption says left or right.
    Features of frozen towers are computed once, without."""

    lr_towers: float = 1e-5
    """Pretrained towers lose what they know at the 5e-4 of pre-training; 1e-5 is what fine-tuning of CLIP takes."""
    lr_heads: float = 1e-3
    """New weights start from nothing and have everything to learn."""
    weight_decay: float = 0.1
    """Between CLIP's 0.2 and none; not for biases, norms and the temperature."""
    warmup: float = 0.1
    """Share of the steps in which the learning rate rises: a fixed count of steps is all of a short run."""
    clip: float = 1.0
    """Largest norm of the gradient; one bad batch then moves the weights no further than a good one."""
    ema: float = 0.0
    """Decay of an average of the weights that is evaluated and kept instead of them; 0: none.  0.999 suits thousands
    of steps."""
    precision: Literal["auto", "fp32", "bf16"] = "auto"
    """bf16 on a GPU that has it; float32 on a CPU, where torch's autocast is slower."""

    hold_out: float = 0.1
    """Share of the pictures kept for validation when no validation pairs are given, at most 1,000 of them."""
    evaluate_every: int = 0
    """Steps between evaluations and checkpoints.  0: once an epoch."""
    patience: int = 5
    """Evaluations without a better recall after which training stops.  0: never."""
    wise: bool = True
    """Interpolate between the old and the new weights when done (WiSE-FT), and keep the best mix."""
    wise_floor: float = 0.02
    """Recall on general pairs that the mix may lose, in parts of one."""
    seed: int = 0

    def __post_init__(self) -> None:
        if self.what not in ("auto", "heads", "whole", "image", "text", "lora") and not re.fullmatch(
            r"last:[1-9]\d*", self.what
        ):
            raise TrainError(f"there is no part {self.what!r} to train; give one of {', '.join(WHAT)}")
        for name, (low, high) in _RANGES.items():
            if not low <= getattr(self, name) <= high:
                raise TrainError(f"{name} is {getattr(self, name)}, and must be from {low:g} to {high:g}")
        if self.temperature is not None and not 1 / MAX_SCALE <= self.temperature <= MAX_SCALE:
            raise TrainError(f"temperature is {self.temperature}, and must be from 0.01 to 100")
        if self.hard_batches and self.unit != "picture":
            raise TrainError("batches of look-alikes are made of pictures; leave unit at 'picture'")
        if self.loss == "siglip" and (self.hard_weight or self.label_smoothing):
            raise TrainError("hard_weight and label_smoothing belong to the loss infonce, and siglip has neither")

    def told(self) -> dict[str, Any]:
        """All of it, for JSON."""
        return asdict(self)


_INF = float("inf")
_RANGES: dict[str, tuple[float, float]] = {
    "hidden": (1, 1 << 16),
    "dropout": (0, 0.95),
    "lora_rank": (1, 1024),
    "hard_weight": (0, 10),
    "label_smoothing": (0, 0.5),
    "epochs": (1, 1_000_000),
    "batch": (2, 1 << 24),
    "chunk": (0, 1 << 24),
    "hard_batches": (0, 1 << 16),
    "lr_towers": (0, 10),
    "lr_heads": (0, 10),
    "weight_decay": (0, 10),
    "warmup": (0, 1),
    "clip": (1e-6, _INF),
    "ema": (0, 0.999999),
    "hold_out": (0, 0.9),
    "evaluate_every": (0, _INF),
    "patience": (0, _INF),
    "wise_floor": (0, 1),
    "seed": (0, 2**31 - 1),
}
