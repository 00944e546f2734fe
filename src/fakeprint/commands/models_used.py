"""Options that commands with a model share: --device and --models-folder."""

import argparse
import re
from pathlib import Path

from fakeprint.errors import InputError

DEVICES = r"auto|cpu|mps|cuda(:\d+)?"


def add_device(parser: argparse.ArgumentParser) -> None:
    """Add the option --device."""
    parser.add_argument(
        "--device", default="auto", metavar="DEVICE", help="where networks run: auto (default), cpu, cuda, cuda:N, mps"
    )


def require_device(device: str) -> None:
    """Raise InputError for what is no name of a device. Whether there is such a device is not checked."""
    if not re.fullmatch(DEVICES, device):
        raise InputError(f"--device: '{device}' is unknown; known: auto, cpu, cuda, cuda:N, mps")


def add_models_folder(parser: argparse.ArgumentParser) -> None:
    """Add the option --models-folder."""
    parser.add_argument(
        "--models-folder",
        type=Path,
        default=Path("models"),
        metavar="FOLDER",
        help="folder with the trained models (default: models)",
    )
