"""Identifiers: what is taken, what is refused and why. All numbers are made up (blocks that start ZZZ)."""

import random
import socket
import sys
from datetime import date

import pytest
from django.core.exceptions import ImproperlyConfigured
from hypothesis import given, settings
from hypothesis import strategies as st

from erp import identifiers as ids
from erp.identifiers import IdentifierInvalid

GSTINS = {
    "24ZZZFS1001A1ZK": "REGULAR",
    "33ZZZCK2002B1ZU": "REGULAR",
    "27ZZZFM3003C1ZA": "REGULAR",
    "24ZZZPR4004D1ZL": "REGULAR",
    "27ZZZCD5005E1ZF": "REGULAR",
    "24ZZZCK2002BAZK": "REGULAR",
    "26ZZZFM3003C1ZC": "REGULAR",
    "38ZZZFS1001A1ZB": "REGULAR",
    "97ZZZCK2002B1ZG": "REGULAR",
    "99ZZZCD5005E1Z4": "REGULAR",
    "24ZZZCK2002B11Q": "REGULAR",
    "24ZZZCK2002B1A8": "REGULAR",
    "27ZZZCD5005E1DO": "TDS",
    "24ZZZM01234A1DV": "TDS",
    "24ZZZCK2002B1C4": "TCS",
    "0717ZZZ00001UN3": "UIN",
    "0717ZZZ00002ON7": "UIN",
    "2417ZZZ00001NR6": "NRTP",
    "27ZZZM01249A1Z9": "GOVT",
}
VALID = {
    "gstin": list(GSTINS),
    "transporter_id": ["88ABCDE12345678", "24ZZZFS1001A1ZX"],
    "pan": ["ZZZFS1001A"],
    "tan": ["ZZZM01234A"],
    "cin": ["U17111GJ2015PTC999001"],
    "llpin": ["ZZZ-1001"],
    "iec": ["0312345678", "ZZZFS1001A"],
    "din": ["00012345"],
    "fssai": ["10012345678901"],
    "udyam": ["UDYAM-GJ-01-0000001"],
    "ifsc": ["ZZZB0000001"],
    "bank_account": ["000123456789"],
    "upi": ["a.b-1@okzzz"],
    "mobile": ["+919876543210", "+442079460958"],
    "phone": ["+912227654321", "+442079460958"],
    "email": ["asha@example.com", "a.b+c@xn--bcher-kva.example", "o'neil@mail.example.in"],
    "pin_code": ["360311", "900056"],
    "vehicle": ["GJ03BT4321", "DL01AB0123", "22BH1234AA", "GJA1234", "DF123ABC", "TM1234GJ", "BP1A2345"],
    "hsn": ["5201", "520100", "52010010"],
    "sac": ["996111"],
    "gst_document": ["Inv/25-26/001"],
    "eway_bill": ["381234567890"],
    "irn": ["0a" * 32],
    "bank_reference": ["531512345678", "ZZZBN52026112412", "ZZZBR52026112412345678"],
    "bic": ["DEUTDEFF500"],
    "iban": ["GB82WEST12345698765432"],
    "lei": ["213800KUD8LAJWSQ9D15"],
    "container": ["CSQU3054383"],
    "unlocode": ["INMUN"],
    "customs_port": ["INMUN1"],
}


def refusal(kind: ids.Identifier, text: str) -> str:
    """The code with which the text is refused; "" when it is taken."""
    try:
        kind.normalise(text)
    except IdentifierInvalid as invalid:
        return invalid.code
    return ""


@pytest.mark.parametrize(("text", "form"), GSTINS.items())
def test_every_form_of_gstin_is_taken_and_named(text, form):
    assert ids.GSTIN.normalise(text) == text
    assert ids.GSTIN.parts(text)["form"] == form


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("24ZZZFS1001A1ZX", "checksum"),
        ("16ZZZPS8555D1Z7", "checksum"),
        ("98ZZZCD5005E1Z6", "state"),
        ("39ZZZCD5005E1ZA", "state"),
        ("96ZZZCD5005E1ZA", "state"),
        ("24ZZZCK2002B0ZU", "format"),
        ("24ZZZFS1O01A1ZK", "format"),
        ("24ZZZFS0000A1ZK", "format"),
        ("9917ZZZ00001OSM", "not_accepted"),
        ("25ZZZFM3003C1ZE", "retired"),
        ("28ZZZCD5005E1ZD", "retired"),
        ("24ZZZKK2002B1ZC", "holder_class"),
        ("２４ZZZFS1001A1ZK", "characters"),
        ("24ZZZFS1001A\n1ZK", "characters"),
        ("24ZZZFS1001A1ZK\x00", "characters"),
        ("24ZZZFS1001A1Z", "length"),
        ("", "length"),
        ("2" * 401, "length"),
    ],
)
def test_a_gstin_is_refused_with_the_first_reason(text, reason):
    assert refusal(ids.GSTIN, text) == f"gstin.{reason}"


