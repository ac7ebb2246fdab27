"""Encoders worth knowing, as data: `vsearch models` shows them, and `auto` takes its first choice from here."""

from __future__ import annotations

from dataclasses import dataclass

from vsearch.embed import hub
from vsearch.embed.weights import MINI_FILES, package_folder
from vsearch.errors import EncoderUnavailable


@dataclass(frozen=True, slots=True)
class Preset:
    """One row of `vsearch models`.

    name: as given to ``--encoder``.  parameters in millions; megabytes of weights to read or download;
    dim: length of a vector.  on_this_machine: the weights are here, so no network is needed.
    """

    name: str
    parameters: float
    megabytes: int
    dim: int
    licence: str
    on_this_machine: bool
    note: str


@dataclass(frozen=True, slots=True)
class _Known:
    name: str
    repo: str
    parameters: float
    dim: int
    licence: str
    note: str

    @property
    def megabytes(self) -> int:
        return round(self.parameters * 4)


PREFERRED = _Known(
    "ViT-B-32/laion2b_s34b_b79k",
    "laion/CLIP-ViT-B-32-laion2B-s34B-b79K",
    151.3,
    512,
    "MIT",
    "fast and good in general; what `auto` takes when it can",
)
OPEN_CLIP = (
    PREFERRED,
    _Known(
        "ViT-B-32-256/datacomp_s34b_b86k",
        "laion/CLIP-ViT-B-32-256x256-DataComp-s34B-b86K",
        151.3,
        512,
        "MIT",
        "as fast, and better; 256 px",
    ),
    _Known(
        "ViT-L-14/datacomp_xl_s13b_b90k",
        "laion/CLIP-ViT-L-14-DataComp.XL-s13B-b90K",
        427.6,
        768,
        "MIT",
        "much better; wants a GPU",
    ),
    _Known(
        "ViT-B-16-SigLIP2-256/webli",
        "timm/ViT-B-16-SigLIP2-256",
        375.2,
        768,
        "Apache-2.0",
        "many languages; strong on details",
    ),
    _Known(
        "xlm-roberta-base-ViT-B-32/laion5b_s13b_b90k",
        "laion/CLIP-ViT-B-32-xlm-roberta-base-laion5B-s13B-b90k",
        366.1,
        512,
        "MIT",
        "about a hundred languages",
    ),
)


def presets() -> list[Preset]:
    """The encoders that `vsearch models` lists, the bundled ones first.  Asks the cache, never the network."""
    mini_here = mini_installed()
    rows = [
        Preset(
            "mini",
            41.3,
            141,
            384,
            "Apache-2.0",
            mini_here,
            "bundled; things and everyday scenes; no network",
        ),
        Preset("toy", 0, 0, 64, "Apache-2.0", True, "colours and words; for tests"),
    ]
    for known in OPEN_CLIP:
        here = hub.cached(known.repo, *hub.WEIGHT_FILES) is not None
        told = (known.parameters, known.megabytes, known.dim, known.licence, here, known.note)
        rows.append(Preset(known.name, *told))
    return rows


def mini_installed() -> bool:
    """Whether the packages that carry the weights of ``mini`` are installed; their bytes are not checked."""
    try:
        return all((package_folder(file.package) / file.path).is_file() for file in MINI_FILES)
    except EncoderUnavailable:
        return False
