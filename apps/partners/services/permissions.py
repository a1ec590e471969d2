"""What a partner may trade, and on which days its roles can be used: from verified papers (partners §5.5)."""

from datetime import date, timedelta
from typing import Final

from django.db.models import Q

from apps.partners import events
from apps.partners.models import (
    KycCheck,
    Partner,
    PartnerDocument,
    PartnerRole,
    PermissionOverride,
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


def recompute(partner: Partner, *, override: PermissionOverride | None = None) -> None:
    """Compute permissions and usable roles anew, in the transaction that changed a paper, and tell what changed.

    An override stands until its last day, whatever the papers; what they give counts from the day after. ``override``
    is one that two people have just given.
    """
    if partner.status not in (Partner.Status.ACTIVE, Partner.Status.SUSPENDED):
        return
    day = clock.today()
    roles, papers = roles_of(partner), _papers(partner, day)
    live = [role for role in roles if role.live]
    before = set(TradePermission.objects.filter(partner=partner).values_list("name", flat=True))
    if override is not None:
        _give(override, day)
    rows = list(TradePermission.objects.filter(partner=partner))
    overrides = {row.name: row for row in rows if row.source == TradePermission.Source.OVERRIDE}
    standing = {name: row.valid_to for name, row in overrides.items() if row.valid_to >= day}
    wanted: dict[str, tuple[date | None, date]] = {}
    for name, last in wanted_permissions(partner, live, papers, registered=is_registered(partner)).items():
        first = standing[name] + timedelta(days=1) if name in standing else None
        if first is None or first <= last:
            wanted[name] = first, last
    detected = {row.name: row for row in rows if row.source == TradePermission.Source.DETECTED}
    for row in rows:
        if row.name not in (standing if row is overrides.get(row.name) else wanted):
            row.delete()
    for name, (first, last) in wanted.items():
        row = detected.get(name) or TradePermission(partner=partner, name=name, valid_from=day)
        row.valid_from = first or min(row.valid_from, day)
        row.valid_to = None if last == _FAR else last
        row.save()
    for role in live:
        _save_usability(partner, role, papers, day)
    after = standing.keys() | wanted.keys()
    added = after - before | ({override.name} if override is not None else set())
    if added or before - after:
        emit(
            events.PermissionsChanged(
                partner_id=partner.pk,
                added=sorted(added),
                removed=sorted(before - after),
                override=override is not None,
            )
        )


def _give(override: PermissionOverride, day: date) -> None:
    TradePermission.objects.filter(partner=override.partner_id, name=override.name).delete()
    TradePermission(
        partner_id=override.partner_id, name=override.name, valid_from=day, valid_to=override.valid_to,
        source=TradePermission.Source.OVERRIDE,
    ).save()  # fmt: skip


def _save_usability(partner: Partner, role: PartnerRole, papers: dict[str, date], day: date) -> None:
    last = _FAR
    for rule in rules_for(parties_of(role, indian=partner.is_indian), day):
        items = [item for item in rule.items if item not in _ROWS]
        if items:
            last = min(last, max(papers.get(item, date.min) for item in items))
    role.usable_from = None if last < day else role.usable_from or day
    role.usable_to = None if last in (_FAR, date.min) else last
    role.save()
