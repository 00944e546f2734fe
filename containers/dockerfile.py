"""Reads a Dockerfile: its stages, and what an image of one is configured to run."""

import json
import re
import shlex
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import NamedTuple

KNOWN = (
    "ARG",
    "CMD",
    "COPY",
    "ENTRYPOINT",
    "ENV",
    "EXPOSE",
    "FROM",
    "HEALTHCHECK",
    "RUN",
    "USER",
    "WORKDIR",
)


class Instruction(NamedTuple):
    """One instruction: its name in capitals, and the rest with continued lines joined."""

    name: str
    rest: str

    @property
    def words(self) -> list[str]:
        """The rest as words; the elements where it is a JSON list."""
        return json.loads(self.rest) if self.rest.startswith("[") else shlex.split(self.rest)


class Copy(NamedTuple):
    """COPY. stage: where the sources are; None for the build context."""

    stage: str | None
    sources: list[str]
    destination: str


@dataclass(frozen=True)
class Stage:
    """A stage. base: the stage or image that it starts from, with arguments in place."""

    name: str
    base: str
    instructions: list[Instruction] = field(default_factory=list)

    @property
    def copies(self) -> list[Copy]:
        """Its COPY instructions."""
        return [copy(each) for each in self.instructions if each.name == "COPY"]


@dataclass
class Config:
    """What an image starts: environment, user (UID:GID), working folder, entry point and command."""

    environment: dict[str, str] = field(default_factory=dict)
    user: str = "0:0"
    folder: str = "/"
    entrypoint: list[str] = field(default_factory=list)
    command: list[str] = field(default_factory=list)
    health: list[str] = field(default_factory=list)
    ports: list[int] = field(default_factory=list)


def parse(text: str, arguments: Mapping[str, str] | None = None) -> dict[str, Stage]:
    """Name → stage, in order.

    Args:
        text: of the Dockerfile.
        arguments: values of ARG instead of the defaults.

    Raises:
        ValueError: an instruction that is not known here.
    """
    stages: dict[str, Stage] = {}
    outer: dict[str, str] = {}
    for instruction in _instructions(text):
        if instruction.name == "FROM":
            base, _, name = expanded(instruction.rest, outer).partition(" AS ")
            stages[name.strip()] = Stage(name.strip(), base.strip())
        elif stages:
            list(stages.values())[-1].instructions.append(instruction)
        elif instruction.name == "ARG":
            outer |= argument(instruction, arguments or {})
    return stages


def chain(stages: Mapping[str, Stage], name: str) -> list[Stage]:
    """A stage and those that it starts from, the first one first."""
    stage = stages[name]
    return [*(chain(stages, stage.base) if stage.base in stages else []), stage]


def config(stages: Mapping[str, Stage], name: str) -> Config:
    """What an image of a stage starts."""
    found = Config()
    for instruction in (each for stage in chain(stages, name) for each in stage.instructions):
        configure(found, instruction)
    return found


def configure(found: Config, instruction: Instruction) -> None:
    """Enter an instruction that configures the image. As in an engine, a new entry point forgets the command."""
    kind, words = instruction.name, instruction.rest
    if kind == "ENV":
        found.environment |= dict(pair.split("=", 1) for pair in shlex.split(expanded(words, found.environment)))
    elif kind == "USER":
        found.user = words if ":" in words else f"{words}:{words}"
    elif kind == "WORKDIR":
        found.folder = words
    elif kind == "EXPOSE":
        found.ports = [int(port) for port in instruction.words]
    elif kind == "ENTRYPOINT":
        found.entrypoint, found.command = instruction.words, []
    elif kind == "CMD":
        found.command = instruction.words
    elif kind == "HEALTHCHECK":
        _, _, command = words.partition("CMD")
        found.health = json.loads(command) if command else []


def copy(instruction: Instruction) -> Copy:
    """Read a COPY."""
    options = [word for word in instruction.words if word.startswith("--")]
    *sources, destination = [word for word in instruction.words if not word.startswith("--")]
    stage = next((option.removeprefix("--from=") for option in options if option.startswith("--from=")), None)
    return Copy(stage, sources, destination)


def argument(instruction: Instruction, given: Mapping[str, str]) -> dict[str, str]:
    """Read an ARG: its name, and the value given or the default."""
    name, _, default = instruction.rest.partition("=")
    return {name: given.get(name, " ".join(shlex.split(default)))}


def expanded(text: str, variables: Mapping[str, str]) -> str:
    """The text with $NAME and ${NAME} replaced, where known."""
    return re.sub(r"\$\{?(\w+)\}?", lambda match: variables.get(match[1], match[0]), text)


def _instructions(text: str) -> list[Instruction]:
    lines = "\n".join(line for line in text.splitlines() if not line.lstrip().startswith("#"))
    found = []
    for line in lines.replace("\\\n", " ").splitlines():
        if line.strip():
            name, _, rest = line.strip().partition(" ")
            if name not in KNOWN:
                raise ValueError(f"the Dockerfile has an instruction {name}, which is not known here")
            found.append(Instruction(name, rest.strip()))
    return found
