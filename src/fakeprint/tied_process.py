"""Runs a module, and dies with who started it: `python tied_process.py MODULE ARGUMENT…`, stdin a pipe.

Who starts it keeps the other end of the pipe. When that process ends, however it ends, the pipe closes, and this one
kills its whole group: DVC, the stage and what the stage started. It is started as the first of a group of its own, and
imports nothing of the package, so that it starts at once.
"""

import os
import signal
import subprocess
import sys
import threading


def _end_with_the_starter() -> None:
    while os.read(0, 1):
        pass
    os.killpg(0, signal.SIGKILL)


def main() -> None:
    """Run the module and exit with its status, as a shell tells it: 128 and the number of the signal that ended it."""
    threading.Thread(target=_end_with_the_starter, daemon=True).start()
    command = [sys.executable, "-m", *sys.argv[1:]]
    status = subprocess.run(command, stdin=subprocess.DEVNULL).returncode
    sys.exit(status if status >= 0 else 128 - status)


if __name__ == "__main__":
    main()
