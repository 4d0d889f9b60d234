"""Another study's class × class matrix, in whatever order, and its rank correlation with ours."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from scipy import stats

from laq.analysis.statistics.rank import matrix_spearman
from laq.data.published.matrix import read_matrix
from laq.utils.errors import DataError

NAMES = ["cat", "dog", "willow_tree", "apple", "bee", "car", "sea"]


def distances(count: int = len(NAMES), seed: int = 0) -> np.ndarray:
    points = np.random.default_rng(seed).normal(size=(count, 2))
    return np.square(points[:, None] - points[None]).sum(axis=-1)


def frame(names: list[str] = NAMES, values: np.ndarray | None = None) -> pd.DataFrame:
    return pd.DataFrame(distances() if values is None else values, names, names)


def test_without_names_the_order_is_the_data_set_s(tmp_path: Path) -> None:
    np.save(tmp_path / "m.npy", distances().astype(np.float32))
    np.testing.assert_allclose(read_matrix(tmp_path / "m.npy", NAMES), distances(), rtol=1e-6)
    np.savetxt(tmp_path / "m.csv", distances(), delimiter=",")
    np.testing.assert_allclose(read_matrix(tmp_path / "m.csv", NAMES), distances())
    frame(list(range(len(NAMES)))).to_csv(tmp_path / "m.csv")
    np.testing.assert_allclose(read_matrix(tmp_path / "m.csv", NAMES), distances())


WRITTEN = {
    "header and names": ("m.csv", lambda table, path: table.to_csv(path)),
    "a header alone": ("m.csv", lambda table, path: table.to_csv(path, index=False)),
    "names alone": ("m.csv", lambda table, path: table.to_csv(path, header=False)),
    "a named corner": ("m.csv", lambda table, path: table.to_csv(path, index_label="class")),
    "a table as ours": ("m.parquet", lambda table, path: table.to_parquet(path)),
    "no index": ("m.parquet", lambda table, path: table.reset_index(drop=True).to_parquet(path)),
    "a column of names": ("m.parquet", lambda table, path: table.reset_index().to_parquet(path)),
}


@pytest.mark.parametrize(("name", "save"), WRITTEN.values(), ids=WRITTEN)
def test_names_say_the_order_and_may_be_more_than_ours(
    tmp_path: Path, name: str, save: Any
) -> None:
    table = (
        frame()
        .iloc[::-1, ::-1]
        .rename(index={"willow_tree": "Willow Tree"}, columns={"willow_tree": "Willow Tree"})
    )
    save(table, tmp_path / name)
    np.testing.assert_allclose(read_matrix(tmp_path / name, NAMES), distances())
    kept = [4, 0, 2]
    some = [NAMES[place] for place in kept]
    np.testing.assert_allclose(read_matrix(tmp_path / name, some), distances()[np.ix_(kept, kept)])


def test_directed_divergences_are_averaged_and_the_diagonal_does_not_count(tmp_path: Path) -> None:
    directed = distances() + np.triu(np.ones((7, 7)), 1) + np.diag(np.full(7, np.nan))
    np.save(tmp_path / "m.npy", directed)
    wanted = distances() + 0.5 * (1 - np.eye(7))
    np.testing.assert_allclose(read_matrix(tmp_path / "m.npy", NAMES), wanted)


REFUSED = {
    "another suffix": ("m.txt", lambda path: path.write_text("1"), "must be a file .npy, .csv"),
    "no matrix": ("m.npy", lambda path: path.write_text("x"), "is not a readable matrix"),
    "a pickle": (
        *("m.npy", lambda path: np.save(path, np.array([{}]), allow_pickle=True)),
        "is not a readable matrix",
    ),
    "an empty file": ("m.csv", lambda path: path.write_text(""), "different length"),
    "no square": ("m.npy", lambda path: np.save(path, np.ones((7, 6))), r"shape \(7, 6\)"),
    "another number of classes": (
        *("m.npy", lambda path: np.save(path, np.ones((6, 6)))),
        "has 6 classes without names, and the data set 7; give a CSV or Parquet file",
    ),
    "a class too few": (
        *("m.csv", lambda path: frame(NAMES[:-1], distances(6)).to_csv(path)),
        "has no class 'sea'; it has 'cat', 'dog'",
    ),
    "rows in another order": (
        *("m.csv", lambda path: frame().iloc[::-1].to_csv(path)),
        "rows are called otherwise than its columns",
    ),
    "one name twice": (
        *("m.csv", lambda path: frame(["cat", *NAMES[:6]]).to_csv(path)),
        "two columns of one name",
    ),
    "an infinite distance": (
        *("m.csv", lambda path: frame(values=distances() + np.where(distances() > 5, np.inf, 0))),
        "no finite distance of",
    ),
}


@pytest.mark.parametrize(("name", "save", "says"), REFUSED.values(), ids=REFUSED)
def test_what_is_no_such_matrix_is_refused(tmp_path: Path, name: str, save: Any, says: str) -> None:
    made = save(tmp_path / name)
    if isinstance(made, pd.DataFrame):
        made.to_csv(tmp_path / name)
    with pytest.raises(DataError, match=says) as error:
        read_matrix(tmp_path / name, NAMES)
    assert name in str(error.value)


def test_rho_is_scipy_s_over_the_pairs_and_n_counts_classes() -> None:
    x, y = distances(12), distances(12, seed=1) + distances(12)
    upper = np.triu_indices(12, 1)
    found = matrix_spearman(x, y)
    assert found.rho == pytest.approx(stats.spearmanr(x[upper], y[upper]).statistic)
    assert found.n == 12
    assert found.low < found.rho < found.high
    assert found == matrix_spearman(x, y)
    assert matrix_spearman(y, x).rho == pytest.approx(found.rho)


def test_p_is_of_permuted_classes_not_of_permuted_pairs() -> None:
    # Mantel's p of unrelated matrices is uniform; that of their 66 pairs as if independent is not.
    seeds = range(0, 120, 2)
    p = [matrix_spearman(distances(12, s), distances(12, s + 1), resamples=99).p for s in seeds]
    assert stats.kstest(p, "uniform").pvalue > 0.01
    assert matrix_spearman(distances(12), distances(12) ** 2, resamples=99).p == 0.01


def test_few_classes_have_no_interval_and_two_no_correlation() -> None:
    few = matrix_spearman(distances(5), distances(5, seed=1))
    assert np.isfinite([few.rho, few.p]).all() and np.isnan([few.low, few.high]).all()
    assert np.isnan(matrix_spearman(distances(2), distances(2)).rho)
    flat = 1 - np.eye(8)
    assert np.isnan(matrix_spearman(flat, distances(8)).rho)
    same = matrix_spearman(distances(8), distances(8))
    assert same.rho == pytest.approx(1.0) and np.isnan(same.low)
    with pytest.raises(DataError, match=r"shape \(8, 8\) and \(7, 7\)"):
        matrix_spearman(distances(8), distances(7))
