"""Credit: limits by date and band, and a ledger whose sums are never wrong."""

import os
import random
from datetime import timedelta
from decimal import Decimal
from uuid import uuid4

import pytest
from django.db import Error, connection, transaction

from apps.approvals import services as approvals
from apps.approvals.models import ApprovalRequest
from apps.partners.ledgers import find_mismatches
from apps.partners.models import CreditAccount, CreditLimit, ExposureEntry, OpenExposure
from apps.partners.models.credit import SUMS, Level
from apps.partners.services import credit, exposure, standing
from apps.partners.services.exposure import Source
from erp import clock
from erp.access import SYSTEM
from erp.errors import DomainError, SelfApproval
from erp.models import unguarded_writes
from erp.testing import at_once

pytestmark = pytest.mark.django_db(transaction=True)
LAKH, CRORE = Decimal(100_000), Decimal(10_000_000)
REASON = "Good payer for three years."


def source():
    return Source("reservation", uuid4())


def limited(partner, amount=CRORE, **fields):
    """A partner with a limit from today on."""
    firm = partner()
    account = CreditAccount.objects.get(partner=firm)
    with unguarded_writes():
        CreditLimit(
            partner=firm, account=account, amount=amount, valid_from=clock.today(), status="approved",
            base_version=1, reason=REASON, **fields,
        ).save()  # fmt: skip
    return firm


def hold(firm, amount, key="", of=None):
    with transaction.atomic():
        return exposure.take_hold(
            actor=SYSTEM, partner=firm, amount=amount, source=of or source(), entry_key=key or str(uuid4())
        )


def account_of(firm):
    return CreditAccount.objects.get(partner=firm)


def set_limit(firm, actor, amount, **fields):
    values = {"currency": "INR", "valid_from": clock.today(), "reason": REASON, **fields}
    return credit.set_credit_limit(account_of(firm), actor=actor, amount=Decimal(amount), **values)


def test_fifty_parallel_holds_of_ten_lakh_on_a_crore_are_exactly_ten(partner):
    firm = limited(partner)

    def take(_):
        try:
            hold(firm, 10 * LAKH)
        except exposure.CreditExceeded:
            return "refused"
        return "held"

    results = [outcome for _ in range(5) for outcome in at_once(*[lambda: take(0)] * 10)]
    assert (results.count("held"), results.count("refused")) == (10, 40)
    account = account_of(firm)
    assert (account.holds, account.headroom) == (CRORE, 0)
    assert account.version == 1
    assert list(find_mismatches()) == []


def test_a_key_adds_nothing_twice_and_refuses_another_amount(partner):
    firm = limited(partner)
    of = source()
    first = hold(firm, LAKH, "key-1", of)
    assert [e.pk for e in hold(firm, LAKH, "key-1", of)] == [e.pk for e in first]
    with pytest.raises(exposure.EntryKeyReused):
        hold(firm, 2 * LAKH, "key-1", of)
    assert account_of(firm).holds == LAKH


def test_without_a_limit_nothing_is_held_but_a_full_advance_passes(partner):
    firm = partner()
    assert hold(firm, Decimal(0)) == []
    with pytest.raises(exposure.CreditLimitMissing):
        hold(firm, LAKH)
    ended = limited(partner, valid_to=clock.today())
    hold(ended, LAKH)
    account = account_of(ended)
    assert account.limit_on(clock.today()) == CRORE
    tomorrow = account.limit_on(clock.today() + timedelta(days=1))
    assert (tomorrow, account.level(tomorrow)) == (0, Level.CRITICAL)


def test_a_trade_moves_through_the_buckets_to_nothing(partner, emitted):
    firm = limited(partner)
    reservation, trade = source(), Source("trade", uuid4())
    hold(firm, 40 * LAKH, of=reservation)
    with transaction.atomic():
        exposure.move_hold(actor=SYSTEM, partner=firm, source=reservation, target=trade, entry_key="m")
    for step, amount in (("contract", 40 * LAKH), ("deliver", 41 * LAKH), ("pay", 41 * LAKH)):
        with transaction.atomic():
            getattr(exposure, step)(actor=SYSTEM, partner=firm, source=trade, amount=amount, entry_key=step)
    account = account_of(firm)
    assert (account.holds, account.contracted, account.delivered_unpaid, account.exposure) == (0, 0, 0, 0)
    assert {e.payload["level"] for e in emitted("partner.exposure.threshold_crossed")} == set()
    assert list(find_mismatches()) == []


def test_half_released_frees_exactly_half_and_more_than_is_held_is_refused(partner):
    firm = limited(partner)
    of = source()
    hold(firm, 10 * LAKH, of=of)
    with transaction.atomic():
        exposure.release_hold(actor=SYSTEM, partner=firm, source=of, amount=5 * LAKH, entry_key="r1")
    assert account_of(firm).headroom == CRORE - 5 * LAKH
    with pytest.raises(exposure.HoldGone), transaction.atomic():
        exposure.move_hold(
            actor=SYSTEM, partner=firm, source=of, target=source(), amount=6 * LAKH, entry_key="m1"
        )


