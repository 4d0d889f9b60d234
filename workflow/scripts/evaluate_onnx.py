"""Evaluate an ONNX file in ONNX Runtime, and compare it with the checkpoint it was made from."""


def evaluate_onnx(
    test: str,
    classes: str,
    subset: str,
    checkpoint: str,
    original: str,
    accuracy: str,
    onnx: str,
    table: str,
    network: str,
    variant: str,
    repeat: int,
) -> None:
    """Write two rows, one for each scope.

    Raises ``CheckpointError`` where top-1 differs from that of the checkpoint in ``accuracy``.
    """
    from pathlib import Path

    import torch

    from laq import data
    from laq.checkpoints import inference, lineage
    from laq.distances import subset_files
    from laq.models import networks
    from laq.onnx import runtime
    from laq.utils.files import read_table, write_rows

    split = data.load(test, classes)
    selection = subset_files.read(subset, split.classes)
    lineage.check_all([checkpoint], [(variant, repeat)], split, selection)
    images, labels = data.of_classes(split, selection["indices"])
    table_of_torch = read_table(accuracy, ["variant", "repeat", "scope", "correct"])
    mask = (table_of_torch["variant"] == variant) & (table_of_torch["repeat"] == repeat)
    network_of_torch = inference.load(checkpoint)
    comparisons = runtime.compare(
        onnx,
        torch.from_numpy(runtime.predict(onnx, images)),
        networks.predict(network_of_torch, torch.from_numpy(images), torch.device("cpu")),
        torch.from_numpy(labels),
        selection["indices"],
        dict(table_of_torch[mask].set_index("scope")["correct"]),
        accuracy,
        inference.on_grids(checkpoint),
    )
    ids = {"network": network, "subset": selection["subset"], "variant": variant, "repeat": repeat}
    files = {"onnx_bytes": onnx, "packed_bytes": checkpoint, "float_bytes": original}
    sizes = {key: Path(path).stat().st_size for key, path in files.items()}
    stored = runtime.stored(onnx)
    write_rows(table, [{**ids, **vars(row), **sizes, **stored} for row in comparisons])


if "snakemake" in globals():
    import sys

    sys.path.insert(0, snakemake.scriptdir)
    import job

    job.run(snakemake, evaluate_onnx)
