"""Trades in the staff portal: the story of a deal and its queues."""

import re
from decimal import Decimal

import pytest
from django.core.cache import cache
from django.core.files.uploadedfile import SimpleUploadedFile

from apps.availability.models import Reservation
from apps.trades.models import Acknowledgement, Dispatch, Refusal, Trade
from apps.trades.services import creation, disputes, execution
from apps.trades.tests.deals import LAB, Deals
from erp import clock
from erp.access import SYSTEM
from erp.files import PDF
from erp.models import unguarded_writes
from erp.services import unit_of_work
from erp.trail.models import ClearRead
from erp.uploads import services as uploads
from erp.uploads.models import StoredFile

pytestmark = pytest.mark.django_db
URL = "/admin/trade/trade/"


def test_the_page_of_a_trade_tells_its_story(world, staff_client_for):
    deals = Deals(world)
    trade = deals.acknowledged()
    client = staff_client_for(deals.managers[0])
    page = client.get(f"{URL}{trade.pk}/change/").content.decode()
    for text in (
        trade.number,
        "What is next",
        "Managers who had no part in it",
        "Acknowledged by the seller",
        "SSG-27",
    ):
        assert text in page, text
    assert trade.number in client.get(f"{URL}?status=PENDING_APPROVAL").content.decode()
    match = client.get(f"/admin/matching/match/{trade.match_id}/change/").content.decode()
    assert f'href="{URL}{trade.pk}/change/">{trade.number}' in match
    assert "Trades to approve" in client.get("/admin/").content.decode()
    assert "You have approved it" not in page
    for manager in deals.managers[:2]:
        staff_client_for(manager).fill(f"{URL}{trade.pk}/run/approve/", comment="Within the limits.")
    trade = Trade.objects.get(pk=trade.pk)
    assert trade.status == "APPROVED"
    deals.tested(trade)
    deals.weighed(trade)
    sent = deals.dispatched(trade)
    dispute = disputes.create_dispute(
        trade, actor=deals.buyers, kind="DELAY", statement="The lorry came four days late."
    )
    page = client.get(f"{URL}{trade.pk}/change/").content.decode()
    for text in ("Weighed, origin", "16,938.5", "Dispatched", "resolve a dispute", "Pass with allowance"):
        assert text in page, text
    for path in (
        f"dispatch/{sent.pk}/change/",
        f"dispute/{dispute.pk}/change/",
        "amendment/",
        "deadline/",
        "refusal/",
    ):
        assert client.get(f"/admin/trade/{path}").status_code == 200, path


def run(client, trade, service, **typed):
    """Fill in the form of a service on the trade's page; return the words of its errors."""
    page = client.fill(f"{URL}{trade.pk}/run/{service}/", **typed)
    if page.status_code == 302:
        return ""
    words = re.sub(r"<[^>]+>", " ", page.content.decode())
    return " ".join(words.split())


