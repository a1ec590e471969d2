"""A trading house at work: branches, partners, offers, reservations, approvals, jobs and failures to try things with.

Everything is made through services, by the people who would do it. The same seed makes the same rows with the same
ids. A second run adds what is missing.
"""

import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import date, time, timedelta
from decimal import Decimal
from pathlib import Path
from random import Random
from typing import Any, Final

from django.conf import settings
from django.db import transaction
from stdnum import luhn

from apps.accounts.models import CapabilityChange, User
from apps.accounts.services import rights
from apps.approvals import services as approvals
from apps.approvals.models import ApprovalRequest
from apps.availability.models import Availability
from apps.availability.services import decisions, offers, stock
from apps.commodities.models.commodities import Commodity
from apps.commodities.models.terms import DeliveryTerms, PassingTerms, PaymentTerms, WeighmentTerms
from apps.commodities.seasons import season_of
from apps.commodities.services import imports as commodities
from apps.matching.models import Match
from apps.matching.services import deciding, runs
from apps.negotiations.models import Negotiation
from apps.negotiations.services import decisions as ended
from apps.negotiations.services import offers as bidding
from apps.notifications import notices
from apps.notifications import services as notifications
from apps.notifications.models import Message
from apps.organization.models import BankAccount, Calendar, GstRegistration, Organization
from apps.organization.services import accounts, calendars, identity, registrations, series, years
from apps.partners.models import CreditAccount, Partner
from apps.partners.services import credit
from apps.requirement.models import Requirement
from apps.requirement.services import decisions as requirement_decisions
from apps.requirement.services import ledger
from apps.requirement.services import requirements as wanted
from apps.risk.models import CurrencyRate, ProviderCheck, ScreeningList, TradeFact
from apps.risk.services import facts, policies, rates, screening, surveillance
from apps.trades.services import tax_rules
from config.demo_deals import trades
from config.demo_partners import onboard
from erp import clock, ids
from erp.access import SYSTEM
from erp.embedded import stranger
from erp.files import CSV, Upload
from erp.jobs.models import Job
from erp.jobs.tasks import work
from erp.outbox import endpoint, wire

OFFERS: Final = 60
REQUIREMENTS: Final = 16
DRAFTS, PENDING = 9, 12  # of each ten offers one or two; the others are on the market
FISCAL_START = 2026


@dataclass(frozen=True)
class Firm:
    """A partner of the demo, and its user."""

    name: str
    legal_form: str
    email: str
    person: str
    roles: tuple[str, ...]
    trade_name: str = ""
    town: str = ""  # where its goods are stored: sellers only
    district: str = ""
    state: str = ""


FIRMS: Final = (
    Firm("Shree Somnath Ginning & Pressing", "partnership", "seller@demo.example", "Somnath Office",
         ("PARTNER_ADMIN", "SELLER"), "Somnath Ginning", "Station Road, Gondal", "Rajkot", "GJ"),
    Firm("Kovai Spinners Pvt Ltd", "private_limited", "buyer@demo.example", "Kovai Office",
         ("PARTNER_ADMIN", "BUYER")),
    Firm("Vidarbha Cotton Ginners LLP", "llp", "ginner@demo.example", "Sunita Thakre",
         ("PARTNER_ADMIN", "SELLER"), "", "MIDC Lohara, Yavatmal", "Yavatmal", "MH"),
    Firm("Adilabad Kapas Growers' Co-operative Society", "cooperative_society", "growers@demo.example",
         "Ramulu Naik", ("PARTNER_ADMIN", "SELLER"), "Adilabad Growers", "Market Yard, Adilabad", "Adilabad", "TS"),
    Firm("Malwa Fibres", "proprietorship", "trader@demo.example", "Harpreet Singh Gill",
         ("PARTNER_ADMIN", "TRADER"), "", "Mansa Road, Bathinda", "Bathinda", "PB"),
    Firm("Erode Textile Mills Ltd", "public_limited", "mill@demo.example", "Kavitha Subramaniam",
         ("PARTNER_ADMIN", "BUYER")),
    Firm("Mumbadevi Cotton Brokers LLP", "llp", "broker@demo.example", "Nilesh Parekh",
         ("PARTNER_ADMIN", "BROKER")),
    Firm("Saurashtra Roadways", "proprietorship", "transport@demo.example", "Bharat Chauhan",
         ("PARTNER_ADMIN", "SERVICE_PROVIDER")),
)  # fmt: skip

