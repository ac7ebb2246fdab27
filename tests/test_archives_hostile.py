"""Archives that were made to do harm, or were damaged: each costs what is wrong with it and nothing else."""

import io
import os
import struct
import tarfile
import zipfile
import zlib
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from test_archives import add, picture

import vsearch
from vsearch.members import tar as tar_format
from vsearch.members import zip as zip_format
from vsearch.members.lookup import bytes_of
from vsearch.members.zip_directory import listed
from vsearch.sources import archive
from vsearch.types import Failure

GOOD = ["first.png", "last.png"]


def look(path: Path) -> tuple[list[str], dict[str, str]]:
    """Names of the members that are shown, and the reason of each failure by its address without the archive's path."""
    found = list(archive(path))
    shown = [os.fsdecode(one.path).partition("#")[2] for one in found if not isinstance(one, Failure)]
    cut = len(os.fsencode(path))
    return shown, {os.fsdecode(one.path[cut:]): one.reason for one in found if isinstance(one, Failure)}


def around(path: Path, *hostile) -> Path:
    """A tar with a good picture at each end and hostile members, as functions of the open tar, between them."""
    with tarfile.open(path, "w", format=tarfile.GNU_FORMAT) as made:
        add(made, "first.png", picture(1))
        for put in hostile:
            put(made)
        add(made, "last.png", picture(2))
    return path


def members_of(path: Path) -> list[tarfile.TarInfo]:
    with tarfile.open(path) as made:
        return made.getmembers()


def info_of(path: Path, name: str) -> zipfile.ZipInfo:
    with zipfile.ZipFile(path) as made:
        return made.getinfo(name)


def member(name: str, kind: bytes = tarfile.REGTYPE, **attributes):
    def put(made: tarfile.TarFile) -> None:
        info = tarfile.TarInfo(name)
        info.type = kind
        for key, value in attributes.items():
            setattr(info, key, value)
        made.addfile(info, io.BytesIO(b"x" * info.size))

    return put


@pytest.mark.parametrize(
    ("name", "put", "reason"),
    [
        ("../up.png", member("../up.png", size=3), "leads out"),
        ("/etc/x.png", member("/etc/x.png", size=3), "leads out"),
        ("a/../../x.png", member("a/../../x.png", size=3), "leads out"),
        ("soft.png", member("soft.png", tarfile.SYMTYPE, linkname="/etc/passwd"), "a link"),
        ("hard.png", member("hard.png", tarfile.LNKTYPE, linkname="first.png"), "a link"),
        ("dev.png", member("dev.png", tarfile.CHRTYPE, devmajor=1, devminor=5), "a device"),
        ("pipe.png", member("pipe.png", tarfile.FIFOTYPE), "a device or a pipe"),
    ],
)
def test_members_of_a_tar_that_are_no_plain_files_below_it(tmp_path, name, put, reason):
    shown, failures = look(around(tmp_path / "x.tar", put))
    assert shown == GOOD
    assert list(failures) == [f"#{name}"] and reason in failures[f"#{name}"]


def test_of_members_with_one_name_the_last_is_taken_and_the_others_are_told(tmp_path):
    with tarfile.open(tmp_path / "x.tar", "w") as made:
        for seed in (1, 2, 3):
            add(made, "a.png", picture(seed))
    shown, failures = look(tmp_path / "x.tar")
    assert shown == ["a.png"] and sorted(failures) == ["#a.png#1", "#a.png#2"]
    assert bytes_of(os.fsencode(tmp_path / "x.tar#a.png")) == picture(3)


@pytest.mark.parametrize("cut", [512 + 100, -10_240, -10_240 - 512 - 300, -10_240 - 100, 0])
def test_a_tar_that_is_cut_short_shows_what_is_whole(tmp_path, cut):
    with tarfile.open(tmp_path / "x.tar", "w") as made:
        for seed in range(5):
            add(made, f"{seed}.png", picture(seed))
    raw = (tmp_path / "x.tar").read_bytes()
    ends = [m.offset_data + m.size for m in members_of(tmp_path / "x.tar")]
    length = cut if cut >= 0 else len(raw) + cut
    (tmp_path / "x.tar").write_bytes(raw[:length])
    shown, failures = look(tmp_path / "x.tar")
    assert shown == [f"{n}.png" for n, end in enumerate(ends) if end <= length]
    assert failures


