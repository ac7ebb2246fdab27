"""Where pairs come from, which of them make a batch, and how their pictures are changed."""

import io
import json
import os
import tarfile

import numpy as np
import pytest
from PIL import Image
from tiny_clip import save_pairs

import vsearch
from vsearch.errors import TrainError
from vsearch.members.lookup import bytes_of
from vsearch.train import TrainConfig, read_pairs
from vsearch.train.augment import augmented, roomy, tells_sides
from vsearch.train.pairs import hold_out
from vsearch.train.sampler import Sampler
from vsearch.types import PixelSpec


def names(pairs) -> list[str]:
    return [os.path.basename(item.path).decode() for item in pairs.items]


def test_rows_of_one_picture_are_its_captions(tmp_path):
    pairs = read_pairs(save_pairs(tmp_path, 3, captions=2))
    assert names(pairs) == ["000.png", "001.png", "002.png"]
    assert pairs.captions[0] == ("red left of green", "green right of red")
    assert pairs.owner == [0, 0, 1, 1, 2, 2] and pairs.first == [0, 2, 4, 6]
    assert pairs.only([2, 0]).texts[0] == pairs.texts[4]
    assert len({pairs.digest, pairs.only([0, 1]).digest, pairs.only([1, 0, 2]).digest}) == 3


def test_a_folder_with_caption_files_and_an_index_give_the_same_pairs(tmp_path, photos):
    (photos / "red.txt").write_text("a red square\n\nsomething red\n")
    (photos / "blue.txt").write_text("a blue square")
    said = []
    pairs = read_pairs(photos, on_notice=said.append)
    assert names(pairs) == ["blue.png", "red.png"]
    assert pairs.captions == (("a blue square",), ("a red square", "something red"))
    assert any("4 pictures of" in line and "without a caption" in line for line in said)
    with vsearch.create(tmp_path / "photos.vsearch", encoder="toy") as index:
        index.add(vsearch.folder(photos))
    again = read_pairs(tmp_path / "photos.vsearch")
    assert sorted(zip(names(again), again.captions, strict=True)) == sorted(
        zip(names(pairs), pairs.captions, strict=True)
    )
    assert again.digest == pairs.digest


def add(file: tarfile.TarFile, name: str, raw: bytes) -> None:
    member = tarfile.TarInfo(name)
    member.size, member.mtime = len(raw), 1_600_000_000
    file.addfile(member, io.BytesIO(raw))


def png(colour) -> bytes:
    out = io.BytesIO()
    Image.new("RGB", (8, 8), colour).save(out, "PNG")
    return out.getvalue()


def test_tars_of_webdataset_and_img2dataset(tmp_path):
    folder = tmp_path / "shards"
    folder.mkdir()
    with tarfile.open(folder / "00000.tar", "w") as file:
        add(file, "000000000.png", png("red"))
        add(file, "000000000.txt", b"a red square")
        add(file, "000000000.json", json.dumps({"caption": "red, by img2dataset", "status": "success"}).encode())
        add(file, "000000001.json", b'{"caption": "no picture')
        add(file, "sub/000000000.seg.PNG", png("blue"))
        add(file, "sub/000000000.caption", b"a blue square")
    with tarfile.open(folder / "00001.tar", "w") as file:
        add(file, "../../escape.png", png("green"))
        add(file, "../../escape.txt", b"a green square")
        add(file, "silent.png", png("white"))
    said = []
    pairs = read_pairs(folder, on_notice=said.append)
    assert pairs.captions == (("a red square", "red, by img2dataset"), ("a blue square",))
    shown = [Image.open(io.BytesIO(bytes_of(item.path))).convert("RGB").getpixel((1, 1)) for item in pairs.items]
    assert shown == [(255, 0, 0), (0, 0, 255)]
    assert any("1 picture of" in line and "without a caption" in line for line in said)
    assert any("leads out of the archive" in line for line in said), "one picture is named ../../escape.png"
    assert read_pairs(folder).digest == pairs.digest
    raw = (folder / "00000.tar").read_bytes()
    (folder / "00000.tar").write_bytes(raw[:700])
    (folder / "00001.tar").unlink()
    with pytest.raises(TrainError, match="no picture with a caption"):
        read_pairs(folder)


