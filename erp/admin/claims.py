"""Claims of queued rows: a lease in the cache that tells others who works on a row.

A claim guards nothing: version and row lock do. It lasts ``SECONDS`` and is renewed while the page is open; a person of
a higher role can take it over. Without a cache nobody claims anything.
"""

from collections.abc import Iterable, Iterator
from typing import Any, Final, NamedTuple

from django.contrib.admin import SimpleListFilter
from django.contrib.auth import get_user_model
from django.core.exceptions import PermissionDenied
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect

from erp import access
from erp.admin import cached, partner_view

SECONDS: Final = 15 * 60


class Claim(NamedTuple):
    """Who works on a row, the row as people name it, and its page."""

    user: str
    name: str
    title: str
    url: str


class ClaimFilter(SimpleListFilter):
    """Rows of a queue by their claim."""

    title, parameter_name = "claim", "claim"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, str]]:
        return [("mine", "Claimed by me"), ("free", "Not claimed")]

    def queryset(self, request: HttpRequest, queryset: Any) -> Any:
        label = queryset.model._meta.label
        found = _live(label, cached.get(f"claims:{label}") or ())
        if self.value() == "mine":
            return queryset.filter(
                pk__in=[pk for pk, claim in found.items() if claim.user == str(request.user.pk)]
            )
        return queryset.exclude(pk__in=list(found)) if self.value() == "free" else queryset


def of(row: Any) -> Claim | None:
    """The claim of a row."""
    found: Claim | None = cached.get(_key(row._meta.label, row.pk))
    return found


def attach(rows: Iterable[Any]) -> None:
    """Set ``claimed_by`` of rows that somebody claims: one question to the cache."""
    found = list(rows)
    if found:
        claims = _live(found[0]._meta.label, [str(row.pk) for row in found])
        for row in found:
            if (claim := claims.get(str(row.pk))) is not None:
                row.claimed_by = claim.name


def context(page: Any, request: HttpRequest, row: Any) -> dict[str, Any]:
    """What the page of a row says about its claim; nothing where the row waits in no queue."""
    is_queued = any(
        page.get_queryset(request).filter(**queue.filters, pk=row.pk).exists() for queue in page.queues
    )
    if not is_queued or page.admin_site.reads_only(request) or partner_view.is_active(request):
        return {}
    claim = of(row)
    is_mine = claim is not None and claim.user == str(request.user.pk)
    return {
        "claim": claim,
        "claim_is_mine": is_mine,
        "claim_url": page._url("claim", row.pk),
        "may_claim": claim is None or (not is_mine and _is_above(request.user, claim)),
    }


def act(page: Any, request: HttpRequest, row: Any) -> HttpResponse:
    """Claim, renew, take over or release a row; then show its page again."""
    if request.method != "POST" or page.admin_site.reads_only(request):
        raise PermissionDenied
    claim, key = of(row), _key(row._meta.label, row.pk)
    is_mine = claim is not None and claim.user == str(request.user.pk)
    if "release" in request.POST:
        if is_mine:
            cached.drop(key)
    elif claim is None or is_mine or ("take_over" in request.POST and _is_above(request.user, claim)):
        _store(request, row, page._url("change", row.pk))
    return HttpResponseRedirect(f"{page._url('change', row.pk)}?{request.GET.urlencode()}")


def tasks(request: HttpRequest) -> Iterator[Claim]:
    """The rows that the person claims."""
    user = str(request.user.pk)
    keys = cached.get(f"claims:{user}") or ()
    for claim in cached.get_many(keys).values():
        if claim.user == user:
            yield claim


def _store(request: HttpRequest, row: Any, url: str) -> None:
    label, user = row._meta.label, str(request.user.pk)
    key = _key(label, row.pk)
    cached.put(key, Claim(user, str(request.user), str(row), url), SECONDS)
    for index, entry in ((f"claims:{label}", str(row.pk)), (f"claims:{user}", key)):
        cached.put(index, sorted({*(cached.get(index) or ()), entry}), SECONDS)


def _is_above(user: Any, claim: Claim) -> bool:
    """Whether the person's role is above that of whoever claims the row."""
    other = get_user_model()._default_manager.filter(pk=claim.user).first()
    return user.is_superuser or _rank(user) > (-1 if other is None else _rank(other))


def _rank(user: Any) -> int:
    ranks = access.registry.ranks
    return max((ranks.get(name, -1) for name in user.groups.values_list("name", flat=True)), default=-1)


def _live(label: str, pks: Iterable[str]) -> dict[str, Claim]:
    keys = {_key(label, pk): pk for pk in pks}
    return {keys[key]: claim for key, claim in cached.get_many(keys).items()}


def _key(label: str, pk: Any) -> str:
    return f"claim:{label}:{pk}"
