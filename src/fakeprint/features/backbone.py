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


# Images a forward pass. One on a CPU: batches gain a tenth at most there, and a row's bits would depend on its batch.
BATCH = {"cpu": 1, "cuda": 256, "mps": 64}


def backbone(images: np.ndarray, architecture: str, weights: str, input_size: int | None) -> np.ndarray:
    """The numbers that reach a network's last layer, a forward pass without gradients or dropout.

    images: uint8 (N, H, W, 3) RGB, H = W; scaled to input_size (bilinear, antialiased; None: as they are) and
    normalised as the weights were trained. architecture: "timm:NAME"; weights as in `fakeprint.models.pretrained`.
    Computed on `device()`: in batches on a GPU; on a CPU image by image and by one thread, so that sums are added in
    one order however many cores there are.
    Returns float32 (N, D), D = 1,280 of EfficientNet-Lite0. Raises InputError for a name timm has not, weights that can
    not be had and a side that does not suit the network.
    """
    import torch

    side = input_size or images.shape[1]
    place = device()
    body = _body(architecture, weights, side, place)
    features = []
    # TF32 keeps 10 bits: enough to tell a GPU's features from a CPU's in the third digit.
    exact = torch.backends.cudnn.flags(enabled=True, deterministic=True, allow_tf32=False)
    with _one_thread(), torch.inference_mode(), exact:
        mean, std = (torch.tensor(each, device=place).view(1, 3, 1, 1) for each in (body.mean, body.std))
        for start in range(0, len(images), BATCH[place]):
            batch = torch.from_numpy(np.array(images[start : start + BATCH[place]])).to(place)
            pixels = batch.permute(0, 3, 1, 2).float().div_(255)
            if pixels.shape[-1] != side:
                pixels = torch.nn.functional.interpolate(pixels, (side, side), mode="bilinear", antialias=True)
            pixels = (pixels - mean) / std
            try:
                features.append(body.module(pixels).flatten(1).cpu().numpy())
            except (RuntimeError, AssertionError, ValueError) as error:
                raise InputError(
                    f"features.backbone.input_size: images of {side} pixels a side do not suit {architecture} "
                    f"({str(error).splitlines()[0]})"
                ) from None
    return np.concatenate(features)


def device() -> str:
    """Where the network computes: "cuda", else "mps", else "cpu"."""
    import torch

    if torch.cuda.is_available():
        return "cuda"
    return "mps" if torch.backends.mps.is_available() else "cpu"


@lru_cache(maxsize=1)
def _body(architecture: str, weights: str, side: int, place: str) -> "Body":
    """Loaded once a process."""
    from fakeprint.models.pretrained import load_body

    body = load_body(architecture, weights, side, "features.backbone")
    body.module.eval().to(place)
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