SOMNATH, KOVAI, MUMBADEVI = (FIRMS[number].name for number in (0, 1, 6))
# PAN and GSTIN are fictitious.
SECOND: Final[dict[str, Any]] = {
    "name": "Demo Fibres",
    "legal_name": "Demo Fibres LLP",
    "legal_form": "llp",
    "pan": "ZZZFD6006E",
    "llpin": "ZZZ-6006",
    "line1": "Cotton Market Yard, Chuttugunta",
    "city": "Guntur",
    "state_code": "37",
    "pin_code": "522004",
}
SETTLED: Final = (  # buyer, seller
    ("Kovai Spinners Pvt Ltd", "Shree Somnath Ginning & Pressing"),
    ("Erode Textile Mills Ltd", "Vidarbha Cotton Ginners LLP"),
)
DEMO_LIST: Final = Path(__file__).resolve().parents[1] / "apps" / "risk" / "data" / "demo_list.csv"
GST_STATES: Final = {"GJ": "24", "MH": "27", "TS": "36", "PB": "03", "": "33"}
HOME: Final = "Demo Cotton Exchange"
BRANCHES: Final = {  # branch code → organization, state, PIN code, town, street
    "RJK": (HOME, "24", "360001", "Rajkot", "Gondal Road"),
    "CBE": (HOME, "33", "641018", "Coimbatore", "Avinashi Road"),
    "YTL": (HOME, "27", "445001", "Yavatmal", "Darwha Road"),
    "GNT": ("Demo Fibres", "37", "522004", "Guntur", "Cotton Market Yard"),
    "ADB": ("Demo Fibres", "36", "504001", "Adilabad", "Market Yard Road"),
}
CALENDARS: Final = {
    "RBI": ("Banks in Mumbai", (7,), None),
    "MCX": ("Multi Commodity Exchange", (6, 7), time(21, 0)),
    "GJ": ("State of Gujarat", (7,), None),
}
HOLIDAYS: Final = (
    (date(2026, 8, 15), "Independence Day"),
    (date(2026, 10, 2), "Gandhi Jayanti"),
    (date(2026, 11, 9), "Diwali"),
    (date(2026, 12, 25), "Christmas"),
    (date(2027, 1, 26), "Republic Day"),
)
BANKS: Final = (  # bank, branch, IFSC, number, whether a second person has approved it
    ("HDFC Bank", "Kalbadevi", "HDFC0000355", "50200099990011", True),
    ("State Bank of India", "Mumbai Main", "SBIN0000300", "39999900112", False),
)
# Unit's weight in kg, least and most quantity, price, what was tested, and what the note says.
GOODS: Final = (
    ("COTTON", "BALE", 170, (50, 400), 53_500,
     {"staple_length": "29.0", "micronaire": "3.90", "strength": "28.6", "rd": "76.0",
      "trash": "3.2", "moisture": "8.0"},
     "Shankar-6, 29 mm, mic 3.8–4.5, RD 76, moisture up to 8 %, trash up to 3.5 %."),
    ("COTTON", "BALE", 170, (100, 600), 61_200,
     {"staple_length": "32.0", "micronaire": "3.60", "strength": "30.1", "rd": "77.0",
      "trash": "2.4", "moisture": "7.8"},
     "MCU-5, 32 mm, mic 3.2–4.0, RD 77, roller ginned, FP bales."),
    ("COTTON", "BALE", 165, (50, 300), 50_900,
     {"staple_length": "27.0", "micronaire": "4.40", "strength": "26.2", "trash": "3.8", "moisture": "8.0"},
     "J-34, 27 mm, mic 4.2–4.8, saw ginned, moisture up to 8 %."),
    ("COTTON", "BALE", 170, (50, 250), 54_700,
     {"staple_length": "30.0", "micronaire": "3.90", "strength": "29.0", "rd": "75.0",
      "trash": "2.9", "moisture": "8.1"},
     "Bunny Brahma, 30 mm, mic 3.5–4.3, RD 75, trash up to 3 %."),
    ("KAPAS", "QTL", 100, (200, 900), 7_450,
     {"staple_length": "29.0", "moisture": "9.5", "outturn": "34.00", "foreign_matter": "1.5"},
     "Long staple kapas, moisture up to 10 %, outturn 34 %."),
    ("COTTON_SEED", "QTL", 100, (100, 500), 3_350,
     {"oil": "18.00", "moisture": "8.6", "ffa": "1.10", "foreign_matter": "0.9"},
     "Undecorticated, oil about 18 %, moisture up to 9 %."),
)  # fmt: skip
OFFER_TERMS: Final = {
    DeliveryTerms: "EX_GIN",
    PaymentTerms: "ADVANCE_100",
    PassingTerms: "SELLER_PASS",
    WeighmentTerms: "ORIGIN_FINAL",
}
TABLES: Final = {  # imports: file name → mode, lines
    "varieties-2026.csv": ("atomic", ("COTTON,H-1353,H-1353", "COTTON,RCH-659,RCH-659", "COTTON,AJEET-155,Ajeet-155")),
    "varieties-north.csv": ("partial", ("COTTON,LH-2108,LH-2108", "CTN,F-2228,F-2228", "COTTON,BIO-100,Bio-100")),
    "varieties-old.csv": ("atomic", ("COTTN,LRA-5166,LRA-5166", "COTTON,,Digvijay")),
}  # fmt: skip
UNDELIVERED: Final = {  # address → notice, what the mail server answered
    "growers@demo.example": (notices.NEW_SIGN_IN, "refused_550"),
    "transport@demo.example": (notices.ACCOUNT_LOCKED, "refused_552"),
    "broker@demo.example": (notices.NEW_SIGN_IN, "refused_550"),
}


