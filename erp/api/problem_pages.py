"""The pages of problem codes, which a problem's ``type`` points to: meaning, cause, fix, example, operations."""

import json
import re
from functools import cache
from typing import Any, Final

from django.http import Http404, HttpRequest, HttpResponse, JsonResponse
from django.shortcuts import render
from django.views.decorators.csrf import csrf_exempt
from django.views.decorators.http import require_safe

from erp import errors
from erp.api import docs
from erp.api.examples import SAMPLE_ID
from erp.api.problems import problem_document, problem_kinds
from erp.errors import DomainError, FieldError

SAMPLE_REQUEST: Final = "01993c1e7d2a"
_READ_AGAIN: Final = "Read the row again and continue from its current `status` and `allowed_actions`."
# Cause and fix by the ending of a code, where the class has none of its own: the endings are used alike everywhere.
_ENDINGS: Final = tuple(
    (re.compile(rf"(?:{pattern})$"), cause, fix)
    for pattern, cause, fix in (
        (
            "duplicate|taken|_exists|email_taken|second_basis|second_standard|collides|identifier_unavailable",
            "Another row already has a value that can exist only once.",
            "Use the existing row, or send another value.",
        ),
        (
            "overlap",
            "The period or range shares at least one day or value with an existing row.",
            "Choose a period or range that does not overlap, or end the existing row first.",
        ),
        (
            "reference_missing",
            "A row was archived or removed between your reading and this request, or other rows still refer to it.",
            "Read the related rows again and send the request with IDs that exist.",
        ),
        (
            "rule_broken|contradict",
            "Two or more values exclude each other.",
            "Compare the values with the descriptions of the fields, correct them and send the request again.",
        ),
        (
            "pending_exists|_pending|already_\\w+|in_progress",
            "The same thing was started before and has not ended.",
            "Wait for its end, or end it first, before you start it again.",
        ),
        (
            "invalid_state|illegal_transition|not_pending|not_failed|not_waiting|not_cancellable|not_redrivable"
            "|change_decided|_ended|_closed|window_over|time_over|year_open",
            "The row has reached a status in which this action is not possible.",
            _READ_AGAIN,
        ),
        (
            "stale",
            "The record was changed after the request had been made.",
            "Read the record and make a new request from its current values.",
        ),
        (
            "not_active|inactive|archived|not_eligible|owner_inactive",
            "A row that the request refers to is not active at present.",
            "Choose an active row, or have this one activated again.",
        ),
        (
            "in_use|in_force|_locked|protected|identity_in_use|soft_closed|in_trade",
            "The value is fixed because other records depend on it.",
            "Leave the value as it is, or create a new row with the other value.",
        ),
        (
            "required|_needed|missing|incomplete|not_ready|no_definition|no_coordinates|no_tax_rate|gap|not_enabled",
            "A value or a record that this operation depends on is missing.",
            "Add what the title names, then send the request again.",
        ),
        (
            "mismatch|differ|differs|other_\\w+|outside_\\w+|_dimension|not_allowed|not_applicable|parent_type",
            "Two values that belong together do not match.",
            "Check both values against their documents, correct the wrong one and send the request again.",
        ),
        (
            "exceeded|too_long|too_many_\\w+|too_deep|below_minimum|exhausted|whole_lot_only|not_whole",
            "A value is beyond the limit that applies here.",
            "Send a value within the limit named in `detail`, or split the operation.",
        ),
        (
            "_invalid|_reused|_weak|_failed|code_mismatch",
            "The submitted secret, code or value was not accepted.",
            "Enter it again or request a new one. A new attempt needs a new Idempotency-Key.",
        ),
    )
)


def kind_page(kind: type[DomainError]) -> dict[str, Any]:
    """What the page of a code shows, also as JSON."""
    cause, fix = _explanation(kind)
    _, _, more = (kind.__doc__ or "").strip().partition("\n")
    operations, everywhere = _operations(kind.code)
    return {
        "type": f"/api/problems/{kind.code}",
        "code": kind.code,
        "title": kind.title,
        "status": kind.status,
        "description": " ".join(more.split()),
        "cause": cause,
        "fix": fix,
        "example": _example(kind, operations),
        "any_operation": everywhere,
        "operations": [] if everywhere else operations,
    }


def _explanation(kind: type[DomainError]) -> tuple[str, str]:
    """Cause and fix: of the class itself, by the code's ending, or of its family."""
    if kind.code not in errors.SHARED and not {"cause", "fix"} & vars(kind).keys():
        for ending, cause, fix in _ENDINGS:
            if ending.search(kind.code):
                return cause, fix
    return kind.cause, kind.fix


def _example(kind: type[DomainError], operations: list[dict[str, str]]) -> dict[str, Any]:
    error = DomainError.__new__(kind)
    DomainError.__init__(error)
    if kind.code == errors.CapabilityMissing.code:
        error.members["capability"] = "partner.view"
    if kind.status == 400 and kind.code.startswith("request.inv"):
        error.errors.append(FieldError("/quantity", "required", "This field is required."))
    path = operations[0]["path"] if operations else "/api/v1/commodities"
    return problem_document(error, instance=re.sub(r"\{\w+\}", SAMPLE_ID, path), request_id=SAMPLE_REQUEST)


def _operations(code: str) -> tuple[list[dict[str, str]], bool]:
    """The operations that declare the code, and whether nearly all do."""
    by_code, total = _declared()
    operations = by_code.get(code, [])
    return operations, len(operations) > total * 3 // 4


@cache
def _declared() -> tuple[dict[str, list[dict[str, str]]], int]:
    """Code → operations of the committed document, and how many operations it has."""
    document = json.loads(docs.read_document(True)[0])
    shared, total = document["components"].get("responses", {}), 0
    by_code: dict[str, list[dict[str, str]]] = {}
    for path, item in document["paths"].items():
        for method, operation in item.items():
            if not isinstance(operation, dict) or "responses" not in operation:
                continue
            total += 1
            tag = (operation.get("tags") or ["default"])[0]
            entry = {
                "method": method.upper(),
                "path": path,
                "summary": operation.get("summary", ""),
                "url": f"/api/docs#/{tag}/{operation['operationId']}",
            }
            for response in operation["responses"].values():
                response = shared.get(response.get("$ref", "").rpartition("/")[2], response)
                for code in response.get("x-problem-codes", ()):
                    by_code.setdefault(code, []).append(entry)
    return by_code, total


@csrf_exempt  # so that another method is 405, not a failed check
@require_safe
def problem_index(request: HttpRequest) -> HttpResponse:
    """All problem codes: a page for people, a JSON list for programs."""
    return _page(request, [kind_page(kind) for kind in problem_kinds().values()])


@csrf_exempt  # so that another method is 405, not a failed check
@require_safe
def problem_page(request: HttpRequest, code: str) -> HttpResponse:
    """One problem code, which is what a problem's ``type`` points to."""
    kind = problem_kinds().get(code)
    if kind is None:
        raise Http404
    return _page(request, kind_page(kind))


def _page(request: HttpRequest, content: dict[str, Any] | list[dict[str, Any]]) -> HttpResponse:
    form = request.get_preferred_type(["application/json", "text/html"])
    if form is None:
        raise errors.NotAcceptable("The answer comes as application/json, text/html.")
    if form == "text/html":
        context: dict[str, Any] = {"kinds": content}
        if not isinstance(content, list):
            context = {"kind": content, "example": json.dumps(content["example"], indent=2)}
        response = render(request, "erp/problems.html", context)
    else:
        response = JsonResponse({"results": content} if isinstance(content, list) else content)
    response["Vary"] = "Accept"
    return response
