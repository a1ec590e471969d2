"""Contact data in messages, in every script and spelling (rulings §5)."""

import pytest

from apps.negotiations.contact import find_contact


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("call 98765 43210", "number"),
        ("98-76 5४ 3210", "number"),  # digits of two scripts
        ("९८७६५४३२१०", "number"),
        ("૯૮૭૬૫૪૩૨૧૦", "number"),
        ("９８７６５４３２１０", "number"),  # full width
        ("nine eight seven six five four three two one zero", "number"),
        ("double nine 8 7 6 5 4 3 2 1", "number"),
        ("nau aath saat chhe paanch char teen do ek shunya", "number"),
        ("नौ आठ सात छह पाँच चार तीन दो एक शून्य", "number"),
        ("નવ આઠ સાત છ પાંચ ચાર ત્રણ બે એક શૂન્ય", "number"),
        ("account 123456789", "number"),
        ("98​765​43210", "number"),  # invisible characters between
        ("me@example.com", "email"),
        ("me at gmail dot com", "email"),
        ("me [at] gmail [dot] com", "email"),
        ("pay to name@okhdfc", "email"),
        ("see gmail.com", "link"),
        ("https://example.test/x", "link"),
        ("wa.me/98", "link"),
        ("our page (dot) com", "link"),
        ("ABCDE1234F", "tax_number"),
        ("AAAPL 1234 C", "tax_number"),
        ("24AAAPL1234C1Z5", "tax_number"),
        ("HDFC0000355", "account"),
    ],
)
def test_contact_data_is_found(text, found):
    assert find_contact(text) == found


@pytest.mark.parametrize(
    "text",
    [
        "",
        "Price 53,500 per candy for 100 bales, delivery 2026-12-01 to 10/12/2026.",
        "Staple 29.0, trash 3.2 %, moisture 8.0. Ready in 3 days. In Gondal.",
        "We can do 53,400 at the gin, price 5350 a quintal.",
        "તૈયાર માલ, ત્રણ દિવસમાં.",
    ],
)
def test_words_of_the_trade_are_none(text):
    assert find_contact(text) == ""
