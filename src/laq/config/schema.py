"""The config against its JSON schema: faults in the config's own terms, and defaults."""

from __future__ import annotations

import difflib
import math
import re
import sys
from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import date
from typing import TYPE_CHECKING, Any

from jsonschema import Draft202012Validator
from jsonschema.exceptions import ValidationError
from jsonschema.validators import extend

from laq.utils.errors import ConfigError

if TYPE_CHECKING:
    from laq.config.given import Given

Schema = Mapping[str, Any]

# Old keys, and old values by key, with their names of today.
RENAMED_KEYS = {"keep": "skip_layers", "kept": "density"}
RENAMED_VALUES = {
    "granularity": {
        "layer": "per_tensor",
        "channel": "per_channel",
        "channels": "per_channel_group",
        "inputs": "per_group",
    }
}

_TYPES = {
    "object": "a mapping",
    "array": "a list",
    "string": "text",
    "integer": "a whole number",
    "number": "a number",
    "boolean": "true or false",
    "null": "null",
}


def complete(
    config: Mapping[str, Any], schema: Schema, given: Given | None = None
) -> dict[str, Any]:
    """Return a validated copy of ``config`` with the schema's defaults filled in.

    The schema's keys come in the schema's order. Names that the config gives come in the config's
    order. Equal configs are therefore equal texts. Where the schema says number, the copy holds a
    float, so that 1 and 1.0 are one setting; whole numbers stay ints. ``given``: the sources of the
    values.

    Raises:
        ConfigError: one line for each fault, naming the key, the value and what is allowed.
    """
    faults = _Validator(schema).iter_errors(config)
    refuse(line for fault in faults for line in _explain(fault, schema, given))
    return _completed(config, schema, schema)


def refuse(faults: Iterable[str]) -> None:
    """Raise a ``ConfigError`` that lists the faults, each once, if there is any."""
    if lines := list(dict.fromkeys(faults)):
        raise ConfigError("the config is not valid:\n" + "\n".join(f"  {line}" for line in lines))


def _is_number(_: Any, value: Any) -> bool:
    # JSON has neither NaN nor infinity, YAML has both (.nan, .inf).
    real = isinstance(value, int | float) and not isinstance(value, bool)
    return real and abs(value) <= sys.float_info.max


def _is_integer(checker: Any, value: Any) -> bool:
    # JSON schema takes 4.0 for an integer; Python's range does not.
    return isinstance(value, int) and _is_number(checker, value)


def _is_null(_: Any, value: Any) -> bool:
    # ``--config key=null`` gives text.
    return value is None or value in ("null", "Null", "NULL", "~")


def _with_text_keys(keyword: str) -> Any:
    """The keyword's check where keys have patterns, with keys as text.

    YAML's keys may be numbers, which no pattern matches.
    """
    check = Draft202012Validator.VALIDATORS[keyword]

    def checked(validator: Any, rule: Any, value: Any, schema: Schema) -> Any:
        if "patternProperties" in schema and isinstance(value, Mapping):
            value = {str(key): child for key, child in value.items()}
        return check(validator, rule, value, schema)

    return checked


_Validator = extend(
    Draft202012Validator,
    {key: _with_text_keys(key) for key in ("patternProperties", "additionalProperties")},
    type_checker=Draft202012Validator.TYPE_CHECKER.redefine_many(
        {"number": _is_number, "integer": _is_integer, "null": _is_null}
    ),
)


def _completed(value: Any, schema: Any, root: Schema) -> Any:
    """A copy of a valid ``value`` with the defaults of ``schema`` filled in."""
    schema = _resolved(schema, root)
    if schema.get("type") == "number":
        return float(value)
    if "null" in schema.get("type", ()) and _is_null(None, value):
        return None
    if isinstance(value, list):
        return list(value)
    if not isinstance(value, Mapping):
        return value
    properties = dict(schema.get("properties", {}))
    for branch in schema.get("allOf", ()):
        if _Validator(branch["if"]).is_valid(value):
            for key, child in branch["then"]["properties"].items():
                properties[key] = _overlaid(child, properties.get(key, True), root)
    copy = {}
    for key, child in properties.items():
        child = _resolved(child, root)
        if key in value:
            copy[key] = _completed(value[key], child, root)
        elif "default" in child:
            copy[key] = _completed(child["default"], child, root)
    for key in value:
        if key not in properties:
            copy[key] = _completed(value[key], _family(key, schema), root)
    return copy


