"""Applications: the draft of a file, who applies, and what staff ask (partners §4.1)."""

from collections.abc import Sequence
from datetime import timedelta
from decimal import Decimal
from typing import Any, Final

from apps.accounts.models import User
from apps.accounts.services import roles as roles_services
from apps.accounts.services import users
from apps.partners import capabilities, events
from apps.partners.models import (
    InformationItem,
    OnboardingRound,
    Partner,
    PartnerOwner,
    PartnerRole,
    TaxRegistration,
)
from apps.partners.services.rules import (
    BLOCKED_COUNTRIES,
    DRAFT_DAYS,
    InvalidState,
    PanMismatch,
    PinStateMismatch,
    add_editor,
    check_address,
    differing,
    lock_partner_of,
    role_names,
    roles_of,
    touch,
)
from erp import clock
from erp.access import Actor
from erp.errors import Conflict, FieldError, Invalid, NotFound, RuleBroken
from erp.identifiers import GSTIN, holder_fits
from erp.services import emit, service

ANSWER_DAYS: Final = 14
_LOW_TIER: Final = frozenset(
    {"trade_name", "contact_name", "commodities", "can_arrange_transport", "has_quality_lab"}
)
_ADDRESS: Final = ("line1", "line2", "city", "district", "state_code", "postal_code", "country")


class HolderClassMismatch(RuleBroken):
    """The PAN's fourth letter denotes another legal form."""


class RolesConflict(RuleBroken):
    """A trader buys and sells: choose trader, or seller and buyer."""


class GstRequired(RuleBroken):
    """A partner that trades in India needs a GST registration."""


class IecMismatch(RuleBroken):
    """The IEC contains another PAN."""


class OwnerShareExceeded(RuleBroken):
    """The shares of the owners exceed 100 %."""


class CountryBlocked(RuleBroken):
    """No new business with firms of this country."""


class ParentBrokerUnknown(RuleBroken):
    """There is no active broker with this number."""


class OnboardingOpen(Conflict):
    """An application is open already."""

    constraints = ("partner_one_application", "round_one_open")


class AlreadyLinked(Conflict):
    """You belong to a partner already."""


class ReapplyBlocked(Conflict):
    """Another application isn't possible now."""


class NeedsAmendment(RuleBroken):
    """A renewal can't change this. Request an amendment."""


class AnswersMissing(RuleBroken):
    """Answer every question."""


PROFILE_ERRORS: Final = (
    PinStateMismatch, PanMismatch, HolderClassMismatch, RolesConflict, GstRequired, IecMismatch, OwnerShareExceeded,
    CountryBlocked, ParentBrokerUnknown,
)  # fmt: skip


# What a committed refusal of a registration may have changed before: the profile that came with it.
PROFILE_ROWS: Final = (Partner, PartnerRole, TaxRegistration, PartnerOwner)


@service(
    requires=capabilities.CREATE,
    emits=[events.OnboardingStarted],
    raises=[*PROFILE_ERRORS, OnboardingOpen, AlreadyLinked, ReapplyBlocked, roles_services.RoleNotAllowed],
)
def start_onboarding(
    *, actor: Actor, profile: dict[str, Any], partner: Partner | None = None
) -> OnboardingRound:
    """Start an application. It stays a draft until it is submitted.

    Staff start on behalf of a firm, without an applicant. Another application names the applicant's rejected or closed
    file. Numbers are checked for their form here; the registries are asked after submission.
    """
    staff = actor.is_staff or actor.is_system
    if not staff and getattr(actor, "user_type", "") != User.Type.APPLICANT:
        raise AlreadyLinked
    if partner is not None:
        if not staff and partner.pk != actor.partner_id:
            raise NotFound
        partner = _reopened(partner)
    elif not staff:
        for earlier in Partner.objects.filter(applicant_id=actor.pk, status__in=["rejected", "closed"]):
            _require_reapplication(earlier)
    partner = partner or Partner(created_by_id=actor.pk, applicant_id=None if staff else actor.pk)
    number = OnboardingRound.objects.filter(partner=partner).count() + 1
    partner.status = Partner.Status.DRAFT
    save_profile(partner, profile, pointer="")
    round = OnboardingRound(
        partner=partner,
        number=number,
        started_by_id=actor.pk,
        expires_at=clock.now() + timedelta(days=DRAFT_DAYS),
    )
    round.save()
    add_editor(round, actor)
    if not staff:
        users.link_application(User.objects.get(pk=actor.pk), actor=actor, partner_id=partner.pk)
    emit(
        events.OnboardingStarted(
            partner_id=partner.pk,
            round_id=round.pk,
            number=number,
            kind=round.kind,
            roles=role_names(roles_of(partner)),
            country=partner.country,
            source="staff" if staff else "self",
        )
    )
    return round


