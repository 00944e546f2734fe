"""Puts the pipeline's files into the wheel, beside the package: setuptools' own package data must lie inside it."""

import shutil
import tomllib
from pathlib import Path

from setuptools import setup
from setuptools.command.build_py import build_py


class BuildWithPipeline(build_py):
    """Copies what `tool.fakeprint.pipeline` names to fakeprint/pipeline. An editable install reads the repository."""

    def run(self) -> None:
        """Build as usual, then copy."""
        super().run()
        if self.editable_mode:
            return
        names = tomllib.loads(Path("pyproject.toml").read_text(encoding="utf-8"))["tool"]["fakeprint"]["pipeline"]
        for name in names:
            target = Path(self.build_lib, "fakeprint", "pipeline", name)
            target.parent.mkdir(parents=True, exist_ok=True)
            if Path(name).is_dir():
                shutil.copytree(name, target, ignore=shutil.ignore_patterns("__pycache__"), dirs_exist_ok=True)
            else:
                shutil.copy2(name, target)


setup(cmdclass={"build_py": BuildWithPipeline})
