"""Making, acknowledging and approving trades (§8.3–8.7, 8.11, 8.13, 8.15, 8.24)."""

from dataclasses import replace
from datetime import timedelta
from decimal import Decimal
from types import SimpleNamespace

import pytest
from django.db import IntegrityError, connection, transaction

from apps.approvals import services as approvals
from apps.approvals.models import ApprovalRequest
from apps.availability.models import Availability, Reservation
from apps.matching.models import Match
from apps.negotiations.models import Negotiation
from apps.organization.models.numbers import AllocatedNumber, DocumentSeries
from apps.partners.models import OpenExposure
from apps.requirement.models import Requirement
from apps.requirement.services import ledger
from apps.requirement.services.rules import OverPurchase
from apps.risk.models import RiskAssessment, TradeFact
from apps.trades import tasks
from apps.trades.engine import errors
from apps.trades.engine.terms import TaxStatus
from apps.trades.models import Refusal, Terms, Trade
from apps.trades.services import approval, cancellation, creation, effects, rules
from apps.trades.tests.deals import D, Deals
from erp import clock
from erp.access import SYSTEM
from erp.errors import CapabilityMissing, SelfApproval
from erp.files import PDF, Upload
from erp.models import unguarded_writes
from erp.services import unit_of_work
from erp.uploads import services as uploads


@pytest.fixture
def deals(world):
    return Deals(world)


def fresh(row):
    return type(row).objects.get(pk=row.pk)


def test_a_trade_binds_stock_demand_and_credit(deals, assert_emitted):
    """Journey A14, A15; two needed: after one still pending, no stock sold; the same person again 409 (§8.5)."""
    match = deals.matched()
    trade = deals.created(match)
    assert (trade.status, trade.contract_value, trade.approvals_required) == (
        "PENDING_ACKNOWLEDGEMENT", D("2557505.20"), 2,
    )  # fmt: skip
    assert trade.number == "TRD-2627-000001"
    match = fresh(match)
    assert (match.status, match.trade_id) == ("CONVERTED", trade.pk)
    held = Reservation.objects.get(pk=trade.reservation_id)
    assert (held.status, held.expires_at, held.trade_id) == ("IN_TRADE", None, trade.pk)
    assert fresh(trade.requirement).committed_quantity == 100
    assert TradeFact.objects.get(trade_id=trade.pk).stage == "CREATED"
    assert OpenExposure.objects.get(source_id=trade.pk, bucket="hold").amount == held.credit_amount
    body = Terms.objects.get(trade=trade).body
    assert body["payment"]["carrying_slabs"][0] == {"days": 15, "annual_percent": "15"}
    assert [lot["lot_no"] for lot in body["lots"]] == ["SSG-27"]
    with pytest.raises(rules.AlreadyCreated):
        deals.created(match)
    with pytest.raises(rules.ContractChanged):
        approval.acknowledge(trade, actor=deals.sellers, contract_hash="0" * 64)
    with pytest.raises(rules.EvidenceRequired):
        approval.acknowledge(
            trade, actor=deals.desk, contract_hash=trade.contract_hash, on_behalf_of="SELLER"
        )
    trade = deals.acknowledged(trade)
    assert trade.status == "PENDING_APPROVAL"
    with pytest.raises(rules.InvalidState):
        approval.acknowledge(trade, actor=deals.sellers, contract_hash=trade.contract_hash)

    first, second, _ = deals.managers
    asked = ApprovalRequest.objects.get(subject_id=trade.pk, status="pending")
    approvals.withdraw(asked, actor=deals.desk)  # who made it takes it back: it is asked for again
    trade = approval.approve(fresh(trade), actor=first)
    assert (trade.status, fresh(trade.availability).sold_quantity) == ("PENDING_APPROVAL", 0)
    with pytest.raises(rules.ApproverRepeated):
        approval.approve(trade, actor=first)
    superuser = deals.world.user()
    for nobody, problem in ((deals.desk, CapabilityMissing), (deals.finance, CapabilityMissing)):
        with pytest.raises(problem):
            approval.approve(trade, actor=nobody)
    assert superuser.is_superuser
    trade = approval.approve(trade, actor=second)
    assert trade.status == "APPROVED"
    offer, wanted = fresh(trade.availability), fresh(trade.requirement)
    assert (offer.status, offer.sold_quantity) == ("SOLD_OUT", 100)
    assert (wanted.status, wanted.purchased_quantity, wanted.spent_amount) == (
        "FULFILLED",
        100,
        trade.contract_value,
    )
    # Partners §5.8: less the 15 % paid in advance, with GST where the seller charges it; nothing stays as a hold.
    sums = dict(OpenExposure.objects.filter(source_id=trade.pk).values_list("bucket", "amount"))
    assert sums == {"hold": 0, "contracted": D("2173879.42")}
    terms = rules.terms_of(trade)
    registered = replace(terms.seller, tax_status=TaxStatus.REGISTERED)
    taxed = replace(terms, parties=(registered, *terms.parties[1:]))
    assert effects.exposure_of(trade, taxed, trade.weight_kg) == D("2282573.39") == held.credit_amount
    fact = TradeFact.objects.get(trade_id=trade.pk)
    assert (fact.stage, fact.quantity_kg, fact.price) == ("EXECUTED", D(17000), D("150.44148248"))


