"""The audits of `validate`: false alarms where facts say nothing of the class, and how often a planted one is found.

Each row is a simulation of 200 sources of images without content: two facts drawn at random (a file length, three
flags). `ours` is the share of sources whose audit is significant at the level of 1 % (goal: at most the level, give or
take its sampling error, where nothing is planted); `peer` is the same by the rule of three binomial standard errors of
equal classes above chance, for the same accuracies. `python -m benchmarks.audits [--json FILE]`
"""

import numpy as np
from joblib import Parallel, delayed

from benchmarks.table import Row, json_option, report
from fakeprint import seeds
from fakeprint.data.shortcuts import LEVEL, audit

SOURCES = 200
ALARMS = LEVEL + 3 * (LEVEL * (1 - LEVEL) / SOURCES) ** 0.5
LAYOUTS = {
    "two classes, 500 and 500": [500, 500],
    "two classes, 1,470 and 30": [1470, 30],
    "five classes, 200 each": [200] * 5,
}


def one_source(counts: list[int], planted: float, number: int) -> tuple[bool, bool]:
    """Significant by the permutation test, and by the binomial rule.

    planted: part of the first class's images whose flag is set, where half the others' is.
    """
    rng = seeds.generator(7, "benchmark", number)
    labels = np.repeat(np.arange(len(counts)), counts)
    flags = rng.random((len(labels), 3)) < 0.5
    flags[:, 0] |= (labels == 0) & (rng.random(len(labels)) < planted)
    facts = {"file_length": rng.lognormal(size=(len(labels), 2)).astype(np.float32), "flags": flags.astype(np.float32)}
    found = audit(facts, labels.astype(str).astype(object), np.arange(len(labels)), number, "benchmark")
    margin = 3 * (found.chance * (1 - found.chance) / len(labels)) ** 0.5
    return found.p_value <= LEVEL, found.accuracy > found.chance + margin


def shares(name: str, counts: list[int], planted: float) -> Row:
    outcomes = Parallel(n_jobs=-1)(delayed(one_source)(counts, planted, number) for number in range(SOURCES))
    ours, peer = np.mean(outcomes, axis=0)
    if planted:
        return Row(f"{name}, a flag planted", ours, peer, "found", ours / max(peer, 1 / SOURCES), None)
    return Row(name, ours, peer, "false alarms", ALARMS / max(ours, 1 / SOURCES), 1.0)


def main() -> None:
    json_path = json_option(__doc__)
    rows = [shares(name, counts, planted) for planted in (0.0, 0.6) for name, counts in LAYOUTS.items()]
    report(rows, "audits: permutation test (ours) and three binomial standard errors", json_path)


if __name__ == "__main__":
    main()
