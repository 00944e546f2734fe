"""Albums: Telegram sends each image of one as a message of its own, and does not say how many come."""

import asyncio

from fakeprint.service.bot.received import Received

MOST = 10  # images of an album


class Albums:
    """Collects the images of albums. seconds: an album is complete when nothing more came for so long."""

    def __init__(self, seconds: float) -> None:
        self._seconds = seconds
        self._open: dict[tuple[int, str], list[Received]] = {}

    async def whole(self, image: Received) -> list[Received] | None:
        """Wait for the album of an image.

        Returns:
            All images of the album in the order of the messages, to the caller that brought the first one; None to the
            others. An image without an album is one of its own.
        """
        if image.message.media_group_id is None:
            return [image]
        key = (image.message.chat_id, image.message.media_group_id)
        if key in self._open:
            self._open[key].append(image)
            return None
        images = self._open[key] = [image]
        try:
            seen = 0
            while seen < len(images) < MOST:
                seen = len(images)
                await asyncio.sleep(self._seconds)
        finally:
            del self._open[key]
        return sorted(images, key=lambda each: each.message.message_id)
