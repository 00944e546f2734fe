"""What `GET /models` says of each model: read from its folder, its card and the leaderboard, or from the registry."""

import asyncio
import contextlib
import time
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import Any

from fakeprint.errors import InputError
from fakeprint.evaluation.champion import CHAMPION
from fakeprint.files import read_json
from fakeprint.models.description import read_champion, read_description
from fakeprint.named_models import SHIPPED, shipped_names, trained_names
from fakeprint.service.jobs.results import latest_models, model_folder_of_job
from fakeprint.service.opened import DIGITS, Opened, Source, digest_of
from fakeprint.service.schemas import Accuracy, Degraded, Model
from fakeprint.service.settings import Settings
from fakeprint.tracking.registry import Registered, listed
from fakeprint.verdict.decision import load_decision

WAIT = 3.0  # seconds for the registry; the other models are listed without it then
FRESH = 5.0  # seconds that a list of the registry is used for
CONFIDENCE = (
    0.95  # of a card's and a run's intervals, which are computed here, and of a leaderboard.json that names none
)
UNTIL_SERVED = ("digest", "kind", "classes", "names", "image_size")  # null for a registered model that has not served
# What turns the last numbers into probabilities: of networks, and by the method of classifiers and ensembles.
ACTIVATIONS = {
    "network": "softmax",
    "logistic": "softmax",
    "lda": "softmax",
    "boosting": "softmax",
    "svm_linear": "sigmoid per class (Platt), normalised",
    "svm_rbf": "sigmoid per class (Platt), normalised",
    "knn": "shares of the neighbours",
    "forest": "average of the trees' shares",
    "average": "average of the members' probabilities",
    "greedy": "average of the members' probabilities",
    "stacking": "softmax",
    "learned": "softmax",
}


class Registry:
    """The registry's models, requested by one thread at a time, however many requests want them."""

    def __init__(self, uri: str) -> None:
        self._uri = uri
        self._thread = ThreadPoolExecutor(1, "registry")
        self._request: Future[list[Registered]] | None = None
        self._until = 0.0

    async def listed(self) -> tuple[list[Registered], str | None]:
        """The models, and a note where there are none because the registry does not answer."""
        if self._request is None or (self._request.done() and time.monotonic() > self._until):
            self._request = self._thread.submit(listed, self._uri)
            self._request.add_done_callback(self._remember)
        request = asyncio.wrap_future(self._request)
        request.add_done_callback(_seen)
        done, _ = await asyncio.wait({request}, timeout=WAIT)  # which cancels nothing
        if not done:
            return [], f"the registry has not answered within {WAIT:g} s"
        try:
            return request.result(), None
        except InputError as error:
            return [], str(error)

    def _remember(self, request: "Future[list[Registered]]") -> None:
        self._until = time.monotonic() + FRESH


def _seen(request: "asyncio.Future[list[Registered]]") -> None:
    """Mark an error that comes after `WAIT` as seen, so that asyncio does not log it."""
    if not request.cancelled():
        request.exception()


def known(settings: Settings, opened: Opened | None, registered: list[Registered], jobs: bool = True) -> list[Model]:
    """All models, the champion first. A damaged folder is left out: `POST /set` says what is wrong with it.

    The model that answers is always there. If none of the others is, because its files have changed since it was loaded
    or cannot be listed, it comes first, as it was loaded.

    Args:
        settings: of the service.
        opened: the model that answers, or None.
        registered: the models of the registry.
        jobs: whether models of jobs are listed, the latest ones.
    """
    names = [CHAMPION] if (settings.models_folder / CHAMPION / "champion.json").exists() else []
    places: list[tuple[Source, str, Path]] = [
        ("folder", name, settings.models_folder / name) for name in [*names, *trained_names(settings.models_folder)]
    ]
    places += [("shipped", name, SHIPPED / name) for name in shipped_names()]
    made = latest_models(settings) if jobs else []
    places += [("folder", name, model_folder_of_job(settings, name)) for name in made]
    found = []
    for source, name, folder in places:
        with contextlib.suppress(InputError, OSError, KeyError, TypeError, ValueError):
            found.append(_of_folder(source, name, folder, opened))
    found += [_of_registry(each, opened) for each in registered]
    if opened and not any(each.serves for each in found):
        found.insert(0, _of_loaded(opened))
    return found


def _of_folder(source: Source, name: str, folder: Path, opened: Opened | None) -> Model:
    champion = read_champion(folder)
    description = read_description(folder / champion.model if champion else folder)
    digest, decision = digest_of(folder), load_decision(folder)
    card = read_json(folder / "card.json") if (folder / "card.json").exists() else None
    dataset, model = description["dataset"], str(description["name"])
    fitted = decision.calibration.as_json()
    return Model(
        name=name,
        model=model,
        version=digest[:DIGITS],
        digest=digest,
        source=source,
        serves=_serves(source, name, digest, opened),
        kind=description["kind"],
        classes=dataset["classes"],
        names=dataset["names"],
        image_size=dataset["image_size"],
        data=champion.data if champion else None,
        hyperparameters=_hyperparameters(description),
        backbone=_backbone(description),
        last_activation=_last_activation(description),
        accuracy=_of_card(card) or (_of_leaderboard(model, folder) if source == "folder" else None),
        worst_degraded=_worst_of_card(card) or (_worst_degraded(model, folder) if source == "folder" else None),
        calibration=None if fitted["method"] == "none" else fitted,
        certificate=decision.certificate.line if decision.certificate else None,
        card=card,
    )


