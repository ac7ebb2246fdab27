"""An open_clip model as a folder of its own, for a machine that reaches no hub."""

from __future__ import annotations

import json
import os
import shutil
import uuid
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from vsearch.embed import hub
from vsearch.embed.clip.configuration import ORIGIN, read_configuration
from vsearch.embed.clip.listed import architecture
from vsearch.embed.clip.model_files import TOKENIZER_FILES, tokenizer_files
from vsearch.embed.clip.source import Found, Source, find, find_source
from vsearch.embed.clip.whole import create
from vsearch.embed.download.fetch import fetch_files
from vsearch.embed.load import is_openclip, resolve
from vsearch.embed.openclip import OpenClip
from vsearch.errors import EncoderError

TOKENIZER = "tokenizer.json"


@dataclass(frozen=True)
class Exported:
    """encoder: full name.  digest: of its fingerprint, which the folder has too.  bytes: in the folder."""

    encoder: str
    digest: str
    bytes: int


def export_encoder(name: str, folder: str | os.PathLike[str]) -> Exported:
    """Write an encoder into a folder that ``local-dir:FOLDER`` loads, with the same vectors and fingerprint.

    name: one of open_clip's models, as for ``load_encoder``; what is not on this machine is fetched.  folder: new, or
    empty.  Weights that are safetensors are linked where the disk allows, else copied.
    Raises EncoderError, EncoderUnavailable.
    """
    full, place = resolve(name)[0], Path(folder).absolute()
    if not is_openclip(full):
        raise EncoderError(f"{full} is no model of open_clip, and only those are exported. See `vsearch models`.")
    if os.path.lexists(place) and not (place.is_dir() and not any(place.iterdir())):
        raise EncoderError(f"{folder} is there already, and not empty. Name a new folder.")
    try:
        work = place.with_name(f".{place.name}.{uuid.uuid4().hex}")
        work.mkdir(parents=True)
        try:
            exported = _export(full, work)
            os.replace(work, place)
        finally:
            shutil.rmtree(work, ignore_errors=True)
    except OSError as error:
        raise EncoderError(f"{folder} cannot be written ({error.strerror or error}). Name another folder.") from error
    return exported


def _export(full: str, folder: Path) -> Exported:
    source = find_source(full)
    if tower := _text_tower_elsewhere(source):
        raise EncoderError(
            f"{full} has a text tower that is described only at the hub, by {tower}, so no folder can hold all of it. "
            "Copy the hub's cache instead, the folder `hub` in HF_HOME, and set HF_HUB_OFFLINE=1 there."
        )
    files = find(source)
    configuration, text = files.configuration.model_cfg, files.configuration.model.text_cfg
    preprocess = files.configuration.preprocess_cfg
    _write_configuration(folder, {"model_cfg": configuration, "preprocess_cfg": preprocess, ORIGIN: full})
    if text.hf_tokenizer_name:
        _copy_tokenizer(files, text.hf_tokenizer_name, folder)
    _put_weights(source, files.weights, folder / hub.WEIGHT_FILES[0])
    digest = OpenClip(f"local-dir:{folder}", "cpu").info.digest
    if digest != OpenClip(full, "cpu").info.digest:
        raise EncoderError(f"{full} gives other vectors from a folder than from the hub; it cannot be exported")
    return Exported(full, digest, sum(path.stat().st_size for path in folder.iterdir()))


def _text_tower_elsewhere(source: Source) -> str | None:
    """The repository that describes the text tower of a model, if one does; brings no weights."""
    if source.listed is not None:
        tower: str | None = architecture(source.model)["text_cfg"].get("hf_model_name")
        return tower
    if source.folder is not None:
        path = source.folder / hub.CONFIG_FILE
    else:
        assert source.repo is not None
        path = fetch_files(source.repo, [hub.CONFIG_FILE])[0]
    return read_configuration(path).model.text_cfg.hf_model_name


def _write_configuration(folder: Path, content: dict[str, Any]) -> None:
    (folder / hub.CONFIG_FILE).write_text(json.dumps(content, indent=2) + "\n", encoding="utf-8")


def _copy_tokenizer(files: Found, repo: str, folder: Path) -> None:
    """Copy a tokenizer's files.  Raises EncoderError when they are not of the form that a folder needs."""
    if files.tokenizer is not None:
        there = [files.tokenizer / name for name in TOKENIZER_FILES if (files.tokenizer / name).is_file()]
    else:
        there = tokenizer_files(repo)
    if TOKENIZER not in {path.name for path in there}:
        raise EncoderError(f"the tokenizer {repo} has no {TOKENIZER}, which a folder needs; it cannot be exported")
    for path in there:
        shutil.copyfile(path, folder / path.name)


def _put_weights(source: Source, weights: Path, target: Path) -> None:
    """Link, copy or convert the weights."""
    if weights.suffix != ".safetensors":
        from safetensors.torch import save_file

        network = create(source)[0]
        save_file({name: tensor.clone().contiguous() for name, tensor in network.state_dict().items()}, target)
        return
    with suppress(OSError):
        os.link(weights.resolve(), target)
        return
    shutil.copyfile(weights, target)
