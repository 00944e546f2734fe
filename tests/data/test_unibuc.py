"""The real competition's data, where FAKEPRINT_UNIBUC says that it lies; nothing of it is kept here."""

import os
from pathlib import Path

import pandas as pd
import pytest

from fakeprint.data.decode import decode
from fakeprint.data.sources import open_source
from fakeprint.data.submission_form import submission_form
from fakeprint.params import Data

ROOT = Path(os.environ.get("FAKEPRINT_UNIBUC") or "nowhere")
pytestmark = pytest.mark.skipif(not ROOT.is_dir(), reason="FAKEPRINT_UNIBUC names no folder")


def test_all_images_are_found_and_decode() -> None:
    source = open_source(Data(title="UniBuc", path=str(ROOT), layout="csv"))
    counts = source.rows.groupby("split").size()
    assert counts["train"] == 12_500
    assert counts["validation"] == 1_250
    labelled = source.rows[source.rows["split"] != "test"]
    assert labelled.groupby(["split", "label"]).size().unique().tolist() == [2_500, 250]
    for path in source.rows["path"].iloc[::500]:
        assert decode(source.container.read(path, 10**6), 10**6).rgb.shape == (100, 100, 3)


def test_submission_has_the_sample_s_ids() -> None:
    source = open_source(Data(title="UniBuc", path=str(ROOT), layout="csv"))
    form = submission_form(source.container, source.form, "image_id", "label", [])
    sample = pd.read_csv(ROOT / "sample_submission.csv", dtype=str)
    assert form.columns.tolist() == sample.columns.tolist()
    assert form["image_id"].tolist() == sample["image_id"].tolist()
