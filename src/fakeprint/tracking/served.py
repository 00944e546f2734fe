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

import numpy as np
import pandas as pd
from mlflow.exceptions import MlflowException
from mlflow.models import set_model
from mlflow.protos.databricks_pb2 import BAD_REQUEST
from mlflow.pyfunc import PythonModel, PythonModelContext

if TYPE_CHECKING:
    from fakeprint.data.crops import Crops

COLUMN = "image"  # of the input
PACKAGE = Path(__file__).parent / "code/fakeprint.zip"

if PACKAGE.exists():
    sys.path.insert(0, str(PACKAGE))


class Refused(MlflowException):
    """An input that has no answer. `mlflow models serve` answers with status 400 and the message."""

    def __init__(self, message: str):
        super().__init__(message, error_code=BAD_REQUEST)
        self.reason = message

    def serialize_as_json(self) -> str:
        """Without the whole input, which MLflow puts before the message."""
        return json.dumps({"error_code": self.error_code, "message": self.reason})


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

        context.artifacts["calibration"] is its calibration, if it has one.
        """
        from fakeprint.files import read_json
        from fakeprint.params import Predict
        from fakeprint.predict import load_model
        from fakeprint.verdict import calibration

        config = context.model_config
        folder, tta = Path(context.artifacts["model"]), Predict(**config["predict"])
        self.model = load_model(folder, workers=config["workers"], tta=tta, device=config["device"])
        fitted = context.artifacts.get("calibration")
        self.calibration = calibration.load(read_json(Path(fitted))["calibration"]) if fitted else calibration.Raw()

    def predict(
        self, context: PythonModelContext, model_input: pd.DataFrame, params: dict[str, Any] | None = None
    ) -> pd.DataFrame:
        """Predict the images of one column.

        Args:
            context: not used.
            model_input: N rows; its column `image` holds whole image files, as bytes or as base64 text.
            params: not used.

        Returns:
            N rows: class, name and p_CLASS, a float64 per class, calibrated; rows of probabilities sum to 1.

        Raises:
            Refused: a row is no image, damaged, too large, or its text is not base64. The message names the row,
                counted from 0.
        """
        from fakeprint.predict import columns, group_size
        from fakeprint.progress import quiet

        files, dataset = model_input[COLUMN].tolist(), self.model.dataset
        size = group_size(self.model)
        parts = []
        with self.one_at_a_time, quiet():
            for start in range(0, max(1, len(files)), size):
                parts.append(self.model.probabilities(self._images(files[start : start + size], start)))
        probabilities = self.calibration(np.concatenate(parts))
        best = probabilities.argmax(axis=1)
        classes, names = ([labels[index] for index in best] for labels in (dataset.classes, dataset.names))
        return pd.DataFrame(dict(zip(columns(dataset), [classes, names, *probabilities.T], strict=True)))

    def _images(self, files: list[Any], first: int) -> "np.ndarray | Crops":
        from fakeprint.data.decode import Unreadable
        from fakeprint.predict import image_of, stacked

        images = []
        for number, file in enumerate(files):
            try:
                images.append(self.model.crops(image_of(_content(file), self.model.dataset)))
            except Unreadable as error:
                raise Refused(f"'{COLUMN}' in row {first + number} (counted from 0): {error.reason}") from None
        return stacked(images, self.model)


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
