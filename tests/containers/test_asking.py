"""What the script that proves the images asks of an API."""

from pathlib import Path

import pytest

from containers import asking
from fakeprint.service.access import create_key
from fakeprint.service.settings import Settings
from fakeprint.service.tables import connect
from tests.service.running import listening, models_folder

__all__ = ["models_folder"]  # a fixture


@pytest.mark.slow
@pytest.mark.parametrize(("model", "has_map"), [("three_cnn", True), ("lda", False)])
def test_an_api_that_answers_passes_and_one_without_maps_does_not(
    models_folder: Path, tmp_path: Path, model: str, has_map: bool
) -> None:
    with listening(tmp_path, models_folder, model=model, require_keys=True) as url:
        key = create_key(connect(Settings(folder=tmp_path)), "proof", ["predict"])
        checks = {what: (holds, shown) for what, holds, shown in asking.answers(url, key)}
    failed = [what for what, (holds, _) in checks.items() if not holds]
    assert failed == ([] if has_map else ["/predict draws a map"])
    if has_map:  # a small image is drawn larger
        assert checks["/predict draws a map"][1] == "280 × 280 pixels"
