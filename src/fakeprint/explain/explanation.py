"""A page and a table of suspects for one model and a set of images."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from fakeprint.explain import pictures
from fakeprint.explain.grounds import BATCH, Grounds, ReadImages, Train, grounds
from fakeprint.explain.notes import notes
from fakeprint.explain.opened import OpenModel
from fakeprint.explain.order import hardest_pair, in_order
from fakeprint.explain.page import Item, write_page
from fakeprint.files import read_json
from fakeprint.verdict.decision import LABEL, UNKNOWN, UNSURE, Decision
from fakeprint.verdict.largest_probability import OF_PROBABILITIES

CALIBRATIONS = Path("models/calibration")  # as in `fakeprint.verdict.calibrated`
PAGE = "page.html"
SUSPECTS = "suspects.csv"


@dataclass(frozen=True)
class Explained:
    """The images and their answers.

    image_ids: str (N,), as the page shows them. labels: class index of each, int64 (N,), −1 where unknown.
    probabilities: float64 (N, C), those that the page shows and orders by. probabilities_note: what they are. read:
    gives images by row number. decisions: "label", "unsure" or "unknown" for each, str (N,); None without a decision.
    certificate: what the decision promises, in one line.
    """

    image_ids: np.ndarray
    labels: np.ndarray
    probabilities: np.ndarray
    probabilities_note: str
    read: ReadImages
    decisions: np.ndarray | None = None
    certificate: str | None = None


@dataclass(frozen=True)
class Settings:
    """title: of the data. most: images on the page, mistakes and uncertain answers first. neighbours: per image."""

    title: str
    most: int = 1250
    neighbours: int = 3
    workers: int | None = None


def probabilities_are(name: str, folder: Path = CALIBRATIONS) -> str:
    """What the pipeline's probabilities of a model are called: calibrated, unless its calibration changes nothing."""
    file = folder / f"{name}.json"
    is_raw = not file.exists() or read_json(file)["calibration"]["method"] == "none"
    return "Probabilities, as the model gives them" if is_raw else "Calibrated probabilities"


def decided(decision: Decision, probabilities: np.ndarray) -> np.ndarray | None:
    """How the pipeline's calibrated probabilities float64 (N, C) are answered: label, unsure or unknown, str (N,).

    None where the decision declines nothing, or needs more than probabilities (variants of images, another score of
    unknown generators): then no answer is shown rather than one that `predict` would not give.
    """
    if not decision.may_decline or decision.consistency:
        return None
    if decision.unknown and decision.unknown.score not in OF_PROBABILITIES:
        return None
    declined = np.where(decision.called_unknown(probabilities), UNKNOWN, UNSURE)
    return np.where(decision.answered(probabilities), LABEL, declined)


def certificate_of(decision: Decision) -> str | None:
    """What a decision promises, in one line; None where nothing is certified."""
    return decision.certificate.line if decision.certificate else None


def write(
    model: OpenModel,
    explained: Explained,
    suspected: pd.DataFrame | None,
    train: Train | None,
    settings: Settings,
    path: Path,
) -> None:
    """Write the page. suspected: rows of `suspects`, those of validation are marked; None: were not looked for."""
    chosen = in_order(explained.probabilities, explained.labels)[: settings.most]
    answers = explained.probabilities.argmax(axis=1)

    def read(numbers: np.ndarray) -> np.ndarray:
        return explained.read(chosen[numbers])

    found = grounds(model, read, answers[chosen], train, settings.neighbours, settings.workers)
    items = _items(model, explained, suspected, chosen, found, read)
    head = _head(model, explained, suspected, len(chosen), found, settings)
    write_page(path, head, items, _train_pictures(found, train))


