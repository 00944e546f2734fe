import itertools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from fakeprint.features.residual import _classes, residual

IMAGES = arrays(np.uint8, st.tuples(st.integers(7, 12), st.integers(7, 12), st.just(3)))
PLAIN = {"truncation": 2, "orders": [1], "steps": [1], "joint": False, "opponent": False, "srm": False}
ALL = PLAIN | {"orders": [1, 2, 3], "steps": [1, 4], "joint": True, "opponent": True, "srm": True}
SQUARES = ALL | {"squares": True}


def by_hand(plane, truncation, order, across):
    """Counts of merged triples of row differences in plain Python: {pattern: count}."""
    differences = np.clip(np.diff(plane.astype(int), n=order, axis=1), -truncation, truncation)
    counts: dict = {}
    for line in (differences.T if across else differences).tolist():
        for a, b, c in zip(line, line[1:], line[2:], strict=False):
            pattern = min((a, b, c), (c, b, a), (-a, -b, -c), (-c, -b, -a))
            counts[pattern] = counts.get(pattern, 0) + 1
    return counts


@pytest.mark.parametrize("order", [1, 2, 3])
def test_agrees_with_plain_counting(order):
    image = np.random.default_rng(3).integers(100, 105, (8, 9, 3), dtype=np.uint8)
    tables = residual(image, **PLAIN | {"orders": [order]}).reshape(2, 2, 3, -1)
    for columns, across, channel in np.ndindex(2, 2, 3):
        plane = image[:, :, channel].T if columns else image[:, :, channel]
        counts = by_hand(plane, 2, order, bool(across))
        expected = sorted(count / sum(counts.values()) for count in counts.values())
        found = tables[columns, across, channel]
        np.testing.assert_allclose(sorted(found[found > 0]), expected, rtol=1e-6)


def test_a_ramp_shows_one_pattern():
    ramp = np.broadcast_to(np.arange(10, dtype=np.uint8)[None, :, None], (10, 10, 3))
    rows, columns = np.split(residual(ramp, **PLAIN | {"truncation": 1, "joint": True}), 2)
    per_channel = 10  # classes of the 27 triples of three levels
    for part in (rows, columns):
        tables = np.split(part, [per_channel * i for i in range(1, 7)])
        assert all(sorted(table)[-2:] == [0, 1] for table in tables)
    # Along the rows every difference is 1, down the columns 0: the pattern (0, 0, 0) is the last of its classes.
    assert rows[per_channel - 1] == 0 and columns[per_channel - 1] == 1


def test_opponent_planes_and_steps_are_tables_like_any():
    image = np.random.default_rng(4).integers(100, 110, (8, 9, 3), dtype=np.uint8)
    red_green = image[:, :, 0].astype(int) - image[:, :, 1] + 100
    as_grey = np.repeat(red_green[:, :, None], 3, axis=2).astype(np.uint8)
    tables = residual(image, **PLAIN | {"opponent": True}).reshape(4, 5, 39)
    np.testing.assert_array_equal(tables[:, :3], residual(image, **PLAIN).reshape(4, 3, 39))
    np.testing.assert_array_equal(tables[:, 3], residual(as_grey, **PLAIN).reshape(4, 3, 39)[:, 0])
    in_fours = residual((4 * (image - 100)).astype(np.uint8), **PLAIN | {"steps": [4]})
    np.testing.assert_array_equal(in_fours, residual(image, **PLAIN))


def test_a_lone_bright_pixel_in_the_srm_residuals():
    image = np.full((9, 9, 3), 50, dtype=np.uint8)
    image[4, 4] = 51
    srm = residual(image, **PLAIN | {"srm": True})[len(residual(image, **PLAIN)) :]
    sizes = [39] * 3 + [63], [39] * 3 + [63], [75] * 3, [75] * 3
    square, laplacian, first, second = (
        np.split(part, np.cumsum(size)[:-1])
        for part, size in zip(np.split(srm, np.cumsum([sum(size) for size in sizes])[:-1]), sizes, strict=True)
    )
    # Square kernel, halved: 1 −1 … rounds to even, (−1 2 −1; 2 −4 2; −1 2 −1) / 2 → (0 1 0; 1 −2 1; 0 1 0).
    # Of the 7×7 places 4 hold ±1 and one −2; the colours agree at each.
    assert sorted(count * 49 for count in square[3] if count) == pytest.approx([1, 4, 44])
    # Laplacian: 1 beside the pixel, −4 at it; halved: 0 (0.5 rounds to even) and −2.
    assert sorted(count * 49 for count in laplacian[3] if count) == pytest.approx([1, 48])
    # First differences. Least: −1 at the pixel. Greatest, negated: 1 at the pixel, −1 at the four beside it. Of 2 · 35
    # triples each: (0 0 0), then (0 0 −1) 4 + 12 times, (0 −1 0) 2 + 4, (0 −1 1) 4, (−1 1 −1) 2.
    for table in first:
        assert sorted(count * 140 for count in table if count) == pytest.approx([2, 4, 6, 16, 112])
    # Second differences. Least: −2 at the pixel, all four being so, and 0 beside it, where one is 1 and three are 0.
    # Greatest, negated: 2 there, −1 at all eight around it.
    for table in second:
        assert sorted(count * 140 for count in table if count) == pytest.approx([2, 2, 4, 4, 4, 8, 12, 104])