def _overlaid(child: Any, base: Any, root: Schema) -> Schema:
    """A key's schema in a branch, merged with the one outside it, which takes precedence."""
    return {**_resolved(child, root), **_resolved(base, root)}


def _family(key: Any, schema: Schema) -> Any:
    """The schema of a key that is not among ``properties``: of its pattern, or of all others."""
    for pattern, child in schema.get("patternProperties", {}).items():
        if re.search(pattern, str(key)):
            return child
    return schema.get("additionalProperties")


def _resolved(schema: Any, root: Schema) -> Schema:
    """``schema`` with its local reference followed. Keys beside the reference take precedence."""
    if not isinstance(schema, Mapping):  # true and false are schemas too
        return {}
    if "$ref" not in schema:
        return schema
    target: Any = root
    for part in schema["$ref"].removeprefix("#/").split("/"):
        target = target[part]
    siblings = {key: value for key, value in schema.items() if key != "$ref"}
    return {**_resolved(target, root), **siblings}


def _explain(fault: ValidationError, root: Schema, given: Given | None) -> Iterator[str]:
    """Describe a schema fault in the config's own terms."""
    path, value, schema = list(fault.absolute_path), fault.instance, fault.schema
    rule, meaning = fault.validator_value, _meaning(schema)
    if "propertyNames" in fault.absolute_schema_path:
        remedy = given.key_remedy([*path, value]) if given else ""
        advice = "; ".join(filter(None, [remedy, f"give {schema['description']}"]))
        yield f"{key_text([*path, value])}: {_show(value)} is no id; {advice}"
        return
    key, text = key_text(path), _show(value)
    match fault.validator:
        case "type":
            expected = rule if isinstance(rule, str) else rule[0]
            remedy = given.remedy(path, value, expected) if given else ""
            yield f"{key}: {_type_fault(value, schema, root, remedy)}"
        case "additionalProperties":
            yield from _unknown_keys(path, value, schema)
        case "required":
            missing = [name for name in rule if name not in value]
            for name in missing:
                expected = _resolved(schema.get("properties", {}).get(name), root)
                hint = given.several() if given and not path and name == missing[-1] else ""
                yield f"{key_text([*path, name])}: this key is missing{_meaning(expected)}{hint}"
        case "enum":
            given = "no value is given" if value is None else f"{text} is not allowed"
            renamed = RENAMED_VALUES.get(path[-1] if path else None, {}).get(str(value))
            hint = f"; {text} is now called {renamed}" if renamed in rule else ""
            yield f"{key}: {given}; it must be one of: {', '.join(map(str, rule))}{hint}"
        case "minimum" | "maximum" | "exclusiveMinimum" | "exclusiveMaximum":
            yield f"{key}: {text} must be {_limits(schema)}{meaning}"
        case "oneOf" if isinstance(value, Mapping):
            choices = [option["required"][0] for option in rule]
            present = " and ".join(name for name in choices if name in value)
            given = f"{present} are given" if present else "none is given"
            yield f"{key}: give one of {', '.join(choices)}; {given}"
        case "oneOf":
            return  # it is no mapping, which is another fault
        case "minProperties" | "minItems":
            yield f"{key}: {len(value) or 'none'} given, at least {rule} needed{meaning}"
        case "maxItems":
            yield f"{key}: {len(value)} given, at most {rule} allowed{meaning}"
        case "uniqueItems":
            repeated = dict.fromkeys(_show(item) for item in value if value.count(item) > 1)
            yield f"{key}: listed more than once: {', '.join(repeated)}; each may stand there once"
        case "pattern":
            yield f"{key}: {text} is not allowed; give {schema['description']}"
        case "maxLength":
            yield f"{key}: {len(value)} characters given, at most {rule} allowed{meaning}"
        case "minLength":
            yield f"{key}: {text} is empty; give at least {rule} character{meaning}"
        case _:
            yield f"{key}: {fault.message}"


