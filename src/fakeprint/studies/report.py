"""What `fakeprint study report` writes: docs/studies/NAME.md with its pictures, and metrics/studies/NAME.json and CSVs.

The same results give the same bytes. The seconds that a cell took are a measurement and stand in the page alone.
"""

from collections.abc import Iterator
from pathlib import Path

from matplotlib.figure import Figure

from fakeprint.evaluation.leaderboard import p_text
from fakeprint.files import write_csv, write_figure, write_json, written, written_folder
from fakeprint.studies import plots, tables
from fakeprint.studies.arms import JOINED
from fakeprint.studies.paired import LEVEL
from fakeprint.studies.results import StudyResults
from fakeprint.studies.statistics import CONFIDENCE, Comparison, Statistics, analyse
from fakeprint.studies.tables import NONE, difference_text, heading, is_share, mean_text, unit

PAGES, METRICS = Path("docs/studies"), Path("metrics/studies")
EXPLAINED = "../experiments.md#what-a-studys-report-says"
PICTURES = {
    "forest": "Difference of each arm, seed by seed",
    "path": "From the first configuration to the last",
    "curves": "Learning curves",
    "heat": "Degraded images",
}


def write(results: StudyResults, statistics: Statistics | None = None) -> list[Path]:
    """Write the report of a study into the current folder, and return the paths of its files, the page first.

    Raises InputError if no cell of the study is complete.
    """
    tables.require_cells(results)
    statistics = statistics or analyse(results)
    page, folder, metrics = PAGES / f"{results.name}.md", PAGES / results.name, METRICS / results.name
    pictures = dict(_pictures(results, statistics))
    with written_folder(folder) as partial:
        for name, figure in pictures.items():
            write_figure(partial / f"{name}.png", figure)
    files = [page, *(folder / f"{name}.png" for name in pictures), metrics.with_name(f"{results.name}.json")]
    write_json(files[-1], tables.as_json(results, statistics))
    curves = tables.curves_table(results)
    with written_folder(metrics) as partial:
        for name, table in (("cells", tables.cells_table(results)), ("curves", curves)):
            if len(table):
                write_csv(partial / f"{name}.csv", table)
                files.append(metrics / f"{name}.csv")
    with written(page) as partial:
        partial.write_text(as_markdown(results, statistics, list(pictures)), encoding="utf-8")
    return files


def _pictures(results: StudyResults, statistics: Statistics) -> Iterator[tuple[str, Figure]]:
    for model in results.study.models:
        if statistics.comparison_count:
            yield f"forest-{model}", plots.forest_picture(results, statistics, model)
        for name, figure in (
            ("path", plots.path_picture(results, statistics, model) if results.path else None),
            ("curves", plots.curves_picture(results, model)),
            ("heat", plots.heat_picture(results, model)),
        ):
            if figure is not None:
                yield f"{name}-{model}", figure


def as_markdown(results: StudyResults, statistics: Statistics, pictures: list[str]) -> str:
    """The page. pictures: names of its pictures, `KIND-MODEL`."""
    lines = [f"# {results.name}", "", results.study.question, "", *_what_was_run(results), ""]
    for model in results.study.models:
        lines += [f"## {model}", "", *_table(tables.main_header(results), tables.main_rows(results, statistics, model))]
        lines += ["", *_in_words(results, statistics, model), ""]
        lines += ["Other figures:", "", *_table(*_beside(results, statistics, model)), ""]
        if results.path:
            lines += ["Step by step:", "", *_table(*_steps(results, statistics, model)), ""]
        for kind, text in PICTURES.items():
            if f"{kind}-{model}" in pictures:
                lines += [f"![{text}, {model}]({results.name}/{kind}-{model}.png)", ""]
    lines += ["## Missing cells", ""]
    lines += [f"- {_plain(line)}" for line in tables.grouped_missing(results)] or ["None."]
    if statistics.unread:
        lines += ["", "Predictions of single images could not be read, so the intervals cover replicates only:", ""]
        lines += [f"- {_plain(reason)}" for reason in statistics.unread]
    lines += ["", "## How to read it", "", *_explained(results, statistics), ""]
    return "\n".join(lines)


def _what_was_run(results: StudyResults) -> list[str]:
    study = results.study
    kind = "folds" if study.folds else "seeds"
    drawn = "" if study.folds else f", which draw {'all' if study.vary == 'all' else 'the training'} anew"
    lines = [f"**Published:** {study.published}", ""] if study.published else []
    data = f" on {results.title}" if results.title else ""
    lines += [
        f"**Run:** `presets/{results.preset or study.preset}.yaml`{data}; {kind} "
        f"{', '.join(map(str, results.replicates))}{drawn}.",
        "",
    ]
    if results.overrides:
        shown = ", ".join(f"`{each}`" for each in results.overrides)
        lines += [f"**Not as in the preset**, in all arms: {shown}.", ""]
    if study.baseline:
        lines += [f"All arms share {_changes(study.baseline)}.", ""]
    rows = []
    before: dict[str, object] = {}
    for arm, made in results.arms.items():
        added = {key: value for key, value in made.items() if key not in before or before[key] != value}
        longer = bool(before) and JOINED in arm and before.items() <= made.items()
        rows.append([arm, f"those of the line above, {_changes(added)}" if longer else _changes(made)])
        before = made
    return [*lines, *_table(["arm", "changes"], rows)]


def _changes(made: dict[str, object]) -> str:
    shown = [f"`{key}: {str(value).lower() if isinstance(value, bool) else value}`" for key, value in made.items()]
    return ", ".join(shown).replace("None`", "null`") or "nothing"


