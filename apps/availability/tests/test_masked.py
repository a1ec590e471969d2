"""A caller cannot find masked figures by trial: order of checks, counted refusals, stages."""

from datetime import timedelta
from decimal import Decimal

import pytest
from django.core.cache import cache
from django.utils import timezone
from redis.exceptions import ConnectionError as RedisDown
from structlog.testing import capture_logs

from apps.availability.models import Availability, Reservation
from apps.availability.services import rules, stock
from apps.availability.tests import factories
from apps.partners.models import Partner
from erp import metrics
from erp.api import throttling
from erp.errors import Throttled
from erp.idempotency.models import Record
from erp.models import unguarded_writes
from erp.outbox.models import EventOutbox

pytestmark = pytest.mark.django_db
OFFERS = "/api/v1/availabilities"


def refused(live, buyer, quantity) -> type[Exception] | None:
    try:
        stock.reserve(live, actor=buyer, quantity=Decimal(quantity))
    except Exception as error:
        return type(error)
    return None


@pytest.mark.parametrize("fields", [{"min_order_quantity": Decimal(10)}, {"allow_partial": False}])
@pytest.mark.parametrize(
    ("wrong", "code"),
    [
        ({"hold_hours": 168}, "availability.hold_too_long"),
        ({"fraction": True}, "availability.quantity_not_whole"),
    ],
)
def test_an_invalid_request_gets_the_same_answer_whatever_the_quantity(
    offer, user, client_for, fields, wrong, code
):
    live, client = offer(**fields), client_for(user("BUYER"))
    for quantity in ("1", "9", "50", "100", "101", "9999"):
        body = {"quantity": quantity + (".5" if "fraction" in wrong else "")}
        body |= {name: value for name, value in wrong.items() if name != "fraction"}
        answers = [client.write(f"{OFFERS}/{live.pk}/reserve", body) for _ in range(2)]
        assert {(a.status_code, a.json()["code"]) for a in answers} == {(422, code)}


def test_a_buyer_who_may_not_trade_learns_no_figure(offer, user, partner):
    live, firm = offer(), partner()
    with unguarded_writes():
        Partner.objects.filter(pk=firm.pk).update(status="suspended")
    buyer = user("BUYER", of=firm)
    errors = {refused(live, buyer, quantity) for quantity in (1, 100, 101) * 3}
    assert errors == {rules.HolderNotEligible}


@pytest.mark.parametrize(
    ("fields", "quantity", "problem"),
    [
        ({}, 101, rules.QuantityExceeded),
        ({"min_order_quantity": Decimal(10)}, 9, rules.BelowMinimum),
        ({"allow_partial": False}, 50, rules.WholeLotOnly),
    ],
)
def test_after_some_refusals_a_buyer_waits_even_with_a_quantity_that_fits(
    offer, user, partner, settings, fields, quantity, problem
):
    settings.MASKED_REFUSALS_PER_DAY = 3
    live, other, firm = offer(**fields), offer(**fields), partner()
    buyer, colleague = user("BUYER", of=firm), user("BUYER", of=firm)
    assert [refused(live, buyer, quantity) for _ in range(4)] == [problem] * 3 + [Throttled]
    assert refused(live, buyer, 100) is Throttled
    assert refused(live, colleague, 100) is Throttled
    assert refused(other, buyer, quantity) is problem
    assert refused(live, user("BUYER"), quantity) is problem


def test_the_limit_answers_429_and_leaves_no_trace_in_the_database(offer, user, client_for, settings):
    settings.MASKED_REFUSALS_PER_DAY = 2
    live, client = offer(), client_for(user("BUYER"))
    before = (Record.objects.count(), EventOutbox.objects.count())
    path, key = f"{OFFERS}/{live.pk}/reserve", "one-intention-refused-anew"
    with capture_logs() as lines:
        count = metrics.MASKED_REFUSALS.labels("availability.quantity_exceeded")._value.get()
        answers = [client.write(path, {"quantity": "101"}, key=key) for _ in range(3)]
    assert [a.status_code for a in answers] == [409, 409, 429]
    assert answers[-1].json()["code"] == "throttle.limited"
    assert 1 <= int(answers[-1]["Retry-After"]) <= 86_400
    assert (Record.objects.count(), EventOutbox.objects.count()) == before
    assert metrics.MASKED_REFUSALS.labels("availability.quantity_exceeded")._value.get() == count + 2
    written = [line for line in lines if line["event"] == "masked_refusal"]
    assert [(line["code"], line["row"], line["log_level"]) for line in written] == [
        ("availability.quantity_exceeded", str(live.pk), "warning")
    ] * 2
    assert not Reservation.objects.exists()


