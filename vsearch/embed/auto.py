"""What the encoder name ``auto`` stands for on this machine, today."""

from __future__ import annotations

from vsearch.embed import hub
from vsearch.embed.presets import PREFERRED


def choose() -> tuple[str, str]:
    """A pretrained open_clip model if its weights are here or the hub answers within 2 s, else ``mini``.

    Returns the encoder's full name, and one line that says why.
    """
    full = f"openclip:{PREFERRED.name}"
    if hub.cached(PREFERRED.repo, *hub.WEIGHT_FILES):
        return full, f"encoder {full}: its weights are on this machine"
    if hub.offline():
        why = "offline by request"
    elif hub.answers(PREFERRED.repo):
        return full, f"encoder {full}: the hub answers; {PREFERRED.megabytes} MB are fetched once"
    else:
        why = "the model hub does not answer"
    return "mini", f"encoder mini (bundled): {PREFERRED.name} is not on this machine, and {why}"
