"""`open_world` and `cross_generator`: models fitted anew, to see what they say of generators that they never saw."""

from pydantic import Field, PositiveInt

from fakeprint.params.block import Block, Distinct


class OpenWorld(Block):
    classifiers: Distinct[str] = Field(default=[], description="names in run.classifiers, each fitted once per class")
    networks: Distinct[str] = Field(
        default=[], description="names in run.networks, each trained once per class, as long as its own training"
    )
    neighbours: PositiveInt = Field(
        default=50, description="the k-NN score is the distance to the train image that is so many-th nearest"
    )


class CrossGenerator(Block):
    classifiers: Distinct[str] = Field(
        default=[], description="names in run.classifiers, each fitted once per generator or pair"
    )
    networks: Distinct[str] = Field(
        default=[], description="names in run.networks, each trained once per generator or pair"
    )