def fill(invite: Callable[..., Any], seed: int = 1) -> list[str]:
    """Add what is missing; return what was added. ``invite`` makes a user who can sign in."""
    return [
        f"{count} {what}"
        for what, steps in {
            "branches": _branches(),
            "calendars": _calendars(),
            "partners": _partners(invite),
            "credit limits": _credit_limits(),
            "offers": _offers(seed),
            "requirements": _requirements(seed),
            "risk rows": _risk(),
            "matches": _matches(),
            "negotiations": _negotiations(seed),
            "trades": trades(seed),
            "bank accounts": _bank_accounts(),
            "proposed rights": _rights(),
            "imports": _imports(),
            "undelivered messages and dead letters": _failures(),
        }.items()
        if (count := sum(1 for _ in steps))
    ]


def make_partner(firm: Firm) -> Partner:
    """Return the partner, made where it is missing: the only place that makes partners of the demo."""
    partner: Partner | None = Partner.objects.filter(legal_name=firm.name).first()
    if partner is None:
        with _named(f"partner {firm.name}"):
            roles = tuple(role.lower() for role in firm.roles if role != "PARTNER_ADMIN")
            partner = onboard(
                firm.name,
                firm.legal_form,
                trade_name=firm.trade_name,
                roles=roles,
                state=GST_STATES[firm.state],
                service_kind="transporter" if "service_provider" in roles else "",
            )
    return partner


