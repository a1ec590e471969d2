"""What sorts of long work there are: each module declares its own in its ``tasks.py``."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any, ClassVar, Final
from uuid import UUID

from django.core.exceptions import ImproperlyConfigured
from django.db import Error as DatabaseFailure
from django.db import InterfaceError, OperationalError

from erp.access import Actor
from erp.api.problems import domain_error
from erp.errors import DomainError
from erp.jobs.models import Job
from erp.labels import label_of
from erp.services import attempt


@dataclass(frozen=True, slots=True)
class WorkRow:
    """One row of the work: its number from 1, and its values by column."""

    number: int
    values: dict[str, Any]


@dataclass(frozen=True, slots=True)
class RowResult:
    """What an accepted row led to: one word (``created``, ``unchanged``), the row concerned, and what changed of it."""

    word: str
    object_id: UUID | None = None
    changes: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Outcome:
    """What became of a row: what was done, in no word (empty) where it was refused, and why it was."""

    number: int
    done: RowResult
    faults: list[dict[str, str]] = field(default_factory=list)

    @property
    def foreseen(self) -> str:
        """The word for what would be done, where nothing was stored."""
        return _FORESEEN.get(self.done.word, self.done.word)


_FORESEEN: Final = {"": "refused", "created": "create", "updated": "update"}


class JobKind:
    """One sort of long work. A subclass names itself and says how to read, to do and to end it.

    ``title`` says in words what it does, where its name doesn't.

    Each turn of a worker makes an instance of its own: what that notes is gone when another goes on.
    """

    name: ClassVar[str]
    title: ClassVar[str] = ""

    def __init_subclass__(cls, *, abstract: bool = False, **kwargs: Any) -> None:
        """``abstract``: the class is no sort of work yet, others derive from it."""
        super().__init_subclass__(**kwargs)
        if abstract:
            return
        if cls.name in registry:
            raise ImproperlyConfigured(f"job kind {cls.name} is declared twice")
        registry[cls.name] = cls

    @classmethod
    def label(cls) -> str:
        """The kind in words."""
        return cls.title or label_of(cls.name.rpartition(".")[2])

    def rows(self, job: Job, content: bytes) -> Iterator[WorkRow]:
        """All rows, always in the same order; ``content`` is the job's file, empty without one."""
        raise NotImplementedError

    def begin(self, rows: Sequence[WorkRow], *, job: Job) -> None:
        """Prepare the rows of a chunk, at the start of its unit of work."""

    def apply(self, row: WorkRow, *, job: Job, actor: Actor) -> RowResult:
        """Do one row through services, inside the chunk's unit of work. Raises DomainError to refuse it."""
        raise NotImplementedError

    def attempt(self, row: WorkRow, *, job: Job, actor: Actor) -> Outcome:
        """Do one row, or undo what was begun of it. Raises OperationalError and InterfaceError alone."""
        try:
            with attempt():
                return Outcome(row.number, self.apply(row, job=job, actor=actor))
        except (OperationalError, InterfaceError):
            raise
        except (DomainError, DatabaseFailure) as error:
            return Outcome(row.number, RowResult(""), _faults_of(domain_error(error)))

    @classmethod
    def authorize_result(cls, job: Job, actor: Actor) -> None:
        """Check that the owner may still have the file that the job made. Raises CapabilityMissing."""

    def finish(self, job: Job) -> None:
        """Tell that it is over, whatever the outcome, by a service of the module; as SYSTEM."""


def _faults_of(problem: DomainError) -> list[dict[str, str]]:
    """Why a row was refused: the faults of the problem, or the problem itself."""
    if problem.errors:
        return [fault.as_dict() for fault in problem.errors]
    return [{"pointer": "", "code": problem.code, "detail": problem.detail}]


registry: dict[str, type[JobKind]] = {}
