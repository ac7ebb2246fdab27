"""Pictures in rows of Parquet, npz and HDF5 files, against the same pictures in files of their own."""

import io
import os
import zipfile
from pathlib import Path

import h5py
import numpy as np
import pyarrow as pa
import pytest
from PIL import Image
from pyarrow import parquet
from serving import serving
from test_archives import picture
from test_archives_hostile import look

import vsearch
from vsearch.decode.thumbnails import thumbnails
from vsearch.sources import archive, folder

COUNT = 9


def noise(seed: int, *shape: int) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, shape, dtype=np.uint8)


@pytest.fixture(scope="module")
def loose(tmp_path_factory) -> Path:
    """Pictures in files of their own, ``0.png`` to ``8.png``; and their vectors in the index beside them."""
    place = tmp_path_factory.mktemp("rows")
    (place / "loose").mkdir()
    for number in range(COUNT):
        Image.fromarray(noise(number, 20, 30, 3)).save(place / "loose" / f"{number}.png")
    with vsearch.create(place / "loose.vsearch", encoder="toy") as index:
        assert index.add(folder(place / "loose")).added == COUNT
    return place


def vectors(place: Path) -> dict[str, bytes]:
    """The vector of each picture by the number in its name."""
    with vsearch.open(place) as index, index.store.snapshot() as snapshot:
        found = {}
        for id, record in snapshot.items():
            last = os.fsdecode(record.path).replace("#", "/").rpartition("/")[2]
            found[last.partition(".")[0]] = snapshot.vectors(np.array([id]))[0].tobytes()
        return found


def bytes_of_all(loose: Path) -> list[bytes]:
    return [(loose / "loose" / f"{number}.png").read_bytes() for number in range(COUNT)]


def indexed(tmp_path: Path, path: Path) -> Path:
    with vsearch.create(tmp_path / "x.vsearch", encoder="toy") as index:
        report = index.add(archive(path))
        assert (report.added, report.failures) == (COUNT, ())
        again = index.add(archive(path))
        assert (again.added, again.unchanged, again.removed) == (0, COUNT, 0)
    return tmp_path / "x.vsearch"


def test_rows_of_img2dataset_have_key_caption_and_columns(loose, tmp_path):
    rows = bytes_of_all(loose)
    failed = [*rows, None]
    table = pa.table(
        {
            "url": [f"http://x/{n}" for n in range(COUNT + 1)],
            "key": [str(n) for n in range(COUNT)] + ["none"],
            "status": ["success"] * COUNT + ["failed_to_download"],
            "caption": [f"number {n}" for n in range(COUNT + 1)],
            "jpg": failed,
            "stars": list(range(COUNT + 1)),
        }
    )
    path = tmp_path / "00000.parquet"
    parquet.write_table(table, path, row_group_size=4)
    made = indexed(tmp_path, path)
    assert vectors(made) == vectors(loose / "loose.vsearch"), "bit for bit"
    with vsearch.open(made) as index:
        (hit,) = index.search(loose / "loose" / "1.png", k=COUNT, where="stars = 7")
        assert hit.raw_path == os.fsencode(path) + b"#7" and hit.caption == "number 7"
        (small,) = thumbnails([hit.raw_path], 16)
        (right,) = thumbnails([os.fsencode(loose / "loose" / "7.png")], 16)
        assert (np.asarray(small) == np.asarray(right)).all()
    with serving(made) as client:
        shown = Image.open(io.BytesIO(client.get(f"/image/{hit.id}").body))
        assert shown.size == (30, 20) and client.get(f"/thumbs/{hit.id}?size=160").status == 200


def test_rows_of_hugging_face_are_numbered_and_opened_in_any_order(loose, tmp_path):
    rows = bytes_of_all(loose)
    table = pa.table({"image": [{"bytes": data, "path": "x.png"} for data in rows], "label": list(range(COUNT))})
    path = tmp_path / "train.parquet"
    parquet.write_table(table, path)
    assert vectors(indexed(tmp_path, path)) == vectors(loose / "loose.vsearch")
    backwards = [os.fsencode(path) + b"#%d" % n for n in (8, 5, 0)]
    for shown, number in zip(thumbnails(backwards, 32), (8, 5, 0), strict=True):
        (right,) = thumbnails([os.fsencode(loose / "loose" / f"{number}.png")], 32)
        assert (np.asarray(shown) == np.asarray(right)).all()


