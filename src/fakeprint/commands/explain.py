"""Write a page with the grounds of a model's answers, on the validation images or on image files."""

import argparse
import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from fakeprint.commands.models_used import add_device, add_models_folder, require_device
from fakeprint.commands.predict import image_files
from fakeprint.data.arrays import ARRAYS, Dataset, load_dataset, load_split
from fakeprint.errors import InputError, printable
from fakeprint.evaluation.champion import CHAMPION, champion_name
from fakeprint.evaluation.predictions import CALIBRATED, load_predictions
from fakeprint.files import write_csv
from fakeprint.named_models import model_folder, test_time_augmentation, variants_of

if TYPE_CHECKING:
    from fakeprint.explain.explanation import Explained
    from fakeprint.verdict.decision import Answer, Decision

RAW, CALIBRATED_ONES = "Probabilities, as the model gives them", "Calibrated probabilities"
MOST = 1250


def add_parser(subparsers: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """Add the subcommand and its options."""
    parser = subparsers.add_parser(
        "explain", help="write a page with the grounds of a model's answers", description=__doc__
    )
    parser.add_argument(
        "model",
        metavar="MODEL",
        help="name of a folder in models/ (champion is the best one), or of a model that comes with Fakeprint",
    )
    parser.add_argument(
        "images",
        nargs="*",
        type=Path,
        metavar="IMAGE",
        help="an image file, or a folder of them (default: the validation images of data/arrays)",
    )
    parser.add_argument(
        "--output", type=Path, metavar="FOLDER", help="where the page is written (default: explained/MODEL)"
    )
    parser.add_argument(
        "--most", type=int, default=MOST, metavar="N", help=f"images on the page, at most (default: {MOST})"
    )
    parser.add_argument(
        "--neighbours", type=int, default=3, metavar="K", help="nearest train images for each, 0 to 10 (default: 3)"
    )
    add_device(parser)
    add_models_folder(parser)
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> None:
    """Write the page, and suspects.csv where labels are known; print where. Exits with code 1 if a file was unreadable.

    Raises:
        InputError: the model, a path or the device is unknown, there are no images, the page cannot be written, or
            data/arrays was made for other classes or sizes than the model.
    """
    require_device(args.device)
    if args.most < 1:
        raise InputError(f"--most: {args.most} is too few; give 1 or more")
    if not 0 <= args.neighbours <= 10:
        raise InputError(f"--neighbours: {args.neighbours} is not from 0 to 10")
    files = list(image_files(args.images)) if args.images else None
    folder, data = model_folder(args.model, args.models_folder, "MODEL")
    output = args.output or Path("explained") / args.model
    _require_writable(output)

    from fakeprint.explain.explanation import PAGE, SUSPECTS, Settings, write
    from fakeprint.explain.grounds import Train
    from fakeprint.explain.opened import open_model
    from fakeprint.explain.suspects import suspects

    model = open_model(folder, args.device)
    has_arrays = _fits(model.dataset)
    suspected, unreadable = None, 0
    if files is None:
        if not has_arrays:
            raise InputError(
                f"there are no validation images of {args.model}'s classes and size in {ARRAYS}: name image files"
            )
        explained = _validation(args, folder, model.dataset)
        suspected = suspects(
            "validation", explained.image_ids, explained.labels, explained.probabilities, model.dataset.classes
        )
    else:
        explained, unreadable = _files(args, folder, model.dataset, files)
    train = None
    if has_arrays:
        split = load_split("train")
        train = Train(split.of_one_size, split.image_ids, split.labels)
    title = f"{len(explained.labels):,} image file(s)" if files is not None else data or "validation images"
    write(model, explained, suspected, train, Settings(title, args.most, args.neighbours), output / PAGE)
    if suspected is not None:
        write_csv(output / SUSPECTS, suspected)
    print(output / PAGE)
    if unreadable:
        sys.exit(1)


def _require_writable(folder: Path) -> None:
    """Refuse a folder that could not be made or written to, before the work is done."""
    existing = next(each for each in (folder, *folder.parents) if each.exists())
    if not existing.is_dir():
        raise InputError(f"--output: {existing} is a file; name a folder")
    if not os.access(existing, os.W_OK):
        raise InputError(f"--output: no permission to write in {existing}")


def _fits(dataset: Dataset) -> bool:
    """Whether data/arrays holds images as the model takes them."""
    needed = [f"{split}.{kind}" for split in ("train", "validation") for kind in ("npy", "parquet")]
    if not all((ARRAYS / name).exists() for name in ["dataset.json", *needed]):
        return False
    found = load_dataset()
    return (found.classes, found.image_size, found.resize) == (dataset.classes, dataset.image_size, dataset.resize)


def _validation(args: argparse.Namespace, folder: Path, dataset: Dataset) -> "Explained":
    """The validation images, with the pipeline's predictions where it has made them, else with the model's."""
    from fakeprint.explain.explanation import Explained, certificate_of, decided, probabilities_are
    from fakeprint.predict import load_model
    from fakeprint.verdict.decision import load_decision

    split, decision = load_split("validation"), load_decision(folder)
    name = champion_name(args.models_folder) if folder.name == CHAMPION else args.model
    if folder.parent == args.models_folder and (CALIBRATED / f"{name}.parquet").exists():
        predictions = load_predictions(name, dataset.classes, "validation", CALIBRATED)
        if not np.array_equal(predictions.image_ids, split.image_ids):
            raise InputError(f"{CALIBRATED / f'{name}.parquet'} is not of the images in {ARRAYS}: run `dvc repro`")
        probabilities = predictions.probabilities
        probabilities_note = probabilities_are(name, folder.parent / "calibration")
    else:
        model = load_model(folder, tta=test_time_augmentation(folder), device=args.device)
        probabilities, probabilities_note = (
            decision.calibration(model.probabilities(split.images)),
            _probabilities_note(decision),
        )
    return Explained(
        split.image_ids,
        split.labels,
        probabilities,
        probabilities_note,
        lambda rows: np.stack([np.array(split.images[row]) for row in rows]),
        decided(decision, probabilities),
        certificate_of(decision),
    )


def _probabilities_note(decision: "Decision") -> str:
    return RAW if decision.calibration.as_json()["method"] == "none" else CALIBRATED_ONES


def _files(
    args: argparse.Namespace, folder: Path, dataset: Dataset, files: list[tuple[Path, str | None]]
) -> tuple["Explained", int]:
    """Image files with the model's predictions, and how many could not be read: each is named on stderr."""
    from fakeprint.explain.explanation import Explained, certificate_of
    from fakeprint.predict import load_model, predict_files, read_image
    from fakeprint.verdict.decision import load_decision

    model, decision = load_model(folder, tta=test_time_augmentation(folder), device=args.device), load_decision(folder)
    paths: list[Path] = []
    answers: list[Answer] = []
    unreadable = 0
    for group in predict_files(model, files, variants_of(decision)):
        paths += group.paths
        answers += decision.answers(group.probabilities, dataset.names, group.variants)
        unreadable += len(group.unreadable)
        for path, reason in group.unreadable:
            print(f"{printable(str(path))}: {reason}", file=sys.stderr)
    explained = Explained(
        np.array([str(path) for path in paths], dtype=object),
        np.full(len(paths), -1, dtype=np.int64),
        np.array([each.probabilities for each in answers]).reshape(len(answers), len(dataset.classes)),
        _probabilities_note(decision),
        lambda rows: np.stack([read_image(paths[row], dataset) for row in rows]),
        np.array([each.answer for each in answers]) if decision.may_decline else None,
        certificate_of(decision),
    )
    return explained, unreadable
