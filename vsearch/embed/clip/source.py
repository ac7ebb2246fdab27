"""Where a model of open_clip comes from, found without importing open_clip or waiting for a hub that is not there."""

from __future__ import annotations

import copy
import hashlib
import json
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from vsearch.embed import hub
from vsearch.embed.clip.configuration import Configuration, check_configuration, read_configuration
from vsearch.embed.clip.listed import Pretrained, architecture, pretrained
from vsearch.embed.clip.model_files import bring_model, bring_text_tower
from vsearch.embed.download.failures import ADVICE
from vsearch.errors import EncoderError, EncoderUnavailable

# What open_clip looks for in a folder, in its order; then any other of these kinds.
_WEIGHTS = (
    *("open_clip_model.safetensors", "open_clip_pytorch_model.safetensors", "open_clip_pytorch_model.bin"),
    *("open_clip_pytorch_model.pth", "model.safetensors", "pytorch_model.bin", "pytorch_model.pth", "model.pth"),
)
_KINDS = ("*.safetensors", "*.bin", "*.pth")


@dataclass(frozen=True)
class Source:
    """Where a model is.

    name: the encoder's full name.  repo: of the hub, None for a folder.  folder: of a model that is here, else None.
    model: the architecture of one that open_clip lists, else empty; listed: what it lists of the weights.
    """

    name: str
    repo: str | None = None
    folder: Path | None = None
    model: str = ""
    listed: Pretrained | None = None

    @property
    def weight_files(self) -> tuple[str, ...]:
        """Names of the weights file in the repository, in the order in which they are looked for."""
        if self.listed is None or not self.listed.file:
            return hub.WEIGHT_FILES
        return str(Path(self.listed.file).with_suffix(".safetensors")), self.listed.file


@dataclass(frozen=True)
class Found:
    """A model that is on this machine.

    configuration: checked.  weights: the file.  tokenizer: folder with the tokenizer's files, None for where its name
    says.  configuration_hash: SHA-256, hex.
    """

    configuration: Configuration
    weights: Path
    tokenizer: Path | None
    configuration_hash: str


def find_source(name: str) -> Source:
    """The source of ``openclip:NAME/TAG``, ``hf-hub:ORG/REPO`` or ``local-dir:PATH``.

    Raises EncoderError for a name or tag that open_clip does not list, EncoderUnavailable for a missing folder.
    """
    kind, _, rest = name.partition(":")
    if kind == "hf-hub":
        return Source(name, repo=rest)
    if kind == "openclip":
        model, _, tag = rest.rpartition("/")
        listed = pretrained(model, tag)
        if listed is None:
            raise EncoderError(_not_listed(model, tag))
        return Source(name, listed.repo, None, model, listed)
    if not (Path(rest) / hub.CONFIG_FILE).is_file():
        raise EncoderUnavailable(
            f"{rest} is no folder with a model: it has no {hub.CONFIG_FILE}. Give `local-dir:PATH` a folder as "
            "open_clip saves them, with its weights and configuration, or use `--encoder mini`."
        )
    return Source(name, folder=Path(rest))


def _not_listed(model: str, tag: str) -> str:
    import open_clip

    if open_clip.get_pretrained_cfg(model, tag):
        return f"the weights of {model}/{tag} are not on the model hub, and vsearch fetches from nowhere else. {ADVICE}"
    tags = open_clip.list_pretrained_tags_by_model(model)
    known = f"it has the tags {', '.join(tags)} for it" if tags else "nor any other tag of that model"
    return f"open_clip lists no {model}/{tag}; {known}. `vsearch models` shows encoders worth having."


def bring(source: Source) -> bool:
    """Bring what the cache lacks of a model; return whether anything came.  Raises EncoderUnavailable, EncoderError."""
    try:
        if source.folder is not None:
            return bring_text_tower(read_configuration(source.folder / hub.CONFIG_FILE).model_cfg)
        assert source.repo is not None
        listed = architecture(source.model) if source.listed else None
        return bring_model(source.repo, source.weight_files, listed)
    except EncoderUnavailable as error:
        again = f"To fetch it another time: `vsearch models fetch {source.name}`."
        raise EncoderUnavailable(f"{source.name} is not on this machine. {error} {again}") from error


def find(source: Source) -> Found:
    """The files of a model, fetched from the hub unless the cache holds them.

    Raises EncoderUnavailable when they can be had neither here nor there, EncoderError for a configuration that is not
    accepted.
    """
    try:
        bring(source)
        if source.folder is not None:
            configuration = read_configuration(source.folder / hub.CONFIG_FILE)
            return Found(configuration, weights_in(source.folder), source.folder, _hash_in_folder(configuration))
        assert source.repo is not None
        weights = hub.cached(source.repo, *source.weight_files)
        assert weights is not None
        if source.listed is None:
            beside = hub.cached(source.repo, hub.CONFIG_FILE)
            assert beside is not None
            configuration = read_configuration(beside)
            return Found(configuration, weights, None, hash_of(configuration.model_cfg))
    except OSError as error:
        raise EncoderError(f"the model {source.name} cannot be read: {error}. {ADVICE}.") from error
    preprocess = {key: getattr(source.listed, key) for key in ("mean", "std", "interpolation", "resize_mode")}
    configuration = check_configuration(_listed(source), preprocess, source.model)
    return Found(configuration, weights, None, _hash_of_listed(source))


def _listed(source: Source) -> dict[str, Any]:
    """The configuration of a listed model."""
    assert source.listed is not None
    config = copy.deepcopy(architecture(source.model))
    # open_clip only warns when weights were trained with the other activation, and gives other vectors
    if source.listed.quick_gelu:
        config["quick_gelu"] = True
    return config


def _hash_of_listed(source: Source) -> str:
    assert source.listed is not None
    return hash_of([architecture(source.model), source.listed.quick_gelu])


def _hash_in_folder(configuration: Configuration) -> str:
    """The hash of the configuration in a folder, which is that of the listed model that it was exported from.

    What the folder says of itself is believed only while its configuration is that model's.
    """
    if configuration.origin.startswith("openclip:"):
        with suppress(EncoderError):  # open_clip lists it no more
            origin = find_source(configuration.origin)
            if _listed(origin) == configuration.model_cfg:
                return _hash_of_listed(origin)
    return hash_of(configuration.model_cfg)


def hash_of(config: Any) -> str:
    """SHA-256, hex, of a model's configuration: part of the encoder's fingerprint."""
    return hashlib.sha256(json.dumps(config, sort_keys=True).encode()).hexdigest()


def weights_in(folder: Path) -> Path:
    """The weights file that open_clip takes of a folder.  Raises EncoderUnavailable when there is none."""
    others = (path for kind in _KINDS for path in sorted(folder.glob(kind)))
    for path in (*(folder / name for name in _WEIGHTS), *others):
        if path.is_file():
            return path
    raise EncoderUnavailable(f"{folder} holds no weights: no {_WEIGHTS[0]}, nor any other file that open_clip reads")
