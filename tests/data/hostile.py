"""Files that no honest tool writes, and what reading them costs."""

import bz2
import json
import lzma
import os
import struct
import subprocess
import sys
import zlib
from pathlib import Path
from typing import Any

CENTRAL = "<4s4B4HL2L5H2L"
LOCAL = "<4s2B4HL2L2H"


def zeros_deflated(mebibytes: int, wbits: int = -15) -> bytes:
    """So many MiB of zeros as a deflate stream; after a full flush the same block can follow any number of times."""
    packer = zlib.compressobj(9, zlib.DEFLATED, -15)
    block = packer.compress(bytes(2**20)) + packer.flush(zlib.Z_FULL_FLUSH)
    stream = block * mebibytes + zlib.compressobj(9, zlib.DEFLATED, -15).flush()
    return stream if wbits == -15 else b"\x1f\x8b\x08\0\0\0\0\0\0\xff" + stream


def zeros_lzma(mebibytes: int) -> bytes:
    """So many MiB of zeros as zip wants LZMA."""
    packed = lzma.compress(bytes(mebibytes * 2**20), lzma.FORMAT_ALONE, preset=0)
    return b"\x09\x04\x05\0" + packed[:5] + packed[13:]


def zeros_bzip2(mebibytes: int) -> bytes:
    """So many MiB of zeros."""
    return bz2.compress(bytes(mebibytes * 2**20))


def write_zip(path: Path, members: dict[str, tuple[int, bytes, int, int]]) -> Path:
    """Write a .zip with these directory entries: name → method, packed bytes, length and CRC-32."""
    directory = b""
    with path.open("wb") as file:
        for name, (method, packed, size, crc) in members.items():
            offset, raw = file.tell(), name.encode()
            file.write(struct.pack(LOCAL, b"PK\3\4", 20, 0, 0, method, 0, 33, crc, len(packed), size, len(raw), 0))
            file.write(raw + packed)
            head = (b"PK\1\2", 20, 3, 20, 0, 0, method, 0, 33, crc, len(packed), size, len(raw), 0, 0, 0, 0, 0, offset)
            directory += struct.pack(CENTRAL, *head) + raw
        start = file.tell()
        file.write(directory)
        file.write(struct.pack("<4s4H2LH", b"PK\5\6", 0, 0, len(members), len(members), len(directory), start, 0))
    return path


def in_new_process(code: str, *arguments: object) -> tuple[Any, float]:
    """What `code` leaves in `result`, and by how many MiB its work raised the memory of a process of its own.

    `before()` in it says where the work begins. The kernel's VmHWM is the peak of this process alone; ru_maxrss would
    start at that of the process that forked it.
    """
    frame = f"""
import json, sys
def high_water():
    lines = open("/proc/self/status").read().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith("VmHWM")) / 1024
def before():
    global start
    start = high_water()
{code}
print(json.dumps([result, high_water() - start]))
"""
    words = [sys.executable, "-c", frame, *map(str, arguments)]
    done = subprocess.run(words, capture_output=True, text=True, timeout=60, env=os.environ)
    assert done.returncode == 0, done.stderr
    result, mebibytes = json.loads(done.stdout)
    return result, mebibytes
