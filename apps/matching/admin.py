"""Matches, runs and rules in the staff portal."""

from datetime import timedelta
from decimal import Decimal
from typing import Any, ClassVar

from django.contrib import admin
from django.db.models import OuterRef, Subquery
from django.db.models.functions import Coalesce
from django.http import HttpRequest
from django.utils.html import format_html

from apps.availability.models import Availability
from apps.matching import capabilities
from apps.matching.lookups import simulate
from apps.matching.models import Allocation, Match, MatchRun, RematchMark, RuleSet
from apps.matching.serializers import ExecuteInput, MatchApproveInput, MatchRejectInput
from apps.matching.services import batches, deciding
from apps.requirement.models import Requirement
from erp.admin import Queue, ServiceAdmin, Table, quantity, titled
from erp.capabilities import VIEW_TRAIL
from erp.figures import group, trim
from erp.services import Service

_PARTS = ("quality", "price", "delivery", "quantity")
_SAMPLE = 25  # requirements of the simulation that a page shows
_SECONDS = 5.0  # that a page waits for it


def bar(score: str | Decimal) -> str:
    """A score as a bar with its figure."""
    value = Decimal(score)
    colour = "success" if value >= Decimal("0.75") else "warning" if value >= Decimal("0.5") else "danger"
    return format_html(
        '<span class="erp-progress"><progress class="erp-{}" max="1" value="{}" aria-label="score"></progress>'
        " {}</span>",
        colour,
        f"{value:f}",
        f"{value:.2f}",
    )


def _per_kg(name: str) -> Any:
    """A column that shows a price per kilogram with its unit."""

    def column(row: Match) -> str:
        value = getattr(row, name)
        return "–" if value is None else f"{trim(value)} INR/kg"

    column.__name__ = name
    column.short_description = f"{name} price" if name in ("quoted", "equalised", "landed") else name  # type: ignore[attr-defined]
    return column


@admin.register(Match)
class MatchAdmin(ServiceAdmin):
    """Matches with their reasons."""

    views = capabilities.VIEW
    empty = "Runs find them: when a listing goes live or changes, or when somebody searches."
    runs: ClassVar = [deciding.approve, deciding.reject]
    starts: ClassVar = [batches.start_batch]
    inputs: ClassVar = {
        deciding.approve: MatchApproveInput, deciding.reject: MatchRejectInput, batches.start_batch: ExecuteInput,
    }  # fmt: skip
    queues: ClassVar = [
        Queue(
            title="Matches that nobody has answered",
            filters={"status": "PROPOSED", "label": "EXCELLENT"},
            since="created_at",
            amber=timedelta(hours=12),
            red=timedelta(hours=36),
            quiet=True,
        )
    ]
    list_display: ClassVar = [
        "requirement", "availability", "buyer_partner", "seller_partner",
        titled("score", "score", lambda score: f"{score:.3f}"), "label",
        quantity("proposed_quantity", "unit", "proposed"), "status", "expires_at",
    ]  # fmt: skip
    list_filter: ClassVar = ["status", "label", "risk_status"]
    list_select_related: ClassVar = ["requirement", "availability", "buyer_partner", "seller_partner"]
    search_fields: ClassVar = ["requirement__number__startswith", "availability__number__startswith"]
    search_help_text = "Number of the requirement or offer"
    ordering: ClassVar = ["-created_at", "id"]
    details: ClassVar = [
        "status", "requirement", "availability", "buyer_partner", "seller_partner", "score", "label", "risk_status",
        *map(_per_kg, ("quoted", "equalised", "freight", "tax", "landed")), "distance",
        quantity("proposed_quantity", "unit", "proposed"),
        quantity("proposed_kg", "KG", "proposed weight"),
        quantity("need_quantity", "unit", "least"), quantity("allocated_quantity", "unit", "allocated"),
        "buyer_decision", "buyer_decided_by", "buyer_decided_at", quantity("buyer_quantity", "unit", "chosen"),
        "buyer_reason", "buyer_note", "seller_decision", "seller_decided_by", "seller_decided_at", "seller_reason",
        "seller_note", "reservation_id", "trade_id", "superseded_by", "expires_at", "run", "rule_set", "created_at",
        "version",
    ]  # fmt: skip

    @admin.display(description="distance")
    def distance(self, row: Match) -> str:
        """The way of the goods in kilometres."""
        return "–" if row.distance_m is None else f"{group(round(row.distance_m / 1000))} km"

    def disabled_reason(self, request: HttpRequest, service: Service, row: Match) -> str:
        """Return why an action is disabled: one person can't decide for both sides."""
        own = request.user.pk is not None and request.user.pk in (
            row.buyer_decided_by_id,
            row.seller_decided_by_id,
        )
        return "You decided for one side, so another person must decide for the other." if own else ""

    def tables(self, request: HttpRequest, row: Match) -> list[Table]:
        """Parts of the score as bars, quality by parameter, and the match that came before."""
        found = row.breakdown
        parts = [
            (name.capitalize(), bar(found[name]["score"]), f"{found[name]['weight'] / 100:g} %")
            for name in _PARTS
        ]
        inner = [
            (name.capitalize(), bar(found[name]["score"]), f"{found[name]['weight'] / 100:g} % of delivery")
            for name in ("place", "window", "terms")
        ]
        quality = [
            (
                each["name"],
                _wanted(each["wanted"]),
                _got(each["got"]),
                bar(each["score"]),
                ", ".join(each["flags"]) or "–",
            )
            for each in found["parameters"]
        ]
        return [
            Table("Score", ["Part", "Score", "Weight"], [*parts, *inner]),
            Table("Quality", ["Parameter", "Wanted", "Offered", "Score", "Remarks"], quality),
        ]


