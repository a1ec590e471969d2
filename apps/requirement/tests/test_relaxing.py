"""Relaxations: the best of all that move at most two bounds by at most three steps, counted exactly."""

import random
from datetime import date, timedelta
from decimal import Decimal
from fractions import Fraction
from itertools import combinations, product
from uuid import UUID, uuid4

import pytest

from apps.commodities import market
from apps.commodities.market import OPEN_OFFERS, OpenOffer
from apps.requirement import relaxing, tasks
from apps.requirement.models import Requirement, Suggestion
from apps.requirement.relaxing import Bound, Candidate, RelaxQuestion, relax
from apps.requirement.services import requirements, rules, suggestions
from apps.requirement.tests.factories import band, content
from erp import clock
from erp.access import SYSTEM
from erp.ai.registry import Answer, sources
from erp.ai.scrubbing import Scrubbed
from erp.errors import Throttled
from erp.models import unguarded_writes

MIC = Bound(name="micronaire", upper=True, limit="9/2", step="3/20", hard="7")
STRENGTH = Bound(name="strength", upper=False, limit="28", step="3/2", hard="15")


def question(wanted=400, bounds=(MIC, STRENGTH), **fields):
    values = {"requirement_id": uuid4(), "commodity_id": uuid4(), "unit": "BALE", "wanted": Decimal(wanted)}
    return RelaxQuestion(**values | {"bounds": bounds} | fields)


def offer(quantity, micronaire=None, strength=None, seller=None, **values):
    given = {"micronaire": micronaire, "strength": strength, **values}
    found = {name: Fraction(str(value)) for name, value in given.items() if value is not None}
    return Candidate(UUID(int=seller) if seller else uuid4(), Decimal(quantity), found)


VECTOR = [
    offer(100, 4.4, 28.5, 1),
    offer(200, 4.6, 28.4, 2),
    offer(100, 4.3, 27.0, 3),
    offer(150, 4.8, 28.1, 4),
    offer(300, 4.6, 26.0, 5),
]


def told(answer):
    return [
        (
            {move.bound: (move.old, move.new) for move in option.moves},
            option.cost,
            option.unlocked,
            option.offers,
        )
        for option in answer.value.options
    ]


def test_the_vector_of_the_trade():
    for seed in range(10):
        rows = random.Random(seed).sample(VECTOR, len(VECTOR))
        answer = relax(question(), rows)
        assert (answer.value.open_before, answer.value.missing, answer.confidence) == ("100", "300", 1)
        assert told(answer) == [
            ({"micronaire:max": ("4.5", "4.6"), "strength:min": ("28", "27")}, "4/3", "300", 2),
            ({"micronaire:max": ("4.5", "4.6")}, "2/3", "200", 1),
        ]


def test_a_kept_bound_a_hard_limit_three_steps_and_a_missing_value_hold():
    assert told(relax(question(keep=("strength",)), VECTOR))[0][0] == {"micronaire:max": ("4.5", "4.8")}
    beyond = [offer(100, 4.96, 28, n) for n in range(1, 4)]
    assert relax(question(), beyond).value is None  # more than three steps
    hard = MIC.model_copy(update={"hard": "91/20"})
    assert (
        relax(question(bounds=(hard, STRENGTH)), [offer(100, 4.6, 28, n) for n in range(1, 4)]).value is None
    )
    assert relax(question(), [offer(100, 4.6, None, n) for n in range(1, 4)]).value is None
    assert relax(question(wanted=100), VECTOR).reasons[0].code == "nothing_missing"


def test_of_few_sellers_quantities_are_bands():
    answer = relax(question(), [offer(130, 4.6, 28.0, 1), offer(40, 4.4, 28, 1)])
    assert (answer.value.is_banded, answer.value.open_before) == (True, "20–50")
    assert told(answer) == [({"micronaire:max": ("4.5", "4.6")}, "2/3", "100–200", 1)]


def test_a_ceiling_moves_by_whole_steps_and_only_for_three_sellers():
    ceiling = Bound(name="ceiling", upper=True, limit="54000", step="540")
    rows = [offer(100, ceiling=54_100 + n, seller=n) for n in range(1, 4)]
    answer = relax(question(bounds=(), secret_bounds=(ceiling,)), rows)
    assert told(answer) == [({"ceiling:max": ("54000", "54540")}, "1", "300", 3)]
    assert (
        relax(question(bounds=(), secret_bounds=(ceiling,)), [*rows[:2], offer(1, ceiling=60_000)]).value
        is None
    )


