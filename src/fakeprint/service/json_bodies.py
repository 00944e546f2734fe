"""How much a JSON body holds, counted before anything is built of it: few bytes can become an object of hundreds."""

import re
from itertools import islice

# A string (also one that never ends: it is passed over once), or what begins or separates values.
_PART = re.compile(rb'"[^"\\]*+(?:\\.[^"\\]*+)*+"?+|[,\[{]', re.DOTALL)


def holds_more(body: bytes, most: int) -> bool:
    """Whether there are more than `most` strings, commas, `[` and `{` in it, wherever they are.

    Whatever is built of a body with few of them takes little more memory than the body itself.
    """
    return sum(1 for _ in islice(_PART.finditer(body), most + 1)) > most
