"""Related parties: found by equal keyed hashes, joined into groups, decided by two people (partners §5.6).

Everything here that writes holds one lock, so that links and groups are the same in any order of arrival. It is
taken after the partner's row, and no other partner's row is locked under it.
"""

from collections.abc import Iterable, Iterator
from datetime import timedelta
from typing import Any, Final
from uuid import UUID

from django.conf import settings
from django.db.models import Window
from django.db.models.functions import RowNumber

from apps.approvals import services as approvals
from apps.partners import capabilities, events
from apps.partners.models import (
    GroupMember,
    IdentifierKey,
    Partner,
    PartnerBankAccount,
    PartnerDocument,
    PartnerEmployee,
    PartnerLocation,
    PartnerOwner,
    PartyLink,
    TaxRegistration,
    editors_of,
)
from apps.partners.services.rules import InvalidState, override_of
from erp import clock, locks
from erp.access import Actor
from erp.approvals import ApprovalKind
from erp.encryption import keyed_hash
from erp.errors import Conflict, FieldError
from erp.identifiers import GSTIN
from erp.services import emit, service
from erp.text import name_key

LOCK: Final = "partner.links"
CLEARED_DAYS: Final = 180
PARTNERS_A_KEY: Final = 200  # that are linked by one key at most, such as the phone of a tax adviser
_Kind, _Status = IdentifierKey.Kind, PartyLink.Status
# Partners whose identifiers count: an ended application neither blocks nor is blocked.
_LIVE: Final = (Partner.Status.PENDING, Partner.Status.ACTIVE, Partner.Status.SUSPENDED)


class LinksOpen(Conflict):
    """Related parties aren't decided."""


def _identifiers(partner: Partner) -> Iterator[tuple[str, str | None]]:
    """Kinds and values by which the partner could be another one, or belong to the same people."""
    yield _Kind.PAN, partner.pan
    for registration in TaxRegistration.objects.filter(partner=partner):
        yield _Kind.GSTIN, registration.gstin
        yield _Kind.PAN, GSTIN.parts(registration.gstin or "").get("pan")
    emails, phones = [partner.contact_email], [partner.contact_phone]
    places = list(PartnerLocation.objects.filter(partner=partner, status="active"))
    people = PartnerEmployee.objects.filter(partner=partner, status__in=PartnerEmployee.LIVE)
    for person in people:
        emails.append(person.email)
        phones.append(person.phone)
    for place in (partner, *places):
        street = name_key(f"{place.line1} {place.line2 or ''}")
        yield _Kind.ADDRESS, f"{''.join(filter(str.isalnum, street))} {place.postal_code} {place.country}"
    for phone in (*phones, *(place.contact_phone for place in places)):
        yield _Kind.PHONE, phone
    for email in emails:
        domain = email.rpartition("@")[2].lower()
        yield _Kind.EMAIL_DOMAIN, None if domain in settings.PARTNER_PUBLIC_EMAIL_DOMAINS else domain
    for account in PartnerBankAccount.objects.filter(
        partner=partner, status__in=["pending_verification", "verified"]
    ):
        yield _Kind.BANK_ACCOUNT, account.number
    for owner in PartnerOwner.objects.filter(partner=partner):
        yield _Kind.DIN, owner.din
        yield _Kind.DIN, owner.pan
    if partner.pan is not None and partner.pan[3] == "P":  # a proprietor is the firm
        yield _Kind.DIN, partner.pan
    papers = PartnerDocument.objects.filter(partner=partner).exclude(status="rejected")
    for digest in papers.values_list("sha256", flat=True):
        yield _Kind.FILE, digest


