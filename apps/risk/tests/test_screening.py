"""Screening: lists as snapshots, names in normal form and by sound, hits decided by two people (§8.11)."""

from datetime import timedelta
from decimal import Decimal

import pytest
from django.core.management import call_command
from django.db import IntegrityError, connection, transaction

from apps.approvals import services as approvals
from apps.approvals.models import ApprovalRequest
from apps.partners.models import IdentifierKey, Partner, PartnerOwner
from apps.risk import tasks
from apps.risk.models import ProviderCheck, ScreeningHit, ScreeningList
from apps.risk.services import screening
from apps.risk.tasks import screen_partners
from apps.risk.tests.factories import policy, sanctions
from erp import clock
from erp.access import SYSTEM
from erp.encryption import keyed_hash
from erp.errors import SelfApproval
from erp.models import unguarded_writes
from erp.text import company_form

pytestmark = pytest.mark.django_db


def hits(partner):
    rows = ScreeningHit.objects.of(partner).filter(ended=False).order_by("created_at")
    return [(hit.field, hit.entry_reference, hit.exact, hit.status) for hit in rows]


def screened(partner):
    screening.screen_partner(partner, actor=SYSTEM)
    return hits(partner)


def decide(hit, maker, other, status, meanwhile=lambda: None):
    proposed = screening.decide_hit(hit, actor=maker, status=status, reason="Another firm of another town.")
    request = ApprovalRequest.objects.get(pk=proposed.approval_id)
    with pytest.raises(SelfApproval):
        approvals.approve(request, actor=maker, subject_version=request.subject_version)
    meanwhile()
    approvals.approve(request, actor=other, subject_version=request.subject_version)


def test_equal_normal_forms_are_exact_and_likeness_alone_is_only_possible(deal, user, deliver, emitted):
    """§8.11: equal is FAIL, alike is REVIEW; a false positive stays quiet until the name changes."""
    assert (
        company_form("Sómnath Trading Pvt. Ltd.")
        == company_form("TRADING SOMNATH LIMITED")
        == "somnath trading"
    )
    made = deal()
    with unguarded_writes():
        Partner.objects.filter(pk=made.seller.pk).update(legal_name="Somnath Trading Corporation")
    sanctions(("E1", "ENTITY", "Sómnath Trading Corporations"), ("E2", "ENTITY", "Nobody Anywhere At All"))
    row = made.judge(10)  # compared on the way, since it never was
    hit = ScreeningHit.objects.get()
    assert Decimal("0.82") <= hit.similarity < 1
    assert not hit.exact
    assert (row.status, row.gate_codes) == ("REVIEW", ["screening.possible"])
    assert "somnath" not in str([event.payload for event in emitted()]).lower()

    def new_snapshot():  # while the decision waits
        sanctions(("E1", "ENTITY", "Sómnath Trading Corporations"), ("E3", "ENTITY", "Somebody New"))
        assert made.judge(10).status == "REVIEW"

    decide(hit, user("INTERNAL_COMPLIANCE"), user("INTERNAL_MANAGER"), "FALSE_POSITIVE", new_snapshot)
    deliver()
    assert made.judge(10).status == "PASS"
    sanctions(("E1", "ENTITY", "Sómnath Trading Corporations"), ("E4", "ENTITY", "Somebody Newer"))
    assert made.judge(10).status == "PASS"  # a new snapshot doesn't reopen it
    with unguarded_writes():
        Partner.objects.filter(pk=made.seller.pk).update(legal_name="Somnaath Trading Corporations")
    assert made.judge(10).gate_codes == ["screening.possible"]
    with unguarded_writes():
        Partner.objects.filter(pk=made.seller.pk).update(legal_name="M/s CORPORATIONS TRADING SOMNATH LLP")
    row = made.judge(10)
    assert (row.status, row.gate_codes) == ("FAIL", ["screening.match"])
    exact = ScreeningHit.objects.get(exact=True)
    decide(exact, user("INTERNAL_COMPLIANCE"), user("INTERNAL_MANAGER"), "TRUE_MATCH")
    deliver()
    assert Partner.objects.get(pk=made.seller.pk).suspension_code == "sanctions_match"
    with unguarded_writes():  # a true match stays one whatever the firm calls itself
        Partner.objects.filter(pk=made.seller.pk).update(legal_name="Quite Another Name")
    assert "screening.match" in made.judge(10).gate_codes
    assert ProviderCheck.objects.filter(partner=made.seller, kind="SCREENING").count() == 1


