"""What goes into the server and what comes out: every value has a bound, every unknown field is an error."""

from __future__ import annotations

from typing import Annotated

import msgspec
from msgspec import Meta

MOST_K = 200
MOST_PARTS = 16
MOST_LABELS = 100
MOST_IMAGE = 15 * 2**20
COLLECTION = r"^[a-z0-9_-]{1,64}$"

Id = Annotated[int, Meta(ge=0, le=2**53 - 1, description="Id of a picture; never given to another one.")]
Count = Annotated[int, Meta(ge=1, le=MOST_K, description="How many pictures a page has.")]
Weight = Annotated[float, Meta(ge=-1e6, le=1e6, description="Below 0: away from this.")]
Fraction = Annotated[float, Meta(ge=0, le=1)]
Text = Annotated[str, Meta(min_length=1, max_length=1000)]
Where = Annotated[
    str,
    Meta(
        min_length=1,
        max_length=2000,
        description="Only pictures for which this holds, in SQL; the columns are those of `GET /collections`.",
        examples=["width >= 2000"],
    ),
]
Cursor = Annotated[str, Meta(min_length=1, max_length=100, description="From the page before.")]
Name = Annotated[str, Meta(pattern=COLLECTION, description="A collection; by default the first.")]
Picture = Annotated[bytes, Meta(max_length=MOST_IMAGE, description="A picture file of any supported format.")]
Marked = Annotated[list[Id], Meta(max_length=200)]


class In(msgspec.Struct, forbid_unknown_fields=True):
    """What a client sends."""


class Out(msgspec.Struct):
    """What it gets."""


# What is asked


class Part(In):
    """One term of a query: exactly one of text, image and id.

    crop: the part of the image that is meant: left, top, width and height as fractions of its size.
    """

    text: Text | None = None
    image: Picture | None = None
    id: Id | None = None
    weight: Weight = 1.0
    crop: tuple[Fraction, Fraction, Fraction, Fraction] | None = None


class Search(In):
    """A query: the weighted sum of its parts, moved by pictures marked as right (more) and wrong (less).

    rerank: put the 50 best in the order of the server's re-ranker, which reads picture and text together; for a query
    of one text, where ``GET /collections`` says ``reranks``.  Scores stay cosines.
    With a cursor the next page of the query that it comes from; the other fields are not looked at then.
    """

    parts: Annotated[
        list[Part],
        Meta(
            max_length=MOST_PARTS,
            examples=[[{"text": "a red apple on a table"}], [{"text": "beach"}, {"text": "people", "weight": -0.5}]],
        ),
    ] = []  # noqa: RUF012 (msgspec copies it)
    collection: Name | None = None
    where: Where | None = None
    k: Count = 24
    cursor: Cursor | None = None
    more: Marked = []  # noqa: RUF012
    less: Marked = []  # noqa: RUF012
    min_confidence: Fraction | None = None
    include_query: bool = False
    rerank: bool = False


class Classify(In):
    """Which of some labels each picture shows: those of some ids, or one that is sent along."""

    labels: Annotated[
        list[Text], Meta(min_length=2, max_length=MOST_LABELS, examples=[["a cat", "a dog", "a landscape"]])
    ]
    ids: Annotated[list[Id], Meta(max_length=MOST_K)] = []  # noqa: RUF012
    image: Picture | None = None
    collection: Name | None = None


class NewItem(In):
    """A picture to add."""

    image: Picture
    name: Annotated[str, Meta(min_length=1, max_length=200, examples=["apple.jpg"])]
    caption: Annotated[str, Meta(max_length=2000)] | None = None
    collection: Name | None = None


class Session(In):
    """The token that the server printed when it started."""

    token: Annotated[str, Meta(min_length=1, max_length=200)]


class Of(In):
    """Which collection."""

    collection: Name | None = None


class Similar(Of):
    """Pages of pictures like one."""

    k: Count = 24
    cursor: Cursor | None = None
    where: Where | None = None


class Thumb(Of):
    """Longest side in pixels; a smaller picture keeps its size."""

    size: Annotated[int, Meta(ge=160, le=320, multiple_of=160)] = 320


class Filtered(Of):
    """Only pictures for which this holds."""

    where: Where | None = None


class Nothing(In):
    """No parameters."""


# What is answered


class Hit(Out):
    """One picture.  name: its path below the folder that was indexed.  duplicates: other files of the same bytes."""

    id: Id
    score: float | None
    confidence: float | None
    name: str
    width: int
    height: int
    caption: str | None
    duplicates: int


class Answer(Out):
    """One page, best first.

    confidence: that of the best hit of all pages.  nothing_matches: whether it is so low that the collection seems to
    know nothing about the query; the nearest are there all the same.  generation: changes whenever answers may.
    missing: shards that did not answer in time, where the collection is one of shards: better hits may be missing too.
    """

    hits: list[Hit]
    cursor: str | None
    confidence: float | None
    nothing_matches: bool
    generation: str
    milliseconds: float
    missing: list[str] = []  # noqa: RUF012 (msgspec copies it)


class Item(Out):
    """All that is known of one picture.  taken, modified and added: seconds since 1970 (taken: on the camera's clock).

    size: bytes.  meta: columns of a table that was indexed with it.
    """

    id: Id
    name: str
    width: int
    height: int
    caption: str | None
    size: int
    added: float
    modified: float | None
    taken: float | None
    camera: str | None
    lens: str | None
    iso: int | None
    latitude: float | None
    longitude: float | None
    tags: dict[str, float]
    meta: dict[str, str | int | float | bool | None]
    duplicates: list[str]


class Column(Out):
    """What filters may ask of.  kind: in the words of SQL."""

    name: str
    kind: str


class Collection(Out):
    """One index."""

    name: str
    pictures: int
    encoder: str
    writable: bool
    columns: list[Column]
    generation: str
    reranks: bool = False


class Collections(Out):
    """What there is to search, the default first."""

    collections: list[Collection]


class Label(Out):
    """confidence: those of all labels add up to 1."""

    name: str
    confidence: float


class Classified(Out):
    """id: None for a picture that was sent along.  labels: likeliest first."""

    id: Id | None
    labels: list[Label]


class Classes(Out):
    """One entry for each picture, in the order asked."""

    pictures: list[Classified]


class Value(Out):
    """How many pictures have a value."""

    value: str
    count: int


class Facet(Out):
    """The most frequent values of a column."""

    column: str
    values: list[Value]


class Facets(Out):
    """What a filter's pictures have, and how many: for chips, a histogram and a tree of folders.

    months: pictures by month, ``2024-07``, in order.  folders: by folder below the folder that was indexed, with all
    that is in them.
    """

    total: int
    folders: list[Value]
    months: list[Value]
    columns: list[Facet]


class Group(Out):
    """Pictures that lie together on the map, or have a tag, and how many of those laid out they are."""

    label: str
    count: int


class Map(Out):
    """A collection on a plane; of a very large one an even sample.

    points: id, x and y in [-1, 1], number of the group, number of the tag or -1.  pictures: how many there are in all.
    """

    pictures: int
    points: list[tuple[Id, float, float, int, int]]
    clusters: list[Group]
    tags: list[Group]
    generation: str


class Added(Out):
    """The new picture; ``known`` when the same bytes were there already."""

    id: Id
    known: bool


class Removed(Out):
    """How many pictures were forgotten: 1."""

    removed: int


class Health(Out):
    """The server answers."""

    status: str


class Fault(Out):
    """What went wrong.  id: also in the log of the server, beside what only its owner may see."""

    kind: str
    message: str
    id: str


class Problem(Out):
    """Every answer that is not 2xx."""

    error: Fault
