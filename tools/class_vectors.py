"""Write the vectors of class names and colours that the package keeps (vsearch/embed/classvectors.py)."""

from __future__ import annotations

from vsearch.embed.classvectors import KEPT, keep
from vsearch.embed.mini import Mini

if __name__ == "__main__":
    keep(Mini().encode_texts)
    print(f"{KEPT}: {KEPT.stat().st_size:,} bytes")
