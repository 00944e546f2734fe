"""Show what image files declare about how they were made: signatures, labels, prompts, watermarks."""

import argparse
import csv
import sys
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rich import box
from rich.console import Console
from rich.table import Table
from rich.text import Text

from fakeprint.commands.predict import add_trust, image_files, json_printer, require_writable
from fakeprint.data.decode import Unreadable
from fakeprint.errors import InputError, printable
from fakeprint.files import written

if TYPE_CHECKING:
    from fakeprint.evidence.inspection import Inspection

INSTALL = "`pip install 'fakeprint[evidence]'`"
NOTHING = "nothing found that says how the image was made"
CSV_COLUMNS = ["image", "kind", "strength", "claim", "detail"]

Evidence = dict[str, Any]  # nothing_found, findings, not_checked
Writer = Callable[[Path, Evidence], None]


def add_parser(subparsers: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """Add the subcommand and its options."""
    parser = subparsers.add_parser(
        "inspect", help="show what image files declare about their origin", description=__doc__
    )
    parser.add_argument("images", nargs="+", type=Path, metavar="IMAGE", help="an image file, or a folder of them")
    form = parser.add_mutually_exclusive_group()
    form.add_argument("--json", action="store_true", help="print JSON instead of a table")
    form.add_argument(
        "--csv", type=Path, metavar="FILE", help=f"write a CSV file instead of a table: {', '.join(CSV_COLUMNS)}"
    )
    add_trust(parser)
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> None:
    """Print or write what each file declares. Exits with code 1 after the last if any file could not be read.

    Raises:
        InputError: a path does not exist, there are no images, or the CSV file or the trust list is unusable. It is
            raised before the first image is read.
    """
    if args.csv is not None:
        require_writable(args.csv)
    files = image_files(args.images)
    inspection = inspection_of(args.trust)
    unreadable = False
    with _writer(args) as write:
        for path, reason in files:
            try:
                if reason is not None:
                    raise Unreadable(reason)
                write(path, inspection.of_file(path).as_json())
            except Unreadable as error:
                print(f"{printable(str(path))}: {error.reason}", file=sys.stderr)
                unreadable = True
    if unreadable:
        sys.exit(1)


def inspection_of(trust: Path | None) -> "Inspection":
    """The checks with a trust list. What is not installed is named in one line on stderr.

    Raises:
        InputError: the trust list is unusable.
    """
    from fakeprint.evidence.content_credentials import read_trust_list
    from fakeprint.evidence.inspection import Inspection, missing_packages

    missing = missing_packages()
    if trust is not None and "c2pa-python" in missing:
        raise InputError(f"--trust needs the package c2pa-python: {INSTALL}")
    trusted = None if trust is None else read_trust_list(trust)
    if missing:
        print(f"{' and '.join(missing)} not installed, so some checks are left out: {INSTALL}", file=sys.stderr)
    return Inspection(trusted)


def _writer(args: argparse.Namespace) -> AbstractContextManager[Writer]:
    if args.csv:
        return _csv_writer(args.csv)
    return _json_writer() if args.json else _table_writer()


@contextmanager
def _json_writer() -> Iterator[Writer]:
    from fakeprint.evidence.findings import NEVER_CHECKED

    with json_printer({"never_checked": list(NEVER_CHECKED)}) as write:
        yield lambda path, evidence: write([{"image": str(path), **evidence}])


@contextmanager
def _csv_writer(file: Path) -> Iterator[Writer]:
    """Write a line per finding, and one if nothing was found, without a kind; then what was not checked."""
    with written(file) as partial, partial.open("w", encoding="utf-8", errors="surrogateescape", newline="") as stream:
        lines = csv.writer(stream, lineterminator="\n")
        lines.writerow(CSV_COLUMNS)

        def write(path: Path, evidence: Evidence) -> None:
            if evidence["nothing_found"]:
                lines.writerow([str(path), "", "", NOTHING, ""])
            for each in evidence["findings"]:
                details = "; ".join(f"{key}: {value}" for key, value in each["detail"].items())
                lines.writerow([str(path), each["kind"], each["strength"], each["claim"], details])
            for what in evidence["not_checked"]:
                lines.writerow([str(path), "not_checked", "", what, ""])

        yield write


@contextmanager
def _table_writer() -> Iterator[Writer]:
    """Print a table per image, and at the end what no file can be checked for."""
    console = Console()
    inspected = 0

    def write(path: Path, evidence: Evidence) -> None:
        nonlocal inspected
        inspected += 1
        console.print(evidence_table(str(path), evidence))

    try:
        yield write
    finally:
        if inspected:
            console.print(never_checked())


def evidence_table(image: str, evidence: Evidence) -> Table:
    """The findings of one image, with its name above them."""
    table = Table(title=Text(printable(image)), title_justify="left", box=box.SIMPLE_HEAD, show_header=False)
    table.add_column(no_wrap=True)
    table.add_column(overflow="fold")
    if evidence["nothing_found"]:
        table.add_row("", Text(NOTHING))
    for each in evidence["findings"]:
        table.add_row(each["strength"].replace("_", ", "), Text(printable(each["claim"])))
    for what in evidence["not_checked"]:
        table.add_row("not checked", Text(printable(what)))
    return table


def never_checked() -> Text:
    """What no file can be checked for here."""
    from fakeprint.evidence.findings import NEVER_CHECKED

    return Text(f"Never checked: {'; '.join(NEVER_CHECKED)}.")


def in_one_line(evidence: Evidence) -> str:
    """The findings of one image, and what was not checked, as `strength: claim; …`."""
    found = [f"{each['strength']}: {each['claim']}" for each in evidence["findings"]]
    left_out = [f"not checked: {what}" for what in evidence["not_checked"]]
    return "; ".join([*([NOTHING] if evidence["nothing_found"] else []), *found, *left_out])


def evidence_of(inspection: "Inspection", path: Path) -> Evidence:
    """What a file declares; one that cannot be read any more, or is too large, was not checked."""
    from fakeprint.evidence.findings import Report

    try:
        return inspection.of_file(path).as_json()
    except Unreadable as error:
        return Report(not_checked=[f"the file: {error.reason}"]).as_json()
