"""What people get for what they send: the real application between two servers on this machine."""

import io

import pytest
from PIL import Image

from fakeprint.service.bot import texts
from tests.service.bot.servers import WORST, Api, BotApi, command, picture

pytestmark = pytest.mark.slow


def test_a_file_gets_verdict_reason_probabilities_and_map(telegram: BotApi, api: Api, chat: int) -> None:
    content = picture()
    message = telegram.message(chat, **telegram.document(content, "cat.png", "image/png"))
    telegram.deliver(message)
    [answer] = telegram.sent(chat)
    assert answer.method == "sendPhoto"
    assert answer.text.split("\n") == [
        "blue generator (97.1 %)",
        "0.971 is at least 0.92, from which at most 2 % of answers are wrong (95 % confidence).",
        "",
        "blue generator: 97.1 %",
        "camera: 2.0 %",
        "red generator: 0.9 %",
    ]
    assert answer.parameters["reply_parameters"]["message_id"] == message["message_id"]
    [shown] = answer.files.values()
    assert Image.open(io.BytesIO(shown)).format == "PNG"
    [asked] = api.asked
    assert asked == {"files": [("cat.png", content)], "explain": True, "key": "Bearer fp_secret"}


def test_a_photo_is_marked_as_re_encoded(telegram: BotApi, api: Api, chat: int) -> None:
    content = picture("JPEG")
    telegram.deliver(telegram.message(chat, **telegram.photo(content)))
    [answer] = telegram.sent(chat)
    assert answer.text.endswith(
        "\n\nTelegram has re-encoded this photo, which removes part of what the model looks at. The model's accuracy "
        "of 94.5 % was measured on images as they were; what re-encoding costs is not known here. For an answer about "
        'the image itself, send it "as file".'
    )
    assert api.asked[0]["files"] == [("photo.jpg", content)]  # the largest of its sizes


def test_a_photo_gets_the_figure_for_degraded_images(telegram: BotApi, api: Api, chat: int) -> None:
    api.model = api.model.model_copy(update={"worst_degraded": WORST, "digest": "e" * 64})
    telegram.deliver(telegram.message(chat, **telegram.photo(picture("JPEG"))))
    [answer] = telegram.sent(chat)
    assert (
        "On degraded images (jpeg_50, the worst that was measured) the model was right in 86.2 % (84.2 % to 88.1 %) of "
        "the cases, against 94.5 % on images as they were." in answer.text
    )


@pytest.mark.parametrize(
    ("given", "first", "more"),
    [
        (
            {"answer": "unsure", "score": 0.6, "reason": "0.6 is below 0.92", "set": ["1", "0"]},
            "Unsure. Most probable: blue generator (60.0 %)",
            "Possible: blue generator, camera",
        ),
        (
            {"answer": "unknown", "set": []},
            "Unknown: like none of the model's classes. Nearest: blue generator (97.1 %)",
            "Possible: none of the classes",
        ),
        (
            {"map": None, "map_note": "this model has no maps"},
            "blue generator (97.1 %)",
            "No map: this model has no maps",
        ),
    ],
)
def test_other_answers(telegram: BotApi, api: Api, chat: int, given: dict, first: str, more: str) -> None:
    api.given = given
    telegram.deliver(telegram.message(chat, **telegram.document(picture(), "a.png", "image/png")))
    [answer] = telegram.sent(chat)
    assert answer.text.startswith(f"{first}\n")
    assert answer.text.endswith(f"\n\n{more}")
    assert answer.method == ("sendMessage" if "map_note" in given else "sendPhoto")


def test_an_album_gets_one_message(telegram: BotApi, api: Api, chat: int) -> None:
    group = {"media_group_id": f"album{chat}"}
    contents = [picture(seed=1), picture("JPEG", seed=2), b"no image", picture(seed=3)]
    shown = [
        telegram.document(contents[0], "a.png", "image/png"),
        telegram.photo(contents[1]),
        telegram.document(contents[2], "c.png", "image/png"),
        telegram.document(contents[3], "d.txt", "text/plain"),
    ]
    first, *others = (telegram.message(chat, **content, **group) for content in shown)
    telegram.deliver(*reversed(others), first)  # Telegram promises no order
    [answer] = telegram.sent(chat)
    assert answer.method == "sendMediaGroup"
    assert len(answer.files) == 2
    assert answer.text.split("\n")[:5] == [
        "1. blue generator (97.1 %)",
        "2. blue generator (97.1 %)",
        "3. Cannot be read: damaged: not an image",
        f"4. {texts.NOT_AN_IMAGE}",
        "",
    ]
    assert "Telegram has re-encoded this photo" in answer.text
    assert sorted(content for asked in api.asked for _, content in asked["files"]) == sorted(contents[:3])
    telegram.deliver(telegram.message(chat, **command("/help")))
    assert len(telegram.sent(chat, 2)) == 2  # and nothing in between


