"""Measure the log masker: recall and precision per kind on a seeded corpus, and its speed.

    python -m benchmarks.pii_corpus --lines 50000 --seed 42 [--json]

Every line is a template with up to two planted items (which must vanish) and one or two innocuous look-alikes
(which must stay). *Recall* of a kind: planted items of which nothing can be read afterwards. *Precision* of a
kind: marks of that kind that stand for a planted item. *Survival*: look-alikes left as they were. All numbers
are made up.
"""

import argparse
import base64
import json
import random
import re
import string
import sys
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from uuid import UUID

from stdnum import iban, iso6346, luhn, verhoeff
from stdnum.iso7064 import mod_97_10

from erp.identifiers import HOLDER_CLASSES, STATES
from erp.logs import mask_text

ALPHABET = string.digits + string.ascii_uppercase
Item = tuple[str, str]  # what stands in the line, what must not be readable afterwards
MARK = re.compile(r"\[(?:([a-z]+) )?hidden\]")


class Maker:
    """Makes items from one seed."""

    def __init__(self, seed: int) -> None:
        self.pick = random.Random(seed)

    def digits(self, count: int, first: str = string.digits) -> str:
        return self.pick.choice(first) + "".join(self.pick.choices(string.digits, k=count - 1))

    def letters(self, count: int) -> str:
        return "".join(self.pick.choices(string.ascii_uppercase, k=count))

    def either(self, *choices: str) -> str:
        return self.pick.choice(choices)

    # Planted.

    def pan_parts(self) -> tuple[str, str, str]:
        letters = f"{self.letters(3)}{self.pick.choice(sorted(HOLDER_CLASSES))}{self.letters(1)}"
        return letters, self.digits(4, "123456789"), self.letters(1)

    def pan(self) -> Item:
        first, serial, last = self.pan_parts()
        text = self.either(
            first + serial + last,
            (first + serial + last).lower(),
            f"{first} {serial} {last}",
            f"{first}-{serial}-{last}",
            f"pan: {first.lower()} {serial} {last.lower()}",
        )
        return text, text.removeprefix("pan: ")

    def gstin(self) -> str:
        state = self.pick.choice([code for code, known in STATES.items() if known.iso])
        body = f"{state}{''.join(self.pan_parts())}{self.either('1', '2', 'A')}Z"
        whole = body + luhn.calc_check_digit(body, ALPHABET)
        return self.either(
            whole,
            whole.lower(),
            f"{whole[:2]} {whole[2:12]} {whole[12:]}",
            f"{whole[:2]}-{whole[2:12]}-{whole[12:]}",
        )

    def tan(self) -> str:
        return f"{self.letters(4)}{self.digits(5)}{self.letters(1)}"

    def aadhaar(self) -> str:
        body = self.digits(11, "23456789")
        whole = body + verhoeff.calc_check_digit(body)
        if whole == whole[::-1]:
            return self.aadhaar()
        groups = whole[:4], whole[4:8], whole[8:]
        return self.either(whole, " ".join(groups), "-".join(groups))

    def mobile(self) -> str:
        n = self.digits(10, "6789")
        return self.either(
            n,
            f"+91{n}",
            f"+91 {n[:5]} {n[5:]}",
            f"+91-{n}",
            f"0{n}",
            f"91{n}",
            f"0091 {n}",
            f"(+91) {n}",
            f"+91(0){n}",
            f"+91.{n[:5]}.{n[5:]}",
            f"{n[:5]}-{n[5:]}",
            f"{n[:3]} {n[3:6]} {n[6:]}",
            f"{n[:4]}-{n[4:7]}-{n[7:]}",
            f"{n[:2]} {n[2:4]} {n[4:6]} {n[6:8]} {n[8:]}",
            f"{n[:5]}\u200b{n[5:]}",
            n.translate(str.maketrans("0123456789", "०१२३४५६७८९")),
            n.translate(str.maketrans("0123456789", "０１２３４５６７８９")),
        )

    def abroad(self) -> str:
        return self.either(
            f"+1 ({self.digits(3, '2')}) {self.digits(3, '5')}-{self.digits(4)}",
            f"+44 20 {self.digits(4, '7')} {self.digits(4)}",
            f"+971{self.digits(9, '5')}",
            f"+86 {self.digits(3, '1')} {self.digits(4)} {self.digits(4)}",
            f"022-{self.digits(8, '2')}",
            f"(02822) {self.digits(6, '2')}",
            f"tel. 0044 20 {self.digits(4, '7')} {self.digits(4)}",
        )

    def email(self) -> Item:
        name = self.either("ramesh.patel", "s_iyer", "trade+desk", "o.brien-1", "INFO") + self.digits(2)
        domain = self.either("example.com", "mail.example.co.in", "sub.domain.example.org")
        text = self.either(
            f"{name}@{domain}", f"mailto:{name}@{domain}", f"{name}%40{domain}", f"<{name}@{domain}>"
        )
        return text, name

    def upi(self) -> str:
        local = self.either("ramesh", "gin.works", "a-b") + self.digits(3)
        return f"{local}@{self.either('okzzz', 'ybl', 'upi')}"

    def account(self) -> Item:
        number = self.digits(self.pick.randint(9, 18))
        spaced = " ".join(number[i : i + 4] for i in range(0, len(number), 4))
        text = self.either(
            f"account {number}",
            f"A/c no. {number}",
            f"acct: {spaced}",
            f"khata {number}",
            f"bank account of the seller is {number}",
            f"{number} is the account",
            f"Acc No. : {number}",
            f"A/C:-{number}",
            f"account_number={number}",
        )
        return text, number

    def ifsc(self) -> str:
        bank, branch = self.letters(4), self.digits(6)
        return self.either(f"{bank}0{branch}", f"{bank}0{branch}".lower())

    def iban(self) -> str:
        bban = f"{self.letters(4)}{self.digits(14)}"
        whole = f"GB{mod_97_10.calc_check_digits(bban + 'GB')}{bban}"
        assert iban.is_valid(whole)
        return self.either(whole, iban.format(whole))

    def card(self) -> str:
        length, prefix = self.pick.choice([(16, "4"), (16, "51"), (15, "37"), (16, "6079"), (16, "2221")])
        body = prefix + self.digits(length - 1 - len(prefix))
        whole = body + luhn.calc_check_digit(body)
        return (
            whole if length == 15 else self.either(whole, " ".join(whole[i : i + 4] for i in range(0, 16, 4)))
        )

    def token(self) -> Item:
        secret = base64.urlsafe_b64encode(self.pick.randbytes(24)).decode() + "7"
        text = self.either(
            f"eyJhbGciOiJIUzI1NiJ9.{secret}.{secret[::-1]}",
            f"Bearer {secret}",
            f"erp_live_{secret}",
            f"whsec_{secret}",
            f"api_key={secret}",
            f"'refresh_token': '{secret}'",
            f"sessionid={secret}; ",
            f"Authorization: Basic {secret}",
            f"?access_token={secret}&page=2",
            json.dumps({"client_secret": secret}),
            json.dumps(json.dumps({"client_secret": secret})),
        )
        return text, secret

    def password(self) -> Item:
        word = "".join(self.pick.choices(string.ascii_letters, k=7)) + self.digits(3)
        text = self.either(
            f"password={word}",
            f'"new_password": "{word[::-1]} {word}"',
            f"pwd: {word}",
            f"redis://:{word}@cache:6379/0",
        )
        return text, word

    def otp(self) -> Item:
        code = self.digits(6)
        text = self.either(
            f"OTP is {code}",
            f"{code} is your OTP",
            f"otp={code}",
            f"OTP-{code}",
            f"use {code} as OTP",
            f"one-time password for sign-in: {code}",
        )
        return text, code

    # Innocuous.

    def document(self) -> str:
        return (
            f"{self.either('TRD', 'AVL', 'REQ', 'NEG', 'INV')}-{self.either('2526', '2627')}-{self.digits(6)}"
        )

    def invoice(self) -> str:
        return self.either(
            f"invoice INV-{self.digits(10)}",
            f"invoice no. {self.digits(10)}",
            f"Inv/25-26/{self.digits(4)}",
            f"order {self.digits(10)}",
        )

    def reference(self) -> str:
        return self.either(
            f"UTR {self.digits(12)}",
            f"utr={self.letters(4)}R5{self.digits(16)}",
            f"NEFT {self.letters(4)}N{self.digits(11)}",
            f"reference: {self.digits(12)}",
            f"e-way bill {self.digits(12)}",
            f"RRN {self.digits(12)}",
        )

    def uuid(self) -> str:
        return str(UUID(bytes=self.pick.randbytes(16), version=4))

    def amount(self) -> str:
        return self.either(
            f"{Decimal(self.pick.randrange(10**12)) / 100:.2f} INR",
            f"{self.digits(2, '2')},{self.digits(2)},{self.digits(3)}.50",
        )

    def moment(self) -> str:
        when = datetime(2026, 1, 1, tzinfo=UTC) + timedelta(microseconds=self.pick.randrange(10**15))
        return self.either(
            when.isoformat(),
            when.date().isoformat(),
            str(int(when.timestamp())),
            str(int(when.timestamp() * 1000)),
        )

    def bare_number(self) -> str:
        return self.digits(self.pick.choice([4, 5, 6, 7, 8, 9, 11, 13]), "15")

    def hash(self) -> str:
        return self.pick.randbytes(32).hex()

    def goods(self) -> str:
        return self.either(
            f"HSN {self.either('5201', '52010010')}",
            f"{self.digits(3, '1')} bales of 170 kg",
            f"PIN {self.digits(6, '3')}",
            "crop 2025-26",
            f"GJ03BT{self.digits(4)}",
            self.container(),
            f"lot {self.digits(7)}",
            f"moisture {self.digits(1)}.{self.digits(2)} %",
        )

    def container(self) -> str:
        body = f"{self.letters(3)}U{self.digits(6)}"
        return body + iso6346.calc_check_digit(body)

    def words(self) -> str:
        return self.either(
            "token is invalid or expired",
            "password is too common",
            "the account was closed",
            "phone not verified yet",
            "the card was refused",
            "availability.quantity_exceeded",
            "no such file: /srv/app/erp/services.py",
            "v5.2.19 on host-12",
            "retrying in 0.35 s",
            'relation "account_user" does not exist',
        )


