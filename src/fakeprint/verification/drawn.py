"""Pictures that are drawn here, so that a model's answers can be compared where its data are not."""

from io import BytesIO

import numpy as np
from PIL import Image

SIDE = 100


def pictures() -> dict[str, bytes]:
    """Image files by name: waves without and with grain, in three sizes and two formats.

    Decoding, scaling and the model all have a part in the answers: a change of one of them moves the answers.
    """
    y, x = np.mgrid[0:SIDE, 0:SIDE]
    waves = [np.sin(x / (3 + channel)) + np.cos(y / (5 - channel)) + np.sin((x + y) / 17) for channel in range(3)]
    smooth = 127.5 + 35 * np.stack(waves, axis=2)
    grain = np.random.default_rng(0).integers(-15, 16, (SIDE, SIDE, 3))
    grainy = np.clip(smooth + grain, 0, 255).astype(np.uint8)
    large = Image.fromarray(grainy).resize((260, 180), Image.Resampling.LANCZOS)
    return {
        "smooth.png": _file(Image.fromarray(smooth.astype(np.uint8)), "PNG"),
        "grainy.png": _file(Image.fromarray(grainy), "PNG"),
        "small.png": _file(Image.fromarray(grainy[:60, :80]), "PNG"),
        "large.png": _file(large, "PNG"),
        "grainy.jpg": _file(Image.fromarray(grainy), "JPEG", quality=80),
    }


def _file(picture: Image.Image, form: str, **options: int) -> bytes:
    buffer = BytesIO()
    picture.save(buffer, form, **options)
    return buffer.getvalue()
