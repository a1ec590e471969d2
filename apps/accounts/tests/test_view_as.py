"""View as a partner: read-only, with a reason, for 30 minutes, recorded in events."""

from datetime import timedelta
from uuid import uuid4

import pytest
from django.utils import timezone

from apps.accounts import events, tasks
from apps.accounts.models import ViewAs
from apps.accounts.services import viewing
from apps.partners.models import Partner
from erp.admin.testing import controls
from erp.errors import CapabilityMissing, Invalid
from erp.models import unguarded_writes

pytestmark = pytest.mark.django_db
ADD = "/admin/account/viewas/add/"
OFFERS = "/admin/availability/availability/"
REASON = "They say an offer of theirs is missing."


@pytest.fixture
def manager(user):
    return user("INTERNAL_MANAGER")


@pytest.fixture
def seller(user):
    return user("SELLER")


def start(staff, seller):
    form = controls(staff.get(ADD), "viewas_form")
    return staff.post(ADD, {**form, "partner_id": str(seller.partner_id), "reason": REASON})


def test_a_view_as_a_partner_shows_only_what_the_partner_sees(
    staff_client_for, manager, seller, offer, assert_emitted
):
    own = offer(seller=seller, live=False)
    foreign = offer(live=False, submit=True)
    staff = staff_client_for(manager)
    assert foreign.number in staff.get(OFFERS).content.decode()
    assert start(staff, seller).status_code == 302
    view = ViewAs.objects.get()
    assert_emitted(
        events.ViewAsStarted,
        user_id=str(manager.pk),
        view_as_id=str(view.pk),
        partner_id=str(seller.partner_id),
    )
    page = staff.get(OFFERS).content.decode()
    assert own.number in page
    assert foreign.number not in page
    assert staff.get(f"{OFFERS}{foreign.pk}/change/").status_code in (302, 404)
    assert staff.get("/admin/account/user/").status_code == 200  # as everybody: one's own row, here nobody's
    assert str(manager.email) not in staff.get("/admin/account/user/").content.decode()


def test_pages_show_what_the_api_answers_to_the_partner(staff_client_for, manager, user, offer, client_for):
    buyer = user("BUYER")
    foreign = offer()  # of another seller: public, and masked
    staff = staff_client_for(manager)
    answer = start(staff, buyer)
    assert (answer.status_code, answer["Location"]) == (302, "/admin/")
    page = staff.get(f"{OFFERS}{foreign.pk}/change/")
    answer = client_for(buyer).read(f"/api/v1/availabilities/{foreign.pk}")
    assert (page.status_code, answer.status_code) == (200, 200)
    (table,) = page.context["tables"]
    shown = dict(table.rows)
    assert shown["Available quantity"] == (answer.json()["available_quantity"] or "–")
    assert shown["Place address"] == "–"
    assert foreign.address not in page.content.decode()
    assert str(foreign.seller_partner) not in page.content.decode()
    assert str(foreign.seller_partner) not in staff.get(OFFERS).content.decode()
    assert staff.get(f"{OFFERS}{foreign.pk}/history/").status_code == 403


def test_a_view_is_started_by_the_name_of_the_partner_and_names_it_on_every_page(
    staff_client_for, manager, seller
):
    name = str(Partner.objects.get(pk=seller.partner_id))
    staff = staff_client_for(manager)
    assert f">{name}</option>" in staff.get(ADD).content.decode()
    start(staff, seller)
    banner = staff.get("/admin/").content.decode()
    assert f"You are viewing as {name} until" in banner
    assert "IST" in banner


@pytest.mark.parametrize("path", ["/admin/", OFFERS, "/admin/commodity/commodity/"])
def test_every_page_shows_the_banner_of_the_view(staff_client_for, manager, seller, path):
    staff = staff_client_for(manager)
    start(staff, seller)
    page = staff.get(path).content.decode()
    assert f"You are viewing as {Partner.objects.get(pk=seller.partner_id)} until" in page
    assert "/admin/view-as/end/" in page


def test_a_view_as_a_partner_is_read_only_and_shows_no_actions(
    staff_client_for, manager, seller, offer, emitted
):
    own = offer(seller=seller, live=False)
    staff = staff_client_for(manager)
    start(staff, seller)
    ended = len(emitted())
    path = f"{OFFERS}{own.pk}/change/"
    page = staff.get(path)
    assert "erp-verb" not in page.content.decode()
    for address in (path, f"{OFFERS}{own.pk}/run/approve/", ADD):
        assert staff.post(address, {"reason": REASON}).status_code == 403
    assert len(emitted()) == ended


def test_a_view_ends_by_a_click_and_by_expiry(staff_client_for, manager, seller, assert_emitted):
    staff = staff_client_for(manager)
    start(staff, seller)
    assert staff.post("/admin/view-as/end/", {}).status_code == 302
    assert ViewAs.objects.get().ended_at is not None
    assert_emitted(events.ViewAsEnded, partner_id=str(seller.partner_id))
    assert "You are viewing as" not in staff.get("/admin/").content.decode()

    start(staff, seller)
    with unguarded_writes():
        ago = timezone.now() - timedelta(minutes=31)
        ViewAs.objects.live().update(created_at=ago, ends_at=ago + timedelta(minutes=30))
    assert "You are viewing as" not in staff.get("/admin/").content.decode()
    start(staff, seller)  # what is over doesn't stand in the way
    assert ViewAs.objects.filter(ended_at=None).count() == 1


def test_only_one_view_at_a_time_and_only_of_a_partner_with_active_users(manager, seller, partner):
    with pytest.raises(viewing.NobodyToViewAs):
        viewing.start_view_as(actor=manager, partner_id=partner().pk, reason=REASON)
    with pytest.raises(Invalid) as caught:
        viewing.start_view_as(actor=manager, partner_id=uuid4(), reason=REASON)
    assert [(fault.pointer, fault.code) for fault in caught.value.errors] == [
        ("/partner_id", "does_not_exist"),
    ]
    view = viewing.start_view_as(actor=manager, partner_id=seller.partner_id, reason=REASON)
    with pytest.raises(viewing.AlreadyViewing):
        viewing.start_view_as(actor=manager, partner_id=seller.partner_id, reason=REASON)
    assert view.ends_at - view.created_at == timedelta(minutes=30)


def test_viewing_needs_the_capability_and_only_the_viewer_ends_a_view(user, manager, seller):
    with pytest.raises(CapabilityMissing):
        viewing.start_view_as(actor=user("INTERNAL"), partner_id=seller.partner_id, reason=REASON)
    view = viewing.start_view_as(actor=manager, partner_id=seller.partner_id, reason=REASON)
    with pytest.raises(viewing.NotViewer):
        viewing.end_view_as(view, actor=user("INTERNAL_MANAGER"))


def test_an_expired_view_is_ended_once_with_an_event(manager, seller, emitted):
    view = viewing.start_view_as(actor=manager, partner_id=seller.partner_id, reason=REASON)
    assert tasks.expire_views_as() == 0
    ago = timezone.now() - timedelta(minutes=31)
    with unguarded_writes():
        ViewAs.objects.update(created_at=ago, ends_at=ago + timedelta(minutes=30))
    assert tasks.expire_views_as() == 1
    stored = ViewAs.objects.get(pk=view.pk)
    assert stored.ended_at == stored.ends_at
    [ended] = emitted("user.view_as.ended")
    assert ended.payload["view_as_id"] == str(view.pk)
    assert tasks.expire_views_as() == 0