PLANTED = (
    "pan",
    "gstin",
    "tan",
    "aadhaar",
    "mobile",
    "abroad",
    "email",
    "upi",
    "account",
    "ifsc",
    "iban",
    "card",
    "token",
    "password",
    "otp",
)
INNOCUOUS = (
    "document",
    "invoice",
    "reference",
    "uuid",
    "amount",
    "moment",
    "bare_number",
    "hash",
    "goods",
    "words",
)
TRACEBACK = 'Traceback (most recent call last):\n  File "x.py", line 3, in f\n    g(x)\nValueError: '
TEMPLATES: tuple[Callable[[list[str]], str], ...] = (
    lambda parts: "checked " + "; ".join(parts),
    lambda parts: ", ".join(parts) + ".",
    lambda parts: json.dumps({f"field_{n}": part for n, part in enumerate(parts)}),
    lambda parts: repr({f"field_{n}": part for n, part in enumerate(parts)}),
    lambda parts: TRACEBACK + " | ".join(parts),
    lambda parts: "worker said: " + " / ".join(f"<{part}>" for part in parts),
)
# How a planted kind is marked: by its own mark, or hidden under a name that says what it is.
MARKS = {
    "mobile": "phone", "abroad": "phone", "iban": "account", "token": "hidden", "password": "hidden",
}  # fmt: skip


