"""What makes a run necessary: marks, the sweep, batches and digests."""

from datetime import timedelta
from decimal import Decimal

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext

from apps.availability.services import offers
from apps.matching import tasks
from apps.matching.engine.body import DEFAULT
from apps.matching.models import Match, MatchNotice, MatchRun, OfferProfile, RematchMark, RuleSet
from apps.matching.services import batches, marks, notices, problems, rule_sets, runs
from apps.matching.tests.factories import again, put
from apps.notifications.models import Message
from apps.partners.models import Partner
from erp import clock
from erp.access import SYSTEM
from erp.jobs.models import Job
from erp.jobs.tasks import work
from erp.models import unguarded_writes
from erp.services import unit_of_work

pytestmark = pytest.mark.django_db


def mark_of(row):
    return RematchMark.objects.get(subject_id=row.pk)


def run_due():
    """Take every dirty mark whose time has come, as workers would."""
    with unguarded_writes():
        RematchMark.objects.dirty().filter(attempts=0).update(due_at=clock.now())
    return [tasks.rematch(str(row.pk)) for row in RematchMark.objects.dirty().order_by("created_at")]


def test_listings_that_go_live_mark_themselves_and_are_matched(cotton, deliver, emitted):
    want, offer = cotton.want(), cotton.offer()
    deliver()
    for row in (want, offer):
        mark = mark_of(row)
        assert mark.wanted > mark.matched == 0
        assert mark.due_at <= mark.dirty_at + timedelta(seconds=2)
    assert {event.payload["cause"] for event in emitted("matching.rematch_requested")} >= {
        "requirement.published", "availability.approved",
    }  # fmt: skip
    assert set(run_due()) == {"matched"}
    assert Match.objects.live().count() == 1
    assert not RematchMark.objects.dirty().exists()
    assert mark_of(want).seen_version == again(want).version
    assert MatchRun.objects.filter(kind="TRIGGERED").count() == 2


def test_a_change_during_a_run_is_not_lost(cotton, deliver):
    """§8.9: the run before it settles only what it had read."""
    offer = cotton.offer()
    deliver()
    with unguarded_writes():
        RematchMark.objects.update(due_at=clock.now())
    row = marks.take(actor=SYSTEM, mark_id=mark_of(offer).pk)
    assert marks.take(actor=SYSTEM, mark_id=row.pk) is None, "another worker leaves it alone"
    seen = row.wanted
    marks.mark_offers(actor=SYSTEM, subject_ids=[offer.pk], cause="test")
    marks.settle(row, actor=SYSTEM, matched=seen, seen_version=offer.version, rules="x")
    assert mark_of(offer).matched == mark_of(offer).wanted - 1
    assert RematchMark.objects.due(clock.now()).exists()


def test_a_worker_that_dies_loses_no_mark(cotton, deliver):
    """§8.9: its lease runs out, and the sweep takes the mark up."""
    offer = cotton.offer()
    deliver()
    with unguarded_writes():
        RematchMark.objects.update(due_at=clock.now())
    assert marks.take(actor=SYSTEM, mark_id=mark_of(offer).pk) is not None
    assert marks.overdue(clock.now(), tasks.LOST, 9) == []
    with unguarded_writes():
        RematchMark.objects.update(due_at=clock.now() - tasks.LOST - timedelta(seconds=1))
    assert marks.overdue(clock.now(), tasks.LOST, 9) == [mark_of(offer).pk]


def test_a_lost_event_is_found_once_by_the_sweep(cotton):
    """§8.9: by the listing's version, without a look-back."""
    want, offer = cotton.want(), cotton.offer()
    assert tasks.sweep_marks() == 2
    assert tasks.sweep_marks() == 0
    run_due()
    put(offer, unit_price=Decimal(53_000))
    assert marks.unmarked("AVAILABILITY", 9) == [offer.pk]
    assert tasks.sweep_marks() == 1
    run_due()
    assert tasks.sweep_marks() == 0
    assert mark_of(want).wanted == 1
    assert Match.objects.live().get().quoted == Decimal("149.03548732")


def test_a_run_that_fails_is_recorded_and_tried_again_later(cotton, deliver, monkeypatch, emitted):
    """§8.6."""
    offer = cotton.offer()
    deliver()
    monkeypatch.setattr(runs, "scored", lambda *args, **more: 1 / 0)
    cotton.want()
    assert "failed" in run_due()
    mark = mark_of(offer)
    assert (mark.attempts, mark.last_error, mark.matched) == (1, "ZeroDivisionError", 0)
    assert mark.due_at > clock.now()
    assert MatchRun.objects.get(status="FAILED").problem == "ZeroDivisionError"
    assert emitted("matching.run_failed")[-1].payload["reason"] == "ZeroDivisionError"
    figures = {metric.name: metric.samples[0].value for metric in tasks.marks_waiting()}
    assert figures["erp_rematch_stuck"] == 0
    with unguarded_writes():
        RematchMark.objects.update(attempts=8)
    assert {metric.name: metric.samples[0].value for metric in tasks.marks_waiting()}[
        "erp_rematch_stuck"
    ] == 1


