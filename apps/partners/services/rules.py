"""What services of partners share: locks, the open file, and rules of identifiers."""

from collections.abc import Iterable
from datetime import date, timedelta
from typing import Any, Final
from uuid import UUID

import structlog

from apps.partners import capabilities
from apps.partners.models import OnboardingRound, Partner, PartnerRole, RoundEditor
from erp import access, clock
from erp.access import Actor, person_of
from erp.errors import Conflict, FieldError, RuleBroken, SelfApproval
from erp.identifiers import PIN_CODE, pin_fits
from erp.models import Model

DRAFT_DAYS: Final = 30  # that a draft lives after its last change
log = structlog.get_logger(__name__)

BLOCKED_COUNTRIES: Final = {  # by the day from which new business is refused
    "IR": date(2020, 1, 1),
    "KP": date(2020, 1, 1),
    "SY": date(2020, 1, 1),
    "CU": date(2020, 1, 1),
}


class InvalidState(Conflict):
    """The status doesn't allow this."""


class PinStateMismatch(RuleBroken):
    """The PIN code doesn't belong to the state."""


class PanMismatch(RuleBroken):
    """The GSTIN contains another PAN."""


class DuplicateRegistration(Conflict):
    """This GST registration can't be used. Staff were informed."""


def sees_clear(actor: Actor, row: Any) -> bool:
    """Whether the actor sees masked data of the row in full: during a view as a partner, so must who views."""
    return all(access.may(each, capabilities.VIEW_SENSITIVE, row) for each in {actor, person_of(actor)})


def log_clear_read(actor: Actor, row: Model, fields: Iterable[str]) -> None:
    """Leave a line in the log for a read of masked data in clear by staff: who, which row, which fields, no values."""
    actor = person_of(actor)
    if actor.is_staff:
        log.info(
            "sensitive_read",
            actor=str(actor.pk),
            row_type=row._meta.label_lower,
            row=str(row.pk),
            fields=sorted(fields),
        )


def lock_partner_of(row: Any) -> None:
    """Lock a row's partner before the row, so that a file is decided as a whole."""
    Partner.objects.locked().get(pk=row.partner_id)


def open_round(partner: Partner) -> OnboardingRound | None:
    """The round that isn't decided, locked after its partner."""
    return OnboardingRound.objects.open().locked().filter(partner=partner).first()


def touch(partner: Partner, actor: Actor, round: OnboardingRound | None = None) -> OnboardingRound | None:
    """Note that the open file changed: an approval covers what was seen, and no editor decides.

    Raises the versions of partner and round; returns the round. Without an open round nothing happens.
    """
    round = round or open_round(partner)
    if round is not None and round.is_open:
        partner.raise_version()
        partner.save()
        if round.status == OnboardingRound.Status.DRAFT:
            round.expires_at = clock.now() + timedelta(days=DRAFT_DAYS)
        round.raise_version()
        round.save()
        add_editor(round, actor)
    return round


def add_editor(round: OnboardingRound, actor: Actor) -> None:
    """Note who wrote to the file."""
    if actor.pk is not None:
        RoundEditor.objects.bulk_create([RoundEditor(round=round, user_id=actor.pk)], ignore_conflicts=True)


def require_additions(partner: Partner) -> None:
    """Raise InvalidState unless parts can be added: the partner is active, or its file is with the applicant."""
    if partner.status == Partner.Status.ACTIVE:
        return
    round = OnboardingRound.objects.open().filter(partner=partner).first()
    if round is None or round.status not in OnboardingRound.EDITABLE:
        raise InvalidState.of_status(partner, "The file can't be changed while it is being decided.")


def require_another_person(actor: Actor, *others: UUID | None) -> None:
    """Raise SelfApproval for somebody who made what is decided."""
    if actor.pk is not None and actor.pk in others:
        raise SelfApproval


def check_address(address: dict[str, Any], *, pointer: str) -> None:
    """Raise PinStateMismatch where an Indian address has no state, or a PIN code of another one."""
    if address.get("country", "IN") != "IN":
        return
    state, pin = address.get("state_code"), address["postal_code"]
    if not state or not PIN_CODE.is_valid(pin) or not pin_fits(pin, state):
        raise PinStateMismatch(
            errors=[FieldError(f"{pointer}/postal_code", "state", "This PIN code isn't of this state.")]
        )


def roles_of(partner: Partner) -> list[PartnerRole]:
    """The partner's roles in a fixed order."""
    return list(PartnerRole.objects.filter(partner=partner).order_by("role", "service_kind"))


def has_trading_role(roles: list[PartnerRole]) -> bool:
    """Whether the partner buys or sells for itself."""
    return any(role.role in PartnerRole.TRADING for role in roles)


def entity_class(roles: list[PartnerRole]) -> str:
    """``business_entity`` with a trading role, else ``service_provider``."""
    return "business_entity" if has_trading_role(roles) else "service_provider"


def role_names(roles: list[PartnerRole]) -> list[str]:
    """Names of roles for events, a kind of service after a colon."""
    return [f"{r.role}:{r.service_kind}" if r.service_kind else r.role for r in roles]


def differing(row: Model, values: dict[str, Any]) -> list[str]:
    """Set the values on the row; return the names of those that differ."""
    changed = []
    for name, value in values.items():
        if getattr(row, name) != value:
            setattr(row, name, value)
            changed.append(name)
    return changed


def override_of(row: Model, partner_id: UUID, request: Any) -> dict[str, Any]:
    """The head of an event about an override of this row."""
    return {
        "partner_id": partner_id,
        "subject_type": request.subject_type,
        "subject_id": row.pk,
        "approval_id": request.pk,
    }
