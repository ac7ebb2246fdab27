"""What is asked of a collection, as far as it can be known: its captions, else phrases that people type."""

from __future__ import annotations

import numpy as np

from vsearch import phrases
from vsearch.store import Snapshot

# With fewer different captions than this, the bundled phrases say more about what will be asked.
ENOUGH = 500
MOST = 3000


def texts_of(snapshot: Snapshot) -> list[str]:
    """At most 3,000 different texts in random order: captions of the collection when it has 500, else phrases.

    A picture may have several captions, one a line.
    """
    captions: dict[str, None] = {}
    for _, record in snapshot.items():
        if record.caption and not record.missing:
            captions.update(dict.fromkeys(line.strip() for line in record.caption.splitlines() if line.strip()))
    found = list(captions if len(captions) >= ENOUGH else phrases.load())
    order = np.random.default_rng(0).permutation(len(found))[:MOST]
    return [found[i] for i in order]
