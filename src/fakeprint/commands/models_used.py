"""The model that a command answers with: where it is, and the options that say so."""

import argparse
import re
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from fakeprint import params
from fakeprint.errors import InputError
from fakeprint.evaluation.champion import CHAMPION, champion_name
from fakeprint.files import read_json
from fakeprint.params import near

if TYPE_CHECKING:
    from fakeprint.verdict.decision import Decision

SHIPPED = Path(__file__).parents[1] / "shipped"  # models that come with the package, laid out as a champion's folder
DEVICES = r"auto|cpu|mps|cuda(:\d+)?"


def add_device(parser: argparse.ArgumentParser) -> None:
    """Add the option --device."""
    parser.add_argument(
        "--device", default="auto", metavar="DEVICE", help="where networks run: auto (default), cpu, cuda, cuda:N, mps"
    )


def require_device(device: str) -> None:
    """Raise InputError for what is no name of a device. Whether there is such a device is not checked."""
    if not re.fullmatch(DEVICES, device):
        raise InputError(f"--device: '{device}' is unknown; known: auto, cpu, cuda, cuda:N, mps")


def add_models_folder(parser: argparse.ArgumentParser) -> None:
    """Add the option --models-folder."""
    parser.add_argument(
        "--models-folder",
        type=Path,
        default=Path("models"),
        metavar="FOLDER",
        help="folder with the trained models (default: models)",
    )


def model_folder(name: str | None, models: Path) -> tuple[Path, str | None]:
    """The model's folder, and the title of its training data where champion.json has it."""
    if name is None and not models.exists():
        raise InputError(f"there is no folder {models} here: run `dvc repro` in the repository, or add --model unibuc")
    if name is None or name == CHAMPION:
        champion_name(models)
        return models / CHAMPION, _data(models / CHAMPION)
    trained = sorted(file.parent.name for file in models.glob("*/model.json"))
    if name in trained:
        return models / name, None
    shipped = sorted(file.parent.name for file in SHIPPED.glob("*/champion.json"))
    if name in shipped:
        return SHIPPED / name, _data(SHIPPED / name)
    raise InputError(
        f"--model: '{name}' is neither in {models} nor a model that comes with Fakeprint"
        f"{near(name, [*trained, CHAMPION, *shipped])}"
    )


def _data(folder: Path) -> str:
    return str(read_json(folder / "champion.json")["data"])


def test_time_augmentation(folder: Path) -> params.Predict:
    """The block `predict` of params.yaml, if that exists. A folder with champion.json has its own."""
    file = Path("params.yaml")
    has_its_own = (folder / "champion.json").exists()
    return params.load(file).predict if file.exists() and not has_its_own else params.Predict()


def variants_of(decision: "Decision") -> Callable[[np.ndarray], list[np.ndarray]] | None:
    """What gives the variants of images that the decision needs, if it needs any."""
    if not decision.consistency:
        return None
    from fakeprint.augment.variants import variants

    return variants
