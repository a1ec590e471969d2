"""Requirements: what is checked, when they are live, who decides, and how they end."""

from datetime import timedelta
from decimal import Decimal

import pytest
from django.core import mail
from django.db import IntegrityError, connection, transaction
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from apps.approvals.models import ApprovalRequest
from apps.commodities import market
from apps.notifications.models import Message
from apps.partners.services import standing
from apps.requirement import tasks
from apps.requirement.models import Requirement
from apps.requirement.services import approval, decisions, ledger, requirements, rules
from apps.requirement.tests.factories import band, candy, cotton
from apps.requirement.tests.factories import content as wanted
from erp import clock
from erp.access import SYSTEM
from erp.ai import provider
from erp.ai.registry import Answer, Task
from erp.ai.registry import tasks as ai_tasks
from erp.errors import CapabilityMissing, PreconditionFailed, SelfApproval
from erp.models import unguarded_writes

pytestmark = pytest.mark.django_db
URL = "/api/v1/requirements"
_Status = Requirement.Status


@pytest.fixture
def buyer(user):
    return user("BUYER")


@pytest.fixture
def manager(user):
    return user("INTERNAL_MANAGER")


@pytest.fixture
def edit(buyer):
    def make(row, actor=None, version=None, **fields):
        content = wanted(**fields)
        return requirements.update(row, actor=actor or buyer, content=content, if_version=version)

    return make


def faults(error):
    return [(fault.pointer, fault.code) for fault in error.value.errors]


def names(emitted):
    return [row.event_type for row in emitted() if row.event_type.startswith("requirement.")]


def test_a_small_requirement_is_live_at_once_with_the_value_of_the_trade(requirement, emitted):
    row = requirement()
    assert (row.status, row.version, row.estimated_value) == (_Status.ACTIVE, 1, Decimal("2581407.12"))
    assert row.number.startswith("REQ-")
    assert row.expires_at == row.live_since.replace(microsecond=0) or row.expires_at > row.live_since
    assert names(emitted) == ["requirement.created", "requirement.published"]
    with pytest.raises(rules.InvalidState):
        requirements.publish(row, actor=SYSTEM)


def test_a_draft_is_published_later(requirement, buyer, emitted):
    row = requirement(live=False, buyer=buyer)
    assert row.status == _Status.DRAFT
    row = requirements.publish(row, actor=buyer)
    assert (row.status, names(emitted)) == (_Status.ACTIVE, ["requirement.created", "requirement.published"])


@pytest.mark.parametrize(
    ("fields", "problem", "pointer"),
    [
        ({"min_quantity": Decimal(101)}, rules.QuantitiesOutOfOrder, "/min_quantity"),
        ({"preferred_quantity": Decimal(101)}, rules.QuantitiesOutOfOrder, "/preferred_quantity"),
        ({"max_quantity": Decimal("100.5")}, rules.QuantityNotWhole, "/min_quantity"),
        ({"target_price": Decimal(54_001)}, rules.PriceInvalid, "/target_price"),
        ({"ceiling_price": None}, rules.PriceInvalid, "/ceiling_price"),
        ({"total_budget": Decimal("2581407.11")}, rules.BudgetTooSmall, "/total_budget"),
        (
            {"delivery_until_date": clock.today() - timedelta(days=1)},
            rules.WindowInvalid,
            "/delivery_until_date",
        ),
        ({"carry_forward_days": 3}, rules.WindowInvalid, "/carry_forward_days"),
        ({"eod_policy": "DAY", "valid_until_date": clock.today()}, rules.WindowInvalid, "/valid_until_date"),
        ({"places": [{}]}, rules.PlaceInvalid, "/places/0"),
        (
            {"places": [{"latitude": Decimal(1), "longitude": Decimal(1)}]},
            rules.PlaceInvalid,
            "/places/0/state_code",
        ),
        ({"origin_state_codes": ["Atlantis"]}, rules.PlaceInvalid, "/origin_state_codes/0"),
        ({"visibility": "RESTRICTED"}, rules.VisibilityInvalid, "/invited_partner_ids"),
        ({"crop_years": ["2025-27"]}, rules.GoodsInvalid, "/crop_years/0"),
        ({"bands": []}, rules.Incomplete, "/bands"),
        ({"places": []}, rules.Incomplete, "/places"),
    ],
)
def test_what_contradicts_itself_is_refused_at_its_place(requirement, fields, problem, pointer):
    with pytest.raises(problem) as error:
        requirement(**fields)
    assert pointer in [at for at, _ in faults(error)]
    assert not Requirement.objects.exists()


