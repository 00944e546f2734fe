"""decide: when the champion answers, and how sure that is, with pictures; its folder, with decision and card."""

from pathlib import Path

from fakeprint import params
from fakeprint.data.arrays import load_dataset
from fakeprint.errors import one_line_errors
from fakeprint.evaluation.champion import champion_of, copy_out
from fakeprint.files import write_csv, write_figure, write_json, written_folder
from fakeprint.verdict import decision_plots
from fakeprint.verdict.champion_images import calibration_of, images_of
from fakeprint.verdict.deciding import VALIDATION, check_all, curves, decide, figures, gain_of
from fakeprint.verification.champion_card import write_champion_card


@one_line_errors
def main() -> None:
    settings = params.load()
    dataset, name = load_dataset(), champion_of(Path("metrics/leaderboard.json"))
    images = images_of(name, dataset.classes, settings)
    fitted_on = {"data": settings.title, "split": VALIDATION, "model": name}
    decision = decide(settings.decide, calibration_of(name), images[VALIDATION], fitted_on, settings.seed)
    checked = check_all(decision, images, settings.compare.confidence, settings.seed)
    copy_out(name, settings.title, settings.predict, decision=decision.as_json())
    write_champion_card(name, settings)

    gain = gain_of(decision, images[VALIDATION], settings.compare.confidence)
    write_json("metrics/decision.json", figures(decision, checked, dataset.names, gain))
    table = curves(images, decision)
    write_csv("metrics/risk_coverage.csv", table)
    title = f"{name} on {settings.title}"
    with written_folder("reports/decision") as partial:
        for picture, figure in decision_plots.pictures(decision, checked, table, dataset.names, title).items():
            write_figure(partial / f"{picture}.png", figure)
    print(decision.certificate.line if decision.certificate else "")


if __name__ == "__main__":
    main()
