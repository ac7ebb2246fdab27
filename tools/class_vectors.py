"""Write the vectors of class names and colours that the package keeps (vsearch/embed/classvectors.py).

Needed when the class names, the palette of colours or the weights of MiniLM change: a test says so.
"""

from __future__ import annotations

import argparse
from pathlib import Path

from vsearch.embed.classvectors import KEPT, keep
from vsearch.embed.mini import Mini


def main() -> None:
    """Write them as asked."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, default=KEPT, help="the file to write (default: the package's)")
    out = parser.parse_args().out
    keep(Mini().encode_texts, out)
    print(f"{out}: {out.stat().st_size:,} bytes")


if __name__ == "__main__":
    main()
