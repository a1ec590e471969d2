"""One action in the admin, inside the same ``once()`` as a request of the API (core §4, §5).

The key and the version that the page showed come with the form. What is stored for replay is the redirect and
the message, never a page with data.
"""

import json
import secrets
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import datetime
from typing import Any, Final, NamedTuple

import structlog
from django.contrib import messages
from django.core.exceptions import PermissionDenied
from django.db import Error as DatabaseFailure
from django.http import Http404, HttpRequest
from django.utils.html import format_html

from erp import clock
from erp.api import problems
from erp.api.files import fingerprinted
from erp.api.parsers import canonical_json
from erp.errors import DomainError, FieldError, Malformed, PreconditionRequired, ServerError
from erp.idempotency.once import Request, StoredResponse, once, parse_key
from erp.services import Refusal
from erp.trail import context as trail

log = structlog.get_logger(__name__)

KEY: Final = "_key"
VERSION: Final = "_version"
CHOSEN: Final = "_chosen"  # of a run over several rows: "<id>:<version>", once per row
# What doesn't belong to the content of a form: the key, what Django adds, and which button was pressed.
_APART: Final = {KEY, "csrfmiddlewaretoken", "_save", "_addanother", "_continue", "_preview"}


class Outcome(NamedTuple):
    """What an action did: message, where to go next, and the words of the message that name what is found there."""

    text: str
    location: str
    name: str = ""


class ActResult(NamedTuple):
    """The result of an action: its outcome, the time, and whether it was replayed."""

    outcome: Outcome
    at: datetime
    replayed: bool = False

    def __str__(self) -> str:
        when = (
            f" This was already done at {clock.local(self.at)}; it was not done again."
            if self.replayed
            else ""
        )
        return self.outcome.text + when


class CommittedRefusal(DomainError):
    """The action was refused, and the refusal is stored."""

    def __init__(self, status: int, record: dict[str, Any], when: str = "") -> None:
        """``kept`` is the stored problem, which is shown as the API would show it."""
        faults = [FieldError(fault["pointer"], fault["code"], fault["detail"]) for fault in record["errors"]]
        super().__init__(record["detail"] + when, errors=faults)
        self.__dict__.update(status=status, code=record["code"], title=record["title"])


def new_key() -> str:
    """Return a new idempotency key for a form."""
    return secrets.token_urlsafe(24)


def version_of(text: str | None) -> int:
    """Return the version that the form showed. Raises PreconditionRequired or Malformed."""
    if not text:
        raise PreconditionRequired(
            "The form does not say which version of the row it shows. Reload the page and try again."
        )
    if not (text.isascii() and text.isdecimal() and len(text) <= 9):
        raise Malformed("The version in the form is malformed. Reload the page and try again.")
    return int(text)


def carry_out(
    request: HttpRequest,
    *,
    route: str,
    run: Callable[[], Outcome | Refusal],
    parameters: tuple[tuple[str, str], ...] = (),
) -> ActResult:
    """Execute ``run`` once under the form's key; ``run`` returns its outcome, or a committed refusal.

    Raises the domain error of a refusal, a committed one included (also when it is replayed); other
    exceptions are raised unchanged.
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
            return _done_from(once(attempt, lambda: _answer(run())))
    except (PermissionDenied, Http404):
        raise
    except Exception as failure:
        raise problem_of(failure) from failure


def problem_of(failure: Exception) -> DomainError:
    """Return the domain error behind a failure; raise other exceptions again."""
    error = problems.domain_error(failure)
    if isinstance(error, ServerError):
        raise failure
    if isinstance(failure, DatabaseFailure):
        log.warning(
            "database_refused", code=error.code, sqlstate=getattr(failure.__cause__, "sqlstate", None)
        )
    return error


def announce(request: HttpRequest, done: ActResult) -> None:
    """Add the message of an action, in which the object's name links to its page."""
    name = done.outcome.name
    before, name, after = str(done).partition(name) if name else (str(done), "", "")
    link = format_html('<a class="underline" href="{}">{}</a>', done.outcome.location, name) if name else ""
    text = format_html("{}{}{}", before, link, after)
    messages.add_message(request, messages.INFO if done.replayed else messages.SUCCESS, text)


@contextmanager
def as_domain_errors() -> Iterator[None]:
    """Raise failures inside as the domain errors behind them; see ``problem_of``."""
    try:
        yield
    except Exception as failure:
        raise problem_of(failure) from failure


def _answer(outcome: Outcome | Refusal) -> StoredResponse:
    if isinstance(outcome, Refusal):
        return refused(outcome)
    headers = {"Content-Type": "application/json", "Location": outcome.location}
    record = {"text": outcome.text, "name": outcome.name, "at": clock.now().isoformat()}
    return StoredResponse(303, headers, json.dumps(record).encode())


def refused(refusal: Refusal) -> StoredResponse:
    """What is kept of a committed refusal; ``kept_of`` raises it again."""
    problem = refusal.problem
    record = {
        "code": problem.code,
        "title": problem.title,
        "detail": problem.detail,
        "errors": [fault.as_dict() for fault in problem.errors],
        "at": clock.now().isoformat(),
    }
    return StoredResponse(problem.status, {"Content-Type": "application/json"}, json.dumps(record).encode())


def record_of(answer: StoredResponse) -> Any:
    """What an answer of ``once()`` holds. Raises CommittedRefusal where it is one."""
    record: Any = json.loads(answer.body)
    if answer.status < 400:
        return record
    when = f" ({clock.local(datetime.fromisoformat(record['at']))})" if answer.replayed else ""
    raise CommittedRefusal(answer.status, record, when)


def _done_from(answer: StoredResponse) -> ActResult:
    record = record_of(answer)
    outcome = Outcome(record["text"], answer.headers["Location"], record["name"])
    return ActResult(outcome, datetime.fromisoformat(record["at"]), answer.replayed)
