"""Where a model of open_clip comes from, found without importing open_clip or waiting for a hub that is not there."""

from __future__ import annotations

import copy
import hashlib
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from vsearch.embed import hub
from vsearch.embed.clip.configuration import Configuration, check_configuration, read_configuration
from vsearch.embed.clip.listed import Pretrained, architecture, pretrained
from vsearch.errors import EncoderError, EncoderUnavailable

ADVICE = "Use `--encoder mini`, which needs no network, or a folder with the model: `--encoder local-dir:PATH`"
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


def find(source: Source) -> Found:
    """The files of a model, fetched from the hub unless the cache holds them.

    Raises EncoderUnavailable when they can be had neither here nor there, EncoderError for a configuration that is not
    accepted.
    """
    try:
        if source.folder is not None:
            configuration = read_configuration(source.folder / hub.CONFIG_FILE)
            return Found(configuration, weights_in(source.folder), source.folder, hash_of(configuration.model_cfg))
        assert source.repo is not None
        weights = hub.file_of(source.repo, source.weight_files, source.name)
        if source.listed is None:
            configuration = read_configuration(hub.file_of(source.repo, (hub.CONFIG_FILE,), source.name))
            return Found(configuration, weights, None, hash_of(configuration.model_cfg))
    except OSError as error:
        raise EncoderError(f"the model {source.name} cannot be read: {error}. {ADVICE}.") from error
    return _listed(source.model, source.listed, weights)


def _listed(model: str, listed: Pretrained, weights: Path) -> Found:
    plain = architecture(model)
    config = copy.deepcopy(plain)
    # open_clip only warns when weights were trained with the other activation, and gives other vectors
    if listed.quick_gelu:
        config["quick_gelu"] = True
    preprocess = {key: getattr(listed, key) for key in ("mean", "std", "interpolation", "resize_mode")}
    return Found(check_configuration(config, preprocess, model), weights, None, hash_of([plain, listed.quick_gelu]))


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