def test_countries_identifiers_owners_sounds_and_scripts(partner):
    sanctions(
        ("C1", "ENTITY", "Kestrel Arms", "SY"), ("C2", "PERSON", "Mohammed Zakir Ansari"),
        ("C3", "ENTITY", "Nothing Like It", "", "pan:ZZZFB9999Z"), ("C4", "COUNTRY", "Nowhere", "XX"),
        ("C5", "PERSON", "Kali"),
    )  # fmt: skip
    elsewhere = partner("Kestrel Arms Limited")
    assert screened(elsewhere) == [("legal_name", "C1", False, "OPEN")]  # equal, another country
    unknown = partner("Kestrel Arms", country="SY")
    assert screened(unknown)[0] == ("legal_name", "C1", True, "OPEN")
    owned = partner("Firm of a man")
    with unguarded_writes():
        PartnerOwner(partner=owned, name="Zaakir Mohd. Ansari", kind="partner").save()
        IdentifierKey(
            partner=owned, kind="pan", hash=keyed_hash("ZZZFB9999Z", context="identifier.pan")
        ).save()
    assert sorted(screened(owned)) == [("identifier", "C3", True, "OPEN"), ("owner", "C2", False, "OPEN")]
    assert screened(partner("Firm in a bad place", country="XX"))[0] == ("country", "C4", True, "OPEN")
    assert screened(partner("श्री गणेश ट्रेडर्स")) == [("legal_name", "script", False, "OPEN")]
    assert screened(partner("Kali Firm of weavers")) == []  # a short word alone is no sound


def test_a_new_snapshot_screens_all_once_and_a_short_one_waits_for_a_person(
    partner, user, emitted, deliver, monkeypatch
):
    """§8.11."""
    firms = [partner(f"Quiet Firm {number}") for number in "ABC"]
    rows = [(f"R{place}", "ENTITY", f"Wicked Company Number {place:03d}") for place in range(10)]
    monkeypatch.setattr(tasks, "CHUNK", 1)  # a run goes through all chunks
    first = sanctions(*rows, days_old=1)
    assert (first.status, first.entries) == ("ACTIVE", 10)
    assert screen_partners() >= 3
    assert screen_partners() == 0
    asked = [
        event for event in emitted("risk.check_answered") if event.payload["partner_id"] == str(firms[0].pk)
    ]
    assert [event.payload["changed"] for event in asked] == [False]
    policy(similarity=Decimal("0.6"))
    assert screen_partners() >= 3  # others are alike now
    assert screen_partners() == 0
    again = sanctions(*rows)
    assert again.status == "ACTIVE"
    assert screen_partners() == 0
    assert ScreeningList.objects.get(pk=first.pk).status == "RETIRED"
    short = sanctions(*rows[:7], days_old=0)
    assert short.status == "LOADED"
    assert ScreeningList.objects.active().get() == again
    two = user("INTERNAL_COMPLIANCE"), user("INTERNAL_DIRECTOR")

    def agree(act, row):
        act(row, actor=two[0], reason="Compared with the publisher's page.")
        request = ApprovalRequest.objects.pending().get(kind="risk.list")
        with pytest.raises(SelfApproval):
            approvals.approve(request, actor=two[0], subject_version=request.subject_version)
        approvals.approve(request, actor=two[1], subject_version=request.subject_version)
        return ScreeningList.objects.get(pk=row.pk)

    assert agree(screening.activate_list, short).status == "ACTIVE"
    assert screen_partners() >= 3
    by_hand = screening.load_list(
        actor=two[0], code="UNN", source="Test", snapshot_date=clock.today() - timedelta(days=9),
        content=b"reference,kind,names,country,identifiers\nX1,ENTITY,Somebody Else,,\n",
    )  # fmt: skip
    assert by_hand.status == "LOADED"  # one person makes nothing count
    assert agree(screening.activate_list, by_hand).status == "ACTIVE"
    lists = screening.lists_now()
    assert screening.freshness(lists, 7) == {
        "stale": True,
        "newest": (clock.today() - timedelta(days=9)).isoformat(),
        "code": "UNN",
    }
    assert agree(screening.retire_list, by_hand).status == "RETIRED"  # the code was a typing error
    assert not screening.freshness(screening.lists_now(), 7)["stale"]
    with pytest.raises(screening.ListNotActive):
        screening.retire_list(
            ScreeningList.objects.get(pk=by_hand.pk), actor=two[0], reason="Once more, please."
        )
    with pytest.raises(screening.ListOutdated):
        sanctions(*rows, ("R10", "ENTITY", "One more"), days_old=3)
    with pytest.raises(screening.ListNotWaiting):
        screening.activate_list(again, actor=SYSTEM, reason="It was retired before.")
    for faulty in [
        ("R1", "GHOST", "Name"), ("R1", "ENTITY", ""), ("R1", "ENTITY", "N", "", "dna:1"),
        ("R1", "ENTITY", "Name", "ir"), ("R1", "COUNTRY", "Nowhere"), ("R1", "ENTITY", "bk" * 60),
        ("R1", "ENTITY", "Name", "IR", "", "more"),
    ]:  # fmt: skip
        with pytest.raises(screening.ListInvalid):
            sanctions(faulty)
    with pytest.raises(screening.ListInvalid) as cut:
        screening.load_list(
            actor=SYSTEM, code="UN", source="Test", snapshot_date=clock.today(),
            content=b"reference,kind,names,country,identifiers\nR1,ENTITY,Somebody",
        )  # fmt: skip
    assert cut.value.errors[0].pointer == "/rows/0"
    with pytest.raises(screening.ListInvalid):
        sanctions(*rows[:1], *rows[:1])
    assert len(emitted("risk.list_loaded")) == 7
    with pytest.raises(IntegrityError), transaction.atomic(), connection.cursor() as cursor:
        cursor.execute("DELETE FROM risk_screeningentry")


