"""A model's folder compared with its card: files, images, figures; and the card written anew."""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from fakeprint.data.arrays import Dataset
from fakeprint.errors import InputError
from fakeprint.predict import LoadedModel, image_of
from fakeprint.verification import drawn, figures, files
from fakeprint.verification.card import (
    ANSWER_DIGITS,
    CARD,
    Card,
    Degraded,
    Measured,
    Sample,
    read_card,
    write_card,
)
from fakeprint.verification.champion_card import is_fitted_on_validation
from fakeprint.verification.degraded import of_table
from fakeprint.verification.figures import FigureCheck
from fakeprint.verification.files import FileCheck
from fakeprint.verification.images import Digest, Image, Images, digest_of, of_arrays
from fakeprint.verification.loading import answers, champion_of, load_inside
from fakeprint.verification.source_images import of_source

BINS = 15  # of the calibration error, where no card says another number
SAMPLE = "the drawn pictures"
TEXTS = (".md", ".txt")  # files that no figure depends on


@dataclass(frozen=True)
class Given:
    """What `fakeprint verify` is given beside the folder.

    data: a source of images, or None. changes: keys of `card.SOURCE_KEYS` that differ from the card's. device: where
    networks run. workers: processes, None for all cores. degraded: a table such as metrics/robustness.csv, to be
    written into the card, and the confidence of its intervals. verdicts: on labels of `data`, as `validate.verdicts`.
    """

    data: Path | None = None
    changes: Mapping[str, Any] = field(default_factory=dict)
    device: str = "auto"
    workers: int | None = None
    degraded: tuple[Path, float] | None = None
    verdicts: Path | None = None


@dataclass(frozen=True)
class FiguresCheck:
    """Figures on one set of images.

    on: the set, in words. same_images: whether they are the recorded ones. images: that in words. unreadable: id and
    reason. figures: compared only on the recorded images. not_measured: why there are no figures, or None. note: what
    to know about them, or None.
    """

    on: str
    same_images: bool
    images: str
    unreadable: list[tuple[str, str]] = field(default_factory=list)
    figures: list[FigureCheck] = field(default_factory=list)
    not_measured: str | None = None
    note: str | None = None

    @property
    def matches(self) -> bool:
        """Whether the images are the recorded ones and every figure is the recorded one."""
        measured = self.not_measured is None and all(each.status == "match" for each in self.figures)
        return self.same_images and measured


@dataclass(frozen=True)
class Report:
    """What was compared. not_checked: what could not be, in words; it does not count as a difference."""

    folder: Path
    model: str
    files: list[FileCheck]
    parts: list[FiguresCheck]
    not_checked: list[str]

    @property
    def matches(self) -> bool:
        """Whether everything that was compared is what the card says."""
        return all(file.status == "match" for file in self.files) and all(part.matches for part in self.parts)

    def as_json(self) -> dict[str, Any]:
        """The report as nested dicts, lists, texts and numbers."""
        return {
            "folder": str(self.folder),
            "model": self.model,
            "match": self.matches,
            "files": [asdict(file) for file in self.files],
            "figures": [_part_as_json(part) for part in self.parts],
            "not_checked": self.not_checked,
        }


def _part_as_json(part: FiguresCheck) -> dict[str, Any]:
    checks = [{**asdict(each), "difference": each.difference, "status": each.status} for each in part.figures]
    unreadable = [{"image": name, "reason": reason} for name, reason in part.unreadable]
    return {**vars(part), "match": part.matches, "unreadable": unreadable, "figures": checks}


