"""The submission file: the ids, order and header of the sample submission, and nothing else."""

from collections.abc import Mapping

import pandas as pd

from fakeprint.errors import InputError, first_few


def filled(
    form: pd.DataFrame, image_column: str, label_column: str, labels: Mapping[str, str], set_aside: Mapping[str, str]
) -> pd.DataFrame:
    """The form with its label column filled in; header and order stay.

    labels: the predicted label of each image id. set_aside: for ids of test images that were not used, the reason.
    Raises InputError naming the ids that are requested but not predicted, or predicted but not requested.
    """
    ids = form[image_column]
    unusable = [f"{name} ({set_aside[name]})" for name in ids if name not in labels and name in set_aside]
    if unusable:
        raise InputError(f"the submission needs test images that were set aside: {first_few(unusable)}; fix the files")
    missing = [name for name in ids if name not in labels]
    if missing:
        raise InputError(
            f"the submission needs images that the test split does not have: {first_few(missing)}; add them, or remove "
            "their ids from sample_submission.csv"
        )
    requested = set(ids)
    extra = [name for name in labels if name not in requested]
    if extra:
        raise InputError(
            f"the test split has images that the sample submission does not have: {first_few(extra)}; add their ids to "
            "sample_submission.csv, or remove the images"
        )
    return form.assign(**{label_column: ids.map(labels)})
