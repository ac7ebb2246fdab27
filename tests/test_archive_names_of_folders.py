"""A folder that is named like an address beside its archive: neither loses a picture for the other."""

import io
import zipfile

import pytest
from PIL import Image

import vsearch


def picture(number):
    stream = io.BytesIO()
    Image.new("RGB", (20, 20), (number * 20, 255 - number * 20, number * 7)).save(stream, "PNG")
    return stream.getvalue()


def packed(path, members):
    with zipfile.ZipFile(path, "w") as into:
        for name, number in members.items():
            into.writestr(name, picture(number))


@pytest.fixture
def photos(tmp_path):
    root = tmp_path / "photos"
    for number, name in enumerate(("trip.zip#x/a.png", "trip.zip#/b.png", "trip.zip#x/y.zip#z/c.png"), 3):
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_bytes(picture(number))
    (root / "trip.zip#x" / "bad.png").write_bytes(b"no picture")
    packed(root / "trip.zip", {"m.png": 1, "x/n.png": 2})
    return root


def shown(index, photos):
    with index._store.snapshot() as snapshot:
        paths = (record.path for _, record in snapshot.items() if not record.missing)
        return sorted(path.decode()[len(str(photos)) + 1 :] for path in paths)


FILES = ["trip.zip#/b.png", "trip.zip#x/a.png", "trip.zip#x/y.zip#z/c.png"]
MEMBERS = ["trip.zip#m.png", "trip.zip#x/n.png"]


def test_a_folder_named_like_an_address_and_its_archive_keep_their_pictures(photos, tmp_path):
    sources = {
        "folder": lambda: vsearch.folder(photos),
        "archive": lambda: vsearch.archive(photos / "trip.zip"),
        "both": lambda: vsearch.folder(photos, archives=True),
        "named like it": lambda: vsearch.folder(photos / "trip.zip#x"),
        "named like its beginning": lambda: vsearch.folder(photos / "trip.zip#"),
    }
    with vsearch.create(tmp_path / "i.vsearch", encoder="toy") as index:
        index.add(sources["both"]())
        assert shown(index, photos) == sorted(FILES + MEMBERS)
        for name, source in sources.items():
            report = index.add(source(), prune=True, yes=True)
            assert (report.added, report.removed, report.warnings) == (0, 0, ()), name
            assert shown(index, photos) == sorted(FILES + MEMBERS), name
            assert [f.path.endswith(b"#x/bad.png") for f in index.errors()] == [True], name


def test_what_is_really_gone_from_either_leaves(photos, tmp_path):
    with vsearch.create(tmp_path / "i.vsearch", encoder="toy") as index:
        index.add(vsearch.folder(photos, archives=True))
        packed(photos / "trip.zip", {"x/n.png": 2})
        index.add(vsearch.archive(photos / "trip.zip"))
        assert shown(index, photos) == sorted(FILES + MEMBERS[1:])
        (photos / "trip.zip#x" / "a.png").unlink()
        index.add(vsearch.folder(photos / "trip.zip#x"))
        assert shown(index, photos) == sorted([FILES[0], FILES[2], *MEMBERS[1:]])
