"""Stable Diffusion's watermark as its writer puts it into a picture, step by step with PyWavelets.

An independent implementation of https://github.com/ShieldMnt/invisible-watermark, `dwtDct`: it shares no code with
`fakeprint.evidence.watermark`.
"""

import cv2
import numpy as np
import pywt

MESSAGE = [int(bit) for bit in bin(0xB3EC907BB19E)[2:]]


def marked(rgb: np.ndarray, message: list[int] = MESSAGE) -> np.ndarray:
    """The picture, uint8 (H, W, 3) RGB, with the message in it."""
    yuv = cv2.cvtColor(rgb, cv2.COLOR_RGB2YUV)
    height, width = (side // 4 * 4 for side in rgb.shape[:2])
    coarse, (across, down, both) = pywt.dwt2(yuv[:height, :width, 1], "haar")
    number = 0
    for top in range(0, coarse.shape[0] // 4 * 4, 4):
        for left in range(0, coarse.shape[1] // 4 * 4, 4):
            _write_bit(coarse[top : top + 4, left : left + 4], message[number % len(message)])
            number += 1
    # The writer gives the details back in exchanged order, and drops what lies outside of 8 bits.
    yuv[:height, :width, 1] = pywt.idwt2((coarse, (down, across, both)), "haar")
    return cv2.cvtColor(yuv, cv2.COLOR_YUV2RGB)


def _write_bit(block: np.ndarray, bit: int) -> None:
    place = np.unravel_index(int(np.abs(block.flatten()[1:]).argmax()) + 1, block.shape)
    value = block[place]
    size = (abs(value) // 36 + 0.25 + 0.5 * bit) * 36
    block[place] = size if value >= 0 else -size
