"""scikit-learn estimators on disk: skops, types checked on loading, same bytes for the same estimator."""

import io
import itertools
import json
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import sklearn.utils
from sklearn.pipeline import Pipeline

from fakeprint.errors import InputError, first_few
from fakeprint.files import written
from fakeprint.models.description import RESTORE

# skops would import all of scikit-learn to trust every estimator: half of the start-up of each process that fits or
# loads a classifier. Here it finds none, and `TRUSTED` names those that are needed.
_all_estimators = sklearn.utils.all_estimators
sklearn.utils.all_estimators = list
try:
    import skops.io
finally:
    sklearn.utils.all_estimators = _all_estimators

# Types of our classifiers, apart from arrays and numbers, which skops trusts. Nothing else is ever loaded.
TRUSTED = (
    "fakeprint.models.classifiers.calibration.Decisions",
    "fakeprint.models.classifiers.fingerprints.FingerprintClassifier",
    "fakeprint.models.classifiers.kernel_svm.KernelSVM",
    "fakeprint.models.classifiers.kernel_svm.NystroemSVM",
    "fakeprint.models.classifiers.linear.LinearMachine",
    "fakeprint.models.classifiers.shrinkage_lda.ShrinkageLDA",
    "sklearn.calibration.CalibratedClassifierCV",
    "sklearn.calibration._CalibratedClassifier",
    "sklearn.calibration._SigmoidCalibration",
    "sklearn.ensemble._forest.RandomForestClassifier",
    "sklearn.ensemble._hist_gradient_boosting.gradient_boosting.HistGradientBoostingClassifier",
    "sklearn.ensemble._hist_gradient_boosting.predictor.TreePredictor",
    "sklearn.frozen._frozen.FrozenEstimator",
    "sklearn.kernel_approximation.Nystroem",
    "sklearn.pipeline.Pipeline",
    "sklearn.preprocessing._data.StandardScaler",
    "sklearn.preprocessing._label.LabelEncoder",
    "sklearn.tree._classes.DecisionTreeClassifier",
    "sklearn.tree._tree.Tree",
)
LARGE = 2**24  # bytes of an array from which it is not compressed
MOST_FEATURES = 2**24  # so that a number in a file cannot fill the memory
FOREST = "sklearn.ensemble._forest.RandomForestClassifier"
BOOSTING = "sklearn.ensemble._hist_gradient_boosting.gradient_boosting.HistGradientBoostingClassifier"
EPOCH = (1980, 1, 1, 0, 0, 0)  # the earliest date a zip archive can hold


def save_pipeline(path: Path, pipeline: Pipeline) -> None:
    """Write a fitted pipeline. The same pipeline gives the same bytes in every process."""
    with written(path) as partial:
        _write_reproducibly(partial, skops.io.dumps(pipeline))


def load_pipeline(path: Path, classes: int) -> Pipeline:
    """Read a fitted pipeline. It answers a row of zeros with probabilities of so many classes.

    Raises InputError if the file is damaged, was written by another version of Fakeprint, or holds types that no
    classifier here uses.
    """
    try:
        untrusted = skops.io.get_untrusted_types(file=path)
        foreign = sorted(set(untrusted) - set(TRUSTED))
        if not foreign:
            loaded = skops.io.load(path, trusted=list(TRUSTED))
    except OSError as error:
        raise InputError(f"{path} cannot be read ({error.strerror}): run `dvc repro` or `dvc checkout` first") from None
    except Exception as error:  # whatever a damaged or hostile file makes skops, zipfile or json raise
        reason = " ".join(str(error).split())
        raise InputError(f"{path} is not a classifier that skops can read ({reason}): {RESTORE}") from None
    if foreign and all(name.startswith("fakeprint.") for name in foreign):
        raise InputError(
            f"{path} holds types that this version of Fakeprint does not know ({first_few(foreign)}): another version "
            "wrote it; fit it again with `dvc repro`"
        )
    if foreign:
        raise InputError(
            f"{path} was not loaded, because it contains types that Fakeprint's classifiers do not have: "
            f"{first_few(foreign)}; load only models that you trust"
        )
    if not isinstance(loaded, Pipeline):
        raise InputError(f"{path} holds a {type(loaded).__name__}, not a scikit-learn Pipeline: {RESTORE}")
    try:
        sound = _sound_trees(loaded) == _trees_in(path)
    except (AttributeError, IndexError, KeyError, TypeError, ValueError):
        sound = False
    if not sound:
        raise InputError(f"{path} holds a damaged tree: {RESTORE}")
    if not _answers(loaded, classes):
        raise InputError(f"{path} does not fit the model.json beside it, or its parts do not fit together: {RESTORE}")
    return loaded


