"""`python -m fakeprint predict`: which class do these image files belong to?"""

import argparse
import json
import sys
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np
from rich.console import Console
from rich.table import Table

from fakeprint import params
from fakeprint.data.arrays import Dataset
from fakeprint.data.decode import EXTENSIONS
from fakeprint.errors import InputError, first_few
from fakeprint.evaluation.champion import CHAMPION, champion_name
from fakeprint.files import read_json
from fakeprint.params import near

SHIPPED = (
    Path(__file__).parents[1] / "shipped"
)  # models that come with the package, each laid out as a champion's folder
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
    """Print the answers; exit with code 1 if any file could not be read, after answering for the others.

    Raises InputError for a path that does not exist, no images at all, an unknown model, no champion.
    """
    paths = image_files(args.images)
    folder, data = _model_folder(args.model, args.models_folder)

    from fakeprint.predict import (
        load_model,
        read_images,
    )  # scikit-learn and features: not needed to refuse a wrong path

    model = load_model(folder, how=_how(folder))
    images, names, set_aside = read_images(paths, model.dataset)
    answers = [_answer(path, row, model.dataset) for path, row in zip(names, model.probabilities(images), strict=True)]
    if args.json:
        print(json.dumps({"model": model.name, "data": data, "images": answers}, indent=2, ensure_ascii=False))
    elif answers:
        Console().print(_table(answers, model.dataset, model.name, data))
    for path, reason in set_aside:
        print(f"{path}: {reason}", file=sys.stderr)
    if set_aside:
        sys.exit(1)


def image_files(paths: Iterable[Path]) -> list[Path]:
    """The files themselves, and of folders every image file below them, sorted. Each once, hidden ones not.

    Raises InputError for a path that does not exist and where there are no images.
    """
    found: dict[Path, None] = {}
    paths = list(paths)
    missing = [path for path in paths if not path.exists()]
    if missing:
        raise InputError(f"no such file or folder: {first_few(missing)}")
    for path in paths:
        below = sorted(path.rglob("*")) if path.is_dir() else [path]
        found |= dict.fromkeys(file for file in below if file == path or _is_image(file, path))
    if not found:
        raise InputError(f"no images in {first_few(paths)}; looked for {', '.join(sorted(EXTENSIONS))}")
    return list(found)


def _is_image(file: Path, folder: Path) -> bool:
    hidden = any(part.startswith(".") for part in file.relative_to(folder).parts)
    return file.suffix.lower() in EXTENSIONS and not hidden and file.is_file()


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


def _table(answers: list[dict[str, Any]], dataset: Dataset, model: str, data: str | None) -> Table:
    table = Table(title=f"{model}, trained on: {data}" if data else model)
    table.add_column("image", overflow="fold")
    table.add_column("class")
    few = len(dataset.classes) <= COLUMNS
    for heading in [f"p({name})" for name in dataset.names] if few else ["p", "then"]:
        table.add_column(heading, justify="right" if few or heading == "p" else "left")
    for answer in answers:
        shares = answer["probabilities"]
        cells = [_share(share) for share in shares.values()] if few else _likeliest(list(shares.values()), dataset)
        table.add_row(answer["image"], answer["name"], *cells)
    return table


def _likeliest(shares: list[float], dataset: Dataset) -> list[str]:
    order = np.argsort(-np.array(shares), kind="stable")[:3]
    return [
        _share(shares[order[0]]),
        ", ".join(f"{dataset.names[index]} {_share(shares[index])}" for index in order[1:]),
    ]


def _share(probability: float) -> str:
    return f"{100 * probability:.1f} %"
