"""How much of an image's finest traces a rotation leaves, by interpolation: the rms of a high-pass residual.

Images are rotated by up to 15° either way, each by the same angle for every interpolation, and filtered with TraceNet's
3×3 kernel (SRM's "KB", Fridrich and Kodovský 2012). The rms is computed over the inner three fifths of an image, which
no border reaches. The table shows medians over the images: the rms in grey levels, and its ratio to the rms of the
unrotated image.

`python -m benchmarks.interpolation [--images FOLDER] [--count 500] [--json FILE]`
FOLDER holds the images; the default is the demo's train images. For UniBuc, give its folder `train`.
"""

import argparse
import json
from pathlib import Path

import cv2
import numpy as np
from rich.table import Table

from benchmarks.table import console
from fakeprint.augment.drawing import Plan, Warp
from fakeprint.augment.transforms import apply

DEGREES, SEED = 15.0, 7
KERNEL = np.array([[-1, 2, -1], [2, -4, 2], [-1, 2, -1]], np.float32) / 4  # as TraceNet has it
INTERPOLATIONS = ("bicubic", "bilinear", "nearest")
SUFFIXES = (".png", ".jpg", ".jpeg", ".webp")
DEMO = Path(__file__).parents[1] / "data/demo/images/train"


def residual_rms(image: np.ndarray) -> float:
    """Root mean square of the residual over the inner three fifths, in grey levels. image: uint8 (H, W, 3)."""
    height, width = image.shape[:2]
    residual = cv2.filter2D(image.astype(np.float32), -1, KERNEL)
    inner = residual[height // 5 : height - height // 5, width // 5 : width - width // 5]
    return float(np.sqrt(np.mean(np.square(inner))))


def medians(paths: list[Path]) -> dict[str, tuple[float, float]]:
    """Interpolation → median rms, and median ratio to the rms of the unrotated image."""
    angles = np.random.default_rng(SEED).uniform(-DEGREES, DEGREES, len(paths))
    rms: dict[str, list[float]] = {name: [] for name in ("none", *INTERPOLATIONS)}
    for path, angle in zip(paths, angles, strict=True):
        image = cv2.imread(str(path))
        if image is None:
            raise SystemExit(f"{path} is not an image that OpenCV reads")
        rms["none"].append(residual_rms(image))
        plan = (("rotation", (float(angle),)),)
        for name in INTERPOLATIONS:
            rms[name].append(residual_rms(apply(image, Plan(plan, Warp(name)))))
    unrotated = np.array(rms["none"])
    return {name: (float(np.median(each)), float(np.median(each / unrotated))) for name, each in rms.items()}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--images", type=Path, default=DEMO, metavar="FOLDER")
    parser.add_argument(
        "--count", type=int, default=500, metavar="N", help="number of images, drawn at random from the folder"
    )
    parser.add_argument("--json", type=Path, metavar="FILE", help="also write the rows to FILE")
    options = parser.parse_args()
    found = sorted(path for path in options.images.rglob("*") if path.suffix.lower() in SUFFIXES)
    if not found:
        raise SystemExit(f"{options.images} holds no images; run `dvc repro` first, or name another folder")
    chosen = np.random.default_rng(SEED).permutation(len(found))[: options.count]
    rows = medians([found[number] for number in sorted(chosen)])
    table = Table("interpolation", title=f"{len(chosen)} images of {options.images}", title_justify="left")
    table.add_column("rms, grey levels", justify="right")
    table.add_column("relative to the unrotated image", justify="right")
    for name, (value, ratio) in rows.items():
        table.add_row(name, f"{value:.1f}", f"{ratio:.2f}")
    console().print(table)
    if options.json:
        listed = [{"interpolation": name, "rms": value, "ratio": ratio} for name, (value, ratio) in rows.items()]
        options.json.write_text(json.dumps(listed, indent=2) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
