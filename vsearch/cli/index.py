"""``vsearch index``."""

from __future__ import annotations

import os
import sys
from contextlib import AbstractContextManager, nullcontext, suppress
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from vsearch.cli.console import emit, say
from vsearch.cli.locate import find_index, index_for
from vsearch.cli.output import json_option
from vsearch.cli.progress import progress
from vsearch.cli.run import Exit
from vsearch.cli.units import Within
from vsearch.cli.walk_options import walk_options
from vsearch.errors import IndexExists

if TYPE_CHECKING:
    from collections.abc import Mapping

    from vsearch.decode import Limits
    from vsearch.distributed import Cluster, Devices
    from vsearch.index import Index
    from vsearch.sources import Source
    from vsearch.types import AddReport

MOST_SUFFIXES = 6
LONG = 10.0  # seconds from which on one wants to know where they went


@click.command()
@click.argument("paths", metavar="[PATH]...", nargs=-1)
@click.option(
    "--index",
    "index_path",
    metavar="INDEX",
    help="Default: $VSEARCH_INDEX, else ./photos.vsearch for ./photos, and ./images.vsearch for single files.",
)
@click.option(
    "--encoder",
    metavar="NAME",
    help="What turns pictures into vectors; see vsearch models. Without PATH: change an index to this one.",
)
@click.option("--files-from", metavar="FILE", help="A list of pictures, one a line or NUL-separated; - reads it in.")
@click.option("--path-column", metavar="NAME", default="filepath", help="Column of paths in CSV and TSV tables.")
@click.option("--caption-column", metavar="NAME", default="title", help="Column of captions in them; '' for none.")
@walk_options
@click.option(
    "--archives/--no-archives",
    default=None,
    help="Inside folders, also open tar and zip files; those named are opened anyway.",
)
@click.option(
    "--frames",
    metavar="S",
    type=Within(0),
    help="Also frames of videos, GIFs and WebPs, one each S seconds; 0 for none. Videos that are named: 10 anyway.",
)
@click.option("--raw/--no-raw", default=None, help="Inside folders, also RAW files of cameras.")
@click.option("--retry-failed", is_flag=True, help="Read files again that failed before.")
@click.option("--prune", is_flag=True, help="Forget pictures that are gone, not only leave them out.")
@click.option(
    "--yes",
    is_flag=True,
    help="Go on though more than a tenth of the pictures is gone.",
)
@click.option("--max-pixels", metavar="N", type=click.IntRange(1), help="Largest picture, width x height.")
@click.option("--max-bytes", metavar="N", type=click.IntRange(1), help="Largest file.")
@click.option("--decode-seconds", metavar="S", type=Within(0, min_open=True), help="Longest time to decode one file.")
@click.option("--workers", metavar="N", type=click.IntRange(1, 1024), help="Decoding processes. Default: one per core.")
@click.option("--ray", metavar="ADDRESS", help="Decode and embed on a Ray cluster; local starts one on this machine.")
@click.option(
    "--device",
    metavar="LIST",
    help="A process for each of these, as cuda:0,cuda:1; all is every GPU. Default: one process, on a GPU if any.",
)
@click.option(
    "--compile",
    "compiled",
    is_flag=True,
    help="torch.compile the encoder, where that is faster: a minute or more to begin with, for long runs.",
)
@click.option("--no-build", is_flag=True, help="Leave the FAISS index as it is, also when searching has become slow.")
@json_option
def index(paths: tuple[str, ...], index_path: str | None, encoder: str | None, as_json: bool, **options: Any) -> int:
    """Make or update an index of the pictures in folders, files, archives, or CSV and TSV tables.

    Run it again after changes: only what is new or changed is read. Interrupted, it goes on from there. Your
    pictures are never written, renamed or deleted. Each folder keeps the options that it was indexed with, --raw as an
    example, until others are given (see vsearch roots).

    With --encoder and no PATH, an index that exists is embedded anew with that encoder, while the old one answers; it
    changes over when all is done (see vsearch spaces).
    """
    changes = encoder is not None and not paths and options["files_from"] is None
    _check_together(options, changes)
    if changes and encoder is not None:
        return _change_encoder(find_index(index_path), encoder, options)
    place = index_for(index_path, paths)
    source = _source(paths, place, options)
    limits = _limits(options)
    cluster_of = _cluster(options["ray"], options["device"])
    with _open(place, encoder, options["compiled"]) as opened, cluster_of as cluster, progress() as shower:
        try:
            report = opened.add(
                source,
                limits=limits,
                progress=shower,
                cluster=cluster,
                **{name: options[name] for name in ("workers", "retry_failed", "prune", "yes")},
            )
        except KeyboardInterrupt:
            kept = len(opened)
            say(f"interrupted; {kept:,} pictures are in {place} and stay there. Type the same again to go on.")
            return Exit.INTERRUPTED
        if not options["no_build"]:
            catch_up(opened)
    for warning in report.warnings:
        say(warning)
    if report.added and report.seconds >= LONG:
        say(_bound(report))
    emit(json_report(report, place) if as_json else summary(report, place))
    if report.passed_by:
        say(passed_by(report))
    if report.left_out:
        say(left_out(report.left_out))
    return _verdict(report, place)


