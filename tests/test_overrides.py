"""`-S KEY=VALUE` with Hydra and without it: the same where both read it, and one line where only Hydra can."""

import sys

import pytest

from fakeprint.errors import InputError
from fakeprint.overrides import Override, parsed_override


@pytest.fixture
def without_hydra(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "hydra.core.override_parser.overrides_parser", None)


PLAIN = [
    *("seed=8", "model.dropout=0.3", "train.lr=1e-3", "train.lr=.5", "train.lr=1.", "train.lr=-2.5E+3", "a=+3", "a=-0"),
    *("a=true", "a=False", "a=null", "a=NULL", "a=on", "a=no", "a=squeeze-excitation", "a= adam ", "a=x_1.y"),
    *("data.path=/data/my-images/all.zip", "data.path=data/images", "run.networks=[]", "a=[1, 2.5,true, b]"),
    *("classifiers.knn.k=[[1],[3, 7], []]", "models.trace_net.width=2", "a.0=3"),
]


@pytest.mark.parametrize("change", PLAIN)
def test_plain_changes_are_read_as_hydra_reads_them(change: str, monkeypatch: pytest.MonkeyPatch) -> None:
    by_hydra = parsed_override(change)
    monkeypatch.setitem(sys.modules, "hydra.core.override_parser.overrides_parser", None)
    without = parsed_override(change)
    assert without == by_hydra
    assert repr(without) == repr(by_hydra)  # 1, 1.0 and True are equal to each other


def test_kinds_of_changes() -> None:
    assert parsed_override("+a.b=1") == Override("a.b", 1, "add")
    assert parsed_override("++a.b=1") == Override("a.b", 1, "set or add")
    assert parsed_override("~a.b") == Override("a.b", None, "delete")


@pytest.mark.parametrize(
    "change",
    [
        *("a={b: 1}", "a='x y'", "a=x y", "a=[1", "a=1]", "a=[[1]", "a=[1,]", "a=1,2", "+a=1", "~a=1", "a=", "a=010"),
        *("a=1_000", "a=nan", "a=-inf", "a=[inf]", "a=x:y", "a@b=1", "a=$x", "a=é"),
    ],
)
@pytest.mark.usefixtures("without_hydra")
def test_what_needs_hydra_is_one_line(change: str) -> None:
    with pytest.raises(InputError) as error:
        parsed_override(change)
    assert str(error.value) == (
        f"-S {change}: without hydra-core only KEY=VALUE with a number, a word, a path or a list of these can be read; "
        "install hydra-core, or write the value into a preset"
    )


@pytest.mark.parametrize("change", ["seed", "=3"])
@pytest.mark.usefixtures("without_hydra")
def test_no_value_is_one_line(change: str) -> None:
    with pytest.raises(InputError, match=f"^-S {change}: write KEY=VALUE, for example model.dropout=0.3$"):
        parsed_override(change)