def test_pictures_held_out_depend_on_their_paths_and_not_on_the_others(tmp_path):
    pairs = read_pairs(save_pairs(tmp_path, 40))
    own, held = hold_out(pairs, 0.25, seed=3)
    assert (len(own), len(held)) == (30, 10)
    assert sorted(names(own) + names(held)) == names(pairs)
    assert set(names(hold_out(pairs.only(reversed(range(40))), 0.25, seed=3)[1])) == set(names(held))
    fewer = pairs.only(n for n in range(40) if n % 2)
    of_fewer, of_all = set(names(hold_out(fewer, 0.25, seed=3)[1])), set(names(held)) & set(names(fewer))
    assert of_fewer <= of_all or of_all <= of_fewer, "the same lots are drawn, more of them or fewer"
    assert names(hold_out(pairs, 0.25, seed=4)[1]) != names(held)


def test_an_epoch_shows_every_picture_once_with_captions_drawn_anew(tmp_path):
    pairs = read_pairs(save_pairs(tmp_path, 12, captions=3))
    sampler = Sampler(pairs, TrainConfig(batch=4))
    assert sampler.steps_per_epoch == 3
    epochs = [[sampler.rows(epoch * 3 + step) for step in range(3)] for epoch in range(8)]
    for batches in epochs:
        assert sorted(np.concatenate([pictures for pictures, _ in batches])) == list(range(12))
        for pictures, captions in batches:
            assert (np.array(pairs.owner)[captions] == pictures).all()
    drawn = {int(c) for batches in epochs for _, captions in batches for c in captions}
    assert len(drawn) > 30, "of the 36 captions nearly all are shown in eight epochs"
    again = Sampler(pairs, TrainConfig(batch=4))
    assert all((a == b).all() for a, b in zip(again.rows(17), sampler.rows(17), strict=True))
    other = Sampler(pairs, TrainConfig(batch=4, seed=1))
    assert not (other.rows(17)[0] == sampler.rows(17)[0]).all()


def test_by_caption_an_epoch_shows_every_caption_once(tmp_path):
    pairs = read_pairs(save_pairs(tmp_path, 6, captions=2))
    sampler = Sampler(pairs, TrainConfig(batch=4, unit="caption"))
    batches = [sampler.rows(step) for step in range(3)]
    assert sorted(np.concatenate([captions for _, captions in batches])) == list(range(12))
    assert all((np.array(pairs.owner)[captions] == pictures).all() for pictures, captions in batches)


def test_look_alikes_come_into_one_batch(tmp_path):
    pairs = read_pairs(save_pairs(tmp_path, 16))
    alike = np.array([[n, n ^ 1, (n ^ 1) ^ 2, -1] for n in range(16)])  # 0 and 1 are alike, 2 and 3, and so on
    sampler = Sampler(pairs, TrainConfig(batch=4, hard_batches=2), alike)
    seen = []
    for step in range(8):
        pictures = set(sampler.rows(step)[0].tolist())
        seen += pictures
        assert all(n ^ 1 in pictures for n in pictures)
    assert sorted(seen) == sorted([*range(16)] * 2)


def test_captions_that_tell_left_from_right_forbid_mirrors():
    assert tells_sides(["two dogs", "a man on the left"]) and tells_sides(["A sign that READS stop"])
    assert not tells_sides(["leftovers in a bowl", "a bright day", "copyright"])


def test_augmented_pictures_keep_their_colours_and_nine_tenths_of_their_sides():
    spec = PixelSpec(40, "shortest", scale_to=48)
    assert (roomy(spec).size, roomy(spec).scale_to) == (44, 53)
    pixels = np.zeros((44, 44, 3), np.uint8)
    pixels[:, :22, 0], pixels[:, 22:, 2] = 255, 255  # red left, blue right
    mirrored, random = 0, np.random.default_rng(0)
    for _ in range(50):
        out = augmented(pixels, 40, True, random)
        assert out.shape == (40, 40, 3)
        red = (out[..., 0] > 128).mean()
        assert 0.43 < red < 0.57 and out[..., 1].max() < 40
        mirrored += out[20, 2, 2] > 128
    assert 15 < mirrored < 35
    for _ in range(20):
        assert augmented(pixels, 40, False, random)[20, 2, 0] > 128
