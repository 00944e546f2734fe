"""submit: a model's labels of the test images, in the form of the source's sample submission."""

from pathlib import Path

import pandas as pd

from fakeprint import params
from fakeprint.data.arrays import load_dataset
from fakeprint.data.manifest import FORM
from fakeprint.errors import one_line_errors
from fakeprint.evaluation import submission
from fakeprint.evaluation.champion import CHAMPION, champion_name
from fakeprint.evaluation.predictions import CALIBRATED, load_predictions
from fakeprint.files import write_csv

SUBMISSION = Path("data/submission/submission.csv")
SET_ASIDE = Path("reports/validate/set_aside.csv")


@one_line_errors
def main() -> None:
    settings = params.load()
    data = settings.data
    name = champion_name() if settings.submit.model == CHAMPION else settings.submit.model
    classes = load_dataset().classes
    predictions = load_predictions(name, classes, "test", CALIBRATED)
    labels = {
        str(image): classes[index] for image, index in zip(predictions.image_ids, predictions.predicted, strict=True)
    }

    form = pd.read_csv(FORM, dtype=str, keep_default_na=False)
    filled = submission.filled(form, data.image_column, data.label_column, labels, set_aside_tests())
    write_csv(SUBMISSION, filled)
    if labels:
        print(f"{SUBMISSION}: {len(filled)} test images, predicted by {name}")
    else:
        print(f"{SUBMISSION}: the source has no test images, so it has only the header")


def set_aside_tests() -> dict[str, str]:
    """Reason by image id of the test images that `validate` set aside."""
    if not SET_ASIDE.exists():
        return {}
    rows = pd.read_csv(SET_ASIDE, dtype=str, keep_default_na=False)
    tests = rows[rows["split"] == "test"]
    return dict(zip(tests["image_id"], tests["reason"], strict=True))


if __name__ == "__main__":
    main()
