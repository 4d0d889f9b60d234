"""Label-aware quantization: does calibrating on the deployed classes help, and when?

The road, one file of rules a stage; config/README.md explains the config, results/README.md
the artifacts.
"""

from snakemake.utils import min_version

min_version("9.10")

# A study's config is whole: one given by --configfile replaces the default study.
if not workflow.configfiles:

    configfile: "config/config.yaml"


include: "workflow/rules/common.smk"


pathvars:
    results=config["root"],
    logs=f"{config['root']}/logs",
    benchmarks=f"{config['root']}/benchmarks",


include: "workflow/rules/dataset.smk"  #   images
include: "workflow/rules/networks.smk"  #  trained networks
include: "workflow/rules/distances.smk"  # features, UMAP, class × class KL matrix
include: "workflow/rules/subsets.smk"  #   class subsets by median inter-class distance
include: "workflow/rules/variants.smk"  #  fine-tuned and quantized networks
include: "workflow/rules/accuracy.smk"  #  top-1 over all classes and over the subset
include: "workflow/rules/figures.smk"  #   figures and their tables


rule all:
    default_target: True
    input:
        "<results>/accuracy.csv",
        "<results>/tables/subsets.csv",
        "<results>/tables/curves.csv",
        "<results>/figures/fig5.pdf",
