"""Which images a config has made without data, and what makes a difference to them."""

from __future__ import annotations

import pytest

from laq.config.study import made_images, synthesis_effect
from tests.configs import checked, edited


def with_variants(**settings: dict[str, object]):
    return checked(
        edited({f"variants/{k}": {"compress": {"bits": 3, **v}} for k, v in settings.items()})
    )


def test_images_are_made_for_what_variants_ask_and_once() -> None:
    config = with_variants(
        a={"images_from": "synthetic"},
        b={"images_from": "synthetic", "method": "gptq"},
        c={"images_from": "generated", "classes": "all"},
        d={"images_from": "synthetic", "classes": "none"},
        e={"images_from": "synthetic", "classes": "near"},
    )
    assert made_images(config, ["near", "named"]) == [
        ("near", "synthetic"),
        ("named", "synthetic"),
        ("all", "generated"),
        ("none", "synthetic"),
    ]
    assert made_images(checked(edited({})), ["near"]) == []


@pytest.mark.parametrize(
    ("classes", "kind", "concerned"),
    [
        ("near", "synthetic", {"steps", "learning_rate", "shift", "class_weight"}),
        ("none", "synthetic", {"steps", "learning_rate", "shift"}),
        ("all", "generated", {"class weight of its own", "steps of its own", "batch_size"}),
    ],
)
def test_settings_that_are_not_in_use_make_no_difference(
    classes: str, kind: str, concerned: set[str]
) -> None:
    def effect(**changes: object) -> dict[str, object]:
        return synthesis_effect(checked(edited({"synthesis": changes}))["synthesis"], classes, kind)

    changes = {
        "steps": {"steps": 7},
        "learning_rate": {"learning_rate": 0.7},
        "shift": {"shift": 7},
        "class_weight": {"class_weight": 7},
        "steps of its own": {"generator": {"steps": 7}},
        "class weight of its own": {"generator": {"class_weight": 7}},
        "batch_size": {"generator": {"batch_size": 7}},
    }
    found = {name for name, change in changes.items() if effect(**change) != effect()}
    assert found == concerned
    for change in ({"images": 70}, {"variation": 7}, {"norm": 7}):
        assert effect(**change) != effect()
