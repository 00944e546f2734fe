import cv2
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from fakeprint.features import colour

IMAGES = arrays(np.uint8, st.tuples(st.integers(4, 12), st.integers(4, 12), st.just(3)))


def test_rgb_hist_by_hand():
    image = np.array([[[0, 0, 0], [255, 0, 0]], [[127, 128, 255], [255, 0, 0]]], dtype=np.uint8)
    histogram = colour.rgb_hist(image, bins=2)
    expected = np.zeros((2, 2, 2))
    expected[0, 0, 0] = 0.25
    expected[1, 0, 0] = 0.5
    expected[0, 1, 1] = 0.25
    np.testing.assert_array_equal(histogram.reshape(2, 2, 2), expected)


def test_hsv_hist_by_hand():
    red, grey = [255, 0, 0], [100, 100, 100]  # hue 0, saturation 255 and 0, value 255 and 100
    histogram = colour.hsv_hist(np.array([[red, red, red, grey]], dtype=np.uint8), bins=4)
    hue, saturation, value = histogram.reshape(3, 4)
    np.testing.assert_allclose(hue, [4 / 12, 0, 0, 0])
    np.testing.assert_allclose(saturation, [1 / 12, 0, 0, 3 / 12])
    np.testing.assert_allclose(value, [0, 1 / 12, 0, 3 / 12])


def test_hsv_joint_by_hand():
    blue = [0, 0, 200]  # hue 240 degrees = 120 of 180, saturation 255, value 200
    histogram = colour.hsv_joint(np.full((3, 3, 3), blue, dtype=np.uint8), bins=8)
    assert np.flatnonzero(histogram).tolist() == [(120 * 8 // 180) * 64 + 7 * 8 + 200 * 8 // 256]
    assert histogram.max() == 1


def test_every_value_falls_in_its_bin():
    greys = np.repeat(np.arange(256, dtype=np.uint8), 3).reshape(16, 16, 3)
    for bins in (5, 8, 16, 32):
        diagonal = np.einsum("iii->i", colour.rgb_hist(greys, bins).reshape(bins, bins, bins))
        np.testing.assert_array_equal(diagonal * 256, np.bincount(np.arange(256) * bins // 256))


@pytest.mark.slow
@given(IMAGES, st.sampled_from([2, 8, 16]))
def test_histograms_sum_to_one_and_ignore_place(image, bins):
    for describe, size in ((colour.rgb_hist, bins**3), (colour.hsv_joint, bins**3), (colour.hsv_hist, 3 * bins)):
        histogram = describe(image, bins=bins)
        assert histogram.shape == (size,) and histogram.dtype == np.float32
        assert abs(histogram.sum(dtype=np.float64) - 1) < 1e-6
        np.testing.assert_array_equal(histogram, describe(np.ascontiguousarray(image[::-1, ::-1]), bins=bins))


def test_pixels_averages_areas():
    image = np.zeros((4, 4, 3), dtype=np.uint8)
    image[:2, :2, 0] = [[0, 100], [100, 200]]
    shrunk = colour.pixels(image, size=2).reshape(2, 2, 3)
    assert shrunk.dtype == np.float32
    np.testing.assert_allclose(shrunk[0, 0], [100 / 255, 0, 0], rtol=1e-6)
    assert not shrunk[1].any()
    np.testing.assert_allclose(colour.pixels(image, size=4), cv2.resize(image, (4, 4)).ravel() / np.float32(255))
