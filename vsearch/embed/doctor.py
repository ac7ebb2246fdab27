"""What `vsearch doctor` says of the encoders."""

from __future__ import annotations

from vsearch.embed import hub
from vsearch.embed.load import load_encoder, resolve
from vsearch.embed.presets import PREFERRED
from vsearch.embed.weights import MINI_FILES, checked
from vsearch.errors import EncoderError


def check_encoders() -> list[tuple[str, str]]:
    """Rows of (what, finding).  Loads the encoder that ``auto`` chooses, if it is here: takes some seconds."""
    chosen, reason = resolve("auto")
    return [
        ("weights of mini", _mini_weights()),
        ("encoder auto", reason),
        ("model hub", _hub()),
        ("device", _device()),
        (f"precision of {chosen}", _precision(chosen)),
    ]


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


def _precision(name: str) -> str:
    if name == f"openclip:{PREFERRED.name}" and not hub.cached(PREFERRED.repo, *hub.WEIGHT_FILES):
        return "known when its weights are here: vsearch models fetch auto"
    try:
        return str(getattr(load_encoder(name), "precision", "float32"))
    except EncoderError as error:
        return str(error)