def test_a_budget_for_the_least_quantity_is_enough(requirement):
    row = requirement(total_budget=Decimal("1290703.56"), min_quantity=Decimal(50))
    assert row.status == _Status.ACTIVE


@pytest.mark.parametrize(
    ("wrong", "code"),
    [
        (band("denier", 1), "unknown_parameter"),
        (band("micronaire", 4.5, 3.7), "out_of_order"),
        (band("micronaire", 3.7, 4.5, preferred=Decimal("4.6")), "out_of_order"),
        (band("micronaire", 1.9), "out_of_limits"),
        (band("micronaire", 3.705), "too_precise"),
        (band("staple_length", 28.5, method="HVI"), "method_not_allowed"),
        (band("micronaire", accepted_codes=["31-3"]), "codes_expected"),
        (band("colour_grade"), "codes_expected"),
        (band("colour_grade", accepted_codes=["99"]), "codes_expected"),
        (band("strength"), "empty"),
    ],
)
def test_a_band_says_what_is_wrong_with_it(requirement, wrong, code):
    with pytest.raises(rules.BandsInvalid) as error:
        requirement(bands=[band("trash", maximum=4.5), wrong])
    at = {kind: pointer for pointer, kind in faults(error)}
    assert at[code].startswith("/bands/1/")
    assert at[code].rpartition("/")[2] not in ("minimum", "maximum")


def test_a_parameter_has_one_band_and_a_code_band_is_kept(requirement):
    with pytest.raises(rules.BandsInvalid) as error:
        requirement(bands=[band("trash", maximum=4.5), band("trash", maximum=4)])
    assert faults(error) == [("/bands/1/parameter", "duplicate")]
    row = requirement(bands=[band("colour_grade", accepted_codes=["31-3"], required=False)])
    assert row.bands.get().accepted_codes == ["31-3"]


def test_substitutes_are_other_goods_of_the_same_kind(requirement, commodity):
    goods, other, yarn = cotton(commodity), commodity(), commodity(category="YARN")
    row = requirement(goods=goods, substitute_ids=[other])
    assert row.substitute_ids == [other.pk]
    for wrong in (goods, yarn):
        with pytest.raises(rules.SubstituteInvalid) as error:
            requirement(goods=goods, substitute_ids=[wrong])
        assert faults(error)[0][0] == "/substitute_ids/0"


def test_a_buyer_that_may_not_buy_is_refused_with_the_reasons(requirement, buyer):
    with unguarded_writes():
        standing.Partner.objects.filter(pk=buyer.partner_id).update(status="suspended")
    with pytest.raises(rules.BuyerNotEligible) as error:
        requirement(buyer=buyer)
    assert "not_active" in error.value.members["reasons"]
    with pytest.raises(rules.BuyerNotEligible) as error:
        requirement(price_basis="CIF")
    assert error.value.members["reasons"] == ["permission_missing"]


def test_only_values_above_a_crore_wait_for_an_approval(requirement, settings, manager, emitted):
    settings.REQUIREMENT_APPROVAL_LIMIT = Decimal("2581407.12")
    assert requirement().status == _Status.ACTIVE
    settings.REQUIREMENT_APPROVAL_LIMIT = Decimal("2581407.11")
    row = requirement()
    assert row.status == _Status.PENDING_APPROVAL
    row = decisions.approve(row, actor=manager, if_version=row.version)
    assert (row.status, row.approved_by_id) == (_Status.ACTIVE, manager.pk)
    assert names(emitted)[-1] == "requirement.approved"


