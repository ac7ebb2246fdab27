"""``python -m vsearch``: the command, whatever else on this machine is called ``vsearch``."""

from __future__ import annotations

import sys

from vsearch.cli import main

if __name__ == "__main__":
    sys.exit(main())