def verify(folder: Path, given: Given) -> Report:
    """Compare a model's folder with its card.

    Figures are measured again on `given.data`; else on the repository's data/arrays, where the folder is a
    repository's models/NAME; and on the drawn pictures, where the card has answers for them.

    Raises:
        InputError: the folder has no card, or `given` cannot be used.
    """
    _require_folder(folder)
    card = read_card(folder)
    if given.data is not None and card.measured is None:
        raise InputError(f"--data: {folder / CARD} records no figures on a data set; leave --data out")
    checked = files.compared(folder, card.files, CARD)
    images = _images_named(folder, given) if card.measured else None
    not_checked = []
    if card.degraded is not None:
        not_checked.append(f"the accuracy on {len(card.degraded.accuracy)} kinds of degraded images")
    if card.measured and images is None:
        not_checked.append(f"the figures on {card.measured.title}: give the images with --data PATH")
    if not card.measured and not card.sample:
        not_checked.append("figures: the card records none")
    parts: list[FiguresCheck] = []
    if images is not None or card.sample:
        try:
            model = _loaded(folder, checked, given)
        except InputError as error:
            parts.append(FiguresCheck("figures", False, "not read", not_measured=str(error)))
        else:
            parts += list(_parts(card, model, folder, images, given))
    return Report(folder, card.model, checked, parts, not_checked)


def _require_folder(folder: Path) -> None:
    if not folder.is_dir():
        raise InputError(f"{folder} is not a folder; name a model's folder, for example models/champion")


def _images_named(folder: Path, given: Given) -> Path | None:
    """--data, else the arrays of the repository in which the folder is models/NAME, if they are there."""
    if given.data is not None:
        return given.data
    arrays = folder.resolve().parents[1] / "data" / "arrays" if len(folder.resolve().parents) > 1 else folder
    return arrays if folder.resolve().parent.name == "models" and (arrays / "dataset.json").exists() else None


def _loaded(folder: Path, checked: Iterable[FileCheck], given: Given) -> LoadedModel:
    for file in checked:
        if file.status == "refused":
            raise InputError(f"the model was not loaded, because of {file.name}: {file.detail}")
    return load_inside(folder, given.device, given.workers)


def _parts(card: Card, model: LoadedModel, folder: Path, images: Path | None, given: Given) -> Iterator[FiguresCheck]:
    if card.measured and images is not None:
        keys = {**card.measured.source, **given.changes}
        found = _found_images(images, card.measured.title, keys, model.dataset, given, str(folder / CARD))
        yield _measured_again(card.measured, model, found)
    if card.sample:
        yield _sample_again(card.sample, model)


def _found_images(
    place: Path, title: str, keys: Mapping[str, Any], dataset: Dataset, given: Given, name: str
) -> Images:
    if given.data is None:
        return of_arrays(place, title, dict(keys), dataset)
    keys_from = f"-S or {name}" if given.changes else name
    return of_source(place, title, keys, dataset, given.workers, keys_from, given.verdicts)


def _measured_again(recorded: Measured, model: LoadedModel, images: Images) -> FiguresCheck:
    """The figures on these images, where they are the recorded ones: on others they say nothing about the model."""
    found, unreadable = digest_of(images, model.dataset)
    if len(unreadable) == len(images):
        name, reason = unreadable[0]
        raise InputError(f"none of the {len(images)} images can be read: {name}: {reason}, …")
    on = f"{recorded.title}, {recorded.split}"
    same, words = _images_compared(recorded, found)
    if not same:
        return FiguresCheck(on, False, words, unreadable, not_measured="these are not the recorded images")
    labels, probabilities = answers(model, images)
    measured = figures.by_name(labels, probabilities, model.dataset.names, recorded.bins)
    note = None
    if recorded.fitted_on_them:
        note = "the calibration, or how models are combined, may be fitted on these images: figures may be too good"
    return FiguresCheck(on, True, words, unreadable, figures.compared(recorded.figures, measured), note=note)


def _images_compared(recorded: Measured, found: Digest) -> tuple[bool, str]:
    """Whether they are the recorded images with the recorded labels, and that in words."""
    if found.images != recorded.images:
        return False, f"{found.images:,} images, the card says {recorded.images:,}"
    if found.pixels != recorded.pixels:
        return False, f"{found.images:,} images with other pixels than the recorded ones"
    if found.labels != recorded.labels:
        return False, f"the {found.images:,} recorded images, but with other labels"
    names = "" if found.ids == recorded.ids else ", under other names"
    return True, f"the {found.images:,} recorded images{names}"


