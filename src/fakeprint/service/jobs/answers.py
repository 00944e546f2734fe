"""What the API tells of a job."""

from fakeprint.service.jobs.quota import REMOVED
from fakeprint.service.jobs.results import model_name
from fakeprint.service.schemas import Job
from fakeprint.service.tables import StoredJob

PROGRESS = ("stage", "stages_done", "stages", "epoch", "epochs", "curve", "eta_seconds")


def as_answer(job: StoredJob) -> Job:
    """The row as `GET /jobs/{id}` shows it."""
    known = {name: job.progress[name] for name in PROGRESS if name in job.progress}
    if job.state != "running":
        known.pop("eta_seconds", None)
    return Job(
        id=job.id,
        state=job.state,  # type: ignore[arg-type]
        dataset=job.dataset,
        preset=job.preset,
        parameters=job.parameters,
        title=job.title,
        created=job.created,
        started=job.started,
        finished=job.finished,
        attempts=job.attempts,
        metrics=job.result.get("metrics", {}),
        champion=job.result.get("champion"),
        model=model_name(job.id) if job.state == "succeeded" and not job.result.get(REMOVED) else None,
        error=job.error,
        **known,
    )