def _type_fault(value: Any, schema: Schema, root: Schema, remedy: str = "") -> str:
    """The expected type, and how to write it: by ``remedy``, or by a guess from the value."""
    expected = schema["type"]
    if value is None and expected == "object" and not remedy:
        if _Validator({"$defs": root["$defs"], **schema}).is_valid({}):
            return "nothing stands below it; write {} if that is meant"
        subject = "nothing stands below it; it"
    elif value is None:
        subject = "no value is given; it"
    elif isinstance(value, list | Mapping):
        subject = f"{_show(value)} is given; it"
    else:
        subject = _show(value)
    keys = f" with at least the key {', '.join(schema['required'])}" if "required" in schema else ""
    limits = f", {limits}" if (limits := _limits(schema)) else ""
    kinds = [expected] if isinstance(expected, str) else expected
    requirement = f"{subject} must be {' or '.join(_TYPES[kind] for kind in kinds)}{keys}{limits}"
    advice = f": {remedy}" if remedy else _remedy(value, kinds[0])
    return f"{requirement}{advice}{_meaning(schema)}"


def _remedy(value: Any, wanted: str) -> str:
    """How to write what was probably meant: most such faults are accidents of YAML."""
    match wanted, value:
        case "string", bool():
            return ": YAML takes yes, no, on and off for true and false, so put it in quotes"
        case "string", int() | float() | date():
            return f': write "{value}", in quotes'
        case "boolean", str():
            return ", without quotes"
        case "array", str() | int() | float():
            return f": write [{_show(value)}]"
        case "integer" | "number", str() | float():
            return _number_remedy(value, wanted)
    return ""


def _number_remedy(value: str | float, wanted: str) -> str:
    try:
        number = float(value)
    except ValueError:
        return ""
    if not math.isfinite(number):
        return " and finite"
    if wanted == "integer":
        return f": write {number:.0f}" if number.is_integer() else ""
    # YAML 1.1 takes an exponent only behind a point: 1e-4 is text, 1.0e-4 a number.
    return ": YAML takes it for text, write " + re.sub(r"^(-?\d+)e", r"\1.0e", repr(number))


def _unknown_keys(path: Sequence[Any], value: Mapping[Any, Any], schema: Schema) -> Iterator[str]:
    allowed = list(schema.get("properties", {}))
    families = schema.get("patternProperties", {})
    patterns = [child.get("title", pattern) for pattern, child in families.items()]
    scope = f" of kind {value['kind']}" if "kind" in allowed and "kind" in value else ""
    options = f"allowed{scope}: {', '.join(allowed + patterns) or f'none{_meaning(schema)}'}"
    for unknown in [name for name in value if name not in allowed]:
        if any(re.search(pattern, str(unknown)) for pattern in families):
            continue
        matches = difflib.get_close_matches(str(unknown).lower(), allowed, 1)
        hint = f"; did you mean {matches[0]}?" if matches else ""
        if (renamed := RENAMED_KEYS.get(str(unknown))) in allowed:
            hint = f"; {unknown} is now called {renamed}"
        yield f"{key_text([*path, unknown])}: there is no such key; {options}{hint}"


def key_text(path: Sequence[Any]) -> str:
    """A path in the config as text: ``subsets.definitions.even.classes[0]``."""
    text = ""
    for key in path:
        if isinstance(key, int) and not isinstance(key, bool):
            text += f"[{key}]"
        else:
            is_plain = isinstance(key, str) and re.fullmatch(r"[\w-]+", key)
            text += f".{key if is_plain else _show(key)}"
    return text.removeprefix(".") or "the config"


def _show(value: Any) -> str:
    """A value as the config would write it, in one line and not too long."""
    match value:
        case None:
            return "null"
        case bool():
            return str(value).lower()
        case list():
            return "a list"
        case Mapping():
            return "a mapping"
        case float() if not math.isfinite(value):
            return ".nan" if math.isnan(value) else f"{'-' * (value < 0)}.inf"
    text = repr(value) if isinstance(value, str | int | float) else str(value)
    return text if len(text) <= 60 else f"{text[:57]}…"


def _meaning(schema: Schema) -> str:
    return f" ({schema['description']})" if "description" in schema else ""


def _limits(schema: Schema) -> str:
    phrases = {
        "minimum": "at least",
        "exclusiveMinimum": "above",
        "maximum": "at most",
        "exclusiveMaximum": "below",
    }
    return " and ".join(
        f"{phrase} {schema[rule]}" for rule, phrase in phrases.items() if rule in schema
    )
