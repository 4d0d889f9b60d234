"""Figures of partial training show what was measured, and nothing is cut off."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from matplotlib import pyplot as plt

from fit_formula import fit_formula
from laq.analysis.partial import table
from laq.analysis.partial.curve import FORMS
from laq.figures import partial
from laq.utils.errors import DataError
from laq.utils.files import read_table
from tests.unit import partial_tables as made

FOLDER: dict[str, Path] = {}


@pytest.fixture(scope="module")
def study(tmp_path_factory: pytest.TempPathFactory) -> tuple[pd.DataFrame, pd.DataFrame]:
    """All runs and the formula's table, as their jobs would leave them."""
    folder = tmp_path_factory.mktemp("partial_qat")
    rows = made.runs(networks=["small_resnet"])
    alone = rows[(rows["position"] == "last") & (rows["classes"] == "all")]
    rows = pd.concat([rows, alone.assign(trained="quantized")], ignore_index=True)
    path = made.write(folder, rows)
    out = [folder / f"{name}.csv" for name in ("formula", "prediction", "recommendation")]
    tensors = [folder / "small_resnet/tensors.csv"]
    budgets = {"bytes": [0.5, 1e-4], "drop": [0.01]}
    fit_formula(path, tensors, *out, ["small_resnet"], budgets, 0.95, 20, 0)  # type: ignore[arg-type]
    FOLDER["here"] = folder
    return table.read(path), read_table(out[0])


@pytest.fixture(autouse=True)
def closed():
    yield
    plt.close("all")


def points(panel: plt.Axes) -> set[tuple[float, float]]:
    return {
        (round(float(x), 6), round(float(y), 6))
        for line in panel.get_lines()
        if line.get_marker() not in ("None", None, "")
        for x, y in zip(*line.get_data(), strict=True)
    }


def test_of_one_network_files_alone_are_foretold(study: object) -> None:
    folder = FOLDER["here"]
    assert list(pd.read_csv(folder / "prediction.csv")["quantity"]) == ["bytes"]  # counted
    advice = pd.read_csv(folder / "recommendation.csv")
    assert list(advice["layers"].isna()) == [False, True, False]
    assert "the least is" in advice["remark"][1]


def test_accuracy_goes_from_the_control_to_the_whole_network(study) -> None:
    runs, formula = study
    figure = partial.accuracy(runs, formula, "A $tudy")
    assert [panel.get_title() for panel in figure.axes] == ["2 bits", "4 bits"]
    own = runs[(runs["width"] == "4") & (runs["tested"] == "all") & (runs["method"] == "qat")]
    own = own[~own["position"].isin(["single", "named"])]
    means = 100 * own.groupby(["position", "k"])["top1"].mean()
    shown = points(figure.axes[1])
    assert {(k, round(y, 6)) for (_, k), y in means.items()} <= shown
    control = 100 * runs.loc[(runs["k"] == 0) & (runs["tested"] == "all"), "top1"].mean()
    begins = {round(float(line.get_ydata()[0]), 6) for line in figure.axes[1].get_lines()
              if len(line.get_xdata()) > 3 and line.get_xdata()[0] == 0}  # fmt: skip
    assert begins == {round(control, 6)}
    figure.canvas.draw()


def test_the_formula_drawn_is_the_one_in_the_table(study) -> None:
    runs, formula = study
    fit = formula[formula["chosen"] & (formula["quantity"] == "top1_drop")]
    fit = fit[(fit["width"].astype(str) == "2") & (fit["position"] == "last")].iloc[0]
    rows = table.curves(table.drops(table.on_everything(runs)))
    rows = rows[(rows["width"] == "2") & (rows["position"] == "last")]
    k, drop = partial._formula(fit.to_dict(), rows)
    assert drop[0] == 0 and drop[-1] == pytest.approx(fit["a"])
    at = rows.groupby("k")[fit["variable"]].mean()
    for each, x in at.items():
        said = FORMS[fit["form"]].at([x], fit[["a", "b", "c"]].to_numpy(float))[0]
        assert np.interp(each, k, drop) == pytest.approx(said, abs=2e-4)


def test_bytes_are_those_of_the_table(study) -> None:
    runs, _ = study
    figure = partial.sizes(runs, "Study")
    own = runs[(runs["position"] == "first") & (runs["width"] == "2") & (runs["tested"] == "all")]
    assert {(k, round(y, 6)) for k, y in own.groupby("k")["bytes"].mean().items()} <= points(
        figure.axes[0]
    )
    figure = partial.bandwidth(runs.assign(step_bytes=np.nan), "Study")
    assert figure.axes[0].get_yscale() == "log"
    assert [text.get_text() for text in figure.axes[1].texts] == ["not measured"]
    entries = {text.get_text() for text in figure.legends[0].get_texts()}
    assert {"these layers trained alone", "2 bits", "4 bits", "in float"} <= entries
    figure.canvas.draw()


def test_single_layers_stand_in_the_order_in_which_they_are_run(study) -> None:
    runs, _ = study
    figure = partial.position(runs, "Study")
    names = [label.get_text() for label in figure.axes[0].get_xticklabels()]
    assert names == list(made.RESNET)
    with pytest.raises(DataError, match="quantized alone"):
        partial.position(runs[runs["position"] != "single"], "Study")


def test_the_front_has_partial_arms_and_whole_networks(study) -> None:
    runs, _ = study
    figure = partial.pareto(runs, "Study")
    entries = {text.get_text() for text in figure.legends[0].get_texts()}
    assert {"last layers", "gpfq", "mixed", "whole network, trained", "front"} <= entries
    own = runs[(runs["arm"] == "gpfq_4") & (runs["tested"] == "all")]
    assert (own["bytes"].mean(), round(100 * own["top1"].mean(), 6)) in points(figure.axes[0])
    poor = runs["top1"].where(runs["arm"] != "gpfq_4", 0.2)
    figure = partial.pareto(runs.assign(top1=poor), "Study")
    assert "root of the error" in figure.axes[0].get_ylabel()
    figure.canvas.draw()
