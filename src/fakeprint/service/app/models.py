"""The page Models: what can serve, how good it is, and a button that makes it serve."""

from collections.abc import Mapping
from typing import Any

import streamlit as st

from fakeprint.service.app import words
from fakeprint.service.app.connection import client, errors_shown, models, plain, serving, show
from fakeprint.service.client import ApiError

SOURCES = {
    "folder": "models folder of the API",
    "shipped": "comes with Fakeprint",
    "registry": "MLflow registry",
}


def render() -> None:
    """Show the page."""
    st.title("Models")
    with errors_shown():
        found = models()
    show_outcome("models")
    if found["note"]:
        st.warning(plain(found["note"]), icon=":material/cloud_off:")
    if not found["models"]:
        st.info("There is no model yet. Fit one on the page Fit, or run `dvc repro` beside the API.")
        return
    st.dataframe(
        [_row(model) for model in found["models"]], hide_index=True, placeholder="", alt="Models, one row each"
    )
    current = serving(found)
    start = found["models"].index(current) if current else 0
    chosen = st.selectbox(
        "Show the details of",
        range(len(found["models"])),
        index=start,
        format_func=lambda number: title(found["models"][number]),
    )
    _details(found["models"][chosen], found["revision"])


def title(model: Mapping[str, Any]) -> str:
    """How a list names a model."""
    aliases = f" ({', '.join(model['aliases'])})" if model["aliases"] else ""
    now = " — answers now" if model["serves"] else ""
    return f"{words.model_name(model)}, version {model['version']}{aliases}{now}"


def accuracy_in_words(accuracy: Mapping[str, Any] | None) -> str:
    """Accuracy with its interval, in percent."""
    if accuracy is None:
        return "not measured"
    low, high = 100 * accuracy["low"], 100 * accuracy["high"]
    return f"{100 * accuracy['value']:.1f} % ({low:.1f}–{high:.1f})"


def worst_in_words(worst: Mapping[str, Any]) -> str:
    """Accuracy on degraded images, a body of `schemas.Degraded`, with what it was measured on where that is known."""
    bounds = "" if worst["low"] is None else f" ({100 * worst['low']:.1f}–{100 * worst['high']:.1f})"
    on = f"{worst['images']:,} images of the split {plain(worst['split'])}," if worst["images"] else "images"
    among = f", the worst of {worst['degradations']} degradations that were measured" if worst["degradations"] else ""
    return (
        f"{100 * worst['value']:.1f} %{bounds}, on {on} degraded by {plain(worst['degradation'])}{among}. "
        "Images from messengers and web pages are often degraded like this."
    )


def _row(model: Mapping[str, Any]) -> dict[str, Any]:
    accuracy = model["accuracy"]
    return {
        "model": words.model_name(model),
        "accuracy (interval)": accuracy_in_words(accuracy),
        "answers now": "● yes" if model["serves"] else "",
        "measured on": f"{accuracy['images']:,} images of {accuracy['split']}" if accuracy else "",
        "learned from": model["data"] or "",
        "classes": len(model["classes"]) if model["classes"] else None,
        "kind": model["kind"],
        "version": model["version"],
        "aliases": ", ".join(model["aliases"]),
        "from": SOURCES[model["source"]],
    }


def _details(model: Mapping[str, Any], revision: int) -> None:
    st.subheader(plain(f"{words.model_name(model)}, version {model['version']}"))
    if model["serves"]:
        st.success("This model answers now.", icon=":material/check_circle:")
    else:
        st.button(
            "Let this model answer",
            type="primary",
            icon=":material/swap_horiz:",
            on_click=serve,
            args=("models", reference(model), revision),
            help="It is loaded first. Requests that are under way are still answered by the old model.",
        )
    accuracy = model["accuracy"]
    if accuracy:
        confidence = f"{100 * accuracy['confidence']:g} %"
        st.markdown(
            f"**Accuracy:** {accuracy_in_words(accuracy)}, on {accuracy['images']:,} images of the split "
            f"{plain(accuracy['split'])}. The interval holds the accuracy on such images with {confidence} confidence."
        )
    if worst := model.get("worst_degraded"):
        st.markdown(f"**Worst degraded:** {worst_in_words(worst)}")
    if model["certificate"]:
        st.markdown(f"**Certified:** {plain(model['certificate'])}")
    if model["classes"] is None:
        st.caption("Its classes and figures are shown once it has answered here.")
    facts = {
        "Classes": ", ".join(model["names"] or []),
        "Learned from": model["data"],
        "Kind": model["kind"],
        "Backbone": model["backbone"],
        "Last activation": model["last_activation"],
        "Image size": f"{model['image_size']} × {model['image_size']} pixels" if model["image_size"] else None,
        "From": SOURCES[model["source"]],
        "Name": model["name"],
        "Digest": model["digest"],
    }
    st.markdown("\n".join(f"- **{name}:** {plain(str(value))}" for name, value in facts.items() if value))
    for name, content in (
        ("Hyperparameters", model["hyperparameters"]),
        ("Calibration", model["calibration"]),
        ("Model card", model["card"]),
    ):
        if content:
            with st.expander(name):
                st.json(content, expanded=2)


def reference(model: Mapping[str, Any]) -> dict[str, Any]:
    """What `POST /set` calls the model by."""
    of_registry = {"version": model["version"]} if model["source"] == "registry" else {}
    return {"name": model["name"], "source": model["source"], **of_registry}


def serve(page: str, model: Mapping[str, Any], revision: int | None) -> None:
    """POST /set, unless another model was chosen since the page showed `revision`. `show_outcome` shows the result."""
    try:
        answer = client().post("/set", {**model, "expected_revision": revision})
    except ApiError as error:
        st.session_state[f"outcome-{page}"] = error
    else:
        st.session_state[f"outcome-{page}"] = f"{words.model_name(answer['model'])} answers from now on."


def show_outcome(page: str) -> None:
    """Show once what came of `serve`."""
    answer = st.session_state.pop(f"outcome-{page}", None)
    if isinstance(answer, str):
        st.success(plain(answer), icon=":material/check_circle:")
    elif isinstance(answer, ApiError) and answer.status == 409:
        st.warning(
            "Nothing was changed: meanwhile, someone else has chosen another model. Below is how it is now; look at "
            f"it, then decide again. (The API says: {plain(answer.detail)})",
            icon=":material/sync_problem:",
        )
    elif isinstance(answer, ApiError):
        show(answer)
