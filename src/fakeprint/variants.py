"""Variants of an image that should get its answer: mirrored, compressed, and scaled down and up again."""

from collections.abc import Mapping

from fakeprint.params import Params

# transform → strength, as in robustness.grid, whose names cannot hold a slash; a flip has no strength
VARIANTS: dict[str, Mapping[str, float]] = {
    "variants/mirrored": {"flip": 1},
    "variants/jpeg_75": {"jpeg": 75},
    "variants/rescale_0.8": {"rescale": 0.8},
}


def degradations(settings: Params) -> dict[str, Mapping[str, float]]:
    """Degradations by name that models predict: robustness.grid, and the variants where decide.consistency asks."""
    return {**settings.robustness.grid, **(VARIANTS if settings.decide.consistency else {})}


def is_variant(cell: str) -> bool:
    """Whether a degradation of this name is a variant."""
    return cell in VARIANTS
