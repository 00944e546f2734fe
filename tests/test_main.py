"""The command line itself: unknown commands, the version, commands that need the repository."""

import sys
from pathlib import Path

import pytest

from fakeprint import __main__, __version__


def call(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], *words: str) -> tuple[object, str, str]:
    """Exit code, stdout and stderr of `fakeprint WORDS`."""
    monkeypatch.setattr(sys, "argv", ["fakeprint", *words])
    with pytest.raises(SystemExit) as stopped:
        __main__.main()
    return stopped.value.code, *capsys.readouterr()


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--verson"], "there is no option '--verson'; did you mean '--version'?"),
        (["lederboard"], "there is no command 'lederboard'; did you mean 'leaderboard'?"),
        (["prdict", "a.png", "--json"], "there is no command 'prdict'; did you mean 'predict'?"),
    ],
)
def test_an_unknown_command_names_the_near_one(monkeypatch, capsys, words, message) -> None:
    assert call(monkeypatch, capsys, *words) == (1, "", f"error: {message}\n")


def test_an_unknown_command_that_is_near_to_none_lists_them_all(monkeypatch, capsys) -> None:
    code, _, error = call(monkeypatch, capsys, "xyz")
    assert code == 1
    assert error.startswith("error: there is no command 'xyz'; known: ")
    assert all(command in error for command in __main__.COMMANDS)


def test_version(monkeypatch, capsys) -> None:
    assert call(monkeypatch, capsys, "--version") == (0, f"fakeprint {__version__}\n", "")


def test_ctrl_c_ends_a_command_without_a_traceback(monkeypatch, capsys) -> None:
    def interrupted(args: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("fakeprint.commands.models.run", interrupted)
    assert call(monkeypatch, capsys, "models") == (130, "", "")


@pytest.mark.parametrize("words", [["leaderboard"], ["search", "searches/x.yaml"], ["use", "demo"], ["schema"]])
def test_a_command_of_the_repository_outside_of_it(monkeypatch, capsys, tmp_path: Path, words) -> None:
    monkeypatch.chdir(tmp_path)
    message = f"error: {words[0]}: there is no params.yaml here; run it in the root of Fakeprint's repository\n"
    assert call(monkeypatch, capsys, *words) == (1, "", message)
    code, out, _ = call(monkeypatch, capsys, words[0], "--help")
    assert code == 0
    assert out.startswith(f"usage: fakeprint {words[0]} ")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("words", [["--help"], []])
def test_help_lists_every_command(monkeypatch, capsys, words) -> None:
    code, out, error = call(monkeypatch, capsys, *words)
    if words:
        assert code == 0
        assert all(f"    {command}" in out for command in __main__.COMMANDS)
    else:
        assert code == 2
        assert "required: COMMAND" in error
