"""The tables, opened by several processes at once, and written by one at a time."""

import os
import subprocess
import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from sqlalchemy import func, select
from sqlalchemy.orm import Session

from fakeprint.service.settings import Settings
from fakeprint.service.tables import Key, connect, now, writing

# Opens the tables of the folder that the environment names, and prints how many keys there are.
OPENING = """
from fakeprint.service.access import list_keys
from fakeprint.service.settings import Settings
from fakeprint.service.tables import connect
print(len(list_keys(connect(Settings()))))
"""


@pytest.mark.slow
def test_processes_may_create_the_tables_at_once(tmp_path: Path) -> None:
    processes = [
        subprocess.Popen(
            [sys.executable, "-c", OPENING],
            env={**os.environ, "FAKEPRINT_FOLDER": str(tmp_path / str(number // 3))},
            stdout=subprocess.PIPE,
        )
        for number in range(9)
    ]
    assert [process.communicate(timeout=120)[0].strip() for process in processes] == [b"0"] * 9


def test_what_was_read_inside_writing_is_still_so(tmp_path: Path) -> None:
    engine = connect(Settings(folder=tmp_path))
    together = threading.Barrier(8)

    def add(number: int) -> None:
        together.wait()
        with writing(engine) as session:
            known = session.scalar(select(func.count()).select_from(Key))
            session.add(Key(name=f"key {known}", hash=str(number), scopes="fit", created=now()))

    with ThreadPoolExecutor(8) as pool:
        list(pool.map(add, range(8)))
    with Session(engine) as session:
        assert sorted(session.scalars(select(Key.name))) == [f"key {number}" for number in range(8)]
