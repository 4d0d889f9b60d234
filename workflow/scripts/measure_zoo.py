"""Make one entry of the zoo for every subset and calibration, and measure each network."""

from typing import Any


def measure_zoo(
    train: str,
    test: str,
    classes: str,
    subsets: list[str],
    synthetic: list[str],
    parent: str,
    table: str,
    seconds: str,
    network: str,
    method: str,
    recipe: dict[str, Any],
    calibrations: list[str],
    seed: int,
    device: str,
    memory_mb: int,
) -> None:
    """Write two rows a subset and calibration, one for each scope; and how long each took.

    synthetic: images made without data, a file for each of ``subsets`` where a calibration uses
    them. recipe: of the entry; empty for the trained network itself.
    """
    from pathlib import Path

    from tqdm import tqdm

    from laq import data
    from laq.checkpoints import lineage
    from laq.distances import subset_files
    from laq.experiments.zoo.runner import ZooRunner
    from laq.utils import devices
    from laq.utils.files import write_rows

    training, testing = (data.load(path, classes) for path in (train, test))
    selections = [subset_files.read(path, training.classes) for path in subsets]
    synthetic_paths = dict(zip(subsets, synthetic, strict=False))
    described = lineage.of_parent(parent, "original", training, None, seed)
    runner = ZooRunner(
        parent=parent,
        described=described,
        name=method,
        recipe=recipe,
        train=training,
        test=testing,
        seed=seed,
        memory=memory_mb * 2**20,
        device=devices.pick(device),
        place=Path(table).parent,
    )
    results, times = [], []
    for path, subset in tqdm(list(zip(subsets, selections, strict=True)), desc="subsets"):
        subset_ids = {"network": network, "method": method, "subset": subset["subset"]}
        distances = {key: subset[key] for key in ("median_icd", "mean_icd")}
        for calibration in calibrations:
            images = None
            if calibration == "synthetic":
                images = data.load(synthetic_paths[path], classes, whole=False)
            ids = {**subset_ids, "calibration": calibration}
            rows, duration = runner.measure(subset["indices"], calibration, images)
            results += [{**ids, "scope": row.pop("scope"), **distances, **row} for row in rows]
            times.append({**ids, **duration})
    write_rows(table, results)
    write_rows(seconds, times)


if "snakemake" in globals():
    import sys

    sys.path.insert(0, snakemake.scriptdir)
    import job

    job.run(snakemake, measure_zoo)
