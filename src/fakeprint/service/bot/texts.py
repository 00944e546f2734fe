"""What the bot says. All of it is plain text, so that no name of a class or file is taken for markup."""

from collections.abc import Sequence
from typing import Any

from fakeprint.errors import printable
from fakeprint.service.client import ApiError

MOST_TEXT = 4096  # characters of a message
MOST_CAPTION = 1024  # characters below a picture
MOST_CLASSES = 6  # probabilities that are shown

NOT_AN_IMAGE = "I can only look at images: send a photo, or better an image as a file."
PRIVATE = "This bot answers in chosen chats only, and this is not one of them."
BUSY = "The service is busy. Please send it again in a minute."
DOWN = "The service does not answer right now. Please try again in a few minutes."
BROKEN = "Something went wrong. Please try again, or try another image."
NOT_SET_UP = "The service refuses this bot, so it cannot answer. Whoever runs the bot finds the reason in its log."
NOT_FETCHED = "Telegram did not hand out this file. Please send it again."
RE_ENCODED = "Telegram has re-encoded this photo, which removes part of what the model looks at."
AS_FILE = 'For an answer about the image itself, send it "as file".'


def help_text(rate: str, max_file_mib: float) -> str:
    """/start and /help."""
    return (
        "Send me an image, and I say which generator made it, as far as the model can tell.\n\n"
        '• Best send images "as file" (paperclip → File): photos are re-encoded by Telegram, which removes part of '
        "what the model looks at.\n"
        "• An album gets one message with an answer per image.\n"
        "• In groups, mention me in the caption.\n"
        f"• Limits: {rate.replace('/', ' images per ')} and chat, {max_file_mib:g} MiB per file.\n\n"
        "/models shows the model that answers, and how accurate it is. /help shows this again.\n\n"
        "Your images go through Telegram to the service that predicts, and are not kept. An answer is a probability, "
        "not a proof."
    )


def verdict(image: dict[str, Any]) -> str:
    """The answer to one image in a few words. image: an entry of `schemas.PredictResponse.images`."""
    if image["status"] == "unreadable":
        return f"Cannot be read: {printable(image['detail'])}"
    name, score = printable(image["name"]), percent(image["score"])
    if image["answer"] == "unsure":
        return f"Unsure. Most probable: {name} ({score})"
    if image["answer"] == "unknown":
        return f"Unknown: like none of the model's classes. Nearest: {name} ({score})"
    return f"{name} ({score})"


def one_answer(image: dict[str, Any], names: Sequence[str] | None = None) -> str:
    """The answer to an image that was sent alone: verdict, reason, probabilities. names: of the classes, if known."""
    if image["status"] == "unreadable":
        return verdict(image)
    lines = [verdict(image), _sentence(image["reason"]), "", *_probabilities(image["probabilities"], names)]
    if image["set"] is not None and len(image["set"]) != 1:
        shown = _names(image["probabilities"], names)
        possible = [shown[label] for label in image["set"] if label in shown]
        lines += ["", f"Possible: {', '.join(possible) or 'none of the classes'}"]
    if image["map_note"]:
        lines += ["", f"No map: {printable(image['map_note'])}"]
    return "\n".join(lines)


def album(answers: Sequence[str]) -> str:
    """One line per image, numbered as in the album."""
    return "\n".join(f"{number}. {answer}" for number, answer in enumerate(answers, 1))


def re_encoded(model: dict[str, Any] | None) -> str:
    """The remark on photos, with what is known about the model on degraded images. model: a `schemas.Model`."""
    accuracy, worst = (model or {}).get("accuracy"), (model or {}).get("worst_degraded")
    known = []
    if worst:
        against = f", against {percent(accuracy['value'])} on images as they were" if accuracy else ""
        count = worst.get("degradations")
        measured = f"the worst of {count} that were measured" if count else "the worst that was measured"
        on = f", on {worst['images']:,} images of {printable(worst['split'])}" if worst.get("images") else ""
        known = [
            f"On degraded images ({printable(worst['degradation'])}, {measured}{on}) the model was right "
            f"in {percent(worst['value'])}{_between(worst)} of the cases{against}."
        ]
    elif accuracy:
        known = [
            f"The model's accuracy of {percent(accuracy['value'])} was measured on images as they were; what "
            "re-encoding costs is not known here."
        ]
    return " ".join([RE_ENCODED, *known, AS_FILE])


