"""Related parties: found in any order, joined into groups, decided by two people; checks and permissions overridden."""

import itertools
from datetime import timedelta
from threading import Event

import pytest
from django.db import transaction

from apps.approvals import services as approvals
from apps.approvals.models import ApprovalRequest
from apps.partners.models import (
    IdentifierKey,
    KycCheck,
    OnboardingRound,
    Partner,
    PartyLink,
    TradePermission,
)
from apps.partners.services import checks, decisions, links, overrides, submission
from apps.partners.services.rules import DuplicateRegistration
from apps.partners.tasks import approve_automatically, keep_dates
from apps.partners.tests import factories
from erp import clock, locks
from erp.access import SYSTEM
from erp.errors import SelfApproval
from erp.models import unguarded_writes
from erp.services import Refusal
from erp.testing import at_once

pytestmark = pytest.mark.django_db
SUBMIT = {"declaration": True, "terms_version": "1", "notice_version": "1", "consent_purposes": ["essential"]}


def firm(**fields):
    """A partner with its own contact and address, so that it shares nothing by chance."""
    number = fields.pop("number", "") or factories.pan()
    return factories.ready_partner(
        **{
            "contact_email": f"office@{number.lower()}.example",
            "contact_phone": f"+9198{int(number[5:9]) % 10000:04d}{len(number):02d}00",
            "line1": f"Plot {number}",
            **fields,
        }
    )


def find(partner):
    links.find_links(Partner.objects.get(pk=partner.pk), actor=SYSTEM)


def give(partner, **values):
    """Write identifiers past the services, as if they had been entered."""
    with unguarded_writes():
        row = Partner.objects.get(pk=partner.pk)
        for name, value in values.items():
            setattr(row, name, value)
        row.save()
    find(row)


def group_of(partner):
    return Partner.objects.get(pk=partner.pk).group_id


def decide(link, asker, decider, status):
    """Decide a link with two people."""
    links.decide_link(link, actor=asker, status=status, reason="The deeds of both firms were seen.")
    request = ApprovalRequest.objects.get(subject_id=link.pk, status="pending")
    approvals.approve(request, actor=decider, subject_version=request.subject_version)
    return PartyLink.objects.get(pk=link.pk)


def refusal(partner, actor):
    """The LinksOpen that an approval is refused with."""
    refused = decisions.approve(Partner.objects.get(pk=partner.pk), actor=actor)
    assert isinstance(refused, Refusal)
    assert isinstance(refused.problem, decisions.LinksOpen)
    return refused.problem


@pytest.mark.parametrize("order", list(itertools.permutations(range(3))))
def test_three_partners_share_a_group_in_any_order_of_arrival(order):
    """A and B have one PAN, and B's second GSTIN contains the PAN of C: so A and C belong together."""
    pan_one, pan_two = factories.pan(), factories.pan()
    trio = [firm(), firm(), firm()]
    values = [{"pan": pan_one}, {"pan": pan_one}, {"pan": pan_two}]
    for index in order:
        give(trio[index], **values[index])
        if index == 1:
            with unguarded_writes():
                registration = trio[1].tax_registrations.model(
                    partner=trio[1], state_code="27", form="REGULAR", claimed=True
                )
                registration.gstin = factories.gstin(pan_two, "27")
                registration.save()
            find(trio[1])
    assert {group_of(each) for each in trio} == {min(each.pk for each in trio)}
    assert (
        sorted(PartyLink.objects.values_list("kind", "strength", "status"))
        == [("pan", "block", "suspected")] * 2
    )


@pytest.mark.django_db(transaction=True)
def test_two_partners_that_arrive_at_once_are_linked_once():
    pan = factories.pan()
    pair = [firm(), firm()]
    with unguarded_writes():
        for each in pair:
            row = Partner.objects.get(pk=each.pk)
            row.pan = pan
            row.save()
    begun, done = Event(), Event()

    def first():
        with transaction.atomic():
            find(pair[0])
            begun.set()
            while not (locks.are_awaited() or done.is_set()):
                done.wait(0.01)

    def second():
        begun.wait()
        find(pair[1])
        done.set()

    at_once(first, second)
    assert PartyLink.objects.filter(kind="pan").count() == 1
    assert group_of(pair[0]) == group_of(pair[1]) is not None