def screen() -> Iterator[Any]:
    """Load the screening list where there is none, and compare the partners that weren't compared with a list yet."""
    if not ScreeningList.objects.exists():
        with _named("screening list"):
            yield screening.load_list(
                actor=SYSTEM, code="DEMO", source="Bundled list of invented parties",
                snapshot_date=clock.today(), content=DEMO_LIST.read_bytes(),
            )  # fmt: skip
    done = ProviderCheck.objects.filter(
        kind=ProviderCheck.Kind.SCREENING, status=ProviderCheck.Status.ANSWERED
    )
    for firm in Partner.objects.exclude(pk__in=done.values("partner")).order_by("pk"):
        with _named(f"screening of {firm.legal_name}"):
            yield screening.screen_partner(firm, actor=SYSTEM)


@contextmanager
def _named(label: str, position: int = 0) -> Iterator[None]:
    with ids.repeatable(f"demo {label}", position):
        yield


def _person(email: str) -> User:
    user: User = User.objects.get(email=email)
    return user


def _branches() -> Iterator[Any]:
    finance, director = _person("finance@demo.example"), _person("director@demo.example")
    if not Organization.objects.filter(pan=SECOND["pan"]).exists():
        with _named("organization 2"):
            second = identity.create(actor=director, **SECOND)
            start = clock.today().year - (clock.today().month < 4)
            year = years.add_financial_year(
                second, actor=director, start_date=date(start, 4, 1), end_date=date(start + 1, 3, 31)
            )
            for kind, template in (("trade", "DF-T-{FY}-{N:5}"), ("contract_note", "DF-CN-{FY}-{N:5}")):
                series.add_document_series(
                    second, actor=SYSTEM, financial_year=year, document_type=kind, template=template
                )
            tax_rules.load_approval_bands(actor=SYSTEM)
    for branch, (name, state, pin_code, city, street) in BRANCHES.items():
        organization = Organization.objects.get(name=name)
        if not GstRegistration.objects.filter(organization=organization, branch_code=branch).exists():
            with _named(f"branch {branch}"):
                yield registrations.add_gst_registration(
                    organization,
                    actor=finance if organization.pk == finance.organization_id else director,
                    gstin=_gstin(organization, state),
                    branch_code=branch,
                    valid_from=date(FISCAL_START, 4, 1),
                    line1=street,
                    city=city,
                    state_code=state,
                    pin_code=pin_code,
                )


def _gstin(organization: Organization, state: str) -> str:
    """A GSTIN with a valid check digit; each further one in a state counts up."""
    others = GstRegistration.objects.filter(organization=organization, state_code=state).count()
    start = f"{state}{organization.pan}{others + 1}Z"
    return start + luhn.calc_check_digit(start, "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZ")


def _calendars() -> Iterator[Any]:
    finance = _person("finance@demo.example")
    for code, (name, weekly_off, closes_at) in CALENDARS.items():
        if Calendar.objects.filter(code=code).exists():
            continue
        with _named(f"calendar {code}"):
            calendar = calendars.create_calendar(
                actor=finance, code=code, name=name, weekly_off=weekly_off, closes_at=closes_at
            )
            for day, occasion in HOLIDAYS:
                calendars.set_calendar_day(calendar, actor=finance, day=day, name=occasion)
        yield calendar


def _partners(invite: Callable[..., Any]) -> Iterator[Any]:
    for firm in FIRMS:
        partner = make_partner(firm)
        if invite(
            firm.email, firm.person, user_type=User.Type.EXTERNAL, partner_id=partner.pk, roles=firm.roles
        ):
            yield partner