def _serves(source: Source, name: str, digest: str, opened: Opened | None) -> bool:
    """Whether these files answer: the model that does may have been loaded from files that were there before."""
    if opened is None:
        return False
    return (opened.reference.source, opened.reference.name, opened.digest) == (source, name, digest)


def _of_loaded(opened: Opened) -> Model:
    """What is known of the model that answers without its files: no card, and no figures."""
    return Model(
        name=opened.reference.name,
        version=opened.version.version,
        source=opened.reference.source,
        serves=True,
        hyperparameters=_hyperparameters(opened.description),
        **_of_opened(opened),
    )


def _of_registry(registered: Registered, opened: Opened | None) -> Model:
    serving = opened if opened and opened.reference.source == "registry" else None
    serves = bool(
        serving and (serving.reference.name, serving.reference.version) == (registered.name, registered.version)
    )
    return Model(
        name=registered.name,
        version=registered.version,
        source="registry",
        aliases=registered.aliases,
        serves=serves,
        hyperparameters=dict(registered.parameters),
        accuracy=_of_run(registered.figures),
        **(_of_opened(serving) if serving and serves else dict.fromkeys(UNTIL_SERVED)),
    )


def _of_opened(opened: Opened) -> dict[str, Any]:
    """What only the files of a model tell, as they were loaded."""
    dataset, fitted = opened.model.dataset, opened.decision.calibration.as_json()
    return {
        "model": opened.model.name,
        "digest": opened.digest,
        "kind": opened.description["kind"],
        "classes": dataset.classes,
        "names": dataset.names,
        "image_size": dataset.image_size,
        "data": opened.data,
        "backbone": _backbone(opened.description),
        "last_activation": _last_activation(opened.description),
        "calibration": None if fitted["method"] == "none" else fitted,
        "certificate": opened.certificate,
    }


def _hyperparameters(description: dict[str, Any]) -> dict[str, Any]:
    keys = ("settings", "features", "design", "options", "method", "members", "weights", "temperatures")
    return {key: description[key] for key in keys if description.get(key)}


def _backbone(description: dict[str, Any]) -> str:
    if description["kind"] == "network":
        return str(description["name"])
    parts = description.get("members", []) if description["kind"] == "ensemble" else description.get("features", {})
    return ", ".join(parts)


def _last_activation(description: dict[str, Any]) -> str | None:
    method = description.get("method") or description.get("settings", {}).get("method")
    return ACTIVATIONS.get("network" if description["kind"] == "network" else str(method))


def _of_card(card: dict[str, Any] | None) -> Accuracy | None:
    """From the card, with Wilson's interval."""
    measured = (card or {}).get("measured")
    if not measured or "accuracy" not in measured["figures"]:
        return None
    value = float(measured["figures"]["accuracy"]["value"])
    return _with_interval(str(measured["split"]), value, int(measured["images"]))


def _worst_of_card(card: dict[str, Any] | None) -> Degraded | None:
    """From the card, where it has figures on degraded images."""
    degraded, measured = (card or {}).get("degraded"), (card or {}).get("measured")
    if not degraded or not measured:
        return None
    name, worst = min(degraded["accuracy"].items(), key=lambda item: item[1]["value"])
    return Degraded(
        degradation=name,
        **worst,
        confidence=degraded["confidence"],
        split=measured["split"],
        images=degraded["images"],
        degradations=len(degraded["accuracy"]),
    )


def _of_leaderboard(model: str, folder: Path) -> Accuracy | None:
    """From the leaderboard, if that is of this model: on test where that is labelled, else on validation."""
    board = _leaderboard(folder)
    row = board["models"].get(model)
    if row is None:
        return None
    on_test = "test" in row and "test_images" in board
    figures = row["test"] if on_test else row
    return Accuracy(
        split="test" if on_test else "validation",
        value=figures["accuracy"],
        low=figures["low"],
        high=figures["high"],
        confidence=board.get("confidence", CONFIDENCE),
        images=board["test_images" if on_test else "images"],
    )


def _worst_degraded(model: str, folder: Path) -> Degraded | None:
    """From the leaderboard, if degraded images were part of it."""
    board = _leaderboard(folder)
    worst = board["models"].get(model, {}).get("worst")
    if worst is None:
        return None
    confidence = board.get("confidence", CONFIDENCE)
    bounds = {"low": worst["low"], "high": worst["high"], "confidence": confidence} if "low" in worst else {}
    return Degraded(degradation=worst["cell"], value=worst["accuracy"], **bounds)


def _leaderboard(folder: Path) -> dict[str, Any]:
    """metrics/leaderboard.json beside the models folder; without models if there is none."""
    file = folder.resolve().parents[1] / "metrics" / "leaderboard.json"
    return read_json(file) if file.exists() else {"models": {}}


def _of_run(figures: dict[str, float]) -> Accuracy | None:
    """From the figures that the stage `track` logs, with Wilson's interval."""
    if not {"accuracy", "images"} <= figures.keys():
        return None
    return _with_interval("validation", figures["accuracy"], int(figures["images"]))


def _with_interval(split: str, value: float, images: int) -> Accuracy:
    from fakeprint.evaluation.intervals import wilson

    low, high = wilson(round(value * images), images, CONFIDENCE)
    return Accuracy(split=split, value=value, low=low, high=high, confidence=CONFIDENCE, images=images)