def brute_force(asked, rows):
    """Every shift of every one or two bounds, tried on every offer."""
    bounds = {bound.key: bound for bound in asked.bounds}

    def passes(row, shifts):
        return all(
            bound.name in row.values and bound.misses_by(row.values[bound.name]) <= shifts.get(key, 0)
            for key, bound in bounds.items()
        )

    before = [row for row in rows if passes(row, {})]
    open_before = sum((row.quantity for row in before), Decimal(0))
    missing = max(asked.wanted - open_before, Decimal(0))
    ends = {
        key: sorted(
            {
                miss
                for row in rows
                if bound.name in row.values
                and (miss := bound.misses_by(row.values[bound.name]))
                and bound.allows(miss)
            }
        )
        for key, bound in bounds.items()
    }
    found = []
    for keys in [*((key,) for key in bounds), *combinations(bounds, 2)]:
        for shifts in product(*(ends[key] for key in keys)):
            moved = dict(zip(keys, shifts, strict=True))
            unlocked = [row for row in rows if row not in before and passes(row, moved)]
            total = min(sum((row.quantity for row in unlocked), Decimal(0)), missing)
            cost = sum(shift / Fraction(bounds[key].step) for key, shift in moved.items())
            if total:
                found.append((-total, cost, len(moved), list(keys), len(unlocked)))
    return sorted(found, key=lambda each: each[:4]), missing


@pytest.mark.parametrize("seed", range(60))
def test_it_equals_brute_force_on_random_markets(seed):
    rng = random.Random(seed)
    trash = Bound(name="trash", upper=True, limit="4", step="3/10", hard="15")
    low = Bound(name="micronaire", upper=False, limit="4", step="3/20", hard="2")
    asked = question(wanted=rng.randint(50, 900), bounds=(MIC, low, STRENGTH, trash))
    rows = [
        offer(
            rng.randint(1, 300),
            round(rng.uniform(3.5, 5.2), 1),
            round(rng.uniform(25, 30), 1),
            n % 7 + 1,
            **({"trash": round(rng.uniform(3, 5), 1)} if rng.random() < 0.9 else {}),
        )
        for n in range(rng.randint(1, 25))
    ]
    if len({row.seller for row in rows}) < 3:
        rows += [offer(1, 1, 1, 20), offer(1, 1, 1, 21)]
    expected, missing = brute_force(asked, rows)
    answer = relax(asked, rows)
    if not expected or not missing:
        assert answer.value is None
        return
    best = answer.value.options[0]
    assert (-Decimal(best.unlocked), Fraction(best.cost)) == expected[0][:2]
    assert (len(best.moves), [move.bound for move in best.moves], best.offers) == tuple(expected[0][2:])
    for option in answer.value.options[1:]:
        beats = [
            each
            for each in expected
            if -each[0] >= Decimal(option.unlocked) and each[1] <= Fraction(option.cost)
        ]
        assert all((-each[0], each[1]) == (Decimal(option.unlocked), Fraction(option.cost)) for each in beats)


# With a requirement


@pytest.fixture
def offers():
    """The facts of the market, as the module of offers gives them."""
    rows = []
    before = sources.pop(OPEN_OFFERS, None)
    sources[OPEN_OFFERS] = lambda question, partner_id: [
        row for row in rows if row.seller_partner_id != partner_id
    ]
    yield rows
    del sources[OPEN_OFFERS]
    if before is not None:
        sources[OPEN_OFFERS] = before


def open_offer(row, quantity, *, seller=None, staple="29.0", micronaire="4.0", trash="3.0", **fields):
    quality = {
        ("staple_length", "UHML"): Decimal(staple),
        ("micronaire", "HVI"): Decimal(micronaire),
        ("trash", "GRAVIMETRIC"): Decimal(trash),
    }
    today = clock.today()
    values = {
        "availability_id": uuid4(), "seller_partner_id": seller or uuid4(), "commodity_id": row.commodity_id,
        "variety_id": None, "crop_year": "2025-26", "unit": "BALE", "open_quantity": Decimal(quantity),
        "open_kg": Decimal(quantity) * 170, "min_order_quantity": None, "allow_partial": True, "quality": quality,
        "price_per_kg": Fraction(150), "currency": "INR", "price_group": "EX", "country": "IN", "state_code": "24",
        "latitude": Decimal("21.96"), "longitude": Decimal("70.79"), "available_from_date": today,
        "available_until_date": today + timedelta(days=30), "listed_date": today,
    }  # fmt: skip
    return OpenOffer(**values | fields)