def test_a_ceiling_above_130_percent_of_the_suggested_price_waits_and_below_70_warns(
    requirement, buyer, client_for
):
    def suggested(question, facts):
        value = market.SuggestedPrice(price=Decimal(40_000), low=Decimal(39_000), high=Decimal(41_000))
        assert question.kg == "17781/50"
        return Answer[market.SuggestedPrice](value=value, evidence={"observations": "7"})

    real = ai_tasks.pop(market.PRICE_TASK)
    Task(name=market.PRICE_TASK, input=market.PriceQuestion, output=market.SuggestedPrice, built_in=suggested)
    try:
        high = requirement(ceiling_price=Decimal(52_001))
        assert (high.status, high.price_flag, high.reference_count) == (_Status.PENDING_APPROVAL, "HIGH", 7)
        assert requirement(ceiling_price=Decimal(52_000)).price_flag is None
        low = requirement(ceiling_price=Decimal(27_999), buyer=buyer)
        assert (low.status, low.price_flag) == (_Status.ACTIVE, "LOW")
        assert client_for(buyer).read(f"{URL}/{low.pk}").json()["warnings"] == ["ceiling_unlikely"]
    finally:
        ai_tasks[market.PRICE_TASK] = real


def test_nobody_approves_what_they_wrote(requirement, user, settings, client_for, edit):
    settings.REQUIREMENT_APPROVAL_LIMIT = Decimal(1)
    superuser = user()
    row = requirement()
    with unguarded_writes():
        Requirement.objects.filter(pk=row.pk).update(created_by=superuser)
    for make in (decisions.approve,):
        with pytest.raises(SelfApproval):
            make(row, actor=superuser)
    with pytest.raises(SelfApproval):
        decisions.reject(row, actor=superuser, reason_code="PRICE", reason="Far above the market.")
    editor, other = user("INTERNAL_MANAGER"), user("INTERNAL_MANAGER")
    with unguarded_writes():
        Requirement.objects.filter(pk=row.pk).update(editors=[editor.pk])
    with pytest.raises(SelfApproval):
        decisions.approve(Requirement.objects.get(pk=row.pk), actor=editor)
    with pytest.raises(PreconditionFailed):
        decisions.approve(row, actor=other, if_version=row.version + 1)
    with pytest.raises(CapabilityMissing):
        decisions.approve(row, actor=user("BUYER"))


def test_an_edit_while_pending_asks_anew_and_a_rejected_one_becomes_a_draft(
    requirement, settings, buyer, manager, edit
):
    settings.REQUIREMENT_APPROVAL_LIMIT = Decimal(1)
    row = requirement(buyer=buyer)
    first = approval.pending_request(row)
    row = edit(row, max_quantity=Decimal(90))
    second = approval.pending_request(row)
    assert second.pk != first.pk
    assert ApprovalRequest.objects.get(pk=first.pk).status == "stale"
    row = decisions.reject(row, actor=manager, reason_code="QUANTITY", reason="More than the mill can store.")
    assert row.status == _Status.REJECTED
    row = edit(row, max_quantity=Decimal(80))
    assert (row.status, requirements.publish(row, actor=buyer).status) == (
        _Status.DRAFT,
        _Status.PENDING_APPROVAL,
    )


def test_small_steps_over_the_limit_wait_at_the_one_that_crosses_it(
    requirement, settings, buyer, manager, edit
):
    settings.REQUIREMENT_APPROVAL_LIMIT = Decimal(2_650_000)
    row = requirement(buyer=buyer)
    assert edit(row, ceiling_price=Decimal(55_000)).status == _Status.ACTIVE
    row = edit(row, ceiling_price=Decimal(56_000))
    assert row.status == _Status.PENDING_APPROVAL
    row = edit(row, ceiling_price=Decimal(53_000))
    assert row.status == _Status.PENDING_APPROVAL  # an approval was asked for; it is decided or withdrawn
    row = decisions.approve(row, actor=manager)
    row = edit(row, ceiling_price=Decimal(56_000))
    assert row.status == _Status.PENDING_APPROVAL
    row = decisions.approve(row, actor=manager)
    assert edit(row, ceiling_price=Decimal(61_000)).status == _Status.ACTIVE  # less than 10 % more
    assert edit(row, ceiling_price=Decimal(62_000)).status == _Status.PENDING_APPROVAL


