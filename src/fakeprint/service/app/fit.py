"""The page Fit: start a fit, watch it, cancel it, use its result. The address holds the job: `?job=ID`."""

import hashlib
import json
import uuid
from collections.abc import Mapping
from datetime import datetime
from typing import Any

import altair as alt
import streamlit as st

from fakeprint.service.app import connection, models, words
from fakeprint.service.app.connection import client, errors_shown, plain, show
from fakeprint.service.app.data import choice, datasets
from fakeprint.service.app.parameters import parameter_fields
from fakeprint.service.client import ApiError

SECONDS_BETWEEN = 2.0
ACTIVE = ("queued", "running", "cancelling")
STATES = {
    "queued": ("gray", ":material/schedule:", "waits for a worker"),
    "running": ("blue", ":material/directions_run:", "running"),
    "cancelling": ("orange", ":material/hourglass_bottom:", "is being cancelled"),
    "succeeded": ("green", ":material/check_circle:", "finished"),
    "failed": ("red", ":material/error:", "failed"),
    "cancelled": ("gray", ":material/cancel:", "cancelled"),
}
LOG_LINES = 40
COLOURS = ["#2f74c0", "#c76a00", "#7b2d99", "#0f8a6a"]  # of curves, on white and on black


def render() -> None:
    """Show the page: the job that the address names, or the form and all jobs."""
    job = st.query_params.get("job")
    if job:
        _job_page(job)
    else:
        _form_page()


def _form_page() -> None:
    st.title("Fit a model")
    with errors_shown():
        found = datasets()
        if found:
            _form(found)
        else:
            st.info("A fit needs images. Send a data set on the page Data first.", icon=":material/photo_library:")
        _jobs()


def _form(found: list[dict[str, Any]]) -> None:
    dataset = choice(found, "Data set to fit")
    presets = _options(client().url, None)["presets"]
    preset = st.selectbox("Preset", list(presets), help="A complete set of parameters, as in the folder presets/.")
    st.caption(plain(presets[preset]))
    options = _options(client().url, preset)["parameters"]
    title = st.text_input("Title", max_chars=200, placeholder=dataset["name"], help="Shown in lists and reports.")
    names = st.multiselect("Parameters to change", list(options), placeholder="none: as in the preset")
    parameters, wrong = parameter_fields({name: options[name] for name in names}, preset)
    for line in wrong:
        st.error(plain(line), icon=":material/error:")
    if not st.button("Start", type="primary", icon=":material/play_arrow:", disabled=bool(wrong)):
        return
    title = title.strip() or dataset["name"][:200]
    request = {"dataset": dataset["id"], "preset": preset, "parameters": parameters, "title": title}
    try:
        job = client().post("/fit", request, {"Idempotency-Key": _once(request)})
    except ApiError as error:
        show(error)
        return
    del st.session_state["form"]
    st.query_params["job"] = job["id"]
    st.rerun()


@st.cache_data(ttl=600, max_entries=32, show_spinner=False)
def _options(url: str, preset: str | None) -> dict[str, Any]:
    return client().get("/fit/options", preset=preset)


def _once(request: Mapping[str, Any]) -> str:
    """The same for the same request from the same form: sent twice, where an answer was lost, it starts one job."""
    form = st.session_state.setdefault("form", uuid.uuid4().hex)
    return hashlib.sha256(json.dumps([form, request], sort_keys=True).encode()).hexdigest()


def _jobs() -> None:
    st.subheader("Jobs")
    # The next page's cursor of each page that was opened, so that the list goes back too.
    after = st.session_state.get("jobs-after")
    found = client().get("/jobs", after=after)
    if not found["jobs"]:
        st.caption("No job yet." if after is None else "No further jobs.")
    for job in found["jobs"]:
        colour, icon, state = STATES[job["state"]]
        left, right = st.columns([4, 1], vertical_alignment="center")
        name = plain(name_of(job))
        left.markdown(f"{icon} **{name}** — :{colour}[{state}], {when(job['created'])}")
        right.button("Open", key=f"open-{job['id']}", on_click=_open, args=(job["id"],), help=f"Job {name}")
    if found["next"]:
        st.button("Older jobs", on_click=_turn, args=(found["next"],))
    if after:
        st.button("Latest jobs", on_click=_turn, args=(None,))


def _turn(after: str | None) -> None:
    st.session_state["jobs-after"] = after


def _open(job: str | None) -> None:
    if job is None:
        st.query_params.clear()
    else:
        st.query_params["job"] = job


def name_of(job: Mapping[str, Any]) -> str:
    """What a job is called: its title, or its preset and id."""
    return job["title"] or f"{job['preset']} {job['id'][:8]}"


def when(moment: str) -> str:
    """A time of the API, to the minute."""
    return f"{datetime.fromisoformat(moment):%d %b %Y, %H:%M} UTC"


def _job_page(identity: str) -> None:
    st.button("All jobs", icon=":material/arrow_back:", on_click=_open, args=(None,))
    try:
        job = client().get(f"/jobs/{identity}")
    except ApiError as error:
        st.title("Fit a model")
        show(error)
        return
    st.title(plain(name_of(job)))
    models.show_outcome("fit")
    if job["state"] in ACTIVE:
        st.caption("You may close this page: the job goes on, and this address finds it again.")
        st.fragment(_watch, run_every=SECONDS_BETWEEN)(identity)
    else:
        _show(job)
        _result(job)
    _settings(job)
    st.fragment(_log, run_every=SECONDS_BETWEEN if job["state"] in ACTIVE else None)(identity)


