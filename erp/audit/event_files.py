"""The committed contract of every event: JSON Schema, golden sample, AsyncAPI document (core §1).

Inside one version only an optional member may be added. Whatever else differs from the committed schema is a
breaking change and needs a new version with an upcaster.
"""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

from django.conf import settings
from jsonschema import Draft202012Validator
from pydantic import ValidationError

from erp import events
from erp.events import Event, EventMeta

SCHEMA: Final = ".schema.json"
SAMPLE: Final = ".sample.json"
ASYNCAPI: Final = "asyncapi.json"
# Words for readers: they change no payload. The id follows the place where schemas are served.
_ANNOTATIONS: Final = frozenset({"title", "description", "examples", "$id", "$schema", "$defs"})


def folder() -> Path:
    """Where the files lie: ``docs/events``."""
    return Path(settings.BASE_DIR) / "docs" / "events"


def faults(model: type[Event]) -> list[str]:
    """What is wrong with the files of one event version; empty when code and files agree."""
    meta = model.__event__
    schema, sample = _read(meta.key + SCHEMA), _read(meta.key + SAMPLE)
    found = []
    if schema is None:
        found.append(f"{meta.key}{SCHEMA} is missing: run `manage.py events write`")
    else:
        found += [
            f"breaking change without a new version: {problem}"
            for problem in breaking(schema, events.schema(model))
        ]
        if not found and schema != events.schema(model):
            found.append(f"{meta.key}{SCHEMA} is out of date: run `manage.py events write`")
    if sample is None:
        found.append(f"{meta.key}{SAMPLE} is missing: run `manage.py events write`")
    else:
        found += unreadable(meta, sample, schema)
    return found


def unreadable(meta: EventMeta, sample: Any, schema: Any = None) -> list[str]:
    """Why a committed sample can't be read: by its own schema, its own model, or as the newest version."""
    if not isinstance(sample, dict):
        return [f"{meta.key}{SAMPLE} is not a JSON object"]
    found = []
    if schema is not None:
        found += [
            f"{meta.key}{SAMPLE}{error.json_path[1:]}: {error.message}"
            for error in Draft202012Validator(schema).iter_errors(sample)
        ]
    try:
        events.registry.get(meta.name, meta.version).model_validate(sample)
        events.registry.load(meta.name, meta.version, sample)
    except ValidationError as error:
        found += [
            f"{meta.key}{SAMPLE}: {'.'.join(map(str, fault['loc']))}: {fault['msg']}"
            for fault in error.errors()
        ]
    except (KeyError, ValueError, TypeError, AttributeError) as error:
        found.append(f"{meta.key}{SAMPLE}: its upcaster fails: {error!r}")
    return found


def orphans() -> list[str]:
    """Committed files of event versions that the code no longer has: what was published stays readable."""
    known = {model.__event__.key + end for model in events.registry for end in (SCHEMA, SAMPLE)}
    return sorted(path.name for path in folder().glob("*.*.json") if path.name not in known)


def write() -> tuple[list[str], dict[str, list[str]]]:
    """Write what is missing and what was added compatibly; returns file names, and refusals by event version.

    A committed sample is never rewritten: it stands for what was published.
    """
    written: list[str] = []
    refused: dict[str, list[str]] = {}
    folder().mkdir(parents=True, exist_ok=True)
    for model in events.registry:
        meta = model.__event__
        schema, wanted = _read(meta.key + SCHEMA), events.schema(model)
        sample = _read(meta.key + SAMPLE)
        if schema is not None and (problem := list(breaking(schema, wanted))):
            refused[meta.key] = problem
            continue
        if sample is not None and (problem := unreadable(meta, sample)):
            refused[meta.key] = problem
            continue
        if sample is None:
            try:
                sample = events.sample(model)
            except ValueError as error:
                refused[meta.key] = [f"no sample fits: {error}"]
                continue
            written.append(_write(meta.key + SAMPLE, sample))
        if schema != wanted:
            written.append(_write(meta.key + SCHEMA, wanted))
    return written, refused