@dataclass
class CorpusLine:
    """A line and what was put into it."""

    text: str
    planted: list[tuple[str, str, str]]
    innocuous: list[tuple[str, str]]


# Near these words every number of fitting length goes, by rule: only look-alikes of other forms stand beside.
SWEEPING = {"account", "otp", "aadhaar", "mobile", "abroad"}
CLEAR = ("document", "invoice", "reference", "uuid", "amount", "hash", "words")


def corpus(lines: int, seed: int) -> list[CorpusLine]:
    """So many lines; the same seed gives the same lines."""
    maker = Maker(seed)
    made = []
    for number in range(lines):
        kinds = [PLANTED[number % len(PLANTED)]] if number % 4 else []
        if number % 9 == 0:
            kinds.append(maker.pick.choice(PLANTED))
        planted = []
        for kind in kinds:
            item = getattr(maker, kind)()
            text, secret = item if isinstance(item, tuple) else (item, item)
            planted.append((kind, text, secret))
        among = CLEAR if SWEEPING.intersection(kinds) else INNOCUOUS
        innocuous = [
            (kind, getattr(maker, kind)()) for kind in maker.pick.sample(among, maker.pick.choice((1, 2)))
        ]
        parts = [text for _, text, _ in planted] + [text for _, text in innocuous]
        maker.pick.shuffle(parts)
        made.append(CorpusLine(maker.pick.choice(TEMPLATES)(parts), planted, innocuous))
    return made