@pytest.mark.parametrize("statement", ["UPDATE {} SET amount = 1", "DELETE FROM {}", "TRUNCATE {} CASCADE"])
def test_nobody_changes_the_ledger(partner, statement):
    hold(limited(partner), LAKH)
    with pytest.raises(Error, match="stays as it is"), connection.cursor() as cursor:
        cursor.execute(statement.format("partner_exposureentry"))
    assert ExposureEntry.objects.count() == 1


@pytest.mark.slow
@pytest.mark.large
@pytest.mark.timeout(900)
def test_random_operations_keep_every_sum(partner):
    """Enough to reach every operation on several sources, repetitions among them; ``make large`` plays ten thousand."""
    firm, dice = limited(partner, 50 * CRORE), random.Random(7)  # noqa: S311
    sources = [Source("trade", uuid4()) for _ in range(6)]
    steps = [
        "take_hold", "move_hold", "release_hold", "contract", "deliver", "pay", "reverse_payment", "advance", "mark",
        "set_margin", "cancel_source",
    ]  # fmt: skip
    played, done = [], set()
    for number in range(int(os.environ.get("LARGE_TABLE", "200"))):
        if played and dice.random() < 0.15:
            step, call, before = dice.choice(played)
        else:
            step, before = dice.choice(steps), None
            amount = Decimal(dice.randrange(10**9)) / 100
            call = {"source": dice.choice(sources), "entry_key": str(number), "amount": amount}
            call |= {"target": dice.choice(sources)} if step == "move_hold" else {}
            call |= {"amount": -amount} if step == "advance" and dice.random() < 0.3 else {}
            if step == "cancel_source":
                del call["amount"]
        lines = ExposureEntry.objects.count()
        try:
            with transaction.atomic():
                entries = getattr(exposure, step)(actor=SYSTEM, partner=firm, **call)
        except DomainError:
            assert before is None
            continue
        if before is None:
            played.append((step, call, entries))
            done.add(step)
        else:
            assert (entries, ExposureEntry.objects.count()) == (before, lines)
    assert done == set(steps)
    assert list(find_mismatches()) == []
    assert not OpenExposure.objects.filter(amount__lt=0).exists()
    assert all(getattr(account_of(firm), column) >= 0 for column in SUMS.values())
    with unguarded_writes():
        CreditAccount.objects.filter(partner=firm).update(holds=Decimal("1.00"))
    assert [m.key for m in find_mismatches()] == [str(firm.pk)]


def test_an_operation_that_books_nothing_uses_its_key(partner):
    firm, of = limited(partner), source()
    nothing = [
        ("release_hold", {}),
        ("pay", {"amount": LAKH}),
        ("mark", {"amount": Decimal(0)}),
        ("advance", {"amount": Decimal(0)}),
        ("contract", {"amount": Decimal(0)}),
        ("take_hold", {"amount": Decimal(0)}),
        ("cancel_source", {}),
    ]
    for step, values in nothing:
        with transaction.atomic():
            assert (
                getattr(exposure, step)(
                    actor=SYSTEM, partner=firm, source=of, entry_key=f"empty-{step}", **values
                )
                == []
            )
    hold(firm, LAKH, of=of)
    with transaction.atomic():
        exposure.deliver(actor=SYSTEM, partner=firm, source=of, amount=LAKH, entry_key="delivered")
    for step, values in nothing:
        with transaction.atomic():
            call = {"actor": SYSTEM, "partner": firm, "source": of, "entry_key": f"empty-{step}"}
            assert getattr(exposure, step)(**call, **values) == []
        with pytest.raises(exposure.EntryKeyReused), transaction.atomic():
            exposure.take_hold(**call, amount=2 * LAKH)
    account = account_of(firm)
    assert (account.holds, account.delivered_unpaid) == (LAKH, LAKH)


def test_suspension_releases_a_thousand_holds_with_few_queries(
    partner, user, emitted, django_assert_max_num_queries
):
    """One statement for each table and one for the events: no other hold waits long for the account."""
    firm = limited(partner)
    account = account_of(firm)
    with unguarded_writes():
        made = [
            ExposureEntry(
                partner=firm, account=account, side="buy", bucket="hold", kind="take_hold", amount=1, asked_amount=1,
                source_type="reservation", source_id=uuid4(), entry_key=str(number),
            )
            for number in range(1000)
        ]  # fmt: skip
        ExposureEntry.objects.bulk_create(made)
        OpenExposure.objects.bulk_create(
            [
                OpenExposure(
                    account=account, source_type=e.source_type, source_id=e.source_id, side="buy", bucket="hold",
                    amount=1,
                )
                for e in made
            ]
        )  # fmt: skip
        CreditAccount.objects.filter(pk=account.pk).update(holds=1000)
    director = user("INTERNAL_DIRECTOR")
    with django_assert_max_num_queries(40):
        standing.suspend(firm, actor=director, reason_code="non_payment", reason="Three bills unpaid.")
    assert account_of(firm).holds == 0
    assert list(find_mismatches()) == []
    assert len(emitted("partner.exposure.released")) == 1000
    assert emitted("partner.suspended")[0].payload["holds_released"] == 1000


