"""Templates and messages in the staff portal."""

import pytest
from django.urls import reverse

from apps.notifications.models import Message, Template
from apps.notifications.tests.examples import notify
from erp.models import unguarded_writes

pytestmark = pytest.mark.django_db
TEXTS, MESSAGES = "/admin/notification/template/", "/admin/notification/message/"


@pytest.fixture
def staff(user, staff_client_for):
    return staff_client_for(user("INTERNAL_MASTERDATA"))


def test_master_data_staff_change_a_template(staff, texts):
    template = Template.objects.get(code="new_sign_in", channel="mail", locale="en-IN")
    page = reverse("admin:notification_template_change", args=[template.pk])
    assert "{name}" in staff.get(page).content.decode()
    refused = staff.fill(page, body="Dear {nobody}")
    assert refused.status_code == 422
    assert "{nobody} is not one of name." in refused.content.decode()
    assert staff.fill(page, subject="Anew", body="Dear {name}").status_code == 302
    assert Template.objects.get(pk=template.pk).subject == "Anew"


def test_master_data_staff_add_a_template_and_retire_it(staff, texts):
    answer = staff.fill(
        f"{TEXTS}add/", code="digest", channel="mail", locale="gu-IN", subject="{count}", body="{lines}"
    )
    assert answer.status_code == 302
    template = Template.objects.get(code="digest", locale="gu-IN")
    run = reverse("admin:notification_template_run", args=[template.pk, "retire_template"])
    assert staff.fill(run).status_code == 302
    assert Template.objects.get(pk=template.pk).status == "retired"


def test_a_failed_message_is_sent_again(staff, user):
    message = notify(user("INTERNAL"))
    with unguarded_writes():
        Message.objects.filter(pk=message.pk).update(status="failed", error_code="unavailable", attempts=6)
    assert "Failed messages" in staff.get("/admin/").content.decode()
    shown = staff.get(f"{MESSAGES}?status=failed").content.decode()
    assert str(message.pk) in shown
    assert message.title in shown
    assert "The provider did not answer." in shown
    assert "unavailable" not in shown
    run = reverse("admin:notification_message_run", args=[message.pk, "requeue"])
    assert staff.fill(run).status_code == 302
    again = Message.objects.get(pk=message.pk)
    assert (again.status, again.attempts) == ("queued", 0)


def test_other_staff_see_only_their_own_messages_and_change_no_template(user, staff_client_for, texts):
    me, other = user("INTERNAL"), user("INTERNAL")
    own, others = notify(me), notify(other)
    staff = staff_client_for(me)
    shown = staff.get(MESSAGES).content.decode()
    assert str(own.pk) in shown
    assert str(others.pk) not in shown
    template = Template.objects.first()
    page = reverse("admin:notification_template_change", args=[template.pk])
    assert staff.get(page).status_code == 200
    assert staff.post(page, {"_key": "k" * 20, "_version": "1", "body": "x"}).status_code == 403
    auditor = staff_client_for(user("AUDITOR"))
    assert str(others.pk) in auditor.get(MESSAGES).content.decode()
