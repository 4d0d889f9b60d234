"""What goes out of a study, as its config asks.

Makes: the helpers that deploy.smk, the report and all artifacts call; replay.smk has those of a replay.
"""


def exported(suffix):
    """What is made in ONNX: the variants that ``deploy`` names for its subsets, or for all."""
    deployed = STUDY.get("deploy", {"variants": [], "subsets": []})
    return expand(
        f"<results>/onnx/{{network}}/{{subset}}/{{variant}}.{suffix}",
        network=NETWORKS,
        subset=deployed["subsets"] or SUBSETS,
        variant=deployed["variants"],
    )


def exported_checkpoint(wildcards):
    return checkpoint(wildcards.network, wildcards.subset, wildcards.variant)


def deploy_tables():
    if "deploy" not in STUDY:
        return []
    tables = ["deploy", "onnx"] if STUDY["deploy"]["variants"] else ["deploy"]
    return expand("<results>/tables/{table}.csv", table=tables)


def exports():
    """All of it."""
    return [*exported("onnx"), *exported("csv"), *deploy_tables()]
