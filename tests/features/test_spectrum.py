import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis.extra.numpy import arrays

from fakeprint.errors import InputError
from fakeprint.features.spectrum import HIGHEST, radial_log_power, spectrum


@pytest.mark.parametrize(("down", "right"), [(0, 8), (8, 0), (5, -12), (0, 32), (32, 32)])
def test_a_sinusoid_peaks_in_its_ring(down, right):
    side, bins = 64, 20
    y, x = np.indices((side, side))
    wave = np.cos(2 * np.pi * (down * y + right * x) / side).astype(np.float32)[None]
    power = radial_log_power(wave, bins)
    ring = min(int(np.hypot(down / side, right / side) / HIGHEST * bins), bins - 1)
    assert power.argmax() == ring
    assert np.delete(power[0], ring).max() < 1e-3


@pytest.mark.parametrize("shape", [(16, 16), (15, 17), (20, 15)])
def test_agrees_with_the_whole_plane(shape):
    plane = np.random.default_rng(1).normal(size=(1, *shape)).astype(np.float32)
    power = np.log1p(np.abs(np.fft.fft2(plane[0] - plane[0].mean())) ** 2 / plane.size)
    radius = np.hypot(np.fft.fftfreq(shape[0])[:, None], np.fft.fftfreq(shape[1])[None, :])
    ring = np.minimum(radius / HIGHEST * 6, 5).astype(int)
    ring[0, 0] = -1
    expected = [power[ring == number].mean() for number in range(6)]
    np.testing.assert_allclose(radial_log_power(plane, 6)[0], expected, rtol=1e-5)


def test_residual_is_what_the_median_takes_away():
    image = np.full((16, 16, 3), 100, dtype=np.uint8)
    image[8, 8, 1] = 180  # a lone green pixel: the median filter removes all of it
    features = spectrum(image, bins=5).reshape(6, 5)
    assert not features[[0, 2, 3, 5]].any()
    np.testing.assert_allclose(features[1], features[4], rtol=1e-5)
    np.testing.assert_allclose(features[1], np.log1p(80**2 / 256), rtol=1e-5)


@settings(max_examples=25, deadline=None)
@given(arrays(np.uint8, (12, 16, 3)))
def test_mirrors_change_nothing(image):
    features = spectrum(image, bins=8)
    assert features.shape == (48,) and features.dtype == np.float32
    assert np.isfinite(features).all() and (features >= 0).all()
    np.testing.assert_allclose(spectrum(image[:, ::-1], bins=8), features, rtol=1e-3, atol=1e-4)


def test_too_many_rings_is_one_line():
    image = np.zeros((16, 16, 3), dtype=np.uint8)
    with pytest.raises(InputError, match=r"features.spectrum.bins: 200 rings are too many .* at most (\d+)$") as error:
        spectrum(image, bins=200)
    most = int(str(error.value).rsplit(" ", 1)[1])
    assert spectrum(image, bins=most).shape == (6 * most,)
    with pytest.raises(InputError):
        spectrum(image, bins=most + 1)