def _answers(pipeline: Pipeline, classes: int) -> bool:
    """Whether the probabilities of a row of zeros are finite numbers, one per class.

    Scales and fingerprints are looked at themselves: with NaN in them, trees and correlations still give probabilities.
    """
    try:
        for _, step in pipeline.steps:
            numbers = [getattr(step, name) for name in ("mean_", "scale_", "fingerprints_") if hasattr(step, name)]
            if not all(np.isfinite(each).all() for each in numbers) or not np.all(getattr(step, "scale_", 1) > 0):
                return False
        count = pipeline.n_features_in_
        if not 0 < count <= MOST_FEATURES:
            return False
        probabilities = pipeline.predict_proba(np.zeros((1, count), np.float32))
        return probabilities.shape == (1, classes) and bool(np.isfinite(probabilities).all())
    except Exception:  # whatever scikit-learn and NumPy raise where arrays have other shapes or types
        return False


def _sound_trees(pipeline: Pipeline) -> int:
    """The number of trees in the pipeline's forest or boosting whose nodes name only nodes and features that exist.

    skops trusts no trees, since scikit-learn follows these numbers unchecked, even out of its memory. A tree that a
    file names twice counts once.
    """
    *_, (_, estimator) = pipeline.steps
    sound = {}
    if _type_name(estimator) == FOREST:
        for each in estimator.estimators_:
            tree = each.tree_
            # else its arrays would end beyond its memory
            if _type_name(tree) == "sklearn.tree._tree.Tree" and 0 < tree.node_count <= tree.capacity:
                children = np.stack([tree.children_left, tree.children_right], axis=1)
                leaf = tree.children_left == -1
                sound[id(tree)] = _leads_to_leaves(leaf, children, tree.feature, estimator.n_features_in_)
    if _type_name(estimator) == BOOSTING:
        for each in itertools.chain.from_iterable(estimator._predictors):
            nodes = each.nodes
            children = np.stack([nodes["left"], nodes["right"]], axis=1).astype(np.int64)
            leaf, features = nodes["is_leaf"] != 0, nodes["feature_idx"].astype(np.int64)
            sound[id(each)] = not nodes["is_categorical"].any() and _leads_to_leaves(
                leaf, children, features, estimator.n_features_in_
            )
    return sum(sound.values())


def _type_name(value: object) -> str:
    return f"{type(value).__module__}.{type(value).__qualname__}"


def _leads_to_leaves(leaf: np.ndarray, children: np.ndarray, features: np.ndarray, count: int) -> bool:
    """leaf: bool (n,), of each node. children: int64 (n, 2), node numbers. features: int (n,), 0 to count − 1."""
    inner = np.flatnonzero(~leaf)
    later = (children[inner] > inner[:, None]) & (children[inner] < len(leaf))  # so that no path is endless
    known = (features[inner] >= 0) & (features[inner] < count)
    return bool(len(leaf) and later.all() and known.all())


def _trees_in(path: Path) -> int:
    """The number of trees in the file, wherever they are, whatever they call themselves: skops goes by the loader."""
    with zipfile.ZipFile(path) as archive:
        left, found = [json.loads(archive.read("schema.json"))], 0
    while left:
        node = left.pop()
        if isinstance(node, dict):
            found += node.get("__loader__") == "TreeNode" or node.get("__class__") in ("Tree", "TreePredictor")
            left += node.values()
        elif isinstance(node, list):
            left += node
    return found


def _write_reproducibly(path: Path, archive: bytes) -> None:
    """Write the archive with memory addresses replaced by running numbers, and without dates.

    skops names objects and array files by their addresses, which differ between runs; only their equality matters.
    Large arrays are stored as they are: an SVM's support vectors shrink by a tenth, and take half a minute for that.
    """
    with zipfile.ZipFile(io.BytesIO(archive)) as source, zipfile.ZipFile(path, "w") as target:
        names = set(source.namelist()) - {"schema.json"}
        schema = json.loads(source.read("schema.json"))
        numbers: dict[int, int] = {}
        files: dict[str, str] = {}

        def renumber(node: Any) -> None:
            if isinstance(node, list):
                for each in node:
                    renumber(each)
            elif isinstance(node, dict):
                if "__id__" in node:
                    node["__id__"] = numbers.setdefault(node["__id__"], len(numbers))
                if node.get("file") in names:
                    node["file"] = files.setdefault(node["file"], f"{len(files)}.npy")
                for each in node.values():
                    renumber(each)

        renumber(schema)
        for name, renamed in sorted(files.items(), key=lambda item: item[1]):
            method = zipfile.ZIP_STORED if source.getinfo(name).file_size >= LARGE else zipfile.ZIP_DEFLATED
            target.writestr(zipfile.ZipInfo(renamed, EPOCH), source.read(name), method)
        content = json.dumps(schema, indent=1).encode()
        target.writestr(zipfile.ZipInfo("schema.json", EPOCH), content, zipfile.ZIP_DEFLATED)
