"""The file between models and evaluation: probabilities of every validation and test image."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd

from fakeprint.errors import InputError, first_few
from fakeprint.files import written

PREDICTIONS = Path("data/predictions")
MEMBERS = Path("data/members")
DEGRADED = Path("data/degraded")  # of degraded validation images: CELL/NAME.parquet
CALIBRATED = Path("data/calibrated")  # NAME.parquet, degraded/CELL/NAME.parquet; what models are scored by
DEGRADED_SPLIT = "degraded/"  # CELL: validation images degraded for ensembles, in a member's file alone
PREDICTED = ("validation", "test")  # the splits that a file of predictions holds


@dataclass(frozen=True)
class Predictions:
    """One model's predictions of one split.

    image_ids: str (N,), in the order of the arrays. labels: int64 (N,), class index, −1 where unknown.
    probabilities: float64 (N, C), rows sum to 1. groups: int64 (N,), equal for images that are not independent
    (near duplicates, frames of one video). generators: object (N,), the generator of each image where the source names
    it, else None.
    """

    image_ids: np.ndarray
    labels: np.ndarray
    probabilities: np.ndarray
    groups: np.ndarray
    generators: np.ndarray

    @property
    def predicted(self) -> np.ndarray:
        """Class index of the largest probability, int64 (N,); the first of equal ones."""
        return self.probabilities.argmax(axis=1)

    @property
    def labelled(self) -> "Predictions":
        """The predictions of images whose label is known."""
        known = self.labels >= 0
        if known.all():
            return self
        return Predictions(*(column[known] for column in vars(self).values()))

    @property
    def correct(self) -> np.ndarray:
        """Whether the predicted class is the actual one, bool (N,)."""
        return self.predicted == self.labels


def save_predictions(name: str, classes: list[str], splits: dict[str, Predictions], folder: Path = PREDICTIONS) -> None:
    """Write a model's file, one row per image.

    Columns: image_id, split, label and generator (None where unknown), group, and p_<class> in the order of `classes`.
    """
    labelled = np.array([*classes, None], dtype=object)
    frames = [
        pd.DataFrame(
            {
                "image_id": pd.array(split.image_ids, dtype="str"),
                "split": pd.array([name] * len(split.labels), dtype="str"),
                "label": pd.array(labelled[split.labels], dtype="str"),
                "generator": pd.array(split.generators, dtype="str"),
                "group": split.groups,
                **{f"p_{label}": split.probabilities[:, index] for index, label in enumerate(classes)},
            }
        )
        for name, split in splits.items()
    ]
    with written(folder / f"{name}.parquet") as partial:
        pd.concat(frames, ignore_index=True).to_parquet(partial)


def load_predictions(name: str, classes: list[str], split: str, folder: Path = PREDICTIONS) -> Predictions:
    """Read one split of a model's file. Raises InputError if it is missing or was made for other classes."""
    return _of_split(_frame(name, classes, folder), split)


def read_predictions(path: Path, split: str) -> Predictions:
    """Read one split of a file of predictions, which names the classes itself."""
    return _of_split(pd.read_parquet(path), split)


def _frame(name: str, classes: list[str], folder: Path) -> pd.DataFrame:
    path = folder / f"{name}.parquet"
    if not path.exists():
        raise InputError(f"{path} is missing: run `dvc repro` first")
    frame = pd.read_parquet(path)
    columns = [f"p_{label}" for label in classes]
    found_columns = _columns(frame)
    if found_columns != columns:
        raise InputError(f"{path} was made for other classes ({first_few(found_columns)}): run `dvc repro`")
    return frame


def _columns(frame: pd.DataFrame) -> list[str]:
    return [name for name in frame.columns if name.startswith("p_")]


def _of_split(frame: pd.DataFrame, split: str) -> Predictions:
    columns = _columns(frame)
    rows = frame[frame["split"] == split]
    numbers = {column.removeprefix("p_"): index for index, column in enumerate(columns)}
    labels = rows["label"].map(numbers).fillna(-1).astype(np.int64)
    generators = rows["generator"].astype(object)
    return Predictions(
        rows["image_id"].to_numpy(dtype=object),
        labels.to_numpy(),
        rows[columns].to_numpy(dtype=np.float64),
        rows["group"].to_numpy(dtype=np.int64),
        generators.where(generators.notna(), None).to_numpy(dtype=object),
    )


def load_members(names: list[str], classes: list[str], split: str) -> tuple[Predictions, np.ndarray]:
    """Read one split of an ensemble's members: the first one's predictions, and the probabilities of all, (N, M, C)."""
    members = [load_predictions(name, classes, split, MEMBERS) for name in names]
    return members[0], np.stack([member.probabilities for member in members], axis=1)


def load_degraded_members(names: list[str], classes: list[str]) -> dict[str, np.ndarray]:
    """The members' probabilities of validation images degraded for ensembles: cell → (N, M, C).

    Cells are sorted by name, so that a fit does not depend on their order in params.yaml, which DVC does not see.
    Raises InputError where a member's file holds none, or others than the first one's.
    """
    found: list[dict[str, np.ndarray]] = []
    for name in names:
        frame, file = _frame(name, classes, MEMBERS), MEMBERS / f"{name}.parquet"
        cells = sorted(split for split in frame["split"].unique() if split.startswith(DEGRADED_SPLIT))
        if not cells:
            raise InputError(
                f"{file} holds no predictions of degraded images: add some to degrade.grid, then `dvc repro`"
            )
        if found and cells != list(found[0]):
            raise InputError(f"{MEMBERS / names[0]}.parquet and {file} hold different degraded images: run `dvc repro`")
        found.append({cell: _of_split(frame, cell).probabilities for cell in cells})
    return {
        cell.removeprefix(DEGRADED_SPLIT): np.stack([member[cell] for member in found], axis=1) for cell in found[0]
    }
