"""``vsearch train-reranker``."""

from __future__ import annotations

import time

import click

from vsearch.cli.console import emit, say
from vsearch.cli.locate import encoder_option, find_index, index_option
from vsearch.cli.run import Exit


@click.command("train-reranker")
@click.argument("pairs", metavar="PAIRS")
@click.option("--out", metavar="FOLDER", required=True, help="Where the re-ranker goes.")
@click.option("--encoder", metavar="NAME", default="mini", show_default=True, help="Whose patches and tokens it reads.")
@click.option(
    "--epochs", type=click.IntRange(1), help="Passes over the captions. Default: 40,000 captions, twice at least."
)
@click.option("--seed", type=click.IntRange(0), default=0, show_default=True)
def train_reranker(pairs: str, out: str, encoder: str, epochs: int | None, seed: int) -> None:
    """Train a re-ranker on pairs of pictures and captions, for vsearch query --rerank FOLDER.

    PAIRS is a table or a folder, as for vsearch eval retrieval. Captions of other pictures that read almost alike are
    what it learns to tell apart, so there should be some.
    """
    from vsearch.evaluate import read_pairs
    from vsearch.rerank import MatchTraining, fit_reranker, save_matcher
    from vsearch.sources import source_for

    read = read_pairs(source_for(pairs))
    say(f"reading {len(read.paths):,} pictures with {len(read.captions):,} captions")
    started = time.monotonic()

    epochs = MatchTraining(epochs=epochs).passes(len(read.captions))

    def tell(epoch: int, loss: float) -> None:
        say(f"epoch {epoch} of {epochs}: loss {loss:.4f}, {time.monotonic() - started:.0f} s")

    reranker = fit_reranker(read, encoder, MatchTraining(epochs=epochs, seed=seed), tell)
    save_matcher(reranker.model, out)
    emit(f"trained on {len(read.paths):,} pictures in {time.monotonic() - started:.1f} s → {out}\n")


@click.command("store-patches")
@click.argument("folder", metavar="FOLDER")
@click.option("--drop", is_flag=True, help="Remove them again.")
@index_option
@encoder_option
def store_patches(folder: str, drop: bool, index_path: str | None) -> int:
    """Keep with the index what the re-ranker in FOLDER sees of each picture, so that --rerank reads no pictures.

    That takes 30 kB a picture for mini. Type it again after pictures were added; what is there is taken over.
    """
    place = find_index(index_path)
    from vsearch import rerank
    from vsearch.index import open_index

    towers = rerank.Reranker.load(folder).towers
    with open_index(place, on_notice=say, write=True) as index:
        if drop:
            rerank.drop_patches(index.store, towers)
            return Exit.DONE
        count, failures = rerank.store_patches(
            index.store, towers, lambda done, of: say(f"{done:,} of {of:,} pictures")
        )
    emit(f"patches of {count:,} pictures are kept with {place}\n")
    if failures:
        say(f"{len(failures):,} pictures could not be read: {failures[0].reason}")
    return Exit.SOME_FAILED if failures else Exit.DONE