def test_links_and_events_hold_kinds_and_no_values(emitted):
    pan, phone = factories.pan(), "+919812345678"
    pair = [firm(), firm()]
    for each in pair:
        give(each, pan=pan, contact_phone=phone, contact_email="office@shared.example")
    made = {link.kind: link for link in PartyLink.objects.all()}
    assert {kind: made[kind].strength for kind in made} == {
        "pan": "block", "phone": "warn", "email_domain": "warn",
    }  # fmt: skip
    written = repr([(link.evidence, str(link)) for link in made.values()]) + repr(
        [event.payload for event in emitted("partner.related_party")]
    )
    assert len(emitted("partner.related_party.detected")) == 3
    for value in (pan, phone, phone[-10:], "shared.example"):
        assert value not in written
    assert not IdentifierKey.objects.filter(hash__in=[pan, phone, "shared.example"]).exists()


def test_staff_read_the_links_of_a_partner_and_the_partner_none(user, client_for):
    pan, pair = factories.pan(), [firm(), firm()]
    for each in pair:
        give(each, pan=pan)
    for each in pair:
        path = f"/api/v1/partners/{each.pk}/links"
        (shown,) = client_for(user("INTERNAL")).read(path).json()["results"]
        assert (shown["kind"], set(shown["partner_ids"])) == ("pan", {str(one.pk) for one in pair})
    assert (
        client_for(user("PARTNER_ADMIN", of=pair[0]))
        .read(path.replace(str(pair[1].pk), str(pair[0].pk)))
        .json()["results"]
        == []
    )


def test_public_mail_links_nobody():
    for _ in range(2):
        give(firm(), contact_email="somebody@gmail.com")
    assert not PartyLink.objects.exists()


def test_a_key_that_is_gone_is_forgotten_and_a_link_stays():
    pair = [firm(), firm()]
    for each in pair:
        give(each, contact_phone="+919812345678")
    give(pair[0], contact_phone="+919812345679")
    assert IdentifierKey.objects.filter(kind="phone").values("hash").distinct().count() == 2
    assert PartyLink.objects.get().kind == "phone"


def test_a_branch_is_linked_to_its_broker_without_suspicion():
    broker, branch = firm(), firm()
    give(branch, parent=broker)
    link = PartyLink.objects.get()
    assert (link.kind, link.source, link.status) == ("parent", "declared", "confirmed")
    assert group_of(broker) == group_of(branch) == broker.pk


def test_the_same_pan_blocks_the_approval_until_two_people_have_decided(user, deliver):
    compliance, manager, director = (
        user(f"INTERNAL_{each}") for each in ("COMPLIANCE", "MANAGER", "DIRECTOR")
    )
    known = firm()
    find(known)
    file = factories.reviewed(pan=known.pan, gstin=factories.gstin(known.pan, "27"))
    assert file.route == "director"
    partner = file.partner
    refused = refusal(partner, director)
    link = PartyLink.objects.get(kind="pan")
    assert [(error.pointer, error.code) for error in refused.errors] == [(f"/links/{link.pk}", "pan")]

    links.decide_link(link, actor=compliance, status="confirmed", reason="Both are branches of one firm.")
    request = ApprovalRequest.objects.get(subject_id=link.pk)
    with pytest.raises(SelfApproval):
        approvals.approve(request, actor=compliance, subject_version=request.subject_version)
    approvals.approve(request, actor=director, subject_version=request.subject_version)
    link.refresh_from_db()
    assert (link.status, link.proposed_status, link.decided_by_id) == ("confirmed", None, director.pk)
    with pytest.raises(decisions.RouteNotAllowed):
        decisions.approve(Partner.objects.get(pk=partner.pk), actor=manager)
    decisions.approve(Partner.objects.get(pk=partner.pk), actor=director)
    assert group_of(partner) == known.pk


