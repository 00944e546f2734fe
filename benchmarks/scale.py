"""How the seconds, peak memory and files of each stage grow with the number of images.

The demo's generators draw square images into a temporary folder: four fifths train, a tenth validation, a tenth test.
The classifiers lda, svm_rbf and boosting use the features hsv_joint, residual and spectrum; svm_rbf is approximated at
every size, so that sizes are comparable. Stages run one after the other as plain modules. Peak memory is the largest
sum of private memory of a stage's processes (resident less shared pages: those of a mapped file can be dropped), polled
twenty times per second. The exponent is the slope of log seconds over log images.

`python -m benchmarks.scale [--images 10000 30000 120000] [--side 32] [--json FILE]`
`python -m benchmarks.scale --million SMALL.json LARGE.json` computes from two such files what a million images of
256×256 take: SMALL from many images, for the stages whose time depends on rows alone, LARGE from `--side 256` and two
numbers of images, for the stages that read pixels.
"""

import argparse
import json
import os
import shutil
import sys
import tempfile
import time
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import psutil
from rich.table import Table
from ruamel.yaml import YAML

from benchmarks.table import console

ROOT = Path(__file__).parents[1]
SIZES = (10_000, 30_000, 120_000)
FEATURES, CLASSIFIERS = ("hsv_joint", "residual", "spectrum"), ("lda", "svm_rbf", "boosting")
POLL = 0.05  # seconds between two measurements of memory
MILLION, LARGE = 1_000_000, 256
CORES = (2, 16, 64)
CLUSTER, MACHINE = 8, 16  # machines of the cluster, and the cores of each
NETWORK = 1.25e9  # bytes per second that the cluster's network carries: 10 Gbit/s
# Stages that read pixels, in processes that share nothing, and how many images each sends over a cluster's network per
# image of the source: `validate` and `prepare` read shared files, `augment` makes no copies here, and the two that
# predict have no train images.
BY_PIXELS = {
    **{"validate": 0.0, "prepare": 1.0, "augment": 0.0, "features": 1.0},
    **{"predict": 0.2, "predict_degraded": 0.1},
}
BY_ROWS = ("fit",)


@dataclass(frozen=True)
class Measured:
    """One stage with `images` of side × side: wall-clock seconds, peak memory, files written, their bytes."""

    stage: str
    images: int
    side: int
    seconds: float
    memory: int
    files: int
    bytes: int


def stages() -> list[tuple[str, list[str]]]:
    """Stage (as in dvc.yaml) and the arguments of its command, in order."""
    each = [("validate", []), ("prepare", []), ("augment", []), *(("features", [name]) for name in FEATURES)]
    each += [("fit", [name]) for name in CLASSIFIERS]
    each += [("predict", [name]) for name in CLASSIFIERS]
    each += [("predict_degraded", []), ("calibrate", [])]
    each += [("evaluate", [name]) for name in CLASSIFIERS]
    return [*each, ("robustness", []), ("compare", [])]


def repository(folder: Path, images: int, side: int) -> None:
    """Write a copy of the pipeline with parameters for this benchmark, and draw the images."""
    for name in ("src", "stages"):
        shutil.copytree(ROOT / name, folder / name, ignore=shutil.ignore_patterns("__pycache__"))
    yaml = YAML()
    params = yaml.load((ROOT / "params.yaml").read_text())
    params["data"].update(path="data/demo/images", title=f"{images} drawn images")
    params["prepare"]["image_size"] = side
    params["augment"]["copies"] = 0
    params["features"]["spectrum"]["bins"] = 16
    params["run"].update(features=list(FEATURES), classifiers=list(CLASSIFIERS), networks=[], ensembles=[])
    for name in CLASSIFIERS:
        params["classifiers"][name].update(features=list(FEATURES), augmented=False)
    params["classifiers"]["svm_rbf"]["approximation"] = "nystroem"
    params["tracking"]["enabled"] = False
    with (folder / "params.yaml").open("w") as file:
        yaml.dump(params, file)
    demo = yaml.load((ROOT / "data/demo/params.yaml").read_text())
    tenth = images // 10
    demo["draw"].update(size=side, train=images - 2 * tenth, validation=tenth, test=tenth)
    (folder / "data/demo").mkdir(parents=True)
    with (folder / "data/demo/params.yaml").open("w") as file:
        yaml.dump(demo, file)
    run(["fakeprint.data.demo"], folder / "data/demo", folder / "src")


