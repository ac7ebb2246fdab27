"""Write down what open_clip lists: vsearch/embed/clip/listed.json, read by those who do not want to import torch.

Run it when the newest open_clip that is allowed lists more; a test compares the file with the one installed.
"""

from __future__ import annotations

import argparse
import json
import warnings
from pathlib import Path
from typing import Any

OUT = Path(__file__).resolve().parent.parent / "vsearch" / "embed" / "clip" / "listed.json"
KEPT = ("mean", "std", "interpolation", "resize_mode", "quick_gelu")


def listed() -> dict[str, dict[str, Any]]:
    """Model and tag → repository of the hub, weights file in it, preprocessing, activation.

    The usual file is an empty name.
    """
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        import open_clip

    found: dict[str, dict[str, Any]] = {}
    for model, tag in open_clip.list_pretrained():
        told = open_clip.get_pretrained_cfg(model, tag)
        if told.get("hf_hub"):
            repo, _, file = told["hf_hub"].rpartition("/")
            settings = {key: told[key] for key in KEPT if key in told}
            found.setdefault(model, {})[tag] = {"repo": repo, "file": file, **settings}
    return found


def main() -> None:
    """Write the file."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, default=OUT, metavar="FILE", help="where it goes")
    out: Path = parser.parse_args().out
    lines = ",\n".join(
        f" {json.dumps(model)}: {json.dumps(tags, sort_keys=True)}" for model, tags in sorted(listed().items())
    )
    out.write_text(f"{{\n{lines}\n}}\n", encoding="utf-8")
    print(f"{out}: {len(listed())} models")


if __name__ == "__main__":
    main()
