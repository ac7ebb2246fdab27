"""Pictures and their captions, from wherever they are written down."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable, Iterable, Iterator
from contextlib import closing
from dataclasses import dataclass, replace
from itertools import accumulate
from pathlib import Path

from vsearch.errors import SourceError, TrainError
from vsearch.members.lookup import bytes_of
from vsearch.sources import AnyPath, archive, chain, source_for
from vsearch.store import Store
from vsearch.types import Failure, Item

MAX_HELD_OUT = 1000
LONG = 200  # words: more than any of the encoders reads
Notice = Callable[[str], None]


@dataclass(frozen=True)
class Pairs:
    """Pictures with one caption or more each.

    items: the pictures, in the order of their source.  captions: of each picture, in the order of theirs.
    """

    items: tuple[Item, ...]
    captions: tuple[tuple[str, ...], ...]

    def __len__(self) -> int:
        return len(self.items)

    @property
    def texts(self) -> list[str]:
        """All captions, picture by picture; a caption's id is its place in this list."""
        return [text for texts in self.captions for text in texts]

    @property
    def owner(self) -> list[int]:
        """For each caption the picture that it tells of."""
        return [picture for picture, texts in enumerate(self.captions) for _ in texts]

    @property
    def first(self) -> list[int]:
        """For each picture the id of its first caption; one more entry counts them all."""
        return [0, *accumulate(len(texts) for texts in self.captions)]

    def only(self, pictures: Iterable[int]) -> Pairs:
        """Some of the pictures, in the order given."""
        rows = list(pictures)
        return Pairs(tuple(self.items[n] for n in rows), tuple(self.captions[n] for n in rows))

    @property
    def digest(self) -> str:
        """SHA-256, hex, of the pictures' paths, sizes and times and of all captions."""
        told = hashlib.sha256()
        for item, texts in zip(self.items, self.captions, strict=True):
            told.update(b"%s\0%d\0%d\0" % (item.path, item.size, item.mtime_ns))
            told.update("\0".join(texts).encode("utf-8", "surrogatepass") + b"\n")
        return told.hexdigest()


def read_pairs(
    path: AnyPath,
    *,
    path_column: str = "filepath",
    caption_column: str = "title",
    on_notice: Notice | None = None,
) -> Pairs:
    """Read pairs from a CSV or TSV table, a folder with caption files, tar files, or an index.

    A table may name a picture in several rows, one caption each; in ``picture.txt`` beside ``picture.jpg`` each line
    is a caption; a caption stored in an index is split into its lines.  Tar files (one, or a folder of them) are those
    of webdataset and img2dataset, and are read where they lie.  What cannot be used is left out, and told.
    Raises SourceError when nothing can be read, TrainError when no pair is left.
    """
    tell = on_notice or (lambda _: None)
    name = os.fsdecode(path)
    return usable(_found(Path(name), path_column, caption_column), name, tell)


def _found(path: Path, path_column: str, caption_column: str) -> Iterable[Item | Failure]:
    if path.suffix == ".vsearch" and path.is_dir():
        return _indexed(path)
    if path.is_dir() and (tars := sorted(path.glob("*.tar"))):
        return chain(*map(archive, tars))
    return source_for(path, path_column=path_column, caption_column=caption_column)


def _indexed(path: Path) -> Iterator[Item]:
    """The pictures of an index that are where they were.  Raises IndexNotFound, IndexCorrupt."""
    with closing(Store.open(path)) as store, store.snapshot() as snapshot:
        for _, record in snapshot.items():
            if not record.missing:
                yield Item(record.path, record.size, record.mtime_ns, record.ctime_ns, record.caption)


def usable(found: Iterable[Item | Failure], name: str, tell: Notice) -> Pairs:
    """The pictures that are there and have a caption; says how many are not.  Raises TrainError when none is."""
    kept: list[tuple[Item, tuple[str, ...]]] = []
    missing, silent, long = [], 0, 0
    for one in found:
        if isinstance(one, Failure):
            missing.append(f"{os.fsdecode(one.path)}: {one.reason}")
            continue
        lines = (line.strip() for line in (one.caption or "").splitlines())
        texts = tuple(dict.fromkeys(line for line in lines if line))
        silent += not texts
        long += sum(len(text.split()) > LONG for text in texts)
        if texts:
            kept.append((replace(one, caption=None), texts))
    if missing:
        tell(f"{_count(len(missing), 'picture')} of {name} cannot be read and left out; the first: {missing[0]}")
    if silent:
        tell(f"{_count(silent, 'picture')} of {name} without a caption left out")
    if long:
        tell(f"{_count(long, 'caption')} of {name} of more than {LONG} words: the encoder reads their beginning only")
    if not kept:
        raise TrainError(
            f"{name}: no picture with a caption. Give a table with the columns filepath and title, a folder with "
            "picture.txt beside picture.jpg, or an index of captioned pictures."
        )
    return Pairs(tuple(item for item, _ in kept), tuple(texts for _, texts in kept))


def _count(n: int, what: str) -> str:
    return f"{n:,} {what}{'s' if n != 1 else ''}"


def hold_out(pairs: Pairs, share: float, seed: int) -> tuple[Pairs, Pairs]:
    """Split off a share of the pictures, at least one and at most 1,000: those to train on, those to validate with.

    Which ones depends on their paths and the seed, not on their order: a picture that is added moves no other.
    """
    count = min(MAX_HELD_OUT, max(1, round(share * len(pairs))))

    def lot(picture: int) -> bytes:
        return hashlib.sha256(b"%d\0%s" % (seed, pairs.items[picture].path)).digest()

    drawn = set(sorted(range(len(pairs)), key=lot)[:count])
    return pairs.only(n for n in range(len(pairs)) if n not in drawn), pairs.only(sorted(drawn))


def overlap(train: Pairs, held: Pairs) -> int:
    """How many pictures of ``held`` are also among those to train on: the same file, or the same bytes."""
    sizes = {item.size for item in train.items} & {item.size for item in held.items}
    known = {os.path.realpath(item.path) for item in train.items}
    contents = {_content(item) for item in train.items if item.size in sizes} - {None}
    return sum(
        os.path.realpath(item.path) in known or (item.size in sizes and _content(item) in contents)
        for item in held.items
    )


def _content(item: Item) -> bytes | None:
    try:
        return hashlib.sha256(bytes_of(item.path)).digest()
    except (OSError, SourceError):
        return None