def test_a_suspension_makes_no_other_terms_the_approved_ones(requirement, settings, buyer, manager, edit):
    settings.REQUIREMENT_APPROVAL_LIMIT = Decimal(2_650_000)
    row = requirement(buyer=buyer, ceiling_price=Decimal(56_000))
    row = decisions.approve(row, actor=manager)
    row = edit(row, ceiling_price=Decimal(61_000))  # less than 10 % more
    row = decisions.reactivate(decisions.suspend(row, actor=manager, reason="To be checked."), actor=manager)
    assert row.status == _Status.ACTIVE
    assert edit(row, ceiling_price=Decimal(62_000)).status == _Status.PENDING_APPROVAL


def test_lowering_a_live_ceiling_never_waits_and_only_more_loses_priority(
    requirement, buyer, edit, set_clock
):
    row = requirement(buyer=buyer)
    since = row.live_since
    set_clock(timezone.now() + timedelta(minutes=5))
    row = edit(row, ceiling_price=Decimal(50_000))
    assert (row.status, row.live_since, row.terms_version) == (_Status.ACTIVE, since, 2)
    row = edit(row, ceiling_price=Decimal(50_000), notes="For the March order.")
    assert (row.live_since, row.terms_version, row.version) == (since, 2, 3)
    assert edit(row, ceiling_price=Decimal(50_001)).live_since > since


def test_the_same_values_change_nothing_and_a_stale_version_is_refused(requirement, buyer, edit, emitted):
    row = requirement(buyer=buyer)
    before = len(emitted())
    assert edit(row).version == 1
    assert len(emitted()) == before
    edit(row, notes="One", version=1)
    with pytest.raises(PreconditionFailed):
        edit(row, notes="Two", version=1)
    assert emitted("requirement.updated")[-1].payload["changed"] == ["other"]


def test_what_cannot_be_changed_is_refused_as_unknown(requirement, buyer, client_for):
    row = requirement(buyer=buyer)
    fixed = {
        "status": "CANCELLED", "committed_quantity": "1", "number": "X", "risk_status": "PASS",
        "buyer_partner_id": str(buyer.partner_id), "commodity_id": str(row.commodity_id),
    }  # fmt: skip
    body = {"max_quantity": "100", **fixed}
    answer = client_for(buyer).write(f"{URL}/{row.pk}", body, method="PUT", if_match='"1"')
    unknown = {fault["pointer"] for fault in answer.json()["errors"] if fault["code"] == "unknown_field"}
    assert answer.status_code == 400
    assert unknown == {f"/{name}" for name in fixed}


@pytest.mark.parametrize("quantity", [100, "1e2", "-5", "NaN", "0", "1.0001", "1" * 16, "10\u0000"])
def test_a_quantity_is_a_plain_decimal_string(quantity, client_for, buyer, commodity):
    body = {"commodity_id": str(cotton(commodity).pk), "max_quantity": quantity}
    answer = client_for(buyer).write(URL, body)
    assert answer.status_code == 400
    assert not Requirement.objects.exists()


def test_bands_are_forty_at_most_and_of_the_goods(client_for, buyer, commodity):
    client, goods, today = client_for(buyer), cotton(commodity), clock.today()
    body = {
        "commodity_id": str(goods.pk), "max_quantity": "100", "kg_per_count": "170", "ceiling_price": "54000",
        "pricing_unit_id": str(candy().pk), "delivery_from_date": str(today), "delivery_until_date": str(today),
    }  # fmt: skip
    many = [{"parameter": f"p{number}", "min": "1"} for number in range(41)]
    for bands, status, pointer in (
        (many, 400, "/bands"),
        (many[:1], 422, "/bands/0/parameter"),
        ([{"parameter": "trash", "max": "NaN"}], 400, "/bands/0/max"),
        ([{"parameter": "tra\u0000sh", "max": "4"}], 400, "/bands/0/parameter"),
        ([{"parameter": "trash", "min": "5", "max": "4"}], 422, "/bands/0/min"),
    ):
        answer = client.write(URL, {**body, "bands": bands})
        assert (answer.status_code, answer.json()["errors"][0]["pointer"]) == (status, pointer), (
            answer.content
        )
    assert not Requirement.objects.exists()
    assert client.write(URL, {**body, "bands": [{"parameter": "trash", "max": "4.5"}]}).status_code == 201


