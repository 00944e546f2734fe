"""Compare a model's folder with its card: every file, the images, and each figure to the digit that the card states."""

import argparse
import json
import sys
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

from fakeprint.commands.models_used import add_device, require_device
from fakeprint.errors import InputError, first_few, printable
from fakeprint.named_models import SHIPPED
from fakeprint.overrides import parsed_override
from fakeprint.params import suggestion
from fakeprint.verification.card import CARD, SOURCE_KEYS
from fakeprint.verification.checking import FiguresCheck, Given, Report, record, verify
from fakeprint.verification.figures import FigureCheck

UNREADABLE_SHOWN = 5  # lines; --json has all


def add_parser(subparsers: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """Add the subcommand and its options."""
    parser = subparsers.add_parser("verify", help="compare a model's folder with its card", description=__doc__)
    parser.add_argument(
        "folder",
        metavar="MODEL_FOLDER",
        help="a folder with card.json, for example models/champion; or the name of a model that comes with Fakeprint",
    )
    parser.add_argument(
        "--data",
        type=Path,
        metavar="PATH",
        help="images to measure the figures on: a folder, .zip or .tar, in any layout of docs/data.md "
        "(default: data/arrays, if the folder is models/NAME of a repository)",
    )
    parser.add_argument(
        "-S",
        dest="changes",
        action="append",
        default=[],
        metavar="KEY=VALUE",
        help="how --data is read, where it differs from the card: data.layout=folders, for example; may be repeated",
    )
    parser.add_argument(
        "--verdicts",
        type=Path,
        metavar="CSV",
        help="verdicts on labels of --data: the file that validate.verdicts named when the model was trained",
    )
    add_device(parser)
    parser.add_argument("--json", action="store_true", help="print JSON instead of lines")
    parser.add_argument("--record", action="store_true", help="write the card anew instead of comparing with it")
    parser.add_argument(
        "--degraded",
        type=Path,
        metavar="CSV",
        help="with --record: the accuracy on degraded images, from a table such as metrics/robustness.csv",
    )
    parser.add_argument(
        "--confidence",
        type=float,
        default=0.95,
        metavar="SHARE",
        help="of the table's intervals: compare.confidence of the run that wrote it (default: %(default)s)",
    )
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> None:
    """Print what matches and what differs. Exits with code 1 if anything differs.

    Raises:
        InputError: there is no card, or an argument cannot be used.
    """
    require_device(args.device)
    changes = dict(_change(each) for each in args.changes)
    if changes and args.data is None:
        raise InputError("-S says how --data is read; add --data PATH, or leave it out")
    if args.verdicts is not None and args.data is None:
        raise InputError("--verdicts are on labels of --data; add --data PATH, or leave it out")
    if args.verdicts is not None and not args.verdicts.is_file():
        raise InputError(f"--verdicts: {args.verdicts} is not a file")
    if args.degraded is not None and not args.record:
        raise InputError("--degraded is written into the card; add --record, or leave it out")
    if not 0 < args.confidence < 1:
        raise InputError(f"--confidence should be above 0 and below 1, not {args.confidence:g}")
    degraded = (args.degraded, args.confidence) if args.degraded else None
    folder, given = _folder(args.folder), Given(args.data, changes, args.device, None, degraded, args.verdicts)
    if args.record:
        card, figures = record(folder, given)
        print(f"{printable(str(folder / CARD))}: {len(card.files)} files; figures {figures}")
        return
    report = verify(folder, given)
    if args.json:
        print(json.dumps(report.as_json(), indent=2, ensure_ascii=not sys.stdout.encoding.lower().startswith("utf")))
    else:
        for line in lines(report):
            print(printable(line))
    if not report.matches:
        sys.exit(1)


def _folder(named: str) -> Path:
    """The folder, or else the shipped model of that name."""
    shipped = sorted(file.parent.name for file in SHIPPED.glob("*/champion.json"))
    if Path(named).exists():
        return Path(named)
    if named in shipped:
        return SHIPPED / named
    raise InputError(f"{named} does not exist, nor is it a model that comes with Fakeprint{suggestion(named, shipped)}")


def _change(change: str) -> tuple[str, Any]:
    override = parsed_override(change)
    key = override.key
    if override.kind == "delete" or key not in SOURCE_KEYS:
        raise InputError(
            f"-S {change}: give one of the keys that say which images are read{suggestion(key, SOURCE_KEYS)}"
        )
    return key, override.value


def lines(report: Report) -> Iterator[str]:
    """The report, a line for each file, set of images and figure; the verdict is the last."""
    yield f"{report.model}, {report.folder}"
    yield from _columns([(file.status, file.name, file.detail) for file in report.files])
    for part in report.parts:
        yield f"{part.on}"
        yield from _columns(_rows(part))
    for what in report.not_checked:
        yield f"not checked: {what}"
    yield _verdict(report)


def _rows(part: FiguresCheck) -> Iterator[tuple[str, str, str]]:
    for name, reason in part.unreadable[:UNREADABLE_SHOWN]:
        yield "unreadable", name, reason
    if len(part.unreadable) > UNREADABLE_SHOWN:
        yield "unreadable", f"… {len(part.unreadable)} in all", ""
    yield "match" if part.same_images else "differs", "images", part.images
    if part.not_measured is not None:
        yield "differs", "figures", f"not measured: {part.not_measured}"
    for each in part.figures:
        yield each.status, each.name, _figure(each)
    if part.note:
        yield "note", "figures", part.note


def _figure(check: FigureCheck) -> str:
    recorded = f"{check.recorded:.{check.digits}f}"
    if check.measured is None:
        return f"not defined on these images, the card says {recorded}"
    if check.status == "match":
        return recorded
    more = max(check.digits, 1) + 1  # a digit more, so that what differs is visible
    return f"{check.measured:.{more}f}, the card says {recorded}: {check.difference:+.{more}f}"


def _columns(rows: Iterable[tuple[str, str, str]]) -> Iterator[str]:
    rows = list(rows)
    widths = [max((len(row[column]) for row in rows), default=0) for column in (0, 1)]
    for status, name, detail in rows:
        yield f"  {status:{widths[0]}}  {name:{widths[1]}}  {detail}".rstrip()


def _verdict(report: Report) -> str:
    if report.matches:
        return "match"
    different = [file.name for file in report.files if file.status != "match"]
    reasons = [f"{len(different)} of {len(report.files)} files ({first_few(different, 3)})"] if different else []
    for part in report.parts:
        figures = [each.name for each in part.figures if each.status != "match"]
        if part.not_measured is not None:
            reasons.append(f"no figures on {part.on}" if part.on != "figures" else "no figures")
        elif figures:
            reasons.append(f"{len(figures)} of {len(part.figures)} figures ({first_few(figures, 3)})")
    return f"differs: {', '.join(reasons)}"