def test_damage_in_the_middle_of_a_tar_costs_the_member_it_hits(tmp_path):
    path = tmp_path / "x.tar"
    with tarfile.open(path, "w") as made:
        for seed in range(5):
            add(made, f"{seed}.png", picture(seed))
    at = members_of(path)[2].offset
    raw = bytearray(path.read_bytes())
    raw[at : at + 512] = os.urandom(512)
    path.write_bytes(raw)
    shown, failures = look(path)
    assert shown == ["0.png", "1.png", "3.png", "4.png"]
    assert "damaged" in failures[""]


def header(name: bytes, size: bytes, kind: bytes = b"0") -> bytes:
    """A header of any size field with a right checksum (POSIX.1-1988, ustar)."""
    block = bytearray(512)
    block[: len(name)] = name
    block[100:108] = block[108:116] = block[116:124] = b"0000644\0"
    block[124:136], block[136:148], block[156:157] = size, b"00000000000\0", kind
    block[257:265], block[148:156] = b"ustar\x0000", b" " * 8
    block[148:156] = b"%06o\0 " % sum(block)
    return bytes(block)


@pytest.mark.parametrize(
    "size",
    [
        b"77777777777\0",  # 8 GiB
        b"\x80" + b"\0" * 3 + b"\x7f" + b"\xff" * 7,  # 8 EiB
        b"\x80" + b"\xff" * 11,  # 2**88
        b"\xff" * 11 + b"\x00",  # -256: readers that go back by it never end
        b"\xff" * 10 + b"\xfe\x00",  # -512
        b"not a number",
    ],
)
@pytest.mark.parametrize("kind", [b"0", b"x", b"g", b"L", b"S"])
def test_sizes_that_cannot_be(tmp_path, size, kind):
    path = around(tmp_path / "x.tar")
    raw = path.read_bytes()
    at = members_of(path)[-1].offset
    path.write_bytes(raw[:at] + header(b"huge.png", size, kind) + raw[at:])
    shown, failures = look(path)
    # What lies behind it is found again; only a name of no length takes away that of the next member.
    assert shown == GOOD or (kind == b"L" and shown == GOOD[:1] and "" in failures)
    assert failures or kind != b"0", "attributes of a negative size are none, and no harm"


def test_a_long_chain_of_headers_and_one_that_is_no_tar(tmp_path):
    path = around(tmp_path / "x.tar")
    chain = (header(b"././@LongLink", b"00000000005\0", b"L") + b"a.png".ljust(512, b"\0")) * 3000
    raw, at = path.read_bytes(), members_of(path)[-1].offset
    path.write_bytes(raw[:at] + chain + bytes(1024))
    shown, failures = look(path)
    assert shown == ["first.png"] and "" in failures
    (tmp_path / "no.tar").write_bytes(os.urandom(5000))
    assert look(tmp_path / "no.tar")[0] == [] and "" in look(tmp_path / "no.tar")[1]
    (tmp_path / "empty.tar").write_bytes(b"")
    assert list(look(tmp_path / "empty.tar")[1]) == [""]


def test_tars_put_together_by_cat_show_the_members_of_both(tmp_path):
    one, two = around(tmp_path / "one.tar"), tmp_path / "two.tar"
    with tarfile.open(two, "w") as made:
        add(made, "second.png", picture(3))
    one.write_bytes(one.read_bytes() + two.read_bytes())
    assert look(one) == ([*GOOD, "second.png"], {})


# ---------------------------------------------------------------- zip


def packed(path: Path, *more, method: int = zipfile.ZIP_DEFLATED) -> Path:
    with zipfile.ZipFile(path, "w", method) as made:
        made.writestr("first.png", picture(1))
        for name, data in more:
            made.writestr(name, data)
        made.writestr("last.png", picture(2))
    return path


def test_a_member_of_a_zip_that_unpacks_to_far_more_than_it_is(tmp_path):
    bomb = bytes(zip_format.HARMLESS + 1)
    path = packed(tmp_path / "x.zip", ("bomb.png", bomb), ("small.png", bytes(1000)))
    shown, failures = look(path)
    assert shown == ["first.png", "small.png", "last.png"] and "zip bomb" in failures["#bomb.png"]