def test_a_cleared_link_leaves_the_group_and_is_suspected_again_after_180_days(user, set_clock, emitted):
    compliance, director = user("INTERNAL_COMPLIANCE"), user("INTERNAL_DIRECTOR")
    pan = factories.pan()
    pair = [firm(), firm()]
    for each in pair:
        give(each, pan=pan)
    cleared = decide(PartyLink.objects.get(), compliance, director, "cleared")
    until = clock.today() + timedelta(days=180)
    assert (cleared.status, cleared.cleared_until_date) == ("cleared", until)
    assert group_of(pair[0]) is group_of(pair[1]) is None
    assert emitted("partner.related_party.decided")[0].payload["cleared_until_date"] == str(until)
    find(pair[0])
    assert PartyLink.objects.get().status == "cleared"
    set_clock(clock.now() + timedelta(days=180))
    keep_dates()
    assert PartyLink.objects.get().status == "cleared"
    set_clock(clock.now() + timedelta(days=1))
    keep_dates()
    assert PartyLink.objects.get().status == "suspected"
    assert group_of(pair[0]) == group_of(pair[1]) == min(each.pk for each in pair)


def test_a_refused_decision_leaves_the_link_as_it_was(user):
    compliance, director = user("INTERNAL_COMPLIANCE"), user("INTERNAL_DIRECTOR")
    pan = factories.pan()
    for _ in range(2):
        give(firm(), pan=pan)
    link = PartyLink.objects.get()
    links.decide_link(link, actor=compliance, status="cleared", reason="The deeds of both were seen.")
    request = ApprovalRequest.objects.get(subject_id=link.pk)
    approvals.reject(
        request,
        actor=director,
        subject_version=request.subject_version,
        reason_code="other",
        note="Not shown.",
    )
    link.refresh_from_db()
    assert (link.status, link.proposed_status) == ("suspected", None)


def test_a_disputed_registration_is_one_item_with_both_files(user):
    """Neither file is approved until it is decided, and both take the director's route (rulings §5)."""
    manager, director = user("INTERNAL_MANAGER"), user("INTERNAL_DIRECTOR")
    first = factories.reviewed()
    gstin = first.partner.tax_registrations.get().gstin
    second = factories.complete(factories.draft(pan=first.partner.pan, gstin=gstin))
    for _ in range(2):
        refused = submission.submit(OnboardingRound.objects.get(pk=second.pk), actor=SYSTEM, **SUBMIT)
        assert isinstance(refused, Refusal)
        assert isinstance(refused.problem, DuplicateRegistration)
    dispute = PartyLink.objects.get(kind="gstin")
    assert {dispute.low_id, dispute.high_id} == {first.partner_id, second.partner_id}
    refusal(first.partner, director)
    decide(dispute, user("INTERNAL_COMPLIANCE"), director, "confirmed")
    with pytest.raises(decisions.RouteNotAllowed):
        decisions.approve(Partner.objects.get(pk=first.partner_id), actor=manager)


def share_a_pan_unseen(partner):
    """Give another partner the same PAN, without a look for related parties."""
    with unguarded_writes():
        key = IdentifierKey.objects.get(partner=partner, kind="pan")
        IdentifierKey(partner=firm(), kind="pan", hash=key.hash).save()


def test_a_link_that_is_found_at_approval_stays_and_can_be_decided(user, emitted):
    file = factories.reviewed()
    share_a_pan_unseen(file.partner)
    refusal(file.partner, user("INTERNAL_DIRECTOR"))
    link = PartyLink.objects.get(kind="pan")
    assert emitted("partner.related_party.detected")[-1].payload["link_id"] == str(link.pk)
    assert Partner.objects.get(pk=file.partner_id).status == "pending"
    decided = decide(link, user("INTERNAL_COMPLIANCE"), user("INTERNAL_DIRECTOR"), "cleared")
    assert decided.status == "cleared"


def test_a_link_that_is_found_at_automatic_approval_counts_as_no_approval(settings):
    settings.PARTNER_AUTO_APPROVAL = True
    file = factories.reviewed()
    share_a_pan_unseen(file.partner)
    with unguarded_writes():
        OnboardingRound.objects.filter(pk=file.pk).update(route="auto")
        PartyLink.objects.all().delete()
    assert approve_automatically() == 0
    assert PartyLink.objects.filter(kind="pan").exists()


def test_no_file_with_a_link_is_approved_by_itself(settings):
    settings.PARTNER_AUTO_APPROVAL = True
    plain, linked = factories.reviewed(), factories.reviewed()
    with unguarded_writes():
        OnboardingRound.objects.filter(pk__in=[plain.pk, linked.pk]).update(route="auto")
        PartyLink.objects.all().delete()  # of the address and telephone that factories share
        low, high = sorted((linked.partner_id, firm().pk))
        PartyLink(low_id=low, high_id=high, kind="phone", strength="warn").save()
    assert approve_automatically() == 1
    statuses = Partner.objects.in_bulk([plain.partner_id, linked.partner_id])
    assert [statuses[each.partner_id].status for each in (plain, linked)] == ["active", "pending"]


