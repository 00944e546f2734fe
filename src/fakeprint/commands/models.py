"""`python -m fakeprint models`: what params.yaml can name under `run`."""

import argparse
import json
from dataclasses import asdict
from typing import Any

TITLES = {
    "networks": "networks, for run.networks (figures: as published, with five classes)",
    "classifiers": "classifiers, for the key `method` of a block under classifiers",
    "features": "feature sets, for run.features",
}


def add_parser(subparsers: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """Add the subcommand and its options."""
    parser = subparsers.add_parser("models", help="every network, classifier and feature set", description=__doc__)
    parser.add_argument("--json", action="store_true", help="print JSON instead")
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> None:
    """Print what there is."""
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
    """Networks, classifiers and feature sets: name, one line, source; networks also as published with five classes:
    input size in pixels, parameters in all, and those trained.
    """
    from fakeprint.features import FEATURE_SETS
    from fakeprint.models.classifiers import CLASSIFIERS
    from fakeprint.models.networks import NETWORKS, summary

    return {
        "networks": [
            {"name": name, "summary": entry.summary, "source": entry.source, **asdict(summary(name))}
            for name, entry in NETWORKS.items()
        ],
        "classifiers": [
            {"name": name, "summary": entry.summary, "source": entry.source} for name, entry in CLASSIFIERS.items()
        ],
        "features": [
            {"name": name, "summary": entry.summary, "source": entry.source} for name, entry in FEATURE_SETS.items()
        ],
    }


def _line(entry: dict[str, Any]) -> str:
    line = f"{entry['summary']} ({entry['source']})"
    if "parameters" in entry:
        size = entry["input_size"]
        line += f"; {size}×{size} pixels, {entry['parameters']:,} parameters, {entry['trained']:,} trained"
    return line
