"""Periods in fingerprints: those that are planted, those of the demo's decoders, and none in noise."""

import numpy as np
import pytest
from scipy.ndimage import gaussian_filter

from fakeprint.data import demo
from fakeprint.features.residual_image import residual_image
from fakeprint.models.fit_reports.fingerprint_peaks import LEAST, MOST, analysed
from fakeprint.models.fit_reports.fingerprints import fingerprint_picture, peak_table

SIDE = 64
DRAW = demo.Draw(size=SIDE, train=5, validation=5, test=1, strength=(0.2, 1.0), habits=1.6, noise=(1.0, 3.5))
IMAGES = 40  # per decoder
CELL_OF_TWO = {(0.5, 0.0), (0.0, 0.5), (0.5, 0.5)}  # frequencies of what repeats every 2 pixels both ways


def noise(seed, side=SIDE):
    return np.random.default_rng(seed).normal(size=(3, side, side))


def places(peaks):
    return {(peak.down, peak.right) for peak in peaks}


@pytest.fixture(scope="module")
def decoded():
    """The analysis of each decoder's fingerprint, of scenes of its own."""
    found = {}
    for number, decoder in enumerate(demo.DECODERS):
        total = np.zeros(3 * SIDE**2)
        for image in range(IMAGES):
            total += residual_image(demo.image(7, DRAW, IMAGES * number + image, decoder), "wavelet", "rgb", 0)
        found[decoder] = analysed((total / IMAGES).reshape(3, SIDE, SIDE))
    return found


@pytest.mark.slow
@pytest.mark.parametrize("decoder", ["subpixel_shuffle", "transposed_conv"])
def test_peaks_stand_where_the_decoder_put_them(decoder, decoded):
    """Both decoders give the four pixels of each 2×2 cell gains or offsets of their own."""
    spectral, repeats = decoded[decoder].spectral_peaks, decoded[decoder].repeats
    assert places(spectral[:3]) == CELL_OF_TWO
    assert min(peak.height for peak in spectral[:3]) > 100
    assert places(repeats[:4]) == {(0.0, 2.0), (2.0, 0.0), (2.0, 2.0), (2.0, -2.0)}
    assert all(peak.down % 2 == 0 and peak.right % 2 == 0 for peak in repeats)


@pytest.mark.parametrize("decoder", ["block_latent", "fir_upsampling", "nearest_conv"])
def test_traces_whose_sign_is_the_scene_s_leave_no_period(decoder, decoded):
    """Codes of blocks, staircases and lost detail are as often above as below the scene: their mean is none."""
    assert decoded[decoder].repeats == []
    assert not places(decoded[decoder].spectral_peaks) & CELL_OF_TWO


def test_the_habits_of_a_class_make_no_peak(decoded):
    heights = {name: max([peak.height for peak in each.spectral_peaks], default=0) for name, each in decoded.items()}
    weakest = min(heights["subpixel_shuffle"], heights["transposed_conv"])
    assert max(heights[name] for name in ("block_latent", "fir_upsampling", "nearest_conv")) < weakest / 50


@pytest.mark.parametrize("side", [64, 65, 100])
@pytest.mark.parametrize("period", [4, 5, 8])
def test_a_planted_period_is_found(side, period):
    waves = 0.3 * np.cos(2 * np.pi * np.arange(side) / period)
    analysis = analysed(noise(0, side) + waves[:, None])
    (peak,) = analysis.spectral_peaks
    assert peak.right == 0 and abs(peak.down - 1 / period) <= 0.5 / side + 1e-9
    table = peak_table(analysis, "x")
    assert table["class"].eq("x").all() and table["kind"].tolist()[0] == "spectrum"
    assert table["period"][0] == pytest.approx(period, abs=period**2 / side)


def test_a_diagonal_wave_keeps_its_direction():
    y, x = np.mgrid[:SIDE, :SIDE]
    (peak,) = analysed(noise(1) + 0.4 * np.cos(2 * np.pi * (y / 4 - x / 8))).spectral_peaks
    assert (peak.down, peak.right) == (0.25, -0.125)


def test_blocks_of_eight_repeat_every_eight_pixels():
    block = np.random.default_rng(2).normal(size=(3, 8, 8))
    analysis = analysed(noise(3) + 2 * np.tile(block, (1, 8, 8)))
    assert places(analysis.repeats[:4]) == {(0.0, 8.0), (8.0, 0.0), (8.0, 8.0), (8.0, -8.0)}
    assert len(analysis.repeats) == MOST and analysis.repeats[0].height > LEAST
    for peak in analysis.spectral_peaks:
        assert (8 * peak.down) % 1 == 0 and (8 * peak.right) % 1 == 0


@pytest.mark.slow
def test_noise_has_no_peaks():
    """Smooth noise as well: its power falls off, and the background with it."""
    grey = [analysed(noise(seed)[:1]) for seed in range(200)]  # three channels of one noise each are as hard
    smooth = [analysed(gaussian_filter(noise(seed), (0, 0.7, 0.7))) for seed in range(5)]
    # with probability 0.001, 200 draws of 1 % give more than 7; a chi-squared threshold gives about 9 of 200
    assert sum(bool(each.spectral_peaks) for each in [*grey, *smooth]) <= 7
    assert all(each.repeats == [] for each in [*grey, *smooth])


@pytest.mark.parametrize("side", [16, 17])
def test_a_constant_fingerprint_and_small_images(side):
    analysis = analysed(np.full((3, side, side), 2.5))
    assert np.isfinite(analysis.autocorrelation).all()
    assert analysis.spectral_peaks == [] and analysis.repeats == []
    figure = fingerprint_picture(np.full((3, side, side), 2.5), analysis, "nothing", "grey levels")
    assert [axes.get_title() for axes in figure.axes[:3]] == ["nothing", "log spectrum", "autocorrelation, flattened"]


def test_peaks_are_ringed_where_they_are():
    """Of an even side, ½ cycle per pixel is the lowest row or column of the picture."""
    y, x = np.mgrid[:SIDE, :SIDE]
    planes = noise(4) + 0.5 * np.where((y + x) % 2, 1, -1) + 0.4 * np.cos(2 * np.pi * x / 4)
    figure = fingerprint_picture(planes, analysed(planes), "two waves", "grey levels")
    ringed = {tuple(place) for place in figure.axes[1].collections[0].get_offsets().tolist()}
    assert ringed == {(-0.5, -0.5), (0.25, 0.0), (-0.25, 0.0)}
    left, right = figure.axes[1].get_xlim()
    assert left < -0.5 < 0.5 - 1 / SIDE < right
