"""The pages that links in mails lead to: the secret stays behind the #, the API does the rest."""

import pytest
from django.test import Client

from apps.accounts.pages import PAGES

pytestmark = pytest.mark.django_db


@pytest.mark.parametrize("name", PAGES)
def test_a_page_holds_nothing_and_loads_from_here_alone(name):
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
def test_a_page_takes_no_form(name):
    assert Client().post(f"/{name}", {"token": "x"}).status_code == 405