def test_a_link_found_under_review_moves_the_file_to_the_director(user, deliver):
    file = factories.reviewed(pan="ZZZFS1001A", gstin="24ZZZFS1001A1ZK")
    assert file.route != "director"
    give(firm(), pan=file.partner.pan)
    deliver()
    file.refresh_from_db()
    assert file.route == "director"


def test_a_failed_check_is_waived_by_two_people_who_did_not_write_the_file(user):
    compliance, director = user("INTERNAL_COMPLIANCE"), user("INTERNAL_DIRECTOR")
    round = factories.submitted()
    factories.pass_checks(round)
    check = KycCheck.objects.get(round=round, kind="gst")
    with unguarded_writes():
        check.status = "failed"
        check.save()
    waived = overrides.waive_check(check, actor=compliance, reason="The registry confirmed it by letter.")
    assert waived.status == "failed"
    request = ApprovalRequest.objects.get(subject_id=check.pk)
    with pytest.raises(SelfApproval):
        approvals.approve(request, actor=compliance, subject_version=request.subject_version)
    approvals.approve(request, actor=director, subject_version=request.subject_version)
    check.refresh_from_db()
    assert (check.status, check.waiver_approval_id) == ("waived", request.pk)
    round.refresh_from_db()
    assert (round.status, round.route) == ("under_review", "director")
    with pytest.raises(overrides.InvalidState):
        overrides.waive_check(check, actor=compliance, reason="For the second time, though it is waived.")


def test_attempts_keep_a_waiver_and_an_answer_makes_it_stale(user):
    compliance, director = user("INTERNAL_COMPLIANCE"), user("INTERNAL_DIRECTOR")
    check = KycCheck.objects.get(round=factories.submitted(), kind="gst")
    overrides.waive_check(check, actor=compliance, reason="The registry is down for a week.")
    request = ApprovalRequest.objects.get(subject_id=check.pk)
    checks.record_check(check, actor=SYSTEM, input_hash=check.input_hash, error_code="unavailable")
    assert overrides.CHECK_WAIVER.version_of(KycCheck.objects.get(pk=check.pk)) == request.subject_version
    checks.settle_check(check, actor=user("INTERNAL_MANAGER"), reason="Seen on the registry's portal.")
    with pytest.raises(approvals.Stale):
        approvals.approve(request, actor=director, subject_version=request.subject_version)


def test_an_override_gives_a_permission_until_its_day_whatever_the_papers(user, set_clock, emitted):
    compliance, director = user("INTERNAL_COMPLIANCE"), user("INTERNAL_DIRECTOR")
    partner = factories.file_of("approved").partner
    last = clock.today() + timedelta(days=10)
    overrides.override_permission(
        partner, actor=compliance, name="export_allowed", valid_to=last, reason="The IEC is being renewed."
    )
    assert not TradePermission.objects.filter(partner=partner, name="export_allowed").exists()
    request = ApprovalRequest.objects.get(kind="partner.permission_override")
    with pytest.raises(SelfApproval):
        approvals.approve(request, actor=compliance, subject_version=request.subject_version)
    approvals.approve(request, actor=director, subject_version=request.subject_version)
    given = TradePermission.objects.get(partner=partner, name="export_allowed")
    assert (given.source, given.valid_to) == ("override", last)
    told = emitted("partner.capabilities_changed")[-1].payload
    assert ("export_allowed" in told["added"], told["override"]) == (True, True)
    overrides.end_overridden(partner, actor=SYSTEM)  # as any change of a paper computes anew
    assert TradePermission.objects.on(clock.today()).filter(partner=partner, name="export_allowed").exists()
    set_clock(clock.now() + timedelta(days=11))
    assert (
        not TradePermission.objects.on(clock.today()).filter(partner=partner, name="export_allowed").exists()
    )
    keep_dates()
    assert "export_allowed" in emitted("partner.capabilities_changed")[-1].payload["removed"]


