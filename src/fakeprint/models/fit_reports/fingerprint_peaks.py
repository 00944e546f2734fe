"""Periods in a fingerprint: peaks of its spectrum and of its autocorrelation.

Upsampling by a fixed factor treats the pixels of a cell unequally, and what it adds to them repeats from cell to cell:
a mean residual with period p has peaks at multiples of 1/p cycles per pixel, and its autocorrelation at multiples of p.
"""

from dataclasses import dataclass

import numpy as np
import scipy.fft
from scipy.ndimage import maximum_filter, median_filter

NEIGHBOURHOOD = 7  # side in frequencies of the square whose median is the background
LOWEST = 3  # frequencies closer to 0 than so many steps are the scene's, not tested
CHANCE = 0.01  # that the spectrum of noise without any period shows a peak
LEAST = 0.3  # autocorrelation of a repeat; scenes alone reach 0.24 in the demo
MOST = 8  # peaks that are kept
CROSS = np.array([[0, 1, 0], [1, 1, 1], [0, 1, 0]])
LONGEST = 24  # pixels; of the shifts that are looked at


@dataclass(frozen=True)
class Peak:
    """down, right: cycles per pixel in the spectrum, pixels in the autocorrelation. height: of `Analysis`' array."""

    down: float
    right: float
    height: float


@dataclass(frozen=True)
class Analysis:
    """Spectrum and autocorrelation of one fingerprint of S × S pixels.

    power: float64 (S, S), the mean power of its channels, frequency 0 first. excess: power over its background, the
    power of neighbouring frequencies. autocorrelation: float64 (S, S), shift 0 first, of the fingerprint with the
    background divided out, so that only periods remain; 1 at shift 0.
    """

    power: np.ndarray
    excess: np.ndarray
    autocorrelation: np.ndarray

    @property
    def spectral_peaks(self) -> list[Peak]:
        """The frequencies of greatest excess, at most `MOST`, one of each pair of opposites; height is the excess.

        What noise without any period would reach anywhere in the plane with probability `CHANCE` is no peak (after
        Bonferroni). In noise a power is exponential, and the background is the median of so many: their ratio exceeds x
        with probability Π k / (k + x / ln 2), k from the middle to the number of neighbours. Where the coefficient is
        real, the power is chi-squared with one degree of freedom, and half of x gives a bound.
        """
        side = len(self.power)
        frequency = scipy.fft.fftfreq(side)
        frequency[frequency == -0.5] = 0.5
        real = np.isin(frequency, (0, 0.5))
        degrees = np.where(np.logical_and.outer(real, real), 1, 2)
        tested = _one_of_each_pair(side) & (np.hypot.outer(frequency, frequency) * side >= LOWEST)
        ratio = self.excess * degrees / 2 / np.log(2)
        orders = np.arange(NEIGHBOURHOOD**2 // 2 + 1, NEIGHBOURHOOD**2 + 1)[:, None, None]
        chance = np.exp(-np.log1p(ratio / orders).sum(axis=0)) * np.count_nonzero(tested)
        return _highest(self.excess, tested & (chance < CHANCE), frequency, np.ones((3, 3)))

    @property
    def repeats(self) -> list[Peak]:
        """The shifts of greatest autocorrelation, at most `MOST`, up to `LONGEST` pixels, one of each opposite pair.

        Autocorrelation below `LEAST` is no repeat, and neither is that of neighbouring pixels.
        """
        side = len(self.power)
        shift = scipy.fft.fftfreq(side, 1 / side)
        length = np.hypot.outer(shift, shift)
        tested = _one_of_each_pair(side) & (length > 1) & (length <= LONGEST) & (self.autocorrelation >= LEAST)
        # a checkerboard repeats along its diagonals: only the four nearest places are compared
        return _highest(self.autocorrelation, tested, shift, CROSS)


def analysed(planes: np.ndarray) -> Analysis:
    """Analyse one fingerprint, float (channels, S, S)."""
    side = planes.shape[1]
    window = np.hanning(side + 2)[1:-1]
    centred = (planes - planes.mean(axis=(1, 2), keepdims=True)) * np.outer(window, window)
    power = (np.abs(scipy.fft.fft2(centred.astype(np.float64))) ** 2).mean(axis=0) / side**2
    # ln 2: the median of an exponential distribution of mean 1
    background = median_filter(power, size=NEIGHBOURHOOD, mode="wrap") / np.log(2)
    excess = np.divide(power, background, out=np.ones_like(power), where=background > 0)
    excess[0, 0] = 0
    repeated = scipy.fft.ifft2(excess).real
    return Analysis(power, excess, repeated / repeated[0, 0])


def _one_of_each_pair(side: int) -> np.ndarray:
    """Whether a place of a plane (side, side), origin first, is not after its opposite; never so at the origin."""
    place = np.arange(side**2).reshape(side, side)
    opposite = np.roll(place[::-1, ::-1], 1, axis=(0, 1))
    return (place <= opposite) & (place > 0)


def _highest(values: np.ndarray, allowed: np.ndarray, scale: np.ndarray, around: np.ndarray) -> list[Peak]:
    """The highest of the allowed places, highest first, that no place `around` them exceeds.

    scale: what each row and column stands for.
    """
    allowed = allowed & (values == maximum_filter(values, footprint=around, mode="wrap"))
    order = np.argsort(-values[allowed], kind="stable")[:MOST]
    return [
        Peak(float(scale[down]), float(scale[right]), float(values[down, right]))
        for down, right in np.argwhere(allowed)[order]
    ]
