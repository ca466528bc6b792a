"""The report of a run as one HTML file: what was asked, errors, windows, error bars, rollouts, spectrum."""

from __future__ import annotations

import json
from collections.abc import Sequence
from html import escape
from pathlib import Path

import numpy as np

from estag_jax.config import to_dict
from estag_jax.evaluation.long_rollouts import FACTOR
from estag_jax.evaluation.result import Result, Row
from estag_jax.models.error_bars import PERCENTS
from estag_jax.report import charts
from estag_jax.report.page import Section, bullets, chart, facts, page, paragraph, table
from estag_jax.report.remarks import facts_text, remarks
from estag_jax.report.run_figures import draw_loss, draw_rollout
from estag_jax.report.spectrum import spectrum
from estag_jax.report.style import number
from estag_jax.report.tables import cells, conditions
from estag_jax.report.viewer import Clip, View
from estag_jax.runs.findings import Findings, Shown


def run_report(found: Findings) -> str:
    """The whole page.

    Args:
      found: what was found out about the run.
    """
    parts = [Section("What was asked", _asked(found))]
    if found.result is None:
        parts.append(Section("Errors", paragraph("The run is not finished: it has no table yet.")))
    else:
        parts.append(Section("Errors", errors(found.result)))
    parts.append(Section("Fit", _fit(found)))
    if found.without:
        parts.append(Section("Windows", paragraph(f"Not shown: {found.without}")))
    else:
        parts += [Section("Worst windows", _windows(found)), Section("Error bars", _bars(found))]
        parts.append(Section("Rollouts", _rollouts(found)))
        parts.append(Section("Spectrum", _spectrum(found)))
    title = f"{found.label} on {' '.join(found.config.data)}"
    return page(title, parts, paragraph(_summary(found), "lead"))


def errors(result: Result, training: bool = False) -> str:
    """The table of a result with the conditions above it and the remarks below."""
    header, lines = cells(result, training)
    others = [row for row in result.rows if row.status != "finished"]
    notes = [f"{row.name}: {row.status}, {row.reason}" for row in others]
    notes += [*remarks(result), *result.about.get("notes", ())]
    own = None if training else len(lines) - 1
    said = paragraph(conditions(result), "soft")
    return said + table(header, lines, own) + bullets(notes)


def _summary(found: Findings) -> str:
    if found.result is None:
        return f"{found.run}: not finished"
    row, unit = found.result.rows[-1], found.result.data["length_unit"]
    return (
        f"Mean squared error {number(row.mse)} {unit}² on {found.result.data['windows']['test']} test "
        f"windows; {row.parameters:,} fitted numbers."
    )


def _asked(found: Findings) -> str:
    config, result = found.config, found.result
    about = {} if result is None else result.data
    versions = {} if result is None else result.versions
    seconds = {} if result is None else result.about.get("seconds", {})
    counts = about.get("windows", {})
    listed = {
        "run": found.run,
        "method": found.label,
        "data": " ".join(config.data),
        "provenance": about.get("provenance"),
        "system": f"{about['nodes']} nodes × {about['channels']}, {about['edges']} edges, "
        f"{about['frames']} frames {about['frame_step']:g} {about['time_unit']} apart"
        if about
        else "",
        "windows": f"{config.window}; {about.get('split')} split, {counts.get('train')} training, "
        f"{counts.get('validation')} validation, {counts.get('test')} test"
        if about
        else str(config.window),
        "notes on the data": "; ".join(about.get("notes", ())),
        "seconds": ", ".join(f"{name} {value:.3g}" for name, value in seconds.items()),
        "computed with": ", ".join(f"{name} {value}" for name, value in versions.items()),
        "device": result.rows[-1].device if result else "",
    }
    settings = escape(json.dumps(to_dict(config), indent=1, ensure_ascii=False))
    return (
        facts(listed) + f"<details><summary>All settings</summary><pre>{settings}</pre></details>"
    )


def _fit(found: Findings) -> str:
    row = None if found.result is None else found.result.rows[-1]
    parts = []
    if found.log:
        best = min(
            (e["validation_mse"] for e in found.log if e.get("validation_mse") is not None),
            default=None,
        )
        said = "no validation error is finite" if best is None else f"the best is {number(best)}"
        parts.append(
            chart(
                lambda path: draw_loss(
                    found.log, found.result, _unit(found), path, found.config.beside
                ),
                f"Training and validation error of {found.label} by epoch, on a logarithmic axis; of "
                f"{len(found.log)} validation errors {said}.",
            )
        )
    if row is not None:
        parts.append(facts(_chosen(row)))
    return "".join(parts) or paragraph("Nothing was trained or chosen.")


def _chosen(row: Row) -> dict[str, str]:
    """What a fit chose, and how it fared on the validation windows."""
    listed = {
        "validation error": ", ".join(map(number, row.validation_mse)),
        "best epoch": ", ".join(map(str, row.best_epoch)),
        "seconds": ", ".join(f"{name} {value:.3g}" for name, value in row.seconds.items()),
    }
    return listed | {
        name: facts_text({"": value}).strip(" :()") for name, value in row.chosen.items()
    }


def _unit(found: Findings) -> str:
    if found.forecaster is not None:
        return found.forecaster.system.length_unit
    return "Å" if found.result is None else found.result.data["length_unit"]