def _sample_images(dataset: Dataset) -> list[Image]:
    return [Image(name, 0, image_of(content, dataset)) for name, content in drawn.pictures().items()]


def _sample_again(recorded: Sample, model: LoadedModel) -> FiguresCheck:
    images = _sample_images(model.dataset)
    found, _ = digest_of(images, model.dataset)
    if found.pixels != recorded.pixels:
        words = f"{len(images)} pictures with other pixels than the recorded ones: numpy or Pillow differ"
        return FiguresCheck(SAMPLE, False, words, not_measured="these are not the recorded pictures")
    _, probabilities = answers(model, images)
    checks = [
        check
        for image, row in zip(images, probabilities, strict=True)
        for check in figures.answers_compared(
            image.image_id, recorded.answers.get(image.image_id), row.tolist(), recorded.digits, model.dataset.names
        )
    ]
    return FiguresCheck(SAMPLE, True, f"the {len(images)} recorded pictures", figures=checks)


def record(folder: Path, given: Given) -> tuple[Card, str]:
    """Write card.json anew: digests of all files, answers for the drawn pictures, and figures on the images.

    The images are found as `verify` finds them. Without any, the figures of the card that is there stay, if no file
    but texts has changed since, and so do those on degraded images, unless `given` has others. Returns the card and
    where its figures are from, in words.

    Raises:
        InputError: the folder is not laid out as models/champion, or holds links, or the images cannot be used.
    """
    _require_folder(folder)
    champion = champion_of(folder)
    files.digests_of(folder, CARD)  # refuses links before anything is loaded
    before = read_card(folder) if (folder / CARD).exists() else None
    model = load_inside(folder, given.device, given.workers)
    place = _images_named(folder, given)
    if place is not None:
        defaults = before.measured.source if before and before.measured else {}
        keys = {**defaults, **given.changes}
        images = _found_images(place, champion["data"], keys, model.dataset, given, str(folder / CARD))
        now: Measured | None = _measured(folder, model, images, before)
        words = f"measured on {now.images:,} images" if now else ""
    else:
        now, words = _kept(folder, before)
    if given.degraded:
        table, confidence = given.degraded
        degraded: Degraded | None = of_table(table, model.name, now, confidence)
    else:
        degraded = before.degraded if before and _kept(folder, before)[0] else None
    return write_card(folder, model.name, now, _sample(model), degraded), words


def _measured(folder: Path, model: LoadedModel, images: Images, before: Card | None) -> Measured:
    found, _ = digest_of(images, model.dataset)
    if not found.images:
        raise InputError(f"none of the {len(images)} images can be read")
    bins = before.measured.bins if before and before.measured else BINS
    labels, probabilities = answers(model, images)
    return Measured(
        title=images.title,
        split="validation",
        **vars(found),
        source=images.source,
        bins=bins,
        fitted_on_them=is_fitted_on_validation(folder, str(champion_of(folder)["model"])),
        figures=figures.rounded(figures.by_name(labels, probabilities, model.dataset.names, bins)),
    )


def _kept(folder: Path, before: Card | None) -> tuple[Measured | None, str]:
    if before is None or before.measured is None:
        return None, "none: give the images with --data PATH"
    checks = files.compared(folder, before.files, CARD)
    changed = [file.name for file in checks if file.status != "match" and not file.name.endswith(TEXTS)]
    if changed:
        return None, f"none: {changed[0]} has changed since the last card; give the images with --data PATH"
    return before.measured, "those of the last card, since no file but texts has changed"


def _sample(model: LoadedModel) -> Sample:
    images = _sample_images(model.dataset)
    found, _ = digest_of(images, model.dataset)
    _, probabilities = answers(model, images)
    rows = {
        image.image_id: [round(value, ANSWER_DIGITS) for value in row.tolist()]
        for image, row in zip(images, probabilities, strict=True)
    }
    return Sample(pixels=found.pixels, digits=ANSWER_DIGITS, answers=rows)
