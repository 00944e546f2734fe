"""Runs a module that is told to end when standard input closes: `python -m fakeprint.until_eof MODULE ARGUMENT…`.

Who starts it keeps the other end of the pipe, which closes when that process ends, however it ends. The module runs in
this process and gets SIGTERM then, so that it ends as it does when it is stopped. `tied_process` kills instead.
"""

import os
import runpy
import signal
import sys
import threading


def _stop_at_eof() -> None:
    while os.read(0, 1024):
        pass
    os.kill(os.getpid(), signal.SIGTERM)


def main() -> None:
    """Run the module as `python -m` does."""
    threading.Thread(target=_stop_at_eof, daemon=True).start()
    sys.argv = sys.argv[1:]
    runpy.run_module(sys.argv[0], run_name="__main__", alter_sys=True)


if __name__ == "__main__":
    main()
