"""Outside data: an outage means review by a person, never a pass (§8.5)."""

from datetime import timedelta
from decimal import Decimal

import pytest
from django.core.cache import cache
from redis import Redis

from apps.partners.models import Partner
from apps.partners.tests.factories import paper
from apps.risk.models import CurrencyRate, ProviderCheck, RiskStatus, ScreeningList
from apps.risk.services import assessing, checks
from apps.risk.tasks import (
    _start,
    end_dates,
    fetch_lists,
    fetch_rates,
    reassess_due,
    risk_queues,
    run_check,
    run_checks,
)
from apps.risk.tests import factories
from erp import clock
from erp.access import SYSTEM
from erp.clients import Client
from erp.models import unguarded_writes

pytestmark = pytest.mark.django_db


@pytest.fixture(autouse=True)
def heal(settings):
    """Close every breaker, as time would."""

    def close():
        Client._breakers.clear()
        store = Redis.from_url(settings.REDIS_URL)
        for key in store.scan_iter("erp:breaker*"):
            store.delete(key)

    close()
    yield close
    close()


def with_pan(partner, last):
    """The partner with a PAN that ends in a letter, by which the sandbox answers."""
    with unguarded_writes():
        row = Partner.objects.get(pk=partner.pk)
        row.pan = f"{row.pan[:9]}{last}"
        row.save()
    return row


@pytest.mark.django_db(transaction=True)
def test_a_provider_that_is_down_means_review_and_its_answer_is_followed(deal, set_clock, heal):
    """§8.5: nothing passes by itself, no request waits; back again, the answer comes and assessments follow."""
    made = deal(limit=100_000_000)
    with_pan(made.buyer, "U")
    row = made.judge(1_000)
    assert (row.status, row.gate_codes) == ("REVIEW", ["provider.missing"])
    check = ProviderCheck.objects.get(partner=made.buyer)
    made.judge(1_000)
    assert ProviderCheck.objects.waiting().count() == 1  # one question at a time
    for attempt in range(1, 8):  # the breaker opens on the way
        assert run_checks() == 0
        check = ProviderCheck.objects.get(pk=check.pk)
        assert (check.status, check.attempts) == ("REQUESTED", attempt)
        assert check.next_attempt_at <= clock.now() + timedelta(minutes=60)
        set_clock(check.next_attempt_at + timedelta(seconds=1))
    assert made.judge(1_000).gate_codes == ["provider.missing"]
    assert ProviderCheck.objects.late(clock.now()).count() == 1
    waiting = {
        sample.labels.get("kind", sample.name): sample.value
        for metric in risk_queues()
        for sample in metric.samples
    }
    assert waiting["erp_risk_checks_late"] == 1
    assert waiting["review"] >= 1
    heal()
    with_pan(made.buyer, "A")
    assert run_checks() == 1
    answered = ProviderCheck.objects.get(pk=check.pk)
    assert (answered.status, answered.grade, answered.as_of) == ("ANSWERED", "A", clock.today())
    good = made.judge(1_000)
    assert good.status == "PASS"
    assert good.provider_checks == [check.pk]
    set_clock(answered.valid_until + timedelta(seconds=1))
    assert end_dates() == 1
    assert ProviderCheck.objects.get(pk=check.pk).status == "LAPSED"
    assert made.judge(1_000).gate_codes[0] in ("partner.not_ready", "provider.missing")


@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize(("last", "status", "codes"), [
    ("W", "REVIEW", ["bureau.adverse"]), ("Y", "WARN", ["bureau.weak"]), ("T", "REVIEW", ["provider.missing"]),
])  # fmt: skip
def test_grades_count(deal, last, status, codes):
    made = deal(limit=100_000_000)
    with_pan(made.buyer, last)
    made.judge(1_000)
    run_checks()
    row = made.judge(1_000)
    assert (row.status, row.gate_codes) == (status, codes)


def test_an_answer_by_hand_needs_evidence_and_a_late_one_replaces_nothing(deal, user, set_clock):
    made, person = deal(limit=100_000_000), user("INTERNAL_COMPLIANCE")
    made.judge(1_000)
    check = ProviderCheck.objects.get(partner=made.buyer)
    answer = {
        "actor": person,
        "grade": "B",
        "as_of": clock.today(),
        "reason": "The bureau read it out on the phone.",
    }
    with pytest.raises(checks.EvidenceRequired):
        checks.answer_by_hand(check, **answer)
    checks.answer_by_hand(check, **answer, evidence=paper())
    assert made.judge(1_000).status == "PASS"
    late = checks.record_check(
        ProviderCheck.objects.get(pk=check.pk), actor=SYSTEM, grade="D", as_of=clock.today()
    )
    assert (late.status, late.grade, late.answered_by) == ("BY_HAND", "B", person)
    with pytest.raises(checks.CheckClosed):
        checks.answer_by_hand(late, **answer, evidence=paper())
    with unguarded_writes():  # the buyer's papers outlive the answer
        Partner.objects.update(kyc_expiry_date=clock.today() + timedelta(days=400))
    set_clock(clock.now() + timedelta(days=30, minutes=1))
    assert "provider.missing" in made.judge(1_000).gate_codes


@pytest.mark.django_db(transaction=True)
def test_many_events_start_one_sweep(monkeypatch):
    cache.delete("risk:started:apps.risk.tasks.reassess_due:")
    started = []
    monkeypatch.setattr(reassess_due, "apply_async", lambda arguments, **options: started.append(options))
    for _ in range(3):
        _start(reassess_due)
    assert [options["expires"] for options in started] == [60]


@pytest.mark.django_db(transaction=True)
def test_lists_and_rates_are_fetched_once_a_day(partner):
    firm = partner("Kestrel Arms Trading Co.", country="SY")
    assert (fetch_lists(), fetch_lists(), fetch_rates()) == (1, 0, 6)
    assert ScreeningList.objects.get().code == "DEMO"
    assert CurrencyRate.objects.get(currency="USD").rate == Decimal("88.5")
    assert assessing.assess_partner(actor=SYSTEM, partner=firm, side="SELLER").status == "FAIL"


@pytest.mark.django_db(transaction=True)
def test_an_answer_is_followed_by_the_partner_and_its_listings(deal, deliver):
    """§5.9."""
    made = deal(limit=100_000_000)
    factories.policy(bureau_above=0)
    with unguarded_writes():
        from apps.partners.models import CreditAccount

        CreditAccount.objects.filter(partner=made.seller).update(advances=Decimal(5))
    made.judge(10)
    asked = [check.partner_id for check in ProviderCheck.objects.waiting().order_by("pk")]
    assert asked == sorted([made.buyer.pk, made.seller.pk])  # locks are taken in one order
    deliver()
    assert RiskStatus.objects.get(availability=made.offer).status == "REVIEW"
    for check in ProviderCheck.objects.waiting():
        run_check(str(check.pk))
    deliver()
    reassess_due()
    word = RiskStatus.objects.select_related("assessment").get(availability=made.offer)
    assert (word.status, word.assessment.gate_codes) == ("WARN", ["score.low"])  # an exposure without a limit
