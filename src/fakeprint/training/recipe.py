"""From params.yaml to the parts that train a network. Nothing else in this package reads settings."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch

from fakeprint.augment.drawing import Augmentation
from fakeprint.models.networks import Design
from fakeprint.params import NetworkSettings, Train
from fakeprint.training.averaging import Averaging
from fakeprint.training.batches import Batching
from fakeprint.training.images import Images
from fakeprint.training.losses import Criterion, class_weights
from fakeprint.training.mixing import Mixing
from fakeprint.training.optimisers import Optimiser
from fakeprint.training.schedules import Schedule
from fakeprint.training.selection import Selection


@dataclass(frozen=True)
class Phase:
    """The parts of one phase of a training.

    epochs: at most. frozen_epochs: the first ones, in which only the head is trained. clip: bound of the gradient's
    norm, 0 = none. compile: whether steps run through torch.compile. validate_every: epochs from one validation to the
    next; the last one is always validated. clean_norm: whether batch norm's statistics of the kept weights are computed
    anew, from images that are neither augmented nor mixed.
    """

    epochs: int
    batching: Batching
    optimiser: Optimiser
    schedule: Schedule
    criterion: Criterion
    mixing: Mixing
    averaging: Averaging
    selection: Selection
    frozen_epochs: int
    clip: float
    compile: bool
    validate_every: int
    clean_norm: bool


@dataclass(frozen=True)
class Recipe:
    """How one network is trained.

    name: as in `NETWORKS`. options: the network's own. augment_on: "auto", "cpu" or "device". deterministic: whether a
    GPU computes the same bits in every run. pinned: shared parameters that this network sets itself, with its values.
    identity: what the settings, the seed and the classes decide, as JSON values; another identity is another training.
    """

    name: str
    design: Design
    options: dict[str, Any]
    phases: tuple[Phase, ...]
    seed: int
    augment_on: str
    deterministic: bool
    pinned: dict[str, Any]
    identity: dict[str, Any]

    @property
    def purpose(self) -> str:
        """Names the random draws of this training, see `fakeprint.seeds`."""
        return f"train/{self.name}"


def build_recipe(
    settings: NetworkSettings, images: Images, classes: Sequence[str], seed: int, device: str = "cpu"
) -> Recipe:
    """The recipe for training on these images, with the tensors of its parts on `device`.

    Raises InputError if `class_weights` names an unknown class.
    """
    return Recipe(
        name=settings.name,
        design=_design(settings, images, len(classes)),
        options=settings.options,
        phases=tuple(_phase(train, images.labels, classes, device) for train in settings.train.in_phases()),
        seed=seed,
        augment_on=settings.train.augment_on,
        deterministic=settings.train.deterministic,
        pinned={key: _value(settings, key) for key in settings.pinned},
        identity={"settings": settings.model_dump(exclude={"pinned"}), "seed": seed, "classes": list(classes)},
    )


def _value(settings: NetworkSettings, key: str) -> Any:
    """The value of `model.KEY` or `train.KEY`."""
    block, name = key.split(".")
    return getattr(settings.train if block == "train" else settings.model, name)


def _design(settings: NetworkSettings, images: Images, classes: int) -> Design:
    """What the network is built from: the settings, the training images' size and the originals' colours."""
    statistics: dict[str, Any] = {}
    if settings.model.normalisation == "dataset":
        mean, std = images.originals().channel_statistics()
        statistics = {"channel_mean": mean, "channel_std": std}
    return Design(classes, images.parts[0].shape[1], **settings.model.model_dump(), **statistics)


def _phase(train: Train, labels: np.ndarray, classes: Sequence[str], device: str) -> Phase:
    return Phase(
        epochs=train.epochs,
        batching=Batching(
            train.batch_size,
            Augmentation.of(train),
            accumulate=train.accumulate,
            balanced=train.sampling == "balanced",
        ),
        optimiser=Optimiser(
            train.optimiser,
            train.lr,
            weight_decay=train.weight_decay,
            decay_norms=train.decay_norms,
            momentum=train.momentum,
            nesterov=train.nesterov,
            eps=train.eps,
        ),
        schedule=Schedule(
            train.schedule,
            train.lr,
            train.epochs,
            warmup=train.warmup,
            min_lr=train.min_lr,
            factor=train.factor,
            step_epochs=train.step_epochs,
            patience=train.patience,
            watch=train.plateau_on,
        ),
        criterion=_criterion(train, labels, classes, device),
        mixing=Mixing(train.mixup, train.cutmix, train.mix_p),
        averaging=Averaging(train.ema, train.swa),
        selection=Selection(train.keep, train.early_stopping),
        frozen_epochs=train.freeze,
        clip=train.clip,
        compile=train.compile,
        validate_every=train.validate_every,
        clean_norm=train.clean_norm,
    )


def _criterion(train: Train, labels: np.ndarray, classes: Sequence[str], device: str) -> Criterion:
    weights = class_weights(train.class_weights, labels, classes)
    return Criterion(
        smoothing=train.label_smoothing,
        gamma=train.gamma if train.loss == "focal" else None,
        weights=None if weights is None else torch.tensor(weights, dtype=torch.float32, device=device),
        hinge=train.loss == "hinge",
    )
