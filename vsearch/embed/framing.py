"""What a sentence says of a picture, without saying that it is one: "a photo of a dog" means "a dog"."""

from __future__ import annotations

import re

_FRAME = re.compile(
    r"\A\s*(?:(?:an?|the|my|some)\s+)?(?:photo|photograph|picture|image|pic|snapshot)s?\s+(?:of|showing)\s+(?=\S)",
    re.IGNORECASE,
)


def unframed(text: str) -> str:
    """The text without the words at its beginning that only say that it is about a picture."""
    return _FRAME.sub("", text)
