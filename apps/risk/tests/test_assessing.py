"""Assessments: gates in order, credit of the proposed quantity, what is stored and what follows."""

import threading
from datetime import date, timedelta
from decimal import Decimal
from uuid import uuid4

import pytest
from django.db import IntegrityError, connection, transaction
from django.test.utils import CaptureQueriesContext

from apps.availability.models import Availability
from apps.availability.services import stock
from apps.availability.tests.factories import with_credit
from apps.partners.models import CreditAccount, CreditLimit, Partner, PartyLink, TaxRegistration
from apps.partners.services import exposure, links
from apps.requirement.models import Requirement
from apps.requirement.services import decisions as requirements
from apps.risk import engine
from apps.risk.models import CurrencyRate, RiskAssessment, RiskStatus
from apps.risk.services import assessing, rates
from apps.risk.services.checks import end_of
from apps.risk.tasks import reassess_due
from apps.risk.tests import factories
from erp import clock
from erp.access import SYSTEM
from erp.models import unguarded_writes
from erp.services import unit_of_work

pytestmark = pytest.mark.django_db


def recomputed(row):
    """Gates, score and status again, from what the row stores."""
    row = RiskAssessment.objects.select_related("policy").get(pk=row.pk)
    result = engine.judge(row.inputs, row.policy.content)
    stored = (row.gates, row.factors, row.score, row.status)
    return (result.gates, result.factors, result.score, result.status) == stored


def test_the_proposed_quantity_is_judged_not_the_whole_listing(deal, emitted):
    """§8.2: 10 of 1,000 bales are judged as 10; §8.7: what is stored recomputes, and no SQL changes it."""
    made = deal(limit=1_000_000)
    row = made.judge(10)
    # 1,700 kg ÷ 355.62 × 53,500 × 1.05, one rounding half up
    assert (row.status, row.value, row.currency) == ("PASS", Decimal("268538.05"), "INR")
    assert row.gate_codes == []
    assert row.score == 74
    big = made.judge(1_000)
    assert big.status == "FAIL"
    assert big.gate_codes == ["credit.exceeded", "provider.missing"]
    assert RiskAssessment.objects.newest(row.subject_key) == big
    assert recomputed(row)
    assert recomputed(big)
    assert [event.payload["status"] for event in emitted("risk.assessed")] == ["PASS", "FAIL"]
    assert "float" not in {type(value).__name__ for value in _leaves(row.inputs)}
    factories.policy(warn_below=80)  # a change of policy alters no old row
    assert made.judge(10).gate_codes == ["score.low"]
    assert recomputed(row)
    for statement in ("UPDATE risk_riskassessment SET score = 100", "DELETE FROM risk_riskassessment"):
        with pytest.raises(IntegrityError), transaction.atomic(), connection.cursor() as cursor:
            cursor.execute(statement)


def _leaves(value):
    if isinstance(value, dict | list):
        for each in value.values() if isinstance(value, dict) else value:
            yield from _leaves(each)
    else:
        yield value


def test_full_advance_needs_no_credit_and_no_limit_fails_on_credit_terms(deal):
    """§8.1."""
    unlimited = deal(limit=0, advance=0)
    assert unlimited.judge(10).gate_codes == ["credit.no_limit"]
    paid = deal(limit=0, advance=100)
    row = paid.judge(10)
    assert (row.status, row.value) == ("PASS", Decimal("0.00"))
    half = deal(limit=1_000_000, advance=50)
    assert half.judge(10).value == Decimal("134269.02")  # 134,269.023… once rounded
    with unguarded_writes():
        CreditLimit.objects.filter(partner=half.buyer).update(valid_to=clock.today())
    assert half.judge(10).valid_until == end_of(clock.today())  # the word ends with the limit
    with unguarded_writes():
        CreditLimit.objects.filter(partner=half.buyer).update(valid_to=None)
    factories.fact(
        half.buyer, half.seller, half.offer.commodity, overdue_amount=Decimal(5),
        overdue_since_date=clock.today() - timedelta(days=7),
    )  # fmt: skip
    assert half.judge(10).valid_until == end_of(clock.today())  # tomorrow the amount is later than 7 days
    with unguarded_writes():
        CreditLimit.objects.filter(partner=half.buyer).update(
            valid_from=clock.today() - timedelta(days=9), valid_to=clock.today() - timedelta(days=1)
        )
    assert half.judge(10).gate_codes == ["credit.no_limit"]


