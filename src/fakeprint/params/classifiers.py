"""`classifiers`: the settings of each classical method."""

from typing import Annotated, Literal

from annotated_types import Interval
from pydantic import Field, PositiveFloat, PositiveInt

from fakeprint.params.block import Block, Distinct, Folds, Fraction


class Classifier(Block):
    """What every classical classifier has: its features, concatenated, and what is done to them before fitting."""

    features: Distinct[str] = Field(min_length=1, description="feature sets, concatenated")
    scale: Literal["none", "sqrt", "standard", "sqrt_standard"] = Field(
        description="none | sqrt | standard | sqrt_standard; fitted on train"
    )
    augmented: bool = Field(description="fit on the offline copies, too")


class Oversampled(Classifier):
    """A classifier that may be fitted on new rows of some classes, between their own."""

    smote: Literal["none", "balanced"] | dict[str | int, Annotated[float, Interval(ge=1, le=100)]] = Field(
        default="none",
        description="none | balanced (new rows, as many of each class as of the largest) | {CLASS: factor, …}",
    )


class KNN(Classifier):
    method: Literal["knn"] = Field(description="k nearest neighbours")
    k: Distinct[PositiveInt] = Field(min_length=1, description="numbers of neighbours to try")
    metrics: Distinct[Literal["l1", "l2"]] = Field(min_length=1, description="distances to try: l1, l2")


class Logistic(Oversampled):
    method: Literal["logistic"] = Field(description="logistic regression")
    C: PositiveFloat = Field(description="inverse strength of regularisation")


class LinearSVM(Oversampled):
    method: Literal["svm_linear"] = Field(description="linear support vector machine")
    C: PositiveFloat = Field(description="inverse strength of regularisation")
    loss: Literal["squared_hinge", "hinge"] = Field(
        default="squared_hinge", description="squared_hinge | hinge (holds all rows in memory)"
    )


class RBFSVM(Oversampled):
    method: Literal["svm_rbf"] = Field(description="support vector machine with an RBF kernel")
    C: PositiveFloat = Field(description="inverse strength of regularisation")
    gamma: Literal["scale"] | PositiveFloat = Field(
        description="of the kernel: scale (1 / (number of features × their variance)) | a number above 0"
    )
    approximation: Literal["auto", "exact", "nystroem"] = Field(
        default="auto",
        description="exact (kernels of at most 12 GB) | nystroem (the kernel by `components` rows) | auto (exact: "
        "20,000 rows, 12 GB)",
    )
    components: Annotated[int, Interval(ge=2, le=10_000)] = Field(
        default=2000, description="nystroem: rows that stand for the others"
    )


class LDA(Oversampled):
    method: Literal["lda"] = Field(description="linear discriminant analysis")
    shrinkage: Literal["auto"] | Fraction = Field(
        description="of the covariance towards a multiple of the identity: auto (Ledoit-Wolf) | 0–1"
    )


class Boosting(Oversampled):
    method: Literal["boosting"] = Field(description="gradient boosting on histograms")
    iterations: PositiveInt = Field(description="trees per class")
    lr: Annotated[float, Interval(gt=0, le=1)] = Field(description="0–1; learning rate")
    leaves: Annotated[int, Interval(ge=2)] = Field(description="most leaves per tree")
    rows: PositiveInt | None = Field(
        default=None,
        description="number of train rows that trees are grown on, drawn by class; null = as many as 3 GB hold",
    )


class Forest(Oversampled):
    method: Literal["forest"] = Field(description="random forest")
    trees: PositiveInt = Field(description="number of trees")
    rows: PositiveInt | None = Field(
        default=None,
        description="number of train rows that trees are grown on, drawn by class; null = as many as 3 GB hold",
    )


class Fingerprint(Classifier):
    method: Literal["fingerprint"] = Field(description="correlation with each class's mean residual")
    features: Distinct[Literal["residual_image"]] = Field(  # type: ignore[assignment]  # fewer than other classifiers
        min_length=1, description="residual_image alone"
    )
    scale: Literal["none", "sqrt"] = Field(description="none | sqrt (strong edges count less)")
    C: PositiveFloat = Field(description="inverse strength of regularisation")
    folds: Folds = Field(
        default=10, description="2–100; folds of train, each correlated with fingerprints of the others"
    )


AnyClassifier = Annotated[
    KNN | Logistic | LinearSVM | RBFSVM | LDA | Boosting | Forest | Fingerprint, Field(discriminator="method")
]
