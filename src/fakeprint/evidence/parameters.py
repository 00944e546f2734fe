"""Generation parameters that tools write into PNG texts and EXIF: prompts, samplers, whole workflows.

A table of keys, and for each a form that its value must have: the name of the key alone proves little. The library
sd-parsers reads more of the parameters; it is not used, because it remembers the last image by its address in memory
and may answer for another one (version 0.6), and leaves out WebP's and XMP's places.
"""

import json
import re
from collections.abc import Callable, Iterable
from typing import Any

from fakeprint.evidence.findings import Finding, detail
from fakeprint.evidence.metadata import Metadata

UUID = r"[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}"
WEBUI = "AUTOMATIC1111, Forge or a tool that writes their format"
Tool = str | None


def find(metadata: Metadata) -> list[Finding]:
    """A finding per tool, with the first place that gave it away and the beginning of what stands there."""
    found: dict[str, Finding] = {}
    texts = dict(reversed(metadata.texts))  # the first of each key
    for place, key, text in _places(metadata):
        tool = _tool(key, text, texts)
        if tool is not None and tool not in found:
            claim = f"holds generation parameters as {tool} writes them"
            found[tool] = Finding("generation_parameters", claim, "declared", detail(place=place, text=text))
    tool = _xai(metadata.exif)
    if tool is not None:
        claim = f"holds a signature as {tool} writes it, which was not verified"
        found[tool] = Finding("generation_parameters", claim, "declared", detail(place="EXIF ImageDescription, Artist"))
    return list(found.values())


def _places(metadata: Metadata) -> Iterable[tuple[str, str, str]]:
    """Place, key and text. ComfyUI's WebP files hold `key:text` in EXIF's Make, Model and ImageDescription."""
    for key, text in metadata.texts:
        yield f"PNG text {key}", key, text
    if "UserComment" in metadata.exif:
        yield "EXIF UserComment", "UserComment", metadata.exif["UserComment"]
    for name in ("Make", "Model", "ImageDescription"):
        key, colon, text = metadata.exif.get(name, "").partition(":")
        if colon and key.lower() in ("prompt", "workflow"):
            yield f"EXIF {name}", key.lower(), text


def _tool(key: str, text: str, texts: dict[str, str]) -> Tool:
    if key in ("parameters", "UserComment"):
        return _of_parameters(text)
    check = KEYS.get(key)
    return check(text, texts) if check else None


def _of_parameters(text: str) -> Tool:
    """Several tools share these places."""
    content = _object(text)
    if content is None:
        steps = re.search(r"(^|\n|, )Steps: \d+, ", text[-20_000:])
        return WEBUI if steps and re.search(r"\b(Sampler|Seed|CFG scale): ", text[-20_000:]) else None
    if "sui_image_params" in content:
        return "SwarmUI"
    if {"prompt", "base_model"} <= content.keys() or {"Prompt", "Base Model"} <= content.keys():
        return "Fooocus"
    if {"prompt", "workflow"} <= content.keys():
        return "ComfyUI"
    return "NovelAI" if "Comment" in content or _has_novelai_keys(content) else None


def _comfy(text: str, _: dict[str, str]) -> Tool:
    """A graph of nodes: by their number, each with a class, or a list of them with their links."""
    content = _object(text) or {}
    if any(isinstance(node, dict) and "class_type" in node for node in content.values()):
        return "ComfyUI"
    return "ComfyUI" if isinstance(content.get("nodes"), list) and "links" in content else None


def _novelai(text: str, texts: dict[str, str]) -> Tool:
    of_novelai = texts.get("Software") == "NovelAI" or _has_novelai_keys(_object(text) or {})
    return "NovelAI" if of_novelai and _object(text) else None


def _has_novelai_keys(content: dict[str, Any]) -> bool:
    return {"uc", "sampler", "seed"} <= content.keys()


def _json_of(tool: str) -> Callable[[str, dict[str, str]], Tool]:
    return lambda text, _: tool if _object(text) else None


def _matching(tool: str, pattern: str) -> Callable[[str, dict[str, str]], Tool]:
    return lambda text, _: tool if re.search(pattern, text[-20_000:]) else None


# Key of a PNG text → what finds the tool in its value, given all texts.
KEYS: dict[str, Callable[[str, dict[str, str]], Tool]] = {
    "prompt": _comfy,
    "workflow": _comfy,
    "Comment": _novelai,
    "invokeai_metadata": _json_of("InvokeAI"),
    "invokeai_graph": _json_of("InvokeAI"),
    "sd-metadata": _json_of("InvokeAI"),
    "Dream": _matching("InvokeAI", r'^".*" .*-S ?\d+'),
    "fooocus_scheme": _matching("Fooocus", r"^(fooocus|a1111)$"),
    "Description": _matching("Midjourney", rf"Job ID: {UUID}"),
    "hf-job-id": _matching("Hugging Face", r"^[\w-]{8,64}$"),
}


def _xai(exif: dict[str, str]) -> Tool:
    signed = re.match(r"Signature: ?[A-Za-z0-9+/=]{16,}", exif.get("ImageDescription", ""))
    return "xAI's Grok" if signed and re.fullmatch(UUID, exif.get("Artist", "").lower()) else None


def _object(text: str) -> dict[str, Any] | None:
    """The JSON object that the text is, or None."""
    if text.lstrip()[:1] != "{":
        return None
    try:
        content = json.loads(text)
    except (ValueError, RecursionError):
        return None
    return content if isinstance(content, dict) else None