def _offers(seed: int) -> Iterator[Any]:
    """Drafts, offers that wait for approval, and offers on the market with reservations."""
    sellers = [firm for firm in FIRMS if firm.town]
    manager = _person("manager@demo.example")
    buyers = [_person(email) for email in ("buyer@demo.example", "mill@demo.example")]
    goods = {row.code: row for row in Commodity.objects.filter(code__in={each[0] for each in GOODS})}
    terms = [model.objects.get(code=code) for model, code in OFFER_TERMS.items()]
    for number in range(1, OFFERS + 1):
        random, reference = Random(f"{seed} {number}"), f"DEMO-{seed}-{number:03}"  # noqa: S311 - not for secrets
        firm = sellers[number % len(sellers)]
        code, unit, unit_kg, (least, most), price, tested, note = random.choice(GOODS)
        quantity = Decimal(random.randrange(least, most + 1, 10))
        if Availability.objects.filter(internal_reference=reference).exists():
            continue
        with _named(f"offer {seed} {number}", number):
            offer = offers.post(
                actor=_person(firm.email),
                commodity=goods[code],
                unit=unit,
                submit=number > DRAFTS,
                content={
                    "total_quantity": quantity,
                    "total_weight_kg": quantity * unit_kg,
                    "weight_basis": random.choice(["ESTIMATED", "DECLARED"]),
                    "crop_year": season_of(clock.today(), 10),
                    "place": {
                        "address": firm.town,
                        "country": "IN",
                        "state_code": firm.state,
                        "district": firm.district,
                    },
                    "unit_price": Decimal(price + random.randrange(-20, 21) * 10),
                    "tax_condition": "NOT_SEED_QUALITY" if code == "COTTON_SEED" else None,
                    "price_public": number % 3 == 0,
                    "delivery_term": terms[0],
                    "payment_term": terms[1],
                    "passing_term": terms[2],
                    "weighment_term": terms[3],
                    "available_from_date": clock.today() + timedelta(days=random.randrange(5)),
                    "available_until_date": clock.today() + timedelta(days=random.randrange(14, 75)),
                    "min_order_quantity": random.choice([None, Decimal(10), Decimal(50)]),
                    "max_hold_hours": random.choice([24, 48, 72]),
                    "internal_reference": reference,
                    "notes": note,
                    "quality": [{"parameter": name, "value": value} for name, value in tested.items()],
                    "lots": _lots(number, quantity) if unit == "BALE" else [],
                },
            )
            if number > DRAFTS + PENDING:
                offer = decisions.approve(offer, actor=manager, note="Samples and weighment slips seen.")
                _reservations(offer, random, buyers)
        yield offer


def _lots(number: int, quantity: Decimal) -> list[dict[str, Any]]:
    """Two lots with press-running numbers that no other offer has."""
    half = int(quantity) // 2
    start = number * 1000
    return [
        {"lot_no": f"{number:03}-A", "press_mark": "DEMO", "pr_from": start, "pr_to": start + half - 1, "bales": half},
        {
            "lot_no": f"{number:03}-B", "press_mark": "DEMO", "pr_from": start + half,
            "pr_to": start + int(quantity) - 1, "bales": int(quantity) - half,
        },
    ]  # fmt: skip


def _reservations(offer: Availability, random: Random, buyers: list[User]) -> None:
    """Reserve parts of two offers of three; one reservation of four is released in part."""
    for buyer in buyers[: random.randrange(3)]:
        part = offer.total_quantity / 5 // 10 * 10
        if part < (offer.min_order_quantity or 1):
            continue
        reservation = stock.reserve(offer, actor=buyer, quantity=part)
        if random.randrange(4) == 0:
            stock.release(offer, actor=buyer, reservation_id=reservation.pk, quantity=None)


