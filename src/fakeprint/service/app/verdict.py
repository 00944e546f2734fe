"""The page Verdict: images in, answers out."""

import base64
import csv
import io
import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, Protocol

import streamlit as st
from PIL import Image

from fakeprint.service.app import stored_images, words
from fakeprint.service.app.connection import client, errors_shown, plain, serving_model

TYPES = ["png", "apng", "jpg", "jpeg", "jpe", "jfif", "webp", "bmp", "dib", "tif", "tiff", "gif"]
FORMATS = ("PNG", "JPEG", "WEBP", "BMP", "TIFF", "GIF")  # as `data.decode`, which the app does not import
# Of one request: below the API's own defaults, and a progress bar that moves.
BATCH_IMAGES, BATCH_BYTES = 32, 32 * 2**20
IMAGE_MIB = 20
PREVIEW_PIXELS = 1024


UPLOADED, STORED = "Upload images", "Images of a data set"


class Upload(Protocol):
    """What Streamlit gives for an uploaded file, and `stored_images` for one of a data set."""

    @property
    def file_id(self) -> str:
        """Its own name, which no other file has."""

    @property
    def name(self) -> str:
        """As it is shown."""

    @property
    def size(self) -> int:
        """In bytes."""

    def getvalue(self) -> bytes:
        """Its bytes."""


def render() -> None:
    """Show the page."""
    st.title("Which generator made this image?")
    with errors_shown():
        model, problem = serving_model()
    if model is None:
        st.warning("Another model begins to answer just now.", icon=":material/swap_horiz:")
        st.button("Try again", icon=":material/refresh:")
        return
    if problem:
        st.warning(plain(problem), icon=":material/warning:")
    learned = f", which learned from {model['data']}" if model["data"] else ""
    st.markdown(f"Answers come from the model **{plain(words.model_name(model))}**{plain(learned)}.")
    st.session_state.setdefault("where", STORED if "dataset" in st.query_params else UPLOADED)
    where = st.radio("Where the images are", [UPLOADED, STORED], key="where", horizontal=True)
    with errors_shown():
        images = stored_images.chosen() if where == STORED else _uploads()
        if images:
            _answers(images, model)
    st.info(words.NO_PROOF, icon=":material/gavel:")
    with st.expander("What the words mean", icon=":material/help:"):
        st.markdown(words.MEANINGS)
        classes = ", ".join(model["names"])
        st.markdown(f"**Classes of this model.** {plain(classes)}")
        if model["certificate"]:
            st.markdown(f"**What is certified about its answers.** {plain(model['certificate'])}")


def _uploads() -> Sequence[Upload]:
    st.query_params.pop("dataset", None)
    return st.file_uploader(
        "Images",
        type=TYPES,
        accept_multiple_files=True,
        max_upload_size=IMAGE_MIB,
        key="images",
        help="The original file says most: messengers and screenshots re-encode images and wipe out traces.",
    )


def _answers(uploads: Sequence[Upload], model: Mapping[str, Any]) -> None:
    names = dict(zip(model["classes"], model["names"], strict=True))
    calibrated = model["calibration"] is not None
    if len(uploads) == 1:
        _show_one(uploads[0], _explained(uploads[0], model), names, calibrated)
        return
    answers = _batch(uploads, model)
    labels = [getattr(upload, "label", None) for upload in uploads]
    st.subheader(words.summary(answers))
    if any(labels):
        st.markdown(plain(words.agreement(answers, labels)))
    st.dataframe(
        table(answers, names, labels),
        hide_index=True,
        placeholder="",
        column_config={"probability": st.column_config.ProgressColumn(format="%.1f %%", min_value=0, max_value=100)},
        alt="Answers, one row per image",
    )
    st.download_button(
        "Download as CSV",
        as_csv(answers, labels),
        "fakeprint.csv",
        "text/csv",
        icon=":material/download:",
        on_click="ignore",
    )
    chosen = st.selectbox(
        "Show the details of", range(len(uploads)), format_func=lambda number: f"{number + 1}. {uploads[number].name}"
    )
    _show_one(uploads[chosen], _explained(uploads[chosen], model), names, calibrated)


