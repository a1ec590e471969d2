"""Names of fields and services as people read them."""

import pytest

from erp.labels import label_of, outcome_of, plural_of, with_article


@pytest.mark.parametrize(
    ("name", "label"),
    [
        ("pan", "PAN"),
        ("gst_uqc", "GST UQC"),
        ("hsn_code", "HSN code"),
        ("e_invoice_from", "E-invoice from"),
        ("email_verified_at", "E-mail verified at"),
        ("radius_km", "Radius (km)"),
        ("advance_percent", "Advance (%)"),
        ("percent", "Percent"),
        ("state_id", "State"),
        ("id", "ID"),
        ("number_again", "Number again"),
    ],
)
def test_a_python_name_becomes_a_label(name, label):
    assert label_of(name) == label


@pytest.mark.parametrize(
    ("noun", "plural"),
    [
        ("commodity", "commodities"),
        ("address", "addresses"),
        ("tax rate", "tax rates"),
        ("calendar day", "calendar days"),
    ],
)
def test_a_noun_has_its_plural(noun, plural):
    assert plural_of(noun) == plural


@pytest.mark.parametrize(
    "words", ["a unit", "an HSN code", "a GST rate", "an organization", "a user", "an LC", "a pack weight"]
)
def test_a_noun_has_the_article_that_is_spoken(words):
    assert with_article(words.split(" ", 1)[1]) == words


@pytest.mark.parametrize(
    ("service", "noun", "row", "text"),
    [
        ("create", "commodity", "Guar seed", "Commodity Guar seed was created."),
        ("submit_tax_rate", "tax rate", "5201", "Tax rate 5201 was submitted."),
        ("confirm_hsn_mapping", "HSN mapping", "5201", "HSN mapping 5201 was confirmed."),
        ("withdraw", "approval request", "7", "Approval request 7 was withdrawn."),
        ("retry", "event outbox", "7", "Event outbox 7 was retried."),
        ("end_sessions", "user", "Asha Patel", "Sessions ended: Asha Patel."),
        ("reset_second_factor", "user", "Asha Patel", "Second factor reset: Asha Patel."),
        ("invite_again", "user", "Asha Patel", "User Asha Patel was invited again."),
        ("deploy", "thing", "", "Thing was deployed."),
    ],
)
def test_what_a_service_did_is_a_sentence(service, noun, row, text):
    assert outcome_of(service, noun, row) == text
