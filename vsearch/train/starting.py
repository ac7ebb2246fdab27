"""From an encoder's name to what is trained."""

from __future__ import annotations

from pathlib import Path

from vsearch.embed import load_encoder, resolve
from vsearch.embed.external import is_external
from vsearch.embed.load import BUNDLED, UNTRAINED, has_heads
from vsearch.errors import TrainError
from vsearch.train.config import TrainConfig
from vsearch.train.features import Tell
from vsearch.train.pairs import Notice
from vsearch.train.trainee import Trainee
from vsearch.train.world import World


def starting(
    encoder: str, config: TrainConfig, world: World, cache: Path, on_notice: Notice, on_features: Tell
) -> Trainee:
    """Make what is trained, as it is before the first step.

    cache: where features of frozen towers are kept.  Raises EncoderError, EncoderUnavailable, TrainError.
    """
    name = resolve(encoder)[0]
    if name in BUNDLED or has_heads(name):
        if config.what not in ("auto", "heads"):
            raise TrainError(f"the towers of mini are frozen, so {config.what!r} cannot be trained; use --train heads")
        from vsearch.embed.heads import MiniHeads
        from vsearch.train.heads import MiniTrainee

        begin = None if name == UNTRAINED else load_encoder(name, device=world.device.type)
        assert begin is None or isinstance(begin, MiniHeads)
        return MiniTrainee(config, world.device, cache, on_notice, on_features, begin)
    if name == "toy" or is_external(name):
        raise TrainError(f"{name} cannot be trained: it has no weights; use mini, or a model of open_clip")
    from vsearch.train.openclip import OpenClipTrainee

    return OpenClipTrainee(name, config, world.device, cache, on_notice, on_features)
