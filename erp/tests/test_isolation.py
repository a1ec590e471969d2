"""What one test commits doesn't reach the next."""

import pytest
from django.contrib.auth.models import Group, Permission

from erp.outbox.models import EventOutbox
from erp.testing import delete_rows

pytestmark = pytest.mark.django_db(transaction=True)


def test_committed_rows_are_deleted_and_permissions_and_roles_stay(partner, user):
    before = {*Permission.objects.values_list("pk", "codename")}, {*Group.objects.values_list("pk", "name")}
    seller = user("SELLER", of=partner())
    delete_rows()
    assert (type(seller).objects.count(), EventOutbox.objects.count()) == (0, 0)
    assert all(before)
    after = {*Permission.objects.values_list("pk", "codename")}, {*Group.objects.values_list("pk", "name")}
    assert before == after


@pytest.mark.parametrize("turn", ["first", "second"])
def test_a_role_that_a_test_changed_is_whole_in_the_next_one(turn):
    rights = Group.objects.get(name="SELLER").permissions
    assert rights.exists()
    rights.clear()