@pytest.mark.parametrize("save", [np.savez, np.savez_compressed])
def test_pictures_of_an_npz(loose, tmp_path, save):
    path = tmp_path / "x.npz"
    save(path, images=np.stack([noise(n, 20, 30, 3) for n in range(COUNT)]), labels=np.arange(COUNT))
    assert [os.fsdecode(item.path) for item in archive(path)] == [f"{path}#images/{n}" for n in range(COUNT)]
    assert vectors(indexed(tmp_path, path)) == vectors(loose / "loose.vsearch")


def test_pictures_of_an_hdf5_file(loose, tmp_path):
    path = tmp_path / "x.h5"
    with h5py.File(path, "w") as made:
        made.create_dataset("train/images", data=np.stack([noise(n, 20, 30, 3) for n in range(COUNT)]), chunks=True)
        made["labels"] = np.arange(COUNT)
    assert vectors(indexed(tmp_path, path)) == vectors(loose / "loose.vsearch")


def test_grey_and_transparent_arrays(tmp_path):
    np.savez(tmp_path / "x.npz", grey=noise(1, 2, 8, 9), one=noise(2, 2, 8, 9, 1), clear=noise(3, 2, 8, 9, 4))
    Image.fromarray(noise(1, 2, 8, 9)[1]).save(tmp_path / "right.png")
    paths = [item.path for item in archive(tmp_path / "x.npz")]
    *shown, right = thumbnails([*paths, os.fsencode(tmp_path / "right.png")], 16)
    assert [image.size for image in shown] == [(9, 8)] * 6
    assert (np.asarray(shown[1]) == np.asarray(right)).all()


def test_tables_in_folders_are_opened_only_when_named(tmp_path):
    np.savez(tmp_path / "x.npz", images=noise(1, 2, 8, 9, 3))
    assert list(folder(tmp_path, archives=True)) == []


# ---------------------------------------------------------------- hostile


def test_parquet_of_wrong_types(tmp_path):
    path = tmp_path / "x.parquet"
    parquet.write_table(pa.table({"jpg": [1, 2], "caption": ["a", "b"]}), path)
    shown, failures = look(path)
    assert shown == [] and "no column of pictures" in failures[""] and "jpg (int64)" in failures[""]
    rows = {
        "image": pa.array([picture(1), None, b"text"], pa.large_binary()),
        "key": [b"a", b"b", b"c"],
        "caption": [1.5, None, float("nan")],
        "nested": [[1], [], None],
    }
    parquet.write_table(pa.table(rows), path)
    with vsearch.create(tmp_path / "x.vsearch", encoder="toy") as index:
        report = index.add(archive(path))
    assert report.added == 1 and [os.fsdecode(f.path).rpartition("#")[2] for f in report.failures] == ["1", "2"]
    assert "no picture in this row" in report.failures[0].reason


def test_parquet_of_more_rows_than_bytes(tmp_path):
    parquet.write_table(pa.table({"jpg": pa.nulls(10**6, pa.binary())}), tmp_path / "x.parquet")
    shown, failures = look(tmp_path / "x.parquet")
    assert shown == [] and "1,000,000 rows" in failures[""]


@pytest.mark.parametrize("keys", [["a", "a", "b"], ["a", None, "b"]])
def test_rows_whose_keys_are_not_names_are_numbered(tmp_path, keys):
    parquet.write_table(pa.table({"jpg": [picture(n) for n in range(3)], "key": keys}), tmp_path / "x.parquet")
    assert look(tmp_path / "x.parquet") == (["0", "1", "2"], {})


def test_keys_that_lead_out_of_the_file(tmp_path):
    keys = ["../up", "/etc/x", "fine"]
    parquet.write_table(pa.table({"jpg": [picture(n) for n in range(3)], "key": keys}), tmp_path / "x.parquet")
    shown, failures = look(tmp_path / "x.parquet")
    assert shown == ["fine"] and sorted(failures) == ["#../up", "#/etc/x"]


