"""Pictures and reports of offers: what others see of them, and what the files never tell."""

from datetime import timedelta
from io import BytesIO
from uuid import uuid4

import pytest
from django.core.files.uploadedfile import SimpleUploadedFile
from PIL import Image, PngImagePlugin

from apps.availability import pictures, tasks
from apps.availability.models import Availability, Media, Stage
from apps.availability.services import decisions, media, offers, rules
from apps.availability.tests import factories
from apps.partners.models import Partner
from config.testing import make_ready
from erp import clock
from erp.access import SYSTEM
from erp.files import JPEG, PDF, PNG, Upload
from erp.models import unguarded_writes
from erp.uploads import services as uploads
from erp.uploads.models import FileContent, StoredFile
from erp.uploads.tasks import scan

pytestmark = pytest.mark.django_db
MEDIA, OFFERS = "/api/v1/availabilities/media", "/api/v1/availabilities"
SECRETS = (b"Nikon Z9 of Somnath", b"2026:01:12 08:30", b"Rajkot gin", b"Somnath", b"thumbnail")


def photo(kind="JPEG", size=(640, 480)):
    """A picture that tells who made it, when and where, in every way that its format has."""
    picture, content = Image.new("RGB", size, (180, 140, 90)), BytesIO()
    if kind == "PNG":
        told = PngImagePlugin.PngInfo()
        told.add_text("Comment", "Rajkot gin")
        told.add_itxt("XML:com.adobe.xmp", "<x:xmpmeta>Somnath</x:xmpmeta>")
        picture.save(content, "PNG", pnginfo=told, dpi=(311, 311))
    else:
        exif = Image.Exif()
        exif[0x010F], exif[0x0132], exif[0x0112] = (
            "Nikon Z9 of Somnath",
            "2026:01:12 08:30",
            6,
        )  # turned by a quarter
        exif.get_ifd(0x8825)[1] = "N"
        picture.save(
            content, "JPEG", exif=exif, comment=b"Rajkot gin thumbnail", xmp=b"<x:xmpmeta>Somnath</x:xmpmeta>"
        )
    return content.getvalue()


def upload(seller, content, media_type=JPEG):
    file = Upload("Somnath-gin-12-Jan.jpg", media_type, content)
    return uploads.create(actor=seller, file=file, purpose=media.PURPOSE)


@pytest.fixture
def pictured(offer, user):
    """An offer with pictures of a seller, whose copies are made."""

    def make(*contents, **fields):
        seller = user("SELLER")
        rows = [
            {"upload": upload(seller, content), "caption": f"Lot {n}"} for n, content in enumerate(contents)
        ]
        made = offer(seller=seller, media=rows, **fields)
        scan()
        tasks.prepare_media()
        return made, seller

    return make


def show(offer, buyer, stage):
    decisions.disclose(
        offer, actor=SYSTEM, partner=Partner.objects.get(pk=buyer.partner_id), stage=stage, source_type="match",
        source_id=uuid4(),
    )  # fmt: skip


@pytest.mark.parametrize("kind", ["JPEG", "PNG"])
def test_a_copy_is_pixels_alone(kind):
    content = photo(kind)
    assert any(secret in content for secret in SECRETS)
    copy = pictures.without_metadata(content)
    assert [secret for secret in SECRETS if secret in copy] == []
    with Image.open(BytesIO(copy)) as seen:
        assert (seen.format, seen.size) == ("JPEG", (480, 640) if kind == "JPEG" else (640, 480))
        assert (dict(seen.getexif()), seen.info.keys() & {"exif", "xmp", "comment", "icc_profile", "photoshop"}) == (
            {}, set(),
        )  # fmt: skip
    with Image.open(BytesIO(pictures.without_metadata(photo(size=(4000, 1000))))) as seen:
        assert max(seen.size) == pictures.EDGE


@pytest.mark.parametrize("content", [b"", b"\xff\xd8\xff no picture", photo()[:200], b"%PDF-1.4"])
def test_what_is_no_picture_has_no_copy(content, monkeypatch):
    assert pictures.without_metadata(content) is None
    monkeypatch.setattr(pictures, "MOST_PIXELS", 1000)
    assert pictures.without_metadata(photo()) is None


