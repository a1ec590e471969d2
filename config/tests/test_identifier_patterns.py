"""One pattern for each identifier: the code has no second one for PAN, GSTIN, IFSC, PIN code, mobile or e-mail."""

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
EXEMPT = {
    # They look for numbers inside running text, where they are spaced, in lower case and next to anything; hiding too
    # much is their safe side.
    "erp/logs/patterns.py",
    "apps/negotiations/contact.py",
}
CODES = {r"^[0-9]{6}\Z"}  # one-time codes have six digits as PIN codes have, and may begin with 0
# Each kind: numbers that a pattern for it takes, and what a pattern takes that isn't for it.
KINDS = {
    "pan": (["ZZZFS1001A", "ABCPE9999Z"], ["ZZZFS", "1234567890", "COTTONSEED"]),
    "gstin": (["24ZZZFS1001A1ZK", "27ZZZCD5005E1ZF"], ["24ZZZFS1001A", "COTTONSEEDCAKES"]),
    "ifsc": (["ZZZB0000001", "HDFC0ABC123"], ["ZZZB", "12345678901", "ZZZB00000012"]),
    "pin_code": (["360311", "900056"], ["5201", "36031", "3603111", "COTTON"]),
    "mobile": (["+919876543210", "9876543210", "919876543210", "09876543210"], ["1", "123456", "abcdefghij"]),
    "email": (["asha@example.com", "a.b+c@mail.example.in"], ["asha", "@", "asha.example.com.or.so"]),
}
NAMES = {"EmailValidator", "validate_email"}


def second_patterns(source: str) -> Iterator[str]:
    """The kinds that a source file has a pattern of its own for."""
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Constant) and isinstance(node.value, str):
            yield from kinds_of(node.value)
        elif isinstance(node, ast.alias) and node.name in NAMES:
            yield "email"
        elif isinstance(node, ast.Attribute) and node.attr == "EmailField":
            yield from (
                () if getattr(node.value, "id", "") == "models" else ("email",)
            )  # a column's input judges


def kinds_of(text: str) -> Iterator[str]:
    """The kinds that the text, read as a regular expression, is a pattern for."""
    if text in CODES or not 5 <= len(text) <= 500 or not set(text) & set("[\\"):
        return
    try:
        pattern = re.compile(text)
    except (re.error, FutureWarning):  # no expression, but text with brackets
        return
    for kind, (taken, others) in KINDS.items():
        hits = [sample for sample in taken if pattern.fullmatch(sample)]
        needed = 1 if kind == "mobile" else len(taken)  # with its country code or without
        if len(hits) >= needed and not any(pattern.fullmatch(other) for other in others):
            yield kind


def sources() -> list[Path]:
    return [
        path
        for part in ("erp", "apps", "config")
        for path in (ROOT / part).rglob("*.py")
        if not {"tests", "migrations", "identifiers"} & set(path.relative_to(ROOT).parts)
        and str(path.relative_to(ROOT)) not in EXEMPT
    ]


def test_no_module_has_a_pattern_of_its_own_for_an_identifier():
    found = {
        str(path.relative_to(ROOT)): kinds
        for path in sources()
        if (kinds := sorted(set(second_patterns(path.read_text()))))
    }
    assert found == {}


@pytest.mark.parametrize(
    ("kind", "line"),
    [
        ("pan", 'PAN = re.compile("[A-Z]{5}[0-9]{4}[A-Z]")'),
        ("pan", r'RegexValidator(r"^[A-Za-z]{5}\d{4}\w$")'),
        ("gstin", r'matches(r"\d{2}[A-Z]{5}\d{4}[A-Z][0-9A-Z]Z[0-9A-Z]", "")'),
        ("gstin", r'Q(gstin__regex="^[0-9]{2}[A-Z0-9]{10}[A-Z0-9]{3}$")'),
        ("ifsc", r'IFSC = r"\A[A-Z]{4}0[A-Z0-9]{6}\Z"'),
        ("ifsc", r'RegexField(r"^[A-Za-z]{4}[A-Za-z0-9]{7}$")'),
        ("pin_code", r'Q(pincode__regex=r"^[1-9][0-9]{5}$")'),
        ("pin_code", r're.match(r"^\d{6}$", pin)'),
        ("mobile", r'MOBILE = r"^\+[1-9][0-9]{7,14}$"'),
        ("mobile", r're.compile(r"[6-9]\d{9}")'),
        ("mobile", r're.compile(r"(?:\+91|0)?[6-9][0-9]{9}")'),
        ("email", r're.compile(r"[^@\s]+@[^@\s]+")'),
        ("email", r'matches(r"[^@\s]{1,64}@[^@\s.]+(\.[^@\s.]+)+", "")'),
        ("email", "from django.core.validators import EmailValidator"),
        ("email", "email = serializers.EmailField()"),
        ("email", "email = forms.EmailField()"),
    ],
)
def test_a_second_pattern_is_found(kind, line):
    assert kind in set(second_patterns(line))


@pytest.mark.parametrize(
    "line",
    [
        r'HSN = r"^(\d{4}|\d{6}|\d{8})$"',
        'CODE = "[A-Z0-9][A-Z0-9_/-]{0,31}"',
        'NUMBER = r"-?(?:0|[1-9][0-9]*)"',
        'TEXT = ".*[a-z].*"',
        "email = models.EmailField()",
    ],
)
def test_patterns_of_other_things_pass(line):
    assert set(second_patterns(line)) == set()
