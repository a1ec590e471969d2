"""Domain errors: what a service raises, and what one handler renders as RFC 9457 problem+json.

A subclass's docstring is the problem's title and its class name the problem's code:
``QuantityExceeded`` raised by the availability module is ``availability.quantity_exceeded``.
"""

import re
import sys
from typing import Any, ClassVar, Self


def snake(name: str) -> str:
    """``QuantityExceeded`` → ``quantity_exceeded``."""
    return re.sub(r"(?<=[a-z0-9])(?=[A-Z])|(?<=[A-Z])(?=[A-Z][a-z])", "_", name).lower()


class FieldError:
    """One error of an input: JSON pointer, stable code, and text for people."""

    __slots__ = ("code", "detail", "pointer")

    def __init__(self, pointer: str, code: str, detail: str) -> None:
        self.pointer, self.code, self.detail = pointer, code, detail

    def as_dict(self) -> dict[str, str]:
        """The member of a problem's ``errors``."""
        return {"pointer": self.pointer, "code": self.code, "detail": self.detail}


# Members that every problem document has (RFC 9457, core §6): no error has one of its own by such a name.
RESERVED = frozenset({"type", "title", "status", "detail", "instance", "code", "request_id", "errors"})

by_constraint: "dict[str, type[DomainError]]" = {}