def test_no_matching_remote_model_or_mail_runs_in_the_request(requirement, buyer, settings, monkeypatch):
    settings.AI_PROVIDER = "http"
    monkeypatch.setattr(provider.AiClient, "complete", lambda *_: pytest.fail("a remote model was asked"))
    row = requirement(buyer=buyer, live=False)
    assert requirements.publish(row, actor=buyer).status == "ACTIVE"
    assert (mail.outbox, Message.objects.count()) == ([], 0)


def test_hostile_text_stays_data(requirement, client_for, buyer):
    text = "'; DROP TABLE requirement_requirement; --<script>"
    row = requirement(buyer=buyer, notes=text, tags=[text[:32]])
    shown = client_for(buyer).read(f"{URL}/{row.pk}").json()
    assert (shown["notes"], shown["tags"]) == (text, [text[:32]])


def test_the_sweep_ends_each_row_once_partly_filled_ones_too(requirement, set_clock, emitted):
    rows = [requirement() for _ in range(2)]
    part = rows[0]
    ledger.fulfill(
        part,
        actor=SYSTEM,
        quantity=Decimal(40),
        amount=Decimal(1),
        currency="INR",
        reason="Bought by telephone.",
    )
    set_clock(timezone.now() + timedelta(days=12))
    assert tasks.expire_requirements() == 2
    assert tasks.expire_requirements() == 0
    assert {row.status for row in Requirement.objects.all()} == {_Status.EXPIRED}
    assert len(emitted("requirement.expired")) == 2
    assert emitted("requirement.expired")[0].payload["unfilled"] in (
        {"value": "60.000", "unit": "BALE"},
        {"value": "100.000", "unit": "BALE"},
    )


def test_one_for_the_day_is_carried_forward_as_often_as_it_says(requirement, set_clock, emitted):
    row = requirement(eod_policy="DAY", carry_forward_days=1)
    set_clock(row.expires_at + timedelta(minutes=1))
    tasks.expire_requirements()
    row = Requirement.objects.get()
    assert (row.status, row.carried_days) == (_Status.ACTIVE, 1)
    set_clock(row.expires_at + timedelta(minutes=1))
    tasks.expire_requirements()
    assert Requirement.objects.get().status == _Status.EXPIRED
    assert names(emitted)[-2:] == ["requirement.extended", "requirement.expired"]


def test_what_is_still_wanted_is_cancelled_once_and_other_needs_a_reason(requirement, buyer, emitted):
    row = requirement(buyer=buyer)
    with pytest.raises(rules.ReasonRequired):
        requirements.cancel(row, actor=buyer, reason_code="OTHER")
    row = requirements.cancel(row, actor=buyer, reason_code="PRICE")
    assert row.status == _Status.CANCELLED
    with pytest.raises(rules.InvalidState) as error:
        requirements.cancel(row, actor=buyer, reason_code="PRICE")
    assert error.value.members == {"status_now": "CANCELLED", "allowed_actions": []}
    assert emitted("requirement.cancelled")[0].payload["unfilled"] == {"value": "100.000", "unit": "BALE"}


