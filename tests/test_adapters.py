"""LangChain and LlamaIndex, the real packages: they must say what the library says, in their own words."""

import asyncio
import json
import re
from pathlib import Path

import numpy as np
import pytest
from drawn_pictures import draw_three
from langchain_core.documents import Document
from llama_index.core.llms import MockLLM
from llama_index.core.query_engine import RetrieverQueryEngine
from llama_index.core.retrievers import QueryFusionRetriever
from llama_index.core.schema import ImageNode, QueryBundle
from PIL import Image

import vsearch
from vsearch.adapters import langchain, llamaindex
from vsearch.adapters.langchain import VsearchStore
from vsearch.errors import FilterError, IndexNotWritable, QueryError, SourceError
from vsearch.index import Index

DOCS = Path(__file__).parent.parent / "docs" / "adapters.md"


@pytest.fixture
def store(index: Index) -> VsearchStore:
    return VsearchStore(index)


def ids(hits) -> list[str]:
    return [str(hit.id) for hit in hits]


# ---------------------------------------------------------------- LangChain


def test_searches_say_what_the_library_says(store: VsearchStore, index: Index, photos: Path):
    hits = index.search("red", 3)
    found = store.similarity_search_with_score("red", k=3)
    assert [(one.id, score) for one, score in found] == [(str(hit.id), hit.score) for hit in hits]
    assert [one.id for one in store.similarity_search("red", k=3)] == ids(hits)
    assert [one.id for one in store.similarity_search_by_image(photos / "blue.png", k=2)] == ids(
        index.search(photos / "blue.png", 2)
    )
    with Image.open(photos / "blue.png") as image:
        (best, score), *_ = store.similarity_search_by_image_with_score(image, k=1)
        assert best.metadata["path"] == str(photos / "blue.png") and score == pytest.approx(1, abs=1e-3)
    query = vsearch.Query("red") + photos / "blue.png"
    assert [one.id for one in store.similarity_search_by_query(query, k=4)] == ids(index.search(query, 4))
    where = "width >= 43"
    assert [one.id for one in store.similarity_search("red", k=9, where=where)] == ids(
        index.search("red", 9, where=where)
    )


def test_what_a_document_says(store: VsearchStore, index: Index, photos: Path):
    told = {one.metadata["path"]: one for one in store.similarity_search("red", k=6)}
    red, white = told[str(photos / "red.png")], told[str(photos / "light" / "white.png")]
    assert red.page_content == "a red square" and white.page_content == "white.png"
    hit = next(hit for hit in index.search("red", 6) if hit.path == photos / "red.png")
    expected = {"id": hit.id, "uri": hit.uri, "path": str(hit.path), "width": 40, "height": 30, "rank": hit.rank}
    assert red.metadata == {**expected, "score": hit.score, "confidence": None}
    assert json.loads(red.model_dump_json())["metadata"] == red.metadata
    bare = {name: red.metadata[name] for name in ("id", "uri", "path", "width", "height")}
    assert store.get_by_ids([red.id, "999", "x", "-1", white.id]) == [
        Document(id=red.id, page_content="a red square", metadata=bare),
        Document(
            id=white.id,
            page_content="white.png",
            metadata={name: white.metadata[name] for name in ("id", "uri", "path", "width", "height")},
        ),
    ]


def test_vectors_and_diversity(store: VsearchStore, index: Index):
    vector = store.embeddings.embed_query("red")
    np.testing.assert_allclose(vector, index.encoder.encode_texts(["red"])[0])
    assert [one.id for one in store.similarity_search_by_vector(vector, k=3)] == ids(index.search("red", 3))
    all_alike = store.max_marginal_relevance_search("red", k=3, fetch_k=6, lambda_mult=1)
    assert [one.id for one in all_alike] == ids(index.search("red", 3))
    diverse = store.max_marginal_relevance_search_by_vector(vector, k=3, fetch_k=6, lambda_mult=0.1)
    assert [int(one.id) for one in diverse] == by_hand(index, np.array(vector), 3, 0.1)


def by_hand(index: Index, query: np.ndarray, k: int, weight: float) -> list[int]:
    """Maximal marginal relevance (Carbonell and Goldstein, 1998) by a plain loop."""
    with index.store.snapshot() as snapshot:
        rows = {int(id): snapshot.vectors(np.array([id]))[0].astype(float) for id in snapshot.live_ids()}
    chosen: list[int] = []
    while len(chosen) < k:

        def worth(id: int) -> float:
            return weight * (rows[id] @ query) - (1 - weight) * max((rows[id] @ rows[c] for c in chosen), default=0)

        first = not chosen
        chosen.append(
            max((id for id in rows if id not in chosen), key=lambda id: rows[id] @ query if first else worth(id))
        )
    return chosen


