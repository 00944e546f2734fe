"""Stands in for `python`: `-m MODULE …` runs in a fork of preloaded.py, which listens in FOLDER, all else in Python.

Called as `python -IS preloaded_client.py FOLDER WORD …`.
FAKEPRINT_OWN: a folder. Each module of `stages` runs in a Python of its own the first time, and is noted there.
"""

import contextlib
import json
import os
import socket
import sys

place, *words = sys.argv[1:]
own = os.environ.get("FAKEPRINT_OWN")
first = False
if own and words[:1] == ["-m"] and words[1].startswith("stages."):
    with contextlib.suppress(FileExistsError):
        os.mkdir(f"{own}/{words[1]}")  # noqa: PTH102
        first = True
if first or words[:1] != ["-m"]:
    os.execv(sys.executable, [sys.executable, *words])
os.environ["FAKEPRINT_GROUP"] = str(os.getpgid(0))  # whom sitecustomize.py kills: the fork has a group of its own
call = json.dumps({"words": words[1:], "folder": os.getcwd(), "environment": dict(os.environ)}).encode()  # noqa: PTH109
with socket.socket(socket.AF_UNIX) as server:
    os.chdir(place)  # the address of a socket has to be short
    server.connect("socket")
    socket.send_fds(server, [len(call).to_bytes(4, "big")], [0, 1, 2])
    server.sendall(call)
    status = int(server.recv(16))
if status < 0:
    os.kill(os.getpid(), -status)
sys.exit(status)