def _wanted(wanted: dict[str, Any]) -> str:
    ends = [
        f"{word} {wanted[name]}"
        for name, word in (("min", "from"), ("max", "to"))
        if wanted[name] is not None
    ]
    best = [] if wanted["preferred"] is None else [f"best {wanted['preferred']}"]
    return ", ".join([*ends, *best, *wanted["codes"]]) or "–"


def _got(got: dict[str, Any] | None) -> str:
    if got is None:
        return "–"
    if "codes" in got:
        return ", ".join(got["codes"])
    return got["low"] if got["low"] == got["high"] else f"{got['low']} – {got['high']}"


_FIGURES = tuple(
    titled(name, title)
    for name, title in (
        ("pool", "live pairs"), ("kept", "matches"), ("found", "new matches"), ("superseded", "ended matches"),
    )
)  # fmt: skip


@admin.register(MatchRun)
class MatchRunAdmin(ServiceAdmin):
    """Runs, and why pairs did not match."""

    views = capabilities.VIEW
    empty = "Each search for matches is a run."
    list_display: ClassVar = [
        "kind", "requirement", "availability", "commodity", "status", *_FIGURES, "created_at",
    ]  # fmt: skip
    list_filter: ClassVar = ["kind", "status"]
    list_select_related: ClassVar = ["requirement", "availability", "commodity"]
    search_fields: ClassVar = ["requirement__number__startswith", "availability__number__startswith"]
    search_help_text = "Number of the requirement or offer"
    ordering: ClassVar = ["-created_at", "id"]
    details: ClassVar = [
        "kind", "status", "requirement", "availability", "commodity", "states", "mode", *_FIGURES, "problem",
        "duration_ms", "rule_set", "job_id", "created_at",
    ]  # fmt: skip

    def tables(self, request: HttpRequest, row: MatchRun) -> list[Table]:
        """How many pairs failed each filter first or were dropped after scoring, and the matches that were found."""
        rejected = [(name.capitalize(), number) for name, number in row.rejected.items()]
        dropped = [(name.replace("_", " ").capitalize(), number) for name, number in row.dropped.items()]
        matches = [
            (str(match.requirement), str(match.availability), bar(match.score), match.get_status_display())
            for match in row.matches.select_related("requirement", "availability").order_by("-score")[:50]
        ]
        return [
            Table("Rejected by filter", ["Filter", "Pairs"], rejected),
            Table("Dropped after scoring", ["Reason", "Pairs"], dropped),
            Table("Matches found", ["Requirement", "Offer", "Score", "Status"], matches),
        ]


