"""Asks a running API, as a person does who has just installed it.

Each check is what must hold, whether it does, and what was seen.
"""

import base64
import io
import json
import time
import zipfile
from typing import Any

import httpx
import numpy as np
from PIL import Image

Check = tuple[str, bool, str]

EACH = 30  # images per class of the fit
PATIENCE = 1800.0  # seconds for the fit
TINY = {
    "run.features": ["hsv_hist"],
    "run.classifiers": [],
    "run.networks": ["three_cnn"],
    "run.ensembles": [],
    "prepare.image_size": 16,
    "augment.copies": 0,
    "model.width": 0.125,
    "train.epochs": 1,
}


def answers(url: str, key: str) -> list[Check]:
    """/health, and /predict about a drawn image, with a key and without; with the key also for a map and evidence."""
    files = {"files": ("drawn.png", _drawn(0, 100), "image/png")}
    with httpx.Client(base_url=url, timeout=60) as client:
        health, refused = client.get("/health"), client.post("/predict", files=files)
        wanted = {"explain": True, "evidence": True}
        answer = client.post("/predict", files=files, headers=_headers(key), params=wanted)
    [image] = answer.json()["images"] if answer.is_success else [{}]
    return [
        ("/health answers", health.status_code == 200, health.text),
        ("/predict wants a key", refused.status_code == 401, f"status {refused.status_code}"),
        ("/predict answers", image.get("status") == "answered", json.dumps(image | {"map": "…"})[:300]),
        ("/predict draws a map", *_map(image)),
        ("/predict looks for evidence", image.get("evidence") is not None, f"not checked: {image.get('not_checked')}"),
    ]


def _map(image: dict[str, Any]) -> tuple[bool, str]:
    """Whether an answer has a map that is a picture, and its size, or why there is none."""
    if not image.get("map"):
        return False, str(image.get("map_note"))
    with Image.open(io.BytesIO(base64.b64decode(image["map"]))) as drawn:
        return drawn.format == "PNG", f"{drawn.width} × {drawn.height} pixels"


def fits(url: str, key: str) -> list[Check]:
    """A fit of a tiny network to drawn images, from the archive to the job's end."""
    archive = {"archive": ("drawn.zip", _archive(), "application/zip")}
    began = time.monotonic()
    with httpx.Client(base_url=url, timeout=60, headers=_headers(key)) as client:
        sent = client.post("/fit", files=archive, data={"parameters": json.dumps(TINY)})
        if sent.status_code != 202:
            return [("/fit takes an archive", False, f"status {sent.status_code}: {sent.text[:300]}")]
        job = sent.json()
        while job["state"] in ("queued", "running") and time.monotonic() - began < PATIENCE:
            time.sleep(2)
            job = client.get(f"/jobs/{job['id']}").json()
    shown = {key: job[key] for key in ("state", "stages_done", "champion", "metrics", "error")}
    return [("/fit succeeds", job["state"] == "succeeded", f"{json.dumps(shown)} in {time.monotonic() - began:.0f} s")]


def _archive() -> bytes:
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w") as archive:
        for number in range(2 * EACH):
            label = ("plain", "stripes")[number % 2]
            archive.writestr(f"{label}/{number}.png", _drawn(number, 32, label == "stripes"))
    return stream.getvalue()


def _drawn(seed: int, size: int, stripes: bool = False) -> bytes:
    """A PNG of noise; with stripes, every second column is darker."""
    pixels = np.random.default_rng(seed).integers(60, 200, (size, size, 3), dtype=np.uint8)
    if stripes:
        pixels[:, ::2] -= 50
    stream = io.BytesIO()
    Image.fromarray(pixels).save(stream, "PNG")
    return stream.getvalue()


def _headers(key: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {key}"}