def suggest(row, actor, **more):
    return suggestions.ai_adjust(Requirement.objects.get(pk=row.pk), actor=actor, **more)


@pytest.fixture
def scarce(requirement, offers, user):
    """A live requirement of 400 bales, of which relaxing micronaire to 4.6 unlocks 300."""
    buyer = user("BUYER")
    row = requirement(buyer=buyer, max_quantity=Decimal(360))
    offers += [open_offer(row, 100), *(open_offer(row, 100, micronaire="4.6") for _ in range(3))]
    return row, buyer


@pytest.mark.django_db
def test_a_suggestion_is_kept_and_applied_by_its_buyer_only(scarce, user, emitted):
    row, buyer = scarce
    staff = user("INTERNAL")
    found = suggest(row, staff).suggestion
    (option,) = found.result["options"]
    assert option == {
        "moves": [{"bound": "micronaire:max", "old": "4.5", "new": "4.6"}],
        "cost": "2/3", "unlocked": "260", "offers": 3,
    }  # fmt: skip
    event = emitted("requirement.ai_adjusted")[-1].payload
    assert (event["action"], event["parameters"], event["unlocked"]["value"]) == (
        "suggested",
        ["micronaire"],
        "260",
    )
    for action in ("APPLY", "DISMISS"):
        with pytest.raises(rules.OwnerOnly):
            suggest(row, staff, action=action, suggestion_id=found.pk)
    suggest(row, buyer, action="APPLY", suggestion_id=found.pk)
    now = Requirement.objects.get(pk=row.pk)
    assert now.bands.get(parameter__code="micronaire").maximum == Decimal("4.6")
    assert (now.terms_version, now.bands.count()) == (2, 3)
    assert Suggestion.objects.get().status == "APPLIED"
    with pytest.raises(rules.SuggestionClosed):
        suggest(row, buyer, action="APPLY", suggestion_id=found.pk)
    types = [each.event_type for each in emitted() if each.event_type.startswith("requirement.")]
    assert types[-2:] == ["requirement.updated", "requirement.ai_adjusted"]


@pytest.mark.django_db
def test_a_changed_requirement_makes_a_suggestion_stale_and_a_day_ends_it(scarce, set_clock):
    row, buyer = scarce
    stale, old = suggest(row, buyer).suggestion, None
    requirements.update(
        Requirement.objects.get(pk=row.pk), actor=buyer, content=content(max_quantity=Decimal(300))
    )
    with pytest.raises(rules.SuggestionStale):
        suggest(row, buyer, action="APPLY", suggestion_id=stale.pk)
    old = suggest(row, buyer).suggestion
    with pytest.raises(rules.OptionUnknown):
        suggest(row, buyer, action="APPLY", suggestion_id=old.pk, option=5)
    with pytest.raises(rules.SuggestionNotFound):
        suggest(row, buyer, action="APPLY", suggestion_id=uuid4())
    set_clock(old.expires_at + timedelta(minutes=1))
    with pytest.raises(rules.SuggestionExpired):
        suggest(row, buyer, action="APPLY", suggestion_id=old.pk)
    bands = list(row.bands.values_list("maximum"))
    suggest(row, buyer, action="DISMISS", suggestion_id=old.pk)
    assert list(row.bands.values_list("maximum")) == bands


@pytest.mark.django_db
def test_nothing_to_suggest_leaves_no_trace(requirement, offers, user, client_for, emitted):
    buyer = user("BUYER")
    row = requirement(buyer=buyer)
    before = len(emitted())
    answer = client_for(buyer).write(f"/api/v1/requirements/{row.pk}/ai-adjust", {})
    assert (answer.status_code, answer.json()) == (200, {"suggestion": None, "reason": "nothing_unlocks"})
    assert (len(emitted()), Suggestion.objects.count()) == (before, 0)


@pytest.mark.django_db
def test_only_offers_that_pass_all_else_count(scarce, offers):
    row, buyer = scarce
    last = offers[-1]
    wrong = {
        "seller_partner_id": buyer.partner_id, "commodity_id": uuid4(), "currency": "USD",
        "available_from_date": row.delivery_until_date + timedelta(days=8), "latitude": Decimal(80),
    }  # fmt: skip
    for name, value in wrong.items():
        offers[-1] = type(last)(**{**last.__dict__, name: value})
        assert suggest(row, buyer).suggestion.result["options"][0]["offers"] == 2, name
    offers[-1] = type(last)(**{**last.__dict__, "price_per_kg": None})
    assert suggest(row, buyer).suggestion.result["options"][0]["offers"] == 3


