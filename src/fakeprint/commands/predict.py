"""Predict the class of image files, with probabilities."""

import argparse
import csv
import itertools
import json
import os
import sys
from collections.abc import Callable, Iterable, Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from rich import box
from rich.console import Console
from rich.table import Table
from rich.text import Text

from fakeprint.commands.models_used import add_device, add_models_folder, require_device
from fakeprint.data.arrays import Dataset
from fakeprint.data.containers.folders import walk
from fakeprint.data.containers.members import hidden
from fakeprint.data.decode import EXTENSIONS
from fakeprint.errors import InputError, first_few, printable
from fakeprint.files import written
from fakeprint.named_models import model_folder, test_time_augmentation, variants_of

if TYPE_CHECKING:
    from fakeprint.predict import LoadedModel
    from fakeprint.verdict.decision import Decision

COLUMNS = 6  # with more classes than this the table shows the two most probable ones only

# image, answer, class, name, score, set, reason, probabilities (class → number); with --evidence, evidence; with --map,
# map
Prediction = dict[str, Any]
Writer = Callable[[list[Prediction]], None]


def add_parser(subparsers: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """Add the subcommand and its options."""
    parser = subparsers.add_parser("predict", help="predict the class of image files", description=__doc__)
    parser.add_argument("images", nargs="+", type=Path, metavar="IMAGE", help="an image file, or a folder of them")
    parser.add_argument(
        "--model",
        metavar="NAME",
        help="name of a folder in models/ or of a model that comes with Fakeprint (default: the champion)",
    )
    parser.add_argument("--evidence", action="store_true", help="also show what each file declares, as inspect does")
    add_trust(parser)
    parser.add_argument(
        "--map",
        type=Path,
        metavar="FOLDER",
        help="write a picture per image: the answer of the crops at each place (models of prepare.resize: native)",
    )
    form = parser.add_mutually_exclusive_group()
    form.add_argument("--json", action="store_true", help="print JSON instead of a table")
    form.add_argument(
        "--csv",
        type=Path,
        metavar="FILE",
        help="write a CSV file instead of a table, with the answer, its reason and all probabilities",
    )
    add_device(parser)
    add_models_folder(parser)
    parser.set_defaults(run=run)


def add_trust(parser: argparse.ArgumentParser) -> None:
    """Add the option that says whose C2PA signatures are trusted."""
    parser.add_argument(
        "--trust", type=Path, metavar="FILE", help="root certificates (PEM) that vouch for signers of C2PA manifests"
    )


def run(args: argparse.Namespace) -> None:
    """Print or write the predictions as they come. Exits with code 1 after the last if any file could not be read.

    Raises:
        InputError: a path does not exist, there are no images, the model is unknown, there is no champion or no such
            device, or the CSV file cannot be written. It is raised before the first image is read.
    """
    require_device(args.device)
    if args.trust is not None and not args.evidence:
        raise InputError("--trust is for --evidence; add that, or leave it out")
    if args.csv is not None:
        require_writable(args.csv)
    files = image_files(args.images)
    folder, data = model_folder(args.model, args.models_folder)
    evidence = _evidence(args)

    from fakeprint.predict import load_model, predict_files  # scikit-learn: not needed to refuse a wrong path
    from fakeprint.verdict.decision import load_decision

    decision = load_decision(folder)
    model = load_model(folder, tta=test_time_augmentation(folder), device=args.device)
    drawn, unreadable = _maps(args, model), 0
    with _writer(args, model.name, data, model.dataset, decision) as write:
        for group in predict_files(model, files, variants_of(decision)):
            answers = decision.answers(group.probabilities, model.dataset.names, group.variants)
            rows = zip(group.paths, answers, strict=True)
            write(
                [
                    {"image": str(path), **answer.as_json(model.dataset.classes, model.dataset.names)}
                    | evidence(path)
                    | drawn(path, answer.probabilities)
                    for path, answer in rows
                ]
            )
            for path, reason in group.unreadable:
                print(f"{printable(str(path))}: {reason}", file=sys.stderr)
            unreadable += len(group.unreadable)
    if unreadable:
        sys.exit(1)


def _writer(
    args: argparse.Namespace, model: str, data: str | None, dataset: Dataset, decision: "Decision"
) -> AbstractContextManager[Writer]:
    if args.csv:
        return _csv_writer(args.csv, dataset, args.evidence)
    certificate = decision.certificate.line if decision.certificate else None
    if not args.json:
        title = [f"{model}, trained on: {data}" if data else model, *([certificate] if certificate else [])]
        return _table_printer("\n".join(title), dataset, args.evidence, decision.may_decline)
    head = {"model": model, "data": data, "certificate": certificate}
    return json_printer(head | _never_checked(args.evidence))


def _never_checked(has_evidence: bool) -> dict[str, list[str]]:
    if not has_evidence:
        return {}
    from fakeprint.evidence.findings import NEVER_CHECKED

    return {"never_checked": list(NEVER_CHECKED)}


def _evidence(args: argparse.Namespace) -> Callable[[Path], dict[str, Any]]:
    """What a prediction has besides: with --evidence what the file declares, which changes no probability."""
    if not args.evidence:
        return lambda path: {}
    from fakeprint.commands.inspect import evidence_of, inspection_of

    inspection = inspection_of(args.trust)
    return lambda path: {"evidence": evidence_of(inspection, path)}


def _maps(args: argparse.Namespace, model: "LoadedModel") -> Callable[[Path, np.ndarray], dict[str, Any]]:
    """What a prediction has besides: with --map the path of the picture, which is written then."""
    if args.map is None:
        return lambda path, probabilities: {}
    from fakeprint.crop_maps import map_writer

    write = map_writer(model, args.map)
    return lambda path, probabilities: {"map": str(write(path, probabilities))}


def require_writable(file: Path) -> None:
    """Refuse a CSV file that could not be written, before the work is done."""
    folder = next(parent for parent in file.absolute().parents if parent.exists())
    if file.is_dir():
        raise InputError(f"--csv: {file} is a folder; name a file")
    if file.exists() and not file.is_file():
        raise InputError(f"--csv: {file} is not a regular file; use --json to print the predictions")
    if not folder.is_dir():
        raise InputError(f"--csv: {folder} is a file, so {file} cannot be below it")
    if not os.access(folder, os.W_OK):
        raise InputError(f"--csv: no permission to write in {folder}")


def image_files(paths: Iterable[Path]) -> Iterator[tuple[Path, str | None]]:
    """The files that are named, and every image file below the folders that are, in order.

    A file that is found twice under one name is yielded once. Hidden files in folders are left out. With each path
    comes None, or the reason why it must not be read: it is a link to a folder, or a folder that cannot be listed.

    Raises:
        InputError: a path does not exist, or there are no images. It is raised by the call, not while iterating.
    """
    paths = list(paths)
    missing = [path for path in paths if not _exists(path)]
    if missing:
        raise InputError(f"no such file or folder: {first_few(missing)}")
    files = _below(paths)
    first = next(files, None)
    if first is None:
        raise InputError(f"no images in {first_few(paths)}; looked for {', '.join(sorted(EXTENSIONS))}")
    return itertools.chain([first], files)


def _below(paths: list[Path]) -> Iterator[tuple[Path, str | None]]:
    done: set[Path] = set()
    for path in paths:
        if path.is_dir():
            for name, reason in walk(path):
                file = path / name
                if (reason or _is_image(file)) and file not in done and done.isdisjoint(file.parents):
                    yield file, reason
        elif path not in done and not (_is_image(path) and _was_listed(path, done)):
            yield path, None
        done.add(path)


def _was_listed(file: Path, done: set[Path]) -> bool:
    """Whether a folder among `done` has yielded this file. It has not if the file is hidden there."""
    folders = [folder for folder in file.parents if folder in done]
    return any(not hidden(file.relative_to(folder).as_posix()) for folder in folders)


def _exists(path: Path) -> bool:
    try:
        path.stat()
    except (FileNotFoundError, NotADirectoryError):
        return False
    except OSError:  # no permission, or a link that leads to itself: reading it says so
        return True
    return True


def _is_image(file: Path) -> bool:
    return file.suffix.lower() in EXTENSIONS


@contextmanager
def _csv_writer(file: Path, dataset: Dataset, has_evidence: bool) -> Iterator[Writer]:
    """Write one line per image. The file appears when all are written. Names that are not UTF-8 keep their bytes."""
    from fakeprint.predict import columns

    with written(file) as partial, partial.open("w", encoding="utf-8", errors="surrogateescape", newline="") as stream:
        lines = csv.writer(stream, lineterminator="\n")
        label, name, *probabilities = columns(dataset)
        heading = ["image", "answer", label, name, *probabilities, "score", "set", "reason"]
        lines.writerow([*heading, *(["evidence"] if has_evidence else [])])

        def write(predictions: list[Prediction]) -> None:
            for each in predictions:
                row = [each["image"], each["answer"], each["class"], each["name"], *each["probabilities"].values()]
                of_set = "" if each["set"] is None else json.dumps(each["set"], ensure_ascii=False)
                lines.writerow([*row, each["score"], of_set, each["reason"], *_evidence_lines(each)])

        yield write


def _evidence_lines(prediction: Prediction) -> list[str]:
    """The cell of the column `evidence`, if there is one."""
    if "evidence" not in prediction:
        return []
    from fakeprint.commands.inspect import in_one_line

    return [in_one_line(prediction["evidence"])]


@contextmanager
def json_printer(head: dict[str, Any]) -> Iterator[Writer]:
    """Print one JSON object: `head`, then the images as they come. It is valid JSON even if an error ends the loop."""
    separators = itertools.chain(["\n    "], itertools.repeat(",\n    "))
    printed = 0

    def write(predictions: list[Prediction]) -> None:
        nonlocal printed
        for each in predictions:
            print(next(separators), _json(each).replace("\n", "\n    "), sep="", end="")
        printed += len(predictions)
        sys.stdout.flush()

    print(_json(head).removesuffix("\n}"), ',\n  "images": [', sep="", end="")
    try:
        yield write
    finally:
        print("\n  ]\n}" if printed else "]\n}")


def _json(content: dict[str, Any]) -> str:
    text = json.dumps(content, indent=2, ensure_ascii=False)
    # A file name may hold bytes that are not UTF-8, which no terminal takes; JSON's escapes can hold them.
    return text if _is_utf8(text) else json.dumps(content, indent=2)


def _is_utf8(text: str) -> bool:
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


@contextmanager
def _table_printer(title: str, dataset: Dataset, has_evidence: bool, may_decline: bool) -> Iterator[Writer]:
    """Print a table per group of predictions, with the title above the first and evidence below each."""
    titles = itertools.chain([title], itertools.repeat(None))
    console = Console()
    wide = console.options.update(width=10_000)

    def write(predictions: list[Prediction]) -> None:
        if not predictions:
            return
        heading = next(titles)
        table = _table(predictions, dataset, heading, may_decline, all_classes=True)
        if len(dataset.classes) > COLUMNS or console.measure(table, options=wide).maximum > console.width:
            table = _table(predictions, dataset, heading, may_decline, all_classes=False)
        console.print(table)
        if has_evidence:
            _print_evidence(predictions, console)

    yield write


def _print_evidence(predictions: list[Prediction], console: Console) -> None:
    from fakeprint.commands.inspect import evidence_table, never_checked

    for each in predictions:
        console.print(evidence_table(each["image"], each["evidence"]))
    console.print(never_checked())


def _table(
    predictions: list[Prediction], dataset: Dataset, title: str | None, may_decline: bool, all_classes: bool
) -> Table:
    """A row per image, with the probabilities of all classes, or else those of the two most probable ones.

    Where the model may decline, the answer stands before the most probable class: its name, unsure or unknown.
    """
    table = Table(title=None if title is None else Text(title), title_justify="left", box=box.SIMPLE_HEAD)
    table.add_column("image", overflow="fold")
    if may_decline:
        table.add_column("answer", overflow="fold")
    table.add_column("class", overflow="fold")
    for heading in [f"p({name})" for name in dataset.names] if all_classes else ["p", "second", "p"]:
        table.add_column(heading, justify="left" if heading == "second" else "right", no_wrap=heading == "p")
    for each in predictions:
        probabilities = list(each["probabilities"].values())
        cells = [_percent(value) for value in probabilities] if all_classes else _top_two(probabilities, dataset)
        answer = [each["name"] if each["answer"] == "label" else each["answer"]] if may_decline else []
        # As Text, since brackets in a name are not markup.
        table.add_row(*(Text(printable(cell)) for cell in (each["image"], *answer, each["name"], *cells)))
    return table


def _top_two(probabilities: list[float], dataset: Dataset) -> list[str]:
    first, second = np.argsort(-np.array(probabilities), kind="stable")[:2]
    return [_percent(probabilities[first]), dataset.names[second], _percent(probabilities[second])]


def _percent(probability: float) -> str:
    return f"{100 * probability:.1f} %"
