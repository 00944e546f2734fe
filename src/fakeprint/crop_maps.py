"""A picture of what a model that takes crops answers at each place of an image."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from fakeprint.data.crops import Crops, averaged, cut, mirrored, overlapping
from fakeprint.errors import InputError
from fakeprint.files import write_figure
from fakeprint.predict import LoadedModel, read_image
from fakeprint.progress import quiet

MOST = 1024  # crops of one image; of larger images they do not overlap
AT_ONCE = 128  # crops that are predicted at a time
SHOWN = 640  # pixels of the longer side of the image in the picture


@dataclass(frozen=True)
class CropMap:
    """A model's probabilities at many places of one image.

    image: uint8 (H, W, 3), mirrored if it was smaller than a crop. places: int64 (K, 2), top and left of each crop.
    size: side of the crops in pixels. probabilities: float64 (K, C).
    """

    image: np.ndarray
    places: np.ndarray
    size: int
    probabilities: np.ndarray

    def raster(self, longer: int) -> np.ndarray:
        """The probabilities at each place, float64 (h, w, C), the longer of h and w at most `longer`.

        Where crops overlap, their answers are averaged as those of an image are (`fakeprint.data.crops.averaged`).
        """
        height, width = self.image.shape[:2]
        scale = min(1.0, longer / max(height, width))
        shape = (max(1, round(height * scale)), max(1, round(width * scale)))
        # Few lines of pixels differ in the crops that they are in: those where a crop begins or ends.
        (rows, row_of), (columns, column_of) = (
            np.unique(self._inside(places, (np.arange(count) + 0.5) / scale), axis=0, return_inverse=True)
            for places, count in zip(self.places.T, shape, strict=True)
        )
        values = np.empty((len(rows), len(columns), self.probabilities.shape[1]))
        for row, column in np.ndindex(values.shape[:2]):
            chosen = self.probabilities[rows[row] & columns[column]]
            values[row, column] = averaged(chosen, np.array([len(chosen)]))[0]
        return values[row_of][:, column_of]

    def _inside(self, places: np.ndarray, middles: np.ndarray) -> np.ndarray:
        """Whether each pixel, by where its middle is on one axis, is in each crop: bool (pixels, K)."""
        return (places <= middles[:, None]) & (middles[:, None] < places + self.size)


def crop_map(model: LoadedModel, image: np.ndarray) -> CropMap:
    """Predict overlapping crops of an image, uint8 (H, W, 3), with a model that takes crops."""
    size = model.dataset.image_size
    image = mirrored(image, size)
    places = overlapping(image.shape[0], image.shape[1], size, MOST)
    probabilities = []
    with quiet():
        for start in range(0, len(places), AT_ONCE):
            crops = cut(image, places[start : start + AT_ONCE], size)
            probabilities.append(model.probabilities(Crops(crops, np.ones(len(crops), dtype=np.int64))))
    return CropMap(image, places, size, np.concatenate(probabilities))


def picture(found: CropMap, answer: int, name: str, title: str) -> Any:
    """A matplotlib Figure: the image, and beside it, over the image in grey, the probability of the class `answer`.

    name: of that class. title: above both.
    """
    from matplotlib.figure import Figure

    height, width = found.image.shape[:2]
    scale = min(1.0, SHOWN / max(height, width))
    shown = Image.fromarray(found.image).resize((max(1, round(width * scale)), max(1, round(height * scale))))
    wide = min(1.0, width / height)
    figure = Figure(figsize=(1.2 + 8 * wide, 0.9 + 4 * min(1.0, height / width)), layout="constrained")
    left, right = figure.subplots(1, 2)
    extent = (0, width, height, 0)
    left.imshow(shown, extent=extent)
    right.imshow(shown.convert("L"), extent=extent, cmap="gray", vmin=0, vmax=255)
    share = found.raster(SHOWN)[..., answer]
    colours = right.imshow(share, extent=extent, cmap="coolwarm_r", vmin=0, vmax=1, alpha=0.55, interpolation="nearest")
    figure.colorbar(colours, ax=right, shrink=0.8, label=f"probability of {name}")
    crops = f"{len(found.places)} crops of {found.size}×{found.size} pixels"
    for axes, below in ((left, f"{width}×{height} pixels"), (right, crops)):
        axes.set(xticks=[], yticks=[], xlabel=below)
    figure.suptitle(title, fontsize=11)
    return figure


def map_writer(model: LoadedModel, folder: Path) -> Callable[[Path, np.ndarray], Path]:
    """A function that writes the map of one image file, given its probabilities (C,), and returns the map's path.

    Maps are named as the images, PNG; if two images have one name, the second map's ends in `_2`. The class shown is
    the most probable one of the image. Raises InputError where the model takes images as a whole, or the folder is a
    file.
    """
    if model.cropping is None:
        raise InputError(
            f"--map: {model.name} takes images as a whole; a map needs a model that was trained with prepare.resize: "
            "native"
        )
    if folder.exists() and not folder.is_dir():
        raise InputError(f"--map: {folder} is a file; name a folder")
    seen: dict[str, int] = {}

    def write(path: Path, probabilities: np.ndarray) -> Path:
        seen[path.stem] = number = seen.get(path.stem, 0) + 1
        file = folder / (f"{path.stem}.png" if number == 1 else f"{path.stem}_{number}.png")
        best = int(probabilities.argmax())
        name = model.dataset.names[best]
        title = f"{path.name}: {name}, {100 * probabilities[best]:.1f} %"
        write_figure(file, picture(crop_map(model, read_image(path, model.dataset)), best, name, title))
        return file

    return write
