"""One file per stage: read params, call fakeprint, write outputs."""

import os
import sys

# OpenMP threads spin while they wait for each other. Where other work shares the cores (two queue workers, say), that
# made training four times slower than letting them sleep. Read when torch or scikit-learn load it, so set before them.
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")

# OpenBLAS adds in another order when its threads meet a busy core: the last digits of a fit would then differ.
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")

WRONG_PYTHON = "error: `python` is %s, which %s: activate Fakeprint's environment first, `. .venv/bin/activate`"


def _in_one_line(kind, error, traceback):  # type: ignore[no-untyped-def]  # old versions of Python read this file too
    """Say which Python runs where a package is missing, instead of a traceback."""
    package = (error.name or "").split(".")[0] if isinstance(error, ModuleNotFoundError) else ""
    if package in ("", "fakeprint", "stages"):
        sys.__excepthook__(kind, error, traceback)
    else:
        print(WRONG_PYTHON % (sys.executable, "lacks the package %s" % package), file=sys.stderr)  # noqa: UP031


if sys.version_info < (3, 11):  # noqa: UP036
    sys.exit(WRONG_PYTHON % (sys.executable, "is older than 3.11"))
sys.excepthook = _in_one_line