def test_the_hold_of_the_named_reservation_is_not_counted_twice(deal):
    """§8.2."""
    made = deal(limit=300_000)
    with transaction.atomic():
        held = stock.reserve(
            made.offer, actor=SYSTEM, quantity=Decimal(10), holder_partner=made.buyer, match_id=uuid4(),
            unit_price=made.offer.unit_price,
        )  # fmt: skip
    assert held.credit_amount == Decimal("268538.05")
    assert made.judge(10).gate_codes == ["credit.exceeded", "score.low"]
    assert made.judge(10, reservation_id=held.pk).gate_codes == ["credit.thin"]


@pytest.mark.django_db(transaction=True)
def test_parallel_trades_never_pass_the_limit_whatever_the_assessments_said(deal):
    """§8.2: the hold under the account's lock stops them."""
    made = deal(limit=600_000)
    done, barrier = [], threading.Barrier(8)

    def trade():
        barrier.wait()
        try:
            with transaction.atomic(), unit_of_work(SYSTEM):
                row = made.judge(10)
                exposure.take_hold(
                    actor=SYSTEM, partner=made.buyer, amount=row.value, entry_key=str(uuid4()),
                    source=exposure.Source("reservation", uuid4()),
                )  # fmt: skip
                done.append(row.status)
        except exposure.CreditExceeded:
            done.append("exceeded")
        finally:
            connection.close()

    threads = [threading.Thread(target=trade) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(done) == 8
    assert done.count("exceeded") == 6
    account = CreditAccount.objects.select_related("partner").get(partner=made.buyer)
    assert account.exposure == Decimal("537076.10") <= account.limit


def _register(partner, gstin):
    with unguarded_writes():
        row = TaxRegistration(partner=partner, claimed=True, state_code=gstin[:2])
        row.gstin = gstin
        row.save()


def _link(one, other, kind="pan", strength="block"):
    low, high = factories.ids(one, other)
    with unguarded_writes():
        row = PartyLink(low_id=low, high_id=high, kind=kind, strength=strength, evidence=[kind])
        row.save()
        links.regroup(low)
    return row


def test_related_parties_never_trade_also_through_a_third(deal, partner, emitted):
    """§8.3: one PAN in two GSTINs; A–B and B–C fail A–C; clearing B–C frees it. Nothing tells the key."""
    made = deal()
    assert made.judge(10).status == "PASS"
    _register(made.buyer, "24ZZZFS1001A1ZK")
    _register(made.seller, "27ZZZFS1001A1ZE")
    for firm in (made.buyer, made.seller):
        links.find_links(firm, actor=SYSTEM)
    row = made.judge(10)
    assert (row.status, row.gate_codes) == ("FAIL", ["party.block", "party.warn"])  # and one address
    told = str(row.gates) + str(row.inputs) + str(emitted("risk.assessed")[-1].payload)
    assert "ZZZFS1001A" not in told
    assert made.buyer.legal_name not in told
    assert assessing.own_reasons(row, "BUYER") == assessing.own_reasons(row, "SELLER") == []
    with unguarded_writes():
        PartyLink.objects.all().update(status="cleared", cleared_until_date=clock.today())
        TaxRegistration.objects.update(claimed=False)
        links.regroup(made.buyer.pk)
    assert made.judge(10).status == "PASS"
    middle = partner()
    _link(made.buyer, middle)
    second = _link(middle, made.seller)
    assert made.judge(10).gates[0]["evidence"] == {"shared": ["group"]}
    with unguarded_writes():
        PartyLink.objects.filter(pk=second.pk).update(status="cleared", cleared_until_date=clock.today())
        links.regroup(second.low_id)
        links.regroup(made.buyer.pk)
        links.regroup(made.seller.pk)
    assert made.judge(10).status == "PASS"
    _link(made.buyer, made.seller, "phone", "warn")
    warned = made.judge(10)
    assert (warned.status, warned.gate_codes) == ("WARN", ["party.warn"])


def test_an_unready_partner_fails_and_each_side_reads_its_own_codes(deal):
    """§8.10: a seller never learns that a buyer lacks credit."""
    made = deal(limit=100_000)
    with unguarded_writes():
        Partner.objects.filter(pk=made.seller.pk).update(kyc_expiry_date=clock.today() - timedelta(days=90))
    row = made.judge(10)
    assert row.gate_codes == ["partner.not_ready", "credit.exceeded"]
    assert assessing.own_reasons(row, "SELLER") == ["partner.not_ready"]
    assert assessing.own_reasons(row, "BUYER") == ["credit.exceeded"]
    assert assessing.answer_for(row) == "not_allowed"


def test_amounts_past_due_are_reviewed_then_fail(deal, partner):
    """Rulings §5: above 10,000 rupees, more than 7 days REVIEW, more than 30 FAIL."""
    made = deal()
    owed = {"overdue_amount": Decimal("10000.01")}
    fact = factories.fact(
        made.buyer,
        made.seller,
        made.offer.commodity,
        **owed,
        overdue_since_date=clock.today() - timedelta(days=7),
    )
    outcomes = []
    for days, amount in ((7, "10000.01"), (8, "10000.01"), (8, "10000"), (31, "10000.01")):
        with unguarded_writes():
            fact.overdue_since_date = clock.today() - timedelta(days=days)
            fact.overdue_amount = Decimal(amount)
            fact.save()
        outcomes.append(made.judge(10).status)
    assert outcomes == ["PASS", "REVIEW", "PASS", "FAIL"]


def test_another_currency_is_converted_at_a_rate_of_the_week_or_reviewed(deal):
    """Rulings R1: no rate is REVIEW, without an override."""
    made = deal(limit=100_000_000)
    quoted = made.offer.pricing_unit
    asked = {"pricing_unit": quoted, "currency": "USD", "price": Decimal(600)}
    assert made.judge(10, **asked).gate_codes[:1] == ["credit.unknown"]
    day = clock.today() - timedelta(days=7)
    rates.record_rate(actor=SYSTEM, currency="USD", date=day, rate=Decimal("88.5"), source="RBI")
    row = made.judge(10, **asked)
    assert row.value == Decimal("266530.29")
    assert row.gate_codes == []
    old = rates.record_rate(
        actor=SYSTEM, currency="EUR", date=day - timedelta(days=1), rate=Decimal(96), source="RBI"
    )
    assert rates.rate_on("EUR", clock.today()) is None
    assert rates.rate_on("EUR", old.date) == old
    newer = rates.record_rate(actor=SYSTEM, currency="USD", date=day, rate=Decimal(89), source="RBI")
    assert rates.rate_on("USD", clock.today()) == newer
    assert CurrencyRate.objects.count() == 3
    with pytest.raises(rates.RateInvalid):
        rates.record_rate(actor=SYSTEM, currency="INR", date=day, rate=Decimal(1), source="RBI")


def test_a_wrong_rate_is_corrected_back_and_the_feed_repeats_no_mistake(user):
    person = user("INTERNAL_COMPLIANCE")

    def record(rate, actor=person):
        rates.record_rate(actor=actor, currency="USD", date=clock.today(), rate=Decimal(rate), source="RBI")
        return rates.rate_on("USD", clock.today()).rate

    assert record("8.85", SYSTEM) == Decimal("8.85")
    assert [record(rate) for rate in ("88.50", "8.85", "88.50", "88.50")] == [
        Decimal(rate) for rate in ("88.50", "8.85", "88.50", "88.50")
    ]
    assert record("8.85", SYSTEM) == Decimal("88.50")
    assert CurrencyRate.objects.count() == 4


@pytest.mark.django_db(transaction=True)
def test_a_mark_set_while_a_subject_is_assessed_is_not_lost(partner, monkeypatch):
    firm = partner(roles=("seller",))
    assessing.assess_partner(actor=SYSTEM, partner=firm, side="SELLER")
    with unguarded_writes():
        RiskStatus.objects.update(stale=True)
    read, threads = assessing._read, []

    def mark():
        try:
            assessing.mark_stale(actor=SYSTEM)
        finally:
            connection.close()

    def reads(*arguments):
        reading = read(*arguments)
        threads.append(threading.Thread(target=mark))
        threads[-1].start()
        threads[-1].join(0.5)
        return reading

    monkeypatch.setattr(assessing, "_read", reads)
    assessing.reassess(actor=SYSTEM, status=RiskStatus.objects.get())
    threads[0].join()
    assert RiskStatus.objects.get().stale


def test_a_requirement_that_has_ended_is_not_reactivated_by_a_late_word(requirement):
    row = requirements.record_risk(requirement(), actor=SYSTEM, risk_status="FAIL")
    with unguarded_writes():
        Requirement.objects.filter(pk=row.pk).update(status="CANCELLED")
    row = requirements.record_risk(Requirement.objects.get(pk=row.pk), actor=SYSTEM, risk_status="PASS")
    assert (row.status, row.risk_status) == ("CANCELLED", "PASS")


def test_a_requirement_is_judged_by_its_smallest_and_its_largest_deal(requirement, user, partner, offer):
    """§5.2: at ceiling price; of several terms the one that needs least credit; without a price not at all."""
    factories.gst()
    buyer = with_credit(partner(roles=("buyer",)), 1_000_000)
    terms = offer(advance=0).payment_term
    made = requirement(buyer=user("BUYER", of=buyer), min_quantity=Decimal(10), payment_term_ids=[terms])
    row = assessing.assess_requirement(actor=SYSTEM, requirement=made)
    assert row.gate_codes == ["credit.partial", "credit.thin"][:1]
    assert (row.status, row.value, row.side) == ("WARN", Decimal("271047.75"), "BUYER")  # 10 at 54,000 + 5 %
    assert recomputed(row)
    assert row.requirement_version == made.terms_version
    paid = offer().payment_term
    with unguarded_writes():
        Requirement.objects.filter(pk=made.pk).update(payment_term_ids=[terms.pk, paid.pk])
    row = assessing.precheck(Requirement.objects.get(pk=made.pk), actor=SYSTEM)
    assert (row.status, row.value) == ("PASS", Decimal("0.00"))
    with unguarded_writes():
        Requirement.objects.filter(pk=made.pk).update(status="CANCELLED", expires_at=None)
    with pytest.raises(assessing.SubjectClosed):
        assessing.precheck(Requirement.objects.get(pk=made.pk), actor=SYSTEM)


def test_a_partner_is_assessed_on_a_side_that_it_holds(partner, emitted):
    firm = partner(roles=("seller",))
    row = assessing.assess_partner(actor=SYSTEM, partner=firm, side="SELLER")
    word = RiskStatus.objects.get(partner=firm)
    assert (row.status, word.status, word.score, word.assessment) == ("PASS", "PASS", 74, row)
    assert row.valid_until == word.valid_until > clock.now() + timedelta(days=6)
    with pytest.raises(assessing.SideNotHeld):
        assessing.assess_partner(actor=SYSTEM, partner=firm, side="BUYER")


def test_listings_are_assessed_by_event_and_suspended_while_they_fail(deal, deliver, user, emitted):
    """§5.9, §8.12: a late event finds the newest row; a batch goes on where it ended, one event per row."""
    from apps.partners.services import standing

    made = deal()
    deliver()
    words = {
        word.subject_type: word for word in RiskStatus.objects.filter(owner__in=[made.buyer, made.seller])
    }
    assert {kind: word.status for kind, word in words.items()} == {
        "REQUIREMENT": "PASS",
        "AVAILABILITY": "PASS",
    }
    assert Availability.objects.get(pk=made.offer.pk).risk_status == "PASS"
    assert Requirement.objects.get(pk=made.requirement.pk).risk_status == "PASS"
    count = RiskAssessment.objects.count()
    deliver()
    assert reassess_due() == 0
    assert RiskAssessment.objects.count() == count

    standing.suspend(made.seller, actor=user("INTERNAL_DIRECTOR"), reason_code="other", reason="Complaints.")
    deliver()
    assert RiskStatus.objects.get(availability=made.offer).stale
    assert reassess_due() == 1
    assert reassess_due() == 0
    deliver()
    offer = Availability.objects.get(pk=made.offer.pk)
    assert (offer.status, offer.risk_status) == ("SUSPENDED", "FAIL")
    assert "risk" in offer.suspended_for
    told = [event.payload for event in emitted("risk.assessed") if event.payload["availability_id"]]
    assert [(event["previous_status"], event["status"]) for event in told] == [
        (None, "PASS"),
        ("PASS", "FAIL"),
    ]
    standing.reactivate(
        Partner.objects.get(pk=made.seller.pk), actor=user("INTERNAL_DIRECTOR"), reason="Settled."
    )
    deliver()
    reassess_due()
    deliver()
    assert "risk" not in Availability.objects.get(pk=made.offer.pk).suspended_for


def test_words_are_renewed_before_they_lapse(deal, deliver, set_clock):
    made = deal()
    deliver()
    word = RiskStatus.objects.get(requirement=made.requirement)
    assert reassess_due() == 0
    set_clock(word.renew_at + timedelta(minutes=1))
    assert word.renew_at < word.valid_until
    assert reassess_due() >= 2
    renewed = RiskStatus.objects.get(requirement=made.requirement)
    assert renewed.valid_until > word.valid_until
    assert renewed.assessment_id != word.assessment_id


@pytest.mark.django_db(transaction=True)
def test_two_assessments_at_once_are_two_rows_and_the_newer_counts(offer):
    """§8.12."""
    made = offer()
    barrier = threading.Barrier(2)

    def assess():
        barrier.wait()
        assessing.assess_availability(actor=SYSTEM, availability=Availability.objects.get(pk=made.pk))
        connection.close()

    threads = [threading.Thread(target=assess) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    rows = list(RiskAssessment.objects.order_by("id"))
    assert len(rows) == 2
    assert RiskStatus.objects.get().assessment == rows[-1]


def test_the_number_of_statements_does_not_depend_on_the_number_of_rows(deal, partner):
    """§5: an assessment reads sums, whatever was traded before."""
    made = deal()
    made.judge(10)
    with CaptureQueriesContext(
        connection,
    ) as few:
        made.judge(10)
    for _ in range(5):
        other = partner()
        factories.settled(made.buyer, other, made.offer.commodity)
        factories.settled(made.buyer, made.seller, made.offer.commodity)
        _link(made.buyer, other, "phone", "warn")
    with CaptureQueriesContext(connection) as many:
        made.judge(10)
    assert len(few) == len(many) <= 45, [query["sql"][:120] for query in many]


def test_an_unknown_side_is_a_failure():
    """§5.4: a missing partner is FAIL."""
    from django.db.models import Q

    from apps.risk.models import RiskOverride
    from apps.risk.policy import PolicyBody
    from apps.risk.services.gathering import Party, Reader

    reading = Reader(PolicyBody(), date(2026, 11, 30)).read([Party(None, "BUYER")], scope=Q(pk=None))
    assert RiskOverride.objects.count() == 0
    assert engine.judge(reading.inputs, PolicyBody()).status == "FAIL"
