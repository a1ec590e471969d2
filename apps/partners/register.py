"""The KYC register of a partner as a PDF: what is known of it, from which papers, who decided; masked as reads are."""

from collections.abc import Iterable
from datetime import date, datetime
from decimal import Decimal
from typing import Any

from django.http import HttpResponse
from django.utils import timezone

from apps.partners import serializers
from apps.partners.models import (
    CreditAccount,
    KycCheck,
    OnboardingRound,
    Partner,
    PartnerBankAccount,
    PartnerDocument,
    PartnerOwner,
    TaxRegistration,
    TradePermission,
)
from apps.partners.services.rules import roles_of
from erp import clock
from erp.access import Actor
from erp.figures import money, percent
from erp.files import PDF
from erp.jobs.downloads import attachment
from erp.pdf import Document
from erp.trail import services as trail


def download_register(partner: Partner, *, actor: Actor) -> HttpResponse:
    """The register as of today as a file; that it was made is recorded."""
    content = kyc_register(partner, actor=actor, day=clock.today())
    trail.record_list_export(actor=actor, list="KYC register", query={"partner": str(partner.pk)}, lines=1)
    return attachment(HttpResponse(content, content_type=PDF), f"kyc-register-{partner.code or partner.pk}")


def kyc_register(partner: Partner, *, actor: Actor, day: date) -> bytes:
    """The register as of a day; numbers and contacts as the actor may see them."""
    made = Document(f"KYC register: {partner}", day=day, note=f"{partner.code or 'Applicant'} · {_day(day)}")
    shown = _shown(serializers.PartnerOutput, partner, actor)
    made.heading("Partner")
    made.facts(
        [
            ("Number", partner.code or ""),
            ("Legal name", partner.legal_name),
            ("Trade name", partner.trade_name),
            ("Legal form", partner.get_legal_form_display()),
            ("Status", partner.get_status_display()),
            ("Roles", ", ".join(str(role) for role in roles_of(partner))),
            ("PAN", shown["pan"] or ""),
            ("IEC", shown["iec"] or ""),
            ("CIN", partner.cin or ""),
            ("LLPIN", partner.llpin or ""),
            ("Udyam number", partner.udyam or ""),
            ("Foreign tax number", shown["foreign_tax_id"] or ""),
            ("Address", _address(partner)),
            ("Contact", partner.contact_name),
            ("Contact e-mail", shown["contact_email"] or ""),
            ("Contact phone", shown["contact_phone"] or ""),
            ("KYC verified on", _day(partner.kyc_verified_date)),
            ("KYC valid until", _day(partner.kyc_expiry_date)),
            ("KYC on this day", partner.kyc_on(day).capitalize()),
        ]
    )
    made.heading("Owners")
    owners = _of(partner, PartnerOwner)
    shares = [(owner.name, _label(owner, "kind"), _percent(owner.share_percent)) for owner in owners]
    made.table(["Name", "Kind", "Share"], shares, widths=[4, 2, 1], numbers=[2])
    made.heading("GST registrations")
    made.table(
        ["GSTIN", "State", "Status in the registry", "Type", "Checked on"],
        [
            (
                _shown(serializers.RegistrationOutput, each, actor)["gstin"] or "",
                each.state_code,
                _label(each, "registry_status"),
                _label(each, "type"),
                _day(each.checked_at),
            )
            for each in _of(partner, TaxRegistration)
        ],
        widths=[4, 1, 3, 2, 2],
    )
    made.heading("Papers")
    made.table(
        ["Paper", "Issued on", "Valid until", "Status", "Decided on"],
        [
            (
                _label(paper, "document_type"),
                _day(paper.issue_date),
                _day(paper.expiry_date),
                _label(paper, "status"),
                _day(paper.decided_at),
            )
            for paper in _of(partner, PartnerDocument)
        ],
        widths=[4, 2, 2, 2, 2],
    )
    made.heading("Checks with registries")
    made.table(
        ["Check", "Status", "Answered on", "Registry"],
        [
            (_label(check, "kind"), _label(check, "status"), _day(check.answered_at), check.provider or "")
            for check in _of(partner, KycCheck)
        ],
        widths=[3, 2, 2, 3],
    )
    made.heading("Bank accounts")
    made.table(
        ["Holder", "Bank", "Account", "Currency", "Status", "Verified on"],
        [
            (
                each.holder,
                each.bank_name,
                f"…{each.last4}",
                each.currency,
                _label(each, "status"),
                _day(each.verified_at),
            )
            for each in _of(partner, PartnerBankAccount)
        ],
        widths=[4, 3, 2, 2, 3, 2],
    )
    made.heading("Trade permissions")
    made.table(
        ["Permission", "From", "Until"],
        [(str(each), _day(each.valid_from), _day(each.valid_to)) for each in _of(partner, TradePermission)],
        widths=[4, 2, 2],
    )
    made.heading("Credit")
    account = CreditAccount.objects.filter(partner=partner).select_related("partner").first()
    if account is not None:
        limit = account.limit_on(day)
        made.facts(
            [
                ("Limit on this day", money(limit, account.currency)),
                ("Exposure", money(account.exposure, account.currency)),
                ("Used", _percent(account.utilisation(limit))),
            ]
        )
    made.heading("Onboarding and renewals")
    made.table(
        ["Round", "Status", "Submitted on", "Decided on", "Decided by"],
        [
            (
                f"{_label(round, 'kind')} {round.number}",
                _label(round, "status"),
                _day(round.submitted_at),
                _day(round.decided_at),
                str(round.decided_by or ""),
            )
            for round in _of(partner, OnboardingRound).select_related("decided_by")
        ],
        widths=[4, 3, 2, 2, 3],
    )
    return made.render()


def _of(partner: Partner, model: Any) -> Any:
    return model.objects.filter(partner=partner).order_by("id")


def _shown(output: Any, row: Any, actor: Actor) -> Any:
    """What a read shows of the row; a clear read by staff leaves its line in the log."""
    return output(row, context={"actor": actor}).data


def _label(row: Any, column: str) -> str:
    return str(getattr(row, f"get_{column}_display")() or "")


def _percent(rate: Decimal | None) -> str:
    return "" if rate is None else percent(rate)


def _day(at: date | datetime | None) -> str:
    day = timezone.localtime(at) if isinstance(at, datetime) else at
    return "" if day is None else f"{day.day} {day:%b %Y}"


def _address(partner: Partner) -> str:
    parts: Iterable[str | None] = (
        partner.line1, partner.line2, partner.city, partner.district, partner.postal_code, partner.country,
    )  # fmt: skip
    return ", ".join(part for part in parts if part)