def test_what_ends_or_pauses_a_listing_ends_its_matches(cotton, deliver, world):
    """Rulings M18."""
    match = cotton.match()
    deliver()
    offers.cancel(again(match.availability), actor=cotton.seller, reason_code="SOLD_ELSEWHERE")
    deliver()
    assert again(match).status == Match.Status.EXPIRED
    from apps.requirement.services import decisions

    other = cotton.match(offer=cotton.offer(seller=world.user("SELLER")))
    decisions.suspend(again(other.requirement), actor=SYSTEM, reason="Under review.")
    deliver()
    assert again(other).status == Match.Status.SUPERSEDED


def test_partners_whose_standing_changes_have_their_listings_matched(cotton, deliver):
    offer = cotton.offer()
    deliver()
    before = mark_of(offer).wanted
    assert marks.mark_partners([offer.seller_partner_id], actor=SYSTEM, cause="partner.suspended") == 1
    assert (mark_of(offer).wanted, mark_of(offer).priority) == (before + 1, "HIGH")
    with unguarded_writes():
        Partner.objects.filter(pk=offer.seller_partner_id).update(status="suspended")


# Batches


def test_a_batch_matches_every_requirement_and_divides_stock(cotton, world, emitted):
    """§8.18: a second batch of the commodity and state is refused; a resumed one does nothing twice."""
    offer = cotton.offer(visibility="MATCHED_ONLY")
    hidden = cotton.offer(visibility="INTERNAL", seller=world.user("SELLER"), unit_price=Decimal(54_000))
    wants = [cotton.want(buyer=world.user("BUYER"), max_quantity=Decimal(most)) for most in (60, 50, 30)]
    manager = world.user("INTERNAL_MANAGER")
    run = batches.start_batch(actor=manager, commodity=cotton.goods, mode="FULL")
    for states in ((), ("24",)):
        with pytest.raises(problems.BatchRunning):
            batches.start_batch(actor=manager, commodity=cotton.goods, states=states)
    with CaptureQueriesContext(connection) as asked:
        assert work(str(run.job_id)) == "succeeded"
    locked = [
        table
        for query in asked.captured_queries
        for table in ("matching_match", "requirement_requirement", "availability_availability")
        if f'FOR NO KEY UPDATE OF "{table}"' in query["sql"]
    ]
    assert list(dict.fromkeys(locked)) == [
        "matching_match", "requirement_requirement", "availability_availability",
    ]  # fmt: skip
    filtered = [query for query in asked.captured_queries if "market AS MATERIALIZED" in query["sql"]]
    assert len(filtered) == 3 + 1, "each requirement once, and the contested offer"
    assert work(str(run.job_id)) == ""
    run = again(run)
    assert (run.status, run.pool, run.kept, run.found) == ("COMPLETED", 6, 6, 6)
    assert hidden.matches.count() == 3, "staff asked, so internal offers are matched"
    assert run.parts.count() == 3
    assert Job.objects.get(pk=run.job_id).accepted == 3
    given = dict(offer.matches.live().values_list("requirement_id", "allocated_quantity"))
    assert [given[want.pk] for want in wants] == [43, 36, 21]
    assert again(offer).available_quantity == 100
    again_run = batches.start_batch(actor=manager, commodity=cotton.goods)
    assert Job.objects.get(pk=again_run.job_id).total == 0, "all are matched by the current rules"


def test_a_requirement_that_cannot_be_matched_leaves_the_others_of_its_batch_matched(
    cotton, world, monkeypatch
):
    cotton.offer()
    wants = [cotton.want(buyer=world.user("BUYER")) for _ in range(3)]
    look_at = runs.look_at

    def broken(subject, **more):
        if subject == wants[1]:
            with connection.cursor() as cursor:
                cursor.execute("SELECT 1 / 0")
        return look_at(subject, **more)

    monkeypatch.setattr(runs, "look_at", broken)
    run = batches.start_batch(actor=world.user("INTERNAL_MANAGER"), commodity=cotton.goods, mode="FULL")
    work(str(run.job_id))
    job = Job.objects.get(pk=run.job_id)
    assert (job.accepted, job.refused) == (2, 1)
    assert [want.matches.count() for want in wants] == [1, 0, 1]


