"""Places, vehicles and bank accounts of a partner (partners §4.3)."""

from datetime import date, timedelta
from decimal import Decimal
from typing import Any, Final

from django.conf import settings

from apps.partners import capabilities, events
from apps.partners.models import (
    IdentifierKey,
    KycCheck,
    Partner,
    PartnerBankAccount,
    PartnerDocument,
    PartnerLocation,
    PartnerRole,
    TaxRegistration,
    Vehicle,
)
from apps.partners.services.checks import ask
from apps.partners.services.papers import plain
from apps.partners.services.rules import (
    DuplicateRegistration,
    InvalidState,
    PanMismatch,
    PinStateMismatch,
    check_address,
    lock_partner_of,
    open_round,
    require_additions,
    require_another_person,
    roles_of,
    touch,
)
from erp import clock
from erp.access import Actor
from erp.encryption import keyed_hash
from erp.errors import Conflict, FieldError, RuleBroken
from erp.identifiers import GSTIN
from erp.services import emit, service

ACCOUNTS_AT_MOST: Final = 10
LAPSE_DAYS: Final = 30
PHONE_DAYS: Final = 30  # that a number was on file before an account was added
_Account = PartnerBankAccount


class GstinStateMismatch(RuleBroken):
    """The GSTIN is of another state than the place."""


class GstinRequired(RuleBroken):
    """A branch in another state needs its GST registration."""


class ShipToNotAllowed(RuleBroken):
    """Only a partner that buys has ship-to addresses."""


class LocationCodeTaken(Conflict):
    """A place of the partner has this code already."""

    constraints = ("partner_location_code_once",)


class PrincipalTaken(Conflict):
    """The partner has a principal place already."""

    constraints = (
        "partner_location_one_principal", "partner_location_one_ship_from", "partner_location_one_ship_to",
    )  # fmt: skip


class RegistrationTaken(DuplicateRegistration):
    """This GST registration can't be used."""

    code = "partner.duplicate_registration"
    constraints = ("tax_registration_claimed_once", "tax_registration_once")


class VehicleTaken(Conflict):
    """This vehicle is in use by a partner already."""

    constraints = ("vehicle_number_once",)


class VehiclesNotAllowed(Conflict):
    """Only a transporter that owns lorries has vehicles."""


class NumbersDiffer(RuleBroken):
    """The two account numbers differ."""


class BankCodeMismatch(RuleBroken):
    """An account in rupees in India needs an IFSC, one abroad a SWIFT code."""


class BankAccountDuplicate(Conflict):
    """The partner has this bank account already."""

    constraints = ("partner_bank_account_once",)


class BankAccountLimit(Conflict):
    """The partner has as many bank accounts as are possible."""


class BankCheckPending(Conflict):
    """The bank hasn't answered yet."""


class BankNameMismatch(RuleBroken):
    """The bank knows the account under another name. Verify it by a cheque."""


class CallBackRequired(RuleBroken):
    """A further account needs a call-back to a known number."""


class CallBackPhoneNew(RuleBroken):
    """Call a number that was on file for 30 days when the account was added."""


class ProofRequired(RuleBroken):
    """Name the verified cheque or proof of the account."""


@service(
    requires=capabilities.UPDATE,
    emits=[events.PartnerLocationAdded],
    raises=[
        InvalidState,
        PinStateMismatch,
        PanMismatch,
        GstinStateMismatch,
        GstinRequired,
        ShipToNotAllowed,
        LocationCodeTaken,
        PrincipalTaken,
        RegistrationTaken,
    ],
    label="Add location",
)
def add_location(
    partner: Partner,
    *,
    actor: Actor,
    code: str,
    name: str,
    kind: str,
    address: dict[str, Any],
    gstin: str | None = None,
    contact_name: str | None = None,
    contact_phone: str | None = None,
    can_ship_from: bool = True,
    can_ship_to: bool = True,
    default_ship_from: bool = False,
    default_ship_to: bool = False,
    capacity_quintals: Decimal | None = None,
) -> PartnerLocation:
    """Add a place of business. Registry and map are asked behind and never hold up the row."""
    require_additions(partner)
    check_address(address, pointer="/address")
    buys = any(role.role in ("buyer", "trader") for role in roles_of(partner))
    if kind == PartnerLocation.Kind.SHIP_TO and not buys:
        raise ShipToNotAllowed(errors=[FieldError("/kind", "role", ShipToNotAllowed.title)])
    if kind == PartnerLocation.Kind.OTHER_STATE and gstin is None and partner.is_indian:
        raise GstinRequired(errors=[FieldError("/gstin", "required", GstinRequired.title)])
    registration = _registration(partner, gstin, address) if gstin is not None else None
    place = PartnerLocation(
        partner=partner,
        code=code,
        name=name,
        kind=kind,
        tax_registration=registration,
        contact_name=contact_name,
        contact_phone=contact_phone,
        can_ship_from=can_ship_from,
        can_ship_to=can_ship_to,
        default_ship_from=default_ship_from,
        default_ship_to=default_ship_to,
        capacity_quintals=capacity_quintals,
        **address,
    )
    place.save()
    round = touch(partner, actor)
    if partner.status == Partner.Status.ACTIVE:
        ask(partner, KycCheck.Kind.GEOCODE, place.pk, None, asked_by=actor.pk)
        if registration is not None and not registration.is_main:
            ask(partner, KycCheck.Kind.GST, registration.pk, round, asked_by=actor.pk)
    emit(
        events.PartnerLocationAdded(
            partner_id=partner.pk,
            location_id=place.pk,
            kind=kind,
            state_code=place.state_code,
            is_registered=registration is not None,
        )
    )
    return place


