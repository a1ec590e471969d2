"""The pages of the links in e-mails."""

import pytest
from django.test import Client

from apps.accounts.pages import PAGES

pytestmark = pytest.mark.django_db


@pytest.mark.parametrize("name", PAGES)
def test_a_page_holds_no_data_and_loads_from_its_own_host_only(name):
    answer = Client().get(f"/{name}")
    assert answer.status_code == 200
    assert answer["Cache-Control"] == "no-store"
    assert answer["Referrer-Policy"] == "no-referrer"
    assert "unsafe" not in answer["Content-Security-Policy"]
    text = answer.content.decode()
    assert "http:" not in text
    assert "https:" not in text
    assert 'data-endpoint="/api/v1/auth/' in text
    assert not answer.cookies


@pytest.mark.parametrize("name", PAGES)
def test_a_page_refuses_post(name):
    assert Client().post(f"/{name}", {"token": "x"}).status_code == 405