def test_a_zip_whose_members_together_unpack_to_far_too_much(tmp_path, monkeypatch):
    monkeypatch.setattr(zip_format, "LEAST_TOTAL", 1 << 20)
    path = packed(tmp_path / "x.zip", *((f"{n:03}.bmp", bytes(1 << 20)) for n in range(20)))
    shown, failures = look(path)
    assert shown[0] == "first.png" and 0 < len(failures) < 20 and all("zip bomb" in why for why in failures.values())
    total = 0
    for name in shown:
        total += info_of(path, name).file_size
    assert total <= max(1 << 20, zip_format.MOST_TOTAL_RATIO * path.stat().st_size)


def test_a_member_of_a_zip_that_lies_about_its_size_gives_no_more_than_it_said(tmp_path):
    path = packed(tmp_path / "x.zip", ("liar.png", picture(3) + bytes(1 << 20)))
    info = info_of(path, "liar.png")
    raw = bytearray(path.read_bytes())
    at = raw.rindex(struct.pack("<L", info.file_size))  # in the table of contents
    raw[at : at + 4] = struct.pack("<L", 1000)
    path.write_bytes(raw)
    with vsearch.create(tmp_path / "x.vsearch", encoder="toy") as index:
        report = index.add(archive(path))
    assert report.added == 2 and [f.reason for f in report.failures] == ["its length is not what the archive says"]


def overlapping(path: Path, count: int) -> None:
    """A zip of which all entries of the table of contents share the bytes of one member."""
    data = picture(1)
    local = struct.pack("<4s5H3L2H", b"PK\3\4", 20, 0, 0, 0, 0, zlib.crc32(data), len(data), len(data), 5, 0)
    body = local + b"0.png" + data
    central = b"".join(
        struct.pack(
            "<4s6H3L5H2L", b"PK\1\2", 20, 20, 0, 0, 0, 0, zlib.crc32(data), len(data), len(data), 5, 0, 0, 0, 0, 0, 0
        )
        + b"%d.png" % n
        for n in range(count)
    )
    end = struct.pack("<4s4H2LH", b"PK\5\6", 0, 0, count, count, len(central), len(body), 0)
    path.write_bytes(body + central + end)


def test_members_of_a_zip_that_share_their_bytes(tmp_path):
    overlapping(tmp_path / "x.zip", 10)
    shown, failures = look(tmp_path / "x.zip")
    assert shown == ["0.png"] and len(failures) == 9 and all("shares its bytes" in why for why in failures.values())


@pytest.mark.filterwarnings("ignore:Duplicate name")
def test_names_in_a_zip(tmp_path):
    path = packed(tmp_path / "x.zip", ("../up.png", b"x"), ("last.png", picture(9)), ("folder/", b""))
    shown, failures = look(path)
    assert shown == GOOD and sorted(failures) == ["#../up.png", "#last.png#1"]
    link = zipfile.ZipInfo("link.png")
    link.external_attr = 0o120777 << 16
    assert look(packed(path, (link, "/etc/passwd")))[1] == {"#link.png": "a link, which is not followed"}


def test_members_of_a_zip_that_are_encrypted_or_packed_by_other_methods(tmp_path):
    path = packed(tmp_path / "x.zip", ("secret.png", picture(3)))
    raw = bytearray(path.read_bytes())
    at = raw.rindex(b"secret.png") - 46
    raw[at + 8] |= 1
    path.write_bytes(raw)
    assert look(path)[0] == GOOD and "encrypted" in look(path)[1]["#secret.png"]
    shown, failures = look(packed(tmp_path / "y.zip", method=zipfile.ZIP_LZMA))
    assert shown == [] and all("packed by method 14" in why for why in failures.values())


def test_a_damaged_member_of_a_zip_is_told_and_a_zip_without_its_end_is_refused(tmp_path):
    path = packed(tmp_path / "x.zip", ("hurt.png", picture(3)), method=zipfile.ZIP_STORED)
    raw = bytearray(path.read_bytes())
    raw[raw.index(b"hurt.png") + 400] ^= 1
    path.write_bytes(raw)
    with vsearch.create(tmp_path / "x.vsearch", encoder="toy") as index:
        report = index.add(archive(path))
    assert report.added == 2 and ["CRC-32" in f.reason for f in report.failures] == [True]
    path.write_bytes(raw[:-100])
    assert "table of contents" in look(path)[1][""]