def _reopened(partner: Partner) -> Partner:
    """The partner of an earlier application, locked. Raises ReapplyBlocked, NotFound."""
    locked: Partner | None = Partner.objects.locked().filter(pk=partner.pk).first()
    if locked is None:
        raise NotFound
    if locked.status not in (Partner.Status.REJECTED, Partner.Status.CLOSED):
        raise OnboardingOpen(status_now=locked.status)
    _require_reapplication(locked)
    return locked


def _require_reapplication(partner: Partner) -> None:
    """Raise ReapplyBlocked where a decision on the file bars another application now."""
    last = OnboardingRound.objects.filter(partner=partner).order_by("-number").first()
    if last is not None and last.reason_code in OnboardingRound.FINAL:
        raise ReapplyBlocked
    if partner.reapply_date is not None and clock.today() < partner.reapply_date:
        raise ReapplyBlocked(
            f"Apply again from {partner.reapply_date} on.", reapply_date=str(partner.reapply_date)
        )


@service(
    requires=capabilities.CREATE,
    emits=[events.OnboardingUpdated],
    raises=[*PROFILE_ERRORS, InvalidState, NeedsAmendment],
    lock_via=lock_partner_of,
    label="Save draft",
)
def save_draft(round: OnboardingRound, *, actor: Actor, profile: dict[str, Any]) -> OnboardingRound:
    """Save the draft: every field of the profile is replaced, papers and places stay."""
    require_editable(round)
    changed = save_profile(round.partner, profile, pointer="", only=allowed_changes(round))
    if changed:
        touch(round.partner, actor, round)
        emit(
            events.OnboardingUpdated(partner_id=round.partner_id, round_id=round.pk, changed=sorted(changed))
        )
    return round


def require_editable(round: OnboardingRound) -> None:
    """Raise InvalidState unless the file is with the applicant."""
    if round.status not in OnboardingRound.EDITABLE:
        raise InvalidState.of_status(round)


def allowed_changes(round: OnboardingRound) -> frozenset[str] | None:
    """Fields that a renewal may change; None: all, in an application."""
    return None if round.kind == OnboardingRound.Kind.ONBOARDING else _LOW_TIER


def save_profile(
    partner: Partner, profile: dict[str, Any], *, pointer: str, only: frozenset[str] | None = None
) -> list[str]:
    """Check a whole profile and save it; return the names of fields that changed.

    ``pointer`` is where the profile stands in the request. ``only``: what may change (NeedsAmendment otherwise).
    """
    values = {**profile}
    roles = list(values.pop("roles"))
    kinds, transporter = values.pop("service_kinds", []), values.pop("transporter_kind", None)
    gstin, owners = values.pop("gstin", None), values.pop("owners", None)
    address, contact = dict(values.pop("address")), values.pop("contact")
    broker_code = values.pop("parent_broker_code", None)
    values["commodities"] = [commodity.pk for commodity in values.pop("commodity_ids", [])]
    values.setdefault("country", "IN")
    if address.setdefault("country", values["country"]) != values["country"]:
        words = "The registered address lies in the country of the firm."
        raise Invalid(errors=[FieldError(f"{pointer}/address/country", "country", words)])
    _check_profile(values, roles, kinds, transporter, gstin, owners, address, pointer)
    values["parent"] = _broker(broker_code, pointer)
    values |= {name: address.get(name) for name in _ADDRESS if name != "country"}
    values |= {f"contact_{name}": text for name, text in contact.items()}
    new = {name: PROFILE_DEFAULTS[name] for name in PROFILE_DEFAULTS.keys() - values.keys()} | values
    was_new = partner.is_new
    changed = differing(partner, new)
    if only is not None and (beyond := sorted(set(changed) - only)):
        raise NeedsAmendment(
            errors=[
                FieldError(f"{pointer}/{name}", "tier", "Request an amendment for this.") for name in beyond
            ]
        )
    partner.save()
    if only is None:
        changed += _save_roles(partner, roles, kinds, transporter, was_new=was_new)
        changed += _save_gstin(partner, gstin)
        changed += _save_owners(partner, owners)
    return changed


