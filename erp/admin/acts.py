"""One act of a person in the admin: inside the same ``once()`` as a request of the API (core §4, §5).

The key and the version that the page showed come with the form. What is kept for replay is where to go and
what to say, never a page with data.
"""

import json
import secrets
from collections.abc import Callable
from datetime import datetime
from typing import Any, Final, NamedTuple

import structlog
from django.core.exceptions import PermissionDenied
from django.db import Error as DatabaseFailure
from django.http import Http404, HttpRequest
from django.utils import timezone

from erp import clock
from erp.api import problems
from erp.api.files import fingerprinted
from erp.api.parsers import canonical_json
from erp.errors import DomainError, Fault, Malformed, PreconditionRequired, ServerError
from erp.idempotency.once import Answer, Request, once, parse_key
from erp.services import Refusal
from erp.trail import context as trail

log = structlog.get_logger(__name__)

KEY: Final = "_key"
VERSION: Final = "_version"
CHOSEN: Final = "_chosen"  # of a run over several rows: "<id>:<version>", once per row
# What doesn't belong to the content of a form: the key, what Django adds, and which button was pressed.
_APART: Final = {KEY, "csrfmiddlewaretoken", "_save", "_addanother", "_continue"}


class Done(NamedTuple):
    """What was done, where to go now, when it was done, and whether that was before."""

    text: str
    location: str
    at: datetime
    replayed: bool = False

    def __str__(self) -> str:
        when = (
            f" This happened at {timezone.localtime(self.at):%H:%M}; nothing was repeated."
            if self.replayed
            else ""
        )
        return self.text + when


class CommittedRefusal(DomainError):
    """It was refused, and the refusal is on record."""

    def __init__(self, status: int, kept: dict[str, Any], when: str = "") -> None:
        """``kept`` is what the record holds of the problem, which is told as the API would tell it."""
        faults = [Fault(fault["pointer"], fault["code"], fault["detail"]) for fault in kept["errors"]]
        super().__init__(kept["detail"] + when, errors=faults)
        self.__dict__.update(status=status, code=kept["code"], title=kept["title"])


def new_key() -> str:
    """A key for the form that is about to be drawn."""
    return secrets.token_urlsafe(24)


def version_of(text: str | None) -> int:
    """The version that a page showed. Raises PreconditionRequired or Malformed (nothing is done)."""
    if not text:
        raise PreconditionRequired("The page didn't say which version it showed.")
    if not (text.isascii() and text.isdecimal() and len(text) <= 9):
        raise Malformed("The page's version is malformed.")
    return int(text)


def carry_out(
    request: HttpRequest,
    *,
    route: str,
    run: Callable[[], tuple[str, str] | Refusal],
    parameters: tuple[tuple[str, str], ...] = (),
) -> Done:
    """Run ``run`` once under the form's key; it returns what to say and where to go, or a committed refusal.

    Raises the domain error for whatever stands against it, a committed refusal included (also when it is
    replayed); what nobody foresaw is raised as it is.
    """
    try:
        attempt = Request(
            principal=f"user:{request.user.pk}",
            method="POST",
            route=route,
            key=parse_key(request.POST.get(KEY)),
            parameters=parameters,
            content=canonical_json(
                [
                    *([name, values] for name, values in sorted(request.POST.lists()) if name not in _APART),
                    *fingerprinted(request.FILES),
                ]
            ),
        )
        with trail.through("admin"):
            return _told(once(attempt, lambda: _answer(run())))
    except (PermissionDenied, Http404):
        raise
    except Exception as failure:
        raise problem_of(failure) from failure


def problem_of(failure: Exception) -> DomainError:
    """The domain error behind a failure; what nobody foresaw is raised again."""
    error = problems.domain_error(failure)
    if isinstance(error, ServerError):
        raise failure
    if isinstance(failure, DatabaseFailure):
        log.warning(
            "database_refused", code=error.code, sqlstate=getattr(failure.__cause__, "sqlstate", None)
        )
    return error


def _answer(outcome: tuple[str, str] | Refusal) -> Answer:
    if isinstance(outcome, Refusal):
        return refused(outcome)
    text, location = outcome
    headers = {"Content-Type": "application/json", "Location": location}
    return Answer(303, headers, json.dumps({"text": text, "at": clock.now().isoformat()}).encode())


def refused(refusal: Refusal) -> Answer:
    """What is kept of a committed refusal; ``kept_of`` raises it again."""
    problem = refusal.problem
    kept = {
        "code": problem.code,
        "title": problem.title,
        "detail": problem.detail,
        "errors": [fault.as_dict() for fault in problem.errors],
        "at": clock.now().isoformat(),
    }
    return Answer(problem.status, {"Content-Type": "application/json"}, json.dumps(kept).encode())


def kept_of(answer: Answer) -> Any:
    """What an answer of ``once()`` holds. Raises CommittedRefusal where it is one."""
    kept: Any = json.loads(answer.body)
    if answer.status < 400:
        return kept
    when = f" ({timezone.localtime(datetime.fromisoformat(kept['at'])):%H:%M})" if answer.replayed else ""
    raise CommittedRefusal(answer.status, kept, when)


def _told(answer: Answer) -> Done:
    kept = kept_of(answer)
    return Done(kept["text"], answer.headers["Location"], datetime.fromisoformat(kept["at"]), answer.replayed)
