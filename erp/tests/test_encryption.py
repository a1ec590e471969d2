"""Encryption at rest: nothing readable in the column, two keys at a time, and no row's text in another's place."""

import base64
from typing import Any

import pytest

from erp.encryption import Undecryptable, decrypt, encrypt, key_id, keyed_hash

NUMBER = "50200012345678"


def test_what_is_stored_shows_nothing_and_differs_each_time() -> None:
    first, again = encrypt(NUMBER, context="a"), encrypt(NUMBER, context="a")
    assert first != again
    assert NUMBER not in first
    assert NUMBER.encode() not in base64.b64decode(first.partition(":")[2])
    assert decrypt(first, context="a") == decrypt(again, context="a") == NUMBER


def test_a_new_key_in_front_writes_and_the_older_one_still_reads(settings: Any) -> None:
    settings.ENCRYPTION_KEYS = {"2025": "o" * 40}
    old = encrypt(NUMBER, context="a")
    settings.ENCRYPTION_KEYS = {"2026": "n" * 40, "2025": "o" * 40}
    new = encrypt(NUMBER, context="a")
    assert (key_id(old), key_id(new)) == ("2025", "2026")
    assert decrypt(old, context="a") == decrypt(new, context="a") == NUMBER
    settings.ENCRYPTION_KEYS = {"2026": "n" * 40}
    with pytest.raises(Undecryptable):
        decrypt(old, context="a")


@pytest.mark.parametrize(
    "spoil",
    [
        lambda stored: stored[:-8] + "AAAAAAA=",
        lambda stored: "other" + stored,
        lambda stored: stored.partition(":")[0] + ":" + "%%%",
        lambda stored: stored.partition(":")[0] + ":",
        lambda stored: NUMBER,
        lambda stored: "",
    ],
)
def test_a_modified_ciphertext_is_refused_without_its_content(spoil: Any) -> None:
    with pytest.raises(Undecryptable) as caught:
        decrypt(spoil(encrypt(NUMBER, context="a")), context="a")
    assert NUMBER not in str(caught.value)


def test_a_stored_text_can_not_stand_in_another_place() -> None:
    with pytest.raises(Undecryptable):
        decrypt(encrypt(NUMBER, context="account 1"), context="account 2")


def test_hashes_are_equal_for_equal_texts_of_one_context_and_key(settings: Any) -> None:
    first = keyed_hash(NUMBER, context="a")
    assert first == keyed_hash(NUMBER, context="a")
    assert first not in (keyed_hash(NUMBER, context="b"), keyed_hash(NUMBER + "0", context="a"))
    assert len(first) == 64
    settings.EQUALITY_KEY = "another" * 8
    assert keyed_hash(NUMBER, context="a") != first