def test_suspension_releases_exactly_the_holds(partner, user, emitted):
    firm = limited(partner)
    trade = Source("trade", uuid4())
    for _ in range(3):
        hold(firm, 10 * LAKH)
    with transaction.atomic():
        exposure.contract(actor=SYSTEM, partner=firm, source=trade, amount=5 * LAKH, entry_key="c")
    standing.suspend(
        firm, actor=user("INTERNAL_DIRECTOR"), reason_code="non_payment", reason="Three bills unpaid."
    )
    account = account_of(firm)
    assert (account.holds, account.contracted, account.limit) == (0, 5 * LAKH, 0)
    (told,) = emitted("partner.suspended")
    assert told.payload["holds_released"] == 3
    with pytest.raises(exposure.CreditLimitMissing):
        hold(firm, LAKH)
    with transaction.atomic():  # the later release of the reservation finds nothing to do
        assert not exposure.release_hold(actor=SYSTEM, partner=firm, source=source(), entry_key="late")


def test_a_hold_and_a_suspension_at_once_leave_no_hold(partner, user):
    director = user("INTERNAL_DIRECTOR")
    for _ in range(5):
        firm = limited(partner)

        def act(number, firm=firm):
            if number:
                return standing.suspend(
                    firm, actor=director, reason_code="other", reason="For this test only."
                )
            try:
                return hold(firm, LAKH)
            except exposure.CreditLimitMissing:
                return None

        at_once(lambda: act(0), lambda: act(1))
        assert account_of(firm).holds == 0


def test_up_to_the_band_one_person_decides_and_a_new_range_ends_the_running_one(partner, user, emitted):
    firm, finance = partner(), user("INTERNAL_FINANCE")
    set_limit(firm, finance, 20 * LAKH)
    later = clock.today() + timedelta(days=30)
    set_limit(firm, finance, 25 * LAKH, valid_from=later)
    first, second = CreditLimit.objects.order_by("valid_from")
    assert (first.valid_to, second.valid_to) == (later - timedelta(days=1), None)
    account = account_of(firm)
    assert (account.limit, account.limit_on(later), account.version) == (20 * LAKH, 25 * LAKH, 3)
    assert [e.payload["old_amount"] for e in emitted("partner.credit_limit_changed")] == [
        "0.00",
        "2000000.00",
    ]


def test_above_the_band_another_person_approves(partner, user):
    firm, finance, manager = partner(), user("INTERNAL_FINANCE"), user("INTERNAL_MANAGER")
    proposed = set_limit(firm, finance, CRORE)
    assert (proposed.status, account_of(firm).limit) == ("proposed", 0)
    request = ApprovalRequest.objects.get(pk=proposed.approval_id)
    assert request.subject_name == str(firm)
    with pytest.raises(SelfApproval):
        approvals.approve(request, actor=finance, subject_version=request.subject_version, note="")
    with pytest.raises(credit.CreditProposalOpen):
        set_limit(firm, manager, 2 * CRORE)
    approvals.approve(request, actor=manager, subject_version=request.subject_version, note="")
    assert account_of(firm).limit == CRORE


def test_above_a_crore_a_director_decides(partner, user):
    proposed = set_limit(partner(), user("INTERNAL_FINANCE"), 2 * CRORE)
    request = ApprovalRequest.objects.get(pk=proposed.approval_id)
    assert request.decider_role == "INTERNAL_DIRECTOR"
    with pytest.raises(approvals.RoleRequired):
        approvals.approve(
            request, actor=user("INTERNAL_MANAGER"), subject_version=request.subject_version, note=""
        )


def test_a_change_in_between_makes_a_proposal_stale(partner, user):
    firm, finance = partner(), user("INTERNAL_FINANCE")
    proposed = set_limit(firm, finance, CRORE)
    set_limit(firm, finance, LAKH)
    request = ApprovalRequest.objects.get(pk=proposed.approval_id)
    with pytest.raises(approvals.Stale):
        approvals.approve(
            request, actor=user("INTERNAL_MANAGER"), subject_version=request.subject_version, note=""
        )
    assert account_of(firm).limit == LAKH


