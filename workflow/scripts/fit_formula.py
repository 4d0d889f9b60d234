"""The formula of partial training (accuracy and bytes by what is quantized), and its test."""


def fit_formula(
    runs: str,
    tensors: list[str],
    formula: str,
    prediction: str,
    recommendation: str,
    networks: list[str],
    budgets: dict[str, list[float]],
    confidence: float,
    resamples: int,
    seed: int,
) -> None:
    """Write the candidates, how they predict another network, and what they recommend.

    tensors: the tables of ``networks``, in their order. budgets: shares of what a network takes in
    float by quantity, and drops of top-1.
    """
    import pandas as pd

    from laq.analysis.partial import candidates, sizes, table
    from laq.analysis.partial import formula as drops
    from laq.analysis.partial import prediction as test
    from laq.analysis.partial import recommendation as advice
    from laq.utils.files import write_csv

    measurements = table.read(runs)
    all_class_runs = table.on_everything(measurements)
    curves = table.curves(table.drops(all_class_runs))
    sizes_by_network = {
        network: sizes.read(path, sizes.names_of(all_class_runs, network))
        for network, path in zip(networks, tensors, strict=True)
    }
    rows = drops.table(curves, confidence, resamples, seed)
    rows += sizes.rows(all_class_runs, curves, sizes_by_network)
    write_csv(formula, pd.DataFrame(rows, columns=drops.COLUMNS))
    predictions = test.table(curves, confidence, resamples, seed)
    predictions += sizes.foretold(all_class_runs, curves, sizes_by_network)
    write_csv(prediction, pd.DataFrame(predictions, columns=test.COLUMNS))
    recommendations = []
    for network in networks:
        arms, top1 = candidates.arms(
            measurements, sizes_by_network[network], network, confidence, resamples, seed
        )
        recommendations += advice.rows(network, arms, top1, advice.budgets(budgets, arms[0].bytes))
    write_csv(recommendation, pd.DataFrame(recommendations, columns=advice.COLUMNS))


if "snakemake" in globals():
    import sys

    sys.path.insert(0, snakemake.scriptdir)
    import job

    job.run(snakemake, fit_formula)