def test_whoever_made_or_acknowledged_a_trade_cannot_approve_it(deals):
    """§8.5: creator, acknowledger on behalf and superuser."""
    superuser = deals.world.user()
    trade = deals.acknowledged(deals.created(actor=superuser, organization=deals.organization))
    with pytest.raises(SelfApproval):
        approval.approve(trade, actor=superuser)
    assert not trade.approvals.exists()

    helper, trade = deals.managers[0], deals.created()
    letter = uploads.create(
        actor=helper, file=Upload("letter.pdf", PDF, b"%PDF-1.4 yes"), purpose=rules.EVIDENCE
    )
    with pytest.raises(uploads.FileUsed):
        approval.acknowledge(
            trade, actor=deals.desk, contract_hash=trade.contract_hash, on_behalf_of="SELLER", evidence=letter
        )
    approval.acknowledge(
        trade, actor=helper, contract_hash=trade.contract_hash, on_behalf_of="SELLER", evidence=letter
    )
    approval.acknowledge(trade, actor=deals.buyers, contract_hash=trade.contract_hash)
    with pytest.raises(SelfApproval):
        approval.approve(fresh(trade), actor=helper)


def test_rest_of_the_reservation_is_freed_and_terms_that_the_source_fixes_stay(deals):
    """§8.15: the client can repeat, not change, what source and offer fix."""
    match = deals.matched(100, total=120)
    payment = deals.content()
    for change, problem in (
        ({"payment": {"advance_percent": D(10)}}, rules.TermFixed),
        ({"quality": {"final_source": "SELLER"}}, rules.TermFixed),
        (
            {"delivery": {**payment["delivery"], "window_end": clock.today() - timedelta(days=1)}},
            errors.WindowInvalid,
        ),
        ({"delivery": {}}, rules.TermsIncomplete),
        ({"parties": [{"role": "SELLER", "partner": deals.broker}]}, rules.TermFixed),
        ({"parties": [{"role": "CONTROLLER", "partner": deals.seller}]}, rules.PartyInvalid),
        (
            {"parties": [{"role": "SELLER", "partner": deals.seller, "declaration": "a partnership's"}]},
            rules.PartyInvalid,
        ),
        ({"lots": [{"lot_no": "A", "count": 99, "estimated_kg": D(17000)}]}, errors.LotsMismatch),
        (
            {"parties": [{"role": "BROKER_SELLER", "partner": deals.broker, "share": D("99.99")}]},
            errors.SharesNotWhole,
        ),
        ({"charges": [{"kind": "FREIGHT", "basis": "SLABS", "rate": D(1)}]}, errors.TermsUnsupported),
    ):
        with pytest.raises(problem):
            deals.created(match, **change)
    with pytest.raises(rules.DateInFuture):
        deals.created(match, trade_date=clock.today() + timedelta(days=1))
    with pytest.raises(rules.QuantityInvalid):
        deals.created(match, quantity=D(101))
    other = deals.matched(10)
    with pytest.raises(rules.SourceMismatch):
        creation.create(
            actor=deals.desk, match=match, content=deals.content(),
            reservation=Reservation.objects.get(pk=other.reservation_id),
        )  # fmt: skip
    assert not Trade.objects.exists()
    trade = deals.created(match, quantity=D(60), payment={"advance_percent": D(15)})
    assert (trade.count, trade.weight_kg) == (60, D(10200))
    offer = fresh(trade.availability)
    assert (offer.available_quantity, offer.reserved_quantity) == (60, 60)


