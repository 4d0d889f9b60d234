"""The config against its JSON schema: faults said in the config's own words, defaults filled in."""

from __future__ import annotations

import copy
import difflib
from collections.abc import Iterator, Mapping
from typing import Any

from jsonschema import Draft202012Validator
from jsonschema.exceptions import ValidationError

from laq.errors import ConfigError

_MISSING = object()


def complete(config: Mapping[str, Any], schema: Mapping[str, Any]) -> dict[str, Any]:
    """Return a validated copy of ``config`` with the schema's defaults filled in.

    Raises:
        ConfigError: one line for each fault, naming the key, the value and what is allowed.
    """
    completed = copy.deepcopy(dict(config))
    faults = sorted(
        Draft202012Validator(schema).iter_errors(completed), key=lambda e: [str(p) for p in e.path]
    )
    if faults:
        lines = dict.fromkeys(line for fault in faults for line in _explain(fault))
        raise ConfigError("the config is not valid:\n" + "\n".join(f"  {line}" for line in lines))
    _fill(completed, schema, schema)
    return completed


def _fill(instance: Any, schema: Mapping[str, Any], root: Mapping[str, Any]) -> None:
    """Fill defaults in place, following properties, references and if/then."""
    if not isinstance(schema, Mapping) or not isinstance(instance, dict):
        return
    if "$ref" in schema:
        _fill(instance, _resolve(schema["$ref"], root), root)
    for branch in schema.get("allOf", ()):
        if Draft202012Validator({**branch.get("if", {}), "$defs": root["$defs"]}).is_valid(
            instance
        ):
            _fill(instance, branch.get("then", {}), root)
    named = schema.get("properties", {})
    for key, child in named.items():
        default = _default(child, root)
        if key not in instance and default is not _MISSING:
            instance[key] = copy.deepcopy(default)
        if key in instance:
            _fill(instance[key], child, root)
    rest = schema.get("additionalProperties")
    for key in instance.keys() - named.keys():
        _fill(instance[key], rest, root)


def _default(schema: Any, root: Mapping[str, Any]) -> Any:
    while isinstance(schema, Mapping):
        if "default" in schema:
            return schema["default"]
        if "$ref" not in schema:
            break
        schema = _resolve(schema["$ref"], root)
    return _MISSING


def _resolve(reference: str, root: Mapping[str, Any]) -> Any:
    target: Any = root
    for part in reference.removeprefix("#/").split("/"):
        target = target[part]
    return target


def _explain(fault: ValidationError) -> Iterator[str]:
    """Say a schema fault in the config's own words."""
    key = ".".join(str(part) for part in fault.absolute_path)
    value, rule = fault.instance, fault.validator_value
    where = f"{key}: {value!r}"
    match fault.validator:
        case "additionalProperties":
            allowed = list(fault.schema.get("properties", {}))
            for unknown in [name for name in value if name not in allowed]:
                close = difflib.get_close_matches(str(unknown), allowed, 1)
                hint = f"did you mean {close[0]}? " if close else ""
                path = ".".join(filter(None, [key, str(unknown)]))
                yield f"{path}: there is no such key; {hint}allowed: {', '.join(allowed) or 'none'}"
        case "required":
            for missing in [name for name in rule if name not in value]:
                path = ".".join(filter(None, [key, missing]))
                yield f"{path}: missing{_describe(fault.schema, missing)}"
        case "enum":
            yield f"{where} is not allowed; it must be one of: {', '.join(map(str, rule))}"
        case "type":
            yield f"{where} must be of type {rule}{_meaning(fault.schema)}"
        case "minimum" | "maximum" | "exclusiveMinimum" | "exclusiveMaximum":
            yield f"{where} must be {_range(fault.schema)}{_meaning(fault.schema)}"
        case "oneOf":
            choices = " or ".join(option["required"][0] for option in rule)
            yield f"{key}: give exactly one of {choices}; found: {', '.join(value) or 'nothing'}"
        case "minProperties" | "minItems":
            yield f"{where} needs at least {rule} of them{_meaning(fault.schema)}"
        case "maxItems":
            yield f"{where} has more than {rule} of them{_meaning(fault.schema)}"
        case "uniqueItems":
            twice = sorted({str(item) for item in value if value.count(item) > 1})
            yield f"{key}: listed twice: {', '.join(twice)}"
        case "pattern" | "minLength":
            yield f"{where} is not allowed{_meaning(fault.schema)}"
        case _:
            yield f"{where}: {fault.message}"


def _meaning(schema: Mapping[str, Any]) -> str:
    return f" ({schema['description']})" if "description" in schema else ""


def _describe(schema: Mapping[str, Any], key: str) -> str:
    return _meaning(schema.get("properties", {}).get(key, {}))


def _range(schema: Mapping[str, Any]) -> str:
    words = {
        "minimum": "at least",
        "exclusiveMinimum": "above",
        "maximum": "at most",
        "exclusiveMaximum": "below",
    }
    return " and ".join(f"{word} {schema[key]:g}" for key, word in words.items() if key in schema)
