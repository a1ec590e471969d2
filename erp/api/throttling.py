"""Rate limits: counted per principal and partner, or per address and account on public endpoints.

Windows are fixed, each counter's at an offset of its own so that they don't all turn over together. Counters
live in Django's cache (Redis). While it doesn't answer, each process counts for itself; sign-in endpoints
answer 503 instead, because an outage must not disable their limit.
"""

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from ipaddress import AddressValueError, IPv6Address, ip_address
from threading import Lock
from typing import Any

import structlog
from django.conf import settings
from django.core.cache import cache, caches
from django.core.cache.backends.redis import RedisCache
from django.http import HttpRequest, HttpResponse, HttpResponseBase
from django.utils.crypto import salted_hmac
from redis.exceptions import RedisError
from rest_framework.request import Request

from erp.api.problems import problem_response
from erp.errors import Throttled, Unavailable
from erp.identifiers import EMAIL, MOBILE
from erp.text import name_key

log = structlog.get_logger(__name__)

PARTNER_FACTOR = 5
PASSWORD = "password"  # noqa: S105 - a class of limits
# After a failure the cache is left alone for this long: else each request would wait for its time-out.
PAUSE_SECONDS = 2.0
LOCAL_COUNTERS = 10_000
PROBES = ("/livez", "/readyz")


@dataclass(frozen=True)
class Policy:
    """A quota per window (seconds) for one subject: the name is what headers call it."""

    name: str
    quota: int
    window: int
    subject: str
    fail_closed: bool = False
    shared: bool = True  # False: each process counts for itself, and the cache isn't asked


@dataclass(frozen=True)
class LimitState:
    """The state of one policy: remaining requests, and seconds until its window ends."""

    policy: Policy
    remaining: int
    reset: int
    exceeded: bool = False


def check(request: Request, view: Any, *, now: float | None = None) -> None:
    """Count the request against every limit of its class.

    The class is ``view.throttle_class_name``: one of ``THROTTLE_LIMITS``, or ``public`` for endpoints with
    their own ``limit`` (requests per ``window`` seconds and address, and per value of the body's
    ``field``). Endpoints of the class ``password``, public or not, share a limit per address as well: each hashes
    passwords, which is slow by design. Raises ``Throttled`` with Retry-After, or ``Unavailable`` if an endpoint must
    not be open uncounted.
    """
    moment = time.time() if now is None else now
    states: list[LimitState] = []
    for policy in _policies(request, view):
        states.append(_hit(policy, moment))
        if states[-1].exceeded:
            break
    request._request.rate_limit = min(  # type: ignore[attr-defined]
        states, key=lambda state: (not state.exceeded, state.remaining / state.policy.quota), default=None
    )
    if states:
        _refuse_exceeded(states[-1])


def require_remaining(policy: Policy) -> None:
    """Raise Throttled where nothing remains of the quota; nothing is counted."""
    _refuse_exceeded(_state(policy, time.time(), lambda key: _current(key) + 1))


def count_one(policy: Policy) -> None:
    """Count one more, whatever remains of the quota."""
    _hit(policy, time.time())


def _refuse_exceeded(state: LimitState) -> None:
    if state.exceeded:
        raise Throttled(f"Try again in {state.reset} s.", headers={"Retry-After": str(state.reset)})


def check_anonymous(request: HttpRequest, *, now: float | None = None) -> None:
    """Count an anonymous request by its address. Raises ``Throttled``.

    Probes have a limit of their own that each process counts: they must not depend on the cache.
    """
    name = "probe" if request.path_info in PROBES else "anonymous"
    quota, window = settings.THROTTLE_ANONYMOUS[name]
    subject = f"address:{network_of(client_address(request))}"
    policy = Policy(
        name, quota * settings.THROTTLE_PUBLIC_FACTOR, window, subject, shared=request.path_info not in PROBES
    )
    state = _hit(policy, time.time() if now is None else now)
    request.rate_limit = state  # type: ignore[attr-defined]
    _refuse_exceeded(state)


