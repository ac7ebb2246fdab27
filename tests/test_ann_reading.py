"""S18: a FAISS file of unknown origin opens no other file, takes no more memory than it is long, is of our kinds."""

import struct
import subprocess
import sys

import faiss
import numpy as np
import pytest

from vsearch import ann
from vsearch.ann import reading
from vsearch.errors import IndexCorrupt

DIM, COUNT, NLIST = 16, 500, 4
ROWS = np.random.default_rng(0).standard_normal((COUNT, DIM)).astype(np.float32)


def lists(rows=ROWS):
    index = faiss.index_factory(DIM, f"IVF{NLIST},Flat", faiss.METRIC_INNER_PRODUCT)
    index.train(rows)
    index.add(rows)
    return index


def written(index, path):
    faiss.write_index(index, str(path))
    return path


@pytest.fixture
def with_lists_elsewhere(tmp_path):
    """An index whose lists lie in another file, and that file."""
    index = faiss.IndexIVFFlat(quantiser := faiss.IndexFlatIP(DIM), DIM, NLIST, faiss.METRIC_INNER_PRODUCT)
    index.train(ROWS)
    elsewhere = faiss.OnDiskInvertedLists(NLIST, index.code_size, str(tmp_path / "victim"))  # must outlive the index
    index.replace_invlists(elsewhere, False)
    index.add(ROWS)
    assert quantiser.ntotal == NLIST
    return written(index, tmp_path / "index"), tmp_path / "victim"


OPENS = """
import sys
import faiss, vsearch.ann.reading
from pathlib import Path
try:
    {read}
except Exception as error:
    print(type(error).__name__)
print(sys.argv[2] in Path("/proc/self/maps").read_text())
"""


@pytest.mark.parametrize(
    ("read", "outcome"),
    [
        ("kept = faiss.read_index(sys.argv[1])", ["True"]),  # FAISS by itself does open it
        ("kept = vsearch.ann.reading.read(Path(sys.argv[1]))", ["IndexCorrupt", "False"]),
        ("kept = vsearch.ann.reading.read(Path(sys.argv[1]), mapped=True)", ["IndexCorrupt", "False"]),
    ],
)
def test_a_file_that_an_index_names_is_not_opened(read, outcome, with_lists_elsewhere):
    words = [sys.executable, "-c", OPENS.format(read=read), *map(str, with_lists_elsewhere)]
    done = subprocess.run(words, capture_output=True, text=True, check=True)
    assert done.stdout.split() == outcome


def test_codes_that_look_like_the_mark_of_such_an_index_are_read(tmp_path):
    rows = ROWS.copy()
    rows[7, 3] = struct.unpack("<f", b"ilod")[0]
    path = written(lists(rows), tmp_path / "index")
    assert b"ilod" in path.read_bytes()
    with open(path, "rb") as file:
        assert not reading.names_a_file(file)
    index = ann.load(path, COUNT, "x", dim=DIM)
    assert len(index) == COUNT


@pytest.mark.parametrize(
    "factory", ["Flat", "LSH", "HNSW8", "IVF4_HNSW4,Flat", "PCA8,IVF4,Flat", "L2norm,IVF4,Flat", "IVF4,Flat,RFlat"]
)
def test_a_kind_that_is_never_built_here_is_refused(factory, tmp_path):
    metric = faiss.METRIC_L2 if factory == "LSH" else faiss.METRIC_INNER_PRODUCT
    index = faiss.index_factory(DIM, factory, metric)
    index.train(ROWS)
    path = written(index, tmp_path / "index")
    with pytest.raises(IndexCorrupt, match="vsearch does not make"):
        ann.load(path, COUNT, "x", dim=DIM)


def test_an_index_of_another_metric_is_refused(tmp_path):
    path = written(faiss.index_factory(DIM, "IVF4,Flat", faiss.METRIC_L2), tmp_path / "index")
    with pytest.raises(IndexCorrupt, match="vsearch does not make"):
        ann.load(path, COUNT, "x", dim=DIM)


def test_an_index_of_another_width_is_refused(tmp_path):
    path = written(lists(), tmp_path / "index")
    with pytest.raises(IndexCorrupt, match="of 16 dimensions, not of 32"):
        ann.load(path, COUNT, "x", dim=32)


def test_lengths_that_the_file_cannot_hold_take_no_memory(tmp_path):
    raw = bytearray(written(lists(), tmp_path / "index").read_bytes())
    lengths = [at for at in range(0, len(raw) - 8) if struct.unpack_from("<Q", raw, at)[0] in (COUNT, NLIST * DIM)]
    assert lengths
    before = faiss.get_deserialization_vector_byte_limit()
    for at in lengths:
        changed = bytes(raw[:at]) + struct.pack("<Q", 1 << 36) + bytes(raw[at + 8 :])
        (tmp_path / "changed").write_bytes(changed)
        code = (
            "import resource, sys; import vsearch.ann.reading as r; from pathlib import Path\n"
            "from vsearch import errors\n"
            "r.faiss(); start = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss\n"
            "try: r.read(Path(sys.argv[1]))\n"
            "except errors.IndexCorrupt: pass\n"
            "print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - start)"
        )
        done = subprocess.run(
            [sys.executable, "-c", code, str(tmp_path / "changed")], capture_output=True, text=True, check=True
        )
        assert int(done.stdout) < 300_000, at  # kB; the limit is 64 MB a vector
    assert faiss.get_deserialization_vector_byte_limit() == before