def test_refusals_of_callers_who_see_the_figures_are_not_counted(offer, user, client_for, partner, settings):
    settings.MASKED_REFUSALS_PER_DAY = 1
    live, buyer = offer(), user("BUYER")
    stock.reserve(live, actor=buyer, quantity=Decimal(60))
    body = {"quantity": "41"}
    for client, named in (
        (client_for(buyer), {}),
        (client_for(user("INTERNAL")), {"holder_partner_id": str(partner().pk)}),
    ):
        for _ in range(3):
            answer = client.write(f"{OFFERS}/{live.pk}/reserve", body | named)
            assert (answer.status_code, answer.json()["available"]) == (409, "40.000")


def test_the_reasons_why_a_seller_is_not_eligible_are_hidden_from_buyers_and_counted(
    offer, user, client_for, settings
):
    settings.MASKED_REFUSALS_PER_DAY = 1
    live, buyer = offer(), user("BUYER")
    with unguarded_writes():
        Partner.objects.filter(pk=live.seller_partner_id).update(status="suspended")
    client = client_for(buyer)
    first, second = (client.write(f"{OFFERS}/{live.pk}/reserve", {"quantity": "1"}) for _ in range(2))
    assert (first.json()["code"], "reasons" in first.json()) == ("availability.seller_not_eligible", False)
    assert second.status_code == 429
    staff = client_for(user("INTERNAL")).write(
        f"{OFFERS}/{live.pk}/reserve", {"quantity": "1", "holder_partner_id": str(buyer.partner_id)}
    )
    assert staff.json()["reasons"] == ["not_active"]


def test_while_redis_is_down_reservations_work_and_refusals_stay_limited(offer, user, settings, monkeypatch):
    def down(*args: object, **kwargs: object) -> None:
        raise RedisDown

    settings.MASKED_REFUSALS_PER_DAY = 2
    monkeypatch.setattr(throttling, "_local", throttling._Counters())
    for name in ("get", "incr", "add"):
        monkeypatch.setattr(cache, name, down)
    live, buyer = offer(), user("BUYER")
    assert [refused(live, buyer, 101) for _ in range(3)] == [rules.QuantityExceeded] * 2 + [Throttled]
    assert refused(live, user("BUYER"), 100) is None


def seen(client, live):
    return client.read(f"{OFFERS}/{live.pk}").json()["available_quantity"]


def test_only_a_live_reservation_shows_the_exact_quantity(offer, user, client_for):
    live, buyer = offer(), user("BUYER")
    client = client_for(buyer)
    reservation = stock.reserve(live, actor=buyer, quantity=Decimal(60))
    stock.release(live, actor=buyer, reservation_id=reservation.pk, quantity=Decimal(20))
    assert seen(client, live) == "60.000"
    stock.release(live, actor=buyer, reservation_id=reservation.pk)
    assert seen(client, live) is None
    assert client.read(OFFERS).json()["results"][0]["available_quantity"] is None
    reservation = stock.reserve(live, actor=buyer, quantity=Decimal(60))
    with unguarded_writes():
        Reservation.objects.filter(pk=reservation.pk).update(expires_at=timezone.now() - timedelta(seconds=1))
    assert seen(client, live) is None  # before any sweep
    with unguarded_writes():
        Reservation.objects.filter(pk=reservation.pk).update(
            status="IN_TRADE", trade_id="01890a5d-ac96-774b-bcce-b302099a8057", expires_at=None
        )
    assert seen(client, live) == "40.000"


def test_an_offer_off_the_market_is_hidden_again_once_the_reservation_ends(offer, user, client_for):
    live, buyer = offer(), user("BUYER")
    client = client_for(buyer)
    reservation = stock.reserve(live, actor=buyer, quantity=Decimal(60))
    with unguarded_writes():
        Availability.objects.filter(pk=live.pk).update(visibility="INTERNAL")
    assert client.read(f"{OFFERS}/{live.pk}").status_code == 200
    body, key = {"reservation_id": str(reservation.pk)}, "a-release-sent-twice"
    first, again = (client.write(f"{OFFERS}/{live.pk}/release", body, key=key) for _ in range(2))
    assert (first.status_code, again.content, again["Idempotency-Replayed"]) == (200, first.content, "true")
    closed = client.write(f"{OFFERS}/{live.pk}/release", body)
    assert closed.json()["code"] == "availability.reservation_closed"
    assert client.read(f"{OFFERS}/{live.pk}").status_code == 404
    assert client.write(f"{OFFERS}/{live.pk}/reserve", {"quantity": "1"}).status_code == 404
    assert client.read(f"{OFFERS}/reservations/{reservation.pk}").status_code == 200


