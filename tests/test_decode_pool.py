"""The decode pool: order and bounds, and a reason for every file that is no picture (P12)."""

import io
import os
import socket
import threading
from pathlib import Path

import numpy as np
import pytest
import xxhash
from decode_numbered import SPEC, number, numbered, write
from PIL import Image

from vsearch import errors
from vsearch.decode import Decoded, DecodePool, Job, Limits, Same, decode_one
from vsearch.types import Failure


@pytest.fixture(scope="module")
def pool():
    with DecodePool(SPEC, Limits(max_pixels=10_000, max_pixels_jpeg=40_000, max_bytes=100_000), workers=2) as pool:
        yield pool


def outcome(pool, path):
    (result,) = pool.map([Job(os.fsencode(path))])
    return result


# ---- order and bounds


def test_results_come_in_the_order_of_the_jobs_with_their_own_data(tmp_path, pool):
    paths = []
    for n in range(300):
        paths.append(os.fsencode(tmp_path / f"{n}.png"))
        Path(os.fsdecode(paths[-1])).write_bytes(numbered(n))
    results = list(pool.map(Job(p) for p in paths))
    assert [r.path for r in results] == paths
    assert [number(r) for r in results] == list(range(300))
    assert [r.width for r in results] == [10 + n % 7 for n in range(300)]


def test_a_result_tells_content_and_times_of_the_file_that_was_read(tmp_path, pool):
    path = tmp_path / "a.png"
    path.write_bytes(numbered(5))
    os.utime(path, ns=(1, 1_600_000_000_123_456_789))
    result, told = outcome(pool, path), path.stat()
    assert isinstance(result, Decoded)
    assert result.content == xxhash.xxh3_128(numbered(5)).digest()
    assert (result.size, result.mtime_ns, result.ctime_ns) == (told.st_size, told.st_mtime_ns, told.st_ctime_ns)
    assert result.format == "PNG"
    assert result.pixels.flags.writeable


def test_no_more_jobs_are_taken_than_the_window_holds(tmp_path, pool):
    path = os.fsencode(tmp_path / "a.png")
    (tmp_path / "a.png").write_bytes(numbered(1))
    taken = []

    def jobs():
        for n in range(100):
            taken.append(n)
            yield Job(path)

    for done, _ in enumerate(pool.map(jobs(), window=5)):
        assert len(taken) - done <= 5


def test_a_map_that_is_not_read_to_its_end_leaves_a_pool_that_works(tmp_path, pool):
    path = write(tmp_path, a=numbered(1))["a"]
    results = pool.map([Job(path)] * 50)
    next(results)
    results.close()
    assert number(outcome(pool, path)) == 1


def test_an_error_in_the_jobs_comes_through_and_the_pool_still_works(tmp_path, pool):
    path = write(tmp_path, a=numbered(1))["a"]

    def jobs():
        yield Job(path)
        raise KeyError("from the source")

    with pytest.raises(KeyError, match="from the source"):
        list(pool.map(jobs()))
    assert number(outcome(pool, path)) == 1


def test_several_threads_may_share_a_pool(tmp_path, pool):
    paths = write(tmp_path, **{f"n{n}": numbered(n) for n in range(40)})
    found = {}

    def run(part):
        found[part] = [number(r) for r in pool.map(Job(paths[f"n{n}"]) for n in range(part, 40, 4))]

    threads = [threading.Thread(target=run, args=(part,)) for part in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert found == {part: list(range(part, 40, 4)) for part in range(4)}


def test_known_contents_are_not_decoded(tmp_path, pool):
    files = write(tmp_path, known=numbered(1), other=numbered(2), broken=b"known too")
    known = frozenset(xxhash.xxh3_128_digest(data) for data in (numbered(1), b"known too"))
    results = list(pool.map(Job(path, known) for path in files.values()))
    told = os.stat(files["known"])
    digest = xxhash.xxh3_128_digest(numbered(1))
    assert results[0] == Same(files["known"], digest, told.st_size, told.st_mtime_ns, told.st_ctime_ns)
    assert number(results[1]) == 2
    assert isinstance(results[2], Same)


# ---- files that cannot be read


def broken_files(folder):
    (folder / "folder.jpg").mkdir()
    os.mkfifo(folder / "pipe.jpg")
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(folder / "socket.jpg"))
    (folder / "device.jpg").symlink_to("/dev/zero")
    (folder / "dangling.jpg").symlink_to(folder / "nowhere.jpg")
    (folder / "loop.jpg").symlink_to(folder / "loop.jpg")
    with open(folder / "huge.jpg", "wb") as file:
        file.truncate(2**40)


REASONS = {
    "folder.jpg": "not a file but a folder",
    "pipe.jpg": "not a file but a pipe",
    "socket.jpg": "not a file but a socket",
    "device.jpg": "not a file but a device",
    "dangling.jpg": "no such file",
    "loop.jpg": "its links lead in a circle",
    "missing.jpg": "no such file",
    "huge.jpg": "1,048,576 MiB, more than 0.0953674 MiB; raise the limit with --max-bytes",
}


@pytest.mark.parametrize("name", REASONS)
def test_what_is_not_a_readable_file_is_a_failure_with_its_reason(tmp_path, pool, name):
    broken_files(tmp_path)
    result = outcome(pool, tmp_path / name)
    assert isinstance(result, Failure)
    assert (result.stage, result.reason) == ("read", REASONS[name])


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read everything")
def test_a_file_without_read_permission(tmp_path, pool):
    path = tmp_path / "a.jpg"
    path.write_bytes(numbered(1))
    path.chmod(0)
    assert outcome(pool, path).reason == "no permission to read it"


