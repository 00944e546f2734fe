"""`classifiers`: the settings of each classical method."""

from typing import Annotated, Literal

from annotated_types import Interval
from pydantic import Field, PositiveFloat, PositiveInt

from fakeprint.params.block import Block, Distinct, Fraction


class Classifier(Block):
    """What every classical classifier has: its features, concatenated, and what is done to them before fitting."""

    features: Distinct[str] = Field(min_length=1)
    scale: Literal["none", "sqrt", "standard", "sqrt_standard"]
    augmented: bool


class KNN(Classifier):
    method: Literal["knn"]
    k: Distinct[PositiveInt] = Field(min_length=1)
    metrics: Distinct[Literal["l1", "l2"]] = Field(min_length=1)


class Logistic(Classifier):
    method: Literal["logistic"]
    C: PositiveFloat


class LinearSVM(Classifier):
    method: Literal["svm_linear"]
    C: PositiveFloat
    loss: Literal["squared_hinge", "hinge"] = "squared_hinge"


class RBFSVM(Classifier):
    method: Literal["svm_rbf"]
    C: PositiveFloat
    gamma: Literal["scale"] | PositiveFloat
    approximation: Literal["auto", "exact", "nystroem"] = "auto"
    components: Annotated[int, Interval(ge=2, le=10_000)] = 2000


class LDA(Classifier):
    method: Literal["lda"]
    shrinkage: Literal["auto"] | Fraction


class Boosting(Classifier):
    method: Literal["boosting"]
    iterations: PositiveInt
    lr: Annotated[float, Interval(gt=0, le=1)]
    leaves: Annotated[int, Interval(ge=2)]
    rows: PositiveInt | None = None


class Forest(Classifier):
    method: Literal["forest"]
    trees: PositiveInt
    rows: PositiveInt | None = None


AnyClassifier = Annotated[KNN | Logistic | LinearSVM | RBFSVM | LDA | Boosting | Forest, Field(discriminator="method")]