def test_a_suspended_buyers_requirements_come_back_in_the_right_status(
    requirement, buyer, settings, deliver, user, set_clock
):
    live = requirement(buyer=buyer)
    part = requirement(buyer=buyer)
    ledger.fulfill(
        part,
        actor=SYSTEM,
        quantity=Decimal(40),
        amount=Decimal(1),
        currency="INR",
        reason="Bought by telephone.",
    )
    draft = requirement(buyer=buyer, live=False)
    settings.REQUIREMENT_APPROVAL_LIMIT = Decimal(1)
    waiting = requirement(buyer=buyer)
    settings.REQUIREMENT_APPROVAL_LIMIT = Decimal(10_000_000_0)
    deliver()
    director = user("INTERNAL_DIRECTOR")
    partner = standing.Partner.objects.get(pk=buyer.partner_id)
    standing.suspend(partner, actor=director, reason_code="non_payment", reason="Two invoices are overdue.")
    deliver()
    assert tasks.follow_partners() == 3
    statuses = {row.pk: row.status for row in Requirement.objects.all()}
    assert [statuses[row.pk] for row in (live, part, draft, waiting)] == [
        _Status.SUSPENDED, _Status.SUSPENDED, _Status.DRAFT, _Status.SUSPENDED,
    ]  # fmt: skip
    held = decisions.suspend(Requirement.objects.get(pk=live.pk), actor=director, reason="Checked by hand.")
    assert held.suspended_for == ["partner", "staff"]
    partner = standing.Partner.objects.get(pk=buyer.partner_id)
    standing.reactivate(partner, actor=user("INTERNAL_DIRECTOR"), reason="Both invoices were paid.")
    deliver()
    assert tasks.follow_partners() == 3
    assert tasks.follow_partners() == 0
    statuses = {row.pk: row.status for row in Requirement.objects.all()}
    assert [statuses[row.pk] for row in (live, part, draft, waiting)] == [
        _Status.SUSPENDED, _Status.PARTIALLY_FULFILLED, _Status.DRAFT, _Status.ACTIVE,
    ]  # fmt: skip
    assert decisions.reactivate(held, actor=director).status == _Status.ACTIVE


def test_a_failed_risk_assessment_suspends_and_another_frees(requirement):
    row = decisions.record_risk(requirement(), actor=SYSTEM, risk_status="FAIL")
    assert (row.status, row.suspended_for) == (_Status.SUSPENDED, ["risk"])
    row = decisions.record_risk(row, actor=SYSTEM, risk_status="WARN")
    assert (row.status, row.risk_status) == (_Status.ACTIVE, "WARN")


def test_a_buyer_is_notified_without_any_figure(requirement, buyer, manager, settings, deliver):
    settings.REQUIREMENT_APPROVAL_LIMIT = Decimal(1)
    row = requirement(buyer=buyer)
    decisions.approve(row, actor=manager)
    deliver()
    assert set(Message.objects.filter(user=buyer).values_list("code", flat=True)) == {"requirement_status"}


def test_the_database_refuses_what_comes_past_the_services(requirement):
    row = requirement()
    ledger.commit(row, actor=SYSTEM, trade_id=row.pk, quantity=Decimal(10))
    for statement in (
        "UPDATE requirement_requirement SET committed_quantity = 106",
        "UPDATE requirement_requirement SET target_price = 54001",
        "UPDATE requirement_requirement SET ceiling_price = NULL",
        "UPDATE requirement_requirement SET intent = 'PRICE_DISCOVERY_ONLY'",
        "UPDATE requirement_requirement SET spent_amount = -1",
        "UPDATE requirement_requirement SET min_quantity = 101",
        "UPDATE requirement_fulfilment SET purchased_delta = 1",
        "DELETE FROM requirement_fulfilment",
    ):
        with pytest.raises(IntegrityError), transaction.atomic(), connection.cursor() as cursor:
            cursor.execute(statement)


def test_creating_costs_the_same_queries_whatever_the_number_of_bands_and_places(
    requirement, commodity, user
):
    goods, buyer = cotton(commodity), user("BUYER")

    def cost(**fields):
        with CaptureQueriesContext(connection) as queries:
            requirement(goods=goods, buyer=buyer, **fields)
        return len(queries)

    cost()
    place = {"latitude": Decimal(11), "longitude": Decimal(77), "state_code": "TN"}
    few = cost(bands=[band("trash", maximum=4.5)], places=[place])
    many = cost(bands=[band(name, 20) for name in ("staple_length", "strength")], places=[place] * 20)
    assert many == few