def test_a_file_that_is_longer_than_it_says_counts_as_changed(pool):
    result = outcome(pool, "/proc/self/status")  # says 0 bytes
    assert (result.stage, result.reason) == ("read", "the file changed while it was read")


def test_a_link_to_a_picture_is_read(tmp_path, pool):
    (tmp_path / "a.png").write_bytes(numbered(3))
    (tmp_path / "b.png").symlink_to("a.png")
    assert number(outcome(pool, tmp_path / "b.png")) == 3


def test_names_of_any_bytes_and_names_that_cannot_be(tmp_path, pool):
    name = os.fsencode(tmp_path) + b"/\xff\xfe\n\xe2\x80\xae" + "🍎".encode()
    with open(name, "wb") as file:
        file.write(numbered(4))
    assert number(outcome(pool, name)) == 4
    assert outcome(pool, b"/\0").reason == "no such file"
    assert outcome(pool, b"/" + b"n" * 300).reason == "file name too long"


# ---- files that are no good picture


def test_a_damaged_file_has_a_reason_its_size_and_time(tmp_path, pool):
    path = tmp_path / "a.png"
    path.write_bytes(numbered(1)[:50])
    result, told = outcome(pool, path), path.stat()
    expected = Failure(
        os.fsencode(path), "decode", "the file ends before the picture does", told.st_size, told.st_mtime_ns
    )
    assert result == expected


NOT_PICTURES = {
    b"": "the file is empty",
    b"<!DOCTYPE html><p>404": "a web page",
    b"<svg xmlns='http://www.w3.org/2000/svg'/>": "an SVG drawing",
    b"%PDF-1.7\n": "a PDF document",
    b"PK\x03\x04....": "a zip archive or office document",
    b"\x7fELF\2\1\1": "a program",
    b"8BPS\0\1": "a Photoshop document",
    b"%!PS-Adobe-3.0 EPSF-3.0\n": "a PostScript document",
    b"\0\0\0\x18ftypmp42": "a video",
    b"\0" * 4096: "zeros",
    "schöne Grüße".encode(): "text",
    b"\x80\x04\x95\x01": "unknown data",
}


@pytest.mark.parametrize("data", NOT_PICTURES)
def test_what_is_not_a_picture_is_called_what_it_looks_like(tmp_path, pool, data):
    (tmp_path / "a.jpg").write_bytes(data)
    result = outcome(pool, tmp_path / "a.jpg")
    assert result.stage == "decode"
    assert NOT_PICTURES[data] in result.reason


def test_content_counts_and_not_the_name(tmp_path, pool):
    (tmp_path / "a.pdf").write_bytes(numbered(6))
    assert number(outcome(pool, tmp_path / "a.pdf")) == 6


FORMATS = {
    "JPEG": {},
    "progressive JPEG": {"progressive": True},
    "PNG": {},
    "GIF": {},
    "BMP": {},
    "TIFF": {},
    "compressed TIFF": {"compression": "tiff_lzw"},
    "WEBP": {},
    "lossless WEBP": {"lossless": True},
    "AVIF": {},
}


@pytest.mark.parametrize("kept", [0.1, 0.5, 0.95])
@pytest.mark.parametrize("name", FORMATS)
def test_a_file_that_was_cut_short_is_called_so(tmp_path, pool, name, kept):
    image = Image.fromarray(np.random.default_rng(1).integers(0, 256, (60, 80, 3), dtype=np.uint8))
    buffer = io.BytesIO()
    image.save(buffer, name.split()[-1], **FORMATS[name])
    path = tmp_path / "a"
    path.write_bytes(buffer.getvalue()[: int(len(buffer.getvalue()) * kept)])
    assert outcome(pool, path).reason == "the file ends before the picture does"


def test_pixel_limits_are_checked_before_decoding_and_name_the_flag(tmp_path, pool):
    Image.new("L", (101, 100)).save(tmp_path / "a.png")
    Image.new("L", (201, 200)).save(tmp_path / "b.jpg")
    Image.new("L", (200, 200)).save(tmp_path / "c.jpg")
    expected = "101 x 100 pixels, more than 0.01 million; raise the limit with --max-pixels"
    assert outcome(pool, tmp_path / "a.png").reason == expected
    assert "201 x 200 pixels, more than 0.04 million" in outcome(pool, tmp_path / "b.jpg").reason
    assert outcome(pool, tmp_path / "c.jpg").width == 200


def test_one_query_picture_raises_the_errors_of_the_tree(tmp_path):
    (tmp_path / "a.png").write_bytes(numbered(8))
    assert number(decode_one(os.fsencode(tmp_path / "a.png"), SPEC)) == 8
    files = write(tmp_path, text=b"text", cut=numbered(1)[:50], flipped=numbered(1).replace(b"IDAT", b"IDxT"))
    expected = {
        files["text"]: errors.NotAnImage,
        files["cut"]: errors.Truncated,
        files["flipped"]: errors.DecodeError,
        b"/no/such": errors.SourceError,
    }
    with DecodePool(SPEC, Limits(max_bytes=500), workers=1) as pool:
        for path, kind in expected.items():
            with pytest.raises(kind, match=os.fsdecode(path)):
                pool.one(path)
        with pytest.raises(errors.ImageTooLarge, match="--max-bytes"):
            pool.one(os.fsencode(__file__))