@pytest.mark.parametrize("format", [tar_format, zip_format])
def test_archives_with_any_byte_changed_never_crash(tmp_path, format):
    suffix = "tar" if format is tar_format else "zip"
    path = tmp_path / f"x.{suffix}"
    whole = (around(path) if suffix == "tar" else packed(path)).read_bytes()
    for at in range(0, min(len(whole), 6000), 37):
        raw = bytearray(whole)
        raw[at] ^= 0xFF
        path.write_bytes(raw)
        for one in archive(path):
            assert one.path.startswith(os.fsencode(path))


# ---------------------------------------------------------------- nothing vanishes in silence


@pytest.mark.parametrize("make", ["tar", "zip"])
def test_members_whose_names_are_too_long_are_told_each(tmp_path, make, monkeypatch):
    monkeypatch.setattr("vsearch.ingest.archives.RACY_NS", -(10**12))  # as if the archive were old
    long = ["x" * 4000 + f"{number}.png" for number in range(3)] + ["y" * 2990 + ".png"]
    path = tmp_path / f"x.{make}"
    if make == "zip":
        packed(path, *((name, picture(3 + number)) for number, name in enumerate(long)))
    else:
        with tarfile.open(path, "w", format=tarfile.PAX_FORMAT) as made:
            for number, name in enumerate(["first.png", *long, "last.png"]):
                add(made, name, picture(number))
    with vsearch.create(tmp_path / "x.vsearch", encoder="toy") as index:
        report = index.add(archive(path), workers=1)
        assert report.added == 3, "the first, the last, and the one of 2,994 bytes"
        told = {os.fsdecode(failure.path).partition("#")[2]: failure.reason for failure in index.errors()}
        assert len(told) == 3 and all(name.startswith("xxx") for name in told)
        assert all("its name has 4,005 bytes" in reason for reason in told.values())
        again = index.add(archive(path), workers=1)
        assert (again.added, again.unchanged, again.failed, again.known_failures) == (0, 3, 0, 3), "not opened again"


def listing_of(path: Path) -> tuple[bytearray, int]:
    """The bytes of a zip, and where its table of contents begins."""
    raw = bytearray(path.read_bytes())
    return raw, raw.index(b"PK\x01\x02")


def test_an_entry_of_a_zip_that_cannot_be_read_costs_itself(tmp_path):
    path = packed(tmp_path / "x.zip", ("é.png", picture(3)), ("cut.png", picture(4)))
    raw, start = listing_of(path)
    at = raw.index("é.png".encode(), start)
    raw[at : at + 2] = b"\xff\xfe"  # no UTF-8, though its flag says so
    entry = raw.index(b"cut.png", start) - 46
    struct.pack_into("<L", raw, entry + 24, 0xFFFFFFFF)  # a size that is in the extra fields, where there are none
    path.write_bytes(raw)
    with pytest.raises(UnicodeDecodeError):
        zipfile.ZipFile(path)
    shown, failures = look(path)
    assert [os.fsencode(name) for name in shown] == [b"first.png", b"\xff\xfe.png", b"last.png"]
    assert failures == {"#cut.png": "its size or place is missing in the archive's table of contents"}


def test_damage_in_the_table_of_contents_of_a_zip_costs_what_comes_later(tmp_path):
    path = packed(tmp_path / "x.zip", ("second.png", picture(3)))
    raw, start = listing_of(path)
    at = raw.index(b"second.png", start) - 46
    raw[at] = 0
    path.write_bytes(raw)
    shown, failures = look(path)
    assert shown == ["first.png"] and f"damaged at byte {at:,}" in failures[""]