def in_words(results: StudyResults, statistics: Statistics) -> str:
    """The question and all verdicts, in Markdown."""
    lines = [results.study.question]
    for model in results.study.models:
        lines += ["", f"{_plain(model)}:", "", *_in_words(results, statistics, model)]
    return "\n".join(lines)


def _in_words(results: StudyResults, statistics: Statistics, model: str) -> list[str]:
    first = results.study.metrics[0]
    return [
        f"- {sentence(results, statistics.comparisons[arm, model, first])}"
        for arm in results.arms
        if arm != results.compare_to
    ]


def sentence(results: StudyResults, comparison: Comparison) -> str:
    """The verdict on an arm in words, with its figures and the reason."""
    arm = f"**{_plain(comparison.arm)}**"
    if comparison.word == "not run":
        return f"{arm}: not compared, since {comparison.why}."
    figures = f"{difference_text(comparison)}{unit(comparison.figure)}"
    if comparison.p is not None and comparison.word != "too small to matter":
        p = p_text(comparison.p)
        figures += f", p {p}" if p.startswith("<") else f", p = {p}"
    word = comparison.word or NONE
    text = f"{arm}: {word}" + (f" than {_plain(comparison.to)}" if word in ("better", "worse") else "") + f". {figures}"
    text += f"; {comparison.why}." if comparison.why else "."
    n, one = len(comparison.differences), "fold" if results.study.folds else "seed"
    if n < len(results.replicates):
        text += f" Compared on the {n} {one}{'s' * (n > 1)} that both arms have, of {len(results.replicates)}."
    if comparison.interval and not comparison.over_images:
        text += f" The interval covers other {one}s only: there are no predictions of single images."
    return text


def _beside(results: StudyResults, statistics: Statistics, model: str) -> tuple[list[str], list[list[str]]]:
    """Header and rows of the other figures, robustness, test and cost."""
    first, *others = results.study.metrics
    cells = {arm: results.of_arm(arm) for arm in results.arms}
    tested = any(first in cell.on_test.get(model, {}) for found in cells.values() for cell in found.values())
    worst = {arm: tables.worst_degraded(results, arm, model) for arm in results.arms}
    header = ["arm"]
    for figure in others:
        header += [heading(figure), "difference"]
    header += [f"{heading(first)} on test"] * tested + ["worst degraded accuracy"] * any(worst.values())
    rows = []
    for arm in results.arms:
        row = [arm]
        for figure in others:
            comparison = tables.comparison_of(results, statistics, arm, model, figure)
            row += [mean_text(statistics.summaries[arm, model, figure])]
            row += [difference_text(comparison) if comparison else NONE]
        if tested:
            row.append(mean_text(tables.on_test(results, arm, model, first)))
        if any(worst.values()):
            found = worst[arm]
            row.append(f"{100 * found[1]:.2f} %, {found[0]}" if found else NONE)
        rows.append([*row, tables.seconds_text(cells[arm].values())])
    return [*header, "seconds per cell"], rows


def _steps(results: StudyResults, statistics: Statistics, model: str) -> tuple[list[str], list[list[str]]]:
    first = results.study.metrics[0]
    rows = []
    for arm, name in tables.step_names(results).items():
        step = statistics.steps.get((arm, model, first))
        rows.append([name, mean_text(statistics.summaries[arm, model, first]), difference_text(step) if step else NONE])
    return ["configuration", heading(first), "difference to the line above"], rows


def _explained(results: StudyResults, statistics: Statistics) -> list[str]:
    study, count = results.study, statistics.comparison_count
    one = "fold" if study.folds else "seed"
    test = (
        "Student's t test over folds, corrected for their overlapping train splits (Nadeau & Bengio 2003),"
        if study.folds
        else "Student's t test over seeds"
        if study.test == "t"
        else "the exact Wilcoxon signed-rank test over seeds"
    )
    first = study.metrics[0]
    size = f"{100 * study.margin if is_share(first) else study.margin:g}{unit(first)}"
    margin = f" Differences inside the margin of ±{size} are too small to matter." if study.margin else ""
    narrow = [_plain(heading(name)) for name in study.metrics if _is_over_replicates_alone(statistics, name)]
    cover = f"other {one}s and other images" + (
        f" (those of {', '.join(narrow)}: other {one}s alone)" if narrow else ""
    )
    if len(narrow) == len(study.metrics):
        cover = f"other {one}s alone"
    return [
        f"n: {one}s with results. Mean ± standard deviation over {one}s. Differences are to "
        f"{_plain(results.compare_to)}, paired by {one}; their {100 * CONFIDENCE:g} % intervals cover {cover}. "
        f"p: the larger value of {test} and of the interval, Holm-corrected for "
        f"{count} comparison{'s' * (count != 1)}; *better* and *worse* need p < {LEVEL:g}.{margin} Figures are of the "
        f"validation images, on which networks chose their epochs. [More]({EXPLAINED})."
    ]


def _is_over_replicates_alone(statistics: Statistics, figure: str) -> bool:
    """Whether the figure's intervals do not cover other images."""
    intervals = [each for (*_, name), each in statistics.comparisons.items() if name == figure and each.interval]
    return any(not each.over_images for each in intervals)


def _plain(name: str) -> str:
    """A name that Markdown is to leave as it is."""
    return name.replace("_", "\\_").replace("*", "\\*")


def _table(header: list[str], rows: list[list[str]]) -> list[str]:
    def line(cells: list[str]) -> str:
        return "| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |"

    return [line(header), "| --- |" + " --- |" * (len(header) - 1), *map(line, rows)]
