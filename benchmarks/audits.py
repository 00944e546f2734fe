"""The audits of `validate`: how often they raise a false alarm, and how often they find a planted fact.

Each row is a simulation of 200 sources of images without content, with two random facts: a file length, and three
flags. `ours` is the share of sources whose audit is significant at the level of 1 %. Where nothing is planted, the goal
is at most this level plus its sampling error. `peer` is the share, for the same accuracies, by a simple rule: more than
three binomial standard errors (of equal classes) above chance. `python -m benchmarks.audits [--json FILE]`
"""

import numpy as np
from joblib import Parallel, delayed

from benchmarks.table import Row, json_option, report
from fakeprint import seeds
from fakeprint.data.shortcuts import LEVEL, audit, columns_of

SOURCES = 200
ALARMS = LEVEL + 3 * (LEVEL * (1 - LEVEL) / SOURCES) ** 0.5
LAYOUTS = {
    "two classes, 500 and 500": [500, 500],
    "two classes, 1,470 and 30": [1470, 30],
    "five classes, 200 each": [200] * 5,
}


def one_source(counts: list[int], planted: float, number: int) -> tuple[bool, bool]:
    """Whether one source is significant by the permutation test, and by the binomial rule.

    planted: a share of the first class's images gets its first flag set, which half of all images have anyway.
    """
    rng = seeds.generator(7, "benchmark", number)
    labels = np.repeat(np.arange(len(counts)), counts)
    flags = rng.random((len(labels), 3)) < 0.5
    flags[:, 0] |= (labels == 0) & (rng.random(len(labels)) < planted)
    facts = {"file_length": rng.lognormal(size=(len(labels), 2)).astype(np.float32), "flags": flags.astype(np.float32)}
    found = audit(columns_of(facts), labels.astype(str).astype(object), np.arange(len(labels)), number, "benchmark")
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
    report(rows, "Audits: permutation test (ours) and three binomial standard errors (peer)", json_path)


if __name__ == "__main__":
    main()
