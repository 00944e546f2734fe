"""What the API takes and returns."""

from datetime import datetime
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, field_validator

Share = Annotated[float, Field(ge=0, le=1)]
Interval = tuple[Share, Share]
Scope = Literal["predict", "fit", "admin"]


class Strict(BaseModel):
    """A body of a request: unknown keys are refused."""

    model_config = ConfigDict(extra="forbid")


# --- POST /predict -------------------------------------------------------------------------------------------------


class EncodedImage(Strict):
    """An image file in JSON."""

    name: str = Field("image", max_length=255, description="shown in the answer, never used as a path")
    content: str = Field(description="the file's bytes, base64", json_schema_extra={"contentEncoding": "base64"})


class PredictRequest(Strict):
    """Images in JSON. The same can be sent as multipart/form-data, one field `files` per image."""

    images: list[EncodedImage] = Field(min_length=1)
    explain: bool = False
    evidence: bool = False


class ModelVersion(BaseModel):
    """Which model answered."""

    name: str = Field(description="the name by which `POST /set` chooses it", examples=["unibuc"])
    model: str | None = Field(None, description="what `fakeprint predict` calls it", examples=["trace_net"])
    version: str = Field(description="version in the registry, or the first digits of the digest", examples=["3"])
    digest: str = Field(description="SHA-256 over the model's files")
    source: Literal["folder", "shipped", "registry"]


class Evidence(BaseModel):
    """Something that the file itself declares. It changes no probability."""

    kind: str
    claim: str
    strength: Literal["signed_trusted", "signed_untrusted", "declared", "watermark"]
    detail: str


class Prediction(BaseModel):
    """The answer to one image, as `fakeprint predict --json` prints it."""

    status: Literal["answered"] = "answered"
    image: str = Field(description="the name that was sent")
    answer: Literal["label", "unsure", "unknown"]
    label: str = Field(description="the most probable class, whatever the answer is", examples=["0"])
    name: str = Field(description="the name of that class", examples=["generator 0"])
    score: Share = Field(description="the largest calibrated probability")
    set: list[str] | None = Field(description="the classes of the conformal set; null where the model has none")
    reason: str = Field(description="the answer in words")
    probabilities: dict[str, Share] = Field(description="calibrated, one per class")
    evidence: list[Evidence] | None = Field(None, description="with evidence=true: what the file itself declares")
    not_checked: list[str] | None = Field(None, description="with evidence=true: what could not be checked in the file")
    map: str | None = Field(
        None,
        description="with explain=true: a PNG in base64, the image and over it in colour where the answer comes from",
    )
    map_note: str | None = Field(None, description="why there is no map, where one was requested")


class Unreadable(BaseModel):
    """A file that gets no answer."""

    status: Literal["unreadable"] = "unreadable"
    image: str
    detail: str = Field(description="why, on one line", examples=["damaged: image file is truncated"])


class PredictResponse(BaseModel):
    """One answer per image, in the order sent."""

    model: ModelVersion
    data: str | None = Field(description="title of the data that the model learned from")
    certificate: str | None = Field(description="what is certified about the answers, on one line")
    never_checked: list[str] | None = Field(None, description="with evidence=true: what cannot be checked offline")
    images: list[Annotated[Prediction | Unreadable, Field(discriminator="status")]]


# --- GET /models, POST /set ----------------------------------------------------------------------------------------


class Accuracy(BaseModel):
    """Accuracy with its interval."""

    split: str
    value: Share
    low: Share
    high: Share
    confidence: Share
    images: int


class Degraded(BaseModel):
    """Accuracy on degraded images, of the degradation with the lowest one, by the leaderboard or the model's card."""

    degradation: str = Field(description="its name in docs/experiments.md", examples=["jpeg_50"])
    value: Share
    low: Share | None = None
    high: Share | None = None
    confidence: Share | None = None
    split: str | None = Field(None, description="of the images that were degraded", examples=["validation"])
    images: int | None = Field(None, description="their number")
    degradations: int | None = Field(None, description="how many were measured, where this is the worst of them")


class Model(BaseModel):
    """A model that can serve."""

    name: str = Field(description="the name by which `POST /set` chooses it", examples=["unibuc"])
    model: str | None = Field(default=None, description="what `fakeprint predict` calls it", examples=["trace_net"])
    version: str
    digest: str | None = Field(
        description="SHA-256 over the model's files; null for one of the registry not served yet"
    )
    source: Literal["folder", "shipped", "registry"]
    aliases: list[str] = []
    serves: bool = Field(description="whether it answers now")
    kind: Literal["network", "classifier", "ensemble"] | None = Field(
        description="null, as the next three, for one of the registry that has not served here yet"
    )
    classes: list[str] | None
    names: list[str] | None
    image_size: int | None
    data: str | None = None
    hyperparameters: dict[str, Any] = {}
    backbone: str | None = Field(
        default=None, description="the network, or the networks or feature sets it is built on"
    )
    last_activation: str | None = Field(default=None, description="what turns its last numbers into probabilities")
    accuracy: Accuracy | None = None
    worst_degraded: Degraded | None = Field(
        default=None, description="where measured: what re-encoding and the like cost"
    )
    calibration: dict[str, Any] | None = None
    certificate: str | None = None
    card: dict[str, Any] | None = Field(default=None, description="its card.json")


