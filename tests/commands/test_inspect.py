import argparse
import csv
import json
import os
import subprocess
import sys
import zlib
from pathlib import Path

import pytest
from PIL import Image

from fakeprint.commands import inspect, predict
from fakeprint.errors import InputError
from fakeprint.evidence.findings import NEVER_CHECKED
from tests.evidence import files
from tests.evidence.signing import Signatory, signatory, signed

NOTHING = "nothing found that says how the image was made"
WEBUI = "holds generation parameters as AUTOMATIC1111, Forge or a tool that writes their format writes them"
SMALL = "Stable Diffusion's watermark (its writer marks no picture this small)"


@pytest.fixture(scope="module")
def studio() -> Signatory:
    return signatory("Studio")


@pytest.fixture
def workplace(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, studio: Signatory) -> Path:
    """A folder with files/: one with a prompt, one without anything, one signed; and the root of its signer."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "140")
    Path("files").mkdir()
    Path("files/a.png").write_bytes(files.png(files.text("parameters", files.WEBUI)))
    Path("files/b.jpg").write_bytes(files.saved("JPEG", quality=90))
    Path("files/c.png").write_bytes(signed(files.saved("PNG"), "image/png", studio))
    Path("root.pem").write_text(studio.root)
    return tmp_path


def call(*arguments: str, command=inspect) -> None:
    parser = argparse.ArgumentParser()
    command.add_parser(parser.add_subparsers())
    args = parser.parse_args([command.__name__.rsplit(".", 1)[1], *arguments])
    args.run(args)


def lines(text: str) -> list[str]:
    """The lines of a table, without the space around and between columns."""
    return [" ".join(line.split()) for line in text.splitlines() if line.strip()]


def test_table(workplace: Path, capsys: pytest.CaptureFixture[str]) -> None:
    call("files")
    printed = lines(capsys.readouterr().out)
    assert printed[:3] == ["files/a.png", f"declared {WEBUI}", f"not checked {SMALL}"]
    assert printed[3:6] == [
        "files/b.jpg",
        NOTHING,
        "declared the standard tables at quality 90, as libjpeg, Pillow and OpenCV write them",
    ]
    assert "files/c.png" in printed
    signature = " ".join(printed[printed.index("files/c.png") :])
    assert "signed, untrusted a C2PA manifest says that the image is made by generative AI" in signature
    assert signature.endswith(f"Never checked: {'; '.join(NEVER_CHECKED)}.")


def test_json(workplace: Path, capsys: pytest.CaptureFixture[str]) -> None:
    call("files", "--json", "--trust", "root.pem")
    out = capsys.readouterr().out
    assert out == json.dumps(json.loads(out), indent=2, ensure_ascii=False) + "\n"
    printed = json.loads(out)
    assert printed["never_checked"] == list(NEVER_CHECKED)
    first, second, third = printed["images"]
    assert first == {
        "image": "files/a.png",
        "nothing_found": False,
        "findings": [
            {
                "kind": "generation_parameters",
                "claim": WEBUI,
                "strength": "declared",
                "detail": {"place": "PNG text parameters", "text": files.WEBUI},
            }
        ],
        "not_checked": [SMALL],
    }
    assert (second["nothing_found"], [each["kind"] for each in second["findings"]]) == (True, ["jpeg_tables"])
    assert [each["strength"] for each in third["findings"]] == ["signed_trusted"]


def test_csv(workplace: Path, capsys: pytest.CaptureFixture[str]) -> None:
    call("files", "--csv", "deeper/out.csv")
    assert capsys.readouterr().out == ""
    with Path("deeper/out.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert list(rows[0]) == ["image", "kind", "strength", "claim", "detail"]
    assert [(row["image"], row["kind"], row["strength"]) for row in rows] == [
        ("files/a.png", "generation_parameters", "declared"),
        ("files/a.png", "not_checked", ""),
        ("files/b.jpg", "", ""),
        ("files/b.jpg", "jpeg_tables", "declared"),
        ("files/b.jpg", "not_checked", ""),
        ("files/c.png", "c2pa", "signed_untrusted"),
        ("files/c.png", "not_checked", ""),
    ]
    assert rows[0]["detail"] == f"place: PNG text parameters; text: {files.WEBUI}"
    assert [row["claim"] for row in rows[1:3]] == [SMALL, NOTHING]


def test_values_are_shown_on_one_line(workplace: Path, capsys: pytest.CaptureFixture[str]) -> None:
    Path("x.png").write_bytes(files.png(files.text("Software", "[red]a\nb\x1b[31m")))
    call("x.png")
    assert "written by [red]a\\nb\\x1b[31m" in lines(capsys.readouterr().out)[2]


@pytest.mark.slow
def test_unreadable_files_are_named_and_the_others_shown(workplace: Path, capsys: pytest.CaptureFixture[str]) -> None:
    hostile = workplace / "hostile"
    hostile.mkdir()
    (hostile / "empty.png").write_bytes(b"")
    (hostile / "cut.png").write_bytes(files.saved("PNG")[:300])
    (hostile / "bomb.png").write_bytes(files.saved("PNG", Image.new("1", (20_000, 20_000))))
    packed = zlib.compress(bytes(2**26))
    (hostile / "text.png").write_bytes(files.png(files.chunk(b"zTXt", b"parameters\0\0" + packed)))
    os.mkfifo(hostile / "pipe.png")
    (hostile / "zero.png").symlink_to("/dev/zero")
    with (hostile / "sparse.png").open("wb") as file:
        file.truncate(5 * 2**30)
    with pytest.raises(SystemExit) as stopped:
        call("hostile", "files/a.png", "--json")
    captured = capsys.readouterr()
    assert stopped.value.code == 1
    assert captured.err.splitlines() == [
        "hostile/bomb.png: too large",
        "hostile/cut.png: truncated",
        "hostile/empty.png: empty",
        "hostile/pipe.png: not a regular file",
        "hostile/sparse.png: too large",
        "hostile/zero.png: not a regular file",
    ]
    shown = {row["image"]: bool(row["findings"]) for row in json.loads(captured.out)["images"]}
    assert shown == {"files/a.png": True, "hostile/text.png": False}  # a text of 64 MiB costs the text alone


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["gone.png"], "no such file or folder: gone.png"),
        (["files", "--trust", "gone.pem"], "--trust: gone.pem is not a regular file"),
        (["files", "--csv", "files"], "--csv: files is a folder; name a file"),
    ],
)
def test_messages(workplace: Path, arguments: list[str], message: str) -> None:
    with pytest.raises(InputError) as refused:
        call(*arguments)
    assert str(refused.value) == message


def test_what_is_not_installed_is_one_line(workplace: Path, capsys: pytest.CaptureFixture[str], monkeypatch) -> None:
    for name in ("c2pa", "defusedxml", "defusedxml.common", "defusedxml.ElementTree"):
        monkeypatch.setitem(sys.modules, name, None)
    call("files", "--json")
    captured = capsys.readouterr()
    install = "`pip install 'fakeprint[evidence]'`"
    assert captured.err == f"c2pa-python and defusedxml not installed, so some checks are left out: {install}\n"
    found = {row["image"]: [each["kind"] for each in row["findings"]] for row in json.loads(captured.out)["images"]}
    assert found["files/a.png"] == ["generation_parameters"]
    with pytest.raises(
        InputError, match=r"^--trust needs the package c2pa-python: `pip install 'fakeprint\[evidence\]'`$"
    ):
        call("files", "--trust", "root.pem")


@pytest.mark.slow
def test_predict_shows_evidence_beside_the_same_probabilities(
    workplace: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    call("files", "--model", "unibuc", "--json", command=predict)
    plain = json.loads(capsys.readouterr().out)
    call("files", "--model", "unibuc", "--json", "--evidence", "--trust", "root.pem", command=predict)
    printed = json.loads(capsys.readouterr().out)
    assert printed.pop("never_checked") == list(NEVER_CHECKED)
    evidence = [row.pop("evidence") for row in printed["images"]]
    assert printed == plain
    call("files", "--json", "--trust", "root.pem")
    inspected = json.loads(capsys.readouterr().out)["images"]
    assert evidence == [{key: value for key, value in row.items() if key != "image"} for row in inspected]


@pytest.mark.slow
def test_predict_shows_evidence_in_a_table_and_in_csv(workplace: Path, capsys: pytest.CaptureFixture[str]) -> None:
    call("files", "--model", "unibuc", "--evidence", command=predict)
    printed = lines(capsys.readouterr().out)
    assert f"declared {WEBUI}" in printed
    assert NOTHING in printed
    assert " ".join(printed).endswith(f"Never checked: {'; '.join(NEVER_CHECKED)}.")
    call("files", "--model", "unibuc", "--evidence", "--csv", "out.csv", command=predict)
    with Path("out.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert list(rows[0])[-3:] == ["set", "reason", "evidence"]
    assert rows[0]["evidence"] == f"declared: {WEBUI}; not checked: {SMALL}"
    assert rows[1]["evidence"].startswith(f"{NOTHING}; declared: the standard tables")


def test_a_trust_list_is_for_evidence(workplace: Path) -> None:
    with pytest.raises(InputError, match=r"^--trust is for --evidence; add that, or leave it out$"):
        call("files", "--model", "unibuc", "--trust", "root.pem", command=predict)


def test_a_file_that_is_gone_was_not_checked(workplace: Path) -> None:
    from fakeprint.evidence.inspection import Inspection

    evidence = inspect.evidence_of(Inspection(), Path("gone.png"))
    assert evidence == {"nothing_found": True, "findings": [], "not_checked": ["the file: missing"]}


@pytest.mark.slow
def test_predict_alone_loads_nothing_of_it(workplace: Path) -> None:
    code = (
        "import sys; from fakeprint.__main__ import main; sys.argv[1:] = ['predict', 'files', '--model', 'unibuc']\n"
        "main()\n"
        "print([name for name in sys.modules if name.startswith(('fakeprint.evidence', 'c2pa', 'defusedxml'))])\n"
        "print('fakeprint.commands.inspect' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.splitlines()[-2:] == ["[]", "False"]


@pytest.mark.slow
def test_the_command_line(workplace: Path) -> None:
    done = subprocess.run([sys.executable, "-m", "fakeprint", "inspect", "files/b.jpg"], capture_output=True, text=True)
    assert (done.returncode, done.stderr) == (0, "")
    assert NOTHING in done.stdout
    typo = subprocess.run([sys.executable, "-m", "fakeprint", "inspct", "x"], capture_output=True, text=True)
    assert typo.stderr == "error: there is no command 'inspct'; did you mean 'inspect'?\n"