@pytest.mark.slow
def test_staff_run_a_trade_from_its_page(world, staff_client_for):
    """Quality, weight, dispatch, the e-way bill by hand, delivery and payment; forms offer rows of the trade only."""
    deals = Deals(world)
    trade, other = deals.approved(), deals.approved()
    desk, finance = staff_client_for(deals.desk), staff_client_for(deals.finance)
    lot = str(deals.lot(trade).pk)
    form = desk.get(f"{URL}{trade.pk}/run/record_quality/").content.decode()
    assert lot in form
    assert str(deals.lot(other).pk) not in form
    wanted = desk.form(f"{URL}{trade.pk}/run/record_quality/")
    codes = {str(row.pk): code for code, row in deals.parameters.items()}
    priced = [
        codes[value[0]] for name, value in wanted.items() if re.fullmatch(r"values\.\d+\.parameter_id", name)
    ]
    assert len(priced) >= 2
    typed = {f"values.{place}.value": LAB[code] for place, code in enumerate(priced)}
    report = SimpleUploadedFile("report.pdf", b"%PDF-1.4 results", PDF)
    tested = {"lot_id": lot, "source": "LAB", "governing": "on", "report_upload_id": report}
    assert "number" in run(desk, trade, "record_quality", **tested, **{**typed, "values.0.value": "many"})
    report.seek(0)
    assert run(desk, trade, "record_quality", **tested, **typed) == ""
    result = trade.quality_results.get()
    assert (result.report.name, result.decision) == ("report.pdf", "PASS_WITH_ALLOWANCE")

    at = clock.local(clock.now()).removesuffix(" IST")
    weighed = {
        "lot_id": lot, "stage": "ORIGIN", "weighed_at": at, "count": "100", "gross_kg": "17,023.500", "tare_kg": "85",
        "weighbridge": "Gondal", "slip_number": "WB-7",
    }  # fmt: skip
    assert run(desk, trade, "record_weight", **weighed) == ""
    assert "used before" in run(desk, trade, "record_weight", **weighed)
    assert trade.weighments.get().net_kg == Decimal("16938.500")

    sent = {"distance_km": "1730", "vehicle_number": "GJ03BT4321", "invoice_number": "SSG/0412"}
    assert "above the contract" in run(desk, trade, "dispatch", **sent, **{"lines.0.weight_kg": "99,000"})
    assert run(desk, trade, "dispatch", **sent, invoice_date=f"{clock.today():%d/%m/%Y}") == ""
    dispatch = trade.dispatches.get()
    assert [(row.count, row.weight_kg) for row in dispatch.lines.all()] == [(100, Decimal(17000))]

    bill = f"/admin/trade/dispatch/{dispatch.pk}"
    if dispatch.eway_status != "PENDING":
        with unguarded_writes():
            Dispatch.objects.filter(pk=dispatch.pk).update(eway_status="PENDING")
    execution.record_eway(dispatch, actor=SYSTEM)
    assert "E-way bills that failed" in desk.get("/admin/").content.decode()
    assert "Enter the e-way bill" in desk.get(f"{bill}/change/").content.decode()
    with unguarded_writes():
        Dispatch.objects.filter(pk=dispatch.pk).update(voided_at=clock.now())
    cache.clear()
    assert "E-way bills that failed" not in desk.get("/admin/").content.decode()
    with unguarded_writes():
        Dispatch.objects.filter(pk=dispatch.pk).update(voided_at=None)
    assert desk.fill(f"{bill}/run/enter_eway/", number="2410").status_code == 400
    assert desk.fill(f"{bill}/run/enter_eway/", number="241000000412").status_code == 302
    dispatch.refresh_from_db()
    assert (dispatch.eway_status, dispatch.eway_number) == ("RECORDED", "241000000412")
    with pytest.raises(execution.rules.NotYourPart):
        execution.enter_eway(dispatch, actor=deals.sellers, number="241000000413")

    assert str(dispatch.pk) in desk.get(f"{URL}{trade.pk}/run/deliver/").content.decode()
    assert run(desk, trade, "deliver", dispatch_id=str(dispatch.pk), final="on") == ""
    assert Trade.objects.get(pk=trade.pk).status == "DELIVERED"
    paid = {"kind": "BALANCE", "amount": "5,00,000.00", "method": "NEFT", "reference": "UTR1"}
    assert run(finance, trade, "record_payment", **paid) == ""
    assert trade.payments.get().amount == Decimal(500000)


