"""Rows published by approval, on a model that no module has: its declaration is all that it needs."""

from contextlib import ExitStack
from datetime import date
from types import SimpleNamespace
from unittest.mock import patch

import pytest
from django.apps import apps
from django.db import IntegrityError, connection, models, transaction
from django.db.models import Q

from apps.approvals import capabilities, services
from apps.approvals.events import draft_events
from apps.approvals.models import ApprovalRequest, PublishedByApproval, protect_published
from apps.approvals.services.drafts import DraftErrors, DraftProcedure
from erp import events as event_types
from erp import services as all_services
from erp.access import SYSTEM
from erp.approvals import kinds
from erp.errors import CapabilityMissing, Conflict, RuleBroken, SelfApproval
from erp.events import ALL, EVERYONE
from erp.models import unguarded_writes
from erp.periods import dates_in_order, no_overlap
from erp.services import service
from erp.testing import at_once

pytestmark = pytest.mark.django_db
WHY = "The auditors ask for it."
FIRST, LATER = date(2026, 1, 1), date(2027, 1, 1)


class IllegalTransition(Conflict):
    """The status of a scratch rule can't change like that."""


class Overlap(Conflict):
    """Another scratch rule is effective on some of these days."""


class DatesInverted(RuleBroken):
    """A scratch rule ends before it begins."""


@pytest.fixture(scope="module")
def rules(django_db_setup, django_db_blocker):
    """The model with its table, events and services, for the tests of this module only."""
    registries = (
        apps.all_models["approval"],
        event_types.registry.types,
        event_types.registry.rows,
        all_services.registry,
        kinds,
    )
    with ExitStack() as declared, django_db_blocker.unblock():
        for registry in registries:
            declared.enter_context(patch.dict(registry))
        declared.callback(apps.clear_cache)

        class ScratchRule(PublishedByApproval):
            KEY = ("topic",)
            NUMBER = "number"
            CONTENT = ("topic", "number", "most")

            topic = models.CharField(max_length=20)
            number = models.PositiveIntegerField(editable=False)
            most = models.PositiveIntegerField(default=10)

            class Meta(PublishedByApproval.Meta):
                app_label = "approval"
                constraints = [
                    dates_in_order("scratch_rule_dates"),
                    no_overlap("scratch_rule_no_overlap", "topic", condition=Q(status="PUBLISHED")),
                ]

        table = ScratchRule._meta.db_table
        with connection.schema_editor() as editor:
            editor.create_model(ScratchRule)
            protect_published(table).database_forwards("approval", editor, None, None)
        events = draft_events(
            ScratchRule._meta.label,
            reads=capabilities.VIEW,
            readers={EVERYONE: ALL},
            published={"former_most": int | None},
            topic=str,
        )
        notes = []

        def add_note(row, note):
            notes.append((row.topic, note))
            return note == "changed"

        procedure = DraftProcedure(
            ScratchRule,
            title="Scratch rule",
            requires=capabilities.DECIDE,
            events=events,
            errors=DraftErrors(IllegalTransition, Overlap, DatesInverted),
            parts={"note": add_note},
            published_members=lambda row, previous: {"former_most": previous and previous.most},
        )

        @service(requires=capabilities.DECIDE, emits=[events.published])
        def load_scratch_rule(*, actor):
            row = ScratchRule(topic="RELEASED", number=1, source="Product", valid_from=FIRST)
            procedure.release(row, actor)
            return row

        yield SimpleNamespace(
            model=ScratchRule, events=events, procedure=procedure, load=load_scratch_rule, notes=notes
        )
        with connection.schema_editor() as editor:
            protect_published(table).database_backwards("approval", editor, None, None)
            editor.delete_model(ScratchRule)


@pytest.fixture
def author(user):
    return user("INTERNAL_MANAGER")


@pytest.fixture
def approver(user):
    return user("INTERNAL_COMPLIANCE")


@pytest.fixture
def draft(rules, author):
    def make(start=FIRST, **values):
        given = {"actor": author, "topic": "CREDIT", "source": "Board", "valid_from": start, "note": ""}
        return rules.procedure.draft(**{**given, **values})

    return make


@pytest.fixture
def submit(rules, author):
    def make(row):
        rules.procedure.submit(row, actor=author, reason=WHY)
        return request_of(row)

    return make


@pytest.fixture
def publish(draft, submit, approver):
    def make(*args, **values):
        row = draft(*args, **values)
        approve(submit(row), approver)
        return again(row)

    return make


def edit(rules, row, by, **values):
    given = {"source": row.source, "valid_from": row.valid_from, "most": row.most, "note": ""}
    return rules.procedure.edit(row, actor=by, **{**given, **values})


def approve(request, by):
    services.approve(request, actor=by, subject_version=request.subject_version)


def request_of(row):
    return ApprovalRequest.objects.filter(subject_id=row.pk).latest("created_at")


def again(row):
    return type(row).objects.get(pk=row.pk)


