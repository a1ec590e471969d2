"""Reads of partners: pages that use an index."""

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext

from apps.partners.tests import factories

pytestmark = pytest.mark.django_db


@pytest.mark.parametrize(
    ("path", "query"),
    [
        ("", {}),
        ("", {"status": "active"}),
        ("", {"state_code": "24"}),
        ("", {"ordering": "legal_name"}),
        ("", {"ordering": "kyc_expiry_date"}),
        ("", {"updated_after": "2026-01-01T00:00:00Z"}),
        ("/onboarding", {}),
        ("/onboarding", {"status": "under_review"}),
        ("/documents", {}),
        ("/documents", {"status": "uploaded"}),
        ("/employees", {}),
        ("/bank-accounts", {}),
        ("/amendments", {}),
        ("/amendments", {"status": "pending"}),
        ("/{id}/documents", {}),
        ("/{id}/exposure", {}),
    ],
)
def test_a_page_reads_an_index_in_its_own_order(client_for, user, path, query):
    firm = factories.ready_partner()
    plan = _plan(client_for(user("INTERNAL")), path.format(id=firm.pk), query)
    assert not [line for line in plan if "Seq Scan" in line or line.strip(" ->").startswith("Sort")], plan


def test_a_search_for_a_name_reads_the_index_of_trigrams(client_for, user):
    plan = _plan(client_for(user("INTERNAL")), "", {"search": "ginning"}, without=("seqscan", "indexscan"))
    assert any("partner_search" in line for line in plan), plan


def _plan(client, path, query, without=("seqscan", "sort")):
    """The plan of the statement that reads the page, where some steps cost the most."""
    with CaptureQueriesContext(connection) as captured:
        assert client.read(f"/api/v1/partners{path}", query).status_code == 200
    page = [each["sql"] for each in captured if "LIMIT 51" in each["sql"]][-1]
    with connection.cursor() as cursor:
        for step in without:
            cursor.execute(f"SET LOCAL enable_{step} = off")
        cursor.execute("EXPLAIN (COSTS OFF) " + page)
        return [line for (line,) in cursor.fetchall()]