def _explained(upload: Upload, model: Mapping[str, Any]) -> dict[str, Any]:
    """The response for one image, with map and evidence. Asked for once for each image and model."""
    kept: dict[tuple[str, str], dict[str, Any]] = st.session_state.setdefault("explained", {})
    key = (upload.file_id, model["digest"])
    if key not in kept:
        with st.spinner("The model looks at the image"):
            response = client().predict([(upload.name, upload.getvalue())], explain=True, evidence=True)
        _look_again_if_changed(response, model)
        while len(kept) >= 8:  # maps are large
            kept.pop(next(iter(kept)))
        kept[key] = response
    return kept[key]


def _batch(uploads: Sequence[Upload], model: Mapping[str, Any]) -> list[dict[str, Any]]:
    """The answers to several images, without maps. Only images without an answer are sent."""
    kept: dict[tuple[str, str], dict[str, Any]] = st.session_state.get("batch", {})
    kept = {(file.file_id, model["digest"]): kept.get((file.file_id, model["digest"]), {}) for file in uploads}
    st.session_state["batch"] = kept
    missing = [file for file in uploads if not kept[file.file_id, model["digest"]]]
    if missing:
        progress, done = st.progress(0.0, "The model looks at the images"), 0
        for part in parts(missing):
            response = client().predict([(file.name, file.getvalue()) for file in part], evidence=True)
            _look_again_if_changed(response, model)
            for file, answer in zip(part, response["images"], strict=True):
                kept[file.file_id, model["digest"]] = answer
            done += len(part)
            progress.progress(done / len(missing), f"{done} of {len(missing)} images")
        progress.empty()
    return list(kept.values())


def _look_again_if_changed(response: Mapping[str, Any], model: Mapping[str, Any]) -> None:
    """Draw the page anew where another model answers than the one whose classes and certificate it shows."""
    if response["model"]["digest"] != model["digest"]:
        st.rerun()


def parts(uploads: Iterable[Upload]) -> Iterator[list[Upload]]:
    """The images in groups, each small enough for one request."""
    part: list[Upload] = []
    size = 0
    for file in uploads:
        if part and (len(part) == BATCH_IMAGES or size + file.size > BATCH_BYTES):
            yield part
            part, size = [], 0
        part.append(file)
        size += file.size
    if part:
        yield part


def _show_one(upload: Upload, response: Mapping[str, Any], names: Mapping[str, str], calibrated: bool) -> None:
    image = response["images"][0]
    left, right = st.columns([3, 2], gap="medium")  # on a phone, left comes first
    with right:
        _picture(upload, image)
    with left:
        st.html(words.card(image))
        if image["status"] != "answered":
            return
        caption = "Calibrated probability of each class" if calibrated else "Probability of each class, not calibrated"
        st.html(words.probability_bars(image["probabilities"], names, caption))
        in_words = words.set_in_words(image["set"], names)
        if in_words is not None:
            st.markdown(f"**Classes not excluded:** {plain(in_words)}")
        _evidence(image["evidence"], [*(response["never_checked"] or []), *(image.get("not_checked") or [])])


def _evidence(found: Sequence[Mapping[str, str]] | None, not_checked: Sequence[str]) -> None:
    if found is None:
        return
    if not found:
        st.markdown("**What the file declares:** nothing about its origin.")
    else:
        st.markdown("**What the file declares**")
        for each in found:
            strength = words.STRENGTHS.get(each["strength"], each["strength"])
            st.markdown(f"- {plain(each['claim'])} — {plain(strength)}. {plain(each['detail'])}")
    if not_checked:
        with st.expander("What cannot be checked here"):
            st.markdown("\n".join(f"- {plain(each)}" for each in not_checked))


