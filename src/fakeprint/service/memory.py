"""Where the server's threads allocate."""

import ctypes
import platform
import sys

_M_ARENA_MAX = -8  # malloc.h


def one_arena() -> None:
    """Let all threads of this process allocate from glibc's main arena. Call it before they start.

    A thread's own arena holds no block above 64 MiB: a forward pass in a thread then gets each big tensor from the
    system and gives it back, which took a third of the time. Without glibc nothing happens.
    """
    if sys.platform == "linux" and platform.libc_ver()[0] == "glibc":
        ctypes.CDLL(None).mallopt(_M_ARENA_MAX, 1)