@pytest.mark.django_db
@pytest.mark.parametrize("scope", [["QUALITY"], ["QUALITY", "CEILING"]])
def test_a_ceiling_that_moves_past_one_sellers_price_changes_no_answer(requirement, offers, user, scope):
    buyer = user("BUYER")
    row = requirement(buyer=buyer, max_quantity=Decimal(300))
    goods = [open_offer(row, 100, micronaire=micronaire) for micronaire in ("4.0", "4.6")]
    answers = []
    for others in (
        [],  # few sellers in all
        [open_offer(row, 10, micronaire="4.6", price_per_kg=Fraction(155)) for _ in range(3)],
        [open_offer(row, 10, trash="9.9") for _ in range(3)],  # that nothing would let pass
    ):
        for asked in (150, 155):
            offers[:] = [
                *others,
                *(OpenOffer(**{**o.__dict__, "price_per_kg": Fraction(asked)}) for o in goods),
            ]
            answers.append(suggest(row, buyer, scope=scope))
    few = answers[:2] + answers[4:]
    assert [(each.suggestion, each.reason) for each in few] == [(None, "too_few_sellers")] * 4
    assert all(each.suggestion is not None or each.reason != "too_few_sellers" for each in answers[2:4])


@pytest.mark.django_db
def test_one_seller_above_the_ceiling_leaves_no_figure(scarce, offers):
    row, buyer = scarce
    offers[-1] = OpenOffer(**{**offers[-1].__dict__, "price_per_kg": Fraction(153)})
    found = suggest(row, buyer)
    assert (found.suggestion, found.reason) == (None, "too_few_sellers")


@pytest.mark.django_db
def test_a_buyer_asks_only_so_often_a_day_about_the_same_goods(scarce, user, settings):
    row, buyer = scarce
    settings.REQUIREMENT_SUGGESTIONS_PER_DAY = 2
    for _ in range(2):
        suggest(row, buyer)
    with pytest.raises(Throttled):
        suggest(row, buyer)
    assert suggest(row, user("INTERNAL")).suggestion is not None


@pytest.mark.django_db
def test_staff_suggest_from_what_the_buyer_may_use(scarce, offers, user):
    row, buyer = scarce
    offers[:] = [open_offer(row, 100, micronaire="4.6", seller=buyer.partner_id) for _ in range(4)]
    assert suggest(row, user("INTERNAL")).suggestion is None


@pytest.mark.django_db
def test_only_parameters_of_the_goods_can_be_kept(scarce):
    row, buyer = scarce
    with pytest.raises(rules.BandsInvalid) as error:
        suggest(row, buyer, keep=["micronaire", "call 98765 43210"])
    assert [fault.pointer for fault in error.value.errors] == ["/keep/1"]


@pytest.mark.django_db
def test_each_opinion_is_asked_for_once_and_one_that_fails_keeps_no_other_waiting(
    scarce, settings, monkeypatch
):
    row, buyer = scarce
    settings.AI_PROVIDER = "http"
    first, second = suggest(row, buyer).suggestion, suggest(row, buyer).suggestion
    asked = []

    def ask(task, question, **values):
        asked.append(values["for_partner"])
        if len(asked) == 1:
            raise RuntimeError("broken")
        tasks.ask_opinions()  # another worker, meanwhile
        return real(task, question, **values)

    real = tasks.asking.ask
    monkeypatch.setattr(tasks.asking, "ask", ask)
    assert tasks.ask_opinions() == 1
    assert asked == [buyer.partner_id] * 2
    due = dict(Suggestion.objects.values_list("pk", "opinion_due"))
    assert due == {first.pk: True, second.pk: False}
    tasks.ask_opinions()
    assert len(asked) == 2


