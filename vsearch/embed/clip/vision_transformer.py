"""The picture towers of CLIP and SigLIP that are plain transformers, in torch, without open_clip and without timm.

Importing those takes longer than a first query may.  The mathematics, the names of the weights in the file and the
vectors are theirs (Dosovitskiy et al., 2021; Radford et al., 2021; Zhai et al., 2023).
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator

import torch
from torch import Tensor, nn
from torch.nn import functional

from vsearch.embed.clip.shapes import VisionShape

Get = Callable[[str], Tensor]
"""A tensor of the weights file by its name."""

ACTIVATIONS: dict[str, Callable[[Tensor], Tensor]] = {
    "gelu": functional.gelu,
    "gelu_tanh": lambda x: functional.gelu(x, approximate="tanh"),
    "gelu_quick": lambda x: x * torch.sigmoid(1.702 * x),
}


class Attention(nn.Module):
    """Multi-head attention of tokens to each other."""

    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.mix_in, self.mix_out = nn.Linear(width, 3 * width), nn.Linear(width, width)

    def forward(self, x: Tensor) -> Tensor:
        """(n, tokens, width) to the same."""
        q, k, v = (_split(part, self.heads) for part in self.mix_in(x).chunk(3, dim=-1))
        mixed: Tensor = self.mix_out(_joined(functional.scaled_dot_product_attention(q, k, v)))
        return mixed


class Mlp(nn.Module):
    """Two linear layers with an activation between."""

    def __init__(self, width: int, hidden: int, activation: str) -> None:
        super().__init__()
        self.first, self.second = nn.Linear(width, hidden), nn.Linear(hidden, width)
        self.activation = ACTIVATIONS[activation]

    def forward(self, x: Tensor) -> Tensor:
        """(…, width) to the same."""
        out: Tensor = self.second(self.activation(self.first(x)))
        return out


class Block(nn.Module):
    """A layer of the transformer."""

    def __init__(self, shape: VisionShape) -> None:
        super().__init__()
        self.norm_attention = nn.LayerNorm(shape.width, shape.epsilon)
        self.attention = Attention(shape.width, shape.heads)
        self.norm_mlp = nn.LayerNorm(shape.width, shape.epsilon)
        self.mlp = Mlp(shape.width, shape.hidden, shape.activation)

    def forward(self, x: Tensor) -> Tensor:
        """(n, tokens, width) to the same."""
        x = x + self.attention(self.norm_attention(x))
        out: Tensor = x + self.mlp(self.norm_mlp(x))
        return out


class AttentionPool(nn.Module):
    """What one learned query takes from all tokens."""

    def __init__(self, shape: VisionShape) -> None:
        super().__init__()
        width, self.heads = shape.width, shape.heads
        self.query = nn.Parameter(torch.empty(1, 1, width))
        self.q, self.kv, self.out = nn.Linear(width, width), nn.Linear(width, 2 * width), nn.Linear(width, width)
        self.norm = nn.LayerNorm(width, shape.epsilon)
        self.mlp = Mlp(width, shape.hidden, shape.activation)

    def forward(self, x: Tensor) -> Tensor:
        """(n, tokens, width) to (n, width)."""
        q = _split(self.q(self.query.expand(len(x), -1, -1)), self.heads)
        k, v = (_split(part, self.heads) for part in self.kv(x).chunk(2, dim=-1))
        pooled = self.out(_joined(functional.scaled_dot_product_attention(q, k, v)))
        out: Tensor = (pooled + self.mlp(self.norm(pooled)))[:, 0]
        return out


class VisionTransformer(nn.Module):
    """Pictures (n, 3, side, side) to vectors (n, dim), of any length."""

    def __init__(self, shape: VisionShape) -> None:
        super().__init__()
        self.shape = shape
        self.patches = nn.Conv2d(3, shape.width, shape.patch, shape.patch, bias=not shape.class_token)
        self.class_token = nn.Parameter(torch.empty(shape.width)) if shape.class_token else None
        self.places = nn.Parameter(torch.empty(shape.tokens, shape.width))
        self.norm_first = nn.LayerNorm(shape.width, shape.epsilon) if shape.norm_first else nn.Identity()
        self.blocks = nn.ModuleList(Block(shape) for _ in range(shape.layers))
        self.norm_last = nn.LayerNorm(shape.width, shape.epsilon)
        self.pool = AttentionPool(shape) if shape.pool == "map" else None
        self.projection = nn.Parameter(torch.empty(shape.width, shape.projected)) if shape.projected else None

    def forward(self, pixels: Tensor) -> Tensor:
        """Embed normalised pixels."""
        pooled = self._pooled(self.tokens(pixels))
        return pooled if self.projection is None else pooled @ self.projection

    def tokens(self, pixels: Tensor) -> Tensor:
        """All tokens after the last layer, (n, tokens, width), not normed."""
        x = self.patches(pixels).flatten(2).transpose(1, 2)
        if self.class_token is not None:
            x = torch.cat([self.class_token.expand(len(x), 1, -1), x], dim=1)
        x = self.norm_first(x + self.places)
        for block in self.blocks:
            x = block(x)
        out: Tensor = x
        return out

    def unpooled(self, pixels: Tensor) -> Tensor:
        """The patches alone after the last norm, row by row from the top left: (n, patches, width)."""
        out: Tensor = self.norm_last(self._patches_of(self.tokens(pixels)))
        return out

    def _patches_of(self, x: Tensor) -> Tensor:
        return x[:, int(self.shape.class_token) :]

    def _pooled(self, x: Tensor) -> Tensor:
        if self.pool is not None:
            pooled: Tensor = self.pool(self.norm_last(x))
            return pooled
        if self.shape.pool == "tok":  # a norm is of each token by itself
            out: Tensor = self.norm_last(x[:, 0])
            return out
        patches = self._patches_of(x)
        mean: Tensor = self.norm_last(patches.mean(1)) if self.shape.norm_pooled else self.norm_last(patches).mean(1)
        return mean


def _split(x: Tensor, heads: int) -> Tensor:
    """(n, tokens, width) to (n, heads, tokens, width / heads)."""
    n, tokens, width = x.shape
    return x.reshape(n, tokens, heads, width // heads).transpose(1, 2)


def _joined(x: Tensor) -> Tensor:
    return x.transpose(1, 2).flatten(2)


def loaded(shape: VisionShape, get: Get, names: dict[str, str]) -> VisionTransformer:
    """A tower with the weights of a file, which are not copied.  names: pattern of a weight here → its name there.

    Raises RuntimeError for a weight of another shape, and what ``get`` raises for one that is missing.
    """
    with torch.device("meta"):
        tower = VisionTransformer(shape)
    state = {name: get(there) for name, there in _renamed(tower, names)}
    for name, tensor in state.items():
        wanted = tower.get_parameter(name).shape
        if tensor.shape != wanted and tensor.shape[1:] == wanted and len(tensor) == 1:
            state[name] = tensor[0]  # places of timm have an axis more
    tower.load_state_dict(state, assign=True)
    return tower.requires_grad_(False).eval()


def _renamed(tower: nn.Module, names: dict[str, str]) -> Iterator[tuple[str, str]]:
    for name, _ in tower.named_parameters():
        for pattern, there in names.items():
            if found := re.fullmatch(pattern, name):
                yield name, found.expand(there)
                break
        else:
            raise KeyError(name)


OPEN_CLIP = {
    r"patches\.(\w+)": r"visual.conv1.\1",
    r"class_token": r"visual.class_embedding",
    r"places": r"visual.positional_embedding",
    r"norm_first\.(\w+)": r"visual.ln_pre.\1",
    r"blocks\.(\d+)\.norm_attention\.(\w+)": r"visual.transformer.resblocks.\1.ln_1.\2",
    r"blocks\.(\d+)\.attention\.mix_in\.(\w+)": r"visual.transformer.resblocks.\1.attn.in_proj_\2",
    r"blocks\.(\d+)\.attention\.mix_out\.(\w+)": r"visual.transformer.resblocks.\1.attn.out_proj.\2",
    r"blocks\.(\d+)\.norm_mlp\.(\w+)": r"visual.transformer.resblocks.\1.ln_2.\2",
    r"blocks\.(\d+)\.mlp\.first\.(\w+)": r"visual.transformer.resblocks.\1.mlp.c_fc.\2",
    r"blocks\.(\d+)\.mlp\.second\.(\w+)": r"visual.transformer.resblocks.\1.mlp.c_proj.\2",
    r"norm_last\.(\w+)": r"visual.ln_post.\1",
    r"projection": r"visual.proj",
}
"""Names of the weights in open_clip's own towers."""

