"""Read what an assessment is computed from: figures of both sides, the pair and the deal, as plain text (risk §5)."""

from collections.abc import Iterable, Mapping
from datetime import date, datetime, timedelta
from decimal import Decimal
from fractions import Fraction
from typing import Any, Final, NamedTuple
from uuid import UUID

from django.db.models import Count, Min, Q, Sum
from django.db.models.functions import Coalesce

from apps.availability.models import Availability
from apps.commodities.exact import rounded
from apps.commodities.models.pricing import PricingUnit
from apps.commodities.models.tax import TaxRate
from apps.commodities.models.terms import PaymentTerms
from apps.commodities.services.factors import factors
from apps.commodities.tax import ANY, longest
from apps.partners.models import (
    CreditAccount,
    CreditLimit,
    GroupMember,
    OpenExposure,
    Partner,
    PartnerRole,
    PartyLink,
    TradePermission,
)
from apps.partners.models.credit import Bucket
from apps.partners.models.partners import ROLES_OF
from apps.partners.services.gate import (
    EXPORT_BASES,
    Permissions,
    are_related,
    permission_for,
    reasons_against,
)
from apps.partners.services.rules import BLOCKED_COUNTRIES
from apps.requirement.models import Requirement
from apps.requirement.services.rules import CROSSING_BASES, Quote
from apps.risk.models import PairBlock, ProviderCheck, RiskOverride, ScreeningHit, Side, TradeFact, ordered
from apps.risk.policy import PolicyBody
from apps.risk.services import rates, screening
from apps.risk.services.checks import end_of
from erp import clock

NOTHING: Final = "0.00"
_SUMS: Final = ("due_amount", "paid_in_time_amount", "due_kg", "in_window_kg", "lots", "lots_passed")
_SIDE_OF: Final = {"due_amount": "buyer", "paid_in_time_amount": "buyer"}  # the rest is the seller's


class Party(NamedTuple):
    """A partner on a side, what it needs to be allowed, and the countries that count on its side."""

    partner: Partner | None
    side: str
    permissions: tuple[str, ...] = ()
    countries: tuple[str, ...] = ()


class Proposal(NamedTuple):
    """Goods at a price and on terms, as a trade would have them."""

    kg: Decimal
    price: Decimal
    pricing_unit: PricingUnit
    currency: str
    payment_term: PaymentTerms | None


class Reading(NamedTuple):
    """The inputs of an assessment, until when they hold at most, and the checks that they stand on."""

    inputs: dict[str, Any]
    until: datetime | None
    checks: list[UUID]