def test_the_two_sides_and_staff_open_the_evidence_of_a_trade(world, staff_client_for, client_for):
    """Staff acknowledge on behalf with a letter; nobody opens it before the scan, and others never."""
    deals = Deals(world)
    trade = deals.created()
    desk = staff_client_for(deals.desk)
    form = f"{URL}{trade.pk}/run/acknowledge/"
    assert desk.fill(form, on_behalf_of="BUYER").status_code == 422
    letter = SimpleUploadedFile("letter.pdf", b"%PDF-1.4 agreed", PDF)
    assert desk.fill(form, on_behalf_of="BUYER", evidence_upload_id=letter).status_code == 302
    file = StoredFile.objects.get(name="letter.pdf")
    assert Acknowledgement.objects.get().evidence == file
    disputed = desk.get(f"{URL}{trade.pk}/change/").content.decode()
    assert "Acknowledgement on behalf" in disputed
    assert "The scan for malware" in disputed
    own = f"/admin/trade/trade/{trade.pk}/evidence/{file.pk}/"
    path = f"/api/v1/trades/{trade.pk}/evidence"
    seller = client_for(deals.sellers)
    assert desk.get(own).status_code == seller.read(f"{path}/{file.pk}/content").status_code == 404
    uploads.record_scan(file, actor=SYSTEM, clean=True)
    assert f"{own}?inline" in desk.get(f"{URL}{trade.pk}/change/").content.decode()
    assert desk.get(own).content == b"%PDF-1.4 agreed"
    (listed,) = seller.read(path).json()["results"]
    assert listed["links"]["content"] == f"{path}/{file.pk}/content"
    (given,) = seller.read(f"/api/v1/trades/{trade.pk}/acknowledgements").json()["results"]
    assert given["evidence_id"] == str(file.pk)
    reads = ClearRead.objects.filter(table="trade_trade", row=str(trade.pk))
    assert [(read.actor_id, read.fields) for read in reads] == [
        (deals.desk.pk, ["Acknowledgement on behalf"])
    ]
    assert client_for(deals.buyers).read(f"{path}/{file.pk}/content").content == b"%PDF-1.4 agreed"
    assert reads.all().count() == 1  # the two sides' openings aren't recorded
    assert client_for(deals.desk).read(f"{path}/{file.pk}/content").status_code == 200
    assert reads.all().count() == 2
    carrier = world.user("SERVICE_PROVIDER", of=deals.transporter)
    for other in (carrier, world.user("BUYER")):
        client = client_for(other)
        assert client.read(f"{path}/{file.pk}/content").status_code == 404
        assert file.name not in client.read(path).content.decode()
    other = deals.created()
    assert desk.get(f"/admin/trade/trade/{other.pk}/evidence/{file.pk}/").status_code == 404
    memo = deals.paper(deals.director)
    uploads.record_scan(memo, actor=SYSTEM, clean=True)
    with unguarded_writes():  # what proves a default is for staff only, like its note
        Trade.objects.filter(pk=trade.pk).update(cancel_evidence=memo)
    assert desk.get(f"/admin/trade/trade/{trade.pk}/evidence/{memo.pk}/").status_code == 200
    assert [each["id"] for each in seller.read(path).json()["results"]] == [str(file.pk)]
    assert seller.read(f"{path}/{memo.pk}/content").status_code == 404


def refused(deals):
    """The refusal of an accepted negotiation, for no organization is set."""
    negotiation = deals.negotiated()
    with unit_of_work(SYSTEM):
        creation.create_accepted(negotiation, actor=SYSTEM)
    return Refusal.objects.get()


def test_a_negotiation_without_trade_waits_on_the_home_page_until_staff_create_it(world, staff_client_for):
    deals = Deals(world)
    refusal, desk = refused(deals), staff_client_for(deals.desk)
    assert "Accepted negotiations without a trade" in desk.get("/admin/").content.decode()
    page = f"/admin/trade/refusal/{refusal.pk}"
    assert "Create the trade" in desk.get(f"{page}/change/").content.decode()
    made = desk.fill(f"{page}/run/create_refused/")
    assert made.status_code == 302, made.context["errors"]
    trade = Trade.objects.get()
    assert f"/admin/trade/trade/{trade.pk}/change/" in desk.get(made["Location"]).content.decode()
    assert (trade.negotiation_id, trade.created_by) == (refusal.negotiation_id, deals.desk)
    cache.clear()
    assert "Accepted negotiations without a trade" not in desk.get("/admin/").content.decode()


def test_a_negotiation_whose_reservation_has_ended_waits_until_staff_close_it(world, staff_client_for):
    deals = Deals(world)
    refusal, desk = refused(deals), staff_client_for(deals.desk)
    page = f"/admin/trade/refusal/{refusal.pk}"
    assert "Close without a trade" not in desk.get(f"{page}/change/").content.decode()
    with unguarded_writes():
        Reservation.objects.filter(pk=refusal.negotiation.reservation_id).update(status="EXPIRED")
    cache.clear()
    assert "Accepted negotiations without a trade" in desk.get("/admin/").content.decode()
    shown = desk.get(f"{page}/change/").content.decode()
    assert "Close without a trade" in shown
    assert "Create the trade" not in shown
    done = desk.fill(f"{page}/run/close_refused/", reason="The buyer withdrew; both sides were called.")
    assert done.status_code == 302, done.context["errors"]
    assert "The buyer withdrew" in desk.get(f"{page}/change/").content.decode()
    cache.clear()
    assert "Accepted negotiations without a trade" not in desk.get("/admin/").content.decode()
