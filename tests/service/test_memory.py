"""All threads of the server allocate from one arena."""

import platform
import subprocess
import sys
from pathlib import Path

import pytest

# Each thread allocates a small block, which it keeps; glibc then lists its arenas as `heap`.
THREADS = """
import ctypes, sys, threading
if sys.argv[1] == "one":
    from fakeprint.service.memory import one_arena
    one_arena()
libc = ctypes.CDLL(None)
libc.malloc.restype = libc.fopen.restype = ctypes.c_void_p
meeting = threading.Barrier(4)
def allocate():
    libc.malloc(1000)
    meeting.wait()
threads = [threading.Thread(target=allocate) for _ in range(4)]
[thread.start() for thread in threads]
[thread.join() for thread in threads]
file = libc.fopen(sys.argv[2].encode(), b"w")
libc.malloc_info(0, ctypes.c_void_p(file))
libc.fclose(ctypes.c_void_p(file))
"""


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="needs glibc")
def test_threads_share_the_main_arena(tmp_path: Path) -> None:
    arenas = {}
    for how in ("one", "several"):
        subprocess.run([sys.executable, "-c", THREADS, how, str(tmp_path / how)], check=True)
        arenas[how] = (tmp_path / how).read_text().count("<heap nr=")
    assert arenas["one"] == 1
    assert arenas["several"] > 1
