"""What leaves the company of a question, and what comes back.

Only fields marked ``SEND`` leave, through the masker of the logs. Ids become labels of that call, so that a remote
model can name a row and learns nothing of it; an id that was not sent makes an answer invalid.
"""

import hashlib
import json
import re
import secrets
from collections.abc import Mapping
from decimal import Decimal
from typing import Any, Final
from uuid import UUID

from pydantic import BaseModel, ValidationError

from erp import logs
from erp.ai.registry import Answer, Send, Shape, Task

_LABEL: Final = re.compile(r"id-[0-9]+")
_ID: Final = re.compile(r"[0-9a-fA-F]{8}-[0-9a-fA-F]{4}-[0-9a-fA-F]{4}-[0-9a-fA-F]{4}-[0-9a-fA-F]{12}")


class InvalidOutput(ValueError):
    """A remote answer isn't what was asked for."""


class Scrubbed:
    """The part of a question that may leave, in plain JSON values; ids are ``id-1``, ``id-2`` … of ``ids``."""

    def __init__(self, question: Shape) -> None:
        self.ids: list[UUID] = []
        self.data = logs.mask(self._fields(question))
        self.text = json.dumps(self.data, sort_keys=True, ensure_ascii=False)
        self.salt = secrets.token_hex(4)

    @property
    def digest(self) -> str:
        """SHA-256 of the canonical JSON."""
        return hashlib.sha256(self.text.encode()).hexdigest()

    @property
    def outgoing(self) -> str:
        """The JSON text with the labels of this call."""
        return _LABEL.sub(lambda found: f"{self.salt}{found.group()[2:]}", self.text)

    def incoming(self, text: str) -> str:
        """An answer's text with the labels of this call made plain, as it is stored in the cache."""
        return re.sub(rf"{self.salt}(-[0-9]+)", r"id\1", text)

    def _fields(self, shape: BaseModel) -> dict[str, Any]:
        return {
            name: self._plain(getattr(shape, name))
            for name, info in type(shape).model_fields.items()
            if any(isinstance(mark, Send) for mark in info.metadata)
        }

    def _plain(self, value: Any) -> Any:
        match value:
            case None | bool() | str():
                return value
            case UUID():
                if value not in self.ids:
                    self.ids.append(value)
                return f"id-{self.ids.index(value) + 1}"
            case Decimal():
                return format(value, "f")
            case BaseModel():
                return self._fields(value)
            case Mapping():
                return {str(key): self._plain(item) for key, item in value.items()}
            case list() | tuple():
                return [self._plain(item) for item in value]
        return str(value)


def parsed(task: Task, text: str, ids: list[UUID]) -> Answer[Any]:
    """A remote answer. Raises InvalidOutput unless it is one JSON object of the task's output schema.

    Figures are decimal strings, and ids are labels that were sent.
    """
    try:
        found = json.loads(text)
        if not isinstance(found, dict):
            raise InvalidOutput("not an object")
        answer = Answer[task.output].model_validate(_restored(found, ids))  # type: ignore[name-defined]
    except (ValueError, RecursionError, ValidationError) as error:
        raise InvalidOutput(type(error).__name__) from error
    return answer


def _restored(value: Any, ids: list[UUID]) -> Any:
    match value:
        case None | bool():
            return value
        case int() | float():
            raise InvalidOutput("a number that isn't a string")
        case str():
            if _ID.fullmatch(value):
                raise InvalidOutput("an id that was not sent")
            if _LABEL.fullmatch(value):
                place = int(value[3:]) - 1
                if not 0 <= place < len(ids):
                    raise InvalidOutput("an id that was not sent")
                return str(ids[place])
            return value
        case list():
            return [_restored(item, ids) for item in value]
    return {key: _restored(item, ids) for key, item in value.items()}


def schema_of(task: Task) -> dict[str, Any]:
    """JSON Schema of an answer to the task; figures are strings."""
    return Answer[task.output].model_json_schema(mode="serialization")  # type: ignore[name-defined]


def schema_hash(task: Task) -> str:
    """SHA-256 of the schema: a prompt that was written for another one isn't used."""
    return hashlib.sha256(json.dumps(schema_of(task), sort_keys=True).encode()).hexdigest()
