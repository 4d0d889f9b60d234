"""The study of Deep Compression: what it is of, and which code its networks are made by.

Makes: DEEP_STUDY (the config's section), DEEP_NETWORKS and LABEL_AWARE_SUBSETS, and the helpers that
       the rules of the study call.
"""

from laq.deep import plan as deep_plan

DEEP_STUDY = STUDY["deep_compression"]
DEEP_NETWORKS = DEEP_STUDY["networks"]
LABEL_AWARE = DEEP_STUDY["label_aware"]
LABEL_AWARE_SUBSETS = list(SUBSETS) if LABEL_AWARE["subsets"] == "all" else LABEL_AWARE["subsets"]


def deep_study_code(script):
    """Digest of a script of the study: with its network's modules alone."""
    return lambda wildcards: network_code(script, wildcards.network, *deep_plan.MODULES)


def deep_study_processes(wildcards):
    """How many processes share a training of the study."""
    return deep_plan.processes(DEEP_STUDY, wildcards.network)