class Reader:
    """Reads the figures of one assessment; the number of statements doesn't depend on the number of rows."""

    def __init__(self, policy: PolicyBody, today: date) -> None:
        self.policy, self.today = policy, today
        self.untils: list[datetime] = []
        self.checks: list[UUID] = []

    def read(
        self,
        parties: Iterable[Party],
        *,
        sources: Iterable[UUID] = (),
        deal: Mapping[str, Any] | None = None,
        scope: Q,
        capped: bool = False,
    ) -> Reading:
        """Read the parties, the pair where there are two, and the overrides in force in ``scope``.

        ``sources`` are the reservation and trade whose own hold doesn't count again. ``capped``: only overrides with
        room for what the deal is worth cover anything.
        """
        parties = list(parties)
        present = [party.partner for party in parties if party.partner is not None]
        ids = [partner.pk for partner in present]
        lists = screening.lists_now()
        for partner in sorted(present, key=lambda partner: partner.pk):
            if lists.ids and not screening.is_screened(partner, lists):
                screening.compare(partner, lists)
        fresh = screening.freshness(lists, self.policy.list_days)
        if lists.oldest is not None:
            self._last_days([lists.oldest + timedelta(days=self.policy.list_days)])
        hits, bureaus, facts = self._hits(ids), self._bureaus(ids), self.facts(ids)
        credits = self._credits(parties, set(sources) - {None})
        inputs: dict[str, Any] = {
            "as_of": self.today.isoformat(),
            "deal": None if deal is None else self._in_account(deal, credits.get(parties[0].side)),
            "parties": [
                {
                    "side": party.side,
                    "partner_id": party.partner and str(party.partner.pk),
                    "partner_version": party.partner and party.partner.version,
                    "reasons": self._reasons(party),
                    "embargoed": self._embargoed(party),
                    "screening": {**hits.get(_key(party), _NO_HITS), **fresh},
                    "credit": credits[party.side],
                    "bureau": bureaus.get(_key(party)),
                    "facts": facts[party.partner.pk] if party.partner is not None else _NO_FACTS,
                }
                for party in parties
            ],
            "pair": None,
        }
        if len(present) == 2:
            inputs["pair"] = self._pair(present[0], present[1], facts["pair"])
        inputs["overrides"] = self._overrides(scope, inputs["deal"] if capped else None)
        now = clock.now()
        return Reading(
            inputs, min((until for until in self.untils if until > now), default=None), self.checks
        )

    def _reasons(self, party: Party) -> list[str]:
        if party.partner is None:
            return ["missing"]
        if party.partner.kyc_expiry_date is not None:
            self.untils.append(end_of(party.partner.kyc_expiry_date))
        side = "buy" if party.side == Side.BUYER else "sell"
        roles = PartnerRole.objects.usable(self.today).filter(partner=party.partner, role__in=ROLES_OF[side])
        self._last_days(roles.values_list("usable_to", flat=True))
        if party.permissions:
            held = TradePermission.objects.on(self.today).filter(
                partner=party.partner, name__in=party.permissions
            )
            self._last_days(held.values_list("valid_to", flat=True))
        return reasons_against(party.partner, side, party.permissions, self.today)

    def _last_days(self, days: Iterable[date | None]) -> None:
        """What was read holds until the first of these days ends."""
        self.untils += [end_of(day) for day in days if day is not None]

    def _exchange(self, source: str, target: str) -> Fraction | None:
        """The rate of today; it holds as long as the rates that it stands on."""
        for currency in {source, target} - {rates.HOME} if source != target else ():
            if (rate := rates.rate_on(currency, self.today)) is not None:
                self._last_days([rate.date + rates.OLDEST])
        return rates.exchange(source, target, self.today)

    def _embargoed(self, party: Party) -> list[str]:
        countries = {*party.countries, *([] if party.partner is None else [party.partner.country])}
        blocked = (country for country in countries if BLOCKED_COUNTRIES.get(country, date.max) <= self.today)
        return sorted(blocked)

    def _hits(self, ids: list[UUID]) -> dict[UUID | None, dict[str, int]]:
        open_, true = ScreeningHit.Status.OPEN, ScreeningHit.Status.TRUE_MATCH
        exact = Count("pk", filter=Q(status=true) | Q(status=open_, exact=True))
        possible = Count("pk", filter=Q(status=open_, exact=False))
        # A true match counts until two people decide otherwise, also when the name or the list has changed.
        counting = Q(ended=False) | Q(status=true)
        rows = ScreeningHit.objects.of(*ids).filter(counting).values("partner").order_by()
        counted = rows.annotate(exact_hits=exact, possible_hits=possible)
        return {
            row["partner"]: {"exact": row["exact_hits"], "possible": row["possible_hits"]} for row in counted
        }

    def _bureaus(self, ids: list[UUID]) -> dict[UUID | None, dict[str, Any]]:
        oldest = self.today - timedelta(days=self.policy.bureau_days)
        kind = ProviderCheck.Kind.CREDIT_BUREAU
        valid = ProviderCheck.objects.of(*ids).valid(clock.now()).filter(kind=kind, as_of__gte=oldest)
        found: dict[UUID | None, dict[str, Any]] = {}
        for check in valid.order_by("as_of", "created_at"):
            day = check.as_of.isoformat()
            found[check.partner_id] = {"check_id": str(check.pk), "grade": check.grade, "as_of": day}
            self.checks.append(check.pk)
            self.untils += [check.valid_until] if check.valid_until else []
            self._last_days([check.as_of + timedelta(days=self.policy.bureau_days)])
        return found

    def facts(self, ids: list[UUID]) -> dict[Any, dict[str, Any]]:
        """Sums of settled facts, of each partner by its side, and of the pair in both directions."""
        first = self.today - timedelta(days=round(self.policy.facts_months * 30.4375))
        sums: dict[str, Any] = {}
        for place, pk in enumerate(ids):
            either = Q(buyer=pk) | Q(seller=pk)
            sums |= _counted(f"p{place}", either)
            for name in _SUMS:
                sums[f"p{place}_{name}"] = _summed(name, Q(**{_SIDE_OF.get(name, "seller"): pk}))
        both = Q(buyer__in=ids, seller__in=ids)
        sums |= _counted("pair", both) | {f"pair_{name}": _summed(name, both) for name in _SUMS}
        row = TradeFact.objects.settled_since(first).of(*ids).aggregate(**sums)
        keys = [(f"p{place}", pk) for place, pk in enumerate(ids)]
        return {
            key: {
                "trades": row[f"{prefix}_trades"],
                "disputed": row[f"{prefix}_disputed"],
                **{name: str(row[f"{prefix}_{name}"]) for name in _SUMS},
            }
            for prefix, key in [*keys, ("pair", "pair")]
        }

    def _credits(self, parties: list[Party], sources: set[UUID]) -> dict[str, dict[str, Any]]:
        """Limit and exposure of each side, without the holds of the sources named."""
        ids = [party.partner.pk for party in parties if party.partner is not None]
        accounts = {
            account.partner_id: account
            for account in CreditAccount.objects.filter(partner__in=ids)
            .select_related("partner")
            .with_limit(self.today)
        }
        limits = CreditLimit.objects.in_force(self.today).filter(account__partner__in=ids)
        self._last_days(limits.values_list("valid_to", flat=True))
        own: dict[UUID, Decimal] = {}
        if sources:
            holds = OpenExposure.objects.filter(
                account__in=[account.pk for account in accounts.values()],
                source_id__in=sources, bucket=Bucket.HOLD,
            )  # fmt: skip
            own = {
                row["account__partner"]: row["held"]
                for row in holds.values("account__partner").order_by().annotate(held=Sum("amount"))
            }
        buyers = [
            party.partner.pk for party in parties if party.side == Side.BUYER and party.partner is not None
        ]
        overdue = self._overdue(buyers)
        return {
            party.side: self._credit(
                accounts.get(_key(party)),
                own.get(party.partner.pk, Decimal(0)) if party.partner is not None else Decimal(0),
                overdue if party.side == Side.BUYER else _NOT_OVERDUE,
            )
            for party in parties
        }

    def _credit(self, account: CreditAccount | None, own: Decimal, overdue: dict[str, str]) -> dict[str, Any]:
        if account is None:
            return {
                "currency": rates.HOME, "limit": NOTHING, "exposure": NOTHING, "exposure_inr": NOTHING,
                "version": None, **overdue,
            }  # fmt: skip
        exposure = max(account.exposure - own, Decimal(0))
        rate = self._exchange(account.currency, rates.HOME)
        return {
            "currency": account.currency,
            "limit": str(account.limit),
            "exposure": str(exposure),
            "exposure_inr": None if rate is None else str(rounded(Fraction(exposure) * rate, 2)),
            "version": account.version,
            **overdue,
        }

    def _overdue(self, buyers: list[UUID]) -> dict[str, str]:
        late = {
            "overdue_review": self.today - timedelta(days=self.policy.overdue_review_days),
            "overdue_fail": self.today - timedelta(days=self.policy.overdue_fail_days),
        }
        owed = TradeFact.objects.filter(buyer__in=buyers, overdue_amount__gt=0)
        row = owed.aggregate(
            **{name: _summed("overdue_amount", Q(overdue_since_date__lt=day)) for name, day in late.items()},
            **{
                f"{name}_next": Min("overdue_since_date", filter=Q(overdue_since_date__gte=day))
                for name, day in late.items()
            },
        )
        self._last_days(
            [row[f"{name}_next"] and row[f"{name}_next"] + (self.today - day) for name, day in late.items()]
        )
        return {name: str(row[name]) for name in late}

    def _pair(self, one: Partner, other: Partner, facts: dict[str, Any]) -> dict[str, Any]:
        low, high = ordered(one.pk, other.pk)
        links = PartyLink.objects.effective().filter(low=low, high=high).order_by("kind")
        shared = list(links.values_list("strength", "kind"))
        blocking = [kind for strength, kind in shared if strength == PartyLink.Strength.BLOCK]
        groups = list(GroupMember.objects.filter(partner__in=(low, high)).values_list("group_id", flat=True))
        if len(groups) == 2 and groups[0] == groups[1]:
            blocking.append("group")
        if are_related(one, other):
            blocking.append("same_firm")
        blocks = list(PairBlock.objects.live().between(one.pk, other.pk).order_by("cause"))
        self.untils += [block.until_at for block in blocks if block.until_at is not None]
        return {
            "blocking": list(dict.fromkeys(blocking)),
            "warning": [kind for strength, kind in shared if strength == PartyLink.Strength.WARN],
            "blocks": [block.cause for block in blocks],
            "facts": facts,
        }

    def _overrides(self, scope: Q, deal: Mapping[str, Any] | None) -> list[dict[str, Any]]:
        effective = RiskOverride.objects.effective(clock.now()).filter(scope).select_related("assessment")
        rows = list(effective.order_by("expires_at", "pk"))
        if deal is not None:
            worth, currency = deal["worth"], deal["account_currency"]
            rows = [row for row in rows if row.has_room(worth and Decimal(worth), currency)]
        self.untils += [row.expires_at for row in rows]
        return [{"id": str(row.pk), "gates": row.gates} for row in rows]

    def _in_account(self, deal: Mapping[str, Any], credit: Mapping[str, Any] | None) -> dict[str, Any]:
        """The deal with its values in the currency of the buyer's account, each rounded once, half up."""
        target = rates.HOME if credit is None else str(credit["currency"])
        exact = {name: deal[name] for name in ("value", "whole", "worth")}
        shown = {name: value for name, value in deal.items() if name not in exact}
        unknown = deal.get("unknown")
        rate = self._exchange(deal["currency"], target)
        home = self._exchange(deal["currency"], rates.HOME)
        if deal["needs_credit"] and not deal["value_unknown"] and rate is None:
            unknown = unknown or "currency_rate"
        values = {
            name: None if value is None or rate is None else str(rounded(value * rate, 2))
            for name, value in exact.items()
        }
        least = exact["value"]
        in_home = None if least is None or home is None else str(rounded(least * home, 2))
        return {**shown, **values, "value_inr": in_home, "unknown": unknown, "account_currency": target}

    # What listings and trades would cost

    def of_trade(self, offer: Availability, proposal: Proposal) -> dict[str, Any]:
        """What a proposed quantity at a price needs of the buyer's credit."""
        unit = proposal.pricing_unit
        pinned = offer.pricing_unit_version if unit.pk == offer.pricing_unit_id else None
        factor = factors([unit.unit_id], on=self.today, versions={unit.unit_id: pinned} if pinned else None)
        quoted = factor[unit.unit_id]
        per = quoted.value
        if quoted.dimension == "COUNT":
            per *= Fraction(offer.total_weight_kg) / Fraction(offer.total_quantity)
        value = Fraction(proposal.kg) * Fraction(proposal.price) / per / unit.divisor
        gst: Fraction | None = Fraction(0)
        if offer.tax_basis == Availability.TaxBasis.EXCLUSIVE:
            gst = self._gst(offer.commodity.hsn_code, offer.country, offer.price_basis, offer.tax_condition)
        advance = Fraction(0) if proposal.payment_term is None else proposal.payment_term.advance_percent
        return _deal(value, value, advance, gst, proposal.currency)

    def of_requirement(self, requirement: Requirement) -> dict[str, Any]:
        """What the smallest and the largest deal that is still wanted need of the buyer's credit."""
        price = next(
            (
                known
                for known in (
                    requirement.ceiling_price, requirement.target_price, requirement.reference_price,
                )
                if known is not None
            ),
            None,
        )  # fmt: skip
        wanted = PaymentTerms.objects.filter(pk__in=requirement.payment_term_ids)
        advances = [Fraction(term.advance_percent) for term in wanted]
        advance = max(advances, default=Fraction(100))  # any terms: those that need no credit too
        if price is None:
            return _deal(None, None, advance, Fraction(0), requirement.currency)
        whole = requirement.open_quantity
        per = Quote(requirement).kg
        least, most = (
            Fraction(quantity) * Fraction(requirement.kg_per_unit) * Fraction(price) / per
            for quantity in (min(Decimal(requirement.min_quantity), whole), whole)
        )
        gst: Fraction | None = Fraction(0)
        if requirement.tax_basis == Requirement.TaxBasis.EXCLUSIVE:
            basis = requirement.price_basis
            gst = self._gst(requirement.commodity.hsn_code, requirement.country, basis, None)
        return _deal(least, most, advance, gst, requirement.currency)

    def _gst(
        self, hsn: str | None, country: str, basis: str | None, condition: str | None
    ) -> Fraction | None:
        """The GST rate in percent; without its condition the highest, None where no rate is known."""
        if hsn is None or country != "IN" or basis in EXPORT_BASES:
            return Fraction(0)
        found = longest(list(TaxRate.objects.for_codes([hsn]).on(self.today)), hsn)
        fitting = found.get(condition or ANY) or found.get(ANY)
        if fitting is not None:
            return Fraction(fitting.rate_percent)
        return max((Fraction(rate.rate_percent) for rate in found.values()), default=None)


