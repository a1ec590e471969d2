"""Templates and messages in the staff portal."""

import pytest
from django.urls import reverse

from apps.notifications.models import Message, Template
from apps.notifications.tests.examples import told
from erp.models import unguarded_writes

pytestmark = pytest.mark.django_db
TEXTS, MESSAGES = "/admin/notification/template/", "/admin/notification/message/"


@pytest.fixture
def desk(user, desk_for):
    return desk_for(user("INTERNAL_MASTERDATA"))


def test_master_data_staff_change_a_template(desk, texts):
    template = Template.objects.get(code="new_sign_in", channel="mail", locale="en-IN")
    page = reverse("admin:notification_template_change", args=[template.pk])
    assert "{name}" in desk.get(page).content.decode()
    refused = desk.fill(page, body="Dear {nobody}")
    assert refused.status_code == 422
    assert "{nobody} is not one of name." in refused.content.decode()
    assert desk.fill(page, subject="Anew", body="Dear {name}").status_code == 302
    assert Template.objects.get(pk=template.pk).subject == "Anew"


def test_master_data_staff_add_a_template_and_retire_it(desk, texts):
    answer = desk.fill(
        f"{TEXTS}add/", code="digest", channel="mail", locale="gu-IN", subject="{count}", body="{lines}"
    )
    assert answer.status_code == 302
    template = Template.objects.get(code="digest", locale="gu-IN")
    run = reverse("admin:notification_template_run", args=[template.pk, "retire_template"])
    assert desk.fill(run).status_code == 302
    assert Template.objects.get(pk=template.pk).status == "retired"


def test_a_failed_message_is_sent_again(desk, user):
    message = told(user("INTERNAL"))
    with unguarded_writes():
        Message.objects.filter(pk=message.pk).update(status="failed", error_code="unavailable", attempts=6)
    assert "Failed messages" in desk.get("/admin/").content.decode()
    assert str(message.pk) in desk.get(f"{MESSAGES}?status=failed").content.decode()
    run = reverse("admin:notification_message_run", args=[message.pk, "requeue"])
    assert desk.fill(run).status_code == 302
    again = Message.objects.get(pk=message.pk)
    assert (again.status, again.attempts) == ("queued", 0)


def test_other_staff_see_only_their_own_messages_and_change_no_template(user, desk_for, texts):
    me, other = user("INTERNAL"), user("INTERNAL")
    own, others = told(me), told(other)
    desk = desk_for(me)
    shown = desk.get(MESSAGES).content.decode()
    assert str(own.pk) in shown
    assert str(others.pk) not in shown
    template = Template.objects.first()
    page = reverse("admin:notification_template_change", args=[template.pk])
    assert desk.get(page).status_code == 200
    assert desk.post(page, {"_key": "k" * 20, "_version": "1", "body": "x"}).status_code == 403
    auditor = desk_for(user("AUDITOR"))
    assert str(others.pk) in auditor.get(MESSAGES).content.decode()
