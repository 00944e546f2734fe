"""Features of a frozen pretrained network, for linear classifiers (Sharif Razavian et al. 2014).

torch is imported only when features are computed.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from functools import lru_cache
from typing import TYPE_CHECKING

import numpy as np

from fakeprint.errors import InputError

if TYPE_CHECKING:
    from fakeprint.models.pretrained import Body


# Images per forward pass. One on a CPU: batches gain at most a tenth there, and a row's last bits would depend on them.
BATCH = {"cpu": 1, "cuda": 256, "mps": 64}


def backbone(images: np.ndarray, architecture: str, weights: str, input_size: int | None) -> np.ndarray:
    """The inputs of a network's last layer, from a forward pass without gradients or dropout.

    images: uint8 (N, H, W, 3) RGB, H = W; scaled to input_size (bilinear, antialiased; None: as they are) and
    normalised as the weights were trained. architecture: "timm:NAME"; weights as in `fakeprint.models.pretrained`.
    Computed on `device()`: in batches on a GPU; on a CPU image by image with one thread, so that the order of sums does
    not depend on the number of cores.
    Returns float32 (N, D), D = 1,280 of EfficientNet-Lite0. Raises InputError for a name that timm does not have,
    weights that cannot be loaded or give features that are not finite, and an image size that the network does not
    support.
    """
    import torch

    side = input_size or images.shape[1]
    place = device()
    body = _body(architecture, weights, side, place)
    features = []
    # TF32 keeps 10 bits: a GPU's features would differ from a CPU's in the third digit.
    exact = torch.backends.cudnn.flags(enabled=True, deterministic=True, allow_tf32=False)
    with _one_thread(), torch.inference_mode(), exact:
        mean, std = (torch.tensor(each, device=place).view(1, 3, 1, 1) for each in (body.mean, body.std))
        for start in range(0, len(images), BATCH[place]):
            try:
                batch = torch.from_numpy(np.array(images[start : start + BATCH[place]])).to(place)
                pixels = batch.permute(0, 3, 1, 2).float().div_(255)
                if pixels.shape[-1] != side:
                    pixels = torch.nn.functional.interpolate(pixels, (side, side), mode="bilinear", antialias=True)
                features.append(body.module((pixels - mean) / std).flatten(1).cpu().numpy())
            except (RuntimeError, AssertionError, ValueError) as error:
                images_of, reason = f"images of {side}×{side} pixels", (str(error).splitlines() or [""])[0]
                if isinstance(error, torch.OutOfMemoryError) or "allocate memory" in str(error):
                    raise InputError(
                        f"features.backbone: {place} lacks the memory for {architecture} on {images_of} ({reason})"
                    ) from None
                raise InputError(
                    f"features.backbone.input_size: {architecture} cannot take {images_of} ({reason}); set another size"
                ) from None
    found = np.concatenate(features)
    if not np.isfinite(found).all():
        raise InputError(f"features.backbone.weights: with {weights}, {architecture} gives NaN or infinite features")
    return found


def device() -> str:
    """The device of the network: "cuda" if there is one, else "mps", else "cpu"."""
    import torch

    if torch.cuda.is_available():
        return "cuda"
    return "mps" if torch.backends.mps.is_available() else "cpu"


@lru_cache(maxsize=1)
def _body(architecture: str, weights: str, side: int, place: str) -> "Body":
    """Loaded once per process."""
    from fakeprint.models.pretrained import load_body

    body = load_body(architecture, weights, side, "features.backbone")
    body.module.eval().to(place)
    return body


@contextmanager
def _one_thread() -> Iterator[None]:
    """Limit torch to one thread, so that the order of sums does not depend on the number of cores or workers."""
    import torch

    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(threads)