@pytest.mark.parametrize("suffix", ["parquet", "npz", "h5"])
def test_tables_cut_short_or_damaged_cost_themselves(tmp_path, suffix):
    path = tmp_path / f"x.{suffix}"
    if suffix == "parquet":
        parquet.write_table(pa.table({"jpg": [picture(n) for n in range(3)]}), path)
    elif suffix == "npz":
        np.savez(path, images=noise(1, 3, 8, 8, 3))
    else:
        with h5py.File(path, "w") as made:
            made["images"] = noise(1, 3, 8, 8, 3)
    whole = path.read_bytes()
    for kept in (len(whole) // 2, 10, 0):
        path.write_bytes(whole[:kept])
        shown, failures = look(path)
        assert shown == [] and list(failures) == [""]


def npy(shape: str, kind: str = "|u1", data: bytes = b"") -> bytes:
    header = f"{{'descr': '{kind}', 'fortran_order': False, 'shape': {shape}, }}".ljust(117).encode() + b"\n"
    return b"\x93NUMPY\x01\x00" + len(header).to_bytes(2, "little") + header + data


@pytest.mark.parametrize(
    ("array", "reason", "damaged"),
    [
        (npy("(1000000000, 1000, 1000, 3)"), "not that of the bytes", True),
        (npy("(10, 0, 0, 3)"), "pictures are N x H x W x 3", False),
        (npy("(-1, 8, 8, 3)"), "pictures are N x H x W x 3", False),
        (npy("(2, 8, 8, 3)", "<f4", bytes(2 * 8 * 8 * 3 * 4)), "float32", False),
        (npy("(" + "9" * 4000 + ", 8, 8, 3)"), "not that of the bytes", True),
        (npy("(2, 8, 8, 3)", "|O", b"cos\nsystem\n(S'touch /tmp/owned'\ntR."), "unpickled", False),
        (b"cos\nsystem\n(S'touch /tmp/owned'\ntR.", "no array", True),
        (npy("__import__('os').abort()"), "no array", True),
    ],
)
def test_arrays_of_an_npz_that_are_none(tmp_path, array, reason, damaged):
    path = tmp_path / "x.npz"
    with zipfile.ZipFile(path, "w") as made:
        made.writestr("bad.npy", array)
    shown, failures = look(path)
    assert shown == [] and reason in failures["#bad.npy"]
    with zipfile.ZipFile(path, "a") as made:
        made.writestr("good.npy", npy("(2, 8, 8, 3)", data=bytes(2 * 8 * 8 * 3)))
    shown, failures = look(path)
    assert shown == ["good/0", "good/1"]
    assert list(failures) == ["#bad.npy"] * damaged, "with pictures there, arrays of something else are just not those"


def test_an_npz_that_unpacks_to_far_too_much(tmp_path):
    np.savez_compressed(tmp_path / "x.npz", images=np.zeros((100, 1000, 1000, 3), np.uint8))
    shown, failures = look(tmp_path / "x.npz")
    assert shown == [] and "zip bomb" in failures["#images.npy"]


def test_datasets_whose_numbers_lie_in_another_file(tmp_path):
    with h5py.File(tmp_path / "other.h5", "w") as made:
        made["images"] = noise(1, 3, 8, 8, 3)
    (tmp_path / "raw").write_bytes(bytes(3 * 8 * 8 * 3))
    with h5py.File(tmp_path / "x.h5", "w") as made:
        made["linked"] = h5py.ExternalLink("other.h5", "images")
        virtual = h5py.VirtualLayout((3, 8, 8, 3), np.uint8)
        virtual[:] = h5py.VirtualSource("other.h5", "images", (3, 8, 8, 3))
        made.create_virtual_dataset("virtual", virtual)
        made.create_dataset("outside", (3, 8, 8, 3), np.uint8, external=[(str(tmp_path / "raw"), 0, 576)])
        made.create_dataset("huge", (10**9, 1000, 1000, 3), np.uint8)
        made.create_dataset("sparse", (10**9, 8, 8, 3), np.uint8, chunks=(1, 8, 8, 3))
    shown, failures = look(tmp_path / "x.h5")
    assert shown == [] and sorted(failures) == ["#huge", "#outside", "#sparse", "#virtual"]