def readable(secret: str, masked: str) -> bool:
    """Whether a planted secret, or a word of it (four characters, one a digit), can still be read."""
    words = [word for word in re.split(r"[\s()-]+", secret) if len(word) >= 4 and any(map(str.isdigit, word))]
    return any(word in masked for word in words) or _squeezed(secret) in _squeezed(masked)


def _squeezed(text: str) -> str:
    return re.sub(r"[\s()-]", "", text)


@dataclass
class Score:
    """The figures of one kind."""

    planted: int = 0
    hidden: int = 0
    right_marks: int = 0
    wrong_marks: int = 0

    @property
    def recall(self) -> float:
        return self.hidden / self.planted if self.planted else 1.0

    @property
    def precision(self) -> float:
        marks = self.right_marks + self.wrong_marks
        return self.right_marks / marks if marks else 1.0


@dataclass
class CorpusResult:
    """Everything that one run measured."""

    scores: dict[str, Score]
    survival: dict[str, tuple[int, int]]
    missed: list[tuple[str, str]]
    spoiled: list[tuple[str, str]]
    seconds: float
    lines: int


def measure(lines: int, seed: int) -> CorpusResult:
    """Mask a corpus and count."""
    made = corpus(lines, seed)
    started = time.perf_counter()
    masked_lines = [mask_text(line.text) for line in made]
    seconds = time.perf_counter() - started
    scores = {kind: Score() for kind in PLANTED}
    survival = {kind: [0, 0] for kind in INNOCUOUS}
    missed, spoiled = [], []
    for line, masked in zip(made, masked_lines, strict=True):
        rest = masked
        for _, item in line.innocuous:
            rest = rest.replace(item, "")
        marks = Counter(mark or "hidden" for mark in MARK.findall(masked))
        for kind, _, secret in line.planted:
            score = scores[kind]
            score.planted += 1
            if readable(secret, rest):
                missed.append((line.text, masked))
                continue
            score.hidden += 1
            for mark in (MARKS.get(kind, kind), "hidden"):
                if marks[mark]:
                    marks[mark] -= 1
                    score.right_marks += 1
                    break
        lost = [
            kind
            for kind, item in line.innocuous
            if json.dumps(item)[1:-1] not in masked and item not in masked
        ]
        for kind, _ in line.innocuous:
            survival[kind][0] += kind not in lost
            survival[kind][1] += 1
        if lost:
            spoiled.append((line.text, masked))
            for mark in marks.elements():
                for kind in PLANTED:
                    if MARKS.get(kind, kind) == mark:
                        scores[kind].wrong_marks += 1
                        break
    return CorpusResult(
        scores, {k: (a, b) for k, (a, b) in survival.items()}, missed, spoiled, seconds, lines
    )


def main() -> int:
    """Run and print; exit 1 when a planted item of the core kinds can be read."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--lines", type=int, default=20_000)
    parser.add_argument("--seed", type=int, default=42)
    parser.add_argument("--json", action="store_true", help="one object instead of tables")
    parser.add_argument("--show", type=int, default=0, help="print so many missed and spoiled lines")
    options = parser.parse_args()
    result = measure(options.lines, options.seed)
    rate = result.lines / result.seconds
    if options.json:
        print(
            json.dumps(
                {
                    "lines": result.lines,
                    "seed": options.seed,
                    "lines_per_second": round(rate),
                    "kinds": {
                        kind: {
                            "planted": s.planted,
                            "recall": round(s.recall, 5),
                            "precision": round(s.precision, 5),
                        }
                        for kind, s in result.scores.items()
                    },
                    "survival": {
                        kind: round(surviving / max(total, 1), 5)
                        for kind, (surviving, total) in result.survival.items()
                    },
                }
            )
        )
    else:
        print(f"{'kind':<12}{'planted':>9}{'recall':>10}{'precision':>11}")
        for kind, score in result.scores.items():
            print(f"{kind:<12}{score.planted:>9}{score.recall:>10.4f}{score.precision:>11.4f}")
        print(f"\n{'look-alike':<12}{'items':>9}{'survive':>10}")
        for kind, (surviving, total) in result.survival.items():
            print(f"{kind:<12}{total:>9}{surviving / max(total, 1):>10.4f}")
        print(f"\n{result.lines} lines, seed {options.seed}: {rate:,.0f} lines a second")
    for text, masked in result.missed[: options.show] + result.spoiled[: options.show]:
        print(f"\n{text}\n→ {masked}", file=sys.stderr)
    return 1 if result.missed else 0


if __name__ == "__main__":
    raise SystemExit(main())
