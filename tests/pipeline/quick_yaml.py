"""DVC's reading and writing of YAML made faster, for it is most of DVC's own time; import this before DVC runs.

For every stage DVC parses params.yaml anew, and after every stage it parses and writes all of dvc.lock by a parser that
keeps comments, of which there are none. What is read and written is the same.
"""

import os
import pickle
from collections import OrderedDict
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from typing import Any

from dvc import dvcfile
from dvc.utils import strictyaml
from dvc.utils.serialize import _yaml
from ruamel.yaml import YAML
from ruamel.yaml.representer import SafeRepresenter

parse, modify = _yaml.parse_yaml, _yaml.modify_yaml


@cache
def parsed(text: str) -> bytes:
    return pickle.dumps(parse(text, "", "safe"))


def parse_once(text: str, path: Any, typ: str = "safe") -> Any:
    return pickle.loads(parsed(text)) if typ == "safe" else parse(text, path, typ)


@contextmanager
def modify_lock(path: Any, fs: Any = None) -> Iterator[Any]:
    """In the place of DVC's `modify_yaml`, and the same for all other files."""
    if os.path.basename(path) != "dvc.lock":  # noqa: PTH119 -- as DVC has it
        with modify(path, fs=fs) as content:
            yield content
        return
    yaml = YAML(typ="safe")
    yaml.default_flow_style, yaml.sort_base_mapping_type_on_output = False, False
    yaml.representer.add_representer(OrderedDict, SafeRepresenter.represent_dict)
    content = {}
    if os.path.exists(path):  # noqa: PTH110
        with open(path, encoding="utf-8") as file:  # noqa: PTH123
            content = yaml.load(file) or {}
    yield content
    with open(path, "w", encoding="utf-8") as file:  # noqa: PTH123
        yaml.dump(content, file)


_yaml.parse_yaml = strictyaml.parse_yaml = parse_once
dvcfile.modify_yaml = modify_lock
