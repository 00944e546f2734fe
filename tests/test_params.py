"""params.yaml's messages: one line that names the key and the near one."""

import re
from pathlib import Path
from typing import Any

import pytest
from ruamel.yaml import YAML

from fakeprint import params
from fakeprint.errors import InputError

DEMO = Path(__file__).parents[1] / "presets/demo.yaml"


def demo() -> dict[str, Any]:
    return YAML(typ="safe").load(DEMO.read_text(encoding="utf-8"))


def changed(**changes: Any) -> dict[str, Any]:
    content = demo()
    for key, value in changes.items():
        *blocks, last = key.split("__")
        block = content
        for name in blocks:
            block = block[name]
        block[last] = value
    return content


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"sede": 7}, "sede is not a parameter; did you mean 'seed'?"),
        ({"model__dropuot": 0.1}, "model.dropuot is not a parameter; did you mean 'dropout'?"),
        ({"train__transforms__flp": {}}, "train.transforms.flp is not a parameter; did you mean 'flip'?"),
        ({"models__hist_cnn__bin": 8}, "models.hist_cnn.bin is not a parameter; did you mean 'bins'?"),
        ({"models__hist_cn": {}}, "models.hist_cn is not a parameter; did you mean 'hist_cnn'?"),
        ({"models__hist_cnn__train": {"lrr": 1}}, "models.hist_cnn.train.lrr is not a parameter; did you mean 'lr'?"),
        ({"models__hist_cnn__train": {"lr": -1}}, "models.hist_cnn.train.lr: input should be greater than 0, not -1"),
        ({"classifiers__knn__ks": [1]}, "classifiers.knn.ks is not a parameter; did you mean 'k'?"),
        ({"features__hsv_join": {"bins": 8}}, "features.hsv_join is not a parameter; did you mean 'hsv_joint'?"),
        ({"validate__on_leak": "remove"}, "validate.on_leak: input should be 'warn', 'stop' or 'drop', not 'remove'"),
        (
            {"validate__max_shortcut_accuracy": 0.4},
            "validate.max_shortcut_accuracy is not a parameter; did you mean 'max_shortcut_excess'?",
        ),
        ({"validate__on_shortcuts": "warn"}, "validate.on_shortcuts is not a parameter; did you mean 'on_shortcut'?"),
        ({"data__group_column": "label"}, "data: group_column and label_column are both label: a class would be one"),
        ({"data__layout": "folders", "data__generator_column": "model"}, "data: generator_column has no effect with"),
        ({"model__dropout": "much"}, "model.dropout: input should be a valid number, unable to parse string as a "),
        ({"model__dropout": 1.5}, "model.dropout: input should be less than 1, not 1.5"),
        (
            {"model__normalisation": "zscore"},
            "model.normalisation: input should be 'unit', 'signed', 'imagenet' or 'dataset', not",
        ),
        ({"prepare__image_size": 8}, "prepare.image_size: input should be greater than or equal to 16, not 8"),
        ({"train__epochs": 2.5}, "train.epochs: input should be a valid integer, got a number with a fractional part"),
        ({"train__lr": float("nan")}, "train.lr: "),
        ({"data__per_class": {"trian": 5}}, "data.per_class: 'trian' is no split; did you mean 'train'?"),
        ({"data__per_class": {"test": 0}}, "data.per_class: test should be a number of images, 1 or more, not 0"),
        ({"train__fill": "white"}, "train.fill: input should be 'reflect', 'edge' or 'black', not 'white'"),
        (
            {"augment__interpolation": "cubic"},
            "augment.interpolation: input should be 'bicubic', 'bilinear' or 'nearest', not 'cubic'",
        ),
        (
            {"classifiers__svm_linear__loss": "log"},
            "classifiers.svm_linear.loss: input should be 'squared_hinge' or 'hinge', not 'log'",
        ),
        (
            {"models__four_cnn__framework": "jax"},
            "models.four_cnn.framework: input should be 'torch' or 'keras', not 'jax'",
        ),
        ({"run__networks": "hist_cnn"}, "run.networks: input should be a valid list, not 'hist_cnn'"),
        ({"run__networks": ["his_cnn"]}, "run.networks: 'his_cnn' is unknown; did you mean 'hist_cnn'?"),
        ({"run__features": ["hsv_join"]}, "run.features: 'hsv_join' is unknown; did you mean 'hsv_joint'?"),
        (
            {"run__features": ["x"]},
            "run.features: 'x' is unknown; known: rgb_hist, hsv_hist, hsv_joint, pixels, residual",
        ),
        ({"run__classifiers": ["ldaa"]}, "run.classifiers: 'ldaa' is unknown; did you mean 'lda'?"),
        ({"run__ensembles": ["averge"]}, "run.ensembles: 'averge' is unknown; did you mean 'average'?"),
        ({"run__classifiers": ["lda", "lda"]}, "run: lda stands more than once; every model needs a name of its own"),
        ({"run__features": ["hsv_joint"]}, "classifiers.lda.features: 'residual' is unknown; known: hsv_joint"),
        ({"ensembles__average__members": ["ldaa"]}, "ensembles.average.members: 'ldaa' is unknown; did you mean 'lda'"),
        ({"ensembles__average__weights": [1.0]}, "ensembles.average: 1 weights for 4 members"),
        ({"ensembles__average__method": "averge"}, "ensembles.average"),
        ({"ensembles__greedy__by": "auc"}, "ensembles.greedy.by: input should be 'log_loss' or 'accuracy', not 'auc'"),
        ({"ensembles__learned__epoch": 3}, "ensembles.learned.epoch is not a parameter; did you mean 'epochs'?"),
        ({"ensembles__stacking__C": 0}, "ensembles.stacking.C: input should be greater than 0, not 0"),
        ({"predict__tta": "flips"}, "predict.tta: input should be 'none', 'flip' or 'flip_shift', not 'flips'"),
        (
            {"predict__shift": 16, "prepare__image_size": 16},
            "predict.shift should be less than prepare.image_size, not 16",
        ),
        ({"robustness__models": ["ldaa"]}, "robustness.models: 'ldaa' is unknown; did you mean 'lda'?"),
        ({"robustness__grid": {"j": {"jpg": 50}}}, "robustness: grid.j: 'jpg' is unknown; did you mean 'jpeg'?"),
        ({"robustness__grid": {"j": {"jpeg": 0}}}, "robustness: grid.j.jpeg should be from 1 to 100, not 0"),
        ({"robustness__grid": {"j": {}}}, "robustness: grid.j does nothing; name a transform and its strength, as in"),
        ({"robustness__grid": {"worst": {"jpeg": 5}}}, "robustness: grid: 'worst' can not name a degradation;"),
        (
            {"augment__transforms__erasing": {"enabled": True, "p": 0.5, "fraction": [0.1, 0.2], "fill": "black"}},
            "augment.transforms.erasing.fill: input should be 'random' or 'mean', not 'black'",
        ),
        ({"submit__model": "champ"}, "submit.model: 'champ' is unknown; did you mean 'champion'?"),
        ({"augment__copies": 21}, "augment.copies: input should be less than or equal to 20, not 21"),
        (
            {"augment__transforms__jpeg": {"enabled": True, "p": 0.5, "quality": [96, 50]}},
            "augment.transforms.jpeg: the lower bound of quality, 96, is above its upper bound, 50",
        ),
        (
            {"augment__transforms__jpeg": {"enabled": True, "p": 0.5, "quality": [0, 50]}},
            "augment.transforms.jpeg.quality[0]: input should be greater than or equal to 1, not 0",
        ),
        ({"tracking": {"enabled": True}}, "tracking.experiment is missing"),
        ({"classifiers__knn__method": "knnn"}, "classifiers.knn"),
    ],
)
def test_message(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(InputError) as error:
        params.parse(changed(**changes))
    assert str(error.value).startswith(f"params.yaml: {message}")
    assert "\n" not in str(error.value)


def test_file_messages(tmp_path: Path) -> None:
    file = tmp_path / "params.yaml"
    with pytest.raises(InputError, match=r"params\.yaml is missing: run this in the repository's root"):
        params.load(file)
    file.write_text("seed: [7")
    with pytest.raises(InputError, match=r"params\.yaml is not valid YAML: ") as error:
        params.load(file)
    assert "\n" not in str(error.value)
    file.write_text("- seed")
    with pytest.raises(InputError, match=r"params\.yaml holds no mapping of blocks"):
        params.load(file)


def test_several_faults_are_counted() -> None:
    with pytest.raises(InputError, match=r"model\.dropout: .* \(and 1 more\)$"):
        params.parse(changed(model__dropout=2, train__epochs=0))


def test_a_network_s_own_settings_win_and_are_named() -> None:
    own = {"dropout": 0.2, "width": None, "normalisation": None, "bins": 8, "train": {"lr": 0.1}}
    network = params.parse(changed(models__hist_cnn=own)).network("hist_cnn")
    assert (network.model.dropout, network.model.width, network.train.lr, network.train.epochs) == (0.2, 0.25, 0.1, 24)
    assert network.options == {"bins": 8, "framework": "torch"}
    assert network.pinned == ["model.dropout", "train.lr"]


def test_every_key_is_commented() -> None:
    """A key has a comment on its line, or on that of the block that it is in: lists of like blocks share one."""
    commented: dict[int, bool] = {}
    for line in DEMO.read_text(encoding="utf-8").splitlines():
        match = re.match(r"( *)([\w]+):", line)
        if match:
            depth = len(match[1])
            commented = {above: said for above, said in commented.items() if above < depth}
            has = "#" in line
            obvious = match[2] in ("data", "validate", "prepare", "evaluate", "compare", "submit", "tracking", "train")
            assert has or any(commented.values()) or (depth == 0 and obvious), f"no comment: {line.strip()}"
            commented[depth] = has and line.rstrip().split("#")[0].strip().endswith(":")