def test_a_file_that_is_not_read_is_refused_in_one_line(telegram: BotApi, api: Api, chat: int) -> None:
    documents = [
        telegram.document(b"x", "huge.png", "image/png", size=21 * 2**20),
        telegram.document(b"x", "a.pdf", "application/pdf"),
        telegram.document(b"x", "a.png", "image/png"),
    ]
    answers = []
    for number, document in enumerate(documents, 1):
        telegram.deliver(telegram.message(chat, **document))
        answers.append(telegram.sent(chat, number)[-1].text)
    assert answers == [
        "This file has 21.0 MiB, but I take at most 20 MiB. Please send a smaller one.",
        "I can only look at images: send a photo, or better an image as a file.",
        "Cannot be read: damaged: not an image",
    ]
    assert [asked["files"] for asked in api.asked] == [[("a.png", b"x")]]


def test_a_file_that_is_larger_than_the_message_says(telegram: BotApi, api: Api, chat: int) -> None:
    document = telegram.document(b"x", "a.png", "image/png", size=30 * 2**20)
    del document["document"]["file_size"]
    telegram.deliver(telegram.message(chat, **document))
    assert (
        telegram.sent(chat)[0].text == "This file has 30.0 MiB, but I take at most 20 MiB. Please send a smaller one."
    )
    assert api.asked == []


def test_a_file_that_telegram_does_not_hand_out(telegram: BotApi, api: Api, chat: int) -> None:
    telegram.failures["getFile"] = [{"error_code": 400, "description": "Bad Request: file is temporarily unavailable"}]
    telegram.deliver(telegram.message(chat, **telegram.document(picture(), "a.png", "image/png")))
    assert telegram.sent(chat)[0].text == texts.NOT_FETCHED


@pytest.mark.parametrize(
    ("refusal", "text"),
    [
        ((503, "4,096 images wait; try again later"), texts.BUSY),
        ((429, "rate limit"), texts.BUSY),
        ((401, "unknown API key"), texts.NOT_SET_UP),
        ((403, "the API key 'bot' lacks the scope 'predict'"), texts.NOT_SET_UP),
        ((413, "the body is larger than 64 MiB"), "The service refuses this: the body is larger than 64 MiB"),
        ((500, "internal error"), texts.BROKEN),
    ],
)
def test_the_api_refuses(telegram: BotApi, api: Api, chat: int, refusal: tuple[int, str], text: str) -> None:
    api.refusal = refusal
    telegram.deliver(telegram.message(chat, **telegram.document(picture(), "a.png", "image/png")))
    assert telegram.sent(chat)[0].text == text
    telegram.deliver(telegram.message(chat, **command("/models")))
    assert telegram.sent(chat, 2)[1].text == text


def test_an_album_that_the_api_refuses_gets_one_line(telegram: BotApi, api: Api, chat: int) -> None:
    api.refusal = (503, "busy")
    document = telegram.document(picture(), "a.png", "image/png")
    telegram.deliver(*(telegram.message(chat, **document, media_group_id=f"album{chat}") for _ in range(3)))
    assert telegram.sent(chat)[0].text == texts.BUSY


def test_images_per_minute_and_chat(telegram: BotApi, api: Api, chat: int) -> None:
    document = telegram.document(picture(), "a.png", "image/png")
    for number in (1, 2):  # 8 of the 12 images, then more than are left
        group = {"media_group_id": f"album{chat}{number}"}
        telegram.deliver(*(telegram.message(chat, **document, **group) for _ in range(8 if number == 1 else 5)))
        telegram.sent(chat, number)
    assert telegram.sent(chat, 2)[1].text == texts.too_many("12/minute")
    assert "12 images per minute" in texts.too_many("12/minute")
    telegram.deliver(
        *(telegram.message(chat, **document) for _ in range(7))
    )  # four are answered, no refusal is repeated
    telegram.deliver(telegram.message(chat + 500_000, **document))
    telegram.sent(chat, 6)
    telegram.sent(chat + 500_000)
    assert len(telegram.sent(chat)) == 6
    assert len(api.asked) == 8 + 4 + 1


def test_commands_and_other_messages(telegram: BotApi, api: Api, chat: int) -> None:
    sent = [
        command("/start"),
        {"text": "hello"},
        command("/wrong"),
        {"voice": {"file_id": "v", "file_unique_id": "v", "duration": 1}},
    ]
    answers = []
    for number, content in enumerate(sent, 1):
        telegram.deliver(telegram.message(chat, **content))
        answers.append(telegram.sent(chat, number)[-1].text)
    assert answers[0] == answers[1] == answers[2] == texts.help_text("12/minute", 20.0)
    assert 'send images "as file"' in answers[0] and "12 images per minute and chat, 20 MiB per file" in answers[0]
    assert answers[3] == texts.NOT_AN_IMAGE


