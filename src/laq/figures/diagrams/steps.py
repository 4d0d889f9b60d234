"""What figures 2 and 3 show of the rule graph: which rules, what is in their boxes and labels."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from pathlib import Path
from typing import Any

from laq.config.recipes import STEPS
from laq.figures.diagrams.artifacts import words as content
from laq.figures.diagrams.boxes import Arrow, RoadStep
from laq.figures.diagrams.rulegraph import Net, RuleGraph, expression, plain

# The variants' recipes in a few words each, as the figure of the setup lists them.


Recipe = Mapping[str, Any]


def recipes(variants: Mapping[str, Recipe], step: str) -> list[str]:
    """A line for each variant that is made by ``step``.

    Settings that all of them share are listed once, in a line before them. Each variant's line
    lists its own. Some settings are always listed, others only where variants differ in them.
    ``variants``: the completed config's.
    """
    selected = {name: recipe for name, recipe in variants.items() if step in recipe}
    settings = [recipe[step] for recipe in selected.values()]
    listed = STEPS[step].told
    keys = list(dict.fromkeys([*listed, *(key for options in settings for key in options)]))
    differing = [key for key in keys if len({repr(options.get(key)) for options in settings}) > 1]
    shared = [key for key in listed if key not in differing] if len(selected) > 1 else []
    specific = differing if len(selected) > 1 else listed
    lines = []
    if shared:
        lines.append(
            "every variant: " + ", ".join(_phrase(key, settings[0][key]) for key in shared)
        )
    for name, recipe in selected.items():
        phrases = [_phrase(key, recipe[step][key]) for key in specific if key in recipe[step]]
        if recipe.get("parent", "original") != "original":
            phrases.append(f"from {recipe['parent']}")
        if recipe.get("repeats", 1) > 1:
            phrases.append(f"{recipe['repeats']} seeds")
        lines.append(": ".join([name, *([", ".join(phrases)] if phrases else [])]))
    return lines


def points(settings: Mapping[str, Any]) -> list[str]:
    """The points of a sweep: what is varied, and from which variant."""
    lines = [f"from {settings['variant']}, subset's and all classes"]
    if settings["bits"]:
        lines.append("bits: " + ", ".join(map(str, settings["bits"])))
    if settings["images"]:
        lines.append("calibration images: " + ", ".join(map(str, settings["images"])))
    if settings.get("repeats", 1) > 1:
        lines.append(f"{settings['repeats']} seeds")
    return lines


def _phrase(key: str, value: Any) -> str:
    match key:
        case "method":
            return {"gpfq_l1": "GPFQ-L1", "gpfq_l0": "GPFQ-L0"}.get(value, value.upper())
        case "bits":
            return f"{' + '.join(map(str, value)) if isinstance(value, list) else value} bits"
        case "bits_conv" | "bits_linear":
            return f"{key.removeprefix('bits_')} of {value} bits"
        case "ratios" if value:
            return "keeps " + ", ".join(f"{name} {share:g}" for name, share in value.items())
        case "images":
            return f"{value} calibration image{'s' * (value != 1)}"
        case "classes":
            labels = {"subset": "subset's classes", "all": "all classes", "none": "no class"}
            return labels.get(value, f"classes of {value}")
        case "activations" if value is not None:
            return f"inputs of {value['bits']} bits"
        case "epochs":
            return f"{value} epoch{'s' * (value != 1)}"
        case "learning_rate":
            return f"rate {value:g}"
    if isinstance(value, list | dict):
        value = " ".join(map(str, value)) or "none"
    if isinstance(value, bool):
        value = "yes" if value else "no"
    return f"{key.replace('_', ' ')} {value}"


# The preprocessing road ends where the subsets are listed. All else is the experiment.
LAST = "list_subsets"


def part(
    graph: RuleGraph,
    which: str,
    words: Mapping[str, str],
    stages: Mapping[str, str],
    files: Sequence[str],
    variants: Mapping[str, Mapping[str, Any]],
    sweep: Mapping[str, Any] | None,
) -> tuple[dict[str, RoadStep], list[Arrow]]:
    """Steps by name and arrows of one part of the road.

    Args:
        graph: of the study, without rules that are no step.
        which: ``preprocessing``, what the list of subsets needs and what shows it alone; or
            ``experiment``, the rest, entered from steps of the preprocessing.
        words: what each rule does. stages: of each rule.
        files: artifacts whose contents the arrows' labels tell.
        variants: their recipes. sweep: the config's entry, if there is one.
    """
    preprocessing = graph.before(LAST)
    preprocessing |= graph.only_from(preprocessing)
    inside = preprocessing if which == "preprocessing" else set(graph.rules) - preprocessing
    entries = (
        set()
        if which == "preprocessing"
        else {source for source, target in graph.edges if target in inside and source not in inside}
    )
    subgraph = graph.without(set(graph.rules) - inside - entries)
    subgraph = RuleGraph(
        subgraph.rules, frozenset(e for e in subgraph.edges if e[1] not in entries)
    )
    nets = subgraph.nets()
    boxes = _boxes(subgraph, nets, stages)
    notes = {
        **{step.rule: recipes(variants, name) for name, step in STEPS.items()},
        "sweep_calibration": points(sweep) if sweep else [],
    }
    leaves = set(subgraph.rules) - {net.source for net in nets}
    steps = {
        names[0]: RoadStep(
            titles=tuple(names),
            words=_words(names, entries, words),
            stage=stages[names[0]],
            notes=tuple(notes.get(names[0], ())) if names[0] not in entries else (),
            made=_made([output for name in names for output in subgraph.rules[name].outputs])
            if names[0] in leaves
            else (),
            before=names[0] in entries,
        )
        for names in boxes
    }
    arrows = [
        Arrow(
            net.source,
            tuple(t for t in net.targets if t in steps),
            _label(net.files, files),
            ", ".join(Path(plain(file)).name for file in net.files),
        )
        for net in nets
    ]
    return steps, arrows


def _boxes(graph: RuleGraph, nets: Sequence[Net], stages: Mapping[str, str]) -> list[list[str]]:
    """Names of the rules of each box; final rules of one stage with the same inputs share one."""
    sources = {net.source for net in nets}
    boxes: dict[Any, list[str]] = {}
    for name in graph.rules:
        incoming = frozenset(net for net in nets if name in net.targets)
        key = name if name in sources else (stages[name], incoming)
        boxes.setdefault(key, []).append(name)
    return list(boxes.values())


def _words(names: Sequence[str], entries: Collection[str], words: Mapping[str, str]) -> str:
    if names[0] in entries:
        return "from figure 2"
    return words.get(names[0], "") if len(names) == 1 else ""


def _made(outputs: Sequence[str]) -> tuple[str, ...]:
    """Names of the files that no further rule takes; the two formats of a figure have one name."""
    return tuple(sorted({Path(output).name.replace(".png", ".pdf") for output in outputs}))


def _label(patterns: Sequence[str], files: Sequence[str]) -> tuple[str, ...]:
    """A line with the name of each file, and one with its content."""
    lines = []
    for pattern in patterns:
        regex = expression(pattern)
        summary = content([Path(file) for file in files if regex.fullmatch(file)])
        lines += [Path(plain(pattern)).name, *([summary] if summary else [])]
    return tuple(lines)
