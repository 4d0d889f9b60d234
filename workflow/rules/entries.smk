"""The zoo's entries: what each is measured on, and which code makes it.

Makes: ZOO (the config's section), ZOO_METHODS and ZOO_SUBSETS, and the helpers that zoo.smk calls.
"""

from laq.zoo import entries as zoo_entries

ZOO = STUDY["zoo"]
ZOO_METHODS = zoo_entries.recipes(ZOO)
ZOO_SUBSETS = list(SUBSETS) if ZOO["subsets"] == "all" else ZOO["subsets"]


def zoo_calibrations(method):
    return zoo_entries.calibrations(ZOO_METHODS[method], ZOO["calibrations"])


def zoo_images(wildcards):
    """The images made without data, for each subset, where an entry is calibrated on such."""
    asked = "synthetic" in zoo_calibrations(wildcards.method)
    pattern = f"<results>/synthetic/{wildcards.network}/{{subset}}/synthetic.npz"
    return expand(pattern, subset=ZOO_SUBSETS) if asked else []


def zoo_code(wildcards):
    """Digest for an entry: the modules of its own step, method, alphabet and network alone."""
    named = zoo_entries.modules(ZOO_METHODS[wildcards.method])
    return network_code("measure_zoo.py", wildcards.network, *named)


def zoo_processes(wildcards):
    """How many processes share an entry's training; one where there is none."""
    recipe = ZOO_METHODS[wildcards.method]
    return recipe.get(steps.of(recipe), {}).get("processes", 1)


def zoo_settings(network, method):
    """Settings of measuring an entry: its own recipe alone, and of it what makes a difference."""
    return settings_text(
        network=network,
        method=method,
        recipe=zoo_entries.settings(ZOO_METHODS[method]),
        calibrations=zoo_calibrations(method),
        seed=SEED,
    )
