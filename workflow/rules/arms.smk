"""The arms of partial training: which jobs there are, and what each depends on.

Makes: PARTIAL (the config's section), PARTIAL_NETWORKS, PARTIAL_JOBS (of each), PARTIAL_FOUND and
PARTIAL_FIGURES (names of what is made of the runs), and the helpers that partial_qat.smk calls.
"""

from laq.partial import jobs as partial_jobs

PARTIAL = STUDY["partial_qat"]
PARTIAL_NETWORKS = partial_jobs.networks(PARTIAL, STUDY["networks"])
PARTIAL_JOBS = {network: partial_jobs.names(PARTIAL, network) for network in PARTIAL_NETWORKS}


def partial_tables(suffix=""):
    """What all jobs of all networks write."""
    return [
        f"<results>/partial_qat/{network}/{arms}{suffix}.csv"
        for network, jobs in PARTIAL_JOBS.items()
        for arms in jobs
    ]


def partial_settings(network, arms):
    """Settings of a job's arms: of the section what they depend on, and no more."""
    settings = partial_jobs.settings(PARTIAL, network, arms)
    return settings_text(network=network, seed=SEED, **settings)


def partial_code(wildcards):
    """Digest for a job: the modules of its own methods, alphabets and network alone."""
    named = partial_jobs.modules(PARTIAL, wildcards.arms)
    return network_code("measure_partial.py", wildcards.network, *named)


def traffic_settings():
    """Settings of the arms whose steps are counted: the training of the control, and bits."""
    own = partial_jobs.control_training(PARTIAL)
    return settings_text(networks=PARTIAL_NETWORKS, bits=PARTIAL["bits"], training=own, seed=SEED)


def traffic_code():
    """Digest for the counting of steps: the modules of every network."""
    named = partial_jobs.modules(PARTIAL, partial_jobs.WHOLE)
    kinds = {TRAINABLE[network]["architecture"] for network in PARTIAL_NETWORKS}
    own = {module for kind in kinds for module in own_networks.modules(kind)}
    return code("count_traffic.py", *sorted({*named, *own}))


PARTIAL_FOUND = ["formula", "prediction", "recommendation", "hypotheses"]
PARTIAL_FIGURES = {
    "accuracy": "accuracy by number of quantized layers",
    "size": "bytes of the file by number of quantized layers",
    "bandwidth": "bytes sent by number of quantized layers",
    **({"position": "what a single layer costs"} if "single" in PARTIAL["positions"] else {}),
    "pareto": "accuracy against bytes",
}


def partial_figure(name):
    """A figure of partial training as an output, PDF and PNG; the report shows the latter."""
    png = report(
        f"<results>/partial_qat/{name}.png",
        caption=f"../report/partial_{name}.rst",
        category="Partial training",
        labels={"figure": name, "shows": PARTIAL_FIGURES[name]},
    )
    return [f"<results>/partial_qat/{name}.pdf", png]


PARTIAL_PROCESSES = PARTIAL["training"]["processes"]
