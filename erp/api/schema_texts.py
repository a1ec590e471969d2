"""Completes the API's document: a description and an example for every field, and no text for engineers."""

import re
from collections.abc import Iterator
from typing import Any, Final

from django.conf import settings

from erp.api.examples import SAMPLE_ID

_BY_FORMAT: Final = {
    "uuid": SAMPLE_ID,
    "date": "2026-11-30",
    "date-time": "2026-11-30T08:35:00Z",
    "email": "asha@example.com",
    "uri": "https://example.com/",
    "uri-reference": "/api/v1/jobs/" + SAMPLE_ID,
}
_BY_TYPE: Final = {"integer": 1, "boolean": True, "number": 1}
_BY_PATTERN: Final = ("12.50", "100", "0", "5", "2026")


def complete(result: dict[str, Any], **context: Any) -> dict[str, Any]:
    """Describe every field that nothing else does, and show a value of each; a hook that runs at the end."""
    schemas = result["components"]["schemas"]
    submitted = dict(_submitted(result))
    for name, schema in schemas.items():
        for field, part in (schema.get("properties") or {}).items():
            if "$ref" in part:
                continue
            part.setdefault("description", _description(name, field))
            value = submitted.get((name, field), submitted.get(("", field)))
            if value is None or not _fits(part, value):
                value = settings.API_FIELD_EXAMPLES.get(field)
            example = value if value is not None and _fits(part, value) else _example(part)
            if example is not None and not {"example", "examples", "default"} & part.keys():
                part["examples"] = [example]
    _use_markdown(result)
    return result


def _use_markdown(part: Any) -> None:
    if isinstance(part, list):
        for each in part:
            _use_markdown(each)
    elif isinstance(part, dict):
        for name, value in part.items():
            if name == "description" and isinstance(value, str):
                part[name] = value.replace("``", "`")
            else:
                _use_markdown(value)


def _description(schema: str, field: str) -> str:
    texts = settings.API_FIELD_DESCRIPTIONS
    known = texts.get(f"{schema}.{field}") or texts.get(field)
    if known:
        return str(known)
    words, _, ending = field.rpartition("_")
    words = words.replace("_", " ")
    if ending == "id" and words:
        return f"ID of the {words}."
    if ending == "at" and words:
        return f"Time (UTC): {words}. Null if it has not happened."
    return f"{field.replace('_', ' ').capitalize()}."


def _submitted(document: dict[str, Any]) -> Iterator[tuple[tuple[str, str], Any]]:
    """The values of the examples of requests, by schema and field, and by field alone."""
    for item in document["paths"].values():
        for operation in item.values():
            for content in (operation.get("requestBody") or {}).get("content", {}).values():
                name = content.get("schema", {}).get("$ref", "").rpartition("/")[2]
                for example in content.get("examples", {}).values():
                    for field, value in (example.get("value") or {}).items():
                        if isinstance(value, str | int | list | dict) and value not in ("", [], {}):
                            yield (name, field), value
                            yield ("", field), value


def _fits(part: dict[str, Any], value: Any) -> bool:
    types = part.get("type")
    kinds = {str: "string", bool: "boolean", int: "integer", list: "array", dict: "object"}
    if kinds[type(value)] not in (types if isinstance(types, list) else [types]):
        return False
    if "enum" in part and value not in part["enum"]:
        return False
    if part.get("format") == "date-time" and "T" not in str(value):
        return False
    if part.get("format") in ("uuid", "date") and len(str(value)) != len(_BY_FORMAT[part["format"]]):
        return False
    if isinstance(value, str) and len(value) > part.get("maxLength", len(value)):
        return False
    return not isinstance(value, list | dict) and bool(re.search(part.get("pattern", ""), str(value)))


def _example(part: dict[str, Any]) -> Any:
    """A plain value of the schema; None where only the parts of an object or a list show one."""
    types = part.get("type")
    kind = next((each for each in types if each != "null"), None) if isinstance(types, list) else types
    if chosen := [each for each in part.get("enum", ()) if each]:
        return chosen[0]
    if part.get("format") in _BY_FORMAT:
        return _BY_FORMAT[part["format"]]
    if pattern := part.get("pattern"):
        return next((each for each in _BY_PATTERN if re.search(pattern, each)), None)
    if kind == "integer":
        return max(1, part.get("minimum", 1))
    return _BY_TYPE.get(kind or "")