class Models(BaseModel):
    """All models that can serve, and the state that `POST /set` compares with."""

    models: list[Model]
    revision: int = Field(description="goes up with each change of the serving model")
    note: str | None = Field(None, description="why the registry's models are missing, where it does not answer")


class SetRequest(Strict):
    """Which model is to serve: by name in the models folder or among those that come with Fakeprint, or by registry."""

    name: str = Field(max_length=255, examples=["champion"])
    source: Literal["folder", "shipped", "registry"] = "folder"
    version: str | None = Field(None, max_length=64, description="of the registry", examples=["3"])
    alias: str | None = Field(None, max_length=255, description="of the registry", examples=["champion"])
    expected_revision: int | None = Field(None, description="refuse with 409 unless it is the current revision")


class Serving(BaseModel):
    """The model that answers from now on."""

    model: ModelVersion
    revision: int


# --- data sets, fit, jobs ------------------------------------------------------------------------------------------


class Dataset(BaseModel):
    """A data set that was sent."""

    id: str
    name: str
    digest: str = Field(description="SHA-256 of its files")
    bytes: int
    images: int
    classes: dict[str, int] = Field(description="train images per class")
    created: datetime


class Datasets(BaseModel):
    """Data sets, the latest first."""

    datasets: list[Dataset]


class DatasetImage(BaseModel):
    """One image of a data set."""

    number: int = Field(description="its place in the data set, from 0; its file is at `images/NUMBER`", examples=[0])
    name: str = Field(description="its id in the data set", examples=["real/a.png"])
    split: Literal["train", "validation", "test"]
    label: str | None = Field(description="its class, where the data set says so", examples=["real"])


class DatasetImages(BaseModel):
    """Some images of a data set."""

    images: list[DatasetImage]
    splits: dict[str, int] = Field(
        description="images of each split in the whole data set", examples=[{"train": 500, "validation": 0, "test": 0}]
    )
    next: int | None = Field(None, description="give it as `first` to get the rest", examples=[100])


class FitRequest(Strict):
    """A model to fit. Parameters are those of params.yaml that `GET /fit/options` lists."""

    dataset: str = Field(description="the id of a data set", max_length=64)
    preset: str = Field("demo", max_length=64, examples=["demo"])
    parameters: dict[str, Any] = Field({}, examples=[{"train.epochs": 3, "model.dropout": 0.3}])
    title: str | None = Field(None, max_length=200)

    @field_validator("title")
    @classmethod
    def _without_nul(cls, title: str | None) -> str | None:
        if title and "\0" in title:
            raise ValueError("it has the character U+0000; leave that out")  # which Postgres cannot store
        return title


class FitOptions(BaseModel):
    """What a fit may be given."""

    presets: dict[str, str] = Field(description="name → what it is for")
    parameters: dict[str, dict[str, Any]] = Field(description="name → its JSON schema, with the default")


State = Literal["queued", "running", "cancelling", "succeeded", "failed", "cancelled"]


class Job(BaseModel):
    """A fit, from its request to its result."""

    id: str
    state: State
    dataset: str
    preset: str
    parameters: dict[str, Any]
    title: str | None
    created: datetime
    started: datetime | None = None
    finished: datetime | None = None
    attempts: int = 0
    stage: str | None = Field(None, description="the stage of the pipeline that runs", examples=["train@hist_cnn"])
    stages_done: int = 0
    stages: int = 0
    epoch: int | None = None
    epochs: int | None = None
    curve: list[dict[str, float]] = Field([], description="a row per epoch of the network that trains")
    eta_seconds: float | None = None
    metrics: dict[str, float] = Field({}, description="of the champion, when it has succeeded")
    champion: str | None = None
    model: str | None = Field(
        None, description="the name under which `POST /set` serves it; null once its files are removed"
    )
    error: str | None = Field(None, description="why it failed, on one line")


class Jobs(BaseModel):
    """Jobs, the latest first."""

    jobs: list[Job]
    next: str | None = Field(None, description="give it as `after` to get the rest")


class Profile(BaseModel):
    """What the stage `validate` finds in a data set."""

    dataset: str
    digest: str
    splits: dict[str, dict[str, int]] = Field(description="images per class and split")
    sizes: dict[str, int] = Field(description="images per width × height, the most frequent first")
    channel_means: tuple[float, float, float] = Field(description="0–255, R, G, B")
    channel_deviations: tuple[float, float, float]
    outliers: list[str] = Field(description="images whose colours are far from the others'")
    duplicates: dict[str, int]
    shortcuts: list[str] = Field(description="facts of the files that give the class away, in words")
    unusable: dict[str, int] = Field({}, description="files that cannot be used, by reason")
    pictures: dict[str, str] = Field({}, description="name → PNG in base64")


# --- operations ----------------------------------------------------------------------------------------------------


class Health(BaseModel):
    """The process answers."""

    status: Literal["ok"] = "ok"
    version: str


class Ready(BaseModel):
    """Whether predictions can be requested."""

    ready: bool
    model: ModelVersion | None = None
    detail: str | None = Field(None, description="why not, on one line")