def test_retrievers(store: VsearchStore, index: Index):
    expected = ids(index.search("red", 2, where="width > 41"))
    options = {"k": 2, "where": "width > 41"}
    assert [one.id for one in store.as_retriever(search_kwargs=options).invoke("red")] == expected
    retriever = langchain.VsearchRetriever(index=index, **options)
    assert [one.id for one in retriever.invoke("red")] == expected
    assert len(retriever.invoke("red", k=1)) == 1 and len(retriever.invoke("red", k=9, where=None)) == 6
    least = index.search("red", 2)[1].score
    found = store.as_retriever(
        search_type="similarity_score_threshold", search_kwargs={"score_threshold": least, "k": 6}
    )
    assert [one.id for one in found.invoke("red")] == ids(hit for hit in index.search("red", 6) if hit.score >= least)
    with pytest.raises(FilterError):
        retriever.invoke("red", where="wdth > 3")


def test_async_forms(store: VsearchStore, index: Index):
    async def all_of_them() -> list[list[Document]]:
        retriever = langchain.VsearchRetriever(index=index, k=3)
        scored = await store.asimilarity_search_with_score("red", k=3)
        assert [score for _, score in scored] == [hit.score for hit in index.search("red", 3)]
        return await asyncio.gather(
            store.asimilarity_search("red", k=3),
            retriever.ainvoke("red"),
            store.amax_marginal_relevance_search("red", 3),
        )

    first, second, third = asyncio.run(all_of_them())
    assert first == second == store.similarity_search("red", k=3)
    assert third == store.max_marginal_relevance_search("red", 3)


def test_adding_and_deleting(tmp_path: Path, photos: Path):
    documents = [
        Document("grass", metadata={"path": str(photos / "green.png"), "price": 3, "sold": True}),
        Document("", metadata={"path": str(photos / "black.png"), "price": 4}),
    ]
    store = VsearchStore.from_documents(documents, None, path=tmp_path / "shop.vsearch", encoder="toy")
    with store.index as index:
        (grass,) = store.similarity_search("x", where="price < 4 and sold")
        assert grass.page_content == "grass" and len(index) == 2
        new = store.add_images([photos / "red.png"], [{"caption": "a rose"}])
        assert store.get_by_ids(new)[0].page_content == "a rose"
        assert store.add_images([str(photos / "red.png")]) == new  # it is there already, and keeps its caption
        assert store.get_by_ids(new)[0].page_content == "a rose"
        (photos / "yellow.txt").write_text("a lemon")
        (photos / "light" / "yellow.png").rename(photos / "yellow.png")
        assert store.get_by_ids(store.add_images([photos / "yellow.png"]))[0].page_content == "a lemon"
        with pytest.raises(SourceError, match="1 of 2 pictures could not be added, .*none.png"):
            store.add_images([str(photos / "none.png"), photos / "blue.png"])
        assert len(index) == 5
        for odd in (["-1"], ["9" * 30], ["no id"], [str(1 << 63)]):
            assert store.delete(odd) is False and len(index) == 5
        with pytest.raises(QueryError, match="as a list"):
            store.delete(new[0])  # the letters of one id are other ids
        assert store.delete(new) is True and store.delete([*new, "7000"]) is False and len(index) == 4
        assert (photos / "red.png").exists() and store.get_by_ids(new) == []
        for wrong in (
            lambda: store.add_texts(["no picture"]),
            lambda: store.add_texts(["x"], [{"path": ""}]),
            lambda: store.add_documents([Document("x", id="mine", metadata={"path": "p"})]),
            lambda: store.delete(),
            lambda: VsearchStore.from_texts(["x"], store.embeddings, [{"path": "p"}], path=tmp_path / "y.vsearch"),
        ):
            with pytest.raises(QueryError):
                wrong()
    with vsearch.open(tmp_path / "shop.vsearch") as reading, pytest.raises(IndexNotWritable):
        VsearchStore(reading).add_images([photos / "red.png"])


# ---------------------------------------------------------------- LlamaIndex


def told(nodes) -> list[tuple[str, float]]:
    return [(found.node.node_id, found.score) for found in nodes]


def expected(hits) -> list[tuple[str, float]]:
    return [(str(hit.id), hit.score) for hit in hits]