def run(arguments: list[str], folder: Path, source: Path) -> tuple[float, int]:
    """Run a module; return seconds and peak memory in bytes. If it fails, the benchmark ends with its output."""
    environment = {**os.environ, "PYTHONPATH": str(source)}
    start = time.perf_counter()
    with tempfile.TemporaryFile() as printed:
        process = psutil.Popen(
            [sys.executable, "-m", *arguments], cwd=folder, env=environment, stdout=printed, stderr=printed
        )
        peak = 0
        while process.poll() is None:
            peak = max(peak, _own_memory(process))
            time.sleep(POLL)
        seconds = time.perf_counter() - start
        if process.returncode:
            printed.seek(0)
            raise SystemExit(f"{' '.join(arguments)}:\n{printed.read().decode()}")
    return seconds, peak


def _own_memory(process: psutil.Process) -> int:
    """Private bytes of a process and its children: shared with no file and no other process."""
    total = 0
    try:
        for each in (process, *process.children(recursive=True)):
            memory = each.memory_info()
            total += memory.rss - memory.shared
    except psutil.NoSuchProcess:  # it ended meanwhile
        pass
    return total


def contents(folder: Path) -> dict[Path, int]:
    """Every file that stages write, with its size in bytes."""
    places = [folder / name for name in ("data", "models", "metrics", "reports")]
    return {path: path.stat().st_size for place in places for path in place.rglob("*") if path.is_file()}


def measure(images: int, side: int) -> list[Measured]:
    """Run and measure every stage at this size."""
    rows = []
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        repository(folder, images, side)
        before = contents(folder)
        for stage, arguments in stages():
            seconds, memory = run([f"stages.{stage}", *arguments], folder, folder / "src")
            after = contents(folder)
            new = [size for path, size in after.items() if path not in before]
            rows.append(Measured("@".join([stage, *arguments]), images, side, seconds, memory, len(new), sum(new)))
            print(f"{images:,} images, {rows[-1].stage}: {seconds:.1f} s", file=sys.stderr, flush=True)
            before = after
    return rows


def exponents(rows: list[Measured]) -> dict[str, float]:
    """Stage → b of the fit seconds = a · images ** b; NaN if there is only one size."""
    slopes = {}
    for stage in dict.fromkeys(row.stage for row in rows):
        sizes, seconds = np.array([(row.images, row.seconds) for row in rows if row.stage == stage]).T
        slopes[stage] = float(np.polyfit(np.log(sizes), np.log(seconds), 1)[0]) if len(sizes) > 1 else float("nan")
    return slopes


def report(rows: list[Measured]) -> None:
    """Print one table: a row per stage, a group of columns per size."""
    sizes = sorted({row.images for row in rows})
    slopes = exponents(rows)
    table = Table(
        "stage", title=f"Images of {rows[0].side}×{rows[0].side}, {os.cpu_count()} cores", title_justify="left"
    )
    for size in sizes:
        for heading in (f"{size:,}: s", "GB", "files", "MB"):
            table.add_column(heading, justify="right")
    table.add_column("exponent", justify="right")
    found = {(row.stage, row.images): row for row in rows}
    for stage, slope in slopes.items():
        cells = []
        for size in sizes:
            row = found[stage, size]
            cells += [f"{row.seconds:.1f}", f"{row.memory / 1e9:.2f}", f"{row.files}", f"{row.bytes / 1e6:.1f}"]
        table.add_row(stage, *cells, f"{slope:.2f}")
    totals = []
    for size in sizes:
        mine = [row for row in rows if row.images == size]
        totals += [f"{sum(row.seconds for row in mine):.0f}", f"{max(row.memory for row in mine) / 1e9:.2f}"]
        totals += [str(sum(row.files for row in mine)), f"{sum(row.bytes for row in mine) / 1e6:.0f}"]
    table.add_row("all", *totals, "")
    console().print(table)


@dataclass(frozen=True)
class Million:
    """What a stage takes for a million images of 256×256: disk in GB, memory in GB, hours on cores or a cluster.

    All are extrapolated.
    """

    stage: str
    disk: float
    memory: float
    hours: dict[str, float]


COLUMNS = (*(f"{cores} cores" for cores in CORES), f"{CLUSTER} machines of {MACHINE} cores")


