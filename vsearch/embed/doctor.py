"""What `vsearch doctor` says of the encoders."""

from __future__ import annotations

from vsearch.embed import hub
from vsearch.embed.load import is_openclip, load_encoder, resolve
from vsearch.embed.weights import MINI_FILES, checked
from vsearch.errors import EncoderError


def check_encoders(name: str = "auto") -> list[tuple[str, str]]:
    """Rows of (what, finding) about the bundled encoder and that of this name, which is loaded: takes some seconds.

    Raises EncoderError for a name that cannot be one.
    """
    chosen, reason = resolve(name)
    return [
        ("weights of mini", _mini_weights()),
        (f"encoder {name}", reason),
        ("model hub", _hub()),
        ("device", _device()),
        *_workings(chosen),
    ]


def _workings(name: str) -> list[tuple[str, str]]:
    """Through what texts and pictures go, and in which precision."""
    if not _is_here(name):
        return [(f"precision of {name}", f"known when its weights are here: vsearch models fetch {name}")]
    try:
        encoder = load_encoder(name)
        ways: dict[str, str] = getattr(encoder, "ways", {})
        precision = str(getattr(encoder, "precision", "float32"))
    except EncoderError as error:
        return [(f"precision of {name}", str(error))]
    return [*((f"{kind} of {name}", way) for kind, way in ways.items()), (f"precision of {name}", precision)]


def _mini_weights() -> str:
    from vsearch.embed.heads import BUNDLED_HEADS, WEIGHTS_FILE

    try:
        files = [*(checked(file) for file in MINI_FILES), BUNDLED_HEADS / WEIGHTS_FILE]
        assert load_encoder("mini").info  # reads the heads and compares them with their checksum
    except EncoderError as error:
        return str(error)
    return f"found and intact ({round(sum(file.stat().st_size for file in files) / 1e6)} MB)"


def _hub() -> str:
    """Where models come from, where they go, and the room there."""
    off = ", switched off by request" if hub.offline() else ""
    return f"{hub.endpoint()}{off}; into {hub.cache_folder()}, {hub.free_bytes() / 1e9:,.1f} GB free"


def _device() -> str:
    import torch

    if torch.cuda.is_available():
        return f"GPU {torch.cuda.get_device_name()}"
    bf16 = "with" if torch.ops.mkldnn._is_mkldnn_bf16_supported() else "without"
    return f"CPU {bf16} bf16 arithmetic, {torch.get_num_threads()} threads"


def _is_here(name: str) -> bool:
    """Whether nothing would have to be fetched to load an encoder."""
    if not is_openclip(name):
        return True
    from vsearch.embed.clip.source import find_source

    source = find_source(name)
    return source.repo is None or hub.cached(source.repo, *source.weight_files) is not None
