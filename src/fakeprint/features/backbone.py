"""Features of a pretrained network as they are, for linear classifiers (Sharif Razavian et al. 2014).

torch is imported when the first image comes, not before.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from functools import lru_cache
from typing import TYPE_CHECKING

import numpy as np

from fakeprint.errors import InputError

if TYPE_CHECKING:
    from fakeprint.models.pretrained import Body


def backbone(image: np.ndarray, architecture: str, weights: str, input_size: int | None) -> np.ndarray:
    """The numbers that reach a network's last layer, one forward pass without gradients or dropout.

    image: uint8 (H, W, 3) RGB, H = W; scaled to input_size (bilinear, antialiased; None: as it is) and normalised as
    the weights were trained. architecture: "timm:NAME"; weights as in `fakeprint.models.pretrained`. Returns float32
    (D,), 1,280 of EfficientNet-Lite0. Raises InputError for a name timm has not, weights that can not be had
    and a side that does not suit the network.
    """
    import torch

    side = input_size or len(image)
    body = _body(architecture, weights, side)
    with _one_thread(), torch.inference_mode():
        pixels = torch.from_numpy(np.array(image)).permute(2, 0, 1).unsqueeze(0).float() / 255
        if pixels.shape[-1] != side:
            pixels = torch.nn.functional.interpolate(pixels, (side, side), mode="bilinear", antialias=True)
        mean, std = (torch.tensor(each).view(1, 3, 1, 1) for each in (body.mean, body.std))
        try:
            features: np.ndarray = body.module((pixels - mean) / std).flatten().numpy()
        except (RuntimeError, AssertionError, ValueError) as error:
            raise InputError(
                f"features.backbone.input_size: images of {side} pixels a side do not suit {architecture} "
                f"({str(error).splitlines()[0]})"
            ) from None
    return features


@lru_cache(maxsize=1)
def _body(architecture: str, weights: str, side: int) -> "Body":
    """Loaded once a process."""
    from fakeprint.models.pretrained import load_body

    body = load_body(architecture, weights, side, "features.backbone")
    body.module.eval()
    return body


@contextmanager
def _one_thread() -> Iterator[None]:
    """Sums in one order however many cores there are, so that the number of workers changes no bit."""
    import torch

    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(threads)
