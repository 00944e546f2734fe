"""Write what each image installs, from pyproject.toml and requirements.lock.

    python containers/requirements.py FOLDER

The lock pins torch as the default index has it for Linux, with CUDA (about 5 GB). Images take PyTorch's CPU files of
the same versions instead, from PyTorch's own index; everything else is checked against the hashes in the lock.

    tools.txt       what installs and builds, with hashes
    torch.txt       torch and torchvision, the versions alone: the CPU files' hashes are not in the lock
    locked.txt      constraints with hashes: the lock without torch and what only its CUDA build needs
    service.txt     the package's own requirements, with the extras of the API, the worker and MLflow's server
    app.txt, bot.txt  the extras alone: the app and the bot talk to the API and need nothing else
"""

import re
import sys
import tomllib
from pathlib import Path

TOOLS = ("setuptools", "uv")
TORCH = ("torch", "torchvision")
CUDA = ("triton", "nvidia-", "cuda-")
SERVICE = ("service", "postgres", "explain", "evidence")


def blocks(lock: str) -> dict[str, str]:
    """Package → its lines in the lock: the version, then the hashes."""
    found = re.findall(r"^([a-z0-9][a-z0-9._-]*)==.*(?:\n[ \t].*)*", lock, re.MULTILINE)
    starts = [match.start() for match in re.finditer(r"^[a-z0-9]", lock, re.MULTILINE)]
    return {name: lock[start:end] for name, start, end in zip(found, starts, [*starts[1:], None], strict=True)}


def write(lock: str, project: dict, folder: Path) -> None:
    """Write the files. lock: the text of requirements.lock. project: pyproject.toml's table of that name."""
    locked, extras = blocks(lock), project["optional-dependencies"]
    versions = [locked[name].split()[0] for name in TORCH]
    contents = {
        "tools": [locked[name] for name in TOOLS],
        "torch": versions,
        "locked": [block for name, block in locked.items() if name not in TORCH and not name.startswith(CUDA)],
        "service": [*project["dependencies"], *(line for extra in SERVICE for line in extras[extra])],
        "app": extras["app"],
        "bot": extras["bot"],
    }
    folder.mkdir(parents=True, exist_ok=True)
    for name, lines in contents.items():
        (folder / f"{name}.txt").write_text("".join(f"{line.rstrip()}\n" for line in lines), encoding="utf-8")


if __name__ == "__main__":
    pyproject = tomllib.loads(Path("pyproject.toml").read_text(encoding="utf-8"))
    write(Path("requirements.lock").read_text(encoding="utf-8"), pyproject["project"], Path(sys.argv[1]))
