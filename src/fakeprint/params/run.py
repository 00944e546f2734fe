"""`run` and `tracking`: what runs and where, and whether MLflow logs it."""

from typing import Literal, Self

from pydantic import Field, PositiveInt, model_validator

from fakeprint.params.block import Block, Distinct


class Run(Block):
    features: Distinct[str] = Field(description="feature sets, see `fakeprint models`")
    classifiers: Distinct[str] = Field(description="each has a block under `classifiers`")
    networks: Distinct[str] = Field(description="each has a block under `models`")
    ensembles: Distinct[str] = Field(description="each has a block under `ensembles`")
    workers: PositiveInt | None = Field(
        default=None,
        description="processes for decoding, augmentation and features, threads of fits; null = one per core; "
        "no effect on results",
    )
    backend: Literal["processes", "dask", "ray"] = Field(
        default="processes",
        description="processes (this machine) | dask | ray (several machines, docs/scaling.md); changes no result",
    )
    scheduler: str | None = Field(
        default=None,
        description="address of dask's scheduler (tcp://HOST:8786) or ray's head (HOST:6379); null = start "
        "one on this machine",
    )

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
    enabled: bool = Field(description="false needs no MLflow at all")
    experiment: str = Field(min_length=1, description="MLflow experiment; its runs are named after the models")
    register_: bool = Field(
        default=True,
        alias="register",
        description="the champion becomes a version of a registered model, with the alias champion",
    )
    registered_name: str = Field(
        default="fakeprint-champion",
        pattern=r"^[A-Za-z0-9]+([-_.]+[A-Za-z0-9]+)*$",
        max_length=200,
        description="a name of letters and digits, with - _ . between them",
    )
