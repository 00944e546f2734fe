"""Runs `dvc repro` in the folder that it is started in, and dies with who started it: `python runner.py`, stdin a pipe.

The worker keeps the other end of the pipe. When the worker ends, however it ends, the pipe closes, and this process
kills its whole group: DVC, the stage and what the stage started. It is started as the first of a group of its own.
It imports nothing of the package, so that it starts at once.
"""

import os
import signal
import subprocess
import sys
import threading


def _end_with_the_worker() -> None:
    while os.read(0, 1):
        pass
    os.killpg(0, signal.SIGKILL)


def main() -> None:
    """Run DVC and exit with its status."""
    threading.Thread(target=_end_with_the_worker, daemon=True).start()
    command = [sys.executable, "-m", "dvc", *sys.argv[1:]]
    sys.exit(subprocess.run(command, stdin=subprocess.DEVNULL).returncode != 0)


if __name__ == "__main__":
    main()
