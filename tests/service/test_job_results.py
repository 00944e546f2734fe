"""Where a job's model is."""

from pathlib import Path

import pytest

from fakeprint.errors import InputError
from fakeprint.service.jobs.results import model_folder_of_job, model_name
from fakeprint.service.settings import Settings

JOB = "0123456789abcdef" * 2


def test_the_model_of_a_job_is_its_champion(tmp_path: Path) -> None:
    settings = Settings(folder=tmp_path)
    with pytest.raises(
        InputError, match=f"the job '{JOB}' has no model; it has one from its success until its files are removed"
    ):
        model_folder_of_job(settings, JOB)
    champion = tmp_path / "jobs" / JOB / "models" / "champion"
    champion.mkdir(parents=True)
    (champion / "champion.json").write_text("{}")
    assert model_folder_of_job(settings, model_name(JOB)) == model_folder_of_job(settings, JOB) == champion


@pytest.mark.parametrize("name", ["../../etc", "", "x" * 32, f"{JOB}/..", f"{JOB}\n"])
def test_a_name_from_a_request_is_no_path(tmp_path: Path, name: str) -> None:
    with pytest.raises(InputError, match="there is no job"):
        model_folder_of_job(Settings(folder=tmp_path), name)
