"""Which towers of a model this room can run itself, and their shapes; the others go the long way, through open_clip."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Literal

from vsearch.embed.clip.configuration import Activation, Model, Text, Vision
from vsearch.embed.clip.tensors import Weights
from vsearch.embed.clip.text_tower import Shape

SIGLIP = re.compile(r"vit_(base|large|so400m|giantopt)_patch(\d+)_siglip_(\d+)")
_SIGLIP_HEADS = {"base": 12, "large": 16, "so400m": 16, "giantopt": 16}
# Of the towers that both generations of SigLIP share, those of the second only: the others have the exact GELU.
_SIGLIP_TANH = re.compile(
    r"vit_(base_patch32_siglip_256|large_patch16_siglip_512|so400m_patch16_siglip_\d+|giantopt_patch16_siglip_\d+)"
)


def text_prefix(model: Model, weights: Weights) -> str | None:
    """What names of the text tower begin with in the file; None where the file is not as open_clip saves its own.

    Then open_clip would change more about it than a name.
    """
    prefix = "" if lacking_prefix(model, weights) else _network_prefix(model)
    text, scalar = model.text_cfg, () if not model.nonscalar_logit_scale else (1,)
    sound = (
        _has(weights, f"{prefix}positional_embedding", (text.context_length, text.width))
        and _has(weights, "logit_scale", scalar)
        and ("logit_bias" in weights) == (model.init_logit_bias is not None)
        and (_has_projection(weights, prefix) or text.proj_type == "none")
        and all(_KNOWN_NAME.fullmatch(name) for name in weights.names)
        and _places_fit(model.vision_cfg, weights)
    )
    return prefix if sound else None


_KNOWN_NAME = re.compile(
    r"logit_(scale|bias)|visual\..+|(text\.)?(positional_embedding|token_embedding\.weight|ln_final\.(weight|bias)|"
    r"text_projection(\.weight|\.bias)?|transformer\..+)"
)


def _has_projection(weights: Weights, prefix: str) -> bool:
    return f"{prefix}text_projection" in weights or f"{prefix}text_projection.weight" in weights


def lacking_prefix(model: Model, weights: Weights) -> str:
    """What names of the text tower lack in the file that they have in open_clip's network; nothing, as a rule."""
    prefix = _network_prefix(model)
    return prefix if "positional_embedding" in weights else ""


def _network_prefix(model: Model) -> str:
    return "text." if model.custom_text or model.text_cfg.hf_model_name is not None else ""


def _has(weights: Weights, name: str, shape: tuple[int, ...]) -> bool:
    return name in weights and weights.shape(name) == shape