def _requirements(seed: int) -> Iterator[Any]:
    """Drafts, large requirements that wait for approval, live ones, some partly bought, and a cancelled one."""
    manager = _person("manager@demo.example")
    buyers = [_person(email) for email in ("buyer@demo.example", "mill@demo.example", "trader@demo.example")]
    cotton = Commodity.objects.get(code="COTTON")
    known = set(cotton.quality_parameters.values_list("code", flat=True))
    for number in range(1, REQUIREMENTS + 1):
        random, reference = Random(f"want {seed} {number}"), f"DEMO-{seed}-{number:03}"  # noqa: S311 - not for secrets
        if Requirement.objects.filter(internal_reference=reference).exists():
            continue
        is_large = number in (3, 4)
        today, length = clock.today(), Decimal(random.choice(("27.0", "28.5", "29.5")))
        bands = [
            {"parameter": "staple_length", "minimum": length, "required": True},
            {
                "parameter": "micronaire",
                "minimum": Decimal("3.6"),
                "maximum": Decimal("4.6"),
                "required": True,
            },
            {"parameter": "trash", "maximum": Decimal("4.0")},
        ]
        buyer = buyers[number % len(buyers)]
        with _named(f"requirement {seed} {number}", number):
            row = wanted.create(
                actor=buyer,
                commodity=cotton,
                content={
                    "max_quantity": Decimal(600 if is_large else random.randrange(50, 300, 10)),
                    "kg_per_count": Decimal(170),
                    "ceiling_price": Decimal(random.randrange(52_000, 58_000, 50)),
                    "pricing_unit": cotton.pricing_unit,
                    "delivery_from_date": today + timedelta(days=random.randrange(10)),
                    "delivery_until_date": today + timedelta(days=random.randrange(14, 60)),
                    "bands": [band for band in bands if band["parameter"] in known],
                    "places": [
                        {
                            "latitude": Decimal("11.016844"),
                            "longitude": Decimal("76.955833"),
                            "state_code": "TN",
                        }
                    ],
                    "urgency": random.choice(["URGENT", "NORMAL", "NORMAL", "PLANNING"]),
                    "visibility": random.choice(["PUBLIC", "MATCHED_ONLY"]),
                    "internal_reference": reference,
                },
                publish=number > 2,
            )
            if number == 4:
                row = requirement_decisions.approve(row, actor=manager, note="The mill has the storage.")
            elif number == 5:
                row = wanted.cancel(row, actor=buyer, reason_code="BOUGHT_ELSEWHERE")
            elif number % 5 == 0:
                part = row.max_quantity / 2 // 1
                row = ledger.fulfill(
                    row, actor=manager, quantity=part, amount=part * 25_000, currency="INR",
                    reason="Bought before the house used this system.",
                )  # fmt: skip
        yield row


def _risk() -> Iterator[Any]:
    """A screening list with a hit to decide, rates, settled trades and their ratings, an alert, a proposed policy."""
    compliance, manager = _person("compliance@demo.example"), _person("manager@demo.example")
    firms = {partner.legal_name: partner for partner in Partner.objects.order_by("pk")}
    yield from screen()
    for currency, rate in (("USD", "88.50"), ("EUR", "96.20")):
        if not CurrencyRate.objects.filter(currency=currency).exists():
            with _named(f"rate of {currency}"):
                yield rates.record_rate(
                    actor=compliance, currency=currency, date=clock.today(), rate=Decimal(rate), source="RBI"
                )
    if TradeFact.objects.exists():
        return
    for number in range(8):
        buyer, seller = SETTLED[number % len(SETTLED)]
        offer = Availability.objects.filter(seller_partner=firms[seller]).order_by("number").first()
        with _named(f"settled trade {number}"):
            day = clock.today() - timedelta(days=20 + number)
            trade_id, kg, is_late = ids.uuid7(), Decimal(17_000), number == 3
            fact = facts.fact_created(
                actor=SYSTEM, trade_id=trade_id, buyer=firms[buyer], availability=offer, quantity_kg=kg,
                price=Decimal("150.44"), trade_date=day, lot_ids=[],
            )  # fmt: skip
            facts.fact_executed(actor=SYSTEM, trade_id=trade_id)
            amount = Decimal("2685354.00")
            facts.record_performance(
                actor=SYSTEM, trade_id=trade_id, settled_date=day + timedelta(days=15), due_amount=amount,
                paid_in_time_amount=Decimal(0) if is_late else amount, due_kg=kg, in_window_kg=kg, lots=1,
                lots_passed=1, disputed=number == 6,
            )  # fmt: skip
        yield fact
    for name in sorted({name for pair in SETTLED for name in pair}):
        facts.rate(firms[name], actor=SYSTEM)
    with _named("risk desk"):
        surveillance.report_limit(
            actor=SYSTEM,
            partner_id=firms["Erode Textile Mills Ltd"].pk,
            level="high",
            utilisation=Decimal("91.20"),
        )
        yield surveillance.block_pair(
            actor=manager, partner=firms["Mumbadevi Cotton Brokers LLP"], other_partner=firms["Saurashtra Roadways"],
            reason="Both ask not to be put together again.",
        )  # fmt: skip
        yield policies.propose_policy(
            actor=compliance, body={"warn_below": 65}, reason="Warn about more partners before the season."
        )


