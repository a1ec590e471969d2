"""Questions that modules above ask about new business: which permission a deal needs, and who is related."""

from collections.abc import Iterable
from datetime import date
from typing import Any, Final, NamedTuple
from uuid import UUID

from apps.partners.models import Partner, PartnerRole, PartyLink, TaxRegistration, TradePermission
from apps.partners.models.partners import ROLES_OF
from erp import clock

# Bases under which goods leave the country where they are (Incoterms of export).
EXPORT_BASES: Final = frozenset({"FOB", "CFR", "CIF", "FCA", "FAS", "CPT", "CIP"})
_Name = TradePermission.Name


class Permissions(NamedTuple):
    """The trade permissions that a deal needs of its two sides."""

    seller: str
    buyer: str


def permission_for(
    goods_country: str, destination_country: str, basis: str | None, *, seller_country: str | None = None
) -> Permissions:
    """The permissions that a deal needs, by where the goods are, where they go and the price basis.

    A foreign firm never sells goods that lie in India: it needs a permission that only Indian firms have.
    """
    crosses = destination_country != goods_country
    in_india = goods_country == "IN"
    buyer = _Name.IMPORT if crosses else _Name.BUY_INDIA if in_india else _Name.BUY_HOME
    foreign_seller = seller_country not in (None, goods_country)
    if in_india and foreign_seller:
        seller = _Name.SELL_INDIA
    elif crosses or basis in EXPORT_BASES or foreign_seller:
        seller = _Name.EXPORT
    else:
        seller = _Name.SELL_INDIA if in_india else _Name.SELL_HOME
    return Permissions(seller, buyer)


def reasons_against(
    partner: Partner, side: str, permissions: tuple[str, ...], day: date | None = None
) -> list[str]:
    """Why the partner may not do new business on a side (``buy``, ``sell``); empty when it may."""
    day = day or clock.today()
    reasons = partner.reasons_against_business(day=day)
    if not PartnerRole.objects.usable(day).filter(partner=partner, role__in=ROLES_OF[side]).exists():
        reasons.append("role_not_usable")
    held = set(TradePermission.objects.on(day).filter(partner=partner).values_list("name", flat=True))
    return reasons if held.issuperset(permissions) else [*reasons, "permission_missing"]


def are_related(one: Partner, other: Partner) -> bool:
    """Whether two firms are one party: the same firm, PAN or GSTIN, parent and branch, or a link that blocks."""
    if one.pk == other.pk or (one.pan_hash is not None and one.pan_hash == other.pan_hash):
        return True
    parents = {one.parent_id, other.parent_id} - {None}
    if parents & {one.pk, other.pk} or (parents and one.parent_id == other.parent_id):
        return True
    claimed = TaxRegistration.objects.filter(claimed=True, gstin_hash__isnull=False)
    shared = claimed.filter(partner=one, gstin_hash__in=claimed.filter(partner=other).values("gstin_hash"))
    return bool(shared.exists() or PartyLink.objects.blocking().of(one.pk).of(other.pk).exists())


def parties_of(partners: Iterable[Partner]) -> dict[UUID, Any]:
    """The party of each partner: related firms are one, and so are those with a link that isn't cleared."""
    firms = {partner.pk: partner for partner in partners}
    claimed = TaxRegistration.objects.filter(partner__in=firms, claimed=True)
    links = PartyLink.objects.of(*firms).exclude(status=PartyLink.Status.CLEARED)
    pairs: list[tuple[Any, Any]] = [
        *((firm.pk, shared) for firm in firms.values() for shared in (firm.pan_hash, firm.parent_id)),
        *claimed.values_list("partner_id", "gstin_hash"),
        *links.values_list("low_id", "high_id"),
    ]
    above: dict[Any, Any] = {}

    def party(of: Any) -> Any:
        while of in above:
            of = above[of]
        return of

    for one, other in pairs:
        if other is not None and (low := party(one)) != (high := party(other)):
            above[low] = high
    return {key: party(key) for key in firms}
