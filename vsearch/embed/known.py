"""Which encoders this user has named: no other is loaded because an index or a re-ranker from somewhere names it."""

from __future__ import annotations

import re
from pathlib import Path

from vsearch.embed import hub
from vsearch.embed.external import is_external
from vsearch.errors import EncoderError, EncoderUnknown
from vsearch.remembered import DATA

KIND = "known-encoders"
_BUNDLED = ("mini", "mini:untrained", "toy")
_LISTED = re.compile(r"openclip:\w[\w.-]*/\w[\w.-]*", re.ASCII)  # open_clip knows where the weights of these are
_REPOSITORY = re.compile(r"hf-hub:([A-Za-z0-9][\w.-]*/[A-Za-z0-9][\w.-]*)", re.ASCII)
_FOLDER = "local-dir:"


def note(name: str) -> None:
    """The user has named an encoder, by its full name: from now on it is known on this machine."""
    if not _is_harmless(name):
        DATA.remember(KIND, name, True)


def check(name: str, origin: str) -> None:
    """Refuse to load an encoder that only a file names.

    name: as the file has it.  origin: what names it, for the message: ``photos.vsearch``.
    Bundled encoders and those that open_clip lists come from where they always come from.  Models of the hub are known
    once they are in its cache.  Anything else must have been named by the user before.
    Raises EncoderError for a name that is not absolute, EncoderUnknown for an encoder that is not known.
    """
    if _is_harmless(name):
        return
    repository = _REPOSITORY.fullmatch(name)
    if not repository and not (name.startswith(_FOLDER) and _is_plain(name.removeprefix(_FOLDER))):
        raise EncoderError(
            f"{origin} names the encoder {name!r}, which is no name that vsearch writes, and is not loaded. If it was "
            "made with an encoder object of your own, pass that to vsearch.open(path, encoder=...). If it comes from "
            "somebody else, it is damaged or meant to do harm"
        )
    if DATA.recall(KIND, name) or (repository and hub.cached(repository[1], *hub.WEIGHT_FILES)):
        return
    raise EncoderUnknown(
        f"{origin} was made with the encoder {name}, which has not been used on this machine. A model from elsewhere "
        f"is loaded only when you name it: add --encoder {name} if you trust whoever it comes from "
        f"(in code: vsearch.open(path, encoder={name!r}))",
        name,
    )


def _is_harmless(name: str) -> bool:
    return name in _BUNDLED or is_external(name) or _LISTED.fullmatch(name) is not None


def _is_plain(path: str) -> bool:
    """Whether a path is absolute and has no detours."""
    return path.startswith("/") and "\0" not in path and ".." not in Path(path).parts