def squares_by_hand(planes, step):
    """Each plane's 2×2 patterns and each pair's of two neighbours, as the sorted frequencies of every table."""
    tables = []
    for order, axis in ((1, 2), (1, 1), (2, 2), (2, 1)):
        d = np.clip(np.rint(np.diff(planes.astype(int), n=order, axis=axis) / step), -1, 1).astype(int)
        _, height, width = d.shape
        inner, wide, high = (
            [(y, x) for y in range(height - below) for x in range(width - right)]
            for below, right in ((1, 1), (0, 1), (1, 0))
        )
        found = [
            [(d[c, y, x], d[c, y, x + 1], d[c, y + 1, x], d[c, y + 1, x + 1]) for y, x in inner]
            for c in range(len(planes))
        ]
        for down, places in ((0, wide), (1, high)):
            for a, b in ((0, 1), (2, 1), (0, 2)):
                beside = [(y, x, y + down, x + 1 - down) for y, x in places]
                found.append([(d[a, y, x], d[b, y, x], d[a, v, u], d[b, v, u]) for y, x, v, u in beside])
        tables += [
            np.array([pattern.count(each) / len(pattern) for each in itertools.product((-1, 0, 1), repeat=4)])
            for pattern in found
        ]
    return np.concatenate(tables)


@pytest.mark.parametrize(("step", "opponent"), [(1, True), (2, True), (1, False)])
@pytest.mark.parametrize("more", [{}, {"orders": [3], "truncation": 4}])
def test_squares_agree_with_plain_counting(step, opponent, more):
    """Whatever `orders` and `truncation` say."""
    image = np.random.default_rng(5).integers(100, 106, (8, 9, 3), dtype=np.uint8)
    red, green, blue = image.transpose(2, 0, 1).astype(int)
    options = ALL | {"steps": [step], "opponent": opponent} | more
    found = residual(image, **options | {"squares": True})[len(residual(image, **options)) :]
    planes = [red, green, blue, *([red - green, blue - green] if opponent else [])]
    expected = squares_by_hand(np.stack(planes), step)
    assert len(found) == 4 * (len(planes) + 6) * 81
    np.testing.assert_allclose(found, expected, rtol=1e-6)


def test_pairs_of_colours_are_counted_at_the_coarsest_step():
    image = np.random.default_rng(6).integers(0, 255, (9, 9, 3), dtype=np.uint8)
    both, fine, coarse = (
        residual(image, **ALL | {"steps": steps, "squares": True})[len(residual(image, **ALL | {"steps": steps})) :]
        for steps in ([4, 1], [1], [4])
    )
    assert len(both) == 4 * (2 * 5 + 6) * 81
    tables = both.reshape(4, 16, 81)  # of step 4 with its pairs, then of step 1
    np.testing.assert_array_equal(tables[:, :11], coarse.reshape(4, 11, 81))
    np.testing.assert_array_equal(tables[:, 11:], fine.reshape(4, 11, 81)[:, :5])


def test_squares_are_added_at_the_end_and_see_which_way_an_image_is_turned():
    image = np.random.default_rng(7).integers(0, 255, (9, 9, 3), dtype=np.uint8)
    merged = residual(image, **ALL)
    features, mirrored = residual(image, **SQUARES), residual(image[:, ::-1], **SQUARES)
    np.testing.assert_array_equal(features[: len(merged)], merged)
    np.testing.assert_array_equal(mirrored[: len(merged)], merged)
    assert not np.array_equal(features, mirrored)


def test_classes_merge_sign_and_direction():
    # Of 5³ = 125 triples: (125 + palindromes 25 + sign-symmetric 1 + negated palindromes 5) / 4 by Burnside's lemma.
    assert _classes(5, 3, True).max() + 1 == (125 + 25 + 1 + 5) // 4
    assert _classes(5, 3, False).max() + 1 == (125 + 1) // 2
    classes = _classes(3, 3, True).reshape(3, 3, 3)
    assert classes[0, 1, 2] == classes[2, 1, 0]
    assert classes[0, 0, 1] == classes[2, 2, 1] == classes[1, 0, 0] == classes[1, 2, 2]
    assert classes[0, 0, 1] != classes[0, 1, 0]


@pytest.mark.slow
@settings(max_examples=40, deadline=None)
@given(IMAGES)
def test_tables_sum_to_one_and_mirrors_change_nothing(image):
    features = residual(image, **ALL)
    assert features.dtype == np.float32
    tables = 3 * 2 * (2 * 2 * 5 + 1) + 2 * (3 + 1) + 2 * 3
    assert abs(features.sum(dtype=np.float64) - tables) < 1e-3
    assert abs(residual(image, **SQUARES).sum(dtype=np.float64) - tables - 4 * (2 * 5 + 6)) < 1e-3
    for mirrored in (image[:, ::-1], image[::-1]):
        np.testing.assert_array_equal(residual(mirrored, **ALL), features)


@pytest.mark.slow
@settings(max_examples=25, deadline=None)
@given(arrays(np.uint8, (8, 8, 3), elements=st.integers(0, 200)), st.integers(1, 50))
def test_brightness_changes_nothing(image, more):
    np.testing.assert_array_equal(residual(image + np.uint8(more), **SQUARES), residual(image, **SQUARES))