def breaking(old: dict[str, Any], new: dict[str, Any]) -> Iterator[str]:
    """Every difference between two schemas of one version but a new optional member, in words."""
    yield from _differs(_inlined(old, old, ()), _inlined(new, new, ()), "")


def _differs(old: Any, new: Any, at: str) -> Iterator[str]:
    here = at or "the payload"
    if isinstance(old, dict) and isinstance(new, dict):
        for key in sorted(old.keys() | new.keys()):
            if key == "properties":
                yield from _members(old, new, at)
            elif key == "required":
                yield from _required(old, new, at)
            elif key not in old:
                yield f"{here}: {key} is new ({_short(new[key])})"
            elif key not in new:
                yield f"{here}: {key} is gone (was {_short(old[key])})"
            else:
                yield from _differs(old[key], new[key], at)
    elif isinstance(old, list) and isinstance(new, list) and len(old) == len(new):
        for one, other in zip(old, new, strict=True):
            yield from _differs(one, other, at)
    elif type(old) is not type(new) or old != new:
        yield f"{here}: was {_short(old)}, is {_short(new)}"


def _members(old: dict[str, Any], new: dict[str, Any], at: str) -> Iterator[str]:
    before, after = old.get("properties", {}), new.get("properties", {})
    for name in before:
        if name not in after:
            yield f"{at}/{name} is gone"
        else:
            yield from _differs(before[name], after[name], f"{at}/{name}")
    yield from (
        f"{at}/{name} is new and required"
        for name in after
        if name not in before and name in new.get("required", ())
    )


def _required(old: dict[str, Any], new: dict[str, Any], at: str) -> Iterator[str]:
    known = old.get("properties", {}).keys() & new.get("properties", {}).keys()
    before, after = known & set(old.get("required", ())), known & set(new.get("required", ()))
    yield from (f"{at}/{name} was optional, is required" for name in sorted(after - before))
    yield from (f"{at}/{name} was required, is optional" for name in sorted(before - after))


def _inlined(node: Any, root: dict[str, Any], seen: tuple[str, ...]) -> Any:
    """A schema with its references resolved and its words for readers left out."""
    if isinstance(node, list):
        return [_inlined(item, root, seen) for item in node]
    if not isinstance(node, dict):
        return node
    reference = node.get("$ref")
    if isinstance(reference, str) and reference.startswith("#/$defs/") and reference not in seen:
        target = root.get("$defs", {}).get(reference.removeprefix("#/$defs/"), {})
        rest = {key: value for key, value in node.items() if key != "$ref"}
        return _inlined({**target, **rest}, root, (*seen, reference))
    return {
        key: (
            {name: _inlined(part, root, seen) for name, part in value.items()}
            if key == "properties"
            else _inlined(value, root, seen)
        )
        for key, value in node.items()
        if key not in _ANNOTATIONS
    }


def _short(value: Any) -> str:
    text = json.dumps(value, ensure_ascii=False, default=str)
    return text if len(text) <= 80 else f"{text[:79]}…"


_HEADERS: Final[dict[str, dict[str, Any]]] = {
    "ce-id": {
        "type": "string",
        "format": "uuid",
        "description": "The event's id: the same on every delivery.",
    },
    "ce-type": {"type": "string"},
    "ce-source": {"type": "string", "format": "uri-reference"},
    "ce-subject": {"type": "string", "description": "Type and id of the aggregate."},
    "ce-time": {"type": "string", "format": "date-time"},
    "ce-specversion": {"const": "1.0"},
    "ce-dataschema": {"type": "string", "format": "uri"},
    "content-type": {"const": "application/json"},
    "eventversion": {"type": "string", "pattern": "^[1-9][0-9]*$"},
    "aggregatetype": {"type": "string"},
    "aggregateid": {"type": "string", "format": "uuid"},
    "sequence": {
        "type": "string",
        "pattern": "^[1-9][0-9]*$",
        "description": "Place in the aggregate's stream: from 1, without a hole.",
    },
    "correlationid": {"type": "string", "description": "Id of the request that it all began with."},
    "causationid": {
        "type": "string",
        "description": "What caused the event: an idempotency record or an event.",
    },
    "traceparent": {"type": "string", "description": "W3C trace context."},
    "replay": {
        "const": "true",
        "description": "Sent once more, by hand; ce-id and sequence are the old ones.",
    },
}
_OPTIONAL_HEADERS: Final = frozenset(
    {"ce-dataschema", "correlationid", "causationid", "traceparent", "replay"}
)
# The relay's marker for a place in a stream that stays empty: no event of any module.
GAP: Final = "erp.gap"


