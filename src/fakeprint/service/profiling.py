"""The profile of a data set: what the stage `validate` finds in it, computed in a process of its own.

`python -m fakeprint.service.profiling SOURCE MAX_PIXELS FILE` reads the folder of a prepared source and writes the
profile as JSON, or what is wrong with the source.
"""

import base64
import os
import sys
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np

from fakeprint import params
from fakeprint.data import report, validation
from fakeprint.data.colour_outliers import LIMIT, colour_scores
from fakeprint.data.shortcuts import audit_lines
from fakeprint.errors import InputError, first_few, printable
from fakeprint.files import write_json
from fakeprint.service import sources
from fakeprint.service.jobs import pipeline

NICE = 10  # so that predictions go first
MOST = 50  # sizes and outliers that are listed
UNLABELLED = "no label"


def profile(source_folder: Path, max_pixels: int) -> dict[str, Any]:
    """What `schemas.Profile` holds, without the data set's id and digest.

    Raises:
        InputError: the source cannot be profiled, as a class has no usable image.
    """
    settings = params.load(pipeline.root() / "presets" / "demo.yaml")
    limits, seed = settings.validate_, settings.seed
    data = sources.data_of(source_folder, max_pixels=max_pixels)
    source = sources.open_prepared(source_folder, data, "the data set")
    checked = validation.check_files(source, data, seed, None)
    left = set(checked.rows.loc[checked.rows["split"] == "train", "label"])
    if gone := [label for label in checked.classes if label not in left]:
        raise InputError(f"{len(gone)} class(es) have no usable train image: {first_few(gone)}")
    found = validation.build(checked, source, data, limits, seed)
    manifest = found.manifest
    labels = manifest["label"].fillna(UNLABELLED)
    sizes = (manifest["width"].astype(str) + " × " + manifest["height"].astype(str)).value_counts()
    channels = validation.channel_figures(found, np.arange(len(manifest)))
    duplicates = validation.figures(found, limits, checked.listed)["duplicates"]
    reasons = found.set_aside["reason"].value_counts()
    return {
        "splits": {
            split: {str(label): int(n) for label, n in labels[manifest["split"] == split].value_counts().items()}
            for split in validation.SPLITS
            if (manifest["split"] == split).any()
        },
        "sizes": {str(size): int(count) for size, count in sizes.head(MOST).items()},
        "channel_means": [channels[name]["mean"] for name in report.CHANNELS],
        "channel_deviations": [channels[name]["std"] for name in report.CHANNELS],
        "outliers": _outliers(found),
        "duplicates": {name: count for name, count in duplicates.items() if name != "search_complete"},
        "shortcuts": [line for _, line in audit_lines(found.shortcut, found.trace, limits)],
        "unusable": {str(reason): int(count) for reason, count in reasons.items()},
        "pictures": _pictures(found, source, data, limits, seed),
    }


def _outliers(found: validation.Validation) -> list[str]:
    """Ids of the images whose colours are far from those of their own class, the farthest first."""
    pixels = (found.manifest["width"] * found.manifest["height"]).to_numpy(np.int64)
    labels = found.manifest["label"].fillna(UNLABELLED).to_numpy()
    scores = np.zeros(len(labels))
    for label in np.unique(labels):
        of_class = labels == label
        scores[of_class] = colour_scores(found.sums[of_class], pixels[of_class])
    farthest = np.argsort(-scores, kind="stable")[:MOST]
    return [printable(str(found.manifest["image_id"].iloc[row])) for row in farthest if scores[row] > LIMIT]


def _pictures(found: validation.Validation, source: Any, data: Any, limits: Any, seed: int) -> dict[str, str]:
    with TemporaryDirectory() as folder:
        report.write(found, source, data, limits, seed, Path(folder) / "report")
        files = sorted((Path(folder) / "report").glob("*.png"))
        return {file.stem: base64.b64encode(file.read_bytes()).decode() for file in files}


def main(source: str, max_pixels: str, target: str) -> None:
    """Write `{"profile": …}` or `{"refused": LINE}`."""
    os.nice(NICE)
    try:
        content: dict[str, Any] = {"profile": profile(Path(source), int(max_pixels))}
    except InputError as error:
        content = {"refused": str(error)}
    write_json(target, content)


if __name__ == "__main__":
    main(*sys.argv[1:])
