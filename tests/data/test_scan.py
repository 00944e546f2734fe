from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from fakeprint.data import scan as module
from fakeprint.data.containers import open_container
from fakeprint.data.scan import scan, scan_image


@pytest.mark.parametrize("bad", [(), (0,), (3, 4, 10), tuple(range(11))])
def test_the_arrays_hold_what_each_image_gives_and_the_others_have_a_reason(
    tmp_path: Path, save: Callable[..., Path], monkeypatch: pytest.MonkeyPatch, bad: tuple[int, ...]
) -> None:
    monkeypatch.setattr(module, "AT_ONCE", 2)
    for number in range(11):
        save(tmp_path / f"{number:02}.png", number)
    for number in bad:
        (tmp_path / f"{number:02}.png").write_bytes(b"")
    names = [f"{number:02}.png" for number in range(11)]
    found, reasons = scan(open_container(tmp_path), [*names, "lost.png"], 10**6, 1)
    assert reasons == {**dict.fromkeys(bad, "empty"), 11: "missing"}
    wanted = [scan_image((tmp_path / name).read_bytes(), 0, 10**6) for n, name in enumerate(names) if n not in bad]
    assert len(found) == len(wanted)
    assert found.facts == [each.facts for each in wanted]
    for row, each in enumerate(wanted):
        assert found.pixels[row].tobytes() == each.pixels
        assert found.phashes[row].tobytes() == each.phash
        assert np.array_equal(found.thumbnails[row], each.thumbnail)
        assert np.array_equal(found.sums[row], each.sums)
        assert np.array_equal(found.traces[row], each.traces)
    assert set(found.traces) == set(range(len(wanted)))