class AnonymousMiddleware:
    """Limits whatever is answered without sign-in and isn't counted by its own view.

    Pages are counted before they run; refusals (401, 404, 405 …) after, where it is known that nothing else
    counted them. The admin has limits of its own, and static files are answered further out.
    """

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponseBase]) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponseBase:
        response = self.get_response(request)
        if not hasattr(request, "rate_limit") and not _in_admin(request):
            response = self._refusal(request) or response
        if not response.headers.get("RateLimit"):
            _set_headers(request, response)
        return response

    def process_view(
        self, request: HttpRequest, view: Callable[..., Any], args: Any, kwargs: Any
    ) -> HttpResponseBase | None:
        """Count a page before it runs. A viewset counts by principal once it knows who asks."""
        if hasattr(view, "actions") or _in_admin(request):
            return None
        return self._refusal(request)

    @staticmethod
    def _refusal(request: HttpRequest) -> HttpResponseBase | None:
        try:
            check_anonymous(request)
        except Throttled as error:
            if request.path_info.startswith("/api/"):
                return problem_response(error, request)
            text = f"{error.title} {error.detail}"
            return HttpResponse(text, status=429, content_type="text/plain", headers=error.headers)
        return None


def _in_admin(request: HttpRequest) -> bool:
    match = request.resolver_match
    return match is not None and "admin" in match.app_names


def apply_headers(request: Request, response: HttpResponseBase) -> None:
    """Set the headers of the tightest policy (``RateLimit-Policy``, ``RateLimit``), if the request was counted."""
    _set_headers(request._request, response)


def _set_headers(request: HttpRequest, response: HttpResponseBase) -> None:
    state: LimitState | None = getattr(request, "rate_limit", None)
    if state is not None:
        policy = state.policy
        response["RateLimit-Policy"] = f'"{policy.name}";q={policy.quota};w={policy.window}'
        response["RateLimit"] = f'"{policy.name}";r={state.remaining};t={state.reset}'


def client_address(request: Any) -> str:
    """Address of the caller: the socket's, or what the outermost of ``TRUSTED_PROXIES`` saw.

    What lies before the trusted proxies in ``X-Forwarded-For`` can be forged and isn't looked at.
    """
    seen = [*request.META.get("HTTP_X_FORWARDED_FOR", "").split(","), request.META.get("REMOTE_ADDR", "")]
    address = seen[-1 - min(settings.TRUSTED_PROXIES, len(seen) - 1)].strip()
    try:
        return str(ip_address(address))
    except ValueError:
        return str(request.META.get("REMOTE_ADDR", ""))


def _policies(request: Request, view: Any) -> Iterator[Policy]:
    name = view.throttle_class_name
    if name == "public":
        yield from _of_endpoint(request, view)
        if getattr(view.endpoint, "throttle", "") == PASSWORD:
            yield _of_passwords(request, closed=True)
        return
    quota, window = settings.THROTTLE_LIMITS[name]
    user = request.user
    principal = getattr(request.auth, "principal", None) or getattr(user, "pk", None)
    yield Policy(name, quota, window, f"principal:{principal or network_of(client_address(request))}")
    partner = getattr(user, "partner_id", None)
    if partner is not None:
        yield Policy(f"{name}-partner", quota * PARTNER_FACTOR, window, f"partner:{partner}")
    if name == PASSWORD:
        yield _of_passwords(request, closed=False)


def _of_passwords(request: Request, *, closed: bool) -> Policy:
    quota, window = settings.THROTTLE_LIMITS["password-address"]
    quota *= settings.THROTTLE_PUBLIC_FACTOR
    return Policy("password-address", quota, window, f"address:{network_of(client_address(request))}", closed)


