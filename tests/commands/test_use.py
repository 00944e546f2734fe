"""`fakeprint use`: from the command line to params.yaml."""

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from fakeprint import params
from fakeprint.__main__ import main

ROOT = Path(__file__).parents[2]
PRESETS = sorted((ROOT / "presets").glob("*.yaml"))


@pytest.fixture
def clone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    root = tmp_path / "clone"
    shutil.copytree(ROOT / "presets", root / "presets")
    shutil.copy(root / "presets/demo.yaml", root / "params.yaml")
    (tmp_path / "unibuc").mkdir()
    monkeypatch.chdir(root)
    return root


def use(monkeypatch: pytest.MonkeyPatch, *words: str) -> None:
    monkeypatch.setattr(sys, "argv", ["fakeprint", "use", *words])
    main()


@pytest.mark.slow
def test_a_preset_changes_what_it_names_and_keeps_every_comment(
    clone: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    use(monkeypatch, "presets/unibuc.yaml", "--data", "../unibuc", "-S", "train.lr=5e-4", "-S", "run.networks=[]")
    shown = capsys.readouterr().out.splitlines()
    assert f"data.path: data/demo/images → {clone.parent / 'unibuc'}" in shown
    assert "prepare.image_size: 64 → 100" in shown
    assert "train.lr: 0.002 → 0.0005" in shown
    assert "models.three_cnn.train.lr: (not set) → 0.0005" in shown
    assert shown[-1] == f"params.yaml: {len(shown) - 1} keys changed"
    now = params.load()
    assert now.run.networks == []
    assert now.network("three_cnn").train.batch_size == 16
    assert now.network("hist_cnn").train.lr == 0.001
    before, after = ((clone / name).read_text().splitlines() for name in ("presets/demo.yaml", "params.yaml"))
    assert [line.partition("#")[2] for line in before if "#" in line] == [
        line.partition("#")[2] for line in after if "#" in line
    ]
    assert sum(line in after for line in before) > 0.8 * len(before)
    long = [line for line in after if len(line) > 140]
    assert all(str(clone.parent) in line for line in long), long  # a long path gets a line of its own


@pytest.mark.slow
def test_a_file_of_before_takes_what_is_missing_from_the_demo(clone: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    demo = (clone / "params.yaml").read_text()
    left_out = "".join(line for line in demo.splitlines(True) if "on_leak:" not in line and "nesterov:" not in line)
    (clone / "params.yaml").write_text(left_out.replace("seed: 7", "seed: 8"))
    use(monkeypatch, "params.yaml")
    assert (clone / "params.yaml").read_text() == demo.replace("seed: 7", "seed: 8")


@pytest.mark.slow
def test_the_demo_comes_back_byte_for_byte(clone: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    demo = (clone / "params.yaml").read_bytes()
    use(monkeypatch, "unibuc", "--data", "../unibuc")
    use(monkeypatch, "demo", "-S", "seed=8")
    use(monkeypatch, "unibuc", "--data", "../unibuc")
    first = (clone / "params.yaml").read_bytes()
    use(monkeypatch, "unibuc", "--data", "../unibuc")
    assert (clone / "params.yaml").read_bytes() == first
    use(monkeypatch, "demo")
    assert (clone / "params.yaml").read_bytes() == demo


def test_an_empty_mapping_replaces_one(clone: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    use(monkeypatch, "demo", "-S", "robustness.grid={}")
    assert params.load().robustness.grid == {}


@pytest.mark.slow
def test_phases_that_begin_with_an_unchanged_one(clone: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    use(monkeypatch, "presets/demo.yaml", "-S", "train.phases=[{}, {epochs: 4, lr: 0.1, transforms: {jpeg: {p: 0.5}}}]")
    first, second = params.load().network("three_cnn").train.in_phases()
    assert (second.epochs, second.lr, second.transforms.jpeg.p) == (4, 0.1, 0.5)
    assert first.lr != second.lr
    use(monkeypatch, "params.yaml", "-S", "train.phases=[{lr: 0.1}, {}]")
    assert params.load().network("hist_cnn").train.in_phases()[0].lr == 0.1


@pytest.mark.slow
def test_a_dry_run_shows_what_would_change_and_writes_nothing(
    clone: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    edited = (clone / "params.yaml").read_text().replace("seed: 7", "seed: 8")
    (clone / "params.yaml").write_text(edited)
    use(monkeypatch, "demo", "-S", "train.epochs=3", "--dry-run")
    assert capsys.readouterr().out.splitlines() == [
        "seed: 8 → 7",
        "train.epochs: 24 → 3",
        "params.yaml had edits (seed), which would be kept in params.edited.yaml",
        "params.yaml: 2 keys would be changed",
    ]
    assert (clone / "params.yaml").read_text() == edited
    assert sorted(path.name for path in clone.iterdir()) == ["params.yaml", "presets"]


@pytest.mark.slow
def test_edits_are_kept_beside_the_new_file(
    clone: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """What somebody wrote, and only that: what `use` wrote itself it can write again."""
    use(monkeypatch, "demo", "-S", "seed=9")
    assert "edits" not in capsys.readouterr().out
    edited = (clone / "params.yaml").read_text().replace("epochs: 24", "epochs: 12")
    (clone / "params.yaml").write_text(edited)
    use(monkeypatch, "demo")
    assert "params.yaml had edits (train.epochs), which are kept in params.edited.yaml" in capsys.readouterr().out
    assert (clone / "params.edited.yaml").read_text() == edited

    (clone / "params.yaml").write_text("# a note\n" + edited)
    use(monkeypatch, "demo")
    assert "had edits (seed, train.epochs), which are kept in params.edited-2.yaml" in capsys.readouterr().out
    (clone / "params.yaml").write_text("# a note\n" + (clone / "params.yaml").read_text())
    use(monkeypatch, "demo")
    assert "params.yaml had edits (comments), which are kept in params.edited-3.yaml" in capsys.readouterr().out
    assert (clone / "params.edited.yaml").read_text() == edited

    use(monkeypatch, "params.edited.yaml")  # and they come back
    assert (clone / "params.yaml").read_text() == edited


@pytest.mark.parametrize("name", ["params.edited.yaml", "params.edited-2.yaml"])
def test_git_ignores_kept_edits(name: str) -> None:
    subprocess.run(["git", "check-ignore", "-q", name], cwd=ROOT, check=True)


@pytest.mark.slow
def test_single_changes_are_those_of_dvc(clone: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Added, changed, added or changed, taken out: `dvc exp run -S` makes the same of params.yaml."""
    from dvc.utils import hydra

    changes = [
        "train.lr=1e-3",
        "data.title='a title, in two parts'",
        "run.networks=[hist_cnn]",
        "+models.hist_cnn.norm=group",
        "+models.hist_cnn.train.epochs=3",
        "++models.three_cnn.width=0.5",
        "++models.three_cnn.head=flatten",
        "+robustness.grid={jpeg_30: {jpeg: 30}}",
        "+models.three_cnn.train={lr:0.01}",
        "compare={confidence:0.9}",
        "~models.vit",
        "~robustness.grid.noise_2",
    ]
    shutil.copy(clone / "params.yaml", clone / "dvc.yaml")
    hydra.apply_overrides(clone / "dvc.yaml", changes)
    use(monkeypatch, "demo", *(word for change in changes for word in ("-S", change)))
    assert params.load() == params.load("dvc.yaml")
    assert params.load().network("hist_cnn").model.norm == "group"
    assert (params.load().train.lr, params.load().models.vit) == (1e-3, None)
    assert "\n  vit:" not in (clone / "params.yaml").read_text()


def test_data_inside_the_repository_stays_relative(clone: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (clone / "data/mine").mkdir(parents=True)
    use(monkeypatch, "demo", "--data", str(clone / "data/mine"))
    assert params.load().data.path == "data/mine"


@pytest.mark.slow
@pytest.mark.parametrize(
    ("words", "line"),
    [
        (["unibcu"], "error: there is no preset 'unibcu'; did you mean 'unibuc'?"),
        (["presets/unibcu.yaml"], "error: there is no preset 'presets/unibcu.yaml'; did you mean 'unibuc'?"),
        (["demo", "--data", "../nowhere"], "error: --data: ../nowhere does not exist"),
        (
            ["unibuc"],
            "error: presets/unibuc.yaml: data.path: data/unibuc does not exist; give the data with --data PATH",
        ),
        (
            ["demo", "-S", "model.dropuot=0.1"],
            "error: -S model.dropuot=0.1: model.dropuot is not in params.yaml; did you mean 'dropout'?",
        ),
        (
            ["demo", "-S", "model.dropout=much"],
            "error: presets/demo.yaml -S model.dropout=much: model.dropout: input should be a valid number, not 'much'",
        ),
        (
            ["demo", "-S", "+model.dropuot=0.1"],
            "error: presets/demo.yaml -S +model.dropuot=0.1: model.dropuot is not a parameter; did you mean 'dropout'?",
        ),
        (
            ["demo", "-S", "models.hist_cnn.norm=group"],
            "error: -S models.hist_cnn.norm=group: models.hist_cnn.norm is not in params.yaml; "
            "+models.hist_cnn.norm=group adds it",
        ),
        (
            ["demo", "-S", "compare={confidense:0.9}"],
            "error: -S compare={confidense:0.9}: compare.confidense is not in params.yaml; did you mean 'confidence'?",
        ),
        (
            ["demo", "-S", "+train.lr=0.1"],
            "error: -S +train.lr=0.1: train.lr already exists with the value 0.002; use train.lr=0.1 to change it",
        ),
        (["demo", "-S", "~models.vti"], "error: -S ~models.vti: models.vti is not in params.yaml; did you mean 'vit'?"),
        (["demo", "-S", "~seed=8"], "error: -S ~seed=8: seed has the value 7"),
        (
            ["demo", "-S", "~train.clip"],
            "error: presets/demo.yaml -S ~train.clip: train.clip is missing (default: 0.0); DVC does not see "
            "defaults, so copy it from presets/demo.yaml",
        ),
        (
            ["demo", "-S", "train.lr=0.1,0.2"],
            "error: -S train.lr=0.1,0.2: several values work only with `dvc exp run --queue`; to give a text with "
            "commas, quote it twice",
        ),
        (
            ["demo", "-S", "seed"],
            "error: -S seed: write KEY=VALUE, for example model.dropout=0.3 (missing EQUAL at '<EOF>')",
        ),
        (["demo", "-S", "=3"], "error: -S =3: write KEY=VALUE, for example model.dropout=0.3"),
        (["demo", "-S", "foo@bar=1"], "error: -S foo@bar=1: write KEY=VALUE, for example model.dropout=0.3"),
        (
            ["demo", "-S", "data.class_names={0: StyleGAN}"],
            "error: -S data.class_names={0: StyleGAN}: data.class_names.0 is not in params.yaml; "
            "+data.class_names={0: StyleGAN} adds it",
        ),
        (
            ["demo", "-S", "seed=[1"],
            "error: -S seed=[1: write KEY=VALUE, for example model.dropout=0.3 (no viable alternative at input '[1')",
        ),
        (
            ["demo", "-S", "train.epochs=true"],
            "error: presets/demo.yaml -S train.epochs=true: train.epochs: input should be a valid integer, not true",
        ),
    ],
)
def test_bad_input_is_one_line_and_writes_nothing(
    clone: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], words: list[str], line: str
) -> None:
    before = (clone / "params.yaml").read_bytes()
    with pytest.raises(SystemExit, match="1"):
        use(monkeypatch, *words)
    printed = capsys.readouterr()
    assert (printed.out, printed.err.splitlines()) == ("", [line])
    assert (clone / "params.yaml").read_bytes() == before


@pytest.mark.slow
@pytest.mark.parametrize("preset", PRESETS, ids=lambda path: path.stem)
def test_every_preset_loads(
    clone: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], preset: Path
) -> None:
    use(monkeypatch, preset.stem, "--data", "../unibuc")
    assert params.load().data.path == str(clone.parent / "unibuc")
    assert preset.read_text().startswith("# ")


def test_the_demo_preset_is_what_the_repository_comes_with() -> None:
    """presets/demo.yaml must follow every edit of params.yaml's defaults. As committed: an ablation is no such edit."""
    params_yaml, demo = (
        subprocess.run(["git", "show", f"HEAD:./{name}"], cwd=ROOT, capture_output=True, text=True, check=True).stdout
        for name in ("params.yaml", "presets/demo.yaml")
    )
    assert params_yaml == demo


@pytest.mark.slow
def test_use_and_help_start_without_torch_or_mlflow(clone: Path) -> None:
    script = (
        "import sys; from fakeprint.__main__ import main; sys.argv = ['fakeprint', *sys.argv[1:]]\n"
        "try: main()\n"
        "finally: print(sorted({'torch', 'mlflow', 'pandas', 'sklearn'} & set(sys.modules)))"
    )
    for words in (["--help"], ["use", "demo"]):
        ran = subprocess.run([sys.executable, "-c", script, *words], capture_output=True, text=True, check=True)
        assert ran.stdout.splitlines()[-1] == "[]"
