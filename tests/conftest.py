"""Before torch loads: where child processes find the package, and no threads in the way of the other test process."""

import os
from pathlib import Path

os.environ["PYTHONPATH"] = str(Path(__file__).parents[1] / "src")
os.environ.pop("PYTHONDONTWRITEBYTECODE", None)  # every child process would compile what it imports
os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