def _windows(found: Findings) -> str:
    unit, task = _unit(found), found.task
    errors = np.asarray(found.survey.errors)
    finite = errors[np.isfinite(errors)]
    quantiles = np.quantile(finite, [0.5, 0.95]) if finite.size else [np.nan, np.nan]
    text = (
        f"The {len(found.worst)} test windows with the largest errors, and what was forecast after each: "
        f"the first frame is the last one known. Half of the {len(errors)} test windows have an error "
        f"below {number(quantiles[0])} {unit}², 95 % below {number(quantiles[1])} {unit}²."
    )
    views = []
    for which in dict.fromkeys(one.which for one in found.worst):
        source = task.trajectories[which].source
        labels = [
            (one, f"{source}, window {one.start}: {number(one.error)} {unit}²")
            for one in found.worst
            if one.which == which
        ]
        views.append(_view(found, labels))
    return paragraph(text) + "".join(views)


def _view(found: Findings, labelled: Sequence[tuple[Shown, str]]) -> str:
    step = found.forecaster.time_step * found.forecaster.horizon
    clips = [Clip(one.truth, one.forecast, label, 0.0, step) for one, label in labelled]
    system = found.task.systems[labelled[0][0].which]
    return View(clips, system, found.forecaster.time_unit).html()


def _bars(found: Findings) -> str:
    shares = found.survey.shares
    if shares is None:
        return paragraph("The forecaster has no error bars.")
    held = float(np.interp(0.9, PERCENTS, shares))
    drawn = chart(
        lambda path: charts.calibration(PERCENTS, shares, path, found.label),
        f"Share of the test points inside the error bars' regions, by the probability that the regions are "
        f"meant to have: those of 50 % hold {np.interp(0.5, PERCENTS, shares):.1%}, those of 90 % "
        f"{held:.1%}.",
    )
    text = "The error bars were fitted to validation windows; here they meet the test windows."
    return paragraph(text) + drawn


def _rollouts(found: Findings) -> str:
    parts = []
    if found.result is not None and found.result.rollout:
        rollout = found.result.rollout
        own = rollout["predictors"][found.label]
        end = own["median"][-1]
        said = "infinite" if end is None else f"{number(end)} {_unit(found)}²"
        parts.append(
            chart(
                lambda path: draw_rollout(
                    found.result, found.forecaster, found.config.beside, path
                ),
                f"Median error of repeated forecasts by frames ahead, one line for each method; of "
                f"{found.label} it is {said} after {rollout['steps']} frames.",
            )
        )
    if found.path is not None:
        label = f"after test window {found.path.start}"
        parts.append(_view(found, [(found.path, label)]))
    if found.rollouts:
        parts.append(_structure(found))
    return "".join(parts) or paragraph("A forecast is not the next frame: there are no rollouts.")


def _structure(found: Findings) -> str:
    unit, first = _unit(found), found.rollouts[0]
    header = ["", *(f"{each['steps']} frames" for each in found.rollouts), "halves of the truth"]
    lines = []
    for name, figures in first["structure"].items():
        values = [each["structure"][name] for each in found.rollouts]
        lines.append([f"{name}, mean distance", *(f"{v['distance']:.3f}" for v in values)])
        lines[-1].append(f"{figures['halves']:.3f}")
        lines.append([f"{name}, largest distance", *(f"{v['worst']:.3f}" for v in values), "–"])
    sizes = [each["gyration"] for each in found.rollouts]
    spread = [
        "–" if s["mean"] is None else f"{s['mean']:.3f} ± {s['deviation']:.3f}" for s in sizes
    ]
    true = f"{sizes[0]['truth']:.3f} ± {sizes[0]['deviation of the truth']:.3f} (truth)"
    lines.append([f"radius of gyration [{unit}]", *spread, true])
    lines.append(["diverged", *(f"{each['diverged']:.0%}" for each in found.rollouts), "–"])
    text = (
        f"{first['starts']} rollouts against the frames of the test windows. A distance is that of Jensen "
        f"and Shannon between two histograms of one coordinate, 0 for equal and 1 for disjoint ones; the "
        f"last column is what the first and the second half of the truth differ by. A rollout has diverged "
        f"where the radius of gyration leaves its range in the truth by a factor of {FACTOR:g}."
    )
    return "<h3>Structure</h3>" + paragraph(text) + table(header, lines)


def _spectrum(found: Findings) -> str:
    known = [each for each in found.rollouts if each["spectrum"] is not None]
    if not known:
        return paragraph("There are too few frames for a spectrum, or every rollout diverged.")
    longest = known[-1]
    facts_, name = longest["spectrum"], f"rollouts of {longest['steps']} frames"
    own = {name: np.array(facts_["power"])}
    arrays = np.array(facts_["frequencies"]), np.array(facts_["truth"])
    unit = found.forecaster.time_unit

    def draw(path: Path) -> None:
        spectrum(*arrays, unit, path, "Power spectrum of the velocities", own)

    return chart(
        draw,
        f"Power by frequency of the velocities of the trajectory and of {name} by {found.label}, at the step "
        f"of the windows; their Jensen-Shannon distance is {facts_['distance']:.3f}.",
    )
