"""The parts of a replay of published logs.

Makes: LOGS (path of each setting's log), and what figures and claims ask of a replay as of a study:
settings, arms, tables.
"""

AXIS = STUDY["scale"]
PUBLISHED = []
LOGS = {name: str(files.expanded(path)) for name, path in replay.logs(STUDY).items()}


def sweep_table():
    return []


def memory_table():
    return []


def condition_verdicts():
    return []


def similarity_tables():
    return []


def replication_tables():
    return []


def deploy_tables():
    return []


def exports():
    return []


def logs_table():
    return ["<results>/tables/logs.csv"]


def pretrained_networks():
    return []


def outside():
    """What tells of files from outside: the logs themselves."""
    return {"dataset": [], "checkpoints": [], "features": [], "logs": list(LOGS.values())}


def shown_settings():
    """Settings whose panels figure 5 shows."""
    return [STUDY["main"]]


def shown_variants():
    """Variants of figure 5."""
    return FIGURES["accuracy"] or ["original", "quant", "ft", "ft_quant"]


def mixed_arms():
    """Arms of figure 6: setting, variant, and label."""
    return replay.mixed_arms(STUDY)


def claim_arms():
    """Which arm stands for each part in the claims."""
    return replay.claim_arms(STUDY)


def claim_bits():
    """None: the logs say it themselves."""
    return {}


def sweep_base():
    return None


def artifacts():
    """All files of a replay but the tables and figures that a study has as well."""
    return ["<results>/accuracy.csv", "<results>/tables/subsets.csv", "<results>/tables/logs.csv"]


def figures():
    """The figures that a replay has something to show in."""
    return ["fig5", *(["fig6"] if FIGURES["mixed"] else [])]
