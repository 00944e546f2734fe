"""params.yaml's messages: one line that names the key and the near one."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from ruamel.yaml import YAML

from fakeprint import params
from fakeprint.errors import InputError

DEMO = Path(__file__).parents[2] / "presets/demo.yaml"


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


def jpeg(quality: Any) -> dict[str, Any]:
    return {"augment__transforms__jpeg": {"enabled": True, "p": 0.5, "quality": quality}}


SVM = {"method": "svm_linear", "features": ["hsv_joint"], "scale": "none", "augmented": False, "C": 1}
AVERAGE = {"method": "average", "members": ["lda"]}


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"sede": 7}, "sede is not a parameter; did you mean 'seed'?"),
        (jpeg([50]), "augment.transforms.jpeg.quality: should be two numbers, the lowest and the highest, not [50]"),
        (jpeg([]), "augment.transforms.jpeg.quality: should be two numbers, the lowest and the highest, not []"),
        (jpeg(50), "augment.transforms.jpeg.quality: should be two numbers, the lowest and the highest, not 50"),
        (
            jpeg([1, 2, 3]),
            "augment.transforms.jpeg.quality: should be two numbers, the lowest and the highest, not [1, 2, 3]",
        ),
        (
            {"models__hist_cnn__train": {"transforms": 3}},
            "models.hist_cnn.train.transforms: should be a mapping of keys, not 3",
        ),
        (
            {"models__hist_cnn__train": {"transforms": {"jpeg": None}}},
            "models.hist_cnn.train.transforms.jpeg: should be a mapping of keys, not null",
        ),
        ({"train__phases": [{"transforms": 3}]}, "train.phases[0].transforms: should be a mapping of keys, not 3"),
        ({"model": None}, "model: should be a mapping of keys, not null"),
        ({"classifiers__knn": None}, "classifiers.knn: should be a mapping of keys, not null"),
        (
            {"train__device": "cuda:x"},
            "train.device: should be auto | cpu | cuda | cuda:N (GPU number N) | mps, not 'c",
        ),
        ({"models__timm__architecture": "resnet"}, "models.timm.architecture: should be timm:NAME, not 'resnet'"),
        (
            {"train__class_weights": {"a": -1}},
            "train.class_weights.a: input should be greater than or equal to 0, not -1",
        ),
        ({"train__class_weights": {"a": True}}, "train.class_weights.a: input should be a valid number, not true"),
        (
            {"data__per_class": {"train": True}},
            "data.per_class: train should be a number of images, 1 or more, or a share below 1, not True",
        ),
        ({"models__hist_cnn": None}, "models.hist_cnn is empty, and run.networks names it"),
        ({"features__residual": None}, "features.residual is empty, and run.features names it"),
        ({"classifiers__knn__k": []}, "classifiers.knn.k: should not be empty"),
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
        ({"model__dropout": "much"}, "model.dropout: input should be a valid number, not 'much'"),
        ({"model__dropout": "0.3"}, "model.dropout: input should be a valid number, not '0.3'"),
        ({"model__dropout": True}, "model.dropout: input should be a valid number, not true"),
        ({"model__dropout": 1.5}, "model.dropout: input should be less than 1, not 1.5"),
        (
            {"model__normalisation": "zscore"},
            "model.normalisation: input should be 'unit', 'signed', 'imagenet' or 'dataset', not",
        ),
        ({"prepare__image_size": 8}, "prepare.image_size: input should be greater than or equal to 16, not 8"),
        ({"train__epochs": 2.5}, "train.epochs: input should be a valid integer, not 2.5"),
        ({"train__epochs": 24.0}, "train.epochs: input should be a valid integer, not 24.0"),
        ({"train__epochs": True}, "train.epochs: input should be a valid integer, not true"),
        ({"train__compile": "yes"}, "train.compile: input should be a valid boolean, not 'yes'"),
        ({"train__compile": 1}, "train.compile: input should be a valid boolean, not 1"),
        ({"train__transforms__flip__enabled": "yes"}, "train.transforms.flip.enabled: input should be a valid boolean"),
        (
            {"models__hist_cnn__train": {"epochs": True}},
            "models.hist_cnn.train.epochs: input should be a valid integer",
        ),
        ({"train__phases": [{"lr": "1"}]}, "train.phases[0].lr: input should be a valid number, not '1'"),
        ({"features__residual__orders": [True]}, "features.residual.orders[0]: true is not a whole number"),
        ({"models__two_cnn__kernel": True}, "models.two_cnn.kernel: true is not a whole number"),
        ({"data__title": 2025}, "data.title: input should be a valid string, not 2025"),
        ({"seed": None}, "seed: input should be a valid integer, not null"),
        (
            {"augment__transforms__jpeg": {"enabled": True, "p": 0.5, "quality": [50.5, 96]}},
            "augment.transforms.jpeg.quality[0]: input should be a valid integer, not 50.5",
        ),
        ({"train__lr": float("nan")}, "train.lr: "),
        ({"data__per_class": {"trian": 5}}, "data.per_class: 'trian' is not a split; did you mean 'train'?"),
        (
            {"data__per_class": {"test": 0}},
            "data.per_class: test should be a number of images, 1 or more, or a share below 1, not 0",
        ),
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
        ({"run__classifiers": ["lda", "lda"]}, "run.classifiers: lda is listed more than once; remove the repetition"),
        ({"run__features": ["pixels", "pixels"]}, "run.features: pixels is listed more than once"),
        ({"run__networks": ["hist_cnn", "hist_cnn"]}, "run.networks: hist_cnn is listed more than once"),
        ({"run__ensembles": ["average", "average"]}, "run.ensembles: average is listed more than once"),
        (
            {"classifiers__knn__features": ["hsv_joint"] * 2},
            "classifiers.knn.features: hsv_joint is listed more than once",
        ),
        ({"classifiers__knn__k": [3, 5, 3]}, "classifiers.knn.k: 3 is listed more than once"),
        ({"classifiers__knn__metrics": ["l1", "l1"]}, "classifiers.knn.metrics: l1 is listed more than once"),
        ({"features__residual__orders": [1, 1]}, "features.residual.orders: 1 is listed more than once"),
        ({"features__residual__steps": [4, 4]}, "features.residual.steps: 4 is listed more than once"),
        ({"ensembles__greedy__members": ["lda", "lda"]}, "ensembles.greedy.members: lda is listed more than once"),
        ({"robustness__models": ["lda", "lda"]}, "robustness.models: lda is listed more than once"),
        (
            {"classifiers__my svm": SVM},
            "classifiers: 'my svm' is not a valid name; use a-z, 0-9 and '_', at most 64 characters, and start",
        ),
        ({"classifiers__o'neill; touch x": SVM}, 'classifiers: "o\'neill; touch x" is not a valid name'),
        ({"classifiers__svm\n": SVM}, "classifiers: 'svm\\n' is not a valid name"),
        ({f"classifiers__{65 * 'a'}": SVM}, f"classifiers: '{65 * 'a'}' is not a valid name"),
        ({"classifiers__SVM": SVM}, "classifiers: 'SVM' is not a valid name"),
        ({"classifiers__../svm": SVM}, "classifiers: '../svm' is not a valid name"),
        ({"classifiers__2_svm": SVM}, "classifiers: '2_svm' is not a valid name"),
        ({"ensembles__all-in": AVERAGE}, "ensembles: 'all-in' is not a valid name"),
        ({"classifiers__champion": SVM}, "classifiers: 'champion' is reserved; choose another name"),
        ({"ensembles__leaderboard": AVERAGE}, "ensembles: 'leaderboard' is reserved"),
        (
            {"ensembles__lda": AVERAGE},
            "lda is the name of two models; names in classifiers, models and ensembles must differ",
        ),
        ({"classifiers__hist_cnn": SVM}, "hist_cnn is the name of two models"),
        (
            {"models__timm__weights": "/home/me/net.pt"},
            "models.timm.weights: '/home/me/net.pt' is neither default, lite0 nor a file in data/weights/; ",
        ),
        (
            {"models__timm__weights": "data/weights/../net.pt"},
            "models.timm.weights: 'data/weights/../net.pt' is neither",
        ),
        ({"features__backbone__weights": ""}, "features.backbone.weights: '' is neither default, lite0 nor a file in"),
        ({"run__features": ["hsv_joint"]}, "classifiers.lda.features: 'residual' is unknown; known: hsv_joint"),
        ({"ensembles__average__members": ["ldaa"]}, "ensembles.average.members: 'ldaa' is unknown; did you mean 'lda'"),
        ({"ensembles__average__weights": [1.0]}, "ensembles.average: 1 weights for 4 members"),
        (
            {"ensembles__average__method": "averge"},
            "ensembles.average.method: 'averge' is unknown; did you mean 'average'?",
        ),
        ({"ensembles__average": {"members": ["lda"]}}, "ensembles.average.method is missing"),
        (
            {"classifiers__svm_rbf__gamma": "scal"},
            "classifiers.svm_rbf.gamma: input should be 'scale' or a valid number, not 'scal'",
        ),
        ({"classifiers__lda": {"method": "lda"}}, "classifiers.lda.features is missing (and 3 more)"),
        ({"ensembles__greedy__by": "auc"}, "ensembles.greedy.by: input should be 'log_loss' or 'accuracy', not 'auc'"),
        ({"ensembles__learned__epoch": 3}, "ensembles.learned.epoch is not a parameter; did you mean 'epochs'?"),
        (
            {"ensembles__average__calibrate": True, "ensembles__average__degraded": True},
            "ensembles.average.degraded: degrade.grid names no degradation; add some, for example "
            "{jpeg_60: {jpeg: 60}}, or set it to false",
        ),
        (
            {"ensembles__average__degraded": True},
            "ensembles.average: degraded: true has no effect without calibrate: true, for nothing is fitted",
        ),
        ({"degrade__grid": {"j": {"jpg": 50}}}, "degrade: grid.j: 'jpg' is unknown; did you mean 'jpeg'?"),
        ({"ensembles__stacking__C": 0}, "ensembles.stacking.C: input should be greater than 0, not 0"),
        ({"predict__tta": "flips"}, "predict.tta: input should be 'none', 'flip' or 'flip_shift', not 'flips'"),
        (
            {"predict__shift": 16, "prepare__image_size": 16},
            "predict.shift should be less than prepare.image_size, not 16",
        ),
        (
            {"open_world__classifiers": ["ldaa"]},
            "open_world.classifiers: 'ldaa' is unknown; did you mean 'lda'?",
        ),
        (
            {"open_world__networks": ["trace_net"]},
            "open_world.networks: 'trace_net' is unknown; known: hist_cnn, three_cnn",
        ),
        (
            {"cross_generator__classifiers": ["fingerprint"]},
            "cross_generator.classifiers: 'fingerprint' is unknown; known: knn, logistic, lda, svm_rbf, boosting",
        ),
        ({"cross_generator__networks": ["lda"]}, "cross_generator.networks: 'lda' is unknown; known: hist_cnn, three"),
        (
            {"open_world__classifiers": ["lda"], "prepare__resize": "native"},
            "open_world does not work with prepare.resize: native; leave it empty, or resize images",
        ),
        (
            {"data__unknown": {"photos": "data/photos"}, "prepare__resize": "native"},
            "data.unknown does not work with prepare.resize: native; leave it empty, or resize images",
        ),
        (
            {"explain__models": ["lda"], "prepare__resize": "native"},
            "explain does not work with prepare.resize: native; leave it empty, or resize images",
        ),
        ({"open_world__neighbours": 0}, "open_world.neighbours: input should be greater than 0, not 0"),
        ({"data__unknown": ["photos"]}, "data.unknown: "),
        (
            {"train__one_degradation": False, "train__second_degradation": 0.5},
            "train: second_degradation, 0.5, needs one_degradation: true; without it, each degradation",
        ),
        (
            {"augment__one_degradation": False, "augment__second_degradation": 0.5},
            "augment: second_degradation, 0.5, needs one_degradation: true; without it, each degradation",
        ),
        ({"robustness__models": ["ldaa"]}, "robustness.models: 'ldaa' is unknown; did you mean 'lda'?"),
        ({"robustness__grid": {"j": {"jpg": 50}}}, "robustness: grid.j: 'jpg' is unknown; did you mean 'jpeg'?"),
        ({"robustness__grid": {"j": {"jpeg": 0}}}, "robustness: grid.j.jpeg should be from 1 to 100, not 0"),
        (
            {"robustness__grid": {"j": {}}},
            "robustness: grid.j is empty; give a transform and its strength, for example",
        ),
        (
            {"robustness__grid": {"worst": {"jpeg": 5}}},
            "robustness: grid: 'worst' cannot be the name of a degradation;",
        ),
        (
            {"augment__transforms__erasing": {"enabled": True, "p": 0.5, "fraction": [0.1, 0.2], "fill": "black"}},
            "augment.transforms.erasing.fill: input should be 'random' or 'mean', not 'black'",
        ),
        ({"explain__models": ["ldaa"]}, "explain.models: 'ldaa' is unknown; did you mean 'lda'?"),
        ({"explain__folds": 1}, "explain: folds should be 0 or from 2 to 20, not 1"),
        (
            {"validate__verdicts": "data/verdicts/../x.csv"},
            "validate.verdicts: 'data/verdicts/../x.csv' is not a file in data/verdicts/; copy it there",
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
        (
            {"tracking__registered_name": "team/champion"},
            "tracking.registered_name: should be a name of letters and digits, with - _ . between them",
        ),
        ({"classifiers__knn__method": "knnn"}, "classifiers.knn.method: 'knnn' is unknown; did you mean 'knn'?"),
        (
            {"classifiers__knn__method": "centroid"},
            "classifiers.knn.method: 'centroid' is unknown; known: knn, logistic, svm_linear, svm_rbf, lda,",
        ),
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
    for content in (b"seed: \xff", b"seed: 2024-13-45"):
        file.write_bytes(content)
        with pytest.raises(InputError, match=r"params\.yaml is not valid YAML: "):
            params.load(file)
    with pytest.raises(InputError, match=r" cannot be read \(Is a directory\)$"):
        params.load(tmp_path)
    file.write_text("- seed")
    with pytest.raises(InputError, match=r"params\.yaml is not a YAML mapping of blocks"):
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


def test_types_are_taken_as_they_are_written() -> None:
    """A whole number is a number too; YAML 1.2 reads 1e-3 as one, and `yes` as a text."""
    text = (
        DEMO.read_text(encoding="utf-8")
        .replace("lr: 0.002 ", "lr: 1e-3 ")
        .replace("weight_decay: 0.01 ", "weight_decay: 1 ")
    )
    settings = params.parse(YAML(typ="safe").load(text))
    assert (settings.train.lr, settings.train.weight_decay) == (0.001, 1.0)
    with pytest.raises(InputError, match=r"compile: input should be a valid boolean, not 'yes'"):
        params.parse(YAML(typ="safe").load(text.replace("compile: false", "compile: yes")))


def test_a_weights_file_is_named_where_dvc_sees_it() -> None:
    for weights in ("data/weights/net.pt", "data/weights/a/b.safetensors", "default", None):
        settings = params.parse(changed(models__timm__weights=weights))
        assert settings.models.timm is not None and settings.models.timm.weights == weights


def test_a_network_s_class_weights_replace_the_shared_ones() -> None:
    shared = changed(train__class_weights={"a": 1.0}, models__hist_cnn__train={"class_weights": "none"})
    assert params.parse(shared).network("hist_cnn").train.class_weights == "none"
    shared = changed(train__class_weights={"a": 1.0}, models__hist_cnn__train={"class_weights": {"b": 2.0}})
    assert params.parse(shared).network("hist_cnn").train.class_weights == {"b": 2.0}


def test_a_key_given_twice_is_named_with_its_lines(tmp_path: Path) -> None:
    text = DEMO.read_text(encoding="utf-8")
    seed = next(number for number, line in enumerate(text.splitlines(), 1) if line.startswith("seed:"))
    file = tmp_path / "params.yaml"
    file.write_text(text.replace("\nseed:", "\nseed: 8\nseed:", 1), encoding="utf-8")
    with pytest.raises(InputError) as twice:
        params.load(file)
    assert str(twice.value) == f"{file}: seed is given twice (lines {seed} and {seed + 1})"


def test_params_yaml_states_every_key() -> None:
    """A default in the code would change results and rerun nothing: DVC sees params.yaml alone."""
    assert list(params.unstated(params.parse(demo()))) == []
    params.require_stated(params.parse(demo()))


def test_the_demo_s_values_are_the_defaults() -> None:
    """Where a default exists; what one network overrides of `model` and `train` is not a default."""
    different = [key for key, default, value in _with_defaults(params.parse(demo())) if default != value]
    assert different == []


def _with_defaults(block: params.Block, prefix: str = "") -> Iterator[tuple[str, Any, Any]]:
    inherited = {*params.Model.model_fields, "train"} if isinstance(block, params.Network) else set()
    for name, field in type(block).model_fields.items():
        value = getattr(block, name)
        left_out = isinstance(value, params.Block) and field.default is None  # a block that need not be there
        if not field.is_required() and not left_out and name not in inherited:
            yield prefix + name, field.get_default(), value
        for key, inner in value.items() if isinstance(value, dict) else [("", value)]:
            if isinstance(inner, params.Block):
                yield from _with_defaults(inner, f"{prefix}{name}.{key}.".replace("..", "."))


@pytest.mark.slow
@pytest.mark.parametrize(
    ("key", "line"),
    [
        ("train.clip", r"params.yaml: train.clip is missing \(default: 0.0\); DVC does not see defaults"),
        ("validate", "validate is missing"),
        (
            "predict",
            r'predict is missing \(default: \{"tta": "none", "shift": 2, "crops": 9, "crop_choice": "even"\}\)',
        ),
        ("models.hist_cnn.bins", r"models.hist_cnn.bins is missing \(default: 16\)"),
        ("ensembles.average.calibrate", r"ensembles.average.calibrate is missing \(default: false\)"),
        ("train.transforms.webp", r"train.transforms.webp is missing \(default"),
        ("prepare.fold", r"prepare.fold is missing \(default: null\)"),
    ],
)
def test_a_key_that_is_left_to_its_default_is_one_line(key: str, line: str) -> None:
    content = demo()
    *blocks, last = key.split(".")
    block = content
    for name in blocks:
        block = block[name]
    del block[last]
    with pytest.raises(InputError, match=line):
        params.require_stated(params.parse(content))


def test_what_a_network_does_not_state_is_what_the_shared_blocks_say() -> None:
    """So that it need not be stated: each of these defaults is null, or no override at all."""
    networks = _subclasses(params.Network) | {params.Network}
    for kind in networks:
        assert {kind.model_fields[name].default for name in params.Model.model_fields} == {None}
        assert kind.model_fields["train"].default == {}


def _subclasses(kind: type) -> set[type]:
    below = set(kind.__subclasses__())
    return below.union(*(_subclasses(each) for each in below))


def test_names_that_dvc_yaml_takes_are_reserved() -> None:
    """A model is a folder beside the fixed ones: `reports/leaderboard` can be no model's."""
    stages = YAML(typ="safe").load((DEMO.parents[1] / "dvc.yaml").read_text())["stages"]
    taken = set()
    for stage in stages.values():
        stage = stage.get("do", stage)
        for listed in [*stage.get("outs", []), *stage.get("metrics", []), *stage.get("plots", [])]:
            path = Path(listed if isinstance(listed, str) else next(iter(listed)))
            if path.parts[0] in ("models", "metrics", "reports"):
                taken.add(Path(path.parts[1]).stem)
    assert {name for name in taken if "$" not in name} <= set(params.RESERVED)


def test_the_seed_of_a_training() -> None:
    """The network's own, else that of `train`, else the one of everything; a phase cannot have another."""
    assert params.parse(changed(seed=7)).training_seed("hist_cnn") == 7
    settings = params.parse(changed(seed=7, train__seed=8, models__three_cnn__train={"seed": 9}))
    assert (settings.training_seed("hist_cnn"), settings.training_seed("three_cnn")) == (8, 9)
    with pytest.raises(InputError, match=r"train.phases\[0\].seed is the same in all phases"):
        params.parse(changed(train__phases=[{"seed": 1}]))


def test_a_specialist_is_not_for_other_classes() -> None:
    with pytest.raises(InputError, match=r"open_world.networks: specialist tells one class from all others"):
        params.parse(changed(run__networks=["specialist"], run__ensembles=[], open_world__networks=["specialist"]))