_REFERENCE: Final = {"$ref": "#/components/schemas/Headers"}


def asyncapi() -> dict[str, Any]:
    """The AsyncAPI 3.1 document of every event on the topic."""
    channel = settings.PUBSUB_TOPIC
    messages = {model.__event__.key: _message(model) for model in events.registry}
    messages[f"{GAP}.v1"] = {
        "name": GAP,
        "title": "A place in a stream that stays empty",
        "contentType": "application/json",
        "headers": {"allOf": [_REFERENCE, {"type": "object", "properties": {"ce-type": {"const": GAP}}}]},
        "payload": {"type": "object", "maxProperties": 0},
    }
    return {
        "asyncapi": "3.1.0",
        "info": {
            "title": "Events",
            "version": "1.0.0",
            "description": "Business events, as CloudEvents 1.0 in the binary binding of Google Pub/Sub."
            " Events of one aggregate arrive in the order of their sequence; a repeat has the same ce-id.",
        },
        "defaultContentType": "application/json",
        "channels": {
            channel: {
                "address": channel,
                "messages": {key: {"$ref": f"#/components/messages/{key}"} for key in messages},
            }
        },
        "operations": {"publish": {"action": "send", "channel": {"$ref": f"#/channels/{channel}"}}},
        "components": {
            "messages": messages,
            "schemas": {
                "Headers": {
                    "type": "object",
                    "properties": _HEADERS,
                    "required": sorted(_HEADERS.keys() - _OPTIONAL_HEADERS),
                }
            },
        },
    }


def _message(model: type[Event]) -> dict[str, Any]:
    meta = model.__event__
    document = {
        "name": meta.name,
        "title": f"{meta.name}, version {meta.version}",
        "contentType": "application/json",
        "headers": {
            "allOf": [
                _REFERENCE,
                {
                    "type": "object",
                    "properties": {
                        "ce-type": {"const": meta.name},
                        "ce-source": {"const": settings.EVENT_SOURCE},
                        "ce-dataschema": {"const": meta.schema_url},
                        "eventversion": {"const": str(meta.version)},
                        "aggregatetype": {"const": meta.aggregate_type},
                    },
                },
            ]
        },
        "payload": {
            "schemaFormat": "application/schema+json;version=draft-2020-12",
            "schema": {"$ref": f"./{meta.key}{SCHEMA}"},
        },
    }
    return document if not model.__doc__ else {**document, "summary": model.__doc__.strip().splitlines()[0]}


def asyncapi_faults() -> list[str]:
    """Whether the committed AsyncAPI document is the one of the code."""
    found = _read(ASYNCAPI)
    if found is None:
        return [f"{ASYNCAPI} is missing: run `manage.py events asyncapi`"]
    return [] if found == asyncapi() else [f"{ASYNCAPI} is out of date: run `manage.py events asyncapi`"]


def write_asyncapi() -> list[str]:
    """Write the AsyncAPI document where it differs; returns the names of files written."""
    folder().mkdir(parents=True, exist_ok=True)
    return [_write(ASYNCAPI, asyncapi())] if asyncapi_faults() else []


def _read(name: str) -> Any:
    try:
        text = (folder() / name).read_text(encoding="utf-8")
    except FileNotFoundError:
        return None
    try:
        return json.loads(text)
    except ValueError:
        return {"unreadable": name}


def _write(name: str, content: Any) -> str:
    text = json.dumps(content, ensure_ascii=False, indent=2) + "\n"
    (folder() / name).write_text(text, encoding="utf-8")
    return name