PROFILE_DEFAULTS: Final[dict[str, Any]] = {
    "trade_name": "", "incorporation_date": None, "pan": None, "iec": None, "foreign_tax_id": None,
    "foreign_tax_id_type": None, "cin": None, "llpin": None, "tan": None, "udyam": None, "transporter_id": None,
    "no_gst_reason": None, "preferred_currency": "INR", "declared_turnover": None, "can_arrange_transport": False,
    "has_quality_lab": False,
}  # fmt: skip


def _check_profile(
    values: dict[str, Any],
    roles: Sequence[str],
    kinds: Sequence[str],
    transporter: str | None,
    gstin: str | None,
    owners: list[dict[str, Any]] | None,
    address: dict[str, Any],
    pointer: str,
) -> None:
    """Raise the first broken rule between fields, or Invalid with every field that is missing."""
    role = PartnerRole.Role
    country = values["country"]
    indian, trades = country == "IN", any(each in PartnerRole.TRADING for each in roles)
    missing = []
    if indian and not values.get("pan"):
        missing.append("pan")
    if not indian:
        missing += [name for name in ("foreign_tax_id_type", "foreign_tax_id") if not values.get(name)]
    if (role.SERVICE_PROVIDER in roles) != bool(kinds):
        missing.append("service_kinds" if not kinds else "roles")
    if ("transporter" in kinds) != (transporter is not None):
        missing.append("transporter_kind")
    if missing:
        raise Invalid(
            errors=[FieldError(f"{pointer}/{name}", "required", "This is required here.") for name in missing]
        )
    if (values.get("incorporation_date") or clock.today()) > clock.today():
        raise Invalid(
            errors=[FieldError(f"{pointer}/incorporation_date", "future", "This day is in the future.")]
        )
    if country in BLOCKED_COUNTRIES and BLOCKED_COUNTRIES[country] <= clock.today():
        raise CountryBlocked(errors=[FieldError(f"{pointer}/country", "blocked", "This country is blocked.")])
    if role.TRADER in roles and {role.SELLER, role.BUYER} & set(roles):
        raise RolesConflict(errors=[FieldError(f"{pointer}/roles", "conflict", RolesConflict.title)])
    agent = transporter == PartnerRole.TransporterKind.COMMISSION_AGENT and values.get("no_gst_reason")
    serves = bool({*kinds} - {PartnerRole.ServiceKind.SUB_BROKER}) and not agent
    if indian and gstin is None and (trades or serves):
        raise GstRequired(errors=[FieldError(f"{pointer}/gstin", "required", GstRequired.title)])
    if gstin is not None:
        _check_gstin(gstin, values.get("pan"), roles, pointer)
    pan = values.get("pan")
    if indian and pan and not holder_fits(pan, values["legal_form"]):
        raise HolderClassMismatch(
            errors=[FieldError(f"{pointer}/pan", "holder_class", HolderClassMismatch.title)]
        )
    iec = values.get("iec")
    if iec and not iec.isdigit() and iec != pan:
        raise IecMismatch(errors=[FieldError(f"{pointer}/iec", "pan", IecMismatch.title)])
    check_address(address, pointer=f"{pointer}/address")
    if sum((owner.get("share_percent") or Decimal(0) for owner in owners or ()), Decimal(0)) > 100:
        raise OwnerShareExceeded(errors=[FieldError(f"{pointer}/owners", "share", OwnerShareExceeded.title)])


def _check_gstin(gstin: str, pan: str | None, roles: Sequence[str], pointer: str) -> None:
    parts = GSTIN.parts(gstin)
    if "pan" in parts and parts["pan"] != pan:
        raise PanMismatch(
            errors=[FieldError(f"{pointer}/gstin", "pan", "The PAN in this GSTIN isn't the PAN entered.")]
        )
    buys_only = set(roles) <= {PartnerRole.Role.BUYER}
    if parts["form"] not in ("REGULAR", "NRTP", *(["UIN"] if buys_only else [])):
        raise GstRequired(
            errors=[FieldError(f"{pointer}/gstin", "form", "This form of GSTIN can't be used for trading.")]
        )


def _broker(code: str | None, pointer: str) -> Partner | None:
    if code is None:
        return None
    brokers = PartnerRole.objects.filter(role=PartnerRole.Role.BROKER, live=True).values("partner_id")
    broker = Partner.objects.filter(code=code, status=Partner.Status.ACTIVE, pk__in=brokers).first()
    if broker is None:
        raise ParentBrokerUnknown(
            errors=[FieldError(f"{pointer}/parent_broker_code", "unknown", ParentBrokerUnknown.title)]
        )
    found: Partner = broker
    return found