def test_what_people_type_around_a_gstin_is_dropped():
    assert ids.GSTIN.normalise(" 24 zzzfs1001a-1zk\n") == "24ZZZFS1001A1ZK"


def test_a_gstin_holds_its_owners_pan_or_tan():
    assert ids.GSTIN.parts("24ZZZFS1001A1ZK")["pan"] == "ZZZFS1001A"
    assert ids.GSTIN.parts("27ZZZCD5005E1DO")["pan"] == "ZZZCD5005E"
    assert ids.GSTIN.parts("24ZZZM01234A1DV")["tan"] == "ZZZM01234A"
    assert "pan" not in ids.GSTIN.parts("0717ZZZ00001UN3")
    assert ids.GSTIN.parts("24ZZZCK2002BAZK")["entity"] == "A"


@pytest.mark.parametrize("text", GSTINS)
def test_one_changed_character_makes_any_gstin_invalid(text):
    for place in range(15):
        for other in "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZ":
            changed = text[:place] + other + text[place + 1 :]
            assert changed == text or not ids.GSTIN.is_valid(changed), changed


def test_retired_states_are_taken_on_documents_of_their_time():
    assert ids.GSTIN.on_document("25ZZZFM3003C1ZE", date(2020, 7, 31)) == "25ZZZFM3003C1ZE"
    with pytest.raises(IdentifierInvalid) as refused:
        ids.GSTIN.on_document("25ZZZFM3003C1ZE", date(2020, 8, 1))
    assert refused.value.code == "gstin.retired"
    assert ids.GSTIN.on_document("28ZZZCD5005E1ZD", date(2016, 1, 1)) == "28ZZZCD5005E1ZD"


def test_a_transporters_number_needs_no_check_character():
    assert ids.TRANSPORTER_ID.normalise("88abcde12345678") == "88ABCDE12345678"
    assert ids.TRANSPORTER_ID.normalise("24ZZZFS1001A1ZX") == "24ZZZFS1001A1ZX"
    assert ids.TRANSPORTER_ID.normalise("9917ZZZ00001OSM") == "9917ZZZ00001OSM"
    assert refusal(ids.TRANSPORTER_ID, "98ZZZCD5005E1Z6") == "transporter_id.state"


@pytest.mark.parametrize(
    ("kind", "text", "reason"),
    [
        ("pan", "ZZZKA1001A", "holder_class"),
        ("pan", "ZZZEA1001A", "holder_class"),
        ("pan", "ZZZXA1001A", "holder_class"),
        ("pan", "ZZZFS0000A", "format"),
        ("pan", "ZZZFS10O1A", "format"),
        ("cin", "U17111GJ2099PTC999001", "format"),
        ("cin", "U17111GJ1849PTC999001", "format"),
        ("cin", "U17111GJ2015XYZ999001", "format"),
        ("ifsc", "ZZZBO000001", "format"),
        ("iec", "ZZZKA1001A", "holder_class"),
        ("udyam", "UDYAM-XX-01-0000001", "state"),
        ("upi", "a@zzz.com", "format"),
        ("mobile", "5876543210", "format"),
        ("mobile", "987654321", "length"),
        ("mobile", "+91 22 2345 678", "length"),
        ("mobile", "+0123456789", "format"),
        ("mobile", "+912227654321", "format"),
        ("mobile", "+9198765432101", "length"),
        ("mobile", "98765432101", "length"),
        ("phone", "2227654321", "format"),
        *(
            ("email", address, reason)
            for reason, addresses in {
                "format": [
                    "nowhere",
                    "@example.com",
                    "asha@",
                    "asha@@example.com",
                    "a b@example.com",
                    "asha@exa mple.com",
                    "a..b@example.com",
                    ".a@example.com",
                    "asha@example..com",
                    "asha@-example.com",
                    "asha@example.com.",
                    "asha@10.1.1.1",
                    "asha@[10.1.1.1]",
                    '"a b"@example.com',
                    "asha@xn--zz.com",
                    "asha@exam_ple.com",
                    "asha@example",
                    "asha@example.com\nBcc: b",
                    "asha@\uffff.com",
                    f"{'a' * 65}@example.com",
                    f"asha@{'a' * 64}.com",
                ],
                "characters": [
                    "аsha@example.com",
                    "आशा@example.com",
                    "asha\u200b@example.com",
                    "ａ@example.com",
                ],
                "length": [f"{'a.' * 27}a@{'b.' * 98}example.com", "a" * 390 + "@example.com"],
            }.items()
            for address in addresses
        ),
        ("bank_account", "12345678", "length"),
        ("pin_code", "012345", "format"),
        ("pin_code", "199999", "state"),
        ("hsn", "7701", "format"),
        ("hsn", "9801", "format"),
        ("hsn", "52010", "length"),
        ("sac", "520100", "format"),
        ("gst_document", "0123", "format"),
        ("gst_document", "A" * 17, "length"),
        ("vehicle", "XX03BT4321", "state"),
        ("vehicle", "22BH1234IA", "format"),
        ("vehicle", "20BH1234AA", "format"),
        ("vehicle", "GJ03BT43210", "format"),
        ("bic", "DEUTZZFF", "format"),
        ("iban", "GB82WEST12345698765433", "checksum"),
        ("lei", "213800KUD8LXJWSQ9D15", "checksum"),
        ("container", "CSQU3054384", "checksum"),
        ("aadhaar", "999911112221", "not_accepted"),
        ("aadhaar", "999911112223", "checksum"),
        ("aadhaar", "111111111111", "format"),
    ],
)
def test_a_number_is_refused_with_its_reason(kind, text, reason):
    assert refusal(ids.ALL[kind], text) == f"{kind}.{reason}"