def test_a_failed_gate_leaves_its_assessment_and_no_trade(deals):
    """§8.11."""
    match = deals.matched()
    with unguarded_writes():
        deals.buyer.refresh_from_db()
        type(deals.buyer).objects.filter(pk=deals.buyer.pk).update(parent=deals.seller)
    before = RiskAssessment.objects.filter(subject_type="TRADE").count()
    refused = deals.created(match)
    assert refused.problem.code == "trade.risk_blocked"
    assert RiskAssessment.objects.filter(subject_type="TRADE").count() == before + 1
    assert not Trade.objects.exists()
    assert not AllocatedNumber.objects.filter(document_type="trade").exists()
    assert Match.objects.get(pk=match.pk).status == "APPROVED"


def test_a_warning_at_the_approval_takes_a_second_person(deals, monkeypatch):
    """Rulings X20; and nobody agrees for both sides."""
    trade = deals.created(deals.matched(10))
    assert trade.approvals_required == 1
    by_desk = {"actor": deals.desk, "contract_hash": trade.contract_hash, "evidence": deals.paper(deals.desk)}
    approval.acknowledge(trade, on_behalf_of="SELLER", **by_desk)
    with pytest.raises(SelfApproval):
        approval.acknowledge(trade, on_behalf_of="BUYER", **by_desk)
    approval.acknowledge(trade, actor=deals.buyers, contract_hash=trade.contract_hash)
    warning = SimpleNamespace(status="WARN", gates=[])
    monkeypatch.setattr(approval.judging, "judge", lambda *args, **fields: warning)
    trade = approval.approve(fresh(trade), actor=deals.managers[0])
    assert (trade.status, trade.approvals_required) == ("PENDING_APPROVAL", 2)
    assert approval.approve(fresh(trade), actor=deals.managers[1]).status == "APPROVED"


def _stale(source):
    raise rules.StaleSource


def test_an_accepted_negotiation_becomes_one_trade(deals, settings, monkeypatch):
    """§8.3: delivered five times; a refusal stays for the desk."""
    negotiation = deals.negotiated()
    for _ in range(2):
        with unit_of_work(SYSTEM):
            creation.create_accepted(negotiation, actor=SYSTEM)
    refusal = Refusal.objects.get()
    assert refusal.code == "trade.terms_incomplete"  # no house is set
    settings.TRADE_ORGANIZATION = str(deals.organization.pk)
    with monkeypatch.context() as patched:
        patched.setattr(creation, "_lock", _stale)
        with pytest.raises(rules.StaleSource), unit_of_work(SYSTEM):
            creation.create_accepted(negotiation, actor=SYSTEM)  # delivered again, no refusal
    for _ in range(5):
        with unit_of_work(SYSTEM):
            creation.create_accepted(negotiation, actor=SYSTEM)
    trade = Trade.objects.get()
    assert (trade.price, trade.negotiation, trade.created_by) == (D(53000), negotiation, None)
    negotiation = Negotiation.objects.get(pk=negotiation.pk)
    assert negotiation.trade_id == trade.pk
    assert Match.objects.get(pk=negotiation.match_id).status == "CONVERTED"


def test_a_refusal_is_closed_only_after_its_reservation_has_ended(deals, emitted):
    negotiation = deals.negotiated()
    with unit_of_work(SYSTEM):
        creation.create_accepted(negotiation, actor=SYSTEM)  # no house is set
    refusal, words = Refusal.objects.get(), "The buyer withdrew."
    with pytest.raises(CapabilityMissing):
        creation.close_refused(refusal, actor=deals.sellers, reason=words)
    with pytest.raises(rules.ReservationLive):
        creation.close_refused(refusal, actor=deals.desk, reason=words)
    with unguarded_writes():
        Reservation.objects.filter(pk=negotiation.reservation_id).update(expires_at=clock.now())
    for reason in (words, "Another reason."):  # the first one stays
        closed = creation.close_refused(refusal, actor=deals.desk, reason=reason)
        assert (closed.closing.created_by, closed.closing.reason) == (deals.desk, words)
    (event,) = emitted("trade.refusal_closed")
    assert event.payload == {"negotiation_id": str(negotiation.pk), "refusal": "trade.terms_incomplete"}
    assert Refusal.objects.get().open_verbs() == frozenset()
    with pytest.raises(rules.ReservationNotLive):
        creation.create_refused(closed, actor=deals.desk, organization=deals.organization)


def test_a_refusal_of_which_a_trade_was_created_is_not_closed(deals):
    negotiation = deals.negotiated()
    with unit_of_work(SYSTEM):
        creation.create_accepted(negotiation, actor=SYSTEM)
    refusal = Refusal.objects.get()
    creation.create_refused(refusal, actor=deals.desk, organization=deals.organization)
    with pytest.raises(rules.AlreadyCreated):
        creation.close_refused(refusal, actor=deals.desk, reason="There is a trade.")