def _save_roles(
    partner: Partner, roles: Sequence[str], kinds: Sequence[str], transporter: str | None, *, was_new: bool
) -> list[str]:
    provider = PartnerRole.Role.SERVICE_PROVIDER
    wanted = {(role, None): None for role in roles if role != provider} | {
        (provider, kind): transporter if kind == PartnerRole.ServiceKind.TRANSPORTER else None
        for kind in kinds
    }
    held = {(r.role, r.service_kind): r for r in ([] if was_new else roles_of(partner))}
    changed = False
    for key in held.keys() - wanted.keys():
        held[key].delete()
        changed = True
    for (role, kind), transporter_kind in wanted.items():
        row = held.get((role, kind)) or PartnerRole(partner=partner, role=role, service_kind=kind)
        if row.is_new or row.transporter_kind != transporter_kind:
            row.transporter_kind = transporter_kind
            row.save()
            changed = True
    return ["roles"] if changed else []


def _save_gstin(partner: Partner, gstin: str | None) -> list[str]:
    """Keep the registration named in the profile; those of branches stay."""
    head = TaxRegistration.objects.filter(partner=partner, is_main=True).first()
    if gstin is None:
        if head is not None:
            if head.locations.exists():  # it stays as that of a place
                head.is_main = False
                head.save()
            else:
                head.delete()
            return ["gstin"]
        return []
    parts = GSTIN.parts(gstin)
    head = head or TaxRegistration(partner=partner, is_main=True)
    if head.gstin == gstin:
        return []
    head.gstin, head.state_code, head.form = gstin, parts["state"], parts["form"]
    head.registry_status, head.checked_at = TaxRegistration.RegistryStatus.UNKNOWN, None
    head.claimed = False
    head.save()
    return ["gstin"]


def _save_owners(partner: Partner, owners: list[dict[str, Any]] | None) -> list[str]:
    if owners is None:
        return []
    held = list(PartnerOwner.objects.filter(partner=partner).order_by("id"))
    fields = ("name", "kind", "din", "pan", "share_percent")
    new = [{name: owner.get(name) for name in fields} for owner in owners]
    if new == [{name: getattr(owner, name) for name in fields} for owner in held]:
        return []
    for owner in held:
        owner.delete()
    for values in new:
        PartnerOwner(partner=partner, **values).save()
    return ["owners"]


@service(
    requires=capabilities.APPROVE,
    emits=[events.InfoRequested],
    raises=[InvalidState],
    lock_via=lock_partner_of,
    label="Ask for information",
)
def request_info(
    round: OnboardingRound, *, actor: Actor, items: Sequence[dict[str, Any]], due_days: int = ANSWER_DAYS
) -> OnboardingRound:
    """Ask the applicant for information. The file goes back to the applicant until every question is answered."""
    if round.status != OnboardingRound.Status.UNDER_REVIEW:
        raise InvalidState.of_status(round)
    due_at = clock.now() + timedelta(days=due_days)
    for item in items:
        InformationItem(partner=round.partner, round=round, due_at=due_at, **item).save()
    round.status, round.expires_at = OnboardingRound.Status.INFO_REQUESTED, due_at
    round.partner.raise_version()
    round.partner.save()
    round.save()
    emit(
        events.InfoRequested(partner_id=round.partner_id, round_id=round.pk, items=len(items), due_at=due_at)
    )
    return round


@service(
    requires=capabilities.VERIFY_KYC,
    emits=[events.OnboardingAssigned],
    raises=[InvalidState],
    lock_via=lock_partner_of,
    label="Assign",
)
def assign(round: OnboardingRound, *, actor: Actor, assigned_to: User | None = None) -> OnboardingRound:
    """Assign a file to somebody of the staff, who looks after it; to nobody where the field is left empty."""
    if not round.is_open:
        raise InvalidState.of_status(round)
    if round.assigned_to != assigned_to:
        round.assigned_to = assigned_to
        round.save()
        emit(
            events.OnboardingAssigned(
                partner_id=round.partner_id, round_id=round.pk, assigned_to=round.assigned_to_id
            )
        )
    return round


def answer_items(round: OnboardingRound, answers: Sequence[dict[str, Any]]) -> None:
    """Store the answers of the open questions. Raises AnswersMissing with one error per open question."""
    given = {answer["item_id"]: answer["text"] for answer in answers}
    open_items = list(InformationItem.objects.filter(round=round, answered_at=None))
    missing = [item for item in open_items if item.pk not in given]
    if missing:
        raise AnswersMissing(
            errors=[FieldError("/answers", "missing", f"Answer: {item.text}") for item in missing]
        )
    for item in open_items:
        item.answer, item.answered_at = given[item.pk], clock.now()
        item.save()
