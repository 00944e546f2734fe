"""`python -m fakeprint predict`: which class do these image files belong to?"""

import argparse
import itertools
import json
import sys
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
from rich.console import Console
from rich.table import Table
from rich.text import Text

from fakeprint import params
from fakeprint.data.arrays import Dataset
from fakeprint.data.containers.folders import walk
from fakeprint.data.containers.members import hidden
from fakeprint.data.decode import EXTENSIONS
from fakeprint.errors import InputError, first_few, printable
from fakeprint.evaluation.champion import CHAMPION, champion_name
from fakeprint.files import read_json
from fakeprint.params import near

SHIPPED = Path(__file__).parents[1] / "shipped"  # models that come with the package, laid out as a champion's folder
COLUMNS = 6  # classes the table shows one by one; of more it shows the likeliest two beside the answer


def add_parser(subparsers: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """Add the subcommand and its options."""
    parser = subparsers.add_parser("predict", help="class and probabilities of image files", description=__doc__)
    parser.add_argument("images", nargs="+", type=Path, metavar="IMAGE", help="an image file, or a folder of them")
    parser.add_argument(
        "--model",
        metavar="NAME",
        help="a folder of models/, or a model that comes with Fakeprint; the champion if not given",
    )
    parser.add_argument("--json", action="store_true", help="print JSON instead of a table")
    parser.add_argument("--models-folder", type=Path, default=Path("models"), metavar="FOLDER", help="default: models")
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> None:
    """Print the answers as they come; exit with code 1 if any file could not be read, after answering for the others.

    Raises InputError for a path that does not exist, no images at all, an unknown model, no champion.
    """
    found = image_files(args.images)
    folder, data = _model_folder(args.model, args.models_folder)

    from fakeprint.predict import answer_files, load_model  # scikit-learn: not needed to refuse a wrong path

    model = load_model(folder, how=_how(folder))
    unread = 0
    with (_json_printer if args.json else _table_printer)(model.name, data, model.dataset) as show:
        for some in answer_files(model, found):
            rows = zip(some.paths, some.probabilities, strict=True)
            show([_answer(path, row, model.dataset) for path, row in rows])
            for path, reason in some.set_aside:
                print(f"{printable(str(path))}: {reason}", file=sys.stderr)
            unread += len(some.set_aside)
    if unread:
        sys.exit(1)


def image_files(paths: Iterable[Path]) -> Iterator[tuple[Path, str | None]]:
    """The files themselves, and of folders every image file below them, in order. Each once, hidden ones not.

    With each file comes None, or why it is not to be read: it is a folder below that is a link, or cannot be listed.
    Raises InputError, before the first is asked for, for a path that does not exist and where there are no images.
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
    given: set[Path] = set()
    for path in paths:
        if path.is_dir():
            for name, why in walk(path):
                file = path / name
                if (why or _is_image(file)) and file not in given and given.isdisjoint(file.parents):
                    yield file, why
        elif path not in given and not (_is_image(path) and _was_listed(path, given)):
            yield path, None
        given.add(path)


def _was_listed(file: Path, given: set[Path]) -> bool:
    """Did a folder that was given before show this file? Not if it is hidden there."""
    folders = [folder for folder in file.parents if folder in given]
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


def _model_folder(name: str | None, models: Path) -> tuple[Path, str | None]:
    """The model's folder, and the title of the data where champion.json tells it."""
    if name is None or name == CHAMPION:
        champion_name(models)
        return models / CHAMPION, _data(models / CHAMPION)
    trained = sorted(file.parent.name for file in models.glob("*/model.json"))
    if name in trained:
        return models / name, None
    shipped = sorted(file.parent.name for file in SHIPPED.glob("*/champion.json"))
    if name in shipped:
        return SHIPPED / name, _data(SHIPPED / name)
    raise InputError(f"--model: there is no '{name}' in {models}{near(name, [*trained, CHAMPION, *shipped])}")


def _data(folder: Path) -> str:
    return str(read_json(folder / "champion.json")["data"])


def _how(folder: Path) -> params.Predict:
    """params.yaml's test-time augmentation, where there is one; a folder with champion.json names its own."""
    file = Path("params.yaml")
    says_itself = (folder / "champion.json").exists()
    return params.load(file).predict if file.exists() and not says_itself else params.Predict()


def _answer(path: Path, probabilities: np.ndarray, dataset: Dataset) -> dict[str, Any]:
    best = int(probabilities.argmax())
    return {
        "image": str(path),
        "class": dataset.classes[best],
        "name": dataset.names[best],
        "probabilities": {label: float(share) for label, share in zip(dataset.classes, probabilities, strict=True)},
    }


@contextmanager
def _json_printer(model: str, data: str | None, dataset: Dataset) -> Iterator[Callable[[list[dict[str, Any]]], None]]:
    """Print one JSON object, its images as they come. It is closed whatever happens between."""
    separators = itertools.chain(["\n    "], itertools.repeat(",\n    "))
    printed = 0

    def show(answers: list[dict[str, Any]]) -> None:
        nonlocal printed
        for answer in answers:
            print(next(separators), _json(answer).replace("\n", "\n    "), sep="", end="")
        printed += len(answers)
        sys.stdout.flush()

    print(_json({"model": model, "data": data}).removesuffix("\n}"), ',\n  "images": [', sep="", end="")
    try:
        yield show
    finally:
        print("\n  ]\n}" if printed else "]\n}")


def _json(content: dict[str, Any]) -> str:
    text = json.dumps(content, indent=2, ensure_ascii=False)
    # A file name may hold bytes that are no UTF-8; no terminal or file takes them as they are.
    return text if _is_utf8(text) else json.dumps(content, indent=2)


def _is_utf8(text: str) -> bool:
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


@contextmanager
def _table_printer(model: str, data: str | None, dataset: Dataset) -> Iterator[Callable[[list[dict[str, Any]]], None]]:
    """Print a table each time that answers come, the title above the first."""
    titles = itertools.chain([f"{model}, trained on: {data}" if data else model], itertools.repeat(None))

    def show(answers: list[dict[str, Any]]) -> None:
        if answers:
            Console().print(_table(answers, dataset, next(titles)))

    yield show


def _table(answers: list[dict[str, Any]], dataset: Dataset, title: str | None) -> Table:
    table = Table(title=None if title is None else Text(title))
    table.add_column("image", overflow="fold")
    table.add_column("class")
    few = len(dataset.classes) <= COLUMNS
    for heading in [f"p({name})" for name in dataset.names] if few else ["p", "then"]:
        table.add_column(heading, justify="right" if few or heading == "p" else "left")
    for answer in answers:
        shares = answer["probabilities"]
        cells = [_share(share) for share in shares.values()] if few else _likeliest(list(shares.values()), dataset)
        # As Text: brackets in a name are no mark-up.
        table.add_row(*(Text(printable(cell)) for cell in (answer["image"], answer["name"], *cells)))
    return table


def _likeliest(shares: list[float], dataset: Dataset) -> list[str]:
    order = np.argsort(-np.array(shares), kind="stable")[:3]
    return [
        _share(shares[order[0]]),
        ", ".join(f"{dataset.names[index]} {_share(shares[index])}" for index in order[1:]),
    ]


def _share(probability: float) -> str:
    return f"{100 * probability:.1f} %"
