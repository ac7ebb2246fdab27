"""rclip: index a folder of pictures with its own pipeline, in its own environment.

run_rclip.py FOLDER DATABASE VECTORS.npy     prints {"images": N, "seconds": S}

The model is that in $RCLIP_DATADIR; it is loaded, and warm, before the clock starts.
"""

from __future__ import annotations

import json
import sys
import time
from pathlib import Path

import numpy as np
from rclip.db import DB
from rclip.main import RClip
from rclip.model import Model

BATCH = 8  # rclip's default


def main() -> None:
    """Run from the command line."""
    folder, database, vectors = sys.argv[1:]
    model = Model()
    model.compute_preprocessed_image_features([np.zeros((3, 256, 256), np.float32)] * BATCH, for_indexing=True)
    db = DB(Path(database))
    rclip = RClip(model, db, BATCH, None)
    began = time.perf_counter()
    rclip.ensure_index(folder)
    seconds = time.perf_counter() - began
    rows = {
        row["filepath"]: np.frombuffer(row["vector"], np.float32) for row in db.get_image_vectors_by_dir_path(folder)
    }
    np.save(vectors, np.stack([rows[path] for path in sorted(rows)]))
    print(json.dumps({"images": len(rows), "seconds": seconds}))


if __name__ == "__main__":
    main()