def _matches() -> Iterator[Any]:
    """What suits the live requirements; of some the buyer has approved the best, of others the seller rejected it."""
    for number, want in enumerate(Requirement.objects.live().order_by("number")):
        if want.match_runs.exists():
            continue
        with _named(f"matches of {want.internal_reference}", number):
            matches = list(runs.find_for_requirement(want, actor=SYSTEM).matches)
        yield from matches
        if matches and number % 3 == 0:
            with _named(f"decision on {want.internal_reference}", number):
                deciding.approve(matches[0], actor=matches[0].requirement.created_by)
        elif matches and number % 3 == 1:
            with _named(f"decision on {want.internal_reference}", number):
                deciding.reject(matches[0], actor=matches[0].availability.created_by, reason="PRICE")


def _negotiations(seed: int) -> Iterator[Any]:
    """One negotiation of each status, from the best matches of the demo's requirements."""
    if Negotiation.objects.exists():
        return
    used: set[Any] = set()
    endings = list(Negotiation.Status)
    for match in (
        Match.objects.proposed()
        .filter(buyer_decision=None, seller_decision=None)
        .order_by("-score", "pk")
        .select_related("requirement", "availability")
    ):
        if not endings or used & {match.requirement_id, match.availability_id}:
            continue
        used |= {match.requirement_id, match.availability_id}
        with _named(f"negotiation {seed} {len(endings)}", len(endings)):
            yield _negotiate(match, endings.pop())


def _negotiate(match: Match, ending: str) -> Negotiation:
    """Start, bid and answer until the negotiation has the status."""
    buyer, seller = match.requirement.created_by, match.availability.created_by
    assert buyer is not None, "the demo's listings have authors"
    assert seller is not None
    row: Negotiation = bidding.start(actor=buyer, match=match)
    if ending == Negotiation.Status.EXPIRED:
        with transaction.atomic(), clock.transaction_time(row.expires_at):
            return ended.expire(row, actor=SYSTEM)  # type: ignore[no-any-return]
    ask = match.availability.price_for(match.proposed_quantity) or Decimal(53_500)
    row = bidding.offer(row, actor=buyer, price=ask - 500, message="Ready to lift within ten days.")
    if ending == Negotiation.Status.REJECTED:
        return ended.reject(row, actor=seller, reason="PRICE")  # type: ignore[no-any-return]
    row = bidding.offer(row, actor=seller, price=ask - 100)
    if ending == Negotiation.Status.WITHDRAWN:
        return ended.withdraw(row, actor=buyer, reason="TIMING")  # type: ignore[no-any-return]
    if ending == Negotiation.Status.ACCEPTED:
        row = ended.accept(row, actor=buyer, offer_id=row.standing_offer_id)
    return row


