"""Partners of the demo: each applies, is checked by the sandbox of the registries, verified and approved."""

from hashlib import sha256
from typing import Final

from stdnum import luhn

from apps.partners.models import KycCheck, OnboardingRound, Partner, PartnerDocument
from apps.partners.services import decisions, onboarding, papers, parts, submission
from apps.partners.services.checklist import ROWS, checklist
from apps.partners.tasks import run_check
from erp import clock
from erp.access import SYSTEM
from erp.files import PDF, Upload
from erp.uploads.tasks import scan

_ALPHABET: Final = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZ"
_HOLDERS: Final = {
    "private_limited": "C",
    "public_limited": "C",
    "proprietorship": "P",
    "huf": "H",
    "cooperative_society": "A",
}
# GSTINs of the firms whose numbers are printed in examples; the PAN is inside.
_PRINTED: Final = {
    "Shree Somnath Ginning & Pressing": "24ZZZFS1001A1ZK",
    "Kovai Spinners Pvt Ltd": "33ZZZCK2002B1ZU",
    "Mumbadevi Cotton Brokers LLP": "27ZZZFM3003C1ZA",
    "Saurashtra Roadways": "24ZZZPR4004D1ZL",
}
# Check characters with which the sandbox of the GST registry plays a fault.
_PLAYED: Final = frozenset("TVRMSXQPN")
# GST code of the state → town and PIN code.
_TOWNS: Final = {
    "24": ("Rajkot", "360001"),
    "27": ("Mumbai", "400002"),
    "33": ("Coimbatore", "641004"),
    "36": ("Warangal", "506002"),
    "08": ("Sri Ganganagar", "335001"),
    "03": ("Bathinda", "151001"),
}


def pan_of(name: str, legal_form: str) -> str:
    """A fictitious PAN that belongs to the name alone."""
    number = int(sha256(name.encode()).hexdigest(), 16)
    # The first digit is 1 to 5 (a turnover of 2 crore in the sandbox), the second 0 to 4 (files on time).
    digits = f"{1 + number % 5}{number // 5 % 5}{number // 25 % 100:02}"
    return f"ZZZ{_HOLDERS.get(legal_form, 'F')}{name[0].upper()}{digits}K"


def gstin_of(pan: str, state: str) -> str:
    """A GSTIN of the PAN, with which the sandbox finds nothing wrong."""
    for entity in _ALPHABET[1:]:
        start = f"{state}{pan}{entity}Z"
        check = luhn.calc_check_digit(start, _ALPHABET)
        if check not in _PLAYED:
            return str(start + check)
    raise ValueError(f"no GSTIN for {state}")


def onboard(
    name: str,
    legal_form: str,
    *,
    trade_name: str = "",
    roles: tuple[str, ...] = ("seller",),
    state: str = "24",
    service_kind: str = "",
) -> Partner:
    """Bring a firm through onboarding, up to its approval."""
    round = apply(
        name, legal_form, trade_name=trade_name, roles=roles, state=state, service_kind=service_kind
    )
    submission.submit(
        round,
        actor=SYSTEM,
        declaration=True,
        terms_version="1",
        notice_version="1",
        consent_purposes=["essential"],
    )
    for check in KycCheck.objects.filter(round=round, status="pending").order_by("id"):
        run_check(str(check.pk))
    scan()
    for document in PartnerDocument.objects.filter(round=round).order_by("id"):
        papers.verify_document(document, actor=SYSTEM)
    partner: Partner = decisions.approve(Partner.objects.get(pk=round.partner_id), actor=SYSTEM)
    return partner


def apply(
    name: str,
    legal_form: str,
    *,
    trade_name: str = "",
    roles: tuple[str, ...] = ("seller",),
    state: str = "24",
    service_kind: str = "",
) -> OnboardingRound:
    """Enter a firm's complete file as a draft, with everything that its checklist asks for."""
    gstin = _PRINTED.get(name) or gstin_of(pan_of(name, legal_form), state)
    pan, state = gstin[2:12], gstin[:2]
    town, pin = _TOWNS[state]
    serial = pan[5:9]  # of the street and the telephone, which no two firms share
    address = {
        "line1": f"Plot {serial}, Station Road", "city": town, "state_code": state, "postal_code": pin,
    }  # fmt: skip
    profile = {
        "roles": list(roles),
        "legal_name": name,
        "trade_name": trade_name,
        "legal_form": legal_form,
        "pan": pan,
        "gstin": gstin,
        "address": address,
        "contact": {
            "name": "The office",
            "email": f"office@{''.join(c for c in name.lower() if c.isalnum())[:30]}.example",
            "phone": f"+91281234{serial}",
        },
    }
    if service_kind:
        profile |= {"service_kinds": [service_kind]}
        if service_kind == "transporter":
            profile |= {"transporter_kind": "lorry_owner"}
    round: OnboardingRound = onboarding.start_onboarding(actor=SYSTEM, profile=profile)
    partner = round.partner
    parts.add_location(
        partner, actor=SYSTEM, code="HQ", name="Head office", kind="principal", address=dict(address)
    )
    number = f"{int(sha256(pan.encode()).hexdigest(), 16) % 10**8:08}1234"
    parts.add_bank_account(
        partner,
        actor=SYSTEM,
        holder=name,
        bank_name="Demo Bank",
        number=number,
        number_again=number,
        account_type="current",
        purpose="both",
        ifsc="ZZZB0000261",
    )
    vehicle = None
    if service_kind == "transporter":
        vehicle = parts.add_vehicle(
            partner,
            actor=SYSTEM,
            number="GJ03BT4321" if name in _PRINTED else f"GJ03BT{serial}",
            category="truck",
            owner_name=name,
            capacity_tonnes=16,
        )
    for item in checklist(round, clock.today()):
        if item.item in ROWS:
            continue
        of_vehicle = item.item in PartnerDocument.VEHICLE_PAPERS
        content = f"%PDF-1.4\n% {item.title} of {name}, for the demo\n".encode()
        papers.add_document(
            round,
            actor=SYSTEM,
            file=Upload(f"{item.item}.pdf", PDF, content),
            document_type=item.item,
            target_type="vehicle" if of_vehicle else "partner",
            target_id=vehicle.pk if of_vehicle and vehicle is not None else None,
        )
    found: OnboardingRound = OnboardingRound.objects.get(pk=round.pk)
    return found
