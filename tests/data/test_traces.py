import io
from collections.abc import Callable

import numpy as np
import pytest
from PIL import Image

from fakeprint.data.decode import decode
from fakeprint.data.scan import Scan, scan_image
from fakeprint.data.shortcuts import Audit, audit, columns_of, container_facts
from fakeprint.data.traces import QUALITIES, columns_by_fact, traces

Change = Callable[[Image.Image], Image.Image]


def jpeg(quality: int) -> Change:
    def saved(picture: Image.Image) -> Image.Image:
        content = io.BytesIO()
        picture.save(content, "JPEG", quality=quality)
        return Image.open(content)

    return saved


def twice(picture: Image.Image) -> Image.Image:
    return jpeg(85)(jpeg(60)(picture))


def larger(factor: float) -> Change:
    return lambda picture: picture.resize(
        picture.size, Image.Resampling.BICUBIC, box=(0, 0, picture.width / factor, picture.height / factor)
    )


def unchanged(picture: Image.Image) -> Image.Image:
    return picture


def files(draw: Callable[..., np.ndarray], some: Change, others: Change, count: int = 120) -> list[Scan]:
    """Scans of PNGs of one length: pictures of even numbers changed in one way, those of odd numbers in the other."""
    scans = []
    for number in range(count):
        content = io.BytesIO()
        (some, others)[number % 2](Image.fromarray(draw(number, 64))).save(content, "PNG", compress_level=0)
        scans.append(scan_image(content.getvalue(), 0, 10**6))
    return scans


def audits(scans: list[Scan]) -> tuple[Audit, Audit]:
    """Of container facts, and of traces."""
    labels, groups = np.array(["a", "b"] * (len(scans) // 2), dtype=object), np.arange(len(scans))
    of_containers = container_facts([scan.facts for scan in scans])
    of_pixels = columns_by_fact(np.stack([scan.traces for scan in scans if scan.traces is not None]))
    return audit(of_containers, labels, groups, 7, "shortcut"), audit(columns_of(of_pixels), labels, groups, 7, "trace")


@pytest.mark.slow
@pytest.mark.parametrize(
    ("some", "others", "strongest"),
    [
        (jpeg(75), unchanged, {"compression", "block_grid"}),
        (twice, jpeg(85), {"compression"}),
        (larger(1.5), unchanged, {"interpolation"}),
        (larger(2), unchanged, {"interpolation", "block_grid"}),  # a period of two is one of eight, too
    ],
    ids=["JPEG saved as PNG", "compressed twice", "scaled by 1.5", "scaled by 2"],
)
def test_what_the_container_does_not_tell_the_pixels_do(
    draw: Callable[..., np.ndarray], some: Change, others: Change, strongest: set[str]
) -> None:
    containers, pixels = audits(files(draw, some, others))
    assert (containers.by_fact, containers.found(0)) == ({}, False)
    assert pixels.found(0.5), pixels
    assert next(iter(pixels.by_fact)) in strongest, pixels


@pytest.mark.slow
def test_traces_of_a_share_of_the_images_are_measured(draw: Callable[..., np.ndarray]) -> None:
    contents = []
    for number in range(200):
        content = io.BytesIO()
        Image.fromarray(draw(number)).save(content, "PNG")
        contents.append(content.getvalue())
    some, more = (
        [scan_image(content, 0, 10**6, traced).traces is not None for content in contents] for traced in (0.3, 0.6)
    )
    assert 40 < sum(some) < 80
    assert 95 < sum(more) < 145
    assert all(also for one, also in zip(some, more, strict=True) if one)


@pytest.mark.slow
def test_pictures_of_the_same_treatment_are_not_distinguished(draw: Callable[..., np.ndarray]) -> None:
    assert not audits(files(draw, jpeg(75), jpeg(75)))[1].found(0.25)


def test_a_quality_and_a_grid_are_found_where_they_are(draw: Callable[..., np.ndarray]) -> None:
    picture = np.asarray(jpeg(75)(Image.fromarray(draw(1, 400))).convert("L"))  # larger than what is measured
    facts = columns_by_fact(traces(picture)[None])
    assert QUALITIES[int(facts["compression"].argmax())] == 75
    across, down = facts["block_grid"][0, :3], facts["block_grid"][0, 3:]
    assert (across[0], across[2]) == (across[1], 0)
    assert (down[0], down[2]) == (down[1], 0)
    facts = columns_by_fact(traces(picture[2:, 3:])[None])
    assert facts["compression"].max() < 0.1
    assert (facts["block_grid"][0, 2], facts["block_grid"][0, 5]) == (5, 6)


@pytest.mark.parametrize("side", [1, 15, 16, 17, 23, 255, 300])
@pytest.mark.parametrize("value", [0, 255, "noise"])
def test_values_are_finite_for_any_picture(side: int, value: int | str) -> None:
    noise = np.random.default_rng(side).integers(0, 256, (side, side + 3), dtype=np.uint8)
    found = traces(noise if value == "noise" else np.full((side, side + 3), value, dtype=np.uint8))
    assert found.dtype == np.float32
    assert found.shape == (sum(columns.shape[1] for columns in columns_by_fact(found[None]).values()),)
    assert np.isfinite(found).all()
    if side < 16 or value != "noise":
        assert not found[[place for place in range(len(found)) if place not in (2, 5)]].any()


def test_chroma_subsampling_is_a_fact_of_the_container(draw: Callable[..., np.ndarray]) -> None:
    for subsampling in ("4:4:4", "4:2:2", "4:2:0"):
        content = io.BytesIO()
        Image.fromarray(draw(1)).save(content, "JPEG", subsampling=subsampling)
        assert decode(content.getvalue(), 10**6).facts.chroma == subsampling
    for mode, form, chroma in (("L", "JPEG", "grey"), ("CMYK", "JPEG", "1x1 1x1 1x1 1x1"), ("RGB", "PNG", "")):
        content = io.BytesIO()
        Image.fromarray(draw(1)).convert(mode).save(content, form)
        assert decode(content.getvalue(), 10**6).facts.chroma == chroma
