"""The configuration of an open_clip model, read through a list of what may be in it.

A folder or a repository with a model is somebody else's.  open_clip hands some fields of its configuration to libraries
that load further models, or that run code which they find there, so only what describes a network is accepted:
fields that are not known are refused, names of other models are among those that open_clip itself uses, and numbers
have bounds.
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any, Literal

import msgspec

from vsearch.errors import EncoderError

ORIGIN = "vsearch_encoder"  # field of an exported folder: the encoder that it was made from
MOST_BYTES = 1 << 20  # of the file
MOST_NUMBERS = 1.5  # of the network, for each one in the weights file

Width = Annotated[int, msgspec.Meta(ge=1, le=1 << 14)]
Layers = Annotated[int, msgspec.Meta(ge=0, le=256)]
Side = Annotated[int, msgspec.Meta(ge=1, le=1 << 12)]
Two = Annotated[list[Side], msgspec.Meta(min_length=2, max_length=2)]
Four = Annotated[list[Layers], msgspec.Meta(min_length=4, max_length=4)]
Length = Annotated[int, msgspec.Meta(ge=1, le=1 << 13)]
Entries = Annotated[int, msgspec.Meta(ge=1, le=1 << 21)]
Ratio = Annotated[float, msgspec.Meta(ge=0, le=64)]
Token = Annotated[int, msgspec.Meta(ge=0, le=1 << 21)]
Architecture = Annotated[str, msgspec.Meta(pattern=r"^[a-z0-9_]+(\.[a-z0-9_]+)?$")]  # never a place to load it from
Repository = Annotated[str, msgspec.Meta(pattern=r"^[A-Za-z0-9][\w.-]*(/[A-Za-z0-9][\w.-]*)?$")]
TextModel = Literal[
    "roberta-base",
    "xlm-roberta-base",
    "xlm-roberta-large",
    "google/mt5-base",
    "google/mt5-xl",
    "facebook/nllb-200-distilled-600M",
    "facebook/nllb-200-distilled-1.3B",
]
Pool = Literal["tok", "avg", "last", "argmax", "first", "eos", "none"]
Pooler = Literal["mean_pooler", "max_pooler", "cls_pooler", "cls_last_hidden_state_pooler"]
Projection = Literal["linear", "mlp", "none", ""]


class _Strict(msgspec.Struct, forbid_unknown_fields=True, kw_only=True):
    """Fields that are not listed are refused."""


class Activation(_Strict):
    """Arguments of the activation."""

    approximate: Literal["none", "tanh"] = "none"


class Norm(_Strict):
    """Arguments of the layer norm."""

    eps: Annotated[float, msgspec.Meta(ge=0, le=1)] = 1e-5


class TokenizerOptions(_Strict):
    """Arguments of the tokenizer: how it cleans text, and nothing about where it comes from."""

    clean: Literal["whitespace", "lower", "canonicalize"] | None = None
    strip_sep_token: bool | None = None


class _Tower(_Strict):
    """What the transformers of both towers have."""

    mlp_ratio: Ratio = 4.0
    ls_init_value: float | None = None
    final_ln_after_pool: bool = False
    output_tokens: bool = False
    act_kwargs: Activation | None = None
    norm_kwargs: Norm | None = None
    block_type: Literal["default", "custom"] | None = None
    qk_norm: bool = False
    scaled_cosine_attn: bool = False
    scale_heads: bool = False
    scale_attn_inner: bool = False
    scale_attn: bool = False
    scale_fc: bool = False


class Vision(_Tower):
    """The tower for pictures."""

    layers: Layers | Four = 12  # four numbers for a ResNet
    width: Width = 768
    head_width: Width = 64
    patch_size: Side | Two | None = 16
    image_size: Side | Two = 224
    patch_dropout: Annotated[float, msgspec.Meta(ge=0, lt=1)] = 0.0
    attentional_pool: bool | Literal["parallel", "cascade"] = False
    attn_pooler_queries: Width = 256
    attn_pooler_heads: Width = 8
    no_ln_pre: bool = False
    pos_embed_type: Literal["learnable", "sin_cos_2d"] = "learnable"
    pool_type: Pool = "tok"
    timm_model_name: Architecture | None = None
    timm_model_pretrained: bool = False
    timm_pool: Literal["avg", "token", "map", "abs_attn", "rot_attn", "avgmax", "max", ""] = "avg"
    timm_proj: Projection | None = "linear"
    timm_proj_bias: bool = False
    timm_drop: Ratio = 0.0
    timm_drop_path: Ratio | None = None


class Text(_Tower):
    """The tower for texts, and its tokenizer."""

    context_length: Length = 77
    vocab_size: Entries = 49408
    width: Width = 512
    heads: Width = 8
    layers: Layers = 12
    embed_cls: bool = False
    pad_id: Token = 0
    eos_id: Token = 2
    no_causal_mask: bool = False
    pool_type: Pool = "argmax"
    proj_bias: bool = False
    proj_type: Projection | None = "linear"
    hf_tokenizer_name: Repository | None = None
    tokenizer_mode: Literal["clips"] | None = None
    tokenizer_kwargs: TokenizerOptions | None = None
    hf_model_name: TextModel | None = None
    hf_model_pretrained: bool = False
    hf_proj_type: Projection | None = "mlp"
    hf_pooler_type: Pooler | None = "mean_pooler"


class Multimodal(Text):
    """The decoder of a CoCa."""

    heads: Width = 8
    dim_head: Width = 64
    n_queries: Width = 256
    attn_pooler_heads: Width = 8


class Model(_Strict):
    """The whole network."""

    embed_dim: Width
    vision_cfg: Vision
    text_cfg: Text
    quick_gelu: bool = False
    custom_text: bool = False
    init_logit_scale: float | None = None
    init_logit_bias: float | None = None
    nonscalar_logit_scale: bool = False
    multimodal_cfg: Multimodal | None = None

    @property
    def numbers(self) -> int:
        """About how many weights its transformers have; 0 for towers of timm and transformers, which have names."""
        vision, text = self.vision_cfg, self.text_cfg
        found = 0
        if isinstance(vision.layers, int) and vision.timm_model_name is None:
            found += _transformer(vision.layers, vision.width, vision.mlp_ratio)
        if text.hf_model_name is None:
            found += _transformer(text.layers, text.width, text.mlp_ratio) + text.vocab_size * text.width
        return found


class Preprocess(msgspec.Struct, kw_only=True):
    """How pictures are made ready; fields that are not listed are passed over, as open_clip does."""

    size: Side | list[Side] | None = None
    mean: float | list[float] | None = None
    std: float | list[float] | None = None
    interpolation: Literal["bicubic", "bilinear", "random"] | None = None
    resize_mode: Literal["shortest", "longest", "squash"] | None = None
    fill_color: Annotated[int, msgspec.Meta(ge=0, le=255)] | None = None


class Configuration(msgspec.Struct):
    """``open_clip_config.json``, checked: as it stands in the file for the network, and as what it says.

    model_cfg, preprocess_cfg: as open_clip wants them.  model: the same, for those who ask what it is.  origin: the
    encoder that the folder says it was exported from, which need not be true.
    """

    model_cfg: dict[str, Any]
    preprocess_cfg: dict[str, Any]
    model: Model
    origin: str = ""


def read_configuration(path: Path) -> Configuration:
    """Read and check a configuration.  Raises EncoderError, which names the field that may not be there; OSError."""
    with open(path, "rb") as file:
        raw = file.read(MOST_BYTES + 1)
    if len(raw) > MOST_BYTES:
        raise EncoderError(f"{path}: a configuration of more than {MOST_BYTES:,} bytes; it is not one of open_clip's")
    try:
        whole = msgspec.json.decode(raw, type=dict[str, Any])
    except (msgspec.DecodeError, RecursionError) as error:
        raise EncoderError(f"{path}: this is no configuration of open_clip: {error}. Fetch the model again") from error
    configuration = check_configuration(whole.get("model_cfg"), whole.get("preprocess_cfg") or {}, str(path))
    made_from = whole.get(ORIGIN)
    return msgspec.structs.replace(configuration, origin=made_from if isinstance(made_from, str) else "")


def check_configuration(model_cfg: Any, preprocess_cfg: Any, origin: str) -> Configuration:
    """Check a configuration that was read.  origin: for messages.  Raises EncoderError."""
    try:
        preprocess = msgspec.convert(preprocess_cfg, Preprocess)
        model = msgspec.convert(model_cfg, Model)
    except (msgspec.ValidationError, RecursionError) as error:
        raise EncoderError(
            f"{origin}: not a configuration that vsearch accepts: {error}. Only fields that describe a network are. "
            "For a model of a newer open_clip update vsearch; `vsearch models` lists others"
        ) from error
    assert isinstance(model_cfg, dict)
    kept = {key: value for key, value in msgspec.to_builtins(preprocess).items() if value is not None}
    return Configuration(model_cfg, kept, model)


def check_size(model: Model, weights: Path) -> None:
    """Refuse a network far larger than its weights file, before memory is taken for it.

    Raises EncoderError, OSError.
    """
    most = weights.stat().st_size // 2  # two bytes a number, or four
    if model.numbers > most * MOST_NUMBERS:
        raise EncoderError(
            f"{weights}: its configuration describes a network of {model.numbers:,} weights, and the file holds "
            f"{most:,} at most. The folder is damaged, or not what it says; copy it again"
        )


def _transformer(layers: int, width: int, mlp_ratio: float) -> int:
    return int(layers * width * width * (4 + 2 * mlp_ratio))