def million(small: list[Measured], large: list[Measured]) -> list[Million]:
    """The table for a million images of 256×256, one line per stage.

    The time per image of stages that read pixels comes from `large`: the difference between two numbers of images, so
    that start-up does not count. It is divided by the cores; on a cluster, it is at least what the network needs. Other
    stages run on one machine, and their time grows from the largest of `small` in proportion to the images. A fit is
    divided by the square root of the cores (an assumption, since memory limits its passes). Both files are assumed to
    come from two cores.

    Memory grows by the same amount per image as between the two largest numbers of images of `small`. That of a fit
    does not grow: its limits are in docs/scaling.md.
    """
    largest = max(row.images for row in small)
    table = []
    for row in (each for each in small if each.images == largest):
        stage = row.stage.split("@")[0]
        if stage in BY_PIXELS:
            first, last = (each(rows_of(large, row.stage), key=lambda one: one.images) for each in (min, max))
            share = MILLION / (last.images - first.images)
            hours = max(0.0, share * (last.seconds - first.seconds) / 3600)
            transfer = BY_PIXELS[stage] * MILLION * 3 * LARGE**2 / NETWORK / 3600
            each_on = [hours * 2 / cores for cores in (*CORES, CLUSTER * MACHINE)]
            each_on[-1] = max(each_on[-1], transfer)
            disk = max(0.0, share * (last.bytes - first.bytes))
        else:
            hours = row.seconds * MILLION / largest / 3600
            each_on = [hours / ((cores / 2) ** 0.5 if stage in BY_ROWS else 1) for cores in (*CORES, MACHINE)]
            disk, last = row.bytes * MILLION / largest, row
        grown = 0.0 if stage in BY_ROWS else growth(small, row.stage) * (MILLION - last.images)
        memory = last.memory + grown
        table.append(Million(row.stage, disk / 1e9, memory / 1e9, dict(zip(COLUMNS, each_on, strict=True))))
    return table


def growth(rows: list[Measured], stage: str) -> float:
    """Bytes of peak memory per image, between the two largest numbers of images; 0 if there is only one."""
    found = sorted((row for row in rows if row.stage == stage), key=lambda row: row.images)
    if len(found) < 2:
        return 0.0
    before, last = found[-2:]
    return max(0.0, (last.memory - before.memory) / (last.images - before.images))


def rows_of(rows: list[Measured], stage: str) -> list[Measured]:
    """The rows of one stage at `LARGE`. Ends the benchmark if they are not of two or more numbers of images."""
    found = [row for row in rows if row.stage == stage and row.side == LARGE]
    if len({row.images for row in found}) < 2:
        raise SystemExit(f"{stage}: LARGE.json needs at least two numbers of images: --side {LARGE} --images 1000 3000")
    return found


def report_million(table: list[Million]) -> None:
    """Print the table as Markdown."""
    print(
        "| stage | disk, GB | memory, GB, extrapolated | " + " | ".join(f"hours, {column}" for column in COLUMNS) + " |"
    )
    print("|---|" + "---|" * (2 + len(COLUMNS)))
    for line in table:
        hours = " | ".join(f"{line.hours[column]:.2f}" for column in COLUMNS)
        print(f"| {line.stage} | {line.disk:.1f} | {line.memory:.1f} | {hours} |")
    totals = " | ".join(f"{sum(line.hours[column] for line in table):.1f}" for column in COLUMNS)
    print(f"| all | {sum(line.disk for line in table):.0f} | {max(line.memory for line in table):.1f} | {totals} |")


def _read(path: str) -> list[Measured]:
    return [Measured(**row) for row in json.loads(Path(path).read_text(encoding="utf-8"))]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument(
        "--images", type=int, nargs="+", default=SIZES, metavar="N", help="numbers of images, each 500 or more"
    )
    parser.add_argument("--json", type=Path, metavar="FILE", help="also write the rows to FILE")
    parser.add_argument(
        "--side", type=int, default=32, metavar="PIXELS", help="width and height of the images (default: 32)"
    )
    parser.add_argument("--million", nargs=2, metavar=("SMALL", "LARGE"), help="compute from two files of rows")
    options = parser.parse_args()
    if options.million:
        report_million(million(*map(_read, options.million)))
        return
    rows = [row for size in sorted(options.images) for row in measure(size, options.side)]
    report(rows)
    if options.json:
        options.json.write_text(json.dumps([asdict(row) for row in rows], indent=2) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
