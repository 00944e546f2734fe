"""A model behind MLflow's interface. MLflow runs this file from a logged model's folder, so nothing is unpickled.

Beside the copy of this file there are `code/fakeprint.zip`, this package, and `artifacts/`, the model's own folders.
"""

import base64
import binascii
import json
import sys
import threading
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pandas as pd
from mlflow.exceptions import MlflowException
from mlflow.models import set_model
from mlflow.protos.databricks_pb2 import BAD_REQUEST
from mlflow.pyfunc import PythonModel, PythonModelContext

if TYPE_CHECKING:
    from fakeprint.data.arrays import Dataset
    from fakeprint.predict import Versions
    from fakeprint.verdict.decision import Answer

COLUMN = "image"  # of the input
DECIDED = ("answer", "score", "set", "reason")  # columns of the output that follow where the model has a decision
PACKAGE = Path(__file__).parent / "code/fakeprint.zip"

if PACKAGE.exists():
    sys.path.insert(0, str(PACKAGE))


class Refused(MlflowException):
    """An input that has no answer. `mlflow models serve` answers with status 400 and the message."""

    def serialize_as_json(self) -> str:
        """Without the whole input, which MLflow puts into `message`."""
        return json.dumps({"error_code": self.error_code, "message": str(self)})


class ServedModel(PythonModel):
    """Image files in, a class and the probability of each class out.

    The model's config, which `mlflow.pyfunc.load_model(model_config=…)` changes:

    - device: where networks run: auto, cpu, cuda, cuda:N or mps.
    - workers: processes that extract features, None for all cores. A server does best with 1.
    - predict: test-time augmentation, the block of params.yaml.
    """

    def __init__(self) -> None:
        # A server has threads. Decoding and torch change settings of the process for as long as they work.
        self.one_at_a_time = threading.Lock()

    def load_context(self, context: PythonModelContext) -> None:
        """Load the model. context.artifacts["model"] is its folder; an ensemble's members are beside it.

        context.artifacts["decision"] is its decision, or context.artifacts["calibration"] its calibration, where it has
        one of them.
        """
        from fakeprint.named_models import variants_of
        from fakeprint.params import Predict
        from fakeprint.predict import load_model
        from fakeprint.verdict.decision import read_decision

        config = context.model_config
        files, tta = {name: Path(file) for name, file in context.artifacts.items()}, Predict(**config["predict"])
        self.model = load_model(files["model"], workers=config["workers"], tta=tta, device=config["device"])
        self.decides = "decision" in files
        self.decision = read_decision(files.get("decision"), files.get("calibration"))
        self.variants = variants_of(self.decision)

    def predict(
        self, context: PythonModelContext, model_input: pd.DataFrame, params: dict[str, Any] | None = None
    ) -> pd.DataFrame:
        """Predict the N images of the column `image`: whole image files, as bytes or as base64 text.

        Returns N rows: class, name and p_CLASS, a float64 per class, calibrated; rows of probabilities sum to 1. Where
        the model has a decision, after these: answer (label, unsure or unknown; class is the most probable one,
        whatever the answer), score (the largest probability), set (the conformal set, as a JSON list of classes; empty
        where there is none) and reason, in words. Raises Refused where a row is no image, damaged, too large, or its
        text is not base64; the message names the row, counted from 0.
        """
        from fakeprint.predict import columns, group_size, probabilities_of, variants_per_image

        files, dataset = model_input[COLUMN].tolist(), self.model.dataset
        size, variant_count = group_size(self.model), variants_per_image(self.variants)
        answers: list[Answer] = []
        with self.one_at_a_time:
            for start in range(0, len(files), size):
                versions = self._images(files[start : start + size], start)
                probabilities, variants = probabilities_of(versions, self.model, variant_count)
                answers += self.decision.answers(probabilities, dataset.names, variants)
        names = [*columns(dataset), *(DECIDED if self.decides else ())]
        return pd.DataFrame([_row(answer, dataset) for answer in answers], columns=names)

    def _images(self, files: list[Any], first: int) -> "list[Versions]":
        from fakeprint.data.decode import Unreadable
        from fakeprint.predict import image_of, versions_of

        images = []
        for number, file in enumerate(files):
            try:
                images.append(versions_of(image_of(_content(file), self.model.dataset), self.model, self.variants))
            except Unreadable as error:
                where = f"'{COLUMN}' in row {first + number} (counted from 0)"
                raise Refused(f"{where}: {error.reason}", error_code=BAD_REQUEST) from None
        return images


def _row(answer: "Answer", dataset: "Dataset") -> dict[str, Any]:
    """One row of the output, with all columns that there can be."""
    row = answer.as_json(dataset.classes, dataset.names)
    shares = {f"p_{label}": share for label, share in row.pop("probabilities").items()}
    return row | shares | {"set": "" if row["set"] is None else json.dumps(row["set"])}


def _content(file: Any) -> bytes:
    """The bytes of an image file. Base64 may be broken into lines, as many programs write it."""
    from fakeprint.data.decode import Unreadable

    if isinstance(file, bytes | bytearray):
        return bytes(file)
    if not isinstance(file, str):
        raise Unreadable(f"neither base64 text nor bytes but {type(file).__name__}")
    try:
        return base64.b64decode("".join(file.split()), validate=True)
    except (binascii.Error, ValueError):
        raise Unreadable("not base64 (without a prefix such as data:image/png;base64,)") from None


set_model(ServedModel())
