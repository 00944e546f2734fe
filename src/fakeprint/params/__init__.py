"""What params.yaml may say: typed, frozen, validated. An unknown key is an error that names the nearest known one.

One file per group of blocks; `loading` reads the file, `validation` explains what is wrong in it, `effects` says what a
model depends on.
"""

from fakeprint.params.augment import Augment, Fill, Interpolation, Rescale, Transforms
from fakeprint.params.block import Block
from fakeprint.params.classifiers import (
    KNN,
    LDA,
    RBFSVM,
    AnyClassifier,
    Boosting,
    Classifier,
    Fingerprint,
    Forest,
    LinearSVM,
    Logistic,
    Oversampled,
)
from fakeprint.params.data import Data, Prepare, Validate
from fakeprint.params.effects import settings_of, with_effect
from fakeprint.params.ensembles import AnyEnsemble, Average, Ensemble, Greedy, Learned, Stacking
from fakeprint.params.evaluation import Predict, Robustness
from fakeprint.params.features import Features
from fakeprint.params.loading import load, parse, read, require_stated, unstated
from fakeprint.params.names import NAME, RESERVED, class_index, suggestion
from fakeprint.params.networks import Model, Models, Network
from fakeprint.params.params import NetworkSettings, Params
from fakeprint.params.run import Run
from fakeprint.params.training import Train
from fakeprint.params.validation import validated
from fakeprint.params.verdict import Calibrate, Decide

__all__ = [
    "KNN",
    "LDA",
    "NAME",
    "RBFSVM",
    "RESERVED",
    "AnyClassifier",
    "AnyEnsemble",
    "Augment",
    "Average",
    "Block",
    "Boosting",
    "Calibrate",
    "Classifier",
    "Data",
    "Decide",
    "Ensemble",
    "Features",
    "Fill",
    "Fingerprint",
    "Forest",
    "Greedy",
    "Interpolation",
    "Learned",
    "LinearSVM",
    "Logistic",
    "Model",
    "Models",
    "Network",
    "NetworkSettings",
    "Oversampled",
    "Params",
    "Predict",
    "Prepare",
    "Rescale",
    "Robustness",
    "Run",
    "Stacking",
    "Train",
    "Transforms",
    "Validate",
    "class_index",
    "load",
    "parse",
    "read",
    "require_stated",
    "settings_of",
    "suggestion",
    "unstated",
    "validated",
    "with_effect",
]