def test_demand_in_another_unit_is_counted_by_weight(deals):
    """A requirement in kilograms, goods in bales: cap, purchases and what comes back agree."""
    kilograms = {
        "max_quantity": D(17000), "unit": "KG", "kg_per_unit": D(1), "kg_per_count": None, "tolerance_percent": D(0)
    }  # fmt: skip
    match = deals.matched(want=kilograms)
    assert ledger.open_demand(match.requirement) == 17000  # only a reservation of a deal counts
    with unguarded_writes():
        Reservation.objects.filter(pk=match.reservation_id).update(match_id=match.pk)
    assert ledger.open_demand(match.requirement) == 0
    trade = deals.created(match)
    assert fresh(trade.requirement).committed_quantity == 17000
    trade = deals.approved(trade)
    deals.delivered(trade, deals.dispatched(trade, 60), 60, final=True)
    cancellation.cancel(fresh(trade), actor=deals.director, reason_code="MUTUAL", reason="Both agreed.")
    assert fresh(trade.requirement).purchased_quantity == 10200

    with pytest.raises(OverPurchase):
        deals.created(deals.matched(want={**kilograms, "max_quantity": D(16999)}))


def test_numbers_go_on_past_a_million_and_a_rolled_back_trade_burns_none(deals):
    """§8.4."""
    with unguarded_writes():
        DocumentSeries.objects.filter(organization=deals.organization, document_type="trade").update(
            last_number=999_998
        )
    first, match = deals.created(), deals.matched()
    with transaction.atomic():
        deals.created(match)
        transaction.set_rollback(True)
    second = deals.created(Match.objects.get(pk=match.pk))
    assert [first.number, second.number] == ["TRD-2627-999999", "TRD-2627-1000000"]


def test_what_is_not_acknowledged_in_time_or_refused_is_cancelled(deals):
    late = deals.created()
    with unguarded_writes():
        Trade.objects.filter(pk=late.pk).update(acknowledge_until=clock.now())
    assert tasks.cancel_unacknowledged() == 1
    late = fresh(late)
    assert (late.status, late.cancel_reason) == ("CANCELLED", "NOT_ACKNOWLEDGED")
    offer = Availability.objects.get(pk=late.availability_id)
    assert (offer.status, offer.available_quantity, offer.reserved_quantity) == ("ACTIVE", 100, 0)
    assert Requirement.objects.get(pk=late.requirement_id).committed_quantity == 0
    assert not OpenExposure.objects.filter(source_id=late.pk, amount__gt=0).exists()

    refused = deals.acknowledged()
    request = ApprovalRequest.objects.get(subject_id=refused.pk, status="pending")
    approvals.reject(
        request, actor=deals.managers[0], subject_version=1, reason_code="PRICE", note="Far below the market."
    )
    assert (fresh(refused).status, fresh(refused).cancel_reason) == ("CANCELLED", "NOT_APPROVED")


def test_damaged_terms_stop_every_write(deals):
    trade = deals.created()
    with unguarded_writes():
        Trade.objects.filter(pk=trade.pk).update(contract_hash="f" * 64)
    with pytest.raises(rules.SnapshotDamaged):
        approval.acknowledge(trade, actor=deals.sellers, contract_hash="f" * 64)


def test_recorded_rows_stay_as_they_are(deals):
    """§8.13: UPDATE, DELETE and TRUNCATE are refused to the owner of the table too."""
    trade = deals.acknowledged()
    for statement in (
        "UPDATE trade_terms SET hash = ''", "DELETE FROM trade_acknowledgement", "TRUNCATE trade_terms CASCADE"
    ):  # fmt: skip
        with transaction.atomic(), connection.cursor() as cursor:
            cursor.execute("SET CONSTRAINTS ALL IMMEDIATE")
            with pytest.raises(IntegrityError), transaction.atomic():
                cursor.execute(statement)
    assert Terms.objects.filter(trade=trade).count() == 1


def test_partners_that_are_not_ready_get_no_trade(deals):
    match = deals.matched()
    with unguarded_writes():
        type(deals.seller).objects.filter(pk=deals.seller.pk).update(status="suspended")
    with pytest.raises(rules.PartnerNotReady) as refused:
        deals.created(match)
    assert list(refused.value.members["reasons"]) == ["SELLER"]
    assert Decimal(0) == fresh(match.requirement).committed_quantity