def refresh(partner: Partner) -> None:
    """Store the partner's keys as they are now, and link it to live partners that have one of them.

    The calling service has locked the partner, and emits RelatedPartyDetected.
    """
    if partner.status not in _LIVE:
        regroup(partner.pk)
        return
    locks.hold(LOCK)
    keys = {
        (str(kind), keyed_hash(value, context=f"identifier.{kind}"))
        for kind, value in _identifiers(partner)
        if value
    }
    held = {(key.kind, key.hash): key.pk for key in IdentifierKey.objects.filter(partner=partner)}
    IdentifierKey.objects.filter(pk__in=[held[gone] for gone in held.keys() - keys]).delete()
    IdentifierKey.objects.bulk_create(
        [
            IdentifierKey(partner=partner, kind=kind, hash=hashed)
            for kind, hashed in sorted(keys - held.keys())
        ]
    )
    same = IdentifierKey.objects.filter(
        kind__in={kind for kind, _ in keys}, hash__in=[hashed for _, hashed in keys]
    )
    nth = Window(RowNumber(), partition_by=["kind", "hash"], order_by="id")
    others = same.filter(partner__status__in=_LIVE).exclude(partner=partner).annotate(nth=nth)
    _add(
        partner.pk,
        others.filter(nth__lte=PARTNERS_A_KEY).order_by("id").values_list("partner_id", "kind"),
        parent_id=partner.parent_id,
    )


def link(partner_id: UUID, other_id: UUID, kind: str) -> None:
    """Link two partners, once for each kind; a cleared link stays cleared."""
    locks.hold(LOCK)
    _add(partner_id, [(other_id, kind)])


def _add(partner_id: UUID, wanted: Iterable[tuple[UUID, str]], *, parent_id: UUID | None = None) -> None:
    """Add the links that don't exist yet, in one statement, and group the partner. A parent needs no decision."""
    known = {
        (high if low == partner_id else low, kind)
        for low, high, kind in PartyLink.objects.of(partner_id).values_list("low_id", "high_id", "kind")
    }
    declared = [] if parent_id is None else [(parent_id, str(PartyLink.Kind.PARENT))]
    made = []
    for other_id, kind in dict.fromkeys([*wanted, *declared]):
        if (other_id, kind) in known:
            continue
        low, high = sorted((partner_id, other_id))
        is_declared = kind == PartyLink.Kind.PARENT
        blocks = kind in PartyLink.BLOCKS
        made.append(
            PartyLink(
                low_id=low,
                high_id=high,
                kind=kind,
                strength=PartyLink.Strength.BLOCK if blocks else PartyLink.Strength.WARN,
                source=PartyLink.Source.DECLARED if is_declared else PartyLink.Source.DETECTED,
                evidence=[kind],
                status=_Status.CONFIRMED if is_declared else _Status.SUSPECTED,
            )
        )
    PartyLink.objects.bulk_create(made)
    regroup(partner_id)  # also where nothing was added: a link that exists may count only now
    for each in made:
        emit(
            events.RelatedPartyDetected(
                partner_id=partner_id, link_id=each.pk, kind=each.kind, strength=each.strength
            )
        )


def regroup(partner_id: UUID) -> None:
    """Group the partner, and those that share its group, anew after its status has changed."""
    locks.hold(LOCK)
    group = GroupMember.objects.filter(partner=partner_id).values("group_id")
    members = GroupMember.objects.filter(group_id__in=group)
    _regroup(partner_id, *members.values_list("partner_id", flat=True))


def is_linked(partner: Partner) -> bool:
    """Whether a director must decide on the partner: a blocking link counts, or it names a parent."""
    return partner.parent_id is not None or PartyLink.objects.of(partner.pk).blocking().exists()


def _regroup(*partners: UUID) -> None:
    """Give the partners, and all that blocking links join to them, the group that follows from these links."""
    rest = set(partners)
    while rest:
        group = _joined(rest.pop())
        rest -= group
        members = GroupMember.objects.filter(partner__in=group)
        if len(group) == 1:
            members.delete()
            continue
        named = min(group)
        members.exclude(group_id=named).update(group_id=named)
        new = group - set(members.values_list("partner_id", flat=True))
        GroupMember.objects.bulk_create([GroupMember(partner_id=pk, group_id=named) for pk in sorted(new)])


def _joined(partner_id: UUID) -> set[UUID]:
    found, edge = {partner_id}, {partner_id}
    while edge:
        pairs = PartyLink.objects.blocking().of(*edge).values_list("low_id", "high_id")
        edge = {side for pair in pairs for side in pair} - found
        found |= edge
    return found


def undecided_links(partner: Partner) -> LinksOpen | None:
    """Look for related parties; the problem while a blocking link of the partner is only suspected.

    It is a refusal that commits, or a link that was found only now would be forgotten and never be decided.
    """
    refresh(partner)  # nothing that came in meanwhile goes unseen
    undecided = PartyLink.objects.of(partner.pk).blocking().undecided().order_by("kind", "id")
    if faults := [
        FieldError(f"/links/{each.pk}", each.kind, f"{each.get_kind_display()}.") for each in undecided
    ]:
        return LinksOpen(errors=faults)
    return None


