"""Searches on tiny arrays: what a trial sees, how it goes on, what it refuses."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from ruamel.yaml import YAML

from fakeprint import params, seeds
from fakeprint.data.arrays import Dataset, save_dataset, save_index
from fakeprint.data.manifest import COLUMNS, save_manifest
from fakeprint.data.splits import folds
from fakeprint.errors import InputError
from fakeprint.search import feature_sets, running, scoring, space, storage, trials
from tests.samples import index_rows

pytestmark = pytest.mark.slow

ROOT = Path(__file__).parents[1]
NETWORK = {
    "model": "three_cnn",
    "trials": 3,
    "seed": 1,
    "folds": [0],
    "pruner": "none",
    "fixed": {"train.epochs": 2},
    "ranges": {"models.three_cnn.dilation": {"choices": [1, 2]}, "train.lr": {"low": 1e-3, "high": 1e-2, "log": True}},
}
CLASSIFIER = {
    "model": "logistic",
    "trials": 4,
    "sampler": "grid",
    "folds": [0, 2],
    "ranges": {
        "classifiers.logistic.C": {"choices": [1e-6, 1.0]},
        "classifiers.logistic.features": {"choices": [["hsv_hist"], ["hsv_hist", "hsv_joint"]]},
    },
}


@pytest.fixture(scope="module")
def arrays(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """60 train images of two classes, told by colour, in pairs of near duplicates; copies; a source's validation."""
    folder = tmp_path_factory.mktemp("arrays")
    rng = np.random.default_rng(0)
    labels = np.arange(60) // 2 % 2
    images = rng.integers(0, 128, (60, 24, 24, 3), dtype=np.uint8)
    images[labels == 1, ..., 0] += 60
    here = folder / "data/arrays"
    here.mkdir(parents=True)
    save_dataset(Dataset(["a", "b"], ["a", "b"], 24, "squash", 10**6), here)
    np.save(here / "train.npy", images)
    save_index("train", index_rows(labels, ["a", "b"]).assign(group=np.arange(60) // 2), ["a", "b"], here)
    rows = pd.DataFrame(
        {"image_id": [f"i{row}" for row in range(60)], "split": "train", "label": ["ab"[x] for x in labels]}
    )
    rows = pd.concat([rows, rows.head(6).assign(split="validation", image_id=[f"v{row}" for row in range(6)])])
    rows["group"] = np.arange(len(rows)) // 2
    save_manifest(rows.assign(**{name: 0 for name in COLUMNS if name not in rows}), folder / "data/manifest.parquet")
    (folder / "data/augmented").mkdir()
    np.save(folder / "data/augmented/copies.npy", images[:, :, ::-1])
    pd.DataFrame({"parent_row": np.arange(60), "class": labels}).to_parquet(folder / "data/augmented/copies.parquet")
    yaml = YAML()
    content = yaml.load((ROOT / "presets/demo.yaml").read_text(encoding="utf-8"))
    content["prepare"]["image_size"] = 24
    content["train"].update(batch_size=8, epochs=3, device="cpu", precision="fp32", early_stopping=0)
    content["run"]["workers"] = 1
    content["tracking"]["enabled"] = False
    with (folder / "params.yaml").open("w", encoding="utf-8") as file:
        yaml.dump(content, file)
    return folder


@pytest.fixture
def here(arrays: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[Path]:
    """A workspace of its own, on the same arrays."""
    (tmp_path / "data").symlink_to(arrays / "data")
    (tmp_path / "params.yaml").write_bytes((arrays / "params.yaml").read_bytes())
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(scoring, "KEPT", feature_sets.FeatureSets())
    yield tmp_path


def plan(content: dict[str, Any], **changes: Any) -> space.Plan:
    path = Path("searches/it.yaml")
    path.parent.mkdir(exist_ok=True)
    with path.open("w", encoding="utf-8") as file:
        YAML().dump({**content, **changes}, file)
    return space.load(path)


@contextmanager
def opened(plan: space.Plan) -> Iterator[storage.StoredSearch]:
    root = Path.cwd()
    with storage.opened(storage.location(None, root), trials.study_name(plan), root) as search:
        yield search


def outcome(plan: space.Plan, count: int, say: Callable[[str], None] = print) -> list[tuple[Any, ...]]:
    with opened(plan) as search:
        running.run(plan, search, count, 1, say)
        found = trials.best_trials(search.study)
        return [(trial.number, trial.value, trials.values_of(plan, trial)) for trial in found]


def test_a_trial_learns_from_the_other_folds_alone(here: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from fakeprint.training import loop

    labels, groups = np.array(["a", "a", "b", "b"] * 15, dtype=object), np.arange(60) // 2
    held_out = folds(labels, groups, 5, params.load().seed) == 3
    images = np.load("data/arrays/train.npy")
    seen = []

    def watched(run: Any, data: Any, *rest: Any) -> None:
        seen.append((data.images, data.validation, run.recipe))
        run.history.rows += [{"validation_accuracy": 0.25}, {"validation_accuracy": 0.75}]

    monkeypatch.setattr(loop, "train", watched)
    fixed = {"train.epochs": 2, "train.augmented": True}
    ((_, value, values),) = outcome(plan(NETWORK, folds=[3], fixed=fixed), 1)
    assert value == 0.75
    ((learned, judge, recipe),) = seen
    assert recipe.options["dilation"] == values["models.three_cnn.dilation"]
    assert recipe.phases[0].optimiser.lr == values["train.lr"]
    assert (learned.parts[0][:] == images[~held_out]).all()
    assert (learned.parts[1][:] == images[~held_out][:, :, ::-1]).all()
    assert (judge.parts[0][:] == images[held_out]).all()
    # not copied into memory
    assert all(isinstance(part.images, np.memmap) for part in [*learned.parts, *judge.parts])
    assert np.bincount(judge.labels).tolist() == [6, 6]


@pytest.mark.parametrize("kept", [{"train.swa": 0.5}, {"train.clean_norm": True}])
def test_the_score_is_that_of_the_weights_that_are_kept(
    here: Path, monkeypatch: pytest.MonkeyPatch, kept: dict[str, Any]
) -> None:
    import torch

    from fakeprint.training import loop

    train = loop.train
    by_hand = []

    def watched(run: Any, data: Any, *rest: Any) -> None:
        train(run, data, *rest)
        for row in run.history.rows:
            row["validation_accuracy"] = -1.0
        images = torch.from_numpy(data.validation.parts[0][:]).permute(0, 3, 1, 2) / 255
        with torch.inference_mode():
            found = run.network.eval()(images).argmax(1).numpy()
        by_hand.append(np.mean(found == data.validation.labels))

    monkeypatch.setattr(loop, "train", watched)
    ((_, value, _),) = outcome(plan(NETWORK, fixed={"train.epochs": 2, **kept}), 1)
    assert [value] == by_hand


def test_interrupted_it_ends_as_an_unbroken_one(here: Path) -> None:
    unbroken = plan(NETWORK)
    whole = outcome(unbroken, 3)
    assert len(whole) == 3
    assert all(0 <= value <= 1 for _, value, _ in whole)
    (here / ".fakeprint/searches.db").unlink()

    def interrupt(line: str) -> None:
        assert line.startswith("trial 0, 1 of 3: ")
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        outcome(unbroken, 3, interrupt)
    with opened(unbroken) as search:
        search.study.ask()  # a process that died in its second trial
    lines: list[str] = []
    again = outcome(unbroken, 3, lines.append)
    assert len(lines) == 2
    assert [(value, values) for _, value, values in again] == [(value, values) for _, value, values in whole]
    assert not list(here.glob(".fakeprint/checkpoints/*.pt"))
    # more trials go further; another search, or other data, starts afresh
    assert len(outcome(plan(NETWORK, trials=4), 4, lines.append)) == 4
    assert len(lines) == 3
    assert trials.study_name(plan(NETWORK, folds=[1])) != trials.study_name(unbroken)
    assert trials.study_name(plan(NETWORK, trials=9)) == trials.study_name(unbroken)


def test_a_classifiers_grid_over_two_folds(here: Path) -> None:
    lines: list[str] = []
    found = outcome(plan(CLASSIFIER), 9, lines.append)
    assert lines[-1] == "the grid has only 4 trials"
    assert len(lines) == 5
    tried = [
        (values["classifiers.logistic.C"], tuple(values["classifiers.logistic.features"])) for _, _, values in found
    ]
    assert sorted(tried) == sorted((c, f) for c in (1e-6, 1.0) for f in (("hsv_hist",), ("hsv_hist", "hsv_joint")))
    with opened(plan(CLASSIFIER)) as search:
        best = trials.best_trials(search.study)[0]
    assert best.value == pytest.approx(np.mean(best.user_attrs["folds"]))
    assert best.value > 0.8
    # each figure is that of the same fit by hand
    from fakeprint.features import extract
    from fakeprint.models.classifiers.fitting import fit

    settings = plan(CLASSIFIER).settings(trials.values_of(plan(CLASSIFIER), best))
    block, options = settings.classifiers["logistic"], settings.features.model_dump()
    images, labels = np.load("data/arrays/train.npy"), np.arange(60) // 2 % 2
    plain, flipped = (
        np.concatenate([extract(each, options[each], pixels) for each in block.features], axis=1)
        for pixels in (images, images[:, :, ::-1])
    )
    fold = folds(np.array(["a", "b"])[labels], np.arange(60) // 2, 5, 7)
    train, held_out = np.flatnonzero(fold != 2), np.flatnonzero(fold == 2)
    x, y = np.concatenate([plain[train], flipped[train]]), np.tile(labels[train], 2)
    seed = seeds.integer(7, "fit/logistic")
    model = fit(block, x, y, plain[held_out], labels[held_out], seed, 1, np.tile(train, 2))
    assert np.mean(model.predict(np.sqrt(plain[held_out])) == labels[held_out]) == best.user_attrs["folds"][1]


def test_features_are_computed_once_and_dropped_when_they_are_many(here: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    sets, computed = feature_sets.FeatureSets(), []

    def compute(wanted: feature_sets.Wanted, _: int | None) -> Any:
        computed.append(wanted.name)
        return Path("the stage's") if wanted.name == "stored" else np.zeros(10, np.uint8)

    def used(*names: str) -> list[str]:
        computed.clear()
        wanted = [feature_sets.Wanted(name, "{}", "train", (8, 1)) for name in names]
        sets.make_room(iter(wanted))
        for each in wanted:
            sets.of(each, 1)
        return list(computed)

    monkeypatch.setattr(feature_sets, "LIMIT", 20)
    monkeypatch.setattr(feature_sets, "_stored_or_computed", compute)
    assert used("stored", "a", "b", "c", "d") == ["stored", "a", "b", "c", "d"]
    assert used("a", "b", "c", "d") == []  # a trial's own are kept, however many
    assert used("b") == []  # a goes, c and d are in the limit
    assert used("c", "d", "b", "stored") == []
    assert used("e") == ["e"]  # c goes: unused for longest
    assert used("d", "b", "stored") == []
    assert used("c", "a") == ["c", "a"]


def test_calibration_sees_the_groups_of_images_and_of_their_copies(here: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from fakeprint.models.classifiers import fitting

    seen = []
    fit = fitting.fit
    monkeypatch.setattr(fitting, "fit", lambda *given: seen.append(given[7]) or fit(*given))
    outcome(plan(CLASSIFIER, folds=[2]), 1)
    train = folds(np.array(["a", "a", "b", "b"] * 15), np.arange(60) // 2, 5, params.load().seed) != 2
    assert params.load().classifiers["logistic"].augmented
    assert (seen[0] == np.tile(np.arange(60)[train] // 2, 2)).all()


def test_hopeless_trials_are_pruned_and_failing_ones_reported(here: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from fakeprint.training import loop

    accuracies = iter([0.9, 0.8, 0.7, 0.9, 0.1])
    epochs = []

    def curve(run: Any, data: Any, checkpoint: Any, log: Any) -> None:
        accuracy = next(accuracies, None)
        if accuracy is None:
            raise InputError("three_cnn: the loss became NaN or infinite in epoch 1")
        for epoch in range(1, 5):
            epochs.append(accuracy)
            run.history.rows.append({"validation_accuracy": accuracy})
            validated = {} if epoch == 2 else {"validation_accuracy": accuracy}  # as with train.validate_every
            log({"train_loss": 1.0, **validated}, epoch)

    monkeypatch.setattr(loop, "train", curve)
    lines: list[str] = []
    found = outcome(plan(NETWORK, sampler="random", pruner="median", fixed={"train.epochs": 4}), 6, lines.append)
    assert [value for _, value, _ in found] == [0.9, 0.9, 0.8, 0.7]
    assert epochs.count(0.1) < 4
    assert ": pruned, " in lines[4]
    assert "failed (three_cnn: the loss became NaN or infinite in epoch 1)" in lines[5]
    monkeypatch.setattr(loop, "train", lambda *_: (_ for _ in ()).throw(InputError("too small")))
    with pytest.raises(
        InputError, match=r"^searches/it\.yaml: none of 1 trials has a score; the last one failed: too small$"
    ):
        outcome(plan(NETWORK, seed=99), 1)


def test_the_same_values_are_not_tried_twice(here: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    calls: list[int] = []
    monkeypatch.setattr(scoring, "_network_accuracy", lambda *_: calls.append(1) or 0.5)
    lines: list[str] = []
    only = {"models.three_cnn.dilation": {"choices": [1, 2]}}
    assert len(outcome(plan(NETWORK, sampler="random", ranges=only), 8, lines.append)) == 2
    assert len(calls) == 2
    assert sum("same values as trial" in line for line in lines) == 6


def test_the_arrays_must_be_those_of_params(here: Path) -> None:
    with pytest.raises(InputError) as raised:
        outcome(plan(NETWORK, fixed={"prepare.fold": 1}), 1)
    assert str(raised.value) == "data/arrays/train.npy does not match params.yaml: run `dvc repro prepare` first"


@pytest.mark.parametrize(
    ("changes", "line"),
    [
        (
            {"model": "thre_cnn"},
            "model: 'thre_cnn' is not a block under models or classifiers; did you mean 'three_cnn'?",
        ),
        ({"trails": 3}, "trails is not a parameter; did you mean 'trials'?"),
        ({"ranges": {}}, "ranges: dictionary should have at least 1 item after validation, not 0"),
        (
            {"ranges": {"models.three_cnn.dilatoin": {"choices": [1, 2]}}},
            "models.three_cnn.dilatoin is not a parameter; did you mean 'dilation'?",
        ),
        ({"ranges": {"seed.x": {"choices": [1, 2]}}}, "seed.x: seed is not a block of params.yaml"),
        (
            {"ranges": {"train.lr": {"low": 0.1, "high": 0.1}}},
            "ranges.train.lr: an empty range: low (0.1) is not below high (0.1)",
        ),
        (
            {"ranges": {"train.lr": {"choices": []}}},
            "ranges.train.lr: an empty range: 0 choices; give at least two different ones",
        ),
        ({"ranges": {"train.lr": {"low": 0.1}}}, "ranges.train.lr: give choices: [A, B, …], or low and high"),
        (
            {"ranges": {"train.lr": {"low": 0.0, "high": 1.0, "log": True}}},
            "ranges.train.lr: log: true needs low > 0 and no step",
        ),
        (
            {"ranges": {"model.dropout": {"low": 0.0, "high": 1.5}}},
            "model.dropout: input should be less than 1, not 1.5",
        ),
        (
            {"ranges": {"augment.copies": {"low": 0, "high": 3}}},
            "ranges.augment.copies has no effect on three_cnn, which depends on model, train and models.three_cnn",
        ),
        (
            {"fixed": {"models.three_cnn.dropout": 0.3}, "ranges": {"model.dropout": {"low": 0.0, "high": 0.5}}},
            "ranges.model.dropout has no effect because three_cnn pins this key; search models.three_cnn.dropout "
            "instead",
        ),
        (
            {"sampler": "grid", "ranges": {"train.lr": {"low": 0.1, "high": 0.2}}},
            "ranges.train.lr: a grid needs choices or a step",
        ),
        ({"folds": [0, 5]}, "folds should be different numbers from 0 to 4, not [0, 5]"),
    ],
)
def test_bad_files_are_one_line(here: Path, changes: dict[str, Any], line: str) -> None:
    with pytest.raises(InputError) as raised:
        plan(NETWORK, **changes)
    assert str(raised.value) == f"searches/it.yaml: {line}"


def test_a_file_that_is_not_utf_8_is_one_line(here: Path) -> None:
    Path("searches").mkdir(exist_ok=True)
    Path("searches/it.yaml").write_bytes("question: für\n".encode("latin-1"))
    with pytest.raises(InputError, match=r"^searches/it\.yaml is not valid YAML: .*codec can't decode"):
        space.load(Path("searches/it.yaml"))


def test_values_of_ranges() -> None:
    made = [
        space.Range.model_validate(content)
        for content in (
            {"low": 2, "high": 7, "step": 2},
            {"low": 0.1, "high": 0.35, "step": 0.1},
            {"low": 1, "high": 3},
        )
    ]
    assert [each.values() for each in made] == [[2, 4, 6], [0.1, 0.2, 0.3], [1, 2, 3]]  # not 0.30000000000000004
    assert space.Range(low=1, high=8, log=True).values() is None
    assert space.Range(low=0.1, high=0.2).values() is None


@pytest.mark.parametrize("name", ["o'neill", "my search", "Trees", "-x", "a;b"])
def test_a_search_s_name_is_part_of_paths_and_filters(name: str) -> None:
    with pytest.raises(InputError) as error:
        space.load(Path(f"searches/{name}.yaml"))
    assert str(error.value) == (f"searches/{name}.yaml: the name of a search file can only have a-z, 0-9, '_' and '-'")