def _check_together(options: dict[str, Any], changes: bool) -> None:
    """Raise UsageError for options that do not go together.  changes: an index is to be embedded anew."""
    if options["yes"] and not options["prune"] and not changes:
        raise click.UsageError("--yes confirms --prune and means nothing without it.")
    if options["ray"] and (changes or options["workers"]):
        raise click.UsageError("--ray is for indexing folders, with as many workers as the cluster has room for.")
    if options["compiled"] and (options["ray"] or options["device"]):
        raise click.UsageError("--compile is for indexing in this process, without --ray and --device.")
    if options["device"] and (changes or options["workers"] or options["ray"]):
        raise click.UsageError("--device is for indexing folders on this machine; its processes share the cores.")


def _cluster(address: str | None, devices: str | None) -> AbstractContextManager[Cluster | Devices | None]:
    if devices is not None:
        from vsearch.distributed import Devices

        return nullcontext(Devices.named(devices))
    if address is None:
        return nullcontext()
    from vsearch.distributed import connect

    return connect(address)


def _change_encoder(place: Path, encoder: str, options: dict[str, Any]) -> int:
    """Embed what the index holds with another encoder, and change over."""
    from vsearch.cli.spaces import tell
    from vsearch.embed import load_encoder, resolve
    from vsearch.index import open_index

    name, why = resolve(encoder)
    say(why)
    with open_index(place, write=True, on_notice=say) as opened, progress() as shower:
        say(f"embedding {len(opened):,} pictures anew; {opened.encoder_info.name} answers until that is done")
        try:
            report = opened.change_encoder(
                load_encoder(name, compiled=options["compiled"]),
                limits=_limits(options),
                workers=options["workers"],
                yes=options["yes"],
                progress=shower,
            )
        except KeyboardInterrupt:
            say("interrupted; what is embedded stays, and the old encoder answers. Type the same again to go on.")
            return Exit.INTERRUPTED
        if not options["no_build"]:
            catch_up(opened)
    return tell(report)


def catch_up(opened: Index) -> None:
    """Build or extend the FAISS index when searching without has become slow; searching goes on meanwhile."""
    try:
        report = opened.catch_up()
    except KeyboardInterrupt:
        say("interrupted while building the FAISS index; pictures are searched without it. Build it: vsearch build")
        return
    if report is not None and "count" in report:
        say(f"{report['recipe']} index over {report['count']:,} pictures, {report['seconds']:.0f} s")


def _source(paths: tuple[str, ...], place: Path, options: dict[str, Any]) -> Source:
    from vsearch import sources

    columns = {"path_column": options["path_column"], "caption_column": options["caption_column"]}
    walk = {name: options[name] for name in ("follow_links", "hidden", "archives", "raw", "exclude")} | {
        "every": options["frames"]
    }
    found: list[Source] = [
        sources.missing(path) if _is_known_to_be_gone(path, place) else sources.source_for(path, **columns, **walk)
        for path in paths
    ]
    listed = options["files_from"]
    if listed is not None:
        found.append(sources.listing(sys.stdin.buffer if listed == "-" else listed))
    if not found:
        raise click.UsageError("Nothing to index: name a folder, as in vsearch index ./photos, or --files-from FILE.")
    return sources.chain(*found)


def _is_known_to_be_gone(path: str, place: Path) -> bool:
    """Whether nothing is at a path that the index knows, as a root or as a folder of pictures."""
    if os.path.lexists(path) or not os.path.lexists(place):
        return False
    from vsearch.index import open_index

    with open_index(place) as index:
        return index.knows(path)


def _limits(options: dict[str, Any]) -> Limits:
    from dataclasses import replace

    from vsearch.decode import Limits

    pixels = options["max_pixels"]
    told = {
        "max_pixels": pixels,
        "max_pixels_jpeg": pixels,
        "max_bytes": options["max_bytes"],
        "seconds": options["decode_seconds"],
    }
    return replace(Limits(), **{name: value for name, value in told.items() if value is not None})