@pytest.mark.parametrize(
    ("kind", "text", "canonical"),
    [
        ("llpin", "zzz1001", "ZZZ-1001"),
        ("llpin", "zzz-1001", "ZZZ-1001"),
        ("mobile", "09876543210", "+919876543210"),
        ("mobile", "(+91) 98765-43210", "+919876543210"),
        ("mobile", "0091 98765 43210", "+919876543210"),
        ("mobile", "919876543210", "+919876543210"),
        ("mobile", "9198765432", "+919198765432"),
        ("mobile", "+1 (415) 555-0123", "+14155550123"),
        ("phone", "+91 (22) 2765-4321", "+912227654321"),
        ("email", " Asha@Example.COM ", "asha@example.com"),
        ("email", "asha@bücher.example", "asha@xn--bcher-kva.example"),
        ("email", "asha@BU\u0308CHER.example", "asha@xn--bcher-kva.example"),
        ("email", "asha@XN--BCHER-KVA.example", "asha@xn--bcher-kva.example"),
        ("email", "asha@ｅｘａｍｐｌｅ。com", "asha@example.com"),
        ("email", "asha@exam\u00adple.com", "asha@example.com"),
        ("email", "asha@भारत.भारत", "asha@xn--h2brj9c.xn--h2brj9c"),
        ("vehicle", "dl 1 ab 123", "DL01AB0123"),
        ("vehicle", "DL29183", "DL029183"),
        ("vehicle", "GJ-03-BT-4321", "GJ03BT4321"),
        ("upi", " A.B-1@OKZZZ ", "a.b-1@okzzz"),
        ("hsn", "5201.00.10", "52010010"),
        ("bank_account", "0001 2345-6789", "000123456789"),
        ("irn", "0A" * 32, "0a" * 32),
        ("gst_document", " Inv/25-26/001 ", "Inv/25-26/001"),
        ("iban", "gb82 west 1234 5698 7654 32", "GB82WEST12345698765432"),
    ],
)
def test_a_number_is_stored_in_its_canonical_form(kind, text, canonical):
    assert ids.ALL[kind].normalise(text) == canonical


@pytest.mark.parametrize(("kind", "text"), [(kind, text) for kind, texts in VALID.items() for text in texts])
def test_normalising_twice_equals_once(kind, text):
    once = ids.ALL[kind].normalise(text)
    assert once == text
    assert ids.ALL[kind].normalise(once) == once


def test_every_kind_has_a_valid_example():
    assert set(VALID) == set(ids.ALL) - {"aadhaar"}


def test_an_aadhaar_number_is_recognised_and_never_taken():
    assert ids.AADHAAR.is_valid("9999 1111 2221")
    assert not ids.AADHAAR.is_valid("999911112223")
    with pytest.raises(IdentifierInvalid, match="is not accepted"):
        ids.AADHAAR.refuse("999911112221")
    ids.AADHAAR.refuse("531512345678 is a reference")
    assert ids.AADHAAR.parts("999911112221") == {"last_four": "2221"}


@pytest.mark.parametrize(
    ("kind", "text", "masked"),
    [
        ("gstin", "24ZZZFS1001A1ZK", "24XXXXXXXXXX1ZK"),
        ("pan", "zzzfs1001a", "XXXXXX001A"),
        ("bank_account", "000123456789", "XXXXXXXX6789"),
        ("upi", "a.b-1@okzzz", "a.XXX@okzzz"),
        ("mobile", "9876543210", "XXXXXXXXX3210"),
        ("email", "asha@bücher.example", "XXXX@xn--bcher-kva.example"),
        ("aadhaar", "9999 1111 2221", "XXXXXXXX2221"),
        ("pan", "not a pan", "XXXXXXXXX"),
    ],
)
def test_a_mask_shows_no_more_than_it_may(kind, text, masked):
    assert ids.ALL[kind].mask(text) == masked