def test_nodes_say_what_the_library_says(index: Index, photos: Path):
    retriever = llamaindex.VsearchRetriever(index, 3)
    by_text, blue = index.search("red", 3), photos / "blue.png"
    assert told(retriever.retrieve("red")) == told(retriever.text_to_image_retrieve("red")) == expected(by_text)
    by_image = expected(index.search(blue, 3))
    assert told(retriever.image_to_image_retrieve(str(blue))) == by_image
    assert told(retriever.retrieve(QueryBundle("", image_path=str(blue)))) == by_image
    both = QueryBundle("red", image_path=str(blue))
    assert told(retriever.retrieve(both)) == expected(index.search(vsearch.Query("red", blue), 3))
    assert told(retriever.text_to_image_retrieve(both)) == expected(by_text)
    assert told(retriever.image_to_image_retrieve(both)) == by_image
    few = llamaindex.VsearchRetriever(index, 9, where="width > 42")
    assert told(few.retrieve("red")) == expected(index.search("red", 9, where="width > 42"))
    assert retriever.text_retrieve("red") == []
    with pytest.raises(QueryError, match="an empty query"):
        retriever.retrieve(QueryBundle(" "))


def test_it_goes_where_retrievers_go(index: Index):
    retriever, best = llamaindex.VsearchRetriever(index, 3), index.search("red", 3)
    engine = RetrieverQueryEngine.from_args(retriever, llm=MockLLM())
    assert told(engine.query("red").source_nodes) == expected(best)
    fused = QueryFusionRetriever([retriever], llm=MockLLM(), num_queries=1, use_async=False, similarity_top_k=3)
    assert [found.node.node_id for found in fused.retrieve("red")] == ids(best)


def test_what_a_node_says(index: Index, photos: Path):
    nodes = {found.node.image_path: found.node for found in llamaindex.VsearchRetriever(index, 6).retrieve("red")}
    red = nodes[str(photos / "red.png")]
    assert isinstance(red, ImageNode) and red.text == "a red square" and red.metadata["width"] == 40
    assert nodes[str(photos / "black.png")].text == "black.png"
    with Image.open(red.resolve_image()) as image:
        assert image.size == (40, 30)
    assert "score" not in red.get_metadata_str("llm") and str(photos) in red.get_metadata_str("llm")
    assert ImageNode.from_json(red.to_json()).metadata == red.metadata


def test_names_that_are_no_path_become_urls(tmp_path: Path):
    names = ["https://example.org/a.jpg", b"/p/\xff.jpg", "vectors.npy#2"]
    with vsearch.create(tmp_path / "v.vsearch", encoder="external:m:3") as index:
        index.add_vectors(names, np.eye(3, dtype=np.float32))
        hits = index.search(np.ones(3, np.float32), 3)
        found = {llamaindex.node(hit).node.image_url or llamaindex.node(hit).node.image_path for hit in hits}
        paths = {langchain.document(hit).metadata["path"] for hit in hits}
    assert found == {"https://example.org/a.jpg", "file:///p/%FF.jpg", "vectors.npy#2"}
    assert paths == {"https://example.org/a.jpg", "/p/\ufffd.jpg", "vectors.npy#2"}


def test_async_nodes(index: Index, photos: Path):
    retriever = llamaindex.VsearchRetriever(index, 3)
    blue = str(photos / "blue.png")

    async def all_of_them() -> list:
        return await asyncio.gather(
            retriever.aretrieve("red"),
            retriever.atext_to_image_retrieve("red"),
            retriever.aimage_to_image_retrieve(blue),
            retriever.atext_retrieve("red"),
        )

    first, second, third, fourth = asyncio.run(all_of_them())
    assert told(first) == told(second) == expected(index.search("red", 3)) and fourth == []
    assert told(third) == expected(index.search(Path(blue), 3))


# ---------------------------------------------------------------- the examples


@pytest.mark.parametrize("number", [0, 1])
def test_the_examples_of_the_documentation_run(
    number: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
):
    draw_three(tmp_path / "photos")
    monkeypatch.chdir(tmp_path)
    examples = re.findall(r"<!-- tested -->\n```python\n(.*?)```", DOCS.read_text(encoding="utf-8"), re.DOTALL)
    names: dict = {}
    example = examples[number].replace('.vsearch")', '.vsearch", "toy")')  # the encoder that loads at once
    exec(compile(example, str(DOCS), "exec"), names)
    out = capsys.readouterr().out
    assert out.count("apple.jpg") >= 1
    with names["index"]:
        if number == 0:
            assert [d.page_content for d in names["retriever"].invoke("x")] == ["a red apple"]
        else:
            assert len(names["alike"]) == len(names["both"]) == 2
