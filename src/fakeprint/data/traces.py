"""What compression and scaling leave in pixels, measured apart from what a picture shows.

This module is imported by worker processes, so it imports little.
"""

import numpy as np

SIDE = 256  # pixels; of larger images the middle is measured
SMALLEST = 16  # pixels per side; below it nothing is measured, and all values are 0
QUALITIES = (30, 40, 50, 60, 65, 70, 75, 80, 85, 90, 95)  # of the compressions looked for
BLOCKS = 128  # 8 × 8 blocks whose coefficients are looked at
BORDER = 6  # place of the step between pixels 7 and 8 among those that have one on either side
FAINT = 0.05  # grey levels; weaker differences are as good as none
BANDS = 16  # of the frequencies from 0 to 0.5 cycles per pixel

# Facts and the number of values of each, in the order of `traces`.
FACTS = {"block_grid": 6, "compression": len(QUALITIES), "interpolation": 2 * BANDS}


def traces(grey: np.ndarray) -> np.ndarray:
    """Measure one image.

    `block_grid`, across and down: by how much the step at the borders of 8 × 8 blocks exceeds those beside it, as a
    part of the mean step; the same at the strongest of the eight places, and which that is. JPEG and video code such
    blocks; a cropped picture has the grid at another place.

    `compression`: for each of `QUALITIES`, how well the luminance's DCT coefficients fit the steps of that quality's
    JPEG table, −1 to 1. A picture that was a JPEG fits its quality, also where it is a PNG now; one that was compressed
    twice fits both to a degree (the periods that Lukáš and Fridrich 2003 found in such histograms).

    `interpolation`: the largest amplitude, against the median one, in bands of the spectrum of the mean absolute second
    difference of each column and of each row. Scaling interpolates at a period of its own, which shows as a peak there
    (Gallagher 2005).

    Args:
        grey: uint8 (H, W), luminance.

    Returns:
        float32 (49,), finite: the values of `FACTS`, one fact after the other.
    """
    if min(grey.shape) < SMALLEST:
        return np.zeros(sum(FACTS.values()), dtype=np.float32)
    middle = _middle(grey)
    across, down = _profiles(middle), _profiles(np.ascontiguousarray(middle.T))
    return np.concatenate([_block_grid(across, down), _compression(middle), _interpolation(across, down)])


def columns_by_fact(values: np.ndarray) -> dict[str, np.ndarray]:
    """The columns of each fact: float32 (N, k) of `traces` of N images, float32 (N, 49)."""
    return dict(zip(FACTS, np.split(values, np.cumsum(list(FACTS.values()))[:-1], axis=1), strict=True))


def _middle(grey: np.ndarray) -> np.ndarray:
    """The middle, float32 (h, w), at most `SIDE` pixels per side; its corner is on the image's 8 × 8 grid."""
    top, left = ((length - min(length, SIDE)) // 2 // 8 * 8 for length in grey.shape)
    return grey[top : top + SIDE, left : left + SIDE].astype(np.float32)


def _profiles(grey: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Mean absolute first and second differences along the rows at each column, float32 (w − 1,) and (w − 2,)."""
    mean = np.full(len(grey), 1 / len(grey), dtype=np.float32)
    step = grey[:, 1:] - grey[:, :-1]
    bend = step[:, 1:] - step[:, :-1]
    return mean @ np.abs(step, out=step), mean @ np.abs(bend, out=bend)


def _block_grid(*profiles: tuple[np.ndarray, np.ndarray]) -> np.ndarray:
    values = []
    for step, _ in profiles:
        excess = step[1:-1] - (step[:-2] + step[2:]) / 2  # over the neighbouring steps
        places = excess[: len(excess) // 8 * 8].reshape(-1, 8).mean(axis=0) / (step.mean() + FAINT)
        strongest = int(places.argmax())
        values += [places[BORDER], places[strongest], (strongest - BORDER) % 8]
    return np.array(values, dtype=np.float32)


def _compression(grey: np.ndarray) -> np.ndarray:
    height, width = (length // 8 * 8 for length in grey.shape)
    blocks = grey[:height, :width].reshape(height // 8, 8, width // 8, 8).swapaxes(1, 2).reshape(-1, 64)
    coefficients = blocks[:: -(-len(blocks) // BLOCKS)] @ _DCT
    steps = coefficients.ravel() / np.repeat(_STEPS[:, None], len(coefficients), axis=1).reshape(len(QUALITIES), -1)
    whole = np.rint(steps)
    nonzero = whole != 0  # smaller ones fit any table
    fit = 1 - 4 * np.abs(np.subtract(steps, whole, out=steps), out=steps)
    fits: np.ndarray = np.einsum("ij,ij->i", fit, nonzero.astype(np.float32)) / (
        nonzero.sum(axis=1, dtype=np.float32) + 8
    )
    return fits


def _interpolation(*profiles: tuple[np.ndarray, np.ndarray]) -> np.ndarray:
    bends = np.zeros((len(profiles), SIDE), dtype=np.float32)
    for row, (_, bend) in zip(bends, profiles, strict=True):
        row[: len(bend)] = bend - bend.mean()
    amplitudes = np.abs(np.fft.rfft(bends)[:, 1:])
    typical = np.partition(amplitudes, SIDE // 4, axis=1)[:, SIDE // 4, None] + FAINT
    peaks = amplitudes.reshape(len(profiles), BANDS, -1).max(axis=2)
    return np.log1p(peaks / typical).ravel().astype(np.float32)


def _dct(rows: np.ndarray, columns: np.ndarray) -> np.ndarray:
    """From the 64 values of a block to its orthonormal DCT at these frequencies, float32 (64, frequencies)."""
    waves = np.cos(np.pi / 8 * np.outer(np.arange(8), np.arange(8) + 0.5)) / 2
    waves[0] /= np.sqrt(2)
    products = waves[rows, :, None] * waves[columns, None, :]
    return products.reshape(len(rows), 64).T.astype(np.float32)


_LUMINANCE = (  # ITU-T T.81, annex K, table K.1
    (16, 11, 10, 16, 24),
    (12, 12, 14, 19, 26),
    (14, 13, 16, 24, 40),
    (14, 17, 22, 29, 51),
    (18, 22, 37, 56, 68),
)
_ROWS, _COLUMNS = np.array([(row, column) for row in range(5) for column in range(5) if 0 < row + column < 5]).T


def _steps(quality: int) -> np.ndarray:
    """The table's steps at a quality of 1–100 at the frequencies used, by the rule of the IJG's library."""
    scale = 5000 // quality if quality < 50 else 200 - 2 * quality
    return np.clip((np.array(_LUMINANCE)[_ROWS, _COLUMNS] * scale + 50) // 100, 1, 255).astype(np.float32)


_DCT = _dct(_ROWS, _COLUMNS)
_STEPS = np.stack([_steps(quality) for quality in QUALITIES])
