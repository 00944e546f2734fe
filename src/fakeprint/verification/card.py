"""card.json in a model's folder: the digest of every file, the figures, and the images that they were measured on.

A card is read as a stranger's: its names are compared with those of the folder's files, and never opened.
"""

import json
from collections.abc import Mapping
from importlib import metadata
from pathlib import Path
from typing import Annotated, Any, Literal

import annotated_types
from pydantic import BaseModel, ConfigDict, PositiveInt, ValidationError

from fakeprint.data.decode import Unreadable
from fakeprint.data.regular import read_regular
from fakeprint.errors import InputError, printable
from fakeprint.files import write_json
from fakeprint.params import Data, Prepare, Validate
from fakeprint.verification.files import FileDigest, HexDigest, digests_of

CARD = "card.json"
LONGEST = 2**24  # bytes of a card that is read
DIGITS = 4  # decimals of a figure
ANSWER_DIGITS = 3  # decimals of a probability of the sample
PACKAGES = ("fakeprint", "numpy", "scipy", "scikit-learn", "torch", "pillow")  # what figures depend on
PRECISION = (
    "Figures are compared to half a unit (0.52) of their last digit. Networks compute in float32, whose last bits "
    "differ between kinds of CPUs and GPUs and between versions of torch: about 1e-6 of a probability. An image whose "
    "two most probable classes are that close may change its class, which moves accuracy, precision and recall by one "
    "image."
)
# The keys of params.yaml that decide which images are the validation split, and how they are read.
SOURCE_KEYS = (
    "seed",
    "data.layout",
    "data.image_column",
    "data.label_column",
    "data.generator_column",
    "data.group_column",
    "data.validation_fraction",
    "data.test_fraction",
    "data.per_class",
    "data.max_pixels",
    "validate.near_duplicate_bits",
    "validate.on_leak",
    "prepare.fold",
    "prepare.folds",
)

Digits = Annotated[int, annotated_types.Interval(ge=0, le=15)]
Share = Annotated[float, annotated_types.Interval(ge=0, le=1)]


class _Part(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False, strict=True)


class Figure(_Part):
    """A figure, rounded to this number of decimals."""

    value: float
    digits: Digits


class Measured(_Part):
    """Figures on labelled images.

    title: of the data. images: their number. pixels, labels, ids: digests of the images (`images.Digest`). source: the
    values of `SOURCE_KEYS` by which they were found. bins: of the calibration error. fitted_on_them: whether
    something in the folder was fitted on these images too, so that the figures are better than on new ones. figures:
    as `figures.by_name` names them.
    """

    title: str
    split: Literal["validation"]
    images: PositiveInt
    pixels: HexDigest
    labels: HexDigest
    ids: HexDigest
    source: dict[str, Any]
    bins: Annotated[int, annotated_types.Interval(ge=1, le=10_000)]
    fitted_on_them: bool
    figures: dict[str, Figure]


class Sample(_Part):
    """Answers for the pictures of `drawn.pictures`: by picture the probabilities of the classes, rounded.

    pixels: digest of the pictures as the model takes them.
    """

    pixels: HexDigest
    digits: Digits
    answers: dict[str, list[float]]


class Interval(_Part):
    """A share with its interval, rounded."""

    value: Share
    low: Share
    high: Share


class Degraded(_Part):
    """Accuracy on the measured images after each was degraded. `verify` does not measure it again.

    images: their number. confidence: of the intervals. accuracy: by the name of the degradation.
    """

    images: PositiveInt
    confidence: Annotated[float, annotated_types.Interval(gt=0, lt=1)]
    accuracy: Annotated[dict[str, Interval], annotated_types.MinLen(1)]


class Card(_Part):
    """The content of card.json.

    files: every file of the folder but card.json, `/` between the parts. measured, degraded, sample: None where there
    are no such figures; without `degraded` the file has no such key. versions: of the packages that the figures were
    computed with. precision: which digits may differ.
    """

    format: Literal[1] = 1
    model: str
    files: dict[str, FileDigest]
    measured: Measured | None = None
    degraded: Degraded | None = None
    sample: Sample | None = None
    versions: dict[str, str]
    precision: str = PRECISION


def write_card(
    folder: Path,
    model: str,
    measured: Measured | None,
    sample: Sample | None = None,
    degraded: Degraded | None = None,
) -> Card:
    """Write card.json into a folder whose other files are complete. Raises InputError for a link among them."""
    card = Card(
        model=model,
        files=digests_of(folder, CARD),
        measured=measured,
        degraded=degraded,
        sample=sample,
        versions=_installed_versions(),
    )
    write_json(folder / CARD, card.model_dump(exclude={"degraded"} if degraded is None else None))
    return card


def read_card(folder: Path) -> Card:
    """Read a folder's card. Raises InputError if there is none, or none of this form."""
    path = folder / CARD
    if not path.is_symlink() and not path.exists():
        raise InputError(f"{path} is missing: there is nothing to compare {folder} with")
    if path.is_symlink():
        raise InputError(f"{path} is a link, which is not followed: put the card itself there")
    try:
        return Card.model_validate(json.loads(read_regular(path, LONGEST)))
    except Unreadable as error:
        raise InputError(f"{path} cannot be read: {error.reason}") from None
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        place = printable(".".join(map(str, first["loc"])) or "its content")
        raise InputError(f"{path} is not a card of this version: {place}: {first['msg']}") from None
    except (ValueError, RecursionError):  # JSONDecodeError and UnicodeDecodeError are ValueErrors
        raise InputError(f"{path} is not valid JSON") from None


def source_of(seed: int, data: Data, checks: Validate, prepare: Prepare) -> dict[str, Any]:
    """The values of `SOURCE_KEYS`, and of no other key: a stage depends on each key that it looks at."""
    blocks = {"data": data, "validate": checks, "prepare": prepare}
    values: dict[str, Any] = {}
    for key in SOURCE_KEYS:
        block, _, name = key.rpartition(".")
        value = getattr(blocks[block], name) if block else seed
        values[key] = dict(value) if isinstance(value, Mapping) else value
    return values


def _installed_versions() -> dict[str, str]:
    found = {}
    for package in PACKAGES:
        try:
            found[package] = metadata.version(package)
        except metadata.PackageNotFoundError:
            continue
    return found
