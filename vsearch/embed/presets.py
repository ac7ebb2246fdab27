"""Encoders worth knowing, as data: `vsearch models` shows them, and `auto` takes its choice from here.

Figures are those that the makers publish, or open_clip's authors measured:

- open_clip: docs/openclip_results.csv and docs/openclip_retrieval_results.csv in its repository, at 89fb801;
- SigLIP2: arXiv 2502.14786, and big_vision's configs/proj/image_text/README_siglip2.md at 1659d42;
- PE-Core: arXiv 2504.13181, and the README of perception_models;
- MobileCLIP2: arXiv 2508.20691, and its model cards.

Languages: Crossmodal-3600 (arXiv 2205.12522), open_clip's docs/openclip_multilingual_retrieval_results.csv for
xlm-roberta.  Operations are counted, two for each multiplication with its addition.
"""

from __future__ import annotations

from dataclasses import dataclass

from vsearch.embed import hub
from vsearch.embed.weights import MINI_FILES, package_folder
from vsearch.errors import EncoderUnavailable


@dataclass(frozen=True, slots=True)
class Preset:
    """One row of `vsearch models`.

    name: as given to ``--encoder``.  parameters in millions; megabytes of weights to read or download;
    dim: length of a vector.  gflops: 10^9 operations for a picture.  coco: percentage of the captions of COCO's 5,000
    test pictures for which the right picture is first (recall@1 from text to picture); imagenet: percentage of
    ImageNet's pictures that are named rightly without training on them; None where nobody tells.
    languages of texts, in words.  research_only: the licence allows nothing else.
    on_this_machine: all its files are here, so no network is needed.
    """

    name: str
    parameters: float
    megabytes: int
    dim: int
    gflops: float
    coco: float | None
    imagenet: float | None
    languages: str
    licence: str
    research_only: bool
    on_this_machine: bool
    note: str


@dataclass(frozen=True, slots=True)
class Known:
    """A preset of open_clip.  repo: with its weights.  texts: repository and file that its tokenizer is read from."""

    name: str
    repo: str
    parameters: float
    dim: int
    gflops: float
    coco: float | None
    imagenet: float | None
    languages: str
    licence: str
    note: str
    texts: tuple[str, str] | None = None
    research_only: bool = False

    @property
    def full_name(self) -> str:
        """As indexes name it."""
        return f"openclip:{self.name}"

    @property
    def megabytes(self) -> int:
        """What is fetched."""
        return round(self.parameters * 4) + (34 if self.texts else 0)

    @property
    def here(self) -> bool:
        """Whether the hub's cache holds all its files; asks nobody."""
        texts = self.texts is None or hub.cached(self.texts[0], self.texts[1])
        return bool(texts and hub.cached(self.repo, *hub.WEIGHT_FILES))


_EUROPE = "European languages, Chinese, Japanese, Korean; weak in Hindi, Bengali"

OPEN_CLIP = (
    Known(
        name="ViT-B-32-SigLIP2-256/webli",
        repo="timm/ViT-B-32-SigLIP2-256",
        parameters=376.9,
        dim=768,
        gflops=11.5,
        coco=47.2,
        imagenet=74.0,
        languages=_EUROPE,
        licence="Apache-2.0",
        note="the best that a processor runs quickly",
        texts=("timm/ViT-B-32-SigLIP2-256", "tokenizer.json"),
    ),
    Known(
        name="ViT-B-16-SigLIP2-256/webli",
        repo="timm/ViT-B-16-SigLIP2-256",
        parameters=375.2,
        dim=768,
        gflops=46.8,
        coco=53.2,
        imagenet=79.1,
        languages=_EUROPE,
        licence="Apache-2.0",
        note="sees smaller things; wants a GPU, of any size",
        texts=("timm/ViT-B-16-SigLIP2-256", "tokenizer.json"),
    ),
    Known(
        name="PE-Core-L-14-336/meta",
        repo="timm/PE-Core-L-14-336",
        parameters=671.1,
        dim=1024,
        gflops=384.4,
        coco=57.1,
        imagenet=83.5,
        languages="English",
        licence="Apache-2.0",
        note="the best of all; wants a GPU with 8 GB or more",
    ),
    Known(
        name="ViT-B-32/laion2b_s34b_b79k",
        repo="laion/CLIP-ViT-B-32-laion2B-s34B-b79K",
        parameters=151.3,
        dim=512,
        gflops=8.8,
        coco=39.3,
        imagenet=66.6,
        languages="English",
        licence="MIT",
        note="the smallest download; what many tools use",
    ),
    Known(
        name="ViT-B-32-256/datacomp_s34b_b86k",
        repo="laion/CLIP-ViT-B-32-256x256-DataComp-s34B-b86K",
        parameters=151.3,
        dim=512,
        gflops=11.5,
        coco=39.9,
        imagenet=72.8,
        languages="English",
        licence="MIT",
        note="better at naming things than the one above",
    ),
    Known(
        name="ViT-L-14/datacomp_xl_s13b_b90k",
        repo="laion/CLIP-ViT-L-14-DataComp.XL-s13B-b90K",
        parameters=427.6,
        dim=768,
        gflops=162.0,
        coco=45.7,
        imagenet=79.2,
        languages="English",
        licence="MIT",
        note="for names of things; wants a GPU",
    ),
    Known(
        name="xlm-roberta-base-ViT-B-32/laion5b_s13b_b90k",
        repo="laion/CLIP-ViT-B-32-xlm-roberta-base-laion5B-s13B-b90k",
        parameters=366.1,
        dim=512,
        gflops=8.8,
        coco=37.8,
        imagenet=62.4,
        languages="29 of 36 languages tried, with Arabic, Hebrew, Persian, Thai, Vietnamese; weak in Hindi",
        licence="MIT",
        note="the broadest in languages; slower texts, which go through open_clip",
        texts=("xlm-roberta-base", "tokenizer.json"),
    ),
    Known(
        name="MobileCLIP2-S2/dfndr2b",
        repo="timm/MobileCLIP2-S2-OpenCLIP",
        parameters=99.2,
        dim=512,
        gflops=15.7,
        coco=None,
        imagenet=77.2,
        languages="English",
        licence="apple-amlr (research only)",
        note="for research only; small, and quick on phones",
        research_only=True,
    ),
)


def presets() -> list[Preset]:
    """The encoders that `vsearch models` lists, the bundled ones first.  Asks the cache, never the network."""
    mini = Preset(
        name="mini",
        parameters=41.3,
        megabytes=141,
        dim=384,
        gflops=1.7,
        coco=None,
        imagenet=None,
        languages="English",
        licence="Apache-2.0",
        research_only=False,
        on_this_machine=mini_installed(),
        note="bundled; things and everyday scenes, without a network",
    )
    toy = Preset("toy", 0, 0, 64, 0, None, None, "English names of colours", "Apache-2.0", False, True, "for tests")
    return [mini, toy, *(_row(known) for known in OPEN_CLIP)]


def _row(known: Known) -> Preset:
    return Preset(
        name=known.name,
        parameters=known.parameters,
        megabytes=known.megabytes,
        dim=known.dim,
        gflops=known.gflops,
        coco=known.coco,
        imagenet=known.imagenet,
        languages=known.languages,
        licence=known.licence,
        research_only=known.research_only,
        on_this_machine=known.here,
        note=known.note,
    )


def mini_installed() -> bool:
    """Whether the packages that carry the weights of ``mini`` are installed; their bytes are not checked."""
    try:
        return all((package_folder(file.package) / file.path).is_file() for file in MINI_FILES)
    except EncoderUnavailable:
        return False
