"""The whole of params.yaml: all blocks, and what must fit between them."""

from collections.abc import Collection
from typing import Annotated, Any, Self

from annotated_types import Interval
from pydantic import Field, model_validator

from fakeprint.params.augment import Augment
from fakeprint.params.block import Block
from fakeprint.params.classifiers import AnyClassifier
from fakeprint.params.data import Data, Prepare, Validate
from fakeprint.params.ensembles import AnyEnsemble
from fakeprint.params.evaluation import Compare, Degrade, Evaluate, Predict, Robustness, Submit
from fakeprint.params.explain import Explain
from fakeprint.params.features import Features
from fakeprint.params.names import NAME, RESERVED, require_known
from fakeprint.params.networks import Model, Models
from fakeprint.params.open_world import CrossGenerator, OpenWorld
from fakeprint.params.run import Run, Tracking
from fakeprint.params.training import Train, merged
from fakeprint.params.validation import validated
from fakeprint.params.verdict import Calibrate, Decide


class NetworkSettings(Block):
    """A network's effective settings: its own where it pins them, the shared ones elsewhere.

    `options` holds what only this network has (bins, dilation); `pinned` the keys that the shared blocks do not reach,
    as `"model.dropout"` or `"train.lr"`.
    """

    name: str
    model: Model
    options: dict[str, Any]
    train: Train
    pinned: list[str]


