"""The invisible watermark of Stable Diffusion XL: 48 bits, written by the package invisible-watermark as `dwtDct`.

The picture's blue difference U (BT.601, 8 bits) is averaged over 2×2 pixels (the approximation of a Haar transform,
twice the mean), and cut into 4×4 blocks. Of each block the largest value but the first carries one bit: its remainder
modulo STEP is above or below STEP / 2. Bit number n of the message is in the blocks n, n + 48, n + 96, …, row by row;
the majority decides. (https://github.com/ShieldMnt/invisible-watermark, imwatermark/maxDct.py.)

Only a match with the message that diffusers and Stability AI's own code write counts. Its absence proves nothing: the
mark is optional, and scaling, cropping or strong compression removes it.
"""

import cv2
import numpy as np

from fakeprint.evidence.findings import Finding, detail

# diffusers, pipelines/stable_diffusion_xl/watermark.py, and Stability-AI/generative-models
MESSAGE = 0b101100111110110010010000011110111011000110011110
BITS = 48
ENOUGH = 44  # matching bits
STEP = 36
BLOCK = 4
FEWEST_PIXELS = 256 * 256  # the writer marks no smaller picture


def is_large_enough(rgb: np.ndarray) -> bool:
    """Whether the writer would mark a picture of this size, and every bit has at least a block."""
    height, width = rgb.shape[:2]
    return height * width >= FEWEST_PIXELS and (height // 8) * (width // 8) >= BITS


def find(rgb: np.ndarray) -> list[Finding]:
    """A finding if the picture, uint8 (H, W, 3) RGB, carries the mark; none if it is too small for one."""
    if not is_large_enough(rgb):
        return []
    matching = matching_bits(rgb)
    if matching < ENOUGH:
        return []
    claim = "the pixels carry the invisible watermark that Stable Diffusion XL's code writes"
    return [Finding("sd_watermark", claim, "watermark", detail(bits=f"{matching} of {BITS}"))]


def matching_bits(rgb: np.ndarray) -> int:
    """How many of the message's 48 bits the picture, uint8 (H, W, 3), seems to carry; 24 are expected by chance."""
    message = np.array([int(bit) for bit in f"{MESSAGE:0{BITS}b}"])
    return int((decoded_bits(rgb) == message).sum())


def decoded_bits(rgb: np.ndarray) -> np.ndarray:
    """The 48 bits, int (48,), of a picture, uint8 (H, W, 3) of at least 48 blocks of 8×8 pixels."""
    height, width = (side // 4 * 4 for side in rgb.shape[:2])
    plane = cv2.cvtColor(np.ascontiguousarray(rgb[:height, :width]), cv2.COLOR_RGB2YUV)[:, :, 1]
    ones, blocks = np.zeros(BITS), np.zeros(BITS)
    across = width // 2 // BLOCK
    for row in range(height // 2 // BLOCK):  # row by row, so that a large picture takes little memory
        strip = plane[2 * BLOCK * row : 2 * BLOCK * (row + 1), : 2 * BLOCK * across].astype(np.float64)
        halved = strip.reshape(BLOCK, 2, BLOCK * across, 2).sum(axis=(1, 3)) / 2
        values = np.abs(halved.reshape(BLOCK, across, BLOCK).transpose(1, 0, 2).reshape(across, BLOCK * BLOCK))
        largest = values[:, 1:].max(axis=1)
        numbers = np.arange(row * across, (row + 1) * across) % BITS
        ones += np.bincount(numbers, largest % STEP > STEP / 2, BITS)
        blocks += np.bincount(numbers, minlength=BITS)
    return (ones / blocks * 255 > 127).astype(int)
