"""What is left of a run for people: its figures as JSON, a plot, and TensorBoard's scalars when that is installed."""

from __future__ import annotations

import json
from collections.abc import Callable
from importlib.util import find_spec
from io import BytesIO
from pathlib import Path
from typing import TYPE_CHECKING, Any

from vsearch import files

if TYPE_CHECKING:
    from vsearch.train.loop import Moment

HISTORY, PLOT, BOARD = "history.json", "history.svg", "tensorboard"
History = list[dict[str, float]]


def write_history(out: Path, history: History) -> None:
    """Write ``history.json``, and ``history.svg`` where matplotlib is installed."""
    raw = json.dumps(history, indent=1).encode() + b"\n"
    files.publish(out / HISTORY, lambda sink: sink.put(raw))
    if find_spec("matplotlib") is not None:
        drawn = plot(history)
        files.publish(out / PLOT, lambda sink: sink.put(drawn))


def plot(history: History) -> bytes:
    """Loss, and recall on the validation pairs, over the steps, as SVG."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(7, 3.2), layout="constrained")
    left, right = figure.subplots(1, 2)
    steps = [entry["step"] for entry in history]
    left.plot(steps[1:], [entry["loss"] for entry in history[1:]], marker=".")
    left.set(xlabel="step", ylabel="loss", title="loss of the batch")
    for name in ("image_retrieval_recall@1", "image_retrieval_recall@10", "text_retrieval_recall@10"):
        right.plot(steps, [entry[name] for entry in history], marker=".", label=name)
    right.set(xlabel="step", ylim=(0, 1), title="recall on the validation pairs")
    right.legend(fontsize="small")
    out = BytesIO()
    figure.savefig(out, format="svg", metadata={"Date": None})
    return out.getvalue()


def board(out: Path) -> Callable[[Moment], None]:
    """What writes each moment as scalars; does nothing where TensorBoard is not installed."""
    if find_spec("tensorboard") is None:
        return lambda _: None
    from torch.utils.tensorboard import SummaryWriter

    writer: Any = SummaryWriter(str(out / BOARD))

    def write(now: Moment) -> None:
        writer.add_scalar("loss", now.loss, now.step)
        writer.add_scalar("pairs_per_second", now.pairs_per_second, now.step)
        for name, value in (now.figures or {}).items():
            writer.add_scalar(name.replace("@", "_at_"), value, now.step)
        if now.figures is not None:
            writer.flush()

    return write