@settings(max_examples=60, deadline=None)
@given(st.data())
def test_the_table_of_contents_of_a_zip_is_what_zipfile_reads(data):
    out = io.BytesIO(b"before " * data.draw(st.integers(0, 2)))
    out.seek(0, os.SEEK_END)
    names = data.draw(st.lists(st.text("aé日/.", min_size=1, max_size=8), max_size=4, unique=True))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(zipfile, "ZIP64_LIMIT", data.draw(st.sampled_from([60, zipfile.ZIP64_LIMIT])))
        with zipfile.ZipFile(out, "a") as made:
            made.comment = data.draw(st.binary(max_size=30) | st.just(b"PK\x05\x06" + bytes(20)))
            for name in names:
                info = zipfile.ZipInfo(name)
                info.extra = data.draw(st.sampled_from([b"", b"\x99\x99\x02\0ab"]))
                info.compress_type = data.draw(st.sampled_from([zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED]))
                made.writestr(info, data.draw(st.binary(max_size=200)))
    raw = out.getvalue()
    with zipfile.ZipFile(io.BytesIO(raw)) as read:
        theirs = [(i.header_offset, i.compress_size, i.file_size, i.CRC, i.compress_type) for i in read.infolist()]
        spelled = [i.orig_filename.encode("utf-8" if i.flag_bits & 0x800 else "cp437") for i in read.infolist()]
    ours = list(listed(io.BytesIO(raw), len(raw)))
    assert [(one.at, one.stored, one.size, one.crc, one.method) for one in ours] == theirs
    assert [one.name for one in ours] == spelled and all(one.problem is None for one in ours)


def test_what_lies_beside_a_picture_and_cannot_be_read_is_told(tmp_path):
    link = tarfile.TarInfo("first.txt")
    link.type, link.linkname = tarfile.SYMTYPE, "/etc/passwd"
    notes = tarfile.TarInfo("notes.txt")
    notes.type, notes.linkname = tarfile.SYMTYPE, "first.png"
    path = around(tmp_path / "x.tar", lambda made: made.addfile(link), lambda made: made.addfile(notes))
    assert look(path) == (GOOD, {"#first.txt": "a link, which is not followed"})
    secret = packed(tmp_path / "x.zip", ("first.txt", b"said"), ("last.caption", b"c" * 1_100_000))
    raw, start = listing_of(secret)
    raw[raw.index(b"first.txt", start) - 46 + 8] |= 1
    secret.write_bytes(raw)
    shown, failures = look(secret)
    assert shown == GOOD and "encrypted" in failures.pop("#first.txt")
    assert list(failures) == ["#last.caption"] and "more than 1,048,576 bytes" in failures["#last.caption"]


def test_several_damaged_places_of_a_tar_are_told_together(tmp_path):
    path = tmp_path / "x.tar"
    with tarfile.open(path, "w") as made:
        for seed in range(9):
            add(made, f"{seed}.png", picture(seed))
    raw = bytearray(path.read_bytes())
    for at in (members_of(path)[number].offset for number in (2, 5)):
        raw[at : at + 512] = b"\xff" * 512
    path.write_bytes(raw)
    shown, failures = look(path)
    assert shown == [f"{n}.png" for n in (0, 1, 3, 4, 6, 7, 8)] and failures[""].count("damaged or cut short") == 2


def test_a_tar_that_is_damaged_too_often_says_where_it_was_left(tmp_path, monkeypatch):
    monkeypatch.setattr(tar_format, "MOST_DAMAGES", 2)
    path = tmp_path / "x.tar"
    with tarfile.open(path, "w") as made:
        for seed in range(9):
            add(made, f"{seed}.png", picture(seed))
    raw = bytearray(path.read_bytes())
    for member in members_of(path)[1::2]:
        raw[member.offset : member.offset + 512] = b"\xff" * 512
    path.write_bytes(raw)
    shown, failures = look(path)
    assert shown == ["0.png", "2.png"] and "damaged in 2 places; what comes later is left out" in failures[""]
    many = tmp_path / "many.tar"
    whole = (tmp_path / "one.tar", tmp_path / "two.tar", tmp_path / "three.tar")
    for number, one in enumerate(whole):
        with tarfile.open(one, "w") as made:
            add(made, f"{number}.png", picture(number))
    many.write_bytes(b"".join(one.read_bytes() for one in whole))
    assert look(many) == (["0.png", "1.png", "2.png"], {}), "ends in the middle are no damage"
