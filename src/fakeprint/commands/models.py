"""List the networks, classifiers, feature sets and ensembles; with NAME, show the layers of one network."""

import argparse
import json
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from rich import box
from rich.console import Console
from rich.table import Table

from fakeprint.errors import InputError
from fakeprint.params import suggestion

if TYPE_CHECKING:
    from fakeprint.models.networks import NetworkSummary

TITLES = {
    "networks": "networks, for run.networks (sizes as published, with five classes)",
    "classifiers": "classifiers, for the key `method` of a block under classifiers",
    "features": "feature sets, for run.features",
    "ensembles": "ensembles, for the key `method` of a block under ensembles",
}
ENSEMBLES = {
    "average": ("average of the members' probabilities, weighted or not", "soft voting"),
    "greedy": (
        "adds the member that improves the average most, several times; the counts are the weights",
        "Caruana et al. 2004",
    ),
    "stacking": ("logistic regression on the members' log-probabilities", "Wolpert 1992"),
    "learned": (
        "small network that weights frozen members for each image, as published on three_cnn and skip_cnn",
        "EnsembleCNN, UniBuc challenge (system C)",
    ),
}
PUBLISHED_MEMBERS = ("three_cnn", "skip_cnn")  # of the learned ensemble


def add_parser(subparsers: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """Add the subcommand and its options."""
    parser = subparsers.add_parser(
        "models", help="list networks, classifiers, feature sets and ensembles", description=__doc__
    )
    parser.add_argument("network", nargs="?", metavar="NAME", help="show the layers of this network")
    parser.add_argument("--json", action="store_true", help="print JSON instead")
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> None:
    """Print the lists, or one network's layers. Raises InputError for an unknown network."""
    if args.network:
        _print_layers(args.network, args.json)
        return
    everything = catalogue()
    if args.json:
        print(json.dumps(everything, indent=2, ensure_ascii=False))
        return
    for group, entries in everything.items():
        print(TITLES[group])
        widest = max(len(entry["name"]) for entry in entries)
        for entry in entries:
            print(f"  {entry['name']:{widest}}  {_line(entry)}")


def catalogue() -> dict[str, list[dict[str, Any]]]:
    """Networks, classifiers, feature sets and ensembles: a list of entries each, with name, summary and source.

    Networks and the learned ensemble also have their size as published with five classes: `input_size` in pixels,
    `parameters`, and how many of them are `trained`.
    """
    from fakeprint.features import FEATURE_SETS
    from fakeprint.models.classifiers import CLASSIFIERS
    from fakeprint.models.networks import NETWORKS, summary

    sizes = {name: summary(name) for name in NETWORKS}
    learned = _learned([sizes[name] for name in PUBLISHED_MEMBERS])
    return {
        "networks": [
            {"name": name, "summary": entry.summary, "source": entry.source, **asdict(sizes[name])}
            for name, entry in NETWORKS.items()
        ],
        "classifiers": [
            {"name": name, "summary": entry.summary, "source": entry.source} for name, entry in CLASSIFIERS.items()
        ],
        "features": [
            {"name": name, "summary": entry.summary, "source": entry.source} for name, entry in FEATURE_SETS.items()
        ],
        "ensembles": [
            {"name": name, "summary": line, "source": source, **(asdict(learned) if name == "learned" else {})}
            for name, (line, source) in ENSEMBLES.items()
        ],
    }


def _print_layers(name: str, as_json: bool) -> None:
    from fakeprint.models.networks import NETWORKS, layers_of, summary

    if name not in NETWORKS:
        raise InputError(f"models: there is no network '{name}'{suggestion(name, NETWORKS)}")
    entry, size, layers = NETWORKS[name], summary(name), layers_of(name)
    described = {"name": name, "summary": entry.summary, "source": entry.source, **asdict(size)}
    if as_json:
        print(json.dumps({**described, "layers": [asdict(layer) for layer in layers]}, indent=2, ensure_ascii=False))
        return
    table = Table(title=f"{name}: {_line(described)}", title_justify="left", box=box.SIMPLE_HEAD)
    for heading in ("layer", "kind", "output", "parameters"):
        table.add_column(heading, justify="right" if heading in ("output", "parameters") else "left", overflow="fold")
    for layer in layers:
        shape = "×".join(map(str, layer.output))
        table.add_row(layer.name, layer.kind, shape, f"{layer.parameters:,}" if layer.parameters else "")
    Console().print(table)


def _learned(members: "list[NetworkSummary]") -> "NetworkSummary":
    """The learned ensemble on these members, with five classes."""
    from fakeprint.models.ensembles.learned import EnsembleHead
    from fakeprint.models.networks import NetworkSummary

    trained = sum(parameter.numel() for parameter in EnsembleHead(len(members), 5).parameters())
    size = max(member.input_size for member in members)
    return NetworkSummary(size, trained + sum(member.parameters for member in members), trained)


def _line(entry: dict[str, Any]) -> str:
    line = f"{entry['summary']} ({entry['source']})"
    if "parameters" in entry:
        size = entry["input_size"]
        line += f"; {size}×{size} pixels, {entry['parameters']:,} parameters, {entry['trained']:,} trained"
    return line
