"""Published logs through the real workflow: read, replaced, added, left out, refused."""

from __future__ import annotations

import hashlib
import json
import subprocess
from pathlib import Path

import pandas as pd
import pytest

from tests.logs import COLUMNS, FILES, PUBLISHED, QUANT, row, write
from tests.workflow.conftest import Checkout

CONFIG = "config/published.yaml"
ROOT = "results/published"
ACCURACY = f"{ROOT}/accuracy.csv"
MEDIANS = (0.5, 2.0, 8.0, 30.0, 60.0)


@pytest.fixture
def checkout(tmp_path: Path) -> Checkout:
    """A copy of the project beside logs that stand where the published ones do by default."""
    folder = tmp_path / "shared" / "published"
    folder.mkdir(parents=True)
    for step, name in enumerate(FILES.values()):
        rates = {QUANT: 0.5 + step / 10}
        write(folder / name, [row((i, i + 1), x, **rates) for i, x in enumerate(MEDIANS)])
    return Checkout.create(tmp_path / "laq")


def replay(
    checkout: Checkout, *config: str, target: str = ACCURACY
) -> subprocess.CompletedProcess[str]:
    return checkout.snakemake(target, *(["--config", *config] if config else []), config=CONFIG)


def accuracy(checkout: Checkout) -> pd.DataFrame:
    table = pd.read_csv(checkout.path / ACCURACY)
    return table.query("variant == 'quant' and scope == 'all'")


def refused(checkout: Checkout, *config: str) -> str:
    done = replay(checkout, *config)
    printed = done.stdout + done.stderr
    assert done.returncode != 0
    assert "Traceback" not in printed
    assert not (checkout.path / ACCURACY).exists()
    return printed


def test_logs_are_read_replaced_added_and_left_out(checkout: Checkout) -> None:
    done = replay(checkout)
    assert done.returncode == 0, done.stderr
    quant = accuracy(checkout)
    assert quant["setting"].unique().tolist() == ["4bit", "3bit", "32bit", "mp53", "mp35"]
    assert quant.groupby("setting")["top1"].mean()["mp53"] == pytest.approx(0.8)
    subsets = pd.read_csv(checkout.path / ROOT / "tables/subsets.csv")
    assert subsets["median_icd"].tolist() == list(MEDIANS)
    assert len(pd.read_csv(checkout.path / ROOT / "tables/logs.csv")) == 5

    # A name with a blank, a subset twice, and another width.
    rows = [row((i, i + 1), x, Bits=2, **{QUANT: 0.1}) for i, x in enumerate(MEDIANS)]
    rows.append(row((1, 0), MEDIANS[0], Bits=2, **{QUANT: 0.3}))
    own = write(checkout.path / "my log.csv", rows)
    done = replay(checkout, "log_2bit=my log.csv", f"log_4bit={own}", "log_3bit=null")
    assert done.returncode == 0, done.stderr
    assert "log 2bit has more than one row of subset_01 (lines 2, 7): they" in done.stderr
    quant = accuracy(checkout)
    assert quant["setting"].unique().tolist() == ["4bit", "32bit", "mp53", "mp35", "2bit"]
    assert quant.query("setting == '4bit'")["top1"].max() == pytest.approx(0.3)
    assert quant.query("setting == '2bit' and subset == 'subset_01'")["repeat"].tolist() == [1, 2]

    given = ["log_2bit=my log.csv", f"log_4bit={own}", "log_3bit=null"]
    done = replay(checkout, *given, target=f"{ROOT}/provenance.json")
    assert done.returncode == 0, done.stderr
    provenance = json.loads((checkout.path / ROOT / "provenance.json").read_text())
    logs = {log["name"]: log for log in provenance["outside"]["logs"]}
    assert logs.keys() == {"my log.csv", *(FILES[name] for name in ("32bit", "mp53", "mp35"))}
    assert logs["my log.csv"]["sha256"] == hashlib.sha256(own.read_bytes()).hexdigest()
    assert "torch" not in provenance["machine"] and provenance["threads"] == {"all else": 1}


def test_a_missing_log_is_named_before_any_job(checkout: Checkout) -> None:
    printed = refused(checkout, "log_2bit=nowhere.csv")
    assert "log_2bit: there is no file nowhere.csv" in printed
    assert "log_2bit=null" in printed
    assert not (checkout.path / "results").exists()


def test_a_log_that_only_the_config_lists_is_left_out_and_said(checkout: Checkout) -> None:
    (checkout.path.parent / "shared/published" / FILES["mp53"]).unlink()
    printed = checkout.run("-n", config="config/published.yaml")
    assert "log_mp53 is left out" in printed and FILES["mp53"] in printed


def test_a_log_of_another_format_is_named_with_the_remedy(checkout: Checkout) -> None:
    columns = [name.replace(QUANT, "Quantised Top1 Accuracy") for name in COLUMNS]
    write(checkout.path / "odd.csv", [row()], columns)
    printed = refused(checkout, "log_4bit=odd.csv")
    assert "odd.csv lacks columns that a replay needs" in printed
    assert f"{QUANT} (is it 'Quantised Top1 Accuracy'?)" in printed


def test_a_faulty_config_is_refused_before_any_job(checkout: Checkout) -> None:
    printed = refused(checkout, "main=5bit")
    assert "main: '5bit' is no log" in printed and "there are: 4bit, 3bit, 32bit" in printed
    assert not (checkout.path / "results").exists()


@pytest.mark.skipif(not PUBLISHED.is_dir(), reason="the published logs are not there")
def test_the_published_logs_give_the_published_curves(tmp_path: Path) -> None:
    checkout = Checkout.create(tmp_path / "laq")
    logs = [f"log_{setting}={PUBLISHED / name}" for setting, name in FILES.items()]
    done = replay(checkout, *logs, target=f"{ROOT}/tables/curves.csv")
    assert done.returncode == 0, done.stderr
    assert "log 4bit has more than one row of subset_11 (lines 20, 29): they" in done.stderr
    assert accuracy(checkout).groupby("setting").size().to_dict() == {
        "32bit": 33,
        "3bit": 33,
        "4bit": 35,
        "mp35": 33,
        "mp53": 33,
    }
    curves = pd.read_csv(checkout.path / ROOT / "tables/curves.csv")
    curves = curves.set_index(["setting", "variant", "scope"])
    known = {"all": (0.839, 0.820, 0.937, 0.798), "subset": (0.941, 0.821, 0.942, 0.798)}
    for scope, means in known.items():
        for variant, mean in zip(("original", "quant", "ft", "ft_quant"), means, strict=True):
            assert curves.loc["4bit", variant, scope]["mean"] == pytest.approx(mean, abs=6e-4)
    quant = curves.loc["4bit", "quant", "all"]
    assert (quant["n"], quant["subsets"]) == (35, 34)
    assert (quant["a"], quant["c"]) == pytest.approx((0.058, 0.697), abs=5e-4)
    assert quant["spearman"] == pytest.approx(0.93, abs=5e-3)
    assert quant["above"] == 15
    assert curves.loc["4bit", "quant", "subset"]["above"] == 0
