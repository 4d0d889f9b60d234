"""Figure 4: a layer's weights before and after quantization."""


def plot_weights(
    checkpoint: str,
    parent: str,
    train: str | list[str],
    classes: str | list[str],
    pdf: str,
    png: str,
    study: str,
    network: str,
    subset: str,
    variant: str,
    layer: str | None,
) -> None:
    """Draw one layer as PDF and PNG.

    ``train`` and ``classes`` are given where BatchNorm was folded before quantization. The parent
    is then folded in the same way, which needs an image.
    """
    from laq import data
    from laq.figures import weights as layer_weights
    from laq.figures.style import name, save
    from laq.figures.weights import weights_before_and_after

    image = data.load(train, classes).images[:1] if train else None
    state = layer_weights.parent_state(parent, image)
    weights = layer_weights.read(checkpoint, state, layer)
    title = f"{study}: {network}, {name(variant)} for {subset}"
    save(weights_before_and_after(weights, title), pdf, png)


if "snakemake" in globals():
    import sys

    sys.path.insert(0, snakemake.scriptdir)
    import job

    job.run(snakemake, plot_weights)