def _picture(upload: Upload, image: Mapping[str, Any]) -> None:
    picture = preview(upload.getvalue())
    if picture is None:
        st.caption("There is no preview of this file.")
        return
    if not image.get("map"):
        st.image(picture, width="stretch", alt=f"The image {upload.name}")
        if image.get("map_note"):
            st.caption(f"No map: {plain(image['map_note'])}")
        return
    if st.toggle("Show what the answer rests on", value=True, key=f"map-{upload.file_id}"):
        st.image(
            base64.b64decode(image["map"]), width="stretch", alt=f"Map over {upload.name}: what the answer rests on"
        )
        st.caption("Orange: the places that speak for the most probable class. They are hints, not proof.")
    else:
        st.image(picture, width="stretch", alt=f"The image {upload.name}")


def preview(content: bytes) -> Image.Image | None:
    """The image, at most `PREVIEW_PIXELS` wide and high; None where it cannot be read.

    Only the formats that the API reads are tried: Pillow's other decoders would get files of strangers for nothing.
    """
    try:
        with Image.open(io.BytesIO(content), formats=FORMATS) as image:
            image.draft("RGB", (PREVIEW_PIXELS, PREVIEW_PIXELS))
            image.thumbnail((PREVIEW_PIXELS, PREVIEW_PIXELS))
            return image.convert("RGB")
    except Exception:  # decoders raise OSError, SyntaxError, ValueError, struct.error, EOFError, …
        return None


def table(
    answers: Sequence[Mapping[str, Any]], names: Mapping[str, str], labels: Sequence[str | None]
) -> list[dict[str, Any]]:
    """A row per image, for the eye. labels: what the images' data set says of them."""
    rows = []
    for image, label in zip(answers, labels, strict=True):
        _, sign, badge = words.BADGES[words.kind(image)]
        answered = image["status"] == "answered"
        rows.append(
            {
                "image": image["image"],
                "answer": f"{sign} {words.class_name(image['name']) if image.get('answer') == 'label' else badge}",
                "most probable": words.class_name(image["name"]) if answered else None,
                "probability": 100 * image["score"] if answered else None,
                "not excluded": words.set_in_words(image["set"], names) if answered else None,
                **({"in the data set": label and words.class_name(names.get(label, label))} if any(labels) else {}),
                "declared": "; ".join(each["claim"] for each in image["evidence"] or []) if answered else None,
                "note": image["reason"] if answered else image["detail"],
            }
        )
    return rows


def as_csv(answers: Sequence[Mapping[str, Any]], labels: Sequence[str | None]) -> bytes:
    """A line per image, for programs: UTF-8, with a mark by which spreadsheets know it. labels: of their data set."""
    classes = next((list(image["probabilities"]) for image in answers if image["status"] == "answered"), [])
    stream = io.StringIO()
    lines = csv.writer(stream, lineterminator="\n")
    columns = ["image", "answer", "label", "name", "score", "set", "reason", "evidence"]
    given = [[_cell(label or "")] for label in labels] if any(labels) else [[] for _ in labels]
    lines.writerow([*columns, *(f"p_{label}" for label in classes), *(["data_set_label"] if any(labels) else [])])
    for image, of_data_set in zip(answers, given, strict=True):
        if image["status"] != "answered":
            about = ["", "", "", "", image["detail"], ""]
            empty = ["" for _ in classes]
            lines.writerow([_cell(image["image"]), "unreadable", *map(_cell, about), *empty, *of_data_set])
            continue
        of_set = "" if image["set"] is None else json.dumps(image["set"], ensure_ascii=False)
        evidence = "; ".join(each["claim"] for each in image["evidence"] or [])
        about = [image["label"], image["name"], image["score"], of_set, image["reason"], evidence]
        shares = [image["probabilities"][label] for label in classes]
        lines.writerow([_cell(image["image"]), image["answer"], *map(_cell, about), *shares, *of_data_set])
    return stream.getvalue().encode("utf-8-sig")


def _cell(value: Any) -> Any:
    """A text that no spreadsheet takes for a formula."""
    return f"'{value}" if isinstance(value, str) and value[:1] in ("=", "+", "-", "@", "\t", "\r") else value