@pytest.mark.django_db
def test_ceiling_window_and_distance_are_bounds_in_their_scope(requirement, offers, user):
    buyer = user("BUYER")
    row = requirement(buyer=buyer, max_quantity=Decimal(300))
    late = row.delivery_until_date + timedelta(days=row.flexibility_days + 2)
    offers += [open_offer(row, 100, price_per_kg=Fraction(154)) for _ in range(3)]
    found = suggest(row, buyer, scope=["CEILING"]).suggestion
    assert found.result["options"][0]["moves"] == [{"bound": "ceiling:max", "old": "54000", "new": "55080"}]
    suggest(row, buyer, action="APPLY", suggestion_id=found.pk)
    assert Requirement.objects.get(pk=row.pk).ceiling_price == 55_080
    offers[:] = [open_offer(row, 100, available_from_date=late) for _ in range(3)]
    found = suggest(row, buyer, scope=["WINDOW", "QUALITY"]).suggestion
    suggest(row, buyer, action="APPLY", suggestion_id=found.pk)
    assert Requirement.objects.get(pk=row.pk).delivery_until_date == row.delivery_until_date + timedelta(
        days=2
    )
    offers[:] = [open_offer(row, 100, latitude=Decimal("29.5"), longitude=Decimal("74.9")) for _ in range(3)]
    found = suggest(row, buyer, scope=["PLACE"]).suggestion
    suggest(row, buyer, action="APPLY", suggestion_id=found.pk)
    assert 2000 < Requirement.objects.get(pk=row.pk).places.get().max_distance_km <= 2150


@pytest.mark.django_db
def test_a_remote_opinion_is_added_beside_the_suggestion_and_adds_no_option(scarce, settings, emitted):
    row, buyer = scarce
    settings.AI_PROVIDER = "http"
    found = suggest(row, buyer).suggestion
    assert (found.provider, found.opinion_due) == ("builtin", True)
    assert tasks.ask_opinions() == 1
    assert Suggestion.objects.get().opinion is None  # no prompt and no budget: not allowed
    assert Suggestion.objects.get().opinion_due is False
    asked = suggestions.question_of(row, ["QUALITY"], [])
    facts = {OPEN_OFFERS: sources[OPEN_OFFERS](asked, buyer.partner_id)}
    own = relaxing.RELAX.built_in(asked, facts)
    foreign = own.value.options[0].model_copy(
        update={"moves": (relaxing.Move(bound="x:max", old="1", new="2"),)}
    )
    lying = own.value.options[0].model_copy(update={"unlocked": "9999"})
    answer = Answer[relaxing.Relaxations](
        value=own.value.model_copy(update={"options": (foreign, lying)}), confidence=Decimal("0.7")
    )
    checked = relaxing.RELAX.check(asked, facts, answer)
    assert checked.value.options == own.value.options
    with pytest.raises(ValueError, match="no option"):
        relaxing.RELAX.check(
            asked,
            facts,
            answer.model_copy(update={"value": own.value.model_copy(update={"options": (foreign,)})}),
        )
    with unguarded_writes():
        Suggestion.objects.update(opinion_due=True)
    suggestions.record_opinion(
        Suggestion.objects.get(), actor=SYSTEM, opinion={"options": []}, provider="http"
    )
    suggestions.record_opinion(
        Suggestion.objects.get(), actor=SYSTEM, opinion={"options": [1]}, provider="http"
    )
    assert Suggestion.objects.get().opinion == {"options": []}
    assert len(emitted("requirement.ai_opinion_recorded")) == 2


@pytest.mark.django_db
def test_the_ceiling_and_the_target_never_leave(scarce):
    row, _ = scarce
    sent = Scrubbed(suggestions.question_of(row, ["QUALITY", "CEILING"], [])).text
    assert "micronaire" in sent
    assert [secret for secret in ("54000", "540", "ceiling", "INR") if secret in sent] == []


@pytest.mark.django_db
def test_the_newest_five_thousand_offers_count(requirement, monkeypatch):
    row = requirement()
    monkeypatch.setattr(relaxing, "MOST_OFFERS", 1)
    asked = suggestions.question_of(row, ["QUALITY"], [])
    rows = [
        open_offer(row, 10, listed_date=date(2026, 1, 1)),
        open_offer(row, 20, listed_date=date(2026, 1, 2)),
    ]
    assert [each.quantity for each in relaxing.candidates_of(asked, rows)] == [20]
    other = open_offer(row, 10, unit="KG", open_quantity=Decimal(1700), open_kg=Decimal(1700))
    assert relaxing.candidates_of(asked, [other])[0].quantity == 10
    assert market.OPEN_OFFERS in relaxing.RELAX.sources
    assert band("trash", maximum=4)["required"]
