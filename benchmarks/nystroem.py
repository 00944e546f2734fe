"""Accuracy and fitting time of the approximate RBF SVM by number of components, and of the exact one, on UniBuc.

The SVMs are fitted on the train images and one degraded copy of each, as in presets/unibuc.yaml but with more JPEG
(25,000 rows of 6,572 dimensions; `--copies 0`: 12,500 rows), and scored on the 1,250 validation images. This needs the
data: FAKEPRINT_UNIBUC names their folder. First, features are computed into a temporary folder, which takes some
minutes.

`FAKEPRINT_UNIBUC=PATH python -m benchmarks.nystroem [--copies 1] [--components 500 1000 2000 4000] [--json FILE]`
"""

import argparse
import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import pandas as pd
from rich.table import Table

from benchmarks.table import console
from fakeprint import params
from fakeprint.data.arrays import load_index
from fakeprint.features.files import load_features
from fakeprint.models.classifiers.fitting import fit

ROOT = Path(__file__).parents[1]
SEED = 7


@dataclass(frozen=True)
class Fitted:
    """One SVM: components (None = exact), train rows, seconds of the fit, accuracy and log loss on validation."""

    components: int | None
    rows: int
    seconds: float
    accuracy: float
    log_loss: float


def prepare(folder: Path, data: Path, copies: int, per_class: int | None) -> params.Params:
    """Run the stages up to `features` in `folder`, and return its parameters."""
    for name in ("src", "stages", "presets"):
        shutil.copytree(ROOT / name, folder / name, ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copy(ROOT / "params.yaml", folder)
    environment = {**os.environ, "PYTHONPATH": str(folder / "src")}
    use = ["fakeprint", "use", "presets/unibuc.yaml", "--data", str(data.resolve())]
    for name, share in (("jpeg", 0.4), ("blur", 0.2), ("noise", 0.2), ("rescale", 0.2)):
        use += ["-S", f"augment.transforms.{name}.p={share}"]
    fewer = ["-S", f"data.per_class={per_class}"] if per_class else []
    for arguments in (
        [*use, *fewer, "-S", f"augment.copies={copies}", "-S", "tracking.enabled=false"],
        ["stages.validate"],
        ["stages.prepare"],
        ["stages.augment"],
        *(["stages.features", name] for name in ("hsv_joint", "residual", "spectrum")),
    ):
        subprocess.run([sys.executable, "-m", *arguments], cwd=folder, env=environment, check=True)
    return params.load(folder / "params.yaml")


def measure(folder: Path, settings: params.RBFSVM) -> Fitted:
    """Fit on the features in `folder`, and score validation."""
    features, arrays = folder / "data/features", folder / "data/arrays"
    train = load_features(settings.features, "train", features).above(
        load_features(settings.features, "augmented", features)
    )
    y = load_index("train", arrays)["class"].to_numpy()
    copies = pd.read_parquet(folder / "data/augmented/copies.parquet")
    parents = np.concatenate([np.arange(len(y)), copies["parent_row"]])
    labels = np.concatenate([y, copies["class"]])
    validation = load_features(settings.features, "validation", features)
    truth = load_index("validation", arrays)["class"].to_numpy()
    start = time.perf_counter()
    model = fit(settings, train, labels, validation, truth, SEED, None, parents)
    seconds = time.perf_counter() - start
    rooted = np.sqrt(validation.whole())
    probabilities = model.predict_proba(rooted)
    accuracy = float(np.mean(probabilities.argmax(axis=1) == truth))
    loss = float(-np.log(probabilities[np.arange(len(truth)), truth]).mean())
    components = None if settings.approximation == "exact" else settings.components
    return Fitted(components, len(labels), seconds, accuracy, loss)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--copies", type=int, default=1, choices=(0, 1))
    parser.add_argument("--per-class", type=int, metavar="N", help="images per class and split, for a quick run")
    parser.add_argument("--components", type=int, nargs="+", default=[500, 1000, 2000, 4000], metavar="N")
    parser.add_argument("--json", type=Path, metavar="FILE", help="also write the rows to FILE")
    options = parser.parse_args()
    data = os.environ.get("FAKEPRINT_UNIBUC")
    if not data:
        raise SystemExit("FAKEPRINT_UNIBUC is not set: name the folder of the UniBuc data")
    rows = []
    with tempfile.TemporaryDirectory() as temporary:
        settings = prepare(Path(temporary), Path(data), options.copies, options.per_class).classifiers["svm_rbf"]
        assert isinstance(settings, params.RBFSVM)
        for components in [*options.components, None]:
            changes = {"approximation": "nystroem", "components": components} if components else {}
            rows.append(measure(Path(temporary), settings.model_copy(update=changes)))
            print(rows[-1], file=sys.stderr, flush=True)
    table = Table("components", title=f"RBF SVM on UniBuc, {rows[0].rows:,} train rows", title_justify="left")
    for heading in ("seconds", "accuracy, %", "log loss"):
        table.add_column(heading, justify="right")
    for each in rows:
        name = f"{each.components:,}" if each.components else "exact"
        table.add_row(name, f"{each.seconds:.0f}", f"{100 * each.accuracy:.2f}", f"{each.log_loss:.3f}")
    console().print(table)
    if options.json:
        options.json.write_text(json.dumps([asdict(row) for row in rows], indent=2) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
