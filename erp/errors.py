"""Domain errors: what a service raises, and what one handler renders as RFC 9457 problem+json.

A subclass's docstring is the problem's title and its class name the problem's code:
``QuantityExceeded`` raised by the availability module is ``availability.quantity_exceeded``.
"""

import re
from typing import Any, ClassVar


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


def label_of(module: str) -> str:
    """App label of a module path: ``apps.availability.services`` → ``availability``.

    Falls back to the package's name while Django's registry isn't ready yet.
    """
    from django.apps import apps

    if apps.apps_ready:
        config = apps.get_containing_app_config(module)
        if config is not None:
            return str(config.label)
    return module.split(".")[1]


# The families. A domain error subclasses the one whose status fits.


class Invalid(DomainError):
    """The request is not valid."""

    status, code = 400, "request.invalid"


class Forbidden(DomainError):
    """This is not allowed."""

    status = 403


class NotFound(DomainError):
    """The resource does not exist, or you may not see it."""

    status, code = 404, "resource.not_found"


class Conflict(DomainError):
    """The current state does not allow this."""

    status = 409


class Gone(DomainError):
    """The resource was replaced; see its successor."""

    status = 410


class RuleBroken(DomainError):
    """A rule across fields or rows is broken."""

    status = 422


class Unavailable(DomainError):
    """A required system is down; try again."""

    status, code = 503, "dependency.unavailable"

    def __init__(self, detail: str = "", *, retry_after: int = 1, **kwargs: Any) -> None:
        super().__init__(detail, headers={"Retry-After": str(retry_after)}, **kwargs)


# Codes that every module shares (core §6).


class Malformed(Invalid):
    """The request is malformed."""

    code = "request.malformed"


class UnknownField(Invalid):
    """The request contains an unknown field."""

    code = "request.unknown_field"


class NotAuthenticated(DomainError):
    """Sign in first."""

    status, code = 401, "account.not_authenticated"

    def __init__(self, detail: str = "", **kwargs: Any) -> None:
        super().__init__(detail, headers={"WWW-Authenticate": 'Bearer realm="api"'}, **kwargs)


class ReauthenticationRequired(DomainError):
    """Confirm your identity with your password or a code, then repeat the request."""

    status, code = 401, "account.reauthentication_required"

    def __init__(self, detail: str = "", **kwargs: Any) -> None:
        challenge = 'Bearer realm="api", error="insufficient_user_authentication"'  # RFC 9470
        super().__init__(detail, headers={"WWW-Authenticate": challenge}, **kwargs)


class CapabilityMissing(Forbidden):
    """A capability is missing."""

    code = "capability.missing"

    def __init__(self, capability: str) -> None:
        super().__init__(f"You need the capability {capability}.", capability=capability)


class SelfApproval(Forbidden):
    """You created or edited this request, so another person must approve it."""

    code = "approval.self"


class PreconditionFailed(DomainError):
    """The row has changed since you read it."""

    status, code = 412, "precondition.failed"


class PreconditionRequired(DomainError):
    """Send If-Match with the version you read."""

    status, code = 428, "precondition.required"


class KeyMissing(Invalid):
    """An Idempotency-Key is needed."""

    code = "idempotency.key_missing"


class KeyInvalid(Invalid):
    """The Idempotency-Key is malformed."""

    code = "idempotency.key_invalid"


class KeyReused(RuleBroken):
    """The Idempotency-Key was used for another request."""

    code = "idempotency.key_reused"


class InProgress(Conflict):
    """The same request is being executed."""

    code = "idempotency.in_progress"

    def __init__(self, detail: str = "") -> None:
        super().__init__(detail, headers={"Retry-After": "1"})


class AnswerExpired(Conflict):
    """The request was executed; its response is no longer stored."""

    code = "idempotency.answer_expired"


class Throttled(DomainError):
    """Too many requests."""

    status, code = 429, "throttle.limited"


class MethodNotAllowed(DomainError):
    """This method is not supported here."""

    status, code = 405, "request.method_not_allowed"


class NotAcceptable(DomainError):
    """Only JSON responses are available."""

    status, code = 406, "request.not_acceptable"


class RequestTimeout(DomainError):
    """The request took too long to arrive."""

    status, code = 408, "request.timeout"


class UriTooLong(DomainError):
    """The URL is too long."""

    status, code = 414, "request.uri_too_long"


class HeadersTooLarge(DomainError):
    """The headers are too large."""

    status, code = 431, "request.headers_too_large"


class TooLarge(DomainError):
    """The request is too large."""

    status, code = 413, "request.too_large"


class UnsupportedMediaType(DomainError):
    """This media type is not accepted here."""

    status, code = 415, "request.unsupported_media_type"


class ServerError(DomainError):
    """An internal error occurred."""

    status, code = 500, "server.error"


# What any service may raise undeclared: every class above with a code of its own, so not the families.
SHARED = frozenset(
    kind.code
    for kind in list(globals().values())
    if isinstance(kind, type) and issubclass(kind, DomainError) and not kind.code.startswith("erp.")
) - {""}
