"""The engine behind a search box: an HTTP server over one or several indexes, and the page that it serves.

What it promises to whoever starts it is in docs/serve.md.  Every answer is one call of the library; nothing here
searches by itself.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from vsearch.server.run import running, serve
    from vsearch.server.settings import Limits, Settings

__all__ = ["Limits", "Settings", "running", "serve"]

_HOMES = {"Limits": "settings", "Settings": "settings", "running": "run", "serve": "run"}


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from importlib import import_module

    return getattr(import_module(f"{__name__}.{_HOMES[name]}"), name)