def test_a_cut_and_a_stop_act_at_once_at_any_amount(partner, user):
    firm = limited(partner, 5 * CRORE)
    hold(firm, 3 * CRORE)
    set_limit(firm, user("INTERNAL_FINANCE"), 2 * CRORE)
    account = account_of(firm)
    assert (account.limit, account.headroom) == (2 * CRORE, -CRORE)
    with pytest.raises(exposure.CreditExceeded):
        hold(firm, LAKH)
    set_limit(firm, user("INTERNAL_FINANCE"), 2 * CRORE, on_hold=True)
    assert account_of(firm).limit == 0


def test_lifting_a_stop_above_the_band_needs_two(partner, user):
    firm, finance = limited(partner, CRORE), user("INTERNAL_FINANCE")
    set_limit(firm, finance, CRORE, on_hold=True)
    assert set_limit(firm, finance, CRORE).status == "proposed"
    assert account_of(firm).limit == 0


def test_ranges_never_overlap_under_two_threads(partner, user):
    firm, people = partner(), [user("INTERNAL_FINANCE"), user("INTERNAL_MANAGER")]
    at_once(*(lambda n=n: set_limit(firm, people[n], (n + 1) * LAKH) for n in range(2)))
    in_force = CreditLimit.objects.in_force(clock.today()).filter(partner=firm)
    assert in_force.count() == 1
    assert account_of(firm).version == 3


@pytest.mark.parametrize(
    ("fields", "error"),
    [
        ({"currency": "USD"}, credit.CurrencyMismatch),
        ({"valid_from": clock.today() - timedelta(days=1)}, credit.RangeInvalid),
        ({"valid_from": clock.today() + timedelta(days=91)}, credit.RangeInvalid),
        ({"valid_to": clock.today() + timedelta(days=367)}, credit.RangeInvalid),
    ],
)
def test_a_limit_of_the_wrong_currency_or_days_is_refused(partner, user, fields, error):
    with pytest.raises(error):
        set_limit(partner(), user("INTERNAL_FINANCE"), LAKH, **fields)


def test_collateral_counts_by_its_rate_rounded_half_up(partner, user):
    firm = partner()
    collateral = {"kind": "bank guarantee", "value": Decimal("1000.03"), "rate": Decimal("0.5")}
    set_limit(firm, user("INTERNAL_FINANCE"), LAKH, collateral=collateral)
    assert account_of(firm).limit == LAKH + Decimal("500.02")


def test_lifting_a_stop_counts_what_it_frees_whatever_the_new_range_is(partner, user):
    firm, finance = limited(partner, 5 * CRORE), user("INTERNAL_FINANCE")
    set_limit(firm, finance, 5 * CRORE, on_hold=True)
    later = clock.today() + timedelta(days=90)
    proposed = set_limit(firm, finance, 1, valid_from=later)
    request = ApprovalRequest.objects.get(pk=proposed.approval_id)
    assert (proposed.status, request.amount, request.decider_role) == (
        "proposed",
        5 * CRORE,
        "INTERNAL_DIRECTOR",
    )
    assert account_of(firm).limit == 0


def test_a_longer_range_of_the_same_amount_is_no_cut(partner, user):
    firm, finance = (
        limited(partner, CRORE, valid_to=clock.today() + timedelta(days=10)),
        user("INTERNAL_FINANCE"),
    )
    assert set_limit(firm, finance, CRORE).status == "proposed"
    assert set_limit_of_another(partner, user).status == "approved"


def set_limit_of_another(partner, user):
    firm = limited(partner, CRORE, valid_to=clock.today() + timedelta(days=10))
    return set_limit(firm, user("INTERNAL_FINANCE"), CRORE, valid_to=clock.today() + timedelta(days=5))


def test_another_currency_has_no_band_and_needs_a_director(partner, user):
    firm = partner(country="AE")
    with unguarded_writes():
        CreditAccount.objects.filter(partner=firm).update(currency="USD")
    proposed = set_limit(firm, user("INTERNAL_FINANCE"), LAKH, currency="USD")
    assert ApprovalRequest.objects.get(pk=proposed.approval_id).decider_role == "INTERNAL_DIRECTOR"


def test_a_key_of_another_operation_or_source_is_refused(partner):
    firm, of = limited(partner), source()
    hold(firm, LAKH, "k", of)
    with pytest.raises(exposure.EntryKeyReused):
        hold(firm, LAKH, "k", source())
    with pytest.raises(exposure.EntryKeyReused), transaction.atomic():
        exposure.mark(actor=SYSTEM, partner=firm, source=of, amount=LAKH, entry_key="k")
    first = hold(firm, Decimal("10.005"), "half", of)
    assert [e.pk for e in hold(firm, Decimal("10.005"), "half", of)] == [e.pk for e in first]
    assert first[0].amount == Decimal("10.01")
