"""Models by name: those in a models folder, and those that come with the package."""

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from fakeprint import params
from fakeprint.errors import InputError
from fakeprint.evaluation.champion import CHAMPION, champion_name
from fakeprint.models.description import read_champion
from fakeprint.params import suggestion

if TYPE_CHECKING:
    from fakeprint.verdict.decision import Decision

SHIPPED = Path(__file__).parent / "shipped"  # models that come with the package, laid out as a champion's folder


def trained_names(models: Path) -> list[str]:
    """The models in a models folder, sorted, the champion not among them."""
    return sorted(file.parent.name for file in models.glob("*/model.json"))


def shipped_names() -> list[str]:
    """The models that come with the package, sorted."""
    return sorted(file.parent.name for file in SHIPPED.glob("*/champion.json"))


def model_folder(name: str | None, models: Path, option: str = "--model") -> tuple[Path, str | None]:
    """The model's folder, and the title of its training data where champion.json has it.

    Args:
        name: of a folder in `models`, of a model that comes with the package, or `champion`; None for the champion.
        models: the models folder.
        option: what the user calls `name`, for the message.

    Raises:
        InputError: there is no such model, or no champion.
    """
    if name is None and not models.exists():
        raise InputError(f"there is no folder {models} here: run `dvc repro` in the repository, or add --model unibuc")
    if name is None or name == CHAMPION:
        champion_name(models)
        return models / CHAMPION, _data(models / CHAMPION)
    trained = trained_names(models)
    if name in trained:
        return models / name, None
    shipped = shipped_names()
    if name in shipped:
        return SHIPPED / name, _data(SHIPPED / name)
    raise InputError(
        f"{option}: '{name}' is neither in {models} nor a model that comes with Fakeprint"
        f"{suggestion(name, [*trained, CHAMPION, *shipped])}"
    )


def _data(folder: Path) -> str | None:
    champion = read_champion(folder)
    return champion.data if champion else None


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