def _places_fit(vision: Vision, weights: Weights) -> bool:
    """Whether the places of patches are as many as the configuration has; open_clip makes others fit."""
    places, side, patch = "visual.positional_embedding", _side(vision.image_size), _side(vision.patch_size)
    if places not in weights or not isinstance(vision.layers, int):
        return True
    return side is not None and bool(patch) and weights.shape(places)[0] == (side // (patch or 1)) ** 2 + 1


def text_shape(model: Model) -> Shape | None:
    """The shape of a text tower that ``TextTower`` runs; None for one that it does not."""
    text = model.text_cfg
    plain = text == _plain_text(text) and text.hf_model_name is None and model.multimodal_cfg is None
    pools = {(False, "argmax"), (True, "last")}  # no causal mask, pool
    if not plain or (text.no_causal_mask, text.pool_type) not in pools or text.width % text.heads:
        return None
    return Shape(
        context=text.context_length,
        vocabulary=text.vocab_size,
        width=text.width,
        heads=text.heads,
        layers=text.layers,
        hidden=int(text.width * text.mlp_ratio),
        causal=not text.no_causal_mask,
        activation=_activation(text.act_kwargs, model.quick_gelu),
        epsilon=text.norm_kwargs.eps if text.norm_kwargs else 1e-5,
    )


def _plain_text(text: Text) -> Text:
    """The same tower without anything that ``TextTower`` does not know."""
    return Text(
        **{name: getattr(text, name) for name in _KNOWN_TEXT},
        proj_type=text.proj_type if text.proj_type in ("linear", "none", None) else "linear",
    )


_KNOWN_TEXT = (
    *("context_length", "vocab_size", "width", "heads", "layers", "mlp_ratio", "pad_id", "eos_id", "no_causal_mask"),
    *("pool_type", "proj_bias", "output_tokens", "act_kwargs", "norm_kwargs", "hf_tokenizer_name", "tokenizer_kwargs"),
    *("hf_model_pretrained", "hf_proj_type", "hf_pooler_type"),
)
_KNOWN_VISION = (
    *("layers", "width", "head_width", "mlp_ratio", "patch_size", "image_size", "patch_dropout", "no_ln_pre"),
    *("final_ln_after_pool", "pool_type", "output_tokens", "act_kwargs", "norm_kwargs", "pos_embed_type"),
    *("attn_pooler_queries", "attn_pooler_heads"),
)


@dataclass(frozen=True)
class VisionShape:
    """The shape of a tower.

    class_token: whether a token of its own goes before the patches.  norm_first: whether all are normed before the
    first layer.  pool: the class token, the mean of the patches, or attention of a learned query (``map``).
    norm_pooled: whether the norm comes after pooling.  projected: whether a matrix maps to the joint space.
    """

    width: int
    heads: int
    layers: int
    hidden: int
    patch: int
    side: int
    activation: str
    epsilon: float
    class_token: bool
    norm_first: bool
    pool: Literal["tok", "avg", "map"]
    norm_pooled: bool
    projected: int

    @property
    def tokens(self) -> int:
        """Patches, and the class token."""
        return (self.side // self.patch) ** 2 + self.class_token


@dataclass(frozen=True)
class ResNetShape:
    """Blocks of the four stages, channels of the first, pixels of a side, heads of the attention at the end."""

    blocks: list[int]
    width: int
    side: int
    heads: int


def picture_shape(model: Model, weights: Weights) -> VisionShape | ResNetShape | None:
    """The shape of a picture tower that this room runs; None for one that it does not."""
    vision = model.vision_cfg
    side = _side(vision.image_size)
    if side is None:
        return None
    if vision.timm_model_name is not None:
        return _siglip_shape(vision, side, weights)
    if vision != Vision(**{name: getattr(vision, name) for name in _KNOWN_VISION}):
        return None
    if isinstance(vision.layers, list):
        return ResNetShape(vision.layers, vision.width, side, vision.width * 32 // vision.head_width)
    patch = _side(vision.patch_size)
    if patch is None or vision.pool_type not in ("tok", "avg") or vision.width % vision.head_width:
        return None
    return VisionShape(
        width=vision.width,
        heads=vision.width // vision.head_width,
        layers=vision.layers,
        hidden=int(vision.width * vision.mlp_ratio),
        patch=patch,
        side=side,
        activation=_activation(vision.act_kwargs, model.quick_gelu),
        epsilon=vision.norm_kwargs.eps if vision.norm_kwargs else 1e-5,
        class_token=True,
        norm_first=not vision.no_ln_pre,
        pool=vision.pool_type,
        norm_pooled=vision.final_ln_after_pool,
        projected=model.embed_dim,
    )


def _siglip_shape(vision: Vision, side: int, weights: Weights) -> VisionShape | None:
    """That of one of timm's towers for SigLIP; width and depth are those of the weights."""
    name = vision.timm_model_name or ""
    found = SIGLIP.fullmatch(name)
    own = "visual.trunk.patch_embed.proj.weight"
    if not found or vision.timm_pool != "map" or vision.timm_proj not in ("none", None, "") or own not in weights:
        return None
    width, _, patch, _ = weights.shape(own)
    blocks = {
        int(there[1]) for there in map(re.compile(r"visual\.trunk\.blocks\.(\d+)\.").match, weights.names) if there
    }
    return VisionShape(
        width=width,
        heads=_SIGLIP_HEADS[found[1]],
        layers=len(blocks),
        hidden=weights.shape("visual.trunk.blocks.0.mlp.fc1.weight")[0],
        patch=patch,
        side=side,
        activation="gelu_tanh" if _SIGLIP_TANH.fullmatch(name) else "gelu",
        epsilon=1e-6,
        class_token=False,
        norm_first=False,
        pool="map",
        norm_pooled=False,
        projected=0,
    )


def _side(size: int | list[int] | None) -> int | None:
    """The one side of a square."""
    sides = set(size) if isinstance(size, list) else {size}
    return sides.pop() if len(sides) == 1 else None


def _activation(arguments: Activation | None, quick: bool) -> str:
    if quick:
        return "gelu_quick"
    return "gelu_tanh" if arguments is not None and arguments.approximate == "tanh" else "gelu"
