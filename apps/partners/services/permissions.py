"""What a partner may trade, and on which days its roles can be used: from verified papers (partners §5.5)."""

from datetime import date
from typing import Final

from django.db.models import Q

from apps.partners import events
from apps.partners.models import (
    KycCheck,
    Partner,
    PartnerDocument,
    PartnerRole,
    TaxRegistration,
    TradePermission,
)
from apps.partners.services.checklist import parties_of, rules_for
from apps.partners.services.rules import roles_of
from erp import clock
from erp.services import emit

_FAR: Final = date(9999, 12, 31)  # stands for a paper without expiry
_Name = TradePermission.Name
_ROWS: Final = frozenset({"principal_location", "bank_account", "vehicle"})


def _papers(partner: Partner, day: date) -> dict[str, date]:
    """Types of verified papers that are valid on the day, each with its last day."""
    papers: dict[str, date] = {}
    for kind, expiry in (
        PartnerDocument.objects.valid_on(day)
        .of_firm()
        .filter(partner=partner)
        .values_list("document_type", "expiry_date")
    ):
        papers[kind] = max(papers.get(kind, date.min), expiry or _FAR)
    return papers


def wanted_permissions(
    partner: Partner, roles: list[PartnerRole], papers: dict[str, date], *, registered: bool
) -> dict[str, date]:
    """Permissions that the papers give, each with its last day. ``registered``: a usable GST registration."""
    names = {role.role for role in roles}
    buys = bool(names & {"buyer", "trader"})
    sells = bool(names & {"seller", "trader"})
    if not buys and not sells:
        return {}
    found: dict[str, date] = {}

    def give(name: str, *needed: str) -> None:
        if all(paper in papers for paper in needed):
            found[name] = min(papers[paper] for paper in needed)

    if partner.is_indian:
        if registered:
            if buys:
                give(_Name.BUY_INDIA, "gst_certificate", "pan_card")
                give(_Name.IMPORT, "gst_certificate", "pan_card", "iec")
            if sells:
                give(_Name.SELL_INDIA, "gst_certificate", "pan_card")
                give(_Name.EXPORT, "gst_certificate", "pan_card", "iec")
        return found
    if buys:
        give(_Name.BUY_HOME, "tax_id_certificate")
        give(_Name.IMPORT, "tax_id_certificate", "foreign_import_license")
    if sells:
        give(_Name.SELL_HOME, "tax_id_certificate")
        give(_Name.EXPORT, "tax_id_certificate", "foreign_export_license")
    return found


def is_registered(partner: Partner) -> bool:
    """Whether a GST registration of the partner can serve new business: active, or settled by hand."""
    by_hand = KycCheck.objects.filter(
        kind=KycCheck.Kind.GST, status=KycCheck.Status.PASSED, settled_by__isnull=False, partner=partner
    )
    usable = Q(registry_status="active") | Q(registry_status="unknown", pk__in=by_hand.values("subject_id"))
    return bool(TaxRegistration.objects.filter(usable, partner=partner, claimed=True).exists())


def recompute(partner: Partner) -> None:
    """Compute permissions and usable roles anew, in the transaction that changed a paper, and tell what changed."""
    if partner.status not in (Partner.Status.ACTIVE, Partner.Status.SUSPENDED):
        return
    day = clock.today()
    roles, papers = roles_of(partner), _papers(partner, day)
    live = [role for role in roles if role.live]
    wanted = wanted_permissions(partner, live, papers, registered=is_registered(partner))
    held = {row.name: row for row in TradePermission.objects.filter(partner=partner)}
    removed = sorted(held.keys() - wanted.keys())
    for name in removed:
        held[name].delete()
    for name, last in wanted.items():
        row = held.get(name) or TradePermission(partner=partner, name=name, valid_from=day)
        row.valid_to = None if last == _FAR else last
        row.save()
    added = sorted(wanted.keys() - held.keys())
    for role in live:
        _save_usability(partner, role, papers, day)
    if added or removed:
        emit(events.PermissionsChanged(partner_id=partner.pk, added=added, removed=removed))


def _save_usability(partner: Partner, role: PartnerRole, papers: dict[str, date], day: date) -> None:
    last = _FAR
    for rule in rules_for(parties_of(role, indian=partner.is_indian), day):
        items = [item for item in rule.items if item not in _ROWS]
        if items:
            last = min(last, max(papers.get(item, date.min) for item in items))
    role.usable_from = None if last < day else role.usable_from or day
    role.usable_to = None if last in (_FAR, date.min) else last
    role.save()