_NO_HITS: Final = {"exact": 0, "possible": 0}
_NOT_OVERDUE: Final = {"overdue_review": NOTHING, "overdue_fail": NOTHING}
_NO_FACTS: Final[dict[str, Any]] = {"trades": 0, "disputed": 0, **dict.fromkeys(_SUMS, "0")}


def _key(party: Party) -> UUID | None:
    return None if party.partner is None else party.partner.pk


def _counted(prefix: str, condition: Q) -> dict[str, Any]:
    return {
        f"{prefix}_trades": Count("pk", filter=condition),
        f"{prefix}_disputed": Count("pk", filter=condition & Q(disputed=True)),
    }


def _summed(name: str, condition: Q) -> Any:
    column: Any = TradeFact._meta.get_field(name)
    return Coalesce(Sum(name, filter=condition), 0, output_field=column)


def _deal(
    value: Fraction | None, whole: Fraction | None, advance: Any, gst: Fraction | None, currency: str
) -> dict[str, Any]:
    rest = (100 - Fraction(advance)) / 100
    needs_credit = rest > 0
    gross = 1 + Fraction(gst or 0) / 100
    factor = rest * gross
    return {
        "needs_credit": needs_credit,
        "value_unknown": value is None,
        "value": None if value is None else value * factor,
        "whole": None if whole is None else whole * factor,
        "worth": None if whole is None else whole * gross,  # whatever is paid in advance
        "currency": currency,
        "unknown": "tax_rate" if gst is None and needs_credit else None,
    }


def route_of(offer: Availability, destination: str) -> Permissions:
    """The permissions that selling goods of an offer to a country needs."""
    return permission_for(
        offer.country, destination, offer.price_basis, seller_country=offer.seller_partner.country
    )


def route_to(requirement: Requirement) -> Permissions:
    """The permissions that buying for a requirement needs."""
    origin = requirement.origin_country or requirement.country
    if requirement.price_basis in CROSSING_BASES:
        origin = ""  # somewhere abroad
    return permission_for(origin, requirement.country, requirement.price_basis)