def models(listed: dict[str, Any]) -> str:
    """/models. listed: a `schemas.Models`."""
    entries = sorted(listed["models"], key=lambda model: not model["serves"])
    if not entries:
        return "The service has no model yet."
    texts = [_model(entry) for entry in entries]
    return shortened("\n\n".join(texts), MOST_TEXT)


def trouble(error: ApiError) -> str:
    """The message to a person when the API gives no answer. The details are for the log."""
    if error.status is None:
        return DOWN
    if error.status in (429, 503):
        return BUSY
    if error.status in (401, 403):
        return NOT_SET_UP
    return BROKEN if error.status >= 500 else f"The service refuses this: {printable(error.detail)}"


def too_large(size: int, max_file_mib: float) -> str:
    """The refusal of a file. size: in bytes."""
    return f"This file has {size / 2**20:.1f} MiB, but I take at most {max_file_mib:g} MiB. Please send a smaller one."


def too_many(rate: str) -> str:
    """The refusal of images over the limit of a chat."""
    return f"That is more than {rate.replace('/', ' images per ')}. Please wait a little, then send fewer at once."


def percent(share: float) -> str:
    """A share in [0, 1] as text."""
    return f"{100 * share:.1f} %"


def shortened(text: str, most: int) -> str:
    """The text, cut at `most` characters as Telegram counts them (UTF-16 units)."""
    units = text.encode("utf-16-le")
    if len(units) <= 2 * most:
        return text
    return units[: 2 * (most - 1)].decode("utf-16-le", errors="ignore") + "…"


def fits(text: str, most: int) -> bool:
    """Whether the text has at most so many characters as Telegram counts them."""
    return len(text.encode("utf-16-le")) <= 2 * most


def _model(model: dict[str, Any]) -> str:
    kind = f" ({model['model']})" if model.get("model") not in (None, model["name"]) else ""
    head = f"{'▶' if model['serves'] else '•'} {printable(model['name'] + kind)} {printable(model['version'])}"
    lines = [f"{head}, answers now" if model["serves"] else head]
    facts = [f"trained on {printable(model['data'])}"] if model.get("data") else []
    facts += [f"{len(model['classes'])} classes"] if model.get("classes") else []
    lines += [", ".join(facts)] if facts else []
    accuracy, worst = model.get("accuracy"), model.get("worst_degraded")
    if accuracy:
        lines.append(
            f"accuracy {percent(accuracy['value'])} ({percent(accuracy['low'])} to {percent(accuracy['high'])}) on "
            f"{accuracy['images']:,} images of {printable(accuracy['split'])}"
        )
    if worst:
        lines.append(f"degraded ({printable(worst['degradation'])}): {percent(worst['value'])}{_between(worst)}")
    return "\n".join(lines)


def _between(figure: dict[str, Any]) -> str:
    if figure.get("low") is None or figure.get("high") is None:
        return ""
    return f" ({percent(figure['low'])} to {percent(figure['high'])})"


def _names(probabilities: dict[str, float], names: Sequence[str] | None) -> dict[str, str]:
    """Class → its name, in the order of the model's classes."""
    shown = names if names is not None and len(names) == len(probabilities) else list(probabilities)
    return {label: printable(name) for label, name in zip(probabilities, shown, strict=True)}


def _probabilities(probabilities: dict[str, float], names: Sequence[str] | None) -> list[str]:
    shown = _names(probabilities, names)
    ranked = sorted(probabilities.items(), key=lambda pair: -pair[1])
    lines = [f"{shown[label]}: {percent(share)}" for label, share in ranked[:MOST_CLASSES]]
    rest = len(ranked) - MOST_CLASSES
    return [*lines, f"and {rest} more"] if rest > 0 else lines


def _sentence(reason: str) -> str:
    text = printable(reason)
    return f"{text[:1].upper()}{text[1:]}."
