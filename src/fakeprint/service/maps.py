"""Maps as PNG: an image, and over it in colour where the answer comes from."""

from collections.abc import Callable
from io import BytesIO
from pathlib import Path

import cv2
import numpy as np
from PIL import Image

from fakeprint.errors import InputError
from fakeprint.predict import LoadedModel

LEAST, MOST = 256, 640  # pixels of a map's longer side
HOT = np.array([255, 80, 0], np.float32)  # colour where the map is 1; the image alone where it is 0
STRONGEST = 0.75  # share of that colour where the map is 1
CHANGED = "the model's files have changed since it was loaded; choose it with POST /set to load the new ones"


class Mapper:
    """Draws the maps of one model. A network's are Grad-CAM's (`explain.maps`), from its own copy of the network.

    Args:
        folder: of the model.
        model: as it answers.
        device: where the copy runs.
        is_current: whether the folder still holds the model's own files. If not, there are no maps: a map of other
            weights would not be of the answer.
    """

    def __init__(self, folder: Path, model: LoadedModel, device: str, is_current: Callable[[], bool]) -> None:
        self._model = model
        self.note: str | None = None
        self._network = None
        if model.cropping is not None:
            return
        from fakeprint.explain.opened import open_model

        try:
            opened = open_model(folder, device)
        except (OSError, KeyError, TypeError, ValueError):
            if is_current():
                raise
            self.note = CHANGED
            return
        if not is_current():  # asked after reading, so that no change in between is missed
            self.note = CHANGED
        elif opened.network is None:
            self.note = f"{model.name} answers from features of the whole image, which have no place in it"
        else:
            self._network = opened.network[1]

    def heat(self, image: np.ndarray, answer: int) -> tuple[np.ndarray | None, str | None]:
        """Where the answer comes from: float32 (h, w) in [0, 1], or None and the reason.

        For a network, what spoke for the class; for a model that takes crops, the probability of the class at each
        place.

        Args:
            image: uint8 (H, W, 3), as `read_image` gives it.
            answer: index of the class.
        """
        if self._model.cropping is not None:
            from fakeprint.crop_maps import crop_map

            return crop_map(self._model, image).raster(MOST)[..., answer].astype(np.float32), None
        if self._network is None:
            return None, self.note
        try:
            return self._network.maps(image[None], np.array([answer]))[0], None
        except InputError as error:
            return None, str(error).removeprefix("explain: ")


def png(image: np.ndarray, heat: np.ndarray) -> bytes:
    """The map of an image, uint8 (H, W, 3), by its heat, float32 (h, w) in [0, 1].

    Small images are enlarged by a whole number of times, large ones shrunk.
    """
    height, width = image.shape[:2]
    longer = max(height, width)
    scale = -(-LEAST // longer) if longer < LEAST else min(1.0, MOST / longer)
    shape = (max(1, round(width * scale)), max(1, round(height * scale)))
    base = cv2.resize(image, shape, interpolation=cv2.INTER_NEAREST if scale >= 1 else cv2.INTER_AREA)
    share = np.clip(cv2.resize(heat, shape, interpolation=cv2.INTER_LINEAR), 0, 1)[..., None] * STRONGEST
    mixed = base * (1 - share) + HOT * share
    content = BytesIO()
    Image.fromarray(np.round(mixed).astype(np.uint8)).save(content, "PNG")
    return content.getvalue()
