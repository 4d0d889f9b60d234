"""Label-aware quantization: does calibrating on the deployed classes help, and when?

The road, one file of rules a stage; config/README.md explains the config, results/README.md
the artifacts.
"""

from pathlib import Path

from snakemake.utils import min_version

min_version("9.27")

# From elsewhere Snakemake fetches rules and scripts one by one, and not the library they import.
if not Path(str(workflow.current_basedir)).is_dir():
    raise WorkflowError(
        f"this workflow runs from a clone on this machine, not from {workflow.current_basedir}: "
        'git clone its repository, and write snakefile: "path/to/clone/Snakefile" in the module'
    )

# A study's config is whole: one given by --configfile replaces the default study.
if not workflow.configfiles:

    configfile: f"{workflow.current_basedir}/config/config.yaml"


report: "workflow/report/workflow.rst"


include: "workflow/rules/common.smk"


pathvars:
    results=config["root"],
    logs=f"{config['root']}/logs",
    benchmarks=f"{config['root']}/benchmarks",


if STUDY["kind"] == "replay":

    include: "workflow/rules/replay.smk"  #    published logs instead of a study's own results

else:

    include: "workflow/rules/data.smk"  #      images
    include: "workflow/rules/networks.smk"  #  trained networks
    include: "workflow/rules/distances.smk"  # features, UMAP, class × class KL matrix, subsets
    include: "workflow/rules/synthesis.smk"  # calibration images made without data
    include: "workflow/rules/variants.smk"  #  fine-tuned and quantized networks, and their accuracy
    include: "workflow/rules/experiments.smk"  # other settings, and what makes the effect
    include: "workflow/rules/figures.smk"  #   classes, weights, memory, the road itself

    if "deploy" in STUDY:

        include: "workflow/rules/deploy.smk"  # ONNX files, and which variant to deploy

    if "zoo" in STUDY:

        include: "workflow/rules/zoo.smk"  # quantizers side by side: target zoo

    if "deep_compression" in STUDY:

        include: "workflow/rules/deep_compression.smk"  # in numbers: target deep_compression

    if "partial_qat" in STUDY:

        include: "workflow/rules/partial_qat.smk"  # layers quantized in training: target partial_qat


include: "workflow/rules/analysis.smk"  # curves, differences, verdicts
include: "workflow/rules/accuracy_figures.smk"  # accuracy against median ICD
include: "workflow/rules/report.smk"  # what the report says of the study itself


# Every artifact, so that one that was deleted is made again, and what follows from it.
rule all:
    default_target: True
    input:
        PLAN.artifacts(),
        PLAN.exports(),
        expand("<results>/tables/{table}.csv", table=["curves", "differences"]),
        expand("<results>/tables/{file}", file=["claims.csv", "claims.md", "sensitivity.csv"]),
        PLAN.further_tables(),
        "<results>/provenance.json",
        PAGES,
        expand("<results>/figures/{figure}.{suffix}", figure=PLAN.figures(), suffix=["pdf", "png"]),
    message:
        f"{NAME}: all artifacts are in {STUDY['root']}"