@pytest.mark.parametrize("change", ["rules", "figures"])
def test_what_changes_while_a_batch_looks_asks_for_another_run(cotton, world, deliver, change):
    want, _ = cotton.want(), cotton.offer()
    deliver()
    run_due()
    before = mark_of(want).rules
    assert before
    run = batches.start_batch(actor=world.user("INTERNAL_MANAGER"), commodity=cotton.goods, mode="FULL")
    with unit_of_work(SYSTEM):
        looked = batches.look_at_chunk(run, [want.pk])
        if change == "rules":
            with unguarded_writes():
                RuleSet(
                    version=1, status="ACTIVE", body=DEFAULT.stored(), base_version=0, reason="Others."
                ).save()
        else:
            rule_sets.forget_profiles(actor=SYSTEM, commodity_ids=[cotton.goods.pk])
        assert batches.match_row(run, want.pk, SYSTEM, looked[want.pk])
    assert mark_of(want).rules == (before if change == "rules" else "")
    assert cotton.goods in batches.out_of_date(10)


def test_a_batch_looks_at_no_requirement_that_has_ended(cotton, world):
    want = cotton.want()
    run = batches.start_batch(actor=world.user("INTERNAL_MANAGER"), commodity=cotton.goods, mode="FULL")
    put(want, status="SUSPENDED")
    with unit_of_work(SYSTEM):
        assert batches.look_at_chunk(run, [want.pk]) == {}
        assert not batches.match_row(run, want.pk, SYSTEM)


def test_new_rules_start_a_batch_of_what_was_matched_by_others(cotton):
    cotton.match()
    tasks.sweep_marks()
    run_due()
    assert tasks.start_batches() == 0
    with unguarded_writes():
        RuleSet(
            version=1, status="ACTIVE", body=DEFAULT.stored(), base_version=0, reason="Other weights."
        ).save()
    assert tasks.start_batches() == 1
    assert tasks.start_batches() == 0, "one runs already"
    run = MatchRun.objects.get(kind="BATCH")
    assert work(str(run.job_id)) == "succeeded"
    assert tasks.start_batches() == 0
    assert Match.objects.live().get().rule_set.version == 1


def test_figures_that_change_make_profiles_again(cotton):

    cotton.match()
    tasks.sweep_marks()
    run_due()
    rule_sets.forget_profiles(actor=SYSTEM, commodity_ids=[cotton.goods.pk])
    assert not OfferProfile.objects.exists()
    assert [each.pk for each in batches.out_of_date(9)] == [cotton.goods.pk]


# Digests


def test_new_matches_are_told_to_both_sides_in_digests(cotton, deliver, emitted, world):
    match = cotton.match()
    deliver()
    people = {cotton.buyer.pk, cotton.seller.pk}
    assert set(MatchNotice.objects.values_list("user_id", flat=True)) == people
    assert tasks.send_digests() == 0, "the window isn't over"
    with unguarded_writes():
        MatchNotice.objects.update(due_at=clock.now())
    assert tasks.send_digests() == 2
    assert tasks.send_digests() == 0
    payloads = [event.payload for event in emitted("matching.digest_due")]
    assert {each["user_id"] for each in payloads} == {str(key) for key in people}
    assert all(each["match_ids"] == [str(match.pk)] for each in payloads)
    deliver()
    assert Message.objects.filter(code="match_digest").count() == 2
    put(match.availability, unit_price=Decimal(53_450))
    cotton.run(match.requirement)
    deliver()
    assert not MatchNotice.objects.filter(told_at=None).exists(), (
        "a successor like the old one is nothing new"
    )


def test_of_many_matches_a_digest_has_the_best_five_and_none_is_lost(cotton, world, emitted):
    """§8.18."""
    wants = [cotton.want() for _ in range(7)]
    offer = cotton.offer()
    cotton.run(offer)
    assert Match.objects.live().count() == len(wants)
    for match in Match.objects.live():
        notices.note_match(actor=SYSTEM, match=match)
    sent = []
    for _ in range(2):
        with unguarded_writes():
            MatchNotice.objects.filter(told_at=None).update(due_at=clock.now())
        notices.send_digest(actor=SYSTEM, user_id=cotton.seller.pk)
        payload = emitted("matching.digest_due")[-1].payload
        sent.append((len(payload["match_ids"]), payload["more"]))
    assert sent == [(5, 2), (2, 0)]
    told = [key for event in emitted("matching.digest_due") for key in event.payload["match_ids"]]
    assert len(set(told)) == 7


def test_urgency_is_told_to_the_buyer_alone(cotton):
    """Rulings X13."""
    match = cotton.match(cotton.want(urgency="URGENT"))
    notices.note_match(actor=SYSTEM, match=match)
    due = dict(MatchNotice.objects.values_list("user_id", "due_at"))
    assert due[cotton.seller.pk] - due[cotton.buyer.pk] > timedelta(minutes=10)
