"""`run` and `tracking`: what runs, where, and what MLflow is told of it."""

from typing import Literal, Self

from pydantic import Field, PositiveInt, model_validator

from fakeprint.params.block import Block, Distinct


class Run(Block):
    features: Distinct[str]
    classifiers: Distinct[str]
    networks: Distinct[str]
    ensembles: Distinct[str]
    workers: PositiveInt | None = None
    backend: Literal["processes", "dask", "ray"] = "processes"
    scheduler: str | None = None

    @model_validator(mode="after")
    def _scheduler_of_a_backend(self) -> Self:
        if self.scheduler is not None and self.backend == "processes":
            raise ValueError("scheduler has no effect with backend: processes; set that to dask or ray")
        return self

    @property
    def models(self) -> list[str]:
        """Every model that runs: classifiers, networks, then ensembles."""
        return [*self.classifiers, *self.networks, *self.ensembles]


class Tracking(Block):
    enabled: bool
    experiment: str = Field(min_length=1)
