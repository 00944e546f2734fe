"""A training run: a recipe, the network that is trained by it, and how far it is."""

from dataclasses import asdict
from typing import Any

import torch
from torch import nn

from fakeprint import seeds
from fakeprint.models import networks
from fakeprint.training import device, distributed
from fakeprint.training.averaging import EpochMean, MovingAverage, State, copied
from fakeprint.training.device import Execution
from fakeprint.training.freezing import Freezing, require_head
from fakeprint.training.history import History
from fakeprint.training.images import Images
from fakeprint.training.optimisers import restore
from fakeprint.training.recipe import Phase, Recipe

SAMPLE = 1000  # images, at most, that a network may fit its input to


class Run:
    """A training run between two epochs: all that its next epoch depends on, besides the images.

    network: the one that is trained. optimiser, average (the moving average, None without `ema`) and epoch_mean: of the
    current phase. best_weights: of the epoch of this phase that `History.kept_epoch` names; after the last epoch of a
    phase with `swa`, the mean of its last epochs; with `clean_norm`, with batch norm statistics of clean images.
    """

    def __init__(self, recipe: Recipe, network: nn.Module, execution: Execution) -> None:
        self.recipe, self.network, self.execution = recipe, network, execution
        self.history = History(recipe.phases)
        self.freezing = Freezing(network)
        self.best_weights: State = {}
        self._begin_phase()

    def _begin_phase(self) -> None:
        """A phase begins with a fresh optimiser, from the weights that the network has."""
        self.optimiser = self.phase.optimiser.of(self.network)
        ema = self.phase.averaging.ema
        self.average = MovingAverage(self.network, ema) if ema else None
        self.epoch_mean = EpochMean()
        self._wrapped: nn.Module | None = None

    @property
    def phase(self) -> Phase:
        """The parts of the current phase."""
        return self.history.phase

    @property
    def validated(self) -> nn.Module:
        """The network that is validated and kept: the moving average if there is one."""
        return self.average.network if self.average else self.network

    @property
    def trained_part(self) -> nn.Module:
        """The part of the network that was trained up to this phase's kept epoch: all of it, or only the head."""
        kept = self.history.kept_epoch - self.history.earlier
        head_only = kept <= self.phase.frozen_epochs
        return self.network.head if head_only else self.network  # type: ignore[return-value]

    @property
    def identity(self) -> dict[str, Any]:
        """What decides the weights besides images and code, as JSON values."""
        return {**self.recipe.identity, "execution": asdict(self.execution), "processes": distributed.world()}

    def ready(self) -> nn.Module:
        """The network as the next epoch's training steps call it: frozen or not, distributed, compiled."""
        changed = self.freezing.apply(head_only=self.history.done < self.phase.frozen_epochs)
        if changed or self._wrapped is None:
            shared = distributed.parallel(self.network, self.execution.device)
            self._wrapped = device.compiled(shared, self.execution) if self.phase.compile else shared
        return self._wrapped

    def add_epoch(self, row: dict[str, float]) -> None:
        """Add an epoch's row to the history, and keep its weights if they are the best so far."""
        self.history.rows.append(row)
        if self.phase.averaging.includes(self.history.done, self.phase.epochs):
            self.epoch_mean.add(copied(self.network))
        if self.history.kept_epoch == len(self.history.rows):
            self.best_weights = copied(self.validated)

    def next_phase(self) -> None:
        """Begin the next phase from the kept weights of this one."""
        self.network.load_state_dict(self.best_weights)
        self.history.next_phase()
        self._begin_phase()

    def state_dict(self) -> dict[str, Any]:
        """Everything that the next epoch depends on, for a checkpoint."""
        return {"best_weights": self.best_weights, **{name: part.state_dict() for name, part in self._parts().items()}}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Restore what `state_dict` returned."""
        self.history.load_state_dict(state["history"])
        self._begin_phase()
        for name, part in self._parts().items():
            if part is self.optimiser:
                restore(self.optimiser, state[name])
            else:
                part.load_state_dict(state[name])
        self.best_weights = state["best_weights"]

    def _parts(self) -> dict[str, Any]:
        names = ("history", "network", "optimiser", "average", "epoch_mean")
        return {name: part for name in names if (part := getattr(self, name)) is not None}


def new_run(recipe: Recipe, execution: Execution, images: Images | None = None) -> Run:
    """A run before its first epoch, weights drawn from the seed.

    images: those of training, of which a network that has `fit_input` gets a sample.

    Raises InputError if the images are too small, or if only the head is to be trained and the network has none.
    """
    torch.manual_seed(seeds.integer(recipe.seed, f"{recipe.purpose}/weights"))
    network = networks.build(recipe.name, recipe.design, recipe.options)
    if images and callable(fit := getattr(network, "fit_input", None)):
        sample = images.originals().sample(SAMPLE, seeds.generator(recipe.seed, f"{recipe.purpose}/input"))
        fit(torch.from_numpy(sample).permute(0, 3, 1, 2))
    if any(phase.frozen_epochs for phase in recipe.phases):
        require_head(network, recipe.name)
    if recipe.deterministic and execution.kind == "cuda":
        network = device.with_repeatable_pools(network)
    network = execution.place(network)
    if execution.kind == "cuda" and distributed.world() > 1:
        network = distributed.with_shared_norms(network)
    return Run(recipe, network, execution)