def _items(
    model: OpenModel,
    explained: Explained,
    suspected: pd.DataFrame | None,
    chosen: np.ndarray,
    found: Grounds,
    read: ReadImages,
) -> Iterator[Item]:
    quality = {} if suspected is None else dict(zip(suspected["image_id"], suspected["quality"], strict=True))
    network = model.network
    has_map = network is not None and network[1].layer is not None
    for start in range(0, len(chosen), BATCH):
        numbers = np.arange(start, min(start + BATCH, len(chosen)))
        images, rows = read(numbers), chosen[numbers]
        answers = explained.probabilities[rows].argmax(axis=1)
        maps = network[1].maps(images, answers) if network and has_map else None
        for place, (number, row) in enumerate(zip(numbers, rows, strict=True)):
            noise = pictures.residual(images[place])
            item: Item = {
                "id": str(explained.image_ids[row]),
                "label": int(explained.labels[row]),
                "answer": int(answers[place]),
                "p": [round(float(p), 5) for p in explained.probabilities[row]],
                "image": pictures.picture(images[place]),
                "residual": pictures.residual_picture(noise),
                "spectrum": pictures.spectrum_picture(noise),
            }
            if maps is not None:
                item["map"] = pictures.map_picture(maps[place])
            if explained.decisions is not None:
                item["decision"] = str(explained.decisions[row])
            if item["id"] in quality and item["label"] >= 0:
                item["suspect"] = round(float(quality[item["id"]]), 5)
            yield item | _numbers(found, int(number))


def _numbers(found: Grounds, number: int) -> Item:
    """What `grounds` found for one image."""
    item: Item = {}
    if found.members:
        of_each = {name: probabilities[number] for name, probabilities in found.members.items()}
        item["members"] = [[name, int(p.argmax()), round(float(p.max()), 5)] for name, p in of_each.items()]
    if found.effects:
        item["effects"] = [[name, round(float(effect[number]), 3)] for name, effect in found.effects.items()]
    if found.rows is not None and found.distances is not None:
        near = zip(found.rows[number], found.distances[number], strict=True)
        item["near"] = [[int(row), f"{distance:.3g}"] for row, distance in near]
    return item


def _train_pictures(found: Grounds, train: Train | None) -> Iterator[tuple[int, Item]]:
    """Each train image that is near to some image, once."""
    if found.rows is None or train is None:
        return
    for row in np.unique(found.rows).tolist():
        image = np.array(train.images[row])
        yield (
            row,
            {
                "id": str(train.image_ids[row]),
                "label": int(train.labels[row]),
                "src": pictures.thumbnail(image),
            },
        )


def _head(
    model: OpenModel,
    explained: Explained,
    suspected: pd.DataFrame | None,
    count: int,
    found: Grounds,
    settings: Settings,
) -> dict[str, Any]:
    known = explained.labels >= 0
    answers = explained.probabilities.argmax(axis=1)
    wrong = int((answers[known] != explained.labels[known]).sum())
    total = len(explained.labels)
    summary = f"{count:,} of {total:,} images" if count < total else f"{total:,} images"
    if known.any():
        summary += f", {wrong:,} of {int(known.sum()):,} labelled ones answered wrongly"
    summary += ". Mistakes first, the most confident at the top; then the least certain answers."
    return {
        "title": f"{model.name} on {settings.title}: its answers and their grounds",
        "summary": summary,
        "classes": model.dataset.names,
        "probabilities": explained.probabilities_note,
        "pair": _pair(explained, model.dataset.names),
        "notes": notes(model, found, suspected is not None, explained.certificate),
    }


def _counted(images: int) -> str:
    return "1 was" if images == 1 else f"{images:,} were"


def _pair(explained: Explained, names: list[str]) -> dict[str, Any] | None:
    known = explained.labels >= 0
    answers = explained.probabilities[known].argmax(axis=1)
    pair = hardest_pair(explained.labels[known], answers, len(names))
    if pair is None:
        return None
    (first, second), (of_first, of_second) = (names[index] for index in pair.classes), pair.sizes
    as_second, as_first = (_counted(each) for each in pair.mistakes)
    text = (
        f"Of {of_first:,} images of {first}, {as_second} answered {second}; of {of_second:,} images of {second}, "
        f"{as_first} answered {first}. No other pair has a larger share of such mistakes."
    )
    return {"classes": list(pair.classes), "text": text}
