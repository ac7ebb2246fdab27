"""The 1,000 ImageNet class names in the order of the classifier's outputs, as open_clip curates them."""

from __future__ import annotations

import importlib.util
from functools import cache

from vsearch.embed.weights import package_folder
from vsearch.errors import EncoderUnavailable

CLASSES = 1000


@cache
def imagenet_classnames() -> tuple[str, ...]:
    """The names, without importing open_clip: only the one file that holds them is run (open_clip needs 5 s).

    Raises EncoderUnavailable when the installed open_clip has no such list.
    """
    path = package_folder("open_clip") / "zero_shot_metadata.py"
    spec = importlib.util.spec_from_file_location("vsearch.embed._imagenet", path)
    try:
        assert spec is not None and spec.loader is not None
        module = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(module)
        names = tuple(str(name) for name in module.IMAGENET_CLASSNAMES)
    except (OSError, AttributeError, ImportError) as error:
        raise EncoderUnavailable(
            f"The installed open_clip has no list of ImageNet class names ({error}), which the encoder mini "
            "needs. Install the version that vsearch asks for: pip install 'open_clip_torch>=3.3,<4'"
        ) from error
    if len(names) != CLASSES:
        raise EncoderUnavailable(
            f"The installed open_clip lists {len(names)} ImageNet class names, not {CLASSES}. "
            "Install the version that vsearch asks for: pip install 'open_clip_torch>=3.3,<4'"
        )
    return names
