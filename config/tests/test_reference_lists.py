"""A further list of terms, declared as a module would: everything else about it follows from the declaration."""

import sys
from collections.abc import Iterator
from types import ModuleType
from typing import Any

import pytest
from django.apps import apps
from django.contrib import admin
from django.contrib.contenttypes.models import ContentType
from django.db import connection, models
from django.test.utils import isolate_apps
from django.urls import path

from apps.commodities.models.terms import Terms, limits, percent, whole
from apps.commodities.services.terms import terms_list
from config import urls
from erp import reference, services
from erp.admin import lists as pages
from erp.api import lists
from erp.api.examples import Example
from erp.api.routers import Router
from erp.api.testing import document
from erp.errors import FieldError

pytestmark = pytest.mark.django_db
PATH, PAGE = "/api/v1/brokerage-terms", "/admin/commodity/brokerageterms/"


def declare_model() -> type[Terms]:
    """What models/terms.py would gain."""

    class BrokerageTerms(Terms):
        """Who pays the broker, how much, and when."""

        kind = "brokerage-terms"
        __module__ = "apps.commodities.models.terms"

        class PaidBy(models.TextChoices):
            BUYER = "BUYER"
            SELLER = "SELLER"

        paid_by = models.CharField(
            max_length=6, choices=PaidBy, help_text="The side that owes the brokerage."
        )
        rate_percent = percent("Percent of the value before GST, 0 to 5.")
        due_days = whole("Days after the invoice date, 0 to 180.", default=30)

        class Meta(Terms.Meta):
            app_label = "commodity"
            verbose_name = verbose_name_plural = "brokerage terms"
            constraints = (*Terms.Meta.constraints, limits(rate_percent=(0, 5), due_days=(0, 180)))

    return BrokerageTerms


def free_of_charge(row: Any) -> Iterator[FieldError]:
    """What services/terms.py would gain, beside one line."""
    if row.rate_percent == 0 and row.due_days:
        yield FieldError("/due_days", "contradicts", "Nothing is due.")


BODY = {"name": "Seller pays", "paid_by": "SELLER", "rate_percent": "0.5", "due_days": 15}


@pytest.fixture
def brokerage(monkeypatch: pytest.MonkeyPatch, settings: Any) -> Iterator[Any]:
    """The declared list with its table, routes and page; forgotten after the test."""
    known = set(services.registry)
    with isolate_apps("apps.commodities"):
        declared = terms_list(declare_model(), "brokerage_terms", free_of_charge)
    with connection.schema_editor() as editor:
        editor.create_model(declared.model)
    pages.register_list(declared)
    router = Router()
    lists.register_list(router, declared)
    routes = ModuleType("routes_of_the_test")
    routes.urlpatterns = [  # type: ignore[attr-defined]
        *(path(f"api/v1/{route.pattern}", route.callback, name=route.name) for route in router.urls),
        path("admin/", admin.site.urls),
        *urls.urlpatterns,
    ]
    monkeypatch.setitem(sys.modules, routes.__name__, routes)
    settings.ROOT_URLCONF = routes.__name__
    yield declared
    reference.forget(declared)
    admin.site.unregister(declared.model)
    ContentType.objects.clear_cache()
    apps.clear_cache()
    for name in set(services.registry) - known:
        del services.registry[name]


def test_a_list_of_terms_needs_its_model_and_one_line(brokerage, user, client_for, staff_client_for, emitted):
    keeper, buyer = client_for(user("INTERNAL_MASTERDATA")), client_for(user("BUYER"))

    refused = buyer.write(PATH, {"code": "SELLER", **BODY})
    assert (refused.status_code, refused.json()["capability"]) == (403, "commodity.manage_terms")
    wrong = keeper.write(
        PATH, {"code": "seller", **BODY, "due_days": 181, "rate_percent": "5.5", "paid_by": None}
    )
    assert (wrong.status_code, [fault["pointer"] for fault in wrong.json()["errors"]]) == (
        400,
        ["/code", "/paid_by", "/rate_percent", "/due_days"],
    )
    odd = keeper.write(PATH, {"code": "SELLER", **BODY, "rate_percent": "0"})
    assert (odd.status_code, odd.json()["code"]) == (422, "commodity.fields_contradict")
    assert keeper.write(f"{PATH}?dry_run=true", {"code": "SELLER", **BODY}).status_code == 200
    assert emitted("trade_terms.created") == []

    made = keeper.write(PATH, {"code": "SELLER", **BODY})
    row = made.json()
    assert (made.status_code, made["Location"]) == (201, f"{PATH}/{row['id']}"), made.content
    assert {
        "paid_by": "SELLER",
        "rate_percent": "0.5000",
        "due_days": 15,
        "status": "ACTIVE",
    }.items() <= row.items()
    (event,) = emitted("trade_terms.created")
    assert (event.payload["kind"], event.payload["code"]) == ("brokerage-terms", "SELLER")
    assert buyer.read(f"{PATH}?code=SELLER").json()["results"] == [buyer.read(made["Location"]).json()]

    body = {**BODY, "due_days": 20, "status": "ARCHIVED"}
    assert keeper.write(made["Location"], body, method="PUT").status_code == 428
    assert keeper.write(made["Location"], body, method="PUT", if_match=1).json()["version"] == 2
    assert emitted("trade_terms.updated")[0].payload["changes"]["due_days"] == {"old": 15, "new": 20}
    assert buyer.read(PATH).json()["results"] == []

    shapes = document()["components"]["schemas"]
    assert shapes["CreateBrokerageTermsRequest"]["properties"]["paid_by"]["description"] == (
        "The side that owes the brokerage."
    )
    assert shapes["BrokerageTerms"]["description"] == "Who pays the broker, how much, and when."

    staff = staff_client_for(user("INTERNAL_MASTERDATA"))
    assert staff.form(f"{PAGE}add/")["due_days"] == ["30"]
    typed = {"code": "BUYER", "name": "Buyer pays", "paid_by": "BUYER", "rate_percent": "1", "due_days": "7"}
    answer = staff.fill(f"{PAGE}add/", **typed)
    added = brokerage.model.objects.get(code="BUYER")
    assert answer["Location"] == f"{PAGE}{added.pk}/change/"
    assert "Buyer pays" in staff.get(PAGE).content.decode()


def test_examples_of_a_list_follow_from_one_body(brokerage):
    examples, read = lists.examples_of("commodity", {"brokerage-terms": BODY})
    assert examples.keys() == {"create_brokerage_terms", "update_brokerage_terms"}
    create, update = examples["create_brokerage_terms"], examples["update_brokerage_terms"]
    assert isinstance(create, Example)
    assert (create.body["code"], update.body["status"]) == ("USUAL", "ACTIVE")
    assert update.target is not None
    assert update.target(None).name != update.target(None).name
    assert read.keys() == {PATH}