@pytest.mark.parametrize(
    ("pin", "states"),
    [
        ("360311", ["24"]),
        ("396210", ["24", "26"]),
        ("160055", ["03", "04"]),
        ("507126", ["36", "37"]),
        ("194101", ["01", "38"]),
    ],
)
def test_a_pin_code_fits_its_states_and_no_other(pin, states):
    assert [state.code for state in ids.states_of_pin(pin)] == states
    assert all(ids.pin_fits(pin, code) for code in states)


def test_an_army_pin_code_fits_any_state():
    assert all(ids.pin_fits("900056", code) for code in ids.STATES)
    assert not ids.pin_fits("641004", "24")
    assert ids.pin_fits("641004", "97")  # no place, nothing to compare


def test_the_table_of_states_is_complete():
    expected = [f"{n:02}" for n in range(1, 39) if n not in (25, 28)] + ["96", "97", "99"]
    assert list(ids.STATES) == expected
    assert ids.RETIRED == {"25": "26", "28": "37"}
    assert len({state.iso for state in ids.STATES.values() if state.iso}) == 36


def test_a_holders_class_fits_its_legal_forms():
    assert ids.holder_fits("ZZZFS1001A", "llp")
    assert not ids.holder_fits("ZZZFS1001A", "private_limited")
    assert ids.holder_fits("ZZZCS1001A", "private_limited")
    assert ids.company_fits("U17111GJ2015PTC999001", "private_limited")
    assert not ids.company_fits("U17111GJ2015PTC999001", "one_person_company")


def test_a_refusal_never_repeats_the_number():
    with pytest.raises(IdentifierInvalid) as refused:
        ids.PAN.normalise("ZZZKA1001A")
    assert "ZZZKA" not in repr(refused.value) + str(refused.value)


def test_an_event_cannot_carry_an_identifier():
    from uuid import UUID

    from erp.events import Event, event

    class FirmNamed(Event):
        firm_id: UUID
        tax_number: ids.GstinText

    with pytest.raises(ImproperlyConfigured, match="personal data"):
        event("firm.named", version=1, aggregate=("firm", "firm_id"))(FirmNamed)


@pytest.fixture
def no_sockets(monkeypatch):
    def refuse(*args, **kwargs):
        raise AssertionError("a validator opened a socket")

    monkeypatch.setattr(socket.socket, "connect", refuse)
    monkeypatch.setattr(socket, "getaddrinfo", refuse)


@pytest.mark.usefixtures("no_sockets")
def test_ten_thousand_random_texts_raise_nothing_but_the_refusal():
    pick = random.Random(20261124)
    samples = [text for texts in VALID.values() for text in texts]
    kinds = list(ids.ALL.values())
    for number in range(10_000):
        if number % 3 == 0:  # nearly right
            text = list(pick.choice(samples))
            text[pick.randrange(len(text))] = chr(pick.randrange(sys.maxunicode + 1))
            text = "".join(text)
        else:
            length = pick.randrange(10_000) if number % 50 == 0 else pick.randrange(30)
            text = "".join(chr(pick.randrange(sys.maxunicode + 1)) for _ in range(length))
        for kind in kinds:
            try:
                canonical = kind.normalise(text)
            except IdentifierInvalid:
                kind.mask(text)
            else:
                assert kind.normalise(canonical) == canonical


@settings(max_examples=300, deadline=None)
@given(
    state=st.sampled_from(["24", "27", "33", "38", "97"]),
    pan=st.from_regex(r"[A-Z]{3}[ABCFGHJLPT][A-Z][1-9][0-9]{3}[A-Z]", fullmatch=True),
    entity=st.sampled_from("123456789ABCXYZ"),
)
def test_every_registration_has_exactly_one_check_character(state, pan, entity):
    fitting = [
        c for c in "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZ" if ids.GSTIN.is_valid(f"{state}{pan}{entity}Z{c}")
    ]
    assert len(fitting) == 1


@settings(max_examples=300, deadline=None)
@given(text=st.text(alphabet="0123456789 -()+", max_size=25))
def test_a_mobile_is_in_e164_whatever_was_typed(text):
    if ids.MOBILE.is_valid(text):
        number = ids.MOBILE.normalise(text)
        assert number.startswith("+")
        assert 9 <= len(number) <= 16
        assert ids.MOBILE.normalise(number) == number
