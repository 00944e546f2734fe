"""A model's folder, opened so that its members give the grounds of their answers."""

from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

from fakeprint.data.arrays import Dataset
from fakeprint.errors import InputError
from fakeprint.explain.feature_sets import ClassifierParts
from fakeprint.explain.maps import NetworkParts
from fakeprint.models.description import dataset_of, described_folder, read_description

Parts = TypeVar("Parts", NetworkParts, ClassifierParts)


@dataclass(frozen=True)
class Member:
    """A network or a classifier; weight: its share in an average, equal shares in other ensembles."""

    name: str
    weight: float
    parts: NetworkParts | ClassifierParts


@dataclass(frozen=True)
class OpenModel:
    """A model with its members; one that is no ensemble is its own only member.

    method: how an ensemble combines them, None for other models.
    """

    name: str
    method: str | None
    dataset: Dataset
    members: list[Member]

    @property
    def lead(self) -> Member:
        """The member with the largest weight, the first of equals: images are near to each other as it sees them."""
        return max(self.members, key=lambda member: member.weight)

    @property
    def network(self) -> tuple[str, NetworkParts] | None:
        """The network with the largest weight, whose map is shown."""
        return self._heaviest(NetworkParts)

    @property
    def classifier(self) -> tuple[str, ClassifierParts] | None:
        """The classifier with the largest weight, whose feature sets are compared."""
        return self._heaviest(ClassifierParts)

    def _heaviest(self, kind: type[Parts]) -> tuple[str, Parts] | None:
        """The name and the parts of the member of this kind with the largest weight, the first of equals."""
        found = [
            (member.weight, member.name, member.parts) for member in self.members if isinstance(member.parts, kind)
        ]
        return max(found, key=lambda each: each[0])[1:] if found else None


def open_model(folder: Path, device: str = "auto") -> OpenModel:
    """Open models/NAME, or a folder with champion.json. The members of an ensemble are in the folders beside it.

    Raises InputError as `fakeprint.predict.load_model` does, and for a model of prepare.resize: native, whose answer
    comes from many crops of an image: a page has room for the grounds of one.
    """
    folder = described_folder(folder)
    description = read_description(folder)
    dataset = dataset_of(folder, description)
    if dataset.resize == "native":
        raise InputError(
            f"explain: {description['name']} answers by crops (prepare.resize: native), which are not explained; "
            "`fakeprint predict --map FOLDER` shows the answer of each"
        )
    if description["kind"] != "ensemble":
        return OpenModel(description["name"], None, dataset, [_member(folder, 1.0, device)])
    from fakeprint.models.ensembles.combinations import load_ensemble

    names, combination = load_ensemble(folder)
    weights = getattr(combination, "weights", [1 / len(names)] * len(names))
    members = [_member(folder.parent / name, weight, device) for name, weight in zip(names, weights, strict=True)]
    return OpenModel(description["name"], description["method"], dataset, members)


def _member(folder: Path, weight: float, device: str) -> Member:
    description = read_description(folder)
    if description["kind"] == "classifier":
        from fakeprint.models.classifiers.files import load_classifier

        return Member(description["name"], weight, ClassifierParts.of(load_classifier(folder)))
    from fakeprint.models.network_files import load_network
    from fakeprint.training.device import choose, keep_freed_memory

    network, description = load_network(folder)
    execution = choose(device, "fp32", "--device")
    if execution.device == "cpu":
        keep_freed_memory()
    return Member(
        description["name"], weight, NetworkParts(execution.place(network), description, str(execution.device))
    )
