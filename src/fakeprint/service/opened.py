"""Models that answer: loaded with their decision, warmed, and named so that another process finds the same one."""

import dataclasses
import hashlib
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property, lru_cache
from pathlib import Path
from typing import Any, Literal

import numpy as np

from fakeprint.data.arrays import Dataset
from fakeprint.digests import files_of
from fakeprint.errors import InputError
from fakeprint.evaluation.champion import CHAMPION
from fakeprint.files import sha256
from fakeprint.models.description import described_folder, read_description
from fakeprint.named_models import SHIPPED, model_folder, shipped_names, test_time_augmentation, variants_of
from fakeprint.params import Predict, suggestion
from fakeprint.predict import LoadedModel, group_size, load_model, probabilities_of, variants_per_image, versions_of
from fakeprint.service.jobs.results import MODEL, model_folder_of_job
from fakeprint.service.maps import Mapper
from fakeprint.service.schemas import ModelVersion
from fakeprint.service.settings import Settings
from fakeprint.tracking import registry
from fakeprint.tracking.registry import Saved
from fakeprint.verdict.decision import Decision, load_decision, read_decision

Source = Literal["folder", "shipped", "registry"]
SHIPPED_MODEL = "unibuc"  # serves where there is no champion
DIGITS = 12  # of a digest, as a version


@dataclass(frozen=True)
class Reference:
    """Where a model is. version: of the registry, else None."""

    source: Source
    name: str
    version: str | None = None

    def __str__(self) -> str:
        return f"{self.name}, version {self.version} of the registry" if self.version else self.name


@dataclass(frozen=True, eq=False)
class Opened:
    """A model that answers.

    folder: with model.json or champion.json; its files may change while the model answers. digest, description: of the
    files, and model.json, as they were loaded. data: title of what it learned from. limits: its dataset, with a limit
    of pixels that is no larger than the service's. variants: what gives the variants that its decision needs, or None.
    variant_count: how many these are. batch: images per forward pass, at most, as its size allows.
    """

    reference: Reference
    folder: Path
    digest: str
    description: dict[str, Any]
    data: str | None
    model: LoadedModel
    decision: Decision
    limits: Dataset
    variants: Callable[[np.ndarray], list[np.ndarray]] | None
    variant_count: int
    batch: int
    device: str

    @property
    def version(self) -> ModelVersion:
        """As answers name it."""
        version = self.reference.version or self.digest[:DIGITS]
        return ModelVersion(
            name=self.reference.name,
            version=version,
            digest=self.digest,
            source=self.reference.source,
            model=self.model.name,
        )

    @property
    def certificate(self) -> str | None:
        """What is certified about its answers."""
        return self.decision.certificate.line if self.decision.certificate else None

    def is_current(self) -> bool:
        """Whether its folder still holds the files that it was loaded from."""
        try:
            return digest_of(self.folder) == self.digest
        except (OSError, KeyError, TypeError, ValueError):  # removed, or being written
            return False

    @cached_property
    def mapper(self) -> Mapper:
        """What draws its maps. Where its files have changed since it was loaded, it draws none and says why."""
        return Mapper(self.folder, self.model, self.device, self.is_current)


def find(name: str, source: Source, settings: Settings, option: str = "name") -> Reference:
    """A model of the models folder, the champion of a job (`job:ID`), or one that comes with Fakeprint.

    option: what the user calls `name`, for the message.

    Raises:
        InputError: there is none of this name.
    """
    if source == "shipped":
        if name not in shipped_names():
            raise InputError(f"{option}: '{name}' does not come with Fakeprint{suggestion(name, shipped_names())}")
        return Reference("shipped", name)
    if name.startswith(MODEL):
        model_folder_of_job(settings, name)
        return Reference("folder", name)
    folder, _ = model_folder(name, settings.models_folder, option)
    return Reference("shipped" if folder.parent == SHIPPED else "folder", name)


def preferred(settings: Settings) -> Reference:
    """The model that serves where nobody has set one: the setting's, else the champion, else the shipped one.

    Raises:
        InputError: there is no model of the setting's name.
    """
    if settings.model is not None:
        return find(settings.model, "folder", settings)
    has_champion = (settings.models_folder / CHAMPION / "champion.json").exists()
    return Reference("folder", CHAMPION) if has_champion else Reference("shipped", SHIPPED_MODEL)


