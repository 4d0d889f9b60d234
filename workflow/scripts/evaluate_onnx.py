"""Evaluate an ONNX file in ONNX Runtime, beside the checkpoint it was made of."""


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

    Raises ``CheckpointError`` where top-1 is not what ``accuracy`` says of the checkpoint.
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
    chosen = subset_files.read(subset, split.classes)
    lineage.check_all([checkpoint], [(variant, repeat)], split, chosen)
    images, labels = data.of_classes(split, chosen["indices"])
    table_of_torch = read_table(accuracy, ["variant", "repeat", "scope", "correct"])
    mine = (table_of_torch["variant"] == variant) & (table_of_torch["repeat"] == repeat)
    network_of_torch = inference.load(checkpoint)
    comparisons = runtime.compare(
        onnx,
        torch.from_numpy(runtime.predict(onnx, images)),
        networks.predict(network_of_torch, torch.from_numpy(images), torch.device("cpu")),
        torch.from_numpy(labels),
        chosen["indices"],
        dict(table_of_torch[mine].set_index("scope")["correct"]),
        accuracy,
        inference.on_grids(checkpoint),
    )
    place = {"network": network, "subset": chosen["subset"], "variant": variant, "repeat": repeat}
    files = {"onnx_bytes": onnx, "packed_bytes": checkpoint, "float_bytes": original}
    sizes = {key: Path(path).stat().st_size for key, path in files.items()}
    stored = runtime.stored(onnx)
    write_rows(table, [{**place, **vars(row), **sizes, **stored} for row in comparisons])


if "snakemake" in globals():
    import sys

    sys.path.insert(0, snakemake.scriptdir)
    import job

    job.run(snakemake, evaluate_onnx)
