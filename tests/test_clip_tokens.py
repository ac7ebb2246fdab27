"""Tokens without open_clip equal those of open_clip's own tokenizers, whatever the text."""

import json
import random
import warnings

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tokenizers import Tokenizer, models, normalizers, pre_tokenizers, processors, trainers

from tests.small_clip import MODEL, save_model
from vsearch.embed.clip import hub_tokens
from vsearch.embed.clip.hub_tokens import tokens_of
from vsearch.embed.clip.listed import architecture, pretrained
from vsearch.embed.clip.source import find, find_source
from vsearch.embed.clip.tokens import ClipTokens
from vsearch.embed.clip.whole import tokenizer_of
from vsearch.embed.openclip import OpenClip
from vsearch.errors import EncoderError
from vsearch.phrases import load as phrases

with warnings.catch_warnings():
    warnings.simplefilter("ignore")
    import open_clip

ODD = [
    *("", " ", "\n\t ", "a" * 5000, "word " * 400, "<start_of_text> a <END_OF_TEXT> b", "&amp;lt;b&gt; &eacute;"),
    *(
        "it's I'LL we've 'S don't",
        "e\u0301 \u00e9 \u212b",
        "\N{DOG FACE}\N{ZERO WIDTH JOINER}\N{CAT FACE}",
        "日本語の写真",
    ),
    *(
        "\u0000\u0001\u001b[31m\u007f",
        "\ud800 lone",
        "\ufeff\u200b\u2028",
        "ﬁne ﬀ",
        "¼ ½ ² 3.14",
        "snake_case-and.dots",
    ),
    *("Ãƒâ€šÃ‚Â©", "â€œquotedâ€\x9d", "مرحبا بالعالم", "हिन्दी", "🇩🇪🏳️‍🌈", "A" * 77, "#hash @at $100 50%"),
]


def padded(tokens, context, pad=0):
    return [row + [pad] * (context - len(row)) for row in tokens]


def many():
    """10,000 texts: bundled phrases, words, random characters of all planes."""
    draw = random.Random(7)
    letters = "abcdefghijklmnopqrstuvwxyzäöüßéñçø'-0123456789"
    words = ["".join(draw.choice(letters) for _ in range(draw.randrange(1, 14))) for _ in range(5000)]
    planes = [(32, 127), (0, 32), (0xA0, 0x250), (0x370, 0x600), (0x900, 0x1000), (0x3000, 0x9FFF), (0x1F300, 0x1FAFF)]
    mixed = [
        "".join(chr(draw.randrange(*draw.choice(planes))) for _ in range(draw.randrange(0, 40))) for _ in range(2500)
    ]
    sentences = [" ".join(draw.choices(words, k=draw.randrange(1, 60))) for _ in range(500)]
    return [*ODD, *phrases()[:2000], *words, *mixed, *sentences]


@pytest.mark.parametrize("clean", ["lower", "whitespace", "canonicalize"])
def test_10000_texts_give_the_tokens_of_open_clip(clean):
    texts = many() if clean == "lower" else many()[::5]
    theirs = open_clip.SimpleTokenizer(context_length=77, clean=clean)([t.replace("\ud800", "") for t in texts])
    ours = ClipTokens(77, clean)([t.replace("\ud800", "") for t in texts])
    assert clean != "lower" or len(texts) >= 10_000
    assert padded(ours, 77) == theirs.tolist()


@settings(max_examples=300, deadline=None)
@given(st.text(st.characters(exclude_categories=["Cs"]), max_size=60), st.sampled_from([8, 32, 77]))
def test_any_text_gives_the_tokens_of_open_clip(text, context):
    theirs = open_clip.SimpleTokenizer(context_length=context)([text]).tolist()
    assert padded(ClipTokens(context)([text]), context) == theirs


def test_half_a_character_is_no_error():
    (tokens,) = ClipTokens()(["a \ud800 dog"])
    assert tokens[0] == 49406 and tokens[-1] == 49407


def test_a_wrong_merge_is_caught(monkeypatch):
    """Were pairs merged in the order of the text instead of the list's, the comparison would see it."""
    from vsearch.embed.clip import tokens

    monkeypatch.setattr(tokens, "_ranks", lambda: dict.fromkeys(tokens._lines(), 0))
    texts = phrases()[:200]
    assert padded(ClipTokens()(texts), 77) != open_clip.SimpleTokenizer()(texts).tolist()


# Tokenizers of the hub


def byte_pairs(folder):
    """As SigLIP2 has one: byte pairs over whole texts, whose spaces are marks, and an end mark."""
    made = Tokenizer(models.BPE(unk_token="<unk>", byte_fallback=True, fuse_unk=True))
    made.normalizer = normalizers.Replace(" ", "\u2581")
    made.pre_tokenizer = pre_tokenizers.Split(" ", "merged_with_previous")
    bytes_ = [f"<0x{byte:02X}>" for byte in range(256)]
    special = ["<pad>", "<eos>", "<bos>", "<unk>"]
    trainer = trainers.BpeTrainer(vocab_size=900, special_tokens=[*special, *bytes_], show_progress=False)
    made.train_from_iterator(phrases()[:500], trainer)
    made.post_processor = processors.TemplateProcessing("$A <eos>", special_tokens=[("<eos>", 1)])
    _save(made, folder, {name: f"<{name}>" for name in ("pad", "eos", "bos", "unk")})