def test_others_see_copies_that_staff_cleared_from_a_match_on_and_in_a_trade_all(pictured, user, client_for):
    live, seller = pictured(photo(), photo())
    first, second = live.media.order_by("position")
    buyer, staff = user("BUYER"), user("INTERNAL_MANAGER")

    def seen(person):
        rows = client_for(person).read(MEDIA, {"availability_id": str(live.pk)}).json()["results"]
        return [row["name"] for row in rows]

    media.clear_media(second, actor=staff)
    assert seen(buyer) == []
    assert client_for(buyer).read(f"{MEDIA}/{second.pk}/content").status_code == 404
    show(live, buyer, Stage.MATCHED)
    assert seen(buyer) == ["photo-2"]
    assert client_for(buyer).read(f"{MEDIA}/{first.pk}/content").status_code == 404
    answer = client_for(buyer).read(f"{MEDIA}/{second.pk}/content")
    assert (answer.status_code, answer["Content-Type"]) == (200, JPEG)
    assert answer["Content-Disposition"] == 'attachment; filename="photo-2.jpg"'
    assert [secret for secret in SECRETS if secret in answer.content] == []
    row = client_for(buyer).read(f"{MEDIA}/{second.pk}").json()
    assert {name for name, value in row.items() if value is None} == {"version", "created_at", "updated_at"}
    original = StoredFile.objects.get(pk=second.file_id)
    assert [each for each in (original.sha256, original.name, str(original.size)) if each in str(row)] == []
    show(live, buyer, Stage.TRADE)
    assert seen(buyer) == seen(seller) == seen(staff) == ["photo-1", "photo-2"]
    assert client_for(user("BUYER")).read(f"{MEDIA}/{second.pk}").status_code == 404


def test_a_caption_that_changes_is_cleared_anew_and_a_picture_that_is_left_out_is_erased(pictured, user):
    live, seller = pictured(photo(), photo())
    first, second = live.media.order_by("position")
    for row in (first, second):
        media.clear_media(row, actor=user("INTERNAL_MANAGER"))

    def edit(**fields):
        row = Availability.objects.get(pk=live.pk)
        return offers.update(row, actor=seller, content=factories.content(**fields))

    version = edit(notes="Ask first.").version
    assert live.media.filter(cleared=True).count() == 2  # left out: unchanged
    kept = [{"id": second.pk, "caption": "Lot 1"}]
    assert edit(notes="Ask first.", media=kept).version == version + 1
    assert (live.media.get().pk, live.media.get().cleared, str(live.media.get())) == (
        second.pk,
        True,
        "photo-1",
    )
    assert not FileContent.objects.filter(file__in=[first.file_id, first.copy_id]).exists()
    assert edit(notes="Ask first.", media=kept).version == version + 1
    assert edit(notes="Ask first.", media=[{"id": second.pk, "caption": "Call us"}]).status == "ACTIVE"
    assert not live.media.get().cleared
    for wrong in ({"id": first.pk}, {}, {"id": second.pk, "upload": upload(seller, photo())}):
        with pytest.raises(rules.MediaInvalid):
            edit(media=[wrong])
    with pytest.raises(rules.MediaInvalid):
        edit(media=[{"upload": upload(seller, b"%PDF-1.4", PDF)}])
    with pytest.raises(uploads.FileUsed):
        edit(media=[{"upload": upload(user("SELLER"), photo())}])


def test_a_picture_that_cannot_be_read_is_shown_to_nobody_and_tried_once(pictured, client_for):
    live, seller = pictured(b"\xff\xd8\xff no picture", photo())
    broken, good = live.media.order_by("position")
    assert (broken.is_refused, broken.copy_id, good.is_refused) == (True, None, False)
    assert tasks.prepare_media() == 0
    assert client_for(seller).read(f"{MEDIA}/{broken.pk}/content").status_code == 404
    assert not Media.objects.unprepared().exists()


