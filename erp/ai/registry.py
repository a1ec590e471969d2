"""Tasks that can be asked, and the sources of their facts; declared once, by the modules that own them."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Annotated, Any, Final, Generic, TypeVar
from uuid import UUID

from django.core.exceptions import ImproperlyConfigured
from pydantic import BaseModel, ConfigDict, Field


class Shape(BaseModel):
    """Base of every input and output of a task: frozen, and without unknown members."""

    model_config = ConfigDict(frozen=True, extra="forbid", arbitrary_types_allowed=False)


class Send:
    """Marks a field of an input that may leave the company. All other fields never do."""


SEND: Final = Send()
Value = TypeVar("Value", bound=Shape)


class Reason(Shape):
    """Why something is suggested: a stable code and its facts."""

    code: str
    facts: Mapping[str, str] = Field(default_factory=dict)


class Answer(Shape, Generic[Value]):
    """What a provider answers: a value or none, its confidence, and reasons."""

    value: Value | None
    confidence: Annotated[Decimal, Field(ge=0, le=1)] = Decimal(0)
    reasons: tuple[Reason, ...] = ()
    evidence: Mapping[str, str] = Field(default_factory=dict)


@dataclass(frozen=True)
class Suggestion:
    """An answer with its origin. ``degraded``: why the built-in answer stands in for a remote one; else empty."""

    value: Any
    confidence: Decimal
    reasons: Sequence[Reason]
    evidence: Mapping[str, str]
    provider: str
    model: str = ""
    prompt: int | None = None
    call_id: UUID | None = None
    degraded: str = ""


Facts = Mapping[str, Sequence[Any]]


def accept(question: Any, facts: Facts, answer: Answer[Any]) -> Answer[Any]:
    """The answer of a remote model as it is, for tasks whose answers state no figures."""
    return answer


@dataclass(frozen=True, kw_only=True)
class Task:
    """A question that can be asked.

    ``built_in(question, facts)`` returns the deterministic ``Answer``; ``facts`` holds the rows of each of
    ``sources`` by name. ``check(question, facts, answer)`` returns a remote answer with its figures computed again from
    the facts, and raises ValueError where it says what can't be.
    """

    name: str
    input: type[Shape]
    output: type[Shape]
    built_in: Callable[[Any, Facts], Answer[Any]]
    sources: tuple[str, ...] = ()
    check: Callable[[Any, Facts, Answer[Any]], Answer[Any]] = field(default=accept)

    def __post_init__(self) -> None:
        """Register the task. Raises ImproperlyConfigured for a second one of the name, or one without a function."""
        if self.name in tasks:
            raise ImproperlyConfigured(f"the AI task {self.name} is declared twice")
        if not callable(self.built_in):
            raise ImproperlyConfigured(f"the AI task {self.name} needs a built-in function")
        tasks[self.name] = self

    def facts(self, question: Any, partner_id: UUID | None) -> Facts:
        """The rows of its sources that the partner may use. A source that no module declares has none."""
        return {name: sources[name](question, partner_id) if name in sources else () for name in self.sources}


Source = Callable[[Any, UUID | None], Sequence[Any]]
tasks: dict[str, Task] = {}
sources: dict[str, Source] = {}


def source(name: str) -> Callable[[Source], Source]:
    """Register a function that reads facts: ``read(question, partner_id)``, which decides what that partner may use."""

    def register(read: Source) -> Source:
        if name in sources:
            raise ImproperlyConfigured(f"the AI source {name} is declared twice")
        sources[name] = read
        return read

    return register