@service(requires=capabilities.OPERATE, emits=[events.RelatedPartyDetected])
def find_links(partner: Partner, *, actor: Actor) -> Partner:
    """Link a partner to others with an equal identifier, after something of it has changed."""
    refresh(partner)
    return partner


@service(
    requires=capabilities.OVERRIDE,
    emits=[events.OverrideRequested],
    raises=[InvalidState, approvals.PendingExists, approvals.ReasonMissing],
    label="Decide",
    description="Confirm that the partners belong together, or clear the suspicion for 180 days. A second person "
    "approves.",
)
def decide_link(link: PartyLink, *, actor: Actor, status: str, reason: str) -> PartyLink:
    """Request to confirm or to clear a link; a second holder of the capability approves it."""
    if link.proposed_status is not None or status == link.status:
        raise InvalidState.of_status(link)
    request = approvals.request(
        actor=actor,
        kind=PARTY_LINK,
        subject_id=link.pk,
        subject_version=link.version + 1,
        reason=reason,
        diff=[
            ("partner", None, str(link.low)),
            ("other_partner", None, str(link.high)),
            ("kind", None, link.get_kind_display()),
            ("status", link.status, status),
        ],
    )
    link.proposed_status, link.approval_id = status, request.pk
    link.save()
    emit(events.OverrideRequested(**override_of(link, link.low_id, request)))
    return link


@service(requires=capabilities.OVERRIDE, emits=[events.RelatedPartyDecided], advisory_lock=LOCK)
def apply_link_decision(link: PartyLink, *, actor: Actor, request: Any) -> PartyLink:
    """Confirm or clear a link, in the transaction of its approval; groups follow."""
    link.status, link.proposed_status = link.proposed_status or link.status, None
    link.cleared_until_date = None
    if link.status == _Status.CLEARED:
        link.cleared_until_date = clock.today() + timedelta(days=CLEARED_DAYS)
    link.decided_by_id, link.decided_at = actor.pk, clock.now()
    link.save()
    _decided(link)
    return link


def _decided(link: PartyLink) -> None:
    if link.strength == PartyLink.Strength.BLOCK:
        _regroup(link.low_id, link.high_id)
    emit(
        events.RelatedPartyDecided(
            partner_id=link.low_id,
            link_id=link.pk,
            status=link.status,
            cleared_until_date=link.cleared_until_date,
        )
    )


@service(requires=capabilities.OVERRIDE, emits=[events.OverrideEnded], advisory_lock=LOCK)
def end_link_decision(link: PartyLink, *, actor: Actor, request: Any) -> PartyLink:
    """End a proposal whose request was refused, withdrawn, expired or went stale: the link stays as it was."""
    if link.approval_id == request.pk and link.proposed_status is not None:
        link.proposed_status = None
        link.save()
        emit(events.OverrideEnded(**override_of(link, link.low_id, request)))
    return link


@service(requires=capabilities.OPERATE, emits=[events.RelatedPartyDecided], advisory_lock=LOCK)
def end_clearance(link: PartyLink, *, actor: Actor) -> PartyLink:
    """Suspect a cleared link again once its clearance is over."""
    until = link.cleared_until_date
    if link.status == _Status.CLEARED and until is not None and until < clock.today():
        link.status, link.cleared_until_date = _Status.SUSPECTED, None
        link.save()
        _decided(link)
    return link


def _excluded(request: Any) -> frozenset[UUID]:
    """Who wrote to an open file of one of the partners."""
    link = PartyLink.objects.filter(pk=request.subject_id).first()
    return frozenset() if link is None else editors_of(link.low_id) | editors_of(link.high_id)


PARTY_LINK = ApprovalKind(
    name="partner.party_link",
    title="Decision on related parties",
    subject="party_link",
    model="partner.PartyLink",
    capability=capabilities.OVERRIDE,
    locks=lambda link_id: locks.hold(LOCK),
    excludes=_excluded,
    apply=apply_link_decision,
    ended=end_link_decision,
)