def test_pictures_are_sent_with_the_offer_and_cleared_at_its_approval(user, client_for, commodity, emitted):
    goods, seller = commodity(), user("SELLER")
    sent = client_for(seller).write(
        "/api/v1/uploads", {"file": Upload("a.png", PNG, photo("PNG")), "purpose": media.PURPOSE}
    )
    terms = {f"{name}_id": str(row.pk) for name, row in factories.terms().items()}
    body = {
        "commodity_id": str(goods.pk), "total_quantity": "100", "total_weight_kg": "17000", "unit_price": "53500",
        "pricing_unit_id": str(factories.per_candy().pk), "available_from_date": str(clock.today()),
        "available_until_date": str(clock.today() + timedelta(days=9)), "submit": True,
        "place": {"address": "Gondal", "country": "IN", "state_code": "GJ"},
        "media": [{"upload_id": sent.json()["id"], "caption": "A bale"}], **terms,
    }  # fmt: skip
    posted = client_for(seller).write_twice(OFFERS, body)
    assert posted.status_code == 201, posted.content
    picture = Media.objects.get()
    approve = f"{OFFERS}/{posted.json()['id']}/approve"
    manager = client_for(user("INTERNAL_MANAGER"))
    wrong = manager.write(approve, {"cleared_media_ids": [str(uuid4())]}, if_match=posted["ETag"])
    assert (wrong.status_code, wrong.json()["code"]) == (422, "availability.media_invalid")
    done = manager.write(approve, {"cleared_media_ids": [str(picture.pk)]}, if_match=posted["ETag"])
    assert (done.status_code, Media.objects.get().cleared) == (200, True)
    assert len(emitted("availability.media_cleared")) == 1


def test_staff_see_pictures_beside_the_offer_and_clear_them(pictured, user, staff_client_for):
    live, _ = pictured(photo())
    picture = live.media.get()
    staff = staff_client_for(user("INTERNAL_MANAGER"))
    page = f"/admin/availability/media/{picture.pk}"
    assert (
        f"{page}/file/?inline"
        in staff.get(f"/admin/availability/availability/{live.pk}/change/").content.decode()
    )
    shown = staff.get(f"{page}/file/?inline")
    assert (shown.status_code, shown["Content-Type"]) == (200, JPEG)
    assert [secret for secret in SECRETS if secret in shown.content] == []
    staff.fill(f"{page}/run/clear_media/")
    assert live.media.get().cleared
    with unguarded_writes():
        Media.objects.update(copy=None)
    assert staff.get(f"{page}/file/").status_code == 404


def test_a_report_is_added_shown_and_verified_in_the_portal(
    offer, user, commodity, staff_client_for, client_for
):
    """A desk that may edit an offer adds the file with the results; it is read from a trade on."""
    goods = commodity()
    make_ready(goods)
    live = offer(commodity=goods, live=False, quality=[{"parameter": "moisture", "value": "8.0"}])
    add = f"/admin/availability/availability/{live.pk}/run/add_test_report/"
    said = {
        "lab_name": "CIRCOT", "report_no": "R-1", "sample_no": "S-1", "method": "OVEN",
        "tested_date": str(clock.today()), "values.0.parameter": "moisture", "values.0.value": "8.4",
    }  # fmt: skip
    file = SimpleUploadedFile("report.pdf", b"%PDF-1.4 report", PDF)
    answer = staff_client_for(user()).fill(add, **said, file=file)
    assert answer.status_code == 302, answer.content.decode()[-3000:]
    report = live.test_reports.get()
    with pytest.raises(rules.Incomplete):
        offers.add_test_report(
            live, actor=SYSTEM, lab_name="CIRCOT", report_no="R-2", sample_no="S", method="OVEN",
            tested_date=clock.today(), values=[],
        )  # fmt: skip
    page = f"/admin/availability/testreport/{report.pk}"
    staff = staff_client_for(user("INTERNAL_MANAGER"))
    assert staff.get(f"{page}/file/").status_code == 404  # before the scan
    scan()
    assert staff.get(f"{page}/file/").content == b"%PDF-1.4 report"
    shown = staff.get(f"{page}/change/").content.decode()
    assert "Download report.pdf" in shown
    assert "8.4" in shown
    staff.fill(f"{page}/run/verify_test_report/")
    assert live.test_reports.get().verified_at is not None
    buyer, path = user("BUYER"), f"{OFFERS}/test-reports/{report.pk}/content"
    with unguarded_writes():
        Availability.objects.update(status="ACTIVE")
    show(live, buyer, Stage.NEGOTIATING)
    assert client_for(buyer).read(path).status_code == 404
    show(live, buyer, Stage.TRADE)
    assert client_for(buyer).read(path).content == b"%PDF-1.4 report"
