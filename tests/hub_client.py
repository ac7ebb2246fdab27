"""A client of the model hub in this process: another hub, an empty cache, and no waiting."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from huggingface_hub import constants, file_download

from vsearch.embed.download.patience import Patience


class Hurried:
    """A patience that waits for nothing, and notes what it would have waited."""

    def __init__(self, tries: int = 3, stall: float | None = None) -> None:
        self.waited: list[float] = []
        self.patience = Patience(tuple(float(n) for n in range(tries)), stall, self.waited.append)


def use(hub_url: str, cache: Path, patch: pytest.MonkeyPatch) -> None:
    """Make the hub's client of this process use a hub and a cache; it reads the variables for them only once."""
    for name in list(os.environ):
        if name.lower().endswith("_proxy") or name in ("HF_TOKEN", "VSEARCH_OFFLINE"):
            patch.delenv(name)
    patch.setattr(constants, "ENDPOINT", hub_url)
    for module in (constants, file_download):  # the second in versions below 1.0
        template = hub_url + "/{repo_id}/resolve/{revision}/{filename}"
        patch.setattr(module, "HUGGINGFACE_CO_URL_TEMPLATE", template, raising=False)
    patch.setattr(constants, "HF_HUB_CACHE", str(cache))
    patch.setattr(constants, "HF_HUB_OFFLINE", False)
    patch.setattr(constants, "HF_TOKEN_PATH", str(cache.parent / "token"))


def partials(cache: Path) -> list[int]:
    """Sizes of files that are not whole."""
    return [path.stat().st_size for path in cache.rglob("*.incomplete")]