def _registration(partner: Partner, gstin: str, address: dict[str, Any]) -> TaxRegistration:
    """The registration of a place: known already, or new. An active partner claims a new one at once."""
    parts = GSTIN.parts(gstin)
    if "pan" in parts and partner.pan is not None and parts["pan"] != partner.pan:
        raise PanMismatch(
            errors=[FieldError("/gstin", "pan", "The PAN in this GSTIN isn't that of the partner.")]
        )
    if parts["state"] != address.get("state_code"):
        raise GstinStateMismatch(errors=[FieldError("/gstin", "state", GstinStateMismatch.title)])
    hashed = TaxRegistration.gstin.hash_of(gstin)
    known: TaxRegistration | None = TaxRegistration.objects.filter(partner=partner, gstin_hash=hashed).first()
    if known is not None:
        return known
    registration = TaxRegistration(
        partner=partner,
        state_code=parts["state"],
        form=parts["form"],
        claimed=partner.status == Partner.Status.ACTIVE,
    )
    registration.gstin = gstin
    registration.save()
    return registration


@service(
    requires=capabilities.UPDATE,
    emits=[events.VehicleAdded],
    raises=[InvalidState, VehicleTaken, VehiclesNotAllowed],
    label="Add vehicle",
)
def add_vehicle(
    partner: Partner,
    *,
    actor: Actor,
    number: str,
    category: str,
    owner_name: str,
    capacity_tonnes: Decimal,
    make_model: str | None = None,
    registration_date: date | None = None,
    permit_type: str | None = None,
) -> Vehicle:
    """Add a vehicle. It is roadworthy on a day on which its four papers are verified and valid."""
    require_additions(partner)
    owner = PartnerRole.TransporterKind.LORRY_OWNER
    if not any(role.transporter_kind == owner for role in roles_of(partner)):
        raise VehiclesNotAllowed
    vehicle = Vehicle(
        partner=partner,
        number=number,
        category=category,
        owner_name=owner_name,
        capacity_tonnes=capacity_tonnes,
        make_model=make_model,
        registration_date=registration_date,
        permit_type=permit_type,
    )
    vehicle.save()
    touch(partner, actor)
    emit(events.VehicleAdded(partner_id=partner.pk, vehicle_id=vehicle.pk, category=category))
    return vehicle


@service(
    requires=capabilities.MANAGE_BANK_ACCOUNTS,
    emits=[events.PartnerBankAccountAdded],
    raises=[InvalidState, NumbersDiffer, BankCodeMismatch, BankAccountDuplicate, BankAccountLimit],
    label="Add bank account",
)
def add_bank_account(
    partner: Partner,
    *,
    actor: Actor,
    holder: str,
    bank_name: str,
    number: str,
    number_again: str,
    account_type: str,
    purpose: str,
    ifsc: str | None = None,
    swift: str | None = None,
    iban: str | None = None,
    currency: str = "INR",
) -> PartnerBankAccount:
    """Add a bank account. It isn't paid to before another person verified it and the cooling-off passed.

    The number is entered twice and stored encrypted; only its last four characters are shown.
    """
    require_additions(partner)
    if number != number_again:
        raise NumbersDiffer(
            errors=[
                FieldError("/number_again", "differs", "The numbers differ. Enter the same number twice.")
            ]
        )
    rupees = currency == "INR" and partner.is_indian
    if rupees != (ifsc is not None) or (not rupees and swift is None):
        wrong = "/ifsc" if rupees or ifsc is not None else "/swift"
        raise BankCodeMismatch(errors=[FieldError(wrong, "currency", BankCodeMismatch.title)])
    live = _Account.objects.filter(partner=partner, status__in=["pending_verification", "verified"])
    if live.count() >= ACCOUNTS_AT_MOST:
        raise BankAccountLimit
    account = _Account(
        partner=partner,
        holder=holder,
        bank_name=bank_name,
        last4=number[-4:],
        ifsc=ifsc,
        swift=swift,
        account_type=account_type,
        purpose=purpose,
        currency=currency,
        created_by_id=actor.pk,
    )
    account.number, account.iban = number, iban
    account.save()
    round = touch(partner, actor)
    if ifsc is not None and (round is None or partner.status == Partner.Status.ACTIVE):
        ask(partner, KycCheck.Kind.BANK, account.pk, round, asked_by=actor.pk)
    emit(
        events.PartnerBankAccountAdded(
            partner_id=partner.pk, bank_account_id=account.pk, purpose=purpose, currency=currency
        )
    )
    return account