def test_an_old_or_missing_list_is_reviewed_where_lists_are_required(deal, settings):
    """Rulings §5: older than 7 days is REVIEW; nothing missing counts as good."""
    made = deal()
    settings.SCREENING_REQUIRED = True
    assert made.judge(10).gate_codes == ["screening.stale"]
    sanctions(("E2", "ENTITY", "Nobody Anywhere At All"), days_old=7)
    assert made.judge(10).status == "PASS"
    with unguarded_writes():
        ScreeningList.objects.update(snapshot_date=clock.today() - timedelta(days=8))
    row = made.judge(10)
    assert (row.status, {gate["code"] for gate in row.gates}) == ("REVIEW", {"screening.stale"})
    assert row.gates[0]["evidence"]["list"] == "UN"
    sanctions(("E2", "ENTITY", "Nobody Anywhere At All"))
    with unguarded_writes():
        demo = sanctions(("E2", "ENTITY", "Nobody Anywhere At All"), code="DEMO", days_old=8)
    assert demo.status == "ACTIVE"
    assert made.judge(10).status == "REVIEW"
    settings.RISK_PROVIDERS = {**settings.RISK_PROVIDERS, "screening": ("https://feed.example", "")}
    assert made.judge(10).status == "PASS"  # what the sandbox loaded counts no more


def test_names_are_found_by_the_index(partner):
    """§5.7: the likeness is looked up, not computed for every entry."""
    sanctions(*[(f"R{n}", "ENTITY", f"Company {n:04d} of {n * 7919:06d} Street") for n in range(300)])
    with connection.cursor() as cursor:
        cursor.execute("SET LOCAL enable_seqscan = off")
        cursor.execute("EXPLAIN SELECT 1 FROM risk_screeningname WHERE normalised % 'company street'")
        plan = "\n".join(line for (line,) in cursor.fetchall())
    assert "screening_name_alike" in plan


def test_a_list_is_loaded_by_command(tmp_path, capsys):
    file = tmp_path / "list.csv"
    file.write_text("reference,kind,names,country,identifiers\nX1,ENTITY,Somebody|Some Body,,\n")
    call_command("load_screening_list", "UN", str(file), "--source", "UN consolidated list")
    row = ScreeningList.objects.get()
    assert (row.code, row.entries, row.status) == ("UN", 1, "ACTIVE")