@admin.register(Allocation)
class AllocationAdmin(ServiceAdmin):
    """How contested stock was divided."""

    views = capabilities.VIEW
    empty = "Stock is divided when matched buyers want more than an offer has."
    list_display: ClassVar = [
        "availability",
        quantity("open_quantity", "unit", "stock"),
        "divisible",
        "created_at",
    ]
    list_select_related: ClassVar = ["availability"]
    ordering: ClassVar = ["-created_at", "id"]
    details: ClassVar = [
        "availability", quantity("open_quantity", "unit", "stock"), "max_share", "divisible", "rule_set", "run",
        "created_at",
    ]  # fmt: skip

    def tables(self, request: HttpRequest, row: Allocation) -> list[Table]:
        """What each match got, and why."""
        parts = [
            (
                part.rank,
                part.match.buyer_partner,
                part.want.normalize(),
                part.given.normalize(),
                part.get_reason_display(),
            )
            for part in row.parts.select_related("match__buyer_partner").order_by("rank")
        ]
        return [Table("Shares", ["Rank", "Buyer", "Wanted", "Given", "Reason"], parts)]


@admin.register(RuleSet)
class RuleSetAdmin(ServiceAdmin):
    """Versions of the rules, and what a proposal would change."""

    views = (capabilities.CONFIGURE, VIEW_TRAIL)
    empty = "The built-in rules apply until others are proposed through the API and approved."
    list_display: ClassVar = ["commodity", "version", "status", "proposed_by", "activated_at", "created_at"]
    list_filter: ClassVar = ["status"]
    list_select_related: ClassVar = ["commodity", "proposed_by"]
    ordering: ClassVar = ["-created_at", "id"]
    details: ClassVar = [
        "commodity", "version", "status", "base_version", "reason", "proposed_by", "approval_id", "activated_at",
    ]  # fmt: skip

    def tables(self, request: HttpRequest, row: RuleSet) -> list[Table]:
        """The figures, and for a proposal a simulation beside the current rules."""
        figures = [(name.replace("_", " ").capitalize(), _figure(value)) for name, value in row.body.items()]
        tables = [Table("Rules", ["Rule", "Value"], figures)]
        if row.status == RuleSet.Status.PROPOSED:
            found = simulate(row, sample=_SAMPLE, seconds=_SECONDS)
            wanted = [each["requirement_id"] for each in found["rows"]]
            numbers = dict(Requirement.objects.filter(pk__in=wanted).values_list("pk", "number"))
            lines = [
                (
                    numbers[each["requirement_id"]],
                    each["added"],
                    each["removed"],
                    each["moved"],
                    f"{each['largest_change']:.4f}",
                )
                for each in found["rows"]
            ]
            total = ("All", found["added"], found["removed"], found["moved"], "")
            headings = [
                "Requirement",
                "Only by the proposal",
                "Only by the current rules",
                "Moved",
                "Largest change",
            ]
            tables.append(Table(f"Simulation of {found['wants']} requirements", headings, [total, *lines]))
        return tables


def _figure(value: Any) -> str:
    if isinstance(value, dict):
        return ", ".join(f"{name} {each}" for name, each in value.items()) or "–"
    return "–" if value is None else str(value)


@admin.register(RematchMark)
class RematchMarkAdmin(ServiceAdmin):
    """Listings that changed since they were last matched."""

    views = (capabilities.EXECUTE, VIEW_TRAIL)
    empty = "Listings that change are marked and matched within seconds."
    list_display: ClassVar = [
        titled("listing", "listing"), "subject_type", titled("wanted", "changes"), titled("matched", "of them matched"),
        "priority", "due_at", "attempts", "last_error",
    ]  # fmt: skip
    list_filter: ClassVar = ["subject_type", "priority"]
    ordering: ClassVar = ["due_at", "id"]
    details: ClassVar = [*list_display, "seen_version", "created_at"]

    def get_queryset(self, request: HttpRequest) -> Any:
        """Marks with the numbers of their listings."""
        numbers = [
            Subquery(model.objects.filter(pk=OuterRef("subject_id")).values("number"))
            for model in (Requirement, Availability)
        ]
        return super().get_queryset(request).annotate(listing=Coalesce(*numbers))