def test_a_declared_model_is_drafted_submitted_and_published(rules, draft, submit, approver, assert_emitted):
    first = draft(most=7)
    assert (first.status, first.number, first.most, first.valid_to) == ("DRAFT", 1, 7, None)
    assert_emitted(rules.events.drafted, topic="CREDIT", version=1, valid_from="2026-01-01")
    request = submit(first)
    assert (request.kind, request.title, again(first).status) == (
        "approval.scratch_rule",
        "Scratch rule",
        "SUBMITTED",
    )
    assert {"field": "most", "old": None, "new": "7"} in request.diff
    approve(request, approver)
    assert again(first).status == "PUBLISHED"

    second = draft(LATER)
    assert (second.number, second.most) == (2, 10)
    approve(submit(second), approver)
    assert again(first).valid_to == date(2026, 12, 31)
    assert_emitted(rules.events.published, scratch_rule_id=str(second.pk), former_most=7)


def test_its_services_belong_to_the_module_of_the_model(rules):
    made = {name for name, each in all_services.registry.items() if name.endswith("_scratch_rule")}
    verbs = ("draft", "edit", "submit", "withdraw", "publish_or_withdraw", "end_submission", "load")
    assert made == {f"approval.{verb}_scratch_rule" for verb in verbs}
    assert rules.procedure.edit.keywords == {"source", "valid_from", "valid_to", "most", "note"}
    assert rules.procedure.draft.required == {"topic", "source", "valid_from", "note"}


def test_it_is_withdrawn_by_approval(rules, publish, author, approver, assert_emitted):
    row = publish()
    rules.procedure.withdraw(row, actor=author, reason=WHY)
    approve(request_of(row), approver)
    assert again(row).status == "WITHDRAWN"
    assert_emitted(rules.events.withdrawn, topic="CREDIT")


def test_an_edit_makes_the_request_stale(rules, draft, submit, author, approver, assert_emitted):
    row = draft()
    request = submit(row)
    assert edit(rules, row, author).status == "SUBMITTED"
    assert edit(rules, row, author, most=3).status == "DRAFT"
    assert_emitted(rules.events.returned, topic="CREDIT")
    with pytest.raises(services.Stale):
        approve(request, approver)
    approve(submit(again(row)), approver)
    assert (again(row).status, again(row).most) == ("PUBLISHED", 3)


def test_a_changed_part_is_a_change_of_the_row(rules, draft, author, assert_emitted):
    row = draft(note="first")
    assert rules.notes[-1] == ("CREDIT", "first")
    assert edit(rules, row, author, note="same").version == 1
    assert edit(rules, row, author, note="changed").version == 2
    assert_emitted(rules.events.edited, version=2)


def test_author_and_editors_do_not_approve(rules, draft, submit, user, author, approver):
    editor = user("INTERNAL_DIRECTOR")
    row = draft()
    edit(rules, row, editor, most=3)
    request = submit(again(row))
    for person in (author, editor):
        with pytest.raises(SelfApproval):
            approve(request, person)
    approve(request, approver)


def test_each_editor_counts_once_and_the_product_is_none(rules, draft, author, user):
    editor = user("INTERNAL_DIRECTOR")
    row = draft()
    assert row.editors == [author.pk]
    for most, person in enumerate((editor, author, editor, SYSTEM), 20):
        edit(rules, row, person, most=most)
    assert again(row).editors == [author.pk, editor.pk]
    assert draft(LATER, actor=SYSTEM).editors == []


def test_a_rejected_submission_is_a_draft_again(draft, submit, approver):
    row = draft()
    services.reject(
        submit(row), actor=approver, subject_version=2, reason_code="not_justified", note="Too low for us."
    )
    assert again(row).status == "DRAFT"


def test_it_raises_the_errors_of_its_module(rules, publish, draft, submit, author):
    row = publish()
    with pytest.raises(IllegalTransition):
        edit(rules, row, author, most=3)
    with pytest.raises(IllegalTransition):
        submit(row)
    with pytest.raises(DatesInverted):
        draft(LATER, valid_to=FIRST)
    with pytest.raises(Overlap):
        submit(draft(FIRST))


def test_the_database_protects_published_rows(rules, publish):
    row = publish()
    with pytest.raises(IntegrityError), transaction.atomic(), unguarded_writes():
        rules.model.objects.filter(pk=row.pk).update(most=1)


def test_only_the_product_publishes_without_approval(rules, author):
    with pytest.raises(CapabilityMissing):
        rules.load(actor=author)
    assert rules.load(actor=SYSTEM).status == "PUBLISHED"


def test_partners_see_what_was_published(rules, publish, draft, user):
    row, waiting = publish(), draft(LATER)
    assert set(rules.model.objects.visible_to(user("BUYER"))) == {row}
    assert set(rules.model.objects.visible_to(user("INTERNAL"))) == {row, waiting}


@pytest.mark.django_db(transaction=True)
def test_rows_drafted_at_once_are_numbered_one_after_the_other(rules, draft):
    rows = at_once(*[draft] * 4)
    assert sorted(row.number for row in rows) == [1, 2, 3, 4]


@pytest.mark.django_db(transaction=True)
def test_of_two_drafts_published_at_once_one_is(rules, draft, submit, approver):
    requests = [submit(draft()) for _ in range(2)]
    outcomes = at_once(*(lambda request=request: approve(request, approver) for request in requests))
    assert sorted(type(outcome).__name__ for outcome in outcomes) == ["NoneType", "Stale"]
    assert sorted(rules.model.objects.values_list("status", flat=True)) == ["PUBLISHED", "SUBMITTED"]