def open_model(reference: Reference, settings: Settings) -> Opened:
    """Load a model and let it answer once, so that its first request finds it warm. It may take seconds.

    Raises:
        InputError: it is missing or damaged, or the registry does not answer.
    """
    saved, folder, data = _place(reference, settings)
    try:
        digest = digest_of(folder)
        description = read_description(described_folder(folder))
        tta, decision = _parts(folder, saved)
        model = load_model(folder, workers=1, tta=tta, device=settings.device)
        changed = digest_of(folder) != digest
    except (OSError, KeyError, TypeError, ValueError) as error:
        if isinstance(error, InputError):
            raise
        raise InputError(f"{reference} cannot be loaded: {type(error).__name__}: {error}".splitlines()[0]) from error
    if changed:
        raise InputError(f"the files of {reference} changed while they were loaded; try again when `dvc repro` is done")
    limits = dataclasses.replace(model.dataset, max_pixels=min(model.dataset.max_pixels, settings.max_pixels))
    variants = variants_of(decision)
    opened = Opened(
        reference,
        folder,
        digest,
        description,
        decision.fitted_on.get("data") if saved else data,
        model,
        decision,
        limits,
        variants,
        variants_per_image(variants),
        group_size(model),
        settings.device,
    )
    _warm(opened)
    return opened


def _place(reference: Reference, settings: Settings) -> tuple[Saved | None, Path, str | None]:
    """What was downloaded of the registry; the folder; and the title of its data, which the registry does not tell."""
    if reference.source != "registry":
        return None, *_folder(reference, settings)
    copies = settings.folder / "registry"
    saved = registry.download(settings.mlflow_uri, reference.name, str(reference.version), copies)
    return saved, saved.model, None


def _parts(folder: Path, saved: Saved | None) -> tuple[Predict, Decision]:
    """The model's test-time augmentation and its decision."""
    if saved:
        return saved.predict, read_decision(saved.decision, saved.calibration)
    return test_time_augmentation(folder), load_decision(folder)


def _folder(reference: Reference, settings: Settings) -> tuple[Path, str | None]:
    """The folder, and the title of its data."""
    if reference.source == "folder" and reference.name.startswith(MODEL):
        return model_folder(CHAMPION, model_folder_of_job(settings, reference.name).parent, "name")
    models = SHIPPED if reference.source == "shipped" else settings.models_folder
    return model_folder(reference.name, models, "name")


def _warm(opened: Opened) -> None:
    side = opened.model.dataset.image_size
    noise = np.random.default_rng(0).integers(0, 256, (side, side, 3), dtype=np.uint8)
    versions = versions_of(noise, opened.model, opened.variants)
    for count in (1, 2):
        probabilities, variants = probabilities_of([versions] * count, opened.model, opened.variant_count)
        opened.decision.answers(probabilities, opened.model.dataset.names, variants)


def digest_of(folder: Path) -> str:
    """SHA-256 over a model's files: their names and digests, members of an ensemble and its calibration included."""
    folders = [folder]
    if not (folder / "champion.json").exists():
        folders += _members(folder)
    files = {file.relative_to(folder.parent).as_posix(): file for each in folders for file in files_of(each)}
    fitted = folder.parent / "calibration" / f"{folder.name}.json"
    if fitted.exists():
        files[f"calibration/{fitted.name}"] = fitted
    lines = [f"{name} {_sha256(file)}" for name, file in sorted(files.items())]
    return hashlib.sha256("\n".join(lines).encode()).hexdigest()


def _sha256(file: Path) -> str:
    """Of the file's content, computed once as long as its size and time of change stay the same."""
    now = file.stat()
    return _sha256_at(file, now.st_mtime_ns, now.st_size)


@lru_cache(maxsize=4096)
def _sha256_at(file: Path, changed: int, size: int) -> str:
    return sha256(file)


def _members(folder: Path) -> list[Path]:
    names: list[Any] = read_description(folder).get("members", [])
    found = [folder.parent / str(name) for name in names]
    return [*found, *(below for each in found for below in _members(each))]