def unigrams(folder):
    """As SigLIP has one: sentencepiece's unigrams, and an end mark that pads too."""
    made = Tokenizer(models.Unigram())
    made.normalizer = normalizers.Sequence([normalizers.Nmt(), normalizers.NFKC()])
    made.pre_tokenizer = pre_tokenizers.Metaspace()
    special = ["</s>", "<unk>"]
    trainer = trainers.UnigramTrainer(vocab_size=600, special_tokens=special, unk_token="<unk>", show_progress=False)
    made.train_from_iterator(phrases()[:500], trainer)
    made.post_processor = processors.TemplateProcessing("$A </s>", special_tokens=[("</s>", 0)])
    _save(made, folder, {"pad": "</s>", "eos": "</s>", "unk": "<unk>"})


def word_pieces(folder):
    """As CLIPA has one: BERT's, of which the separator is taken out."""
    made = Tokenizer(models.WordPiece(unk_token="[UNK]"))
    made.normalizer = normalizers.BertNormalizer()
    made.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    special = ["[PAD]", "[UNK]", "[CLS]", "[SEP]"]
    trainer = trainers.WordPieceTrainer(vocab_size=700, special_tokens=special, show_progress=False)
    made.train_from_iterator(phrases()[:500], trainer)
    made.post_processor = processors.BertProcessing(("[SEP]", 3), ("[CLS]", 2))
    _save(made, folder, {"pad": "[PAD]", "unk": "[UNK]", "cls": "[CLS]", "sep": "[SEP]"})


def _save(made, folder, marks, **settings_):
    made.save(str(folder / "tokenizer.json"))
    told = {"tokenizer_class": "PreTrainedTokenizerFast", **{f"{n}_token": mark for n, mark in marks.items()}}
    (folder / "tokenizer_config.json").write_text(json.dumps({**told, **settings_}))


OPTIONS = {
    byte_pairs: {"clean": "canonicalize"},
    unigrams: {"clean": "canonicalize"},
    word_pieces: {"clean": "whitespace", "strip_sep_token": True},
}


@pytest.fixture
def alone(tmp_path, monkeypatch):
    monkeypatch.setenv("VSEARCH_CACHE", str(tmp_path / "cache"))


def model_with(tmp_path, write, context=16):
    text = {**MODEL["text_cfg"], "context_length": context, "hf_tokenizer_name": "some/one"}
    text["tokenizer_kwargs"] = OPTIONS[write]
    folder = save_model(tmp_path / "model", text_cfg=text)
    write(folder)
    return find(find_source(f"local-dir:{folder}"))


@pytest.mark.parametrize("write", OPTIONS)
def test_a_tokenizer_of_the_hub_gives_what_open_clip_makes_of_it(write, tmp_path, alone):
    found = model_with(tmp_path, write)
    texts = many()[::5]
    texts = [text for text in texts if "\ud800" not in text]
    assert tokens_of(found)(texts) == tokenizer_of(found)(texts).tolist()


def test_a_tokenizer_that_pads_on_the_left_is_followed(tmp_path, alone):
    found = model_with(tmp_path, byte_pairs)
    path = found.tokenizer / "tokenizer_config.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), "padding_side": "left"}))
    assert tokens_of(found)(["a dog"]) == tokenizer_of(found)(["a dog"]).tolist()
    assert tokens_of(found)(["a dog"])[0][0] == 0


def test_where_the_two_ways_differ_the_longer_one_is_taken(tmp_path, alone, monkeypatch):
    """transformers builds the tokenizers of some classes anew, whatever their file says."""
    found = model_with(tmp_path, byte_pairs)
    theirs = hub_tokens._by_transformers(found, found.tokenizer)
    monkeypatch.setattr(hub_tokens, "_by_transformers", lambda *_: [*theirs[:-1], theirs[-1][::-1]])
    assert tokens_of(found) is None
    encoder = OpenClip(f"local-dir:{found.tokenizer}")
    assert encoder.ways["texts"] == "open_clip"
    assert encoder.encode_texts(["a dog"]).shape == (1, MODEL["embed_dim"])


def test_the_two_ways_are_compared_once(tmp_path, alone, monkeypatch):
    found = model_with(tmp_path, unigrams)
    tokens_of(found)
    monkeypatch.setattr(hub_tokens, "_by_transformers", lambda *_: pytest.fail("compared again"))
    assert tokens_of(found) is not None


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("tokenizer.json", b"{}"),
        ("tokenizer.json", b"\x80 rubbish"),
        ("tokenizer.json", None),
        ("tokenizer_config.json", b"nonsense"),
        ("tokenizer_config.json", None),
        ("tokenizer_config.json", b"{}"),
    ],
)
def test_a_damaged_tokenizer_is_named(name, content, tmp_path, alone):
    found = model_with(tmp_path, unigrams)
    (found.tokenizer / name).unlink()
    if content is not None:
        (found.tokenizer / name).write_bytes(content)
    with pytest.raises(EncoderError, match="tokenizer"):
        tokens_of(found)


# What open_clip lists


def test_the_list_is_that_of_open_clip():
    listed = open_clip.list_pretrained()
    assert len(listed) > 100
    for model, tag in listed:
        theirs, ours = open_clip.get_pretrained_cfg(model, tag), pretrained(model, tag)
        if not theirs.get("hf_hub"):
            assert ours is None
            continue
        assert f"{ours.repo}/{ours.file}" == theirs["hf_hub"], (model, tag)
        assert (ours.interpolation, ours.resize_mode) == (theirs["interpolation"], theirs["resize_mode"])
        assert (tuple(ours.mean), tuple(ours.std)) == (tuple(theirs["mean"]), tuple(theirs["std"]))
        assert ours.quick_gelu == bool(theirs.get("quick_gelu"))
        assert architecture(model) == open_clip.get_model_config(model)


def test_a_tag_may_be_written_as_open_clip_takes_it():
    assert pretrained("ViT-B-32", "laion2b-s34b-b79k") == pretrained("ViT-B-32", "laion2b_s34b_b79k") is not None
    assert pretrained("ViT-B-32", "nothing") is None
