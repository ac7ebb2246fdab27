"""From a name to an encoder, and what this machine has to offer.

Nothing here imports numpy or torch until an encoder is made.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING

from vsearch.arguments import written
from vsearch.embed import known
from vsearch.embed.external import External, is_external
from vsearch.errors import EncoderError, EncoderMismatch

if TYPE_CHECKING:
    from vsearch.embed.protocol import Encoder
    from vsearch.types import EncoderInfo, MadeWith

HEADS_FILE = "vsearch_heads.json"  # what a folder with trained heads over mini's towers has in it
UNTRAINED = "mini:untrained"
BUNDLED = ("mini", UNTRAINED)  # both have the same towers


def load_encoder(
    name: str = "auto", *, device: str | None = None, expect: EncoderInfo | None = None, compiled: bool = False
) -> Encoder:
    """Make the encoder of that name; heavy weights are read by its first call.

    name: ``mini``, ``mini:untrained`` (without its heads), ``toy``, ``auto``, ``openclip:NAME/TAG`` or ``NAME/TAG`` as
    open_clip lists them, ``hf-hub:ORG/REPO``, ``local-dir:PATH``, or the path of such a folder; ``external:NAME:DIM``
    for vectors that were made elsewhere.
    device: ``cpu``, ``cuda`` or ``cuda:N``; None takes a GPU when there is one.
    expect: the encoder pinned in an index.  With it, the loaded one must have the same fingerprint.
    compiled: put torch.compile around the picture tower of an open_clip model, where a trial shows that it pays; the
    trial comes with the first use and takes a minute or more.
    Raises EncoderError for an unknown name, or one that cannot be compiled; EncoderUnavailable, EncoderMismatch.
    """
    full = resolve(name, device)[0]
    known.note(full)
    return _load(full, device, expect, compiled)


def made(encoder: str | Encoder) -> Encoder:
    """An encoder as it is, and for a name the one of that name.  Raises EncoderError, EncoderUnavailable."""
    if isinstance(encoder, str):
        return load_encoder(encoder)
    if not all(hasattr(encoder, part) for part in ("info", "preprocess", "encode_images", "encode_texts")):
        raise EncoderError(f"an encoder is a name or an object with two towers, and this is {written(encoder)}")
    return encoder


def name_encoder(name: str) -> str:
    """Let indexes and re-rankers that name an encoder load it, from now on; return its full name.

    It takes the place of naming the encoder to ``load_encoder``, where the index is to load it.
    Raises EncoderError for a name that cannot be one.
    """
    full = resolve(name)[0]
    known.note(full)
    return full


def load_pinned(
    expect: EncoderInfo,
    origin: str,
    *,
    device: str | None = None,
    compiled: bool = False,
    before: MadeWith | None = None,
) -> Encoder:
    """Make the encoder that a file names, with the fingerprint that it says.

    origin: what names it, for messages.  before: what the vectors that are there were made with; on the same processor
    it makes more like them.  Raises EncoderUnknown for one that the user has never named on this machine,
    and what ``load_encoder`` raises.
    """
    known.check(expect.name, origin)
    return _load(expect.name, device, expect, compiled, before)


def _load(
    full: str,
    device: str | None,
    expect: EncoderInfo | None,
    compiled: bool,
    before: MadeWith | None = None,
) -> Encoder:
    if compiled and not is_openclip(full):
        raise EncoderError(f"Only models of open_clip are compiled, and {full} is none. Leave `--compile` out.")
    encoder = _make(full, device, expect.dim if expect else None, compiled, before)
    if expect is not None:
        check_same(encoder.info, expect)
    return encoder


def resolve(name: str, device: str | None = None) -> tuple[str, str]:
    """Full name of the encoder that ``name`` stands for, and one line that says why.

    device: as for ``load_encoder``; ``auto`` chooses by it.
    Reads no weights, and imports no torch where no GPU is; ``auto`` may ask the hub, for two seconds at most.
    Raises EncoderError for a name that cannot be one.
    """
    if not isinstance(name, str) or "\0" in name:
        raise EncoderError(f"an encoder is named by a text, as in 'mini', and this is {written(name)}")
    if name == "auto":
        from vsearch.embed.auto import choose

        return choose(device)
    full = _full_name(name)
    return full, f"encoder {full}: as asked for"


def _full_name(name: str) -> str:
    if name in (*BUNDLED, "toy") or name.startswith(("hf-hub:", "external:")):
        return name
    kind, colon, rest = name.partition(":")
    if colon and kind == "local-dir":
        return f"local-dir:{Path(rest).expanduser().absolute()}"
    if colon and kind == "openclip" and "/" in rest:
        return name
    if os.path.isdir(Path(name).expanduser()):
        return f"local-dir:{Path(name).expanduser().absolute()}"
    if name.count("/") == 1 and not colon and not name.startswith((".", "/", "~")):
        return f"openclip:{name}"
    raise EncoderError(
        f"There is no encoder named {name!r}. Give one of: auto, mini, toy, openclip:NAME/TAG, "
        "hf-hub:ORG/REPO, local-dir:PATH, external:NAME:DIM; `vsearch models` lists them."
    )


def _make(full: str, device: str | None, dim: int | None, compiled: bool, before: MadeWith | None) -> Encoder:
    if full == "toy":
        from vsearch.embed.toy import Toy

        return Toy()
    if full == UNTRAINED:
        from vsearch.embed.mini import Mini

        return Mini(device)
    if full == "mini":
        from vsearch.embed.heads import BUNDLED_HEADS, MiniHeads

        return MiniHeads(BUNDLED_HEADS, device, "mini")
    if is_external(full):
        return External(full, dim)
    if has_heads(full):
        from vsearch.embed.heads import MiniHeads

        return MiniHeads(Path(full.partition(":")[2]), device)
    from vsearch.embed.openclip import OpenClip

    return OpenClip(full, device, compiled, before)


def is_openclip(full: str) -> bool:
    """Whether a full name is that of a model of open_clip: listed, in a repository of the hub, or in a folder."""
    return full not in (*BUNDLED, "toy") and not is_external(full) and not has_heads(full)


def has_heads(full: str) -> bool:
    """Whether a full name is that of a folder with heads that were trained over ``mini``."""
    kind, _, rest = full.partition(":")
    return kind == "local-dir" and os.path.isfile(Path(rest) / HEADS_FILE)


def check_same(found: EncoderInfo, expect: EncoderInfo) -> None:
    """Raise EncoderMismatch unless the encoder found makes the same vectors as the one expected."""
    if found.digest == expect.digest:
        return
    if found.name != expect.name:
        mend = f"Use `--encoder {expect.name}`, or change the index: `vsearch index --encoder {found.name}`."
    else:
        mend = (
            f"Embed its pictures anew, beside the old ones: `vsearch index --encoder {found.name}`. Or bring back the "
            f"weights and the library versions of then ({_differences(found, expect)})."
        )
    raise EncoderMismatch(
        f"The index was made with encoder {expect.name} ({expect.digest[:12]}), and the one loaded is "
        f"{found.name} ({found.digest[:12]}): their vectors cannot be compared. {mend}"
    )


def _differences(found: EncoderInfo, expect: EncoderInfo) -> str:
    kinds = ("weights", "dim", "preprocess", "settings", "normalised")
    return "other " + ", ".join(k for k in kinds if getattr(found, k) != getattr(expect, k))