def test_models(telegram: BotApi, api: Api, chat: int) -> None:
    api.model = api.model.model_copy(update={"worst_degraded": WORST})
    telegram.deliver(telegram.message(chat, **command("/models")))
    assert telegram.sent(chat)[0].text.split("\n") == [
        "▶ champion (trace_net) 3, answers now",
        "trained on a small data set, 3 classes",
        "accuracy 94.5 % (93.1 % to 95.6 %) on 1,250 images of validation",
        "degraded (jpeg_50): 86.2 % (84.2 % to 88.1 %)",
    ]


def test_models_that_little_is_known_of(telegram: BotApi, api: Api, chat: int) -> None:
    unknown = {"classes": None, "names": None, "data": None, "accuracy": None, "serves": False, "digest": None}
    api.model = api.model.model_copy(update=unknown)
    telegram.deliver(telegram.message(chat, **command("/models")))
    assert telegram.sent(chat)[0].text == "• champion (trace_net) 3"


def test_a_group_is_answered_where_the_caption_mentions_the_bot(telegram: BotApi, api: Api, chat: int) -> None:
    document = telegram.document(picture(), "a.png", "image/png")
    mention = {"caption": "@Fakeprint_bot?", "caption_entities": [{"type": "mention", "offset": 0, "length": 14}]}
    album = {"media_group_id": f"album{chat}"}
    telegram.deliver(telegram.message(chat, group=True, **document))
    telegram.deliver(telegram.message(chat, group=True, text="hello"))
    telegram.deliver(telegram.message(chat, group=True, **document, **mention, **album))
    telegram.deliver(telegram.message(chat, group=True, **document, **album))
    [answer] = telegram.sent(chat)
    assert answer.method == "sendMediaGroup"
    assert len(api.asked) == 2


def test_commands_in_a_group_are_answered_unless_they_name_another_bot(telegram: BotApi, api: Api, chat: int) -> None:
    for text in ("/help@other_bot", "/models", "/models@Fakeprint_bot"):
        telegram.deliver(telegram.message(chat, group=True, **command(text)))
    assert [answer.text[:10] for answer in telegram.sent(chat, 2)] == ["▶ champion"] * 2


def test_a_map_that_telegram_refuses_is_sent_as_a_file(telegram: BotApi, api: Api, chat: int) -> None:
    telegram.failures["sendPhoto"] = [{"error_code": 400, "description": "Bad Request: PHOTO_INVALID_DIMENSIONS"}]
    telegram.deliver(telegram.message(chat, **telegram.document(picture(), "a.png", "image/png")))
    [answer] = telegram.sent(chat)
    assert answer.method == "sendDocument"
    assert answer.text.startswith("blue generator (97.1 %)")


def test_maps_of_an_album_that_telegram_refuses_are_left_out(telegram: BotApi, api: Api, chat: int) -> None:
    telegram.failures["sendMediaGroup"] = [{"error_code": 400, "description": "Bad Request: IMAGE_PROCESS_FAILED"}]
    document = telegram.document(picture(), "a.png", "image/png")
    telegram.deliver(*(telegram.message(chat, **document, media_group_id=f"album{chat}") for _ in range(2)))
    [answer] = telegram.sent(chat)
    assert answer.method == "sendMessage"
    assert answer.text.endswith("Telegram does not take the maps.")


def test_the_bot_waits_when_telegram_asks_to(telegram: BotApi, api: Api, chat: int) -> None:
    asks = {"error_code": 429, "description": "Too Many Requests: retry after 1", "parameters": {"retry_after": 1}}
    telegram.failures["sendPhoto"] = [asks]
    telegram.deliver(telegram.message(chat, **telegram.document(picture(), "a.png", "image/png")))
    [answer] = telegram.sent(chat)
    assert answer.method == "sendPhoto"


def test_a_long_answer_is_a_message_of_its_own(telegram: BotApi, api: Api, chat: int) -> None:
    api.given = {"reason": "because " * 200}
    telegram.deliver(telegram.message(chat, **telegram.document(picture(), "a.png", "image/png")))
    text, shown = telegram.sent(chat, 2)
    assert (text.method, shown.method, shown.text) == ("sendMessage", "sendPhoto", "")
    assert "because because" in text.text


def test_an_unexpected_error_is_reported(telegram: BotApi, api: Api, chat: int) -> None:
    api.given = {"map": "x"}
    telegram.deliver(telegram.message(chat, **telegram.document(picture(), "a.png", "image/png")))
    assert telegram.sent(chat)[0].text == texts.BROKEN