class DomainError(Exception):
    """The request cannot be executed.

    ``constraints`` names the database's constraints whose breach is this problem: a service then needs no
    query before it writes, which a race would make unreliable.
    """

    status: ClassVar[int] = 422
    code: ClassVar[str] = ""
    title: ClassVar[str] = ""
    # For the code's page: why it happens and what the caller does; one's own where the family's don't suffice.
    cause: ClassVar[str] = "The request could not be executed as sent."
    fix: ClassVar[str] = "Read `detail`, correct the request and send it again."
    constraints: ClassVar[tuple[str, ...]] = ()

    def __init_subclass__(cls, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        by_constraint.update(dict.fromkeys(cls.__dict__.get("constraints", ()), cls))
        package = cls.__module__.split(".")
        area = label_of(cls.__module__) if package[0] == "apps" else package[0]
        if "code" not in cls.__dict__:
            cls.code = f"{area}.{snake(cls.__name__)}"
        if "title" not in cls.__dict__:
            cls.title = (cls.__doc__ or cls.__name__).strip().splitlines()[0]

    def __init__(
        self,
        detail: str = "",
        *,
        errors: "list[FieldError] | None" = None,
        headers: dict[str, str] | None = None,
        **members: Any,
    ) -> None:
        """``detail`` is for people; ``members`` are extra members of the problem document."""
        super().__init__(detail or self.title)
        if taken := RESERVED & members.keys():
            raise TypeError(
                f"{type(self).__name__}: {', '.join(sorted(taken))} belongs to the document itself"
            )
        self.detail = detail or self.title
        self.errors = errors or []
        self.headers = headers or {}
        self.members = members

    @classmethod
    def at(cls, pointer: str, code: str, detail: str) -> Self:
        """The problem with one place of the input."""
        return cls(errors=[FieldError(pointer, code, detail)])


def label_of(module: str) -> str:
    """App label of a module path: ``apps.availability.services`` → ``availability``.

    Falls back to the package's name while Django's registry isn't ready yet, or where pure functions run without
    Django.
    """
    registry = sys.modules.get("django.apps")
    if registry is not None and registry.apps.apps_ready:
        config = registry.apps.get_containing_app_config(module)
        if config is not None:
            return str(config.label)
    return module.split(".")[1]


# The families. A domain error subclasses the one whose status fits.


class Invalid(DomainError):
    """The request is not valid."""

    status, code = 400, "request.invalid"
    cause = "One or more values have the wrong type or format, are out of range, or are missing."
    fix = (
        "Correct each place named in `errors` (a JSON pointer into the body, or `/query/<name>`) and "
        "send the request again. The same Idempotency-Key can be used."
    )


class Forbidden(DomainError):
    """This is not allowed."""

    status = 403
    cause = "You are signed in, but your roles or the rules for this row don't permit the action."
    fix = (
        "Check `allowed_actions` of the row, or ask an administrator for the right. Repeating the "
        "request does not help."
    )


class NotFound(DomainError):
    """The resource does not exist, or you may not see it."""

    status, code = 404, "resource.not_found"
    cause = (
        "The ID or path is wrong, or the row is not visible to you. The response is the same in both cases."
    )
    fix = (
        "Take IDs from a list or from `links`. If you expect to see the row, ask an administrator to "
        "check your access."
    )


class Conflict(DomainError):
    """The current state does not allow this."""

    status = 409
    cause = (
        "The request is valid, but the current state of the data does not allow it, or another request "
        "was faster."
    )
    fix = (
        "Read the row again, check `status` and `allowed_actions`, and decide anew. Repeating the "
        "unchanged request gives the same response until the state changes."
    )

    @classmethod
    def of_status(cls, row: Any, detail: str = "") -> Self:
        """The refusal of a verb that the row's status doesn't allow; it names the status and what is open."""
        return cls(
            detail or f"This isn't possible while the status is {row.get_status_display().lower()}.",
            status_now=row.status,
            allowed_actions=sorted(verb.replace("_", "-") for verb in row.open_verbs()),
        )


class Gone(DomainError):
    """The resource was replaced; see its successor."""

    status = 410
    cause = "The address was valid before; what it named was replaced or is no longer stored."
    fix = "Follow the member that names the successor, and store the new ID or cursor."


class RuleBroken(DomainError):
    """A rule across fields or rows is broken."""

    status = 422
    cause = "Each value is valid by itself, but together, or with stored data, they break a business rule."
    fix = (
        "Correct the values named in `errors` or `detail` and send the request again. The same "
        "Idempotency-Key can be used."
    )


class Unavailable(DomainError):
    """A required system is down; try again."""

    status, code = 503, "dependency.unavailable"
    cause = "A system that the request needs is down, overloaded or under maintenance. Nothing was changed."
    fix = (
        "Wait for the seconds in `Retry-After`, then send the same request with the same Idempotency-"
        "Key; increase the wait with each attempt."
    )

    def __init__(self, detail: str = "", *, retry_after: int = 1, **kwargs: Any) -> None:
        super().__init__(detail, headers={"Retry-After": str(retry_after)}, **kwargs)


# Codes that every module shares (core §6).


class Malformed(Invalid):
    """The request is malformed."""

    code = "request.malformed"
    cause = (
        "The body is not valid JSON in UTF-8, a header or parameter was sent twice, or the address can't"
        " be read."
    )
    fix = (
        "Send valid JSON with `Content-Type: application/json` and a `Content-Length`, and each header "
        "and parameter once."
    )


class UnknownField(Invalid):
    """The request contains an unknown field."""

    code = "request.unknown_field"
    cause = (
        "The body or the query has a member that this operation doesn't know. Nothing is ignored silently."
    )
    fix = "Remove or rename what `errors` names; the operation's schema lists what it accepts."


class NotAuthenticated(DomainError):
    """Sign in first."""

    status, code = 401, "account.not_authenticated"
    cause = "The Authorization header is missing, or the token has expired or was revoked."
    fix = (
        "Sign in, or refresh the tokens, and send `Authorization: Bearer <access token>`. An access "
        "token is valid for 15 minutes."
    )

    def __init__(self, detail: str = "", **kwargs: Any) -> None:
        super().__init__(detail, headers={"WWW-Authenticate": 'Bearer realm="api"'}, **kwargs)


class ReauthenticationRequired(DomainError):
    """Confirm your identity with your password or a code, then repeat the request."""

    status, code = 401, "account.reauthentication_required"
    cause = (
        "The action is sensitive and the session's last confirmation of identity is more than ten "
        "minutes ago."
    )
    fix = (
        "Call `POST /api/v1/auth/reauthenticate` with the password or a code, then repeat the request "
        "with the same Idempotency-Key."
    )

    def __init__(self, detail: str = "", **kwargs: Any) -> None:
        challenge = 'Bearer realm="api", error="insufficient_user_authentication"'  # RFC 9470
        super().__init__(detail, headers={"WWW-Authenticate": challenge}, **kwargs)


class CapabilityMissing(Forbidden):
    """A capability is missing."""

    code = "capability.missing"
    cause = "None of your roles includes the capability named in `capability`."
    fix = "Ask an administrator for a role with this capability. A new right applies from the next request."

    def __init__(self, capability: str) -> None:
        super().__init__(f"You need the capability {capability}.", capability=capability)


class SelfApproval(Forbidden):
    """You created or edited this request, so another person must approve it."""

    code = "approval.self"
    cause = (
        "You created or edited what is to be approved. Approval needs a second person, whatever your role."
    )
    fix = "Ask a colleague with the capability to approve it."


class PreconditionFailed(DomainError):
    """The row has changed since you read it."""

    status, code = 412, "precondition.failed"
    cause = (
        "Another request changed the row after you read it, so the version in If-Match is no longer current."
    )
    fix = "Read the row, compare, and send the change again with the new ETag."


class PreconditionRequired(DomainError):
    """Send If-Match with the version you read."""

    status, code = 428, "precondition.required"
    cause = (
        "This operation changes a row and needs the version that you read, to protect the changes of others."
    )
    fix = "Read the row and send its ETag as `If-Match`, quotes included."


class KeyMissing(Invalid):
    """An Idempotency-Key is needed."""

    code = "idempotency.key_missing"
    cause = "The request writes, and writes need an Idempotency-Key so that they can be repeated safely."
    fix = (
        "Send `Idempotency-Key` with a random UUID. Use one key per operation, and the same key for its "
        "retries."
    )


class KeyInvalid(Invalid):
    """The Idempotency-Key is malformed."""

    code = "idempotency.key_invalid"
    cause = "The Idempotency-Key isn't 16 to 255 visible ASCII characters."
    fix = "Send a random UUID, with or without quotes."


class KeyReused(RuleBroken):
    """The Idempotency-Key was used for another request."""

    code = "idempotency.key_reused"
    cause = "The key was already used for a request with another body, path or query."
    fix = "Use a new key for a new operation; keep a key only for retries of exactly the same request."


class InProgress(Conflict):
    """The same request is being executed."""

    code = "idempotency.in_progress"
    cause = "An earlier attempt with the same key has not finished."
    fix = (
        "Wait for the seconds in `Retry-After` and send the same request with the same key: the response"
        " is then replayed."
    )

    def __init__(self, detail: str = "") -> None:
        super().__init__(detail, headers={"Retry-After": "1"})


class AnswerExpired(Conflict):
    """The request was executed; its response is no longer stored."""

    code = "idempotency.answer_expired"
    cause = (
        "The operation was executed, and its response contained secrets, which are stored for 15 minutes"
        " only."
    )
    fix = "Read the current state. If you need the secret, start a new operation with a new key."


class Throttled(DomainError):
    """Too many requests."""

    status, code = 429, "throttle.limited"
    cause = "You reached a rate limit. The headers `RateLimit` and `RateLimit-Policy` show it."
    fix = (
        "Wait for the seconds in `Retry-After`, then continue more slowly. The same Idempotency-Key can "
        "be used."
    )


class MethodNotAllowed(DomainError):
    """This method is not supported here."""

    status, code = 405, "request.method_not_allowed"
    cause = "The path exists, but not with this HTTP method."
    fix = "Use a method from the `Allow` header. Changes use POST and PUT; there is no PATCH or DELETE."


class NotAcceptable(DomainError):
    """Only JSON responses are available."""

    status, code = 406, "request.not_acceptable"
    cause = "The Accept header excludes the format of the response."
    fix = "Send `Accept: application/json` or leave the header out."


class RequestTimeout(DomainError):
    """The request took too long to arrive."""

    status, code = 408, "request.timeout"
    cause = "The body did not arrive in full in time."
    fix = "Check the connection and send the same request with the same Idempotency-Key."


class UriTooLong(DomainError):
    """The URL is too long."""

    status, code = 414, "request.uri_too_long"
    cause = "The path and query are longer than the server accepts."
    fix = "Use fewer filters or values, or a search by POST where there is one."


class HeadersTooLarge(DomainError):
    """The headers are too large."""

    status, code = 431, "request.headers_too_large"
    cause = "The headers are larger than the server accepts."
    fix = "Remove cookies and headers that the API doesn't need."


class TooLarge(DomainError):
    """The request is too large."""

    status, code = 413, "request.too_large"
    cause = "The body is larger than 10 MB, or its JSON larger than 2 MB."
    fix = "Split the request, or use the bulk import with a file."


class UnsupportedMediaType(DomainError):
    """This media type is not accepted here."""

    status, code = 415, "request.unsupported_media_type"
    cause = "The Content-Type is not accepted here, or a file's content isn't what it claims to be."
    fix = (
        "Send `application/json`, or `multipart/form-data` where a file travels, with a file of a listed"
        " type."
    )


class ServerError(DomainError):
    """An internal error occurred."""

    status, code = 500, "server.error"
    cause = "The server failed unexpectedly. The change was rolled back."
    fix = (
        "Send the same request with the same Idempotency-Key. If it fails again, give support the "
        "`request_id`."
    )


# What any service may raise undeclared: every class above with a code of its own, so not the families.
SHARED = frozenset(
    kind.code
    for kind in list(globals().values())
    if isinstance(kind, type) and issubclass(kind, DomainError) and not kind.code.startswith("erp.")
) - {""}
