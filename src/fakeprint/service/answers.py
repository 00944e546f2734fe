"""Image files in, the body of an answer out: the batcher's probabilities, the model's decision, maps and evidence."""

import asyncio
import base64
from collections.abc import Callable, Iterator
from concurrent.futures import CancelledError
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import numpy as np

from fakeprint.data.decode import Unreadable as NoImage
from fakeprint.errors import InputError
from fakeprint.evidence.findings import NEVER_CHECKED, Report
from fakeprint.evidence.inspection import Inspection
from fakeprint.predict import image_of
from fakeprint.service import maps
from fakeprint.service.batching import Batcher, Full, Read
from fakeprint.service.opened import Opened
from fakeprint.service.problems import ServiceError
from fakeprint.service.schemas import Evidence, Prediction, PredictResponse, Unreadable
from fakeprint.verdict.decision import Answer

T = TypeVar("T")

FEW = 2  # images, whose answers take a fraction of a millisecond each
TOO_MANY = "so many images wait that no more are taken; try again soon"


@dataclass(frozen=True)
class Requested:
    """A request. images: the name of each file, and its content, or as text the reason why that is not looked at."""

    images: list[tuple[str, bytes | str]]
    explain: bool = False
    evidence: bool = False


def inspection_of(trust: Path | None) -> Inspection:
    """What inspects files. trust: root certificates. Raises InputError if these are unusable."""
    from fakeprint.evidence.content_credentials import is_available, read_trust_list

    if trust is None:
        return Inspection()
    if not is_available():
        raise InputError("FAKEPRINT_TRUST needs the package c2pa-python: `pip install 'fakeprint[evidence]'`")
    return Inspection(read_trust_list(trust, "FAKEPRINT_TRUST"))


async def answer(requested: Requested, opened: Opened, batcher: Batcher, inspection: Inspection) -> PredictResponse:
    """Answer a request.

    Args:
        requested: what is wanted.
        opened: the model; it answers all images of the request.
        batcher: shares the forward passes of requests.
        inspection: for evidence.

    Raises:
        ServiceError: 503, too many images wait.
    """
    contents = [content for _, content in requested.images if isinstance(content, bytes)]
    try:
        group = batcher.predict(opened, contents)
    except Full:
        raise ServiceError(503, TOO_MANY, {"Retry-After": "1"}) from None
    try:
        reads = await asyncio.wrap_future(group.done)
        rows = await _beside(len(reads), _rows, opened, reads)
        if requested.explain:
            for row, content in zip(rows, contents, strict=True):
                await _add_map(row, content, opened, batcher)
        if requested.evidence:
            for row, content in zip(rows, contents, strict=True):
                await _add_evidence(row, content, batcher, inspection)
    except (asyncio.CancelledError, CancelledError, Full):  # the first two are different classes
        if batcher.closed:
            raise ServiceError(503, "the service is about to stop; try again soon", {"Retry-After": "5"}) from None
        raise
    finally:
        batcher.cancel(group)
    return await _beside(len(rows), _response, requested, opened, rows)


async def _beside(images: int, work: Callable[..., T], *arguments: Any) -> T:
    """Do work in a thread, or here where there are so few images that the way to a thread would take longer."""
    return work(*arguments) if images <= FEW else await asyncio.to_thread(work, *arguments)


def _rows(opened: Opened, reads: list[Read]) -> list[dict[str, Any]]:
    """Per file the fields of `Prediction`, or of `Unreadable`, without the name."""
    answered = [read for read in reads if read.probabilities is not None]
    rows: Iterator[dict[str, Any]] = iter(())
    if answered:
        probabilities = np.stack([read.probabilities for read in answered if read.probabilities is not None])
        variants = (
            np.stack([read.variants for read in answered if read.variants is not None])
            if opened.variant_count
            else None
        )
        answers = opened.decision.answers(probabilities, opened.model.dataset.names, variants)
        rows = iter([_row(each, opened) for each in answers])
    return [next(rows) if read.probabilities is not None else {"detail": read.reason} for read in reads]


def _row(decided: Answer, opened: Opened) -> dict[str, Any]:
    """The fields, with the index of the class; sums of floats that end a little above 1 are 1."""
    dataset = opened.model.dataset
    row = {"index": decided.label, **decided.as_json(dataset.classes, dataset.names)}
    row["probabilities"] = {label: min(1.0, share) for label, share in row["probabilities"].items()}
    return row | {"score": min(1.0, decided.score)}


async def _add_map(row: dict[str, Any], content: bytes, opened: Opened, batcher: Batcher) -> None:
    if "detail" in row:
        return

    def drawn() -> tuple[bytes | None, str | None]:
        # Decoded again: the pixels of a whole request, kept until here, may be more than the memory
        with batcher.large_alone(content):
            image = image_of(content, opened.limits)
            heat, note = batcher.compute(lambda: opened.mapper.heat(image, row["index"])).result()
            return None if heat is None else maps.png(image, heat), note

    picture, row["map_note"] = await asyncio.wrap_future(batcher.aside(drawn))
    if picture is not None:
        row["map"] = base64.b64encode(picture).decode("ascii")


async def _add_evidence(row: dict[str, Any], content: bytes, batcher: Batcher, inspection: Inspection) -> None:
    if "detail" in row:
        return

    def inspected() -> Report:
        try:
            with batcher.large_alone(content):
                return inspection.of_content(content)
        except NoImage as error:
            return Report(not_checked=[f"the file: {error.reason}"])

    report = await asyncio.wrap_future(batcher.aside(inspected))
    row["evidence"] = [
        Evidence(
            kind=each.kind,
            claim=each.claim,
            strength=each.strength,
            detail="; ".join(f"{key}: {value}" for key, value in each.detail.items()),
        )
        for each in report.findings
    ]
    row["not_checked"] = list(report.not_checked)


def _response(requested: Requested, opened: Opened, rows: list[dict[str, Any]]) -> PredictResponse:
    images: list[Prediction | Unreadable] = []
    of_contents = iter(rows)
    for name, content in requested.images:
        row: dict[str, Any] = next(of_contents) if isinstance(content, bytes) else {"detail": content}
        if "detail" in row:
            images.append(Unreadable(image=name, detail=str(row["detail"])))
            continue
        label = row.pop("class")
        images.append(Prediction(image=name, label=label, **{key: row[key] for key in row if key != "index"}))
    return PredictResponse(
        model=opened.version,
        data=opened.data,
        certificate=opened.certificate,
        never_checked=list(NEVER_CHECKED) if requested.evidence else None,
        images=images,
    )