def _open(place: Path, encoder: str | None, compiled: bool) -> Index:
    """Open the index for writing, or make it.  An encoder named for an index that exists must be its own."""
    opened = None
    if not os.path.lexists(place):
        with suppress(IndexExists):  # another process has made it meanwhile
            opened = _create(place, encoder or "auto", compiled)
    if opened is None:
        opened = _open_existing(place, encoder, compiled)
    if compiled:
        say(f"precision: {getattr(opened.encoder, 'precision', '')}")
    return opened


def _create(place: Path, encoder: str, compiled: bool) -> Index:
    from vsearch.embed import load_encoder, resolve
    from vsearch.index import create

    if not compiled:
        return create(place, encoder, on_notice=say)
    name, why = resolve(encoder)
    say(why)
    return create(place, load_encoder(name, compiled=True), on_notice=say)


def _open_existing(place: Path, encoder: str | None, compiled: bool) -> Index:
    from vsearch.embed import load_encoder, load_pinned
    from vsearch.index import open_index

    pinned = load_encoder(encoder) if encoder not in (None, "auto") else None
    opened = open_index(place, write=True, encoder=pinned, on_notice=say)
    if compiled:
        try:
            opened.use_encoder(load_pinned(opened.encoder_info, place.name, compiled=True))
        except BaseException:
            opened.close()
            raise
    return opened


def json_report(report: AddReport, place: Path) -> bytes:
    """A report as a line of JSON."""
    from vsearch.present import json_line, path_fields

    told = asdict(report)
    counts = {name: told[name] for name in ("added", "changed", "unchanged", "moved", "removed")}
    return json_line(
        {
            **counts,
            "failed": report.failed,
            "left_out": report.left_out,
            "known_failures": report.known_failures,
            "seconds": round(report.seconds, 3),
            "images_per_second": round(report.images_per_second, 2),
            "stages": {stage: round(seconds, 3) for stage, seconds in report.stages.items()},
            "index": path_fields(os.fsencode(place))["path"],
            "warnings": list(report.warnings),
            "passed_by": report.passed_by,
        }
    ).encode("utf-8")


def summary(report: AddReport, place: Path) -> str:
    """A report in words."""
    from vsearch.present import printable

    names = ("added", "changed", "unchanged", "moved", "removed", "failed")
    counts = [(name, getattr(report, name)) for name in names]
    told = ", ".join(f"{count:,} {name}" for name, count in counts if count or name == "added")
    rate = f" ({report.images_per_second:.0f}/s)" if report.added else ""
    return f"{told} in {report.seconds:.1f} s{rate} → {printable(str(place))}\n"


def passed_by(report: AddReport) -> str:
    """The files that were not looked at, by suffix, in words."""
    counts = list(report.passed_by.items())
    told = [f"{count:,} {ending or 'without a suffix'}" for ending, count in counts[:MOST_SUFFIXES]]
    if rest := sum(count for _, count in counts[MOST_SUFFIXES:]):
        told.append(f"{rest:,} of other kinds")
    return "passed by, as their names are not those of pictures: " + ", ".join(told)


def left_out(counts: Mapping[str, int]) -> str:
    """What was passed by, and the options that take it in: ``left out: 6 RAW files, 2 videos; --raw, --frames 10``."""
    from vsearch.sources.left_out import OPTIONS

    kinds = [kind for kind in OPTIONS if counts.get(kind)]
    amounts = (f"{counts[kind]:,} {kind[:-1] if counts[kind] == 1 else kind}" for kind in kinds)
    return f"left out: {', '.join(amounts)}; {', '.join(OPTIONS[kind] for kind in kinds)}"


def _bound(report: AddReport) -> str:
    """Which stages took the time."""
    told = {"embed": "embedding", "decode": "waiting for decoders", "store": "writing", "scan": "looking for changes"}
    shares = {told[stage]: seconds / report.seconds for stage, seconds in report.stages.items()}
    most = sorted(shares.items(), key=lambda item: -item[1])
    return "time went to " + ", ".join(f"{stage} {share:.0%}" for stage, share in most if share >= 0.01)


def _verdict(report: AddReport, place: Path) -> int:
    look = f"see why with: vsearch errors {place}"
    if report.failed:
        say(f"{_files(report.failed)} failed; {look}")
        return Exit.SOME_FAILED
    if report.known_failures:
        say(f"{_files(report.known_failures)} failed before, not read again without --retry-failed; {look}")
    return Exit.DONE


def _files(count: int) -> str:
    return f"{count:,} file{'s' if count != 1 else ''}"
