"""What `auto` takes: by machine, by what the cache holds, never what only research may use."""

import pytest

from vsearch.embed import presets, resolve
from vsearch.embed.auto import first_here, gpu_memory, ranked
from vsearch.embed.presets import OPEN_CLIP

SIGLIP_32, SIGLIP_16, PE, LAION = (
    "ViT-B-32-SigLIP2-256/webli",
    "ViT-B-16-SigLIP2-256/webli",
    "PE-Core-L-14-336/meta",
    "ViT-B-32/laion2b_s34b_b79k",
)
MOBILE = "MobileCLIP2-S2/dfndr2b"


@pytest.fixture
def hold(tmp_path, monkeypatch):
    """A cache of the hub that holds the files of these presets, and a hub that does not answer."""
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path))
    monkeypatch.setenv("VSEARCH_OFFLINE", "1")

    def put(repo, *names):
        folder = tmp_path / f"models--{repo.replace('/', '--')}"
        (folder / "refs").mkdir(parents=True, exist_ok=True)
        (folder / "refs" / "main").write_text("a" * 40)
        for name in names:
            (folder / "snapshots" / ("a" * 40)).mkdir(parents=True, exist_ok=True)
            (folder / "snapshots" / ("a" * 40) / name).touch()

    return put


def repo_of(name):
    return next(known.repo for known in OPEN_CLIP if known.name == name)


def whole(hold, *names):
    for name in names:
        hold(repo_of(name), "open_clip_model.safetensors", "tokenizer.json")


@pytest.mark.parametrize(("memory", "wanted"), [(None, SIGLIP_32), (4.0, SIGLIP_16), (8.0, PE), (80.0, PE)], ids=str)
def test_the_default_is_the_best_that_the_machine_runs(memory, wanted):
    assert ranked(memory)[0].name == wanted


@pytest.mark.parametrize(
    ("memory", "held", "wanted"),
    [
        (None, [LAION], LAION),
        (None, [LAION, PE], LAION),  # on a processor a picture of the other one takes seconds
        (None, [PE], PE),
        (None, [LAION, SIGLIP_32], SIGLIP_32),
        (8.0, [LAION, SIGLIP_32], SIGLIP_32),
        (4.0, [PE, SIGLIP_32], SIGLIP_32),
    ],
    ids=str,
)
def test_of_what_is_in_the_cache_the_best_for_the_machine_is_taken(hold, memory, held, wanted):
    whole(hold, *held)
    assert first_here(ranked(memory)).name == wanted


@pytest.mark.parametrize("offline", ["1", "0"])
def test_what_is_in_the_cache_is_taken_before_a_download(hold, monkeypatch, offline):
    whole(hold, LAION)
    monkeypatch.setenv("VSEARCH_OFFLINE", offline)
    assert resolve("auto", "cpu")[0] == f"openclip:{LAION}"


def test_weights_without_their_tokenizer_are_not_here(hold):
    hold(repo_of(SIGLIP_32), "open_clip_model.safetensors")
    assert resolve("auto", "cpu")[0] == "mini"
    hold(repo_of(SIGLIP_32), "tokenizer.json")
    assert resolve("auto", "cpu")[0] == f"openclip:{SIGLIP_32}"


def test_a_model_for_research_only_is_never_a_default(hold):
    whole(hold, MOBILE)
    rows = {preset.name: preset for preset in presets()}
    assert rows[MOBILE].on_this_machine and rows[MOBILE].research_only and "research only" in rows[MOBILE].licence
    assert resolve("auto", "cpu")[0] == "mini"
    assert MOBILE not in {known.name for memory in (None, 4.0, 80.0) for known in ranked(memory)}


def test_a_processor_that_was_asked_for_is_no_gpu():
    assert gpu_memory("cpu") is None
