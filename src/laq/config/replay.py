"""The config of a replay: its logs, and the roles that their arms play.

An arm is written ``setting/variant``: the setting is a log, the variant one of its four networks.
Everything here is pure and light, since it runs each time the workflow is parsed.
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Container, Iterator
from typing import Any

from laq.config.schema import refuse
from laq.utils.errors import ConfigError
from laq.utils.files import is_file

Config = dict[str, Any]

# The roles in the conclusions and the arms that play them. Arms of absent logs are left out.
_ROLES = {
    "original": "{main}/original",
    "quant": "{main}/quant",
    "ft": "{main}/ft",
    "ft_quant": "{main}/ft_quant",
    "mp53": "mp53/quant",
    "mp35": "mp35/quant",
    "bits32": "32bit/quant",
}

# The roles in figure 6, where there is at least one log of mixed precision.
_MIXED = ("original", "quant", "mp53", "mp35")


def logs(config: Config) -> dict[str, str]:
    """Path of each setting's log, in the config's order; a log set to null is left out."""
    paths = {k.removeprefix("log_"): v for k, v in config.items() if k.startswith("log_")}
    return {setting: path for setting, path in paths.items() if path is not None}


def filled(config: Config) -> Config:
    """A copy of the config, completed from its schema, with the defaults that depend on its logs.

    These are the arms of ``claims`` and of ``figures.mixed``.

    Raises:
        ConfigError: one line for each key that names a log that is not there.
    """
    settings = list(logs(config))
    refuse(_faults(config, settings))
    arms = {role: arm.format(main=config["main"]) for role, arm in _ROLES.items()}
    available = {role: arm for role, arm in arms.items() if _setting(arm) in settings}
    mixed = [available[role] for role in _MIXED if role in available]
    has_mixed = "mp53" in available or "mp35" in available
    figures = {"mixed": mixed if has_mixed else [], **config["figures"]}
    return {**config, "claims": available | config["claims"], "figures": figures}


def with_files(config: Config, named: Container[str]) -> tuple[Config, list[str]]:
    """The config without the logs that have no file, and a line for each of these.

    ``named``: keys that the command line gives. Their logs and the main one must exist. A missing
    log that only the config's file lists is left out, so that one log can be replayed alone.

    Raises:
        ConfigError: naming each such key and path, and what to do.
    """
    absent = {s: path for s, path in logs(config).items() if not is_file(path)}
    if missing := [s for s in absent if s == config["main"] or f"log_{s}" in named]:
        lines = [f"  log_{setting}: there is no file {absent[setting]}" for setting in missing]
        remedy = f"say where it is (--config log_{missing[0]}=PATH)"
        others = [setting for setting in missing if setting != config["main"]]
        if others:
            nulls = " ".join(f"log_{setting}=null" for setting in others)
            remedy += f", or leave it out (--config {nulls})"
        raise ConfigError("\n".join(["logs to replay are missing:", *lines, remedy]))
    messages = [
        f"log_{setting} is left out: there is no file {path}; say where it is with "
        f"--config log_{setting}=PATH, or that it is not meant with --config log_{setting}=null"
        for setting, path in absent.items()
    ]
    return {**config, **{f"log_{setting}": None for setting in absent}}, messages


def claim_arms(config: Config) -> dict[str, list[str]]:
    """The setting and the variant that play each role in the claims."""
    return {role: _split(arm) for role, arm in config["claims"].items()}


def mixed_arms(config: Config) -> list[list[str | None]]:
    """The arms of figure 6: setting, variant and label (None: the variant's own name)."""
    arms = [_split(arm) for arm in config["figures"]["mixed"]]
    return [[*arm, _label(*arm, config["main"])] for arm in arms]


def _label(setting: str, variant: str, main: str) -> str | None:
    """The label of an arm: ``4 bits`` of 4bit/quant, ``5 + 3 bits`` of mp53/quant; or None."""
    if match := re.fullmatch(r"(\d+)bit", setting):
        text = f"{match[1]} bits"
    elif match := re.fullmatch(r"mp(\d)(\d)", setting):
        text = f"{match[1]} + {match[2]} bits"
    else:
        text = setting
    if variant == "quant":
        return text
    return None if setting == main else f"{variant} ({text})"


def _split(arm: str) -> list[str]:
    return arm.split("/")


def _setting(arm: str) -> str:
    return _split(arm)[0]


def _faults(config: Config, settings: list[str]) -> Iterator[str]:
    from laq.config.checks import check_root

    yield from check_root(config["root"])
    if not settings:
        yield "log_<setting>: none is given; give the path of at least one, as log_4bit: log.csv"
        return
    choices = f"there are: {', '.join(settings)}"
    if config["main"] not in settings:
        yield f"main: {config['main']!r} is no log{_hint(config['main'], settings)}; {choices}"
    arms = {f"claims.{role}": arm for role, arm in config["claims"].items()}
    mixed = config["figures"].get("mixed", [])
    arms |= {f"figures.mixed[{i}]": arm for i, arm in enumerate(mixed)}
    for key, arm in arms.items():
        if (setting := _setting(arm)) not in settings:
            yield f"{key}: {setting!r} is no log{_hint(setting, settings)}; {choices}"


def _hint(name: str, names: list[str]) -> str:
    matches = difflib.get_close_matches(name, names, 1)
    return f" (did you mean {matches[0]}?)" if matches else ""
