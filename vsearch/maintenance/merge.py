"""Several indexes joined into a new one."""

from __future__ import annotations

import os
import time
from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path

from vsearch.arguments import check_list, path_of
from vsearch.errors import IndexNotFound, QueryError
from vsearch.store import Store, spaces
from vsearch.store.joining import join
from vsearch.types import MergeReport

AnyPath = str | os.PathLike[str]


def merge(destination: AnyPath, shards: Sequence[AnyPath]) -> MergeReport:
    """Join indexes that were made with the same encoder into a new one, without embedding anything again.

    Pictures with what is known of them (captions, details, tags), remembered failures and folders are carried over;
    vectors stay as they are, to the bit.  A path that several shards know is kept once: a picture that is there before
    one that was gone, then the one that was added last.  Ids stay when no two shards have ids in the same range; else
    they are given anew.  Spaces that do not answer and what can be made again, such as FAISS indexes, are left behind.
    The shards are only read; the new index appears whole or not at all.

    Raises QueryError (no shard, one named twice), IndexNotFound, IndexExists, EncoderMismatch, DiskFull,
    IndexNotWritable, IndexCorrupt.
    """
    started = time.monotonic()
    check_list(shards, "the indexes to merge")
    if not len(shards):
        raise QueryError(
            "nothing to merge: name the indexes to join, as in vsearch merge ALL.vsearch A.vsearch B.vsearch"
        )
    places = [Path(os.path.realpath(path_of(shard, IndexNotFound))) for shard in shards]
    twice = next((place for place in places if places.count(place) > 1), None)
    if twice is not None:
        raise QueryError(f"{twice} is named twice; name every shard once")
    with ExitStack() as opened:
        stores = []
        for place in places:
            stores.append(Store.open(place))
            opened.callback(stores[-1].close)
        warnings = [
            f"{store.layout.root}: the space {space.name} does not answer and is left behind"
            for store in stores
            for space in spaces.listed(store)
            if not space.live
        ]
        joined = join(Path(os.path.abspath(destination)), stores)
    return MergeReport(
        shards=len(stores),
        images=joined.images,
        repeated=joined.repeated,
        failures=joined.failures,
        kept_ids=joined.kept_ids,
        seconds=time.monotonic() - started,
        warnings=tuple(warnings),
    )