def test_what_others_reserve_moves_nothing_that_a_browsing_buyer_sees(offer, user, client_for):
    live, client = offer(), client_for(user("BUYER"))
    before = client.read(f"{OFFERS}/{live.pk}")
    assert (before.json()["created_at"], before.json()["updated_at"]) == (None, None)
    stock.reserve(live, actor=user("BUYER"), quantity=Decimal(1))  # 100 → 99: another band
    changed = client.read(f"{OFFERS}/{live.pk}")
    assert (changed.json()["quantity_band"], changed["ETag"] == before["ETag"]) == ("50–100", False)
    stock.reserve(live, actor=user("BUYER"), quantity=Decimal(10))
    after = client.read(f"{OFFERS}/{live.pk}")
    assert (after.content, after["ETag"]) == (changed.content, changed["ETag"])
    again = client.read(f"{OFFERS}/{live.pk}", **{"If-None-Match": changed["ETag"]})
    assert again.status_code == 304
    assert client.read(f"{OFFERS}?ordering=-updated_at").status_code == 400


@pytest.mark.parametrize("version", [1, 2, 3, 99])
def test_if_match_does_not_reveal_the_version_to_a_caller_who_may_not_change_the_offer(
    offer, user, client_for, version
):
    live, trader = offer(), user("TRADER")
    answer = client_for(trader).write(f"{OFFERS}/{live.pk}/submit", {}, if_match=version)
    assert (answer.status_code, answer.json()["code"], "ETag" in answer) == (403, "capability.missing", False)


def test_after_its_reservation_expired_a_buyer_cannot_find_the_minimum_by_releasing_parts(
    offer, user, settings
):
    settings.MASKED_REFUSALS_PER_DAY = 2
    live, buyer = offer(min_order_quantity=Decimal(10)), user("BUYER")
    reservation = stock.reserve(live, actor=buyer, quantity=Decimal(50))

    def refusal() -> type[Exception]:
        with pytest.raises(Exception) as raised:  # noqa: PT011
            stock.release(live, actor=buyer, reservation_id=reservation.pk, quantity=Decimal(45))
        return raised.type

    assert [refusal() for _ in range(4)] == [rules.BelowMinimum] * 4, "a live reservation shows the minimum"
    with unguarded_writes():
        Reservation.objects.filter(pk=reservation.pk).update(expires_at=timezone.now() - timedelta(minutes=1))
    assert [refusal() for _ in range(3)] == [rules.BelowMinimum] * 2 + [Throttled]


def test_the_time_of_a_change_is_known_to_the_seller_and_staff_only(offer, client_for, user):
    live = offer()
    moment = (live.updated_at - timedelta(seconds=1)).isoformat().replace("+00:00", "Z")

    def changed(viewer) -> list[str]:
        answer = client_for(viewer).read(f"{OFFERS}?updated_after={moment}").json()
        return [row["id"] for row in answer["results"]]

    seller = user("SELLER", of=live.seller_partner)
    assert changed(seller) == changed(user("INTERNAL_MANAGER")) == [str(live.pk)]
    assert changed(user("BUYER")) == []


def test_a_refused_credit_does_not_tell_a_hidden_price_and_is_counted(
    offer, user, partner, client_for, settings, tax_rate
):
    """What the goods would have cost is their price: only who sees the price is told."""
    settings.MASKED_REFUSALS_PER_DAY = 2
    tax_rate("5201", 5)
    hidden, public = offer(advance=0), offer(advance=0, price_public=True)
    client = client_for(user("BUYER", of=factories.with_credit(partner(), 1000)))
    answers = [client.write(f"{OFFERS}/{hidden.pk}/reserve", {"quantity": "10"}) for _ in range(3)]
    assert [a.json()["code"] for a in answers] == ["partner.credit_exceeded"] * 2 + ["throttle.limited"]
    assert (answers[0].json()["headroom"], "asked" in answers[0].json()) == ("1000.00", False)
    assert "268538" not in answers[0].content.decode()
    for _ in range(3):
        told = client.write(f"{OFFERS}/{public.pk}/reserve", {"quantity": "10"}).json()
        assert (told["code"], told["asked"]) == ("partner.credit_exceeded", "268538.05")
