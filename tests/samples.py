"""The demo's settings; rows and predictions of images that stand alone: a group each, no generator named."""

from pathlib import Path

import numpy as np
import pandas as pd

from fakeprint.evaluation.predictions import Predictions

DEMO = Path(__file__).parents[1] / "presets/demo.yaml"  # params.yaml may hold somebody's ablation


def index_rows(labels: np.ndarray, classes: list[str], prefix: str = "i") -> pd.DataFrame:
    """What `save_index` needs, of images PREFIX0, PREFIX1, …; labels are class indices, −1 where unknown."""
    known = np.array([*classes, None], dtype=object)
    ids = [f"{prefix}{row}" for row in range(len(labels))]
    return pd.DataFrame({"image_id": ids, "label": known[labels], "group": np.arange(len(ids)), "generator": None})


def predictions(labels: np.ndarray, probabilities: np.ndarray, ids: list[str] | None = None) -> Predictions:
    """Predictions of images v0, v1, … or `ids`."""
    names = ids if ids is not None else [f"v{row}" for row in range(len(labels))]
    none = np.full(len(names), None, dtype=object)
    return Predictions(np.array(names, dtype=object), labels, probabilities, np.arange(len(names)), none)