def _bank_accounts() -> Iterator[Any]:
    """An approved account, and one that waits for a second person."""
    finance, director = _person("finance@demo.example"), _person("director@demo.example")
    organization = Organization.objects.get(name=HOME)
    for bank, branch, ifsc, number, is_approved in BANKS:
        if BankAccount.objects.filter(organization=organization, ifsc=ifsc).exists():
            continue
        with _named(f"bank account {ifsc}"):
            account = accounts.add_bank_account(
                organization,
                actor=finance,
                holder=organization.legal_name,
                bank_name=bank,
                branch_name=branch,
                ifsc=ifsc,
                number=number,
                number_again=number,
                account_type="current",
                is_default=is_approved,
            )
            if is_approved:
                request = ApprovalRequest.objects.get(pk=account.approval_id)
                approvals.approve(
                    request, actor=director, subject_version=account.version, note="Cheque leaf seen."
                )
        yield account


def _credit_limits() -> Iterator[Any]:
    """Limits of buyers: a crore, which a second person approves, and one below the band."""
    finance, manager = _person("finance@demo.example"), _person("manager@demo.example")
    for name, amount in (
        ("Kovai Spinners Pvt Ltd", "10000000.00"),
        ("Erode Textile Mills Ltd", "2500000.00"),
    ):
        account = CreditAccount.objects.get(partner__legal_name=name)
        if account.limits.exists():
            continue
        with _named(f"credit limit of {name}"):
            limit = credit.set_credit_limit(
                account, actor=finance, amount=Decimal(amount), currency="INR", valid_from=clock.today(),
                payment_terms_days=15, reason="Turnover of the last year and three references.",
            )  # fmt: skip
            if limit.approval_id is not None:
                request = ApprovalRequest.objects.get(pk=limit.approval_id)
                approvals.approve(
                    request, actor=manager, subject_version=limit.version, note="References seen."
                )
        yield limit


def _rights() -> Iterator[Any]:
    """Rights that compliance proposed and another person decides."""
    compliance, manager = _person("compliance@demo.example"), _person("manager@demo.example")
    if not CapabilityChange.objects.filter(proposed_by=compliance).exists():
        with _named("right"):
            yield rights.propose_capability_change(
                actor=compliance,
                kind="single_grant",
                operation="add",
                user=manager,
                capability="organization.update",
                reason="Keeps the calendars while finance is on leave.",
            )


def _imports() -> Iterator[Any]:
    """One import that succeeded, one with refused rows, one that failed."""
    keeper = _person("masterdata@demo.example")
    for name, (mode, lines) in TABLES.items():
        if Job.objects.filter(file_name=name).exists():
            continue
        file = Upload(name, CSV, "\n".join(["commodity,code,name", *lines]).encode())
        with _named(f"import {name}"):
            job = commodities.bulk_upload(actor=keeper, file=file, kind="VARIETIES", mode=mode)
            work(str(job.pk))
        yield job


def _failures() -> Iterator[Any]:
    """Messages that the mail server refused, and a dead letter: a message of another system on the topic."""
    for number, (email, (notice, answer)) in enumerate(UNDELIVERED.items()):
        user = _person(email)
        if Message.objects.filter(user=user, status=Message.Status.FAILED).exists():
            continue
        with _named(f"message {email}", number):
            (message,) = notifications.notify(actor=SYSTEM, notice=notice, event_id=ids.uuid7(), user=user)
            notifications.begin(message, actor=SYSTEM)
            yield notifications.record_unsent(
                message, actor=SYSTEM, error_code=answer, provider="smtp", final=True
            )
        if number == 0 and settings.PUBSUB_EMULATOR_HOST:  # never the real service
            yield _dead_letter({"lorry": "GJ-03-BV-2210", "net_kg": "9130"})


def _dead_letter(content: dict[str, str]) -> str:
    """Put a message where Pub/Sub puts what a consumer refused five times."""
    source = endpoint.subscription_path(settings.PUBSUB_SUBSCRIPTION)
    return stranger.send(
        settings.PUBSUB_EMULATOR_HOST,
        endpoint.topic_path(settings.PUBSUB_DLQ_TOPIC),
        json.dumps(content).encode(),
        **{"sender": "weighbridge", wire.SOURCE_SUBSCRIPTION: source, wire.DELIVERIES: "5"},
    )