class Params(Block):
    """The whole of params.yaml."""

    seed: Annotated[int, Interval(ge=0, lt=2**32)] = Field(description="of every random choice, split by purpose")
    run: Run = Field(description="what runs; `-S 'run.networks=[hist_cnn]'` narrows it")
    data: Data = Field(description="the source of the images")
    validate_: Validate = Field(alias="validate", description="checks of the source")
    prepare: Prepare = Field(description="the arrays that all models read")
    augment: Augment = Field(
        description="offline copies of train images, stored before training; validation and test are never augmented"
    )
    features: Features = Field(description="one block per feature set; the classifiers choose among them")
    classifiers: dict[str, AnyClassifier] = Field(description="one block per classifier")
    model: Model = Field(description="what every network shares; `models` overrides it for one")
    models: Models = Field(
        description="one block per network; each may override any key of `model` (`-S "
        "+models.hist_cnn.norm=group`), null = what `model` says"
    )
    train: Train = Field(description="of the networks")
    predict: Predict = Field(
        default=Predict(), description="how models answer: a change predicts again and retrains nothing"
    )
    degrade: Degrade = Field(
        default=Degrade(),
        description="degraded validation images that ensembles with `degraded` are fitted on too; retrains nothing",
    )
    ensembles: dict[str, AnyEnsemble] = Field(
        description="one block per ensemble; members are networks and classifiers, those that do not run are left out"
    )
    calibrate: Calibrate = Field(
        default=Calibrate(), description="probabilities that mean what they say, for every model; retrains nothing"
    )
    robustness: Robustness = Field(
        default=Robustness(), description="every model on degraded validation images; retrains nothing"
    )
    evaluate: Evaluate = Field(description="each model's metrics and pictures")
    compare: Compare = Field(description="the leaderboard")
    decide: Decide = Field(default=Decide(), description="the champion's answers: a label, or unsure; retrains nothing")
    open_world: OpenWorld = Field(
        default=OpenWorld(),
        description="each class in turn is left out of training and its images are the unknown ones; empty lists = off",
    )
    cross_generator: CrossGenerator = Field(
        default=CrossGenerator(),
        description="a detector of each generator, tested on the others; without a real class, of pairs of classes; "
        "empty lists = off",
    )
    explain: Explain = Field(
        default=Explain(), description="pages with the grounds of a model's answers (docs/verdict.md); off by default"
    )
    submit: Submit = Field(description="the submission file")
    tracking: Tracking = Field(description="MLflow")

    @model_validator(mode="after")
    def _every_model_has_a_name_of_its_own(self) -> Self:
        for block, names in (("classifiers", self.classifiers), ("ensembles", self.ensembles)):
            for name in names:
                if not NAME.fullmatch(name):
                    raise ValueError(
                        f"{block}: {name!r} is not a valid name; use a-z, 0-9 and '_', at most 64 characters, and "
                        "start with a letter"
                    )
                if name in RESERVED:
                    raise ValueError(f"{block}: '{name}' is reserved; choose another name")
        every = [*self.classifiers, *self._networks(), *self.ensembles]
        twice = sorted({name for name in every if every.count(name) > 1})
        if twice:
            raise ValueError(
                f"{twice[0]} is the name of two models; names in classifiers, models and ensembles must differ"
            )
        return self

    @model_validator(mode="after")
    def _what_runs_exists(self) -> Self:
        for listed, names, key, blocks in (
            ("run.features", self.run.features, "features", self.features),
            ("run.networks", self.run.networks, "models", self.models),
        ):
            for name in names:
                if name in blocks.model_fields_set and getattr(blocks, name) is None:
                    raise ValueError(f"{key}.{name} is empty, and {listed} names it")
        features = [name for name in Features.model_fields if getattr(self.features, name) is not None]
        require_known("run.features", self.run.features, features)
        require_known("run.classifiers", self.run.classifiers, self.classifiers)
        require_known("run.networks", self.run.networks, self._networks())
        require_known("run.ensembles", self.run.ensembles, self.ensembles)
        for name in self.run.classifiers:
            require_known(f"classifiers.{name}.features", self.classifiers[name].features, self.run.features)
        every = [*self.classifiers, *Models.model_fields]
        for name in self.run.ensembles:
            require_known(f"ensembles.{name}.members", self.ensembles[name].members, every)
            if self.ensembles[name].degraded and not self.degrade.grid:
                raise ValueError(
                    f"ensembles.{name}.degraded: degrade.grid names no degradation; add some, for example "
                    "{jpeg_60: {jpeg: 60}}, or set it to false"
                )
        if self.predict.shift >= self.prepare.image_size:
            raise ValueError(f"predict.shift should be less than prepare.image_size, not {self.predict.shift}")
        require_known("robustness.models", self.robustness.models, self.run.models)
        require_known("explain.models", self.explain.models, self.run.models)
        if self.submit.model != "champion":
            require_known("submit.model", [self.submit.model], ["champion", *self.run.models])
        for key in ("open_world", "cross_generator"):
            block = getattr(self, key)
            require_known(f"{key}.classifiers", block.classifiers, self.run.classifiers)
            require_known(f"{key}.networks", block.networks, self.run.networks)
            if "specialist" in block.networks:
                raise ValueError(f"{key}.networks: specialist tells one class from all others; leave it out")
            self._require_resized(key, [*block.classifiers, *block.networks])
        self._require_resized("data.unknown", self.data.unknown)
        self._require_resized("explain", self.explain.models)
        self.train.in_phases()
        for name in self._networks():
            self.network(name)
        return self

    def _require_resized(self, key: str, used: Collection[str]) -> None:
        if used and self.prepare.resize == "native":
            raise ValueError(f"{key} does not work with prepare.resize: native; leave it empty, or resize images")

    def _networks(self) -> list[str]:
        return [name for name in Models.model_fields if getattr(self.models, name) is not None]

    @property
    def title(self) -> str:
        """The data's title as reports show it, with the fold where one replaces the validation split."""
        if self.prepare.fold is None:
            return self.data.title
        return f"{self.data.title}, fold {self.prepare.fold} of {self.prepare.folds} of train"

    def training_seed(self, network: str) -> int:
        """The seed that a network is trained with: `train.seed`, its own or the shared one, else `seed`."""
        own = self.network(network).train.seed
        return self.seed if own is None else own

    def network(self, name: str) -> NetworkSettings:
        """The effective settings of one network. Raises InputError for a key of its own that is unknown or wrong."""
        own = getattr(self.models, name).model_dump()
        own_train = own.pop("train")
        shared = self.model.model_dump()
        model = Model(**{key: shared[key] if own[key] is None else own[key] for key in shared})
        pinned = [f"model.{key}" for key in shared if own[key] is not None]
        pinned += [f"train.{key}" for key in own_train]
        train = validated(Train, merged(self.train.model_dump(), own_train), prefix=f"models.{name}.train", name="")
        train.in_phases(f"models.{name}.train")
        options = {key: value for key, value in own.items() if key not in shared}
        return NetworkSettings(name=name, model=model, options=options, train=train, pinned=pinned)