def _watch(identity: str) -> None:
    """Show an active job; draw the whole page anew when it has ended. A lost connection is shown and tried again."""
    try:
        job = client().get(f"/jobs/{identity}")
    except ApiError as error:
        st.warning(f"{plain(error.detail)} It is tried again every {SECONDS_BETWEEN:g} s.", icon=":material/cloud_off:")
        return
    if job["state"] not in ACTIVE:
        st.rerun()
    _show(job)
    cancelling = job["state"] == "cancelling"
    if st.button("Cancel", icon=":material/stop_circle:", disabled=cancelling, key="cancel"):
        try:
            client().delete(f"/jobs/{identity}")
        except ApiError as error:
            show(error)
        else:
            st.rerun()


def _show(job: Mapping[str, Any]) -> None:
    colour, icon, state = STATES[job["state"]]
    st.markdown(f"{icon} :{colour}[**{state}**]{_times(job)}")
    if job["error"]:
        st.error(plain(job["error"]), icon=":material/error:")
    if job["attempts"] > 1:
        st.caption(f"Started {job['attempts']} times: a worker ended in the middle, and another one went on.")
    if job["state"] in ACTIVE and job["stages"]:
        st.progress(min(1.0, job["stages_done"] / job["stages"]), progress_in_words(job))
    _curve(job["curve"])


def _times(job: Mapping[str, Any]) -> str:
    if job["started"] is None:
        return f", since {when(job['created'])}"
    if job["finished"] is None:
        return f", started {when(job['started'])}"
    seconds = (datetime.fromisoformat(job["finished"]) - datetime.fromisoformat(job["started"])).total_seconds()
    return f" {when(job['finished'])}, after {words.duration(seconds)}"


def progress_in_words(job: Mapping[str, Any]) -> str:
    """How far a job is, on one line."""
    parts = [f"{job['stages_done']} of {job['stages']} stages done"]
    if job["stage"]:
        parts.append(f"now {plain(job['stage'])}")
    if job["epoch"] is not None and job["epochs"]:
        parts.append(f"epoch {job['epoch']} of {job['epochs']}")
    if job["eta_seconds"] is not None:
        parts.append(f"{words.duration(job['eta_seconds'])} left")
    return ", ".join(parts)


def _curve(rows: list[dict[str, float]]) -> None:
    if not rows:
        return
    for place, (kind, title) in zip(st.columns(2), {"accuracy": "Accuracy", "loss": "Loss"}.items(), strict=True):
        points = curve_points(rows, kind)
        if points:
            place.markdown(f"**{title} per epoch**")
            place.altair_chart(_chart(points, title))
    with st.expander("The curves as a table"):
        st.dataframe(rows, hide_index=True, alt="Figures of each epoch")


def curve_points(rows: list[dict[str, float]], kind: str) -> list[dict[str, Any]]:
    """The points of all curves whose name ends with `kind`: epoch, value, and the curve's name in words."""
    return [
        {"epoch": row.get("epoch", number), "value": value, "curve": name.removesuffix(f"_{kind}").replace("_", " ")}
        for number, row in enumerate(rows, start=1)
        for name, value in row.items()
        if name.endswith(kind)
    ]


def _chart(points: list[dict[str, Any]], title: str) -> alt.Chart:
    """Curves that differ in colour and in dashes."""
    legend = alt.Legend(title=None, orient="bottom")
    return (
        alt.Chart(alt.Data(values=points), height=220, description=f"{title} per epoch, as in the table below")
        .mark_line(point=len(points) < 40)
        .encode(
            x=alt.X("epoch:Q", axis=alt.Axis(tickMinStep=1, format="d"), scale=alt.Scale(nice=False, zero=False)),
            y=alt.Y("value:Q", title=None, scale=alt.Scale(zero=False)),
            color=alt.Color("curve:N", legend=legend, scale=alt.Scale(range=COLOURS)),
            strokeDash=alt.StrokeDash("curve:N", legend=legend),
            tooltip=["curve:N", "epoch:Q", alt.Tooltip("value:Q", format=".3f")],
        )
    )


def _result(job: Mapping[str, Any]) -> None:
    if job["state"] != "succeeded":
        return
    if job["champion"]:
        st.subheader(f"The champion: {job['champion']}")
    figures = dict(job["metrics"])
    if {"accuracy", "low", "high"} <= figures.keys():
        accuracy = {name: figures.pop(name) for name in ("low", "high")} | {"value": figures.pop("accuracy")}
        st.markdown(f"**Accuracy on validation:** {models.accuracy_in_words(accuracy)}")
    if figures:
        rows = [{"figure": name.replace("_", " "), "value": f"{value:.3f}"} for name, value in figures.items()]
        st.dataframe(rows, hide_index=True, alt="Figures of the champion")
    if job["model"]:
        with errors_shown():
            found = connection.models()
        model = next((each for each in found["models"] if each["name"] == job["model"]), None)
        if model and model["serves"]:
            st.success("This model answers now. Try it on the page Verdict.", icon=":material/check_circle:")
        else:
            reference = models.reference(model) if model else {"name": job["model"]}
            st.button(
                "Let this model answer",
                type="primary",
                icon=":material/swap_horiz:",
                on_click=models.serve,
                args=("fit", reference, found["revision"]),
            )


def _settings(job: Mapping[str, Any]) -> None:
    with st.expander("Data and parameters"):
        facts = {"Job": job["id"], "Data set": job["dataset"], "Preset": job["preset"]}
        st.markdown("\n".join(f"- **{name}:** {plain(value)}" for name, value in facts.items()))
        if job["parameters"]:
            st.json(job["parameters"])


def _log(identity: str) -> None:
    if st.toggle("Show the log", key="log"):
        try:
            text = client().text(f"/jobs/{identity}/log", tail=LOG_LINES)
        except ApiError as error:
            show(error)
            return
        st.caption(f"Its last {LOG_LINES} lines")
        st.code(text.rstrip() or "Nothing yet.", language=None, wrap_lines=True)