@service(
    requires=capabilities.VERIFY_BANK_ACCOUNT,
    emits=[events.PartnerBankAccountVerified],
    raises=[
        InvalidState,
        BankCheckPending,
        BankNameMismatch,
        CallBackRequired,
        CallBackPhoneNew,
        ProofRequired,
    ],
    lock_via=lock_partner_of,
    label="Verify bank account",
)
def verify_bank_account(
    account: PartnerBankAccount,
    *,
    actor: Actor,
    method: str,
    document: PartnerDocument | None = None,
    call_back_phone: str | None = None,
    call_back_note: str | None = None,
) -> PartnerBankAccount:
    """Verify a bank account. Whoever added it can't; a further account also needs a call-back to a number of old.

    Payouts use it once the cooling-off has passed. The first verified account of a currency becomes primary.
    """
    if account.status != _Account.Status.PENDING:
        raise InvalidState.of_status(account)
    require_another_person(actor, account.created_by_id)
    check = (
        KycCheck.objects.filter(kind=KycCheck.Kind.BANK, subject_id=account.pk)
        .order_by("-created_at")
        .first()
    )
    others = _Account.objects.filter(partner=account.partner_id, verified_at__isnull=False)
    first = not others.exists()
    cheque = document is not None and _proves(document, account, first=first)
    if check is not None and check.status == KycCheck.Status.FAILED:
        raise BankNameMismatch("The bank says that there is no such open account.")
    if method == _Account.Method.PENNY_DROP:
        if check is None or check.status == KycCheck.Status.PENDING:
            raise BankCheckPending
        if check.status != KycCheck.Status.PASSED and not cheque:
            raise BankNameMismatch
    if method == _Account.Method.CHEQUE and not cheque:
        raise ProofRequired(errors=[FieldError("/document_id", "verified", ProofRequired.title)])
    if not first or method == _Account.Method.CALL_BACK:
        _require_call_back(account, call_back_phone, call_back_note)
    account.status, account.method = _Account.Status.VERIFIED, method
    account.verified_by_id, account.verified_at = actor.pk, clock.now()
    account.payable_from = clock.now() + timedelta(hours=settings.PARTNER_BANK_COOLING_HOURS)
    account.call_back_phone, account.call_back_note = call_back_phone, call_back_note
    account.is_primary = not others.filter(currency=account.currency, is_primary=True).exists()
    account.save()
    emit(
        events.PartnerBankAccountVerified(
            partner_id=account.partner_id,
            bank_account_id=account.pk,
            method=method,
            payable_from=account.payable_from,
            is_primary=account.is_primary,
        )
    )
    return account


def _require_call_back(account: PartnerBankAccount, phone: str | None, note: str | None) -> None:
    """Raise CallBackRequired without a call, and CallBackPhoneNew for a number that may be the fraudster's."""
    for name, value in (("call_back_phone", phone), ("call_back_note", note)):
        if not value:
            raise CallBackRequired(errors=[FieldError(f"/{name}", "required", CallBackRequired.title)])
    known = IdentifierKey.objects.filter(
        partner=account.partner_id,
        kind=IdentifierKey.Kind.PHONE,
        hash=keyed_hash(str(phone), context="identifier.phone"),
        since__lte=account.created_at - timedelta(days=PHONE_DAYS),
    )
    if not known.exists():
        raise CallBackPhoneNew(errors=[FieldError("/call_back_phone", "new", CallBackPhoneNew.title)])


def _proves(document: PartnerDocument, account: PartnerBankAccount, *, first: bool) -> bool:
    """Whether it is a verified, valid proof of this account.

    A paper of the file as a whole proves the first account, if it has its number, or was verified while this was the
    only one: an account that was put in place of another needs its own.
    """
    kind = PartnerDocument.Type
    about = document.target_id == account.pk
    if first and document.target_id == account.partner_id:
        pending = _Account.objects.filter(partner=account.partner_id, status=_Account.Status.PENDING)
        verified = document.decided_at
        about = plain(document.number or "") == plain(account.number or account.iban or "") or (
            verified is not None and verified >= account.created_at and pending.count() == 1
        )
    valid = PartnerDocument.objects.valid_on(clock.today()).filter(pk=document.pk)
    return bool(
        document.partner_id == account.partner_id
        and document.document_type in (kind.CANCELLED_CHEQUE, kind.BANK_PROOF)
        and about
        and valid.exists()
    )


@service(requires=capabilities.OPERATE, emits=[events.PartnerBankAccountLapsed], lock_via=lock_partner_of)
def lapse_bank_account(account: PartnerBankAccount, *, actor: Actor) -> PartnerBankAccount:
    """End an account that nobody verified in time."""
    last = clock.now() - timedelta(days=LAPSE_DAYS)
    if (
        account.status == _Account.Status.PENDING
        and account.created_at < last
        and open_round(account.partner) is None
    ):
        account.status = _Account.Status.LAPSED
        account.save()
        emit(events.PartnerBankAccountLapsed(partner_id=account.partner_id, bank_account_id=account.pk))
    return account