TIMM = {
    r"patches\.(\w+)": r"visual.trunk.patch_embed.proj.\1",
    r"places": r"visual.trunk.pos_embed",
    r"blocks\.(\d+)\.norm_attention\.(\w+)": r"visual.trunk.blocks.\1.norm1.\2",
    r"blocks\.(\d+)\.attention\.mix_in\.(\w+)": r"visual.trunk.blocks.\1.attn.qkv.\2",
    r"blocks\.(\d+)\.attention\.mix_out\.(\w+)": r"visual.trunk.blocks.\1.attn.proj.\2",
    r"blocks\.(\d+)\.norm_mlp\.(\w+)": r"visual.trunk.blocks.\1.norm2.\2",
    r"blocks\.(\d+)\.mlp\.first\.(\w+)": r"visual.trunk.blocks.\1.mlp.fc1.\2",
    r"blocks\.(\d+)\.mlp\.second\.(\w+)": r"visual.trunk.blocks.\1.mlp.fc2.\2",
    r"norm_last\.(\w+)": r"visual.trunk.norm.\1",
    r"pool\.query": r"visual.trunk.attn_pool.latent",
    r"pool\.(q|kv|norm)\.(\w+)": r"visual.trunk.attn_pool.\1.\2",
    r"pool\.out\.(\w+)": r"visual.trunk.attn_pool.proj.\1",
    r"pool\.mlp\.first\.(\w+)": r"visual.trunk.attn_pool.mlp.fc1.\1",
    r"pool\.mlp\.second\.(\w+)": r"visual.trunk.attn_pool.mlp.fc2.\1",
}
"""And in those of timm that SigLIP uses."""
