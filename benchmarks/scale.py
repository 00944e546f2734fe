"""How the seconds, peak memory and files of each stage grow with the number of images.

The demo's generators draw images of 32×32 into a temporary folder: four fifths train, a tenth validation, a tenth test.
The classifiers lda, svm_rbf and boosting use the features hsv_joint, residual and spectrum; svm_rbf is approximated at
every size, so that sizes are comparable. Stages run one after the other as plain modules. Peak memory is the largest
sum of private memory of a stage's processes (resident less shared pages: those of a mapped file can be dropped), polled
twenty times per second. The exponent is the slope of log seconds over log images.

`python -m benchmarks.scale [--images 10000 30000 120000] [--json FILE]`
`python -m benchmarks.scale --million FILE.json` computes from such a file what a million images of 256×256 take.
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
from rich.console import Console
from rich.table import Table
from ruamel.yaml import YAML

ROOT = Path(__file__).parents[1]
SIDE, SIZES = 32, (10_000, 30_000, 120_000)
FEATURES, CLASSIFIERS = ("hsv_joint", "residual", "spectrum"), ("lda", "svm_rbf", "boosting")
POLL = 0.05  # seconds between two measurements of memory
MILLION, LARGE = 1_000_000, 256
CORES = (2, 16, 64)
# Stages whose time grows with the pixels and is divided among cores, and stages whose time grows with the rows.
BY_PIXELS = ("validate", "prepare", "augment", "features", "predict", "robustness")
BY_ROWS = ("fit",)


@dataclass(frozen=True)
class Measured:
    """One stage at one size: wall-clock seconds, peak memory in bytes, number of files written, and their bytes."""

    stage: str
    images: int
    seconds: float
    memory: int
    files: int
    bytes: int


def stages() -> list[tuple[str, list[str]]]:
    """Stage (as in dvc.yaml) and the arguments of its command, in order."""
    each = [("validate", []), ("prepare", []), ("augment", []), *(("features", [name]) for name in FEATURES)]
    each += [("fit", [name]) for name in CLASSIFIERS]
    each += [(stage, [name]) for stage in ("predict", "evaluate") for name in CLASSIFIERS]
    return [*each, ("robustness", []), ("compare", [])]


def repository(folder: Path, images: int) -> None:
    """Write a copy of the pipeline with parameters for this benchmark, and draw the images."""
    for name in ("src", "stages"):
        shutil.copytree(ROOT / name, folder / name, ignore=shutil.ignore_patterns("__pycache__"))
    yaml = YAML()
    params = yaml.load((ROOT / "params.yaml").read_text())
    params["data"].update(path="data/demo/images", title=f"{images} drawn images")
    params["prepare"]["image_size"] = SIDE
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
    demo["draw"].update(size=SIDE, train=images - 2 * tenth, validation=tenth, test=tenth)
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


def measure(images: int) -> list[Measured]:
    """Run and measure every stage at this size."""
    rows = []
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        repository(folder, images)
        before = contents(folder)
        for stage, arguments in stages():
            seconds, memory = run([f"stages.{stage}", *arguments], folder, folder / "src")
            after = contents(folder)
            new = [size for path, size in after.items() if path not in before]
            rows.append(Measured("@".join([stage, *arguments]), images, seconds, memory, len(new), sum(new)))
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
    table = Table("stage", title=f"Images of {SIDE}×{SIDE}, {os.cpu_count()} cores", title_justify="left")
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
    Console().print(table)


def million(rows: list[Measured]) -> list[tuple[str, float, float, dict[int, float]]]:
    """Stage, disk in GB, memory in GB and hours on each of `CORES`, for a million images of 256×256.

    Computed from the largest measured size, assumed to have run on two cores. The time of stages that read pixels grows
    with the pixels, that of others with the rows. Stages that run in several processes are divided by the cores; a fit
    is divided by their square root (an assumption, since memory limits its passes); the rest is not divided. Memory is
    as measured: it does not grow with the rows, only by a batch of larger images per process.
    """
    largest = max(row.images for row in rows)
    more, pixels = MILLION / largest, (LARGE / SIDE) ** 2
    table = []
    for row in (each for each in rows if each.images == largest):
        stage = row.stage.split("@")[0]
        by_pixels = stage in BY_PIXELS
        hours = row.seconds * more * (pixels if by_pixels else 1) / 3600
        share = {n: (n / 2 if by_pixels else (n / 2) ** 0.5 if stage in BY_ROWS else 1) for n in CORES}
        disk = row.bytes * more * (pixels if stage in ("prepare", "augment") else 1)
        table.append((row.stage, disk / 1e9, row.memory / 1e9, {n: hours / share[n] for n in CORES}))
    return table


def report_million(rows: list[Measured]) -> None:
    """Print the table as Markdown."""
    print("| stage | disk, GB | memory as measured, GB | " + " | ".join(f"hours on {n} cores" for n in CORES) + " |")
    print("|---|" + "---|" * (2 + len(CORES)))
    lines = million(rows)
    for stage, disk, memory, hours in lines:
        print(f"| {stage} | {disk:.1f} | {memory:.1f} | " + " | ".join(f"{hours[n]:.2f}" for n in CORES) + " |")
    totals = {n: sum(line[3][n] for line in lines) for n in CORES}
    most = max(line[2] for line in lines)
    print(f"| all | {sum(line[1] for line in lines):.0f} | {most:.1f} | ", end="")
    print(" | ".join(f"{totals[n]:.1f}" for n in CORES) + " |")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument(
        "--images", type=int, nargs="+", default=SIZES, metavar="N", help="numbers of images, each 500 or more"
    )
    parser.add_argument("--json", type=Path, metavar="FILE", help="also write the rows to FILE")
    parser.add_argument("--million", type=Path, metavar="FILE", help="measure nothing, compute from the rows in FILE")
    options = parser.parse_args()
    if options.million:
        report_million([Measured(**row) for row in json.loads(options.million.read_text(encoding="utf-8"))])
        return
    rows = [row for size in sorted(options.images) for row in measure(size)]
    report(rows)
    if options.json:
        options.json.write_text(json.dumps([asdict(row) for row in rows], indent=2) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
