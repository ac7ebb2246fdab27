"""Where an open_clip model comes from, and how it is made without waiting for a hub that is not there."""

from __future__ import annotations

import hashlib
import json
import logging
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from vsearch.embed import hub
from vsearch.embed.download.failures import ADVICE
from vsearch.embed.model_config import Configuration, read_configuration
from vsearch.embed.model_files import bring_model, bring_text_tower
from vsearch.embed.openclip_build import build, in_folder, in_repository, tokenizer_of
from vsearch.errors import EncoderError, EncoderUnavailable, VsearchError


@dataclass(frozen=True)
class Source:
    """What to ask open_clip for.

    name: the encoder's full name.  model: open_clip's first argument.  repo and files: where its weights lie on
    the hub (repo is None for a local folder).
    """

    name: str
    model: str
    repo: str | None
    files: tuple[str, ...] = hub.WEIGHT_FILES
    options: dict[str, Any] = field(default_factory=dict)


def find_source(name: str) -> Source:
    """The source of ``openclip:NAME/TAG``, ``hf-hub:ORG/REPO`` or ``local-dir:PATH``.

    Raises EncoderError for a name or tag that open_clip does not list, EncoderUnavailable for a missing folder.
    """
    kind, _, rest = name.partition(":")
    if kind == "hf-hub":
        return Source(name, name, rest)
    if kind == "openclip":
        return _listed(name, *rest.rsplit("/", 1))
    if not (Path(rest) / hub.CONFIG_FILE).is_file():
        raise EncoderUnavailable(
            f"{rest} is no folder with a model: it has no {hub.CONFIG_FILE}. Give `local-dir:PATH` a folder as "
            "open_clip saves them, with its weights and configuration, or use `--encoder mini`."
        )
    return Source(name, name, None)


def _listed(name: str, model: str, tag: str) -> Source:
    import open_clip

    told = open_clip.get_pretrained_cfg(model, tag)
    if not told:
        tags = open_clip.list_pretrained_tags_by_model(model)
        known = f"it has the tags {', '.join(tags)} for it" if tags else "nor any other tag of that model"
        raise EncoderError(f"open_clip lists no {model}/{tag}; {known}. `vsearch models` shows encoders worth having.")
    repo, _, file = str(told.get("hf_hub", "")).rpartition("/")
    files = (str(Path(file).with_suffix(".safetensors")), file) if file else hub.WEIGHT_FILES
    # open_clip only warns when weights were trained with the other activation, and gives other vectors
    options = {"pretrained": tag, "force_quick_gelu": bool(told.get("quick_gelu"))}
    return Source(name, model, repo or None, files, options)


def create(source: Source) -> tuple[Any, Any, str]:
    """Network (float32, on the CPU), tokenizer, and a hash of the model's configuration.

    What the cache holds is used without asking the hub.  Raises EncoderUnavailable, EncoderError.
    """
    bring(source)
    with hub.cache_only():
        return _create(source)


def bring(source: Source) -> bool:
    """Bring what the cache lacks of a model; return whether anything came.  Raises EncoderUnavailable, EncoderError."""
    try:
        if source.repo is None:
            return bring_text_tower(model_configuration(source))
        listed = model_configuration(source) if "pretrained" in source.options else None
        return bring_model(source.repo, source.files, listed)
    except EncoderUnavailable as error:
        again = f"To fetch it another time: `vsearch models fetch {source.name}`."
        raise EncoderUnavailable(f"{source.name} is not on this machine. {error} {again}") from error


def _create(source: Source) -> tuple[Any, Any, str]:
    import open_clip

    try:
        with _root_logger_kept():
            if "pretrained" in source.options:
                network = open_clip.create_model(source.model, require_pretrained=True, **source.options)
                tokenizer = open_clip.get_tokenizer(source.model)
            else:
                model = in_repository(source.repo) if source.repo else in_folder(_folder_of(source))
                network, tokenizer = build(model), tokenizer_of(model)
        return network, tokenizer, _configuration_hash(source)
    except VsearchError:
        raise
    except Exception as error:  # whatever a strange model makes the libraries raise
        raise EncoderError(f"open_clip cannot load {source.name}: {error}. {ADVICE}.") from error


def model_configuration(source: Source) -> dict[str, Any]:
    """open_clip's configuration of the model: layers, widths, activation; what the tensors do not tell.

    Raises EncoderError, and OSError for a folder that does not hold it.
    """
    import open_clip

    if "pretrained" in source.options:
        told: dict[str, Any] = dict(open_clip.get_model_config(source.model))
        return {**told, "quick_gelu": True} if source.options["force_quick_gelu"] else told
    return _own_configuration(source).model_cfg


def _own_configuration(source: Source) -> Configuration:
    """The configuration that stands beside the weights."""
    path = hub.cached(source.repo, hub.CONFIG_FILE) if source.repo else _folder_of(source) / hub.CONFIG_FILE
    assert path is not None
    return read_configuration(path)


def _folder_of(source: Source) -> Path:
    return Path(source.model.partition(":")[2])


def _configuration_hash(source: Source) -> str:
    """SHA-256, hex, of the model's configuration."""
    told: Any = model_configuration(source)
    source = _listed_origin(source) or source
    if "pretrained" in source.options:
        import open_clip

        told = [open_clip.get_model_config(source.model), source.options["force_quick_gelu"]]
    return hashlib.sha256(json.dumps(told, sort_keys=True).encode()).hexdigest()


def _listed_origin(source: Source) -> Source | None:
    """The listed model that a folder was exported from, if its configuration is still that model's."""
    if "pretrained" in source.options or not (own := _own_configuration(source)).origin.startswith("openclip:"):
        return None
    try:
        origin = find_source(own.origin)
    except EncoderError:  # open_clip lists it no more
        return None
    return origin if model_configuration(origin) == own.model_cfg else None


@contextmanager
def _root_logger_kept() -> Iterator[None]:
    """Keep open_clip, which logs through the root logger, from setting that logger up for the whole process."""
    guard = logging.NullHandler()
    logging.root.addHandler(guard)
    try:
        yield
    finally:
        logging.root.removeHandler(guard)
