"""``bootstrap``: prepare an empty database for work; a second run changes nothing."""

import os
from argparse import ArgumentParser
from datetime import date
from typing import Any

from django.conf import settings
from django.core.management import call_command
from django.core.management.base import CommandError

from apps.accounts import secrets
from apps.accounts.models import User
from apps.accounts.serializers import InviteInput
from apps.accounts.services import joining
from apps.notifications import services as notifications
from apps.organization.models import DocumentType, Organization
from apps.organization.serializers import OrganizationCreateInput
from apps.organization.services import identity, series, years
from config.management.commands.seed_demo import FIRM
from config.reference import goods, places
from erp import access, clock, commands
from erp.access import SYSTEM
from erp.api.faults import faults_from, invalid
from erp.errors import DomainError, FieldError, Invalid
from erp.services import unit_of_work

# What names the first organization: flag and variable → field of its input.
FIELDS = (
    "name", "legal_name", "legal_form", "pan", "cin", "llpin", "tan", "line1", "line2", "city", "state_code",
    "pin_code",
)  # fmt: skip
ADMINISTRATOR = {"/email": "/admin_email", "/full_name": "/admin_name"}  # field of the invitation → flag
DEMO_MAIL = ".example"  # never a real address: RFC 2606
# Documents that need no GST registration; those of tax law are added with it, in the admin.
SERIES = {
    DocumentType.TRADE: "TRD-{FY}-{N:6}",
    DocumentType.CONTRACT_NOTE: "CN-{FY}-{N:6}",
    DocumentType.PROFORMA_INVOICE: "PI-{FY}-{N:6}",
    DocumentType.SETTLEMENT_STATEMENT: "SET-{FY}-{N:6}",
    DocumentType.CLAIM: "CLM-{FY}-{N:6}",
}


class Undone(Exception):
    """Ends a dry run, which saves nothing."""


def bootstrap(asked: dict[str, str], start: date | None = None) -> list[str]:
    """Create the first organization with its current year and series; return what was created.

    ``asked`` are the fields of its input as text, ``start`` the first day of the year (default 1 April). If an
    organization exists, nothing is done. Raises DomainError for contradicting values.
    """
    if Organization.objects.exists():
        return []
    given = OrganizationCreateInput(
        data={name: text for name, text in asked.items() if text}, context={"actor": SYSTEM}
    )
    if not given.is_valid():
        raise invalid(faults_from(given.errors))
    today = clock.today()
    april = date(today.year - (today.month < 4), 4, 1)
    organization = identity.create(actor=SYSTEM, **given.validated_data)
    year = years.add_financial_year(
        organization, actor=SYSTEM, start_date=start or april, end_date=april.replace(april.year + 1, 3, 31)
    )
    made = [f"organization {organization.name}", f"financial year {year.code}"]
    for kind, template in SERIES.items():
        series.add_document_series(
            organization, actor=SYSTEM, financial_year=year, document_type=kind, template=template
        )
        made.append(f"series {kind.value} {template}")
    return made


def administrator(email: str, full_name: str) -> User | None:
    """Invite the first super administrator; None where there is one already. Raises DomainError."""
    if User.objects.filter(user_type=User.Type.SUPER_ADMIN, erased_at=None).exists():
        return None
    if not email:
        raise Invalid(
            errors=[
                FieldError(
                    "/admin_email", "required", "Enter the e-mail address of the first super administrator."
                )
            ]
        )
    given = InviteInput(
        data={
            "email": email,
            "full_name": full_name or "Administrator",
            "user_type": User.Type.SUPER_ADMIN.value,
        },
        context={"actor": SYSTEM},
    )
    if not given.is_valid():
        raise invalid(
            FieldError(ADMINISTRATOR[fault.pointer], fault.code, fault.detail)
            for fault in faults_from(given.errors)
        )
    invited: User = joining.invite(actor=SYSTEM, **given.validated_data)
    return invited


class Command(commands.Command):
    """Bring tables, roles and capabilities in line, make the first organization with its year and series, load
    reference data and the texts of messages, and invite the first super administrator.

    The invitation's link is printed once, beside the mail that carries it."""

    help = "Prepare an empty database. Flags or BOOTSTRAP_* variables name the organization and the administrator."
    examples = (
        "--dry-run --name 'Kapas House' --legal-name 'Kapas House LLP' --legal-form llp --pan ZZZFK4321L"
        " --llpin ZZZ1001 --line1 Mandvi --city Mumbai --state-code 27 --pin-code 400003"
        " --admin-email owner@kapas.in",
    )

    def add_arguments(self, parser: ArgumentParser) -> None:
        for field in FIELDS:
            parser.add_argument(
                f"--{field.replace('_', '-')}",
                default="",
                help=f"the organization's {field.replace('_', ' ')}",
            )
        parser.add_argument(
            "--admin-email", default="", help="who is invited as the first super administrator"
        )
        parser.add_argument("--admin-name", default="", help="the administrator's full name")
        parser.add_argument("--year-start", default="", help="first day of an incomplete first year")
        parser.add_argument("--dry-run", action="store_true", help="report what would be done, save nothing")
        self.add_json(parser)

    def handle(self, *args: Any, **options: Any) -> None:
        asked = {field: _asked(field, options) for field in FIELDS}
        email = _asked("admin_email", options)
        if settings.PRODUCTION and (asked["pan"] == FIRM["pan"] or email.endswith(DEMO_MAIL)):
            raise CommandError("The demo's values are not allowed in production.", returncode=commands.USAGE)
        try:
            text = _asked("year_start", options)
            start = date.fromisoformat(text) if text else None
        except ValueError:
            raise CommandError(
                "--year-start: send a date as YYYY-MM-DD.", returncode=commands.USAGE
            ) from None
        if not options["dry_run"]:
            call_command("migrate", verbosity=0)
        done = [f"{d.operation} {d.kind} {d.name}" for d in access.sync(check=options["dry_run"])]
        link = ""
        try:
            with unit_of_work(SYSTEM):
                done += bootstrap(asked, start)
                done += places()
                done += goods()
                done += [f"text {text}" for text in notifications.load_templates(actor=SYSTEM)]
                if (invited := administrator(email, _asked("admin_name", options))) is not None:
                    done.append(f"invitation of {invited.full_name}")
                    link = f"{settings.PUBLIC_URL}/invitation#{secrets.invitation_of(invited)}"
                if options["dry_run"]:
                    raise Undone
        except Undone:
            pass
        except DomainError as error:
            faults = "".join(f"\n  {_flag(fault.pointer)}: {fault.detail}" for fault in error.errors)
            raise CommandError(f"{error.detail}{faults}", returncode=commands.USAGE) from None
        output: dict[str, Any] = {"changed": done, "dry_run": options["dry_run"]}
        lines = done or ["nothing to do"]
        if link and not options["dry_run"]:
            output["invitation"] = link
            lines = [*lines, "", f"The administrator accepts the invitation within 7 days: {link}"]
        commands.finish(self, output, lines, as_json=options["json"])


def _asked(field: str, options: dict[str, Any]) -> str:
    return options[field] or os.environ.get(f"BOOTSTRAP_{field.upper()}", "")


def _flag(pointer: str) -> str:
    return "--" + pointer.strip("/").replace("_", "-")
