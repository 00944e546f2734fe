"""How many images a chat may send."""

from limits import parse
from limits.storage import MemoryStorage
from limits.strategies import MovingWindowRateLimiter


class Rates:
    """Counts images per chat over a moving window, in this process's memory. rate: as 20/minute."""

    def __init__(self, rate: str) -> None:
        self._rate = parse(rate)
        self._limiter = MovingWindowRateLimiter(MemoryStorage())

    def admits(self, chat: int, images: int) -> bool:
        """Whether so many images more are within the limit. They are counted only then."""
        return self._limiter.hit(self._rate, "images", str(chat), cost=images)

    def is_first_refusal(self, chat: int) -> bool:
        """Whether this is the chat's first refusal in the time window; only that one is answered with a message."""
        once = type(self._rate)(1, self._rate.multiples)
        return self._limiter.hit(once, "refusals", str(chat))