def test_papers_count_again_from_the_day_after_an_override(user):
    partner = factories.approved()
    last = clock.today() + timedelta(days=5)
    overrides.override_permission(
        partner,
        actor=user("INTERNAL_COMPLIANCE"),
        name="domestic_sell_india",
        valid_to=last,
        reason="Until then.",
    )
    request = ApprovalRequest.objects.get(kind="partner.permission_override")
    approvals.approve(request, actor=user("INTERNAL_DIRECTOR"), subject_version=request.subject_version)
    rows = TradePermission.objects.filter(partner=partner, name="domestic_sell_india").order_by("valid_from")
    assert list(rows.values_list("source", "valid_to")) == [("override", last), ("detected", None)]
    assert rows.last().valid_from == last + timedelta(days=1)


def test_a_withdrawn_application_counts_against_nobody(user, deliver):
    """Whoever types another firm's PAN into an application can't keep that firm from being approved."""
    victim, known, director = factories.reviewed(), firm(), user("INTERNAL_DIRECTOR")
    number = victim.partner.pan
    rival = factories.submitted(pan=number, gstin=factories.gstin(number, "27"))
    low, high = sorted((rival.partner_id, known.pk))
    with unguarded_writes():
        PartyLink(low_id=low, high_id=high, kind="pan", strength="block").save()
    find(rival.partner)
    deliver()
    victim.refresh_from_db()
    assert victim.route == "director"
    assert group_of(known) == min(victim.partner_id, rival.partner_id, known.pk)
    refusal(victim.partner, director)
    submission.withdraw(rival, actor=SYSTEM)
    assert group_of(rival.partner) is group_of(victim.partner) is group_of(known) is None
    assert decisions.approve(Partner.objects.get(pk=victim.partner_id), actor=director).status == "active"


def test_links_are_found_in_as_many_statements_for_many_partners_as_for_one(
    django_assert_max_num_queries,
):
    def queries(partners, phone):
        for _ in range(partners):
            give(firm(), contact_phone=phone)
        late = firm(contact_phone=phone)
        with django_assert_max_num_queries(1000) as counted:
            find(late)
        assert PartyLink.objects.of(late.pk).count() == partners
        return sum("partner_partylink" in each["sql"] for each in counted.captured_queries)

    assert queries(8, "+919812345678") == queries(1, "+919812345679")


def test_a_key_of_many_partners_hides_no_other_key(monkeypatch):
    monkeypatch.setattr(links, "PARTNERS_A_KEY", 2)
    adviser, own = "+919812345678", "+919812345679"
    for _ in range(3):
        give(firm(), contact_phone=adviser)
    related, late = firm(), firm(contact_phone=adviser)
    give(related, contact_phone=own)
    with unguarded_writes():
        late.locations.create(
            code="BR",
            name="Branch",
            kind="warehouse",
            contact_phone=own,
            line1="Plot 9",
            **{name: factories.ADDRESS[name] for name in ("city", "district", "state_code", "postal_code")},
        )
    find(late)
    linked = {pk for link in PartyLink.objects.of(late.pk) for pk in link.partner_ids} - {late.pk}
    assert related.pk in linked
    assert len(linked) == 3


def test_a_draft_blocks_an_application_and_no_approved_partner():
    known, pending = firm(), factories.submitted()
    started = factories.draft().partner
    for other in (known.pk, pending.partner_id):
        with unguarded_writes():
            low, high = sorted((started.pk, other))
            PartyLink(low_id=low, high_id=high, kind="gstin", strength="block").save()
    (link,) = PartyLink.objects.blocking()
    assert set(link.partner_ids) == {started.pk, pending.partner_id}


def test_a_named_broker_isnt_linked_before_the_branch_is_approved():
    broker, round = firm(roles=("broker",)), factories.reviewed()
    give(round.partner, parent=broker)
    assert PartyLink.objects.get(kind="parent").status == "confirmed"
    assert (links.is_linked(broker), group_of(broker)) == (False, None)
    assert links.is_linked(Partner.objects.get(pk=round.partner_id)), "the branch itself needs a director"
    decisions.approve(Partner.objects.get(pk=round.partner_id), actor=SYSTEM)
    assert links.is_linked(broker)
    assert group_of(broker) == group_of(round.partner) == min(broker.pk, round.partner_id)