def _of_endpoint(request: Request, view: Any) -> Iterator[Policy]:
    endpoint = view.endpoint
    limit = endpoint.limit
    closed = bool(getattr(limit, "fail_closed", True))
    network = network_of(client_address(request))
    factor = settings.THROTTLE_PUBLIC_FACTOR
    yield Policy("public", limit.limit * factor, limit.window, f"{endpoint.name}:address:{network}", closed)
    if limit.field:
        value = request.data.get(limit.field) if isinstance(request.data, dict) else None
        if isinstance(value, str):
            subject = f"{endpoint.name}:{limit.field}:{_canonical(value)}"
            yield Policy("public-account", limit.field_limit * factor, limit.field_window, subject, closed)


def _canonical(value: str) -> str:
    """The address or number in the form that accounts are compared by: its spellings share one limit."""
    for kind in (EMAIL, MOBILE):
        if kind.is_valid(value):
            return kind.normalise(value)
    return name_key(value)


def network_of(address: str) -> str:
    """What one caller holds: an IPv4 address, or the /64 of an IPv6 one."""
    try:
        whole = IPv6Address(address)
    except AddressValueError:
        return address
    return str(whole.ipv4_mapped or IPv6Address(int(whole) >> 64 << 64))


def _hit(policy: Policy, now: float) -> LimitState:
    return _state(policy, now, lambda key: _count(key, 2 * policy.window, policy))


def _state(policy: Policy, now: float, count_of: Callable[[str], int]) -> LimitState:
    # The subject can be an e-mail address or a number: it leaves this process only as a hash.
    digest = salted_hmac("erp.api.throttling", f"{policy.name}:{policy.subject}", algorithm="sha256").digest()
    shifted = now + int.from_bytes(digest[:4], "big") % policy.window
    turn = int(shifted // policy.window)
    count = count_of(f"throttle:{digest[:16].hex()}:{turn}")
    reset = max(1, round((turn + 1) * policy.window - shifted))
    return LimitState(policy, max(0, policy.quota - count), reset, exceeded=count > policy.quota)


class _Counters:
    """Counters of this process alone, for while the cache doesn't answer."""

    def __init__(self) -> None:
        self.lock = Lock()
        self.counts: dict[str, tuple[int, float]] = {}
        self.quiet_until = 0.0

    def up(self, key: str, seconds: int) -> int:
        now = time.monotonic()
        with self.lock:
            if len(self.counts) >= LOCAL_COUNTERS:
                alive = {name: counted for name, counted in self.counts.items() if counted[1] > now}
                self.counts = alive if len(alive) < LOCAL_COUNTERS else {}
            count, until = self.counts.get(key, (0, now + seconds))
            self.counts[key] = count + 1, until
        return count + 1


_local = _Counters()


def _count(key: str, seconds: int, policy: Policy) -> int:
    """Count one more under ``key``, which is forgotten after ``seconds``."""
    count = _stored(lambda: _up(key, seconds)) if policy.shared else None
    if count is not None:
        return count
    if policy.fail_closed:
        raise Unavailable("Sign-in is temporarily unavailable; try again.", retry_after=int(PAUSE_SECONDS))
    return _local.up(key, seconds)


def _current(key: str) -> int:
    count = _stored(lambda: int(cache.get(key, 0)))
    return _local.counts.get(key, (0, 0.0))[0] if count is None else count


def _stored(ask: Callable[[], int]) -> int | None:
    """What the cache answers, or None while it is down."""
    if time.monotonic() >= _local.quiet_until:
        try:
            return ask()
        except (RedisError, OSError) as error:
            _local.quiet_until = time.monotonic() + PAUSE_SECONDS
            log.warning("throttle_store_down", error=type(error).__name__)
    return None


def _up(key: str, seconds: int) -> int:
    store: Any = caches["default"]
    if not isinstance(store, RedisCache):
        store.add(key, 0, seconds)
        return int(store.incr(key))
    name = store.make_key(key)
    # One round trip, where the cache's own methods need two or three.
    with store._cache.get_client(name, write=True).pipeline(transaction=False) as both:
        both.set(name, 0, ex=seconds, nx=True)
        both.incr(name)
        return int(both.execute()[1])
