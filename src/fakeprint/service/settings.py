"""The settings of the service: environment variables, or lines of a file `.env`. FAKEPRINT_PORT=8001, for example."""

from functools import cached_property
from ipaddress import ip_address
from pathlib import Path
from typing import Annotated

from pydantic import Field, NonNegativeFloat, PositiveFloat, PositiveInt, SecretStr, field_validator
from pydantic_settings import BaseSettings, NoDecode, SettingsConfigDict

MIB = 2**20


class Settings(BaseSettings):
    """Settings of the API and its workers. docs/service.md shows them as a table."""

    model_config = SettingsConfigDict(env_prefix="FAKEPRINT_", env_file=".env", extra="ignore", frozen=True)

    host: str = Field("127.0.0.1", description="address to listen on; API keys are required unless it is loopback")
    port: Annotated[int, Field(ge=0, le=65535)] = Field(8000, description="port to listen on; 0 takes a free one")
    folder: Path = Field(
        Path(".fakeprint/service"), description="data sets, work folders of jobs and, by default, the database"
    )
    database: SecretStr | None = Field(
        None, description="URL of the service's tables, as postgresql+psycopg://…; by default a SQLite file in `folder`"
    )
    models_folder: Path = Field(Path("models"), description="models that `dvc repro` made; the champion serves")
    model: str | None = Field(
        None,
        description="the model that serves until `POST /set` chooses another: champion, unibuc, a name in "
        "`models_folder`, or job:ID; by default the champion, and unibuc where there is none",
    )
    tracking_uri: SecretStr | None = Field(
        None,
        description="MLflow server: its registry offers models, jobs log to it; by default a file in `folder`",
    )
    device: str = Field("auto", description="where networks run: auto, cpu, cuda, cuda:N, mps")

    batch_wait_ms: NonNegativeFloat = Field(
        3.0,
        description="how long a batch that is not full waits for the next image; in total, at most this or as long "
        "as the last batch took, whichever is longer",
    )
    batch_size: PositiveInt = Field(32, description="images per forward pass, at most")
    request_seconds: PositiveFloat = Field(60.0, description="time that one request for predictions may take")
    queue_images: PositiveInt = Field(4096, description="images that may wait for an answer; more are refused with 503")

    trust: Path | None = Field(
        None, description="root certificates (PEM) that vouch for signers of C2PA manifests, for evidence=true"
    )

    require_keys: bool | None = Field(None, description="whether API keys are required; unset: unless host is loopback")
    cors_origins: Annotated[tuple[str, ...], NoDecode] = Field(
        (), description="origins that browsers may call from, comma-separated"
    )
    rate: str = Field("600/minute", description="requests per key, or per address where no key is required")

    max_body_mib: PositiveFloat = Field(64.0, description="size of a request's body; that of an archive is below")
    held_mib: PositiveFloat = Field(
        512.0, description="size of the bodies of all requests for predictions in work; more are refused with 503"
    )
    max_files: PositiveInt = Field(128, description="images per request")
    max_file_mib: PositiveFloat = Field(20.0, description="size of one image file")
    max_pixels: PositiveInt = Field(100_000_000, description="pixels of one image, width times height")
    max_archive_mib: PositiveFloat = Field(1024.0, description="size of an archive, or of all images of a data set")
    max_members: PositiveInt = Field(200_000, description="files in an archive")
    max_unpacked_mib: PositiveFloat = Field(8192.0, description="size of all files of an archive, unpacked")
    max_ratio: PositiveFloat = Field(100.0, description="unpacked size of an archive relative to its own")
    datasets_mib: PositiveFloat = Field(20_480.0, description="disk space of all data sets together")

    eda_seconds: PositiveFloat = Field(600.0, description="time that the profile of a data set may take")

    workers: Annotated[int, Field(ge=0)] = Field(1, description="workers that `fakeprint serve` starts; 0: none")
    max_queued: PositiveInt = Field(32, description="jobs that may wait; more are refused with 429")
    lease_seconds: PositiveFloat = Field(30.0, description="after so long without a sign of life a job is taken over")
    max_attempts: PositiveInt = Field(3, description="how often a job is started, if its worker dies")
    job_hours: PositiveFloat = Field(24.0, description="time that a job may take")
    kept_jobs: PositiveInt = Field(
        100, description="ended jobs whose work folders are kept; the oldest go first, but none whose model serves"
    )
    kept_jobs_mib: PositiveFloat = Field(
        20_480.0, description="disk space of these work folders and of DVC's caches of their data sets together"
    )

    @field_validator("cors_origins", mode="before")
    @classmethod
    def _split(cls, value: object) -> object:
        return tuple(part.strip() for part in value.split(",") if part.strip()) if isinstance(value, str) else value

    @cached_property
    def on_loopback(self) -> bool:
        """Whether only this machine can connect."""
        try:
            return self.host == "localhost" or ip_address(self.host).is_loopback
        except ValueError:
            return False

    @property
    def keys_required(self) -> bool:
        """Whether requests need an API key."""
        return not self.on_loopback if self.require_keys is None else self.require_keys

    @property
    def database_url(self) -> str:
        """The URL of the service's tables."""
        if self.database is not None:
            return self.database.get_secret_value()
        return f"sqlite:///{(self.folder / 'service.db').resolve()}"

    @property
    def mlflow_uri(self) -> str:
        """Where jobs log, and whose registry offers models."""
        if self.tracking_uri is not None:
            return self.tracking_uri.get_secret_value()
        return f"sqlite:///{(self.folder / 'mlflow.db').resolve()}"
