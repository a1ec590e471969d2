"""What holds for every service, tried on real rows."""

import itertools
from collections.abc import Callable, Iterator
from contextlib import nullcontext, suppress
from types import SimpleNamespace
from typing import Any

import pytest
from django.core.exceptions import ImproperlyConfigured
from django.db import IntegrityError, connection, transaction
from django.http import QueryDict
from guardian.shortcuts import assign_perm

from apps.commodities import capabilities
from apps.commodities.events import commodities as events
from apps.commodities.models.commodities import Commodity
from apps.commodities.models.tax import HsnCode
from apps.commodities.services import commodities as commodities_services
from apps.commodities.services import rules
from erp import services
from erp.access import SYSTEM
from erp.api import endpoints
from erp.errors import (
    CapabilityMissing,
    Conflict,
    NotFound,
    PreconditionFailed,
    RuleBroken,
    SelfApproval,
    Unavailable,
)
from erp.events import FieldChange, registry, sample
from erp.ids import uuid7
from erp.models import UnguardedWrite
from erp.outbox.models import EventOutbox, EventStream
from erp.services import attempt, emit, refuse, service, unit_of_work
from erp.testing import fail_on_undeclared
from erp.trail.context import on_behalf_of
from erp.trail.models import Entry

pytestmark = pytest.mark.django_db
_names = itertools.count()


@pytest.fixture
def planted() -> Iterator[Callable[..., Any]]:
    """Make a service of the commodities module, forgotten after the test."""
    before = set(services.registry)

    def plant(function: Callable[..., Any], module: str = "apps.commodities.services", **kwargs: Any) -> Any:
        function.__module__ = module
        function.__name__ = f"planted_{next(_names)}"
        defaults = {"requires": capabilities.UPDATE, "emits": [events.CommodityUpdated]}
        return service(**(defaults | kwargs))(function)

    yield plant
    for name in set(services.registry) - before:
        del services.registry[name]


def event_of(commodity: Commodity) -> events.CommodityUpdated:
    return events.CommodityUpdated(commodity_id=commodity.pk, version=commodity.version, changes={})


def rename(commodity: Commodity, name: str) -> None:
    commodity.name = name
    commodity.save()


def test_a_row_does_not_change_outside_a_service(commodity):
    row = commodity()
    row.name = "Other"
    for write in (
        row.save,
        row.delete,
        lambda: Commodity.objects.update(name="x"),
        lambda: Commodity.objects.all().delete(),
        lambda: Commodity.objects.bulk_create([Commodity(code="X")]),
        lambda: Commodity.objects.bulk_update([row], ["name"]),
        lambda: Commodity.objects.create(code="X"),
        lambda: Commodity.objects.get_or_create(code="X"),
    ):
        with pytest.raises(UnguardedWrite):
            write()


def test_a_service_changes_rows_of_its_own_app_only(commodity, planted):
    def meddle(row: Commodity, *, actor: Any) -> None:
        rename(row, "Other")

    with pytest.raises(UnguardedWrite):
        planted(meddle, module="apps.partners.services")(commodity(), actor=SYSTEM)


def test_a_service_may_call_another_modules_service(planted, emitted):
    def outer(*, actor: Any) -> Any:
        return commodities_services.create(actor=actor, code="JUTE", name="Jute", category="FIBRE")

    planted(outer, module="apps.availability.services", emits=[events.CommodityUpdated])(actor=SYSTEM)
    assert [row.event_type for row in emitted()] == ["commodity.created"]


def test_a_service_that_writes_and_emits_nothing_fails_and_leaves_nothing(commodity, planted):
    row = commodity()

    def silent(row: Commodity, *, actor: Any) -> None:
        rename(row, "Silent")

    with pytest.raises(services.SilentChange):
        planted(silent)(row, actor=SYSTEM)
    row.refresh_from_db()
    assert row.name != "Silent"


def test_saving_the_same_values_is_no_change_and_needs_no_event(commodity, planted):
    row = commodity()

    def same(row: Commodity, *, actor: Any) -> None:
        rename(row, row.name)

    planted(same)(row, actor=SYSTEM)
    fresh = Commodity.objects.get(pk=row.pk)
    assert (fresh.version, fresh.updated_at) == (row.version, row.updated_at)


def test_a_rolled_back_service_leaves_no_event(commodity, planted, emitted):
    row = commodity()
    before = len(emitted())

    def fail(row: Commodity, *, actor: Any) -> None:
        rename(row, "Never")
        emit(event_of(row))
        raise Conflict("no")

    with pytest.raises(Conflict):
        planted(fail, raises=[Conflict])(row, actor=SYSTEM)
    assert len(emitted()) == before
    assert EventStream.objects.get(aggregate_id=row.pk).last_sequence == 2


def test_events_of_a_rolled_back_savepoint_are_dropped_with_it(commodity, planted, emitted):
    row = commodity()

    def partly(row: Commodity, *, actor: Any) -> None:
        for name in ("First", "Second", "Third"):
            try:
                with attempt():
                    rename(row, name)
                    emit(event_of(row))
                    if name == "Second":
                        raise Conflict("not this one")
            except Conflict:
                row.refresh_from_db()

    planted(partly)(row, actor=SYSTEM)
    sequences = [r.sequence for r in emitted("commodity.updated", aggregate_id=row.pk)]
    assert sequences == [2, 3, 4], "one from activation, two from here"
    assert Commodity.objects.get(pk=row.pk).name == "Third"


def test_a_silent_change_is_found_even_beside_a_rolled_back_event(commodity, planted):
    def sly(row: Commodity, *, actor: Any) -> None:
        rename(row, "Sly")
        try:
            with attempt():
                emit(event_of(row))
                raise Conflict("gone")
        except Conflict:
            pass

    with pytest.raises(services.SilentChange):
        planted(sly)(commodity(), actor=SYSTEM)


def test_nothing_is_emitted_outside_a_service(commodity):
    row = commodity()
    with pytest.raises(services.EmitOutsideService):
        emit(event_of(row))
    with pytest.raises(services.EmitOutsideService), unit_of_work(SYSTEM):
        emit(event_of(row))


def test_a_service_emits_only_what_it_declares(commodity, planted):
    def stray(row: Commodity, *, actor: Any) -> None:
        emit(event_of(row))

    with pytest.raises(ValueError, match="doesn't declare"):
        planted(stray, emits=[events.CommodityCreated])(commodity(), actor=SYSTEM)


def test_an_event_larger_than_a_megabyte_is_refused(commodity, planted):
    def large(row: Commodity, *, actor: Any) -> None:
        emit(
            events.CommodityUpdated(
                commodity_id=row.pk, version=1, changes={"name": FieldChange(old="", new="x" * 1_000_001)}
            )
        )

    with pytest.raises(ValueError, match="larger"):
        planted(large)(commodity(), actor=SYSTEM)


def test_sequences_have_no_gap_and_several_streams_go_in_one_statement(commodity, planted, emitted):
    rows = [commodity(), commodity()]

    def many(*, actor: Any) -> None:
        for row in rows * 3:
            emit(event_of(row))

    planted(many)(actor=SYSTEM)
    for row in rows:
        assert [r.sequence for r in emitted(aggregate_id=row.pk)] == [1, 2, 3, 4, 5]
        assert EventStream.objects.get(aggregate_id=row.pk).last_sequence == 5
    buckets = {r.aggregate_id: r.bucket for r in emitted("commodity.updated")}
    assert all(0 <= bucket < 64 for bucket in buckets.values())


def test_several_services_in_one_unit_write_their_events_once(commodity, django_assert_num_queries, emitted):
    with unit_of_work(SYSTEM, causation_id="cause-1"):
        commodities_services.create(actor=SYSTEM, code="JUTE", name="Jute", category="FIBRE")
        commodities_services.create(actor=SYSTEM, code="HEMP", name="Hemp", category="FIBRE")
        assert emitted() == []
    assert [(r.event_type, r.causation_id) for r in emitted()] == [("commodity.created", "cause-1")] * 2


def test_a_service_without_changes_needs_no_event_after_another_in_a_unit_of_work(planted):
    def do_nothing(*, actor: Any) -> None: ...

    with unit_of_work(SYSTEM):
        commodities_services.create(actor=SYSTEM, code="JUTE", name="Jute", category="FIBRE")
        planted(do_nothing)(actor=SYSTEM)


def test_a_change_after_an_inner_service_on_behalf_of_a_user_is_recorded_for_the_outer_one(
    user, commodity, planted
):
    row = commodity()

    def rename_to(row: Commodity, *, actor: Any, name: str) -> None:
        rename(row, name)
        emit(event_of(row))

    inner = planted(rename_to)

    def rename_twice(row: Commodity, *, actor: Any) -> None:
        inner(row, actor=actor, name="Inner")
        row.refresh_from_db()
        rename(row, "Outer")
        emit(event_of(row))

    outer = planted(rename_twice)
    with on_behalf_of(user("SELLER").pk):
        outer(row, actor=SYSTEM)
    entries = Entry.objects.filter(table=Commodity._meta.db_table, row=row.pk).order_by("position")
    assert [entry.service for entry in entries][-2:] == [inner.name, outer.name]


@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize("streams", ["one", "many"])
def test_one_ten_or_a_hundred_events_cost_one_statement(planted, django_assert_num_queries, emitted, streams):
    def tell(*, actor: Any, count: int) -> None:
        row = Commodity(pk=uuid7())
        for _ in range(count):
            emit(event_of(row if streams == "one" else Commodity(pk=uuid7())))

    service = planted(tell, requires=None, public="a test")
    for count in (1, 10, 100):
        with django_assert_num_queries(3):  # begin, the one statement, commit
            service(actor=SYSTEM, count=count)
    assert len(emitted()) == 111


def test_a_second_unit_of_work_in_one_transaction_is_refused(emitted):

    def twice() -> None:
        with transaction.atomic():
            commodities_services.create(actor=SYSTEM, code="JUTE", name="Jute", category="FIBRE")
            commodities_services.create(actor=SYSTEM, code="HEMP", name="Hemp", category="FIBRE")

    with pytest.raises(services.TransactionReused):
        twice()
    assert Commodity.objects.count() == len(emitted()) == 0
    commodities_services.create(actor=SYSTEM, code="JUTE", name="Jute", category="FIBRE")
    assert len(emitted()) == 1


@pytest.mark.django_db(transaction=True)
def test_a_decorated_function_begins_a_new_unit_of_work_at_each_call(emitted):
    # Its atomic block is one object for all calls.
    @transaction.atomic
    def create(code: str) -> None:
        commodities_services.create(actor=SYSTEM, code=code, name=code.title(), category="FIBRE")

    create("JUTE")
    create("HEMP")
    assert len(emitted()) == 2


def test_a_unit_of_work_whose_savepoint_was_rolled_back_leaves_room_for_another(emitted):
    with transaction.atomic():
        with suppress(KeyError), transaction.atomic():
            commodities_services.create(actor=SYSTEM, code="JUTE", name="Jute", category="FIBRE")
            raise KeyError
        commodities_services.create(actor=SYSTEM, code="HEMP", name="Hemp", category="FIBRE")
        with pytest.raises(services.TransactionReused):
            commodities_services.create(actor=SYSTEM, code="FLAX", name="Flax", category="FIBRE")
    assert [event.payload["code"] for event in emitted()] == ["HEMP"]


def test_a_service_needs_an_actor(commodity):
    with pytest.raises(TypeError):
        commodities_services.update(commodity(), actor=None, name="Other", category="FIBRE")


def test_the_capability_is_asked_at_the_outermost_service_only(user, planted, emitted):
    seller = user("SELLER")

    def inherits(*, actor: Any) -> Any:
        return commodities_services.create(actor=actor, code="JUTE", name="Jute", category="FIBRE")

    outer = planted(inherits, module="apps.availability.services", requires=capabilities.VIEW)
    with pytest.raises(CapabilityMissing, match=r"commodity\.create"):
        commodities_services.create(actor=seller, code="JUTE", name="Jute", category="FIBRE")
    outer(actor=seller)
    assert emitted("commodity.created")[0].actor_id == seller.pk


def test_a_grant_on_one_row_allows_a_service_on_that_row_only(user, commodity, planted):
    person, granted, other = user("SELLER"), commodity(), commodity()
    assign_perm("commodity.update", person, granted)

    def look(row: Commodity, *, actor: Any) -> Any:
        return row.pk

    look_at = planted(look)
    assert look_at(granted, actor=person) == granted.pk
    with pytest.raises(CapabilityMissing):
        look_at(other, actor=person)


def test_a_service_runs_on_the_row_as_it_is_now(commodity, planted):
    stale = commodity()
    seen = []

    def look(row: Commodity, *, actor: Any) -> None:
        seen.append((row.name, connection.in_atomic_block))

    values = {
        "category": "FIBRE",
        "quantity_mode": "COUNT_AND_WEIGHT",
        "package_unit": "BALE",
        "hsn_code": "5201",
    }
    commodities_services.update(stale, actor=SYSTEM, name="Newer", trade_unit="BALE", **values)
    planted(look)(stale, actor=SYSTEM)
    assert seen == [("Newer", True)]


def test_a_service_that_does_not_lock_its_target_reads_it_again_if_it_is_stored(commodity, planted):
    stale = commodity()

    def rename_to(row: Commodity, *, actor: Any, name: str) -> None:
        rename(row, name)
        emit(event_of(row))

    def look(row: Commodity, *, actor: Any) -> str:
        return row.name

    planted(rename_to)(Commodity.objects.get(pk=stale.pk), actor=SYSTEM, name="Newer")
    look_at = planted(look, lock_via=None)
    assert look_at(stale, actor=SYSTEM) == "Newer"
    assert look_at(Commodity(name="Not stored"), actor=SYSTEM) == "Not stored"


def test_a_stale_version_is_refused_with_the_current_etag(commodity, planted):
    row = commodity()

    def touch(row: Commodity, *, actor: Any) -> None:
        raise AssertionError("not reached")

    with pytest.raises(PreconditionFailed) as caught:
        planted(touch)(row, actor=SYSTEM, if_version=row.version - 1)
    assert caught.value.headers == {"ETag": f'"{row.version}"'}


def test_a_target_that_is_gone_is_not_found(planted):
    ghost = Commodity(code="GHOST")
    ghost._state.adding = False

    def touch(row: Commodity, *, actor: Any) -> None:
        raise AssertionError("not reached")

    with pytest.raises(NotFound):
        planted(touch)(ghost, actor=SYSTEM)


def test_a_returned_refusal_commits_its_writes(commodity, planted, emitted):
    row = commodity()
    problem = RuleBroken("no")

    def decline(row: Commodity, *, actor: Any) -> Any:
        rename(row, "Traced")
        emit(event_of(row))
        return refuse(problem)

    result = planted(decline, writes_on_refusal=[Commodity], raises=[RuleBroken])(row, actor=SYSTEM)
    assert result.problem is problem
    assert Commodity.objects.get(pk=row.pk).name == "Traced"
    assert emitted("commodity.updated", aggregate_id=row.pk)[-1].sequence == 3


def test_a_refusal_that_changed_more_than_its_trace_fails(commodity, planted):
    def decline(row: Commodity, *, actor: Any) -> Any:
        rename(row, "Too much")
        emit(event_of(row))
        return refuse(RuleBroken("no"))

    with pytest.raises(services.SilentChange):
        planted(decline, raises=[RuleBroken])(commodity(), actor=SYSTEM)


def test_an_inner_services_refusal_is_raised(commodity, planted):
    def decline(*, actor: Any) -> Any:
        return refuse(RuleBroken("inner"))

    inner = planted(decline)

    def outer(*, actor: Any) -> Any:
        return inner(actor=actor)

    with pytest.raises(RuleBroken, match="inner"):
        planted(outer, raises=[RuleBroken])(actor=SYSTEM)


class _Full(Conflict):
    """There is no room left."""


def raise_full(*, actor: Any) -> None:
    raise _Full


def refuse_full(*, actor: Any) -> Any:
    return refuse(_Full())


def break_constraint(*, actor: Any) -> None:
    for _ in range(2):
        HsnCode(code="9999", description="Anything").save()


@pytest.mark.parametrize(
    ("function", "error"),
    [(raise_full, _Full), (refuse_full, _Full), (break_constraint, rules.Duplicate)],
)
def test_an_undeclared_error_that_leaves_a_service_fails_the_test(planted, function, error):
    undeclared = planted(function)
    with suppress(Conflict):
        undeclared(actor=SYSTEM)
    with pytest.raises(RuntimeError, match=rf"{undeclared.name} raised {error.__name__}$"):
        fail_on_undeclared()
    with suppress(Conflict):
        planted(function, raises=[error])(actor=SYSTEM)
    fail_on_undeclared()


@pytest.mark.parametrize("shared", [NotFound(), CapabilityMissing("a.b"), SelfApproval(), Unavailable()])
def test_a_shared_error_needs_no_declaration(planted, shared):
    def fail(*, actor: Any) -> None:
        raise shared

    with pytest.raises(type(shared)):
        planted(fail)(actor=SYSTEM)


def test_the_outermost_service_declares_what_an_inner_one_raises(planted):
    inner = planted(raise_full, raises=[_Full])

    def outer(*, actor: Any) -> None:
        inner(actor=actor)

    with pytest.raises(_Full):
        planted(outer)(actor=SYSTEM)
    with pytest.raises(RuntimeError, match="raised _Full"):
        fail_on_undeclared()

    def outer_that_copes(*, actor: Any) -> None:
        with suppress(_Full):
            inner(actor=actor)

    planted(outer_that_copes)(actor=SYSTEM)
    fail_on_undeclared()


def test_an_undeclared_error_is_answered_all_the_same(planted, monkeypatch):
    monkeypatch.setattr(services, "on_undeclared", None)  # as in production
    with pytest.raises(_Full):
        planted(raise_full)(actor=SYSTEM)


def test_a_lookup_declares_its_errors_too():
    def ask(*, actor: Any) -> None:
        raise _Full

    for raises in ([], [_Full]):
        view = SimpleNamespace(get_serializer_context=dict)
        request = SimpleNamespace(data={}, query_params=QueryDict(), user=SYSTEM)
        endpoint = endpoints.lookup(ask, requires=capabilities.VIEW, raises=raises)
        with pytest.raises(_Full):
            endpoints.handle(view, request, endpoint, {})
        with nullcontext() if raises else pytest.raises(RuntimeError, match="ask raised _Full"):
            fail_on_undeclared()


def test_a_service_without_capability_or_event_can_not_be_declared(planted):
    def one(*, actor: Any) -> None: ...
    def two(a: Commodity, b: Commodity, *, actor: Any) -> None: ...
    def three(*, name: str) -> None: ...
    def four(*, actor: Any, if_version: int) -> None: ...

    with pytest.raises(ImproperlyConfigured, match="capability"):
        planted(one, requires=None)
    with pytest.raises(ImproperlyConfigured, match="capability"):
        planted(one, public="both")
    with pytest.raises(ImproperlyConfigured, match="must emit at least one event"):
        planted(one, emits=[])
    with pytest.raises(ImproperlyConfigured, match="domain errors"):
        planted(one, raises=[ValueError])
    for function in (two, three, four):
        with pytest.raises(ImproperlyConfigured):
            planted(function)


def test_the_label_of_a_service_is_its_name_in_words_unless_it_declares_one(planted):
    def one(*, actor: Any) -> None: ...
    def two(*, actor: Any) -> None: ...

    assert planted(one).label.startswith("Planted ")
    assert planted(two, label="Weigh the bales").label == "Weigh the bales"


def test_outbox_rows_keep_their_sequence_unique(commodity, emitted):
    row = emitted(aggregate_id=commodity().pk)[0]
    with pytest.raises(IntegrityError), transaction.atomic(), connection.cursor() as cursor:
        cursor.execute("UPDATE event_outbox SET sequence = 2 WHERE id = %s", [row.pk])


def test_the_outbox_has_every_column_and_both_indexes_of_the_audit():
    asked = {
        "id": "uuid",
        "event_type": "character varying",
        "event_version": "integer",
        "payload": "jsonb",
        "aggregate_id": "uuid",
        "aggregate_type": "character varying",
        "created_at": "timestamp with time zone",
        "processed_at": "timestamp with time zone",
        "processing_attempts": "integer",
        "last_error": "text",
        "status": "character varying",
    }
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT column_name, data_type FROM information_schema.columns WHERE table_name = 'event_outbox'"
        )
        columns = dict(cursor.fetchall())
        cursor.execute("SELECT indexname FROM pg_indexes WHERE tablename = 'event_outbox'")
        indexes = {name for (name,) in cursor.fetchall()}
        cursor.execute(
            "INSERT INTO event_outbox (id, event_type, event_version, payload, aggregate_id, aggregate_type, sequence,"
            " bucket, correlation_id, causation_id, traceparent, published_message_id, resolved_by, resolution_reason)"
            " VALUES (gen_random_uuid(), 't', 1, '{}', gen_random_uuid(), 'a', 1, 0, '', '', '', '', '', '')"
        )
    assert asked.items() <= columns.items()
    assert {"idx_outbox_status", "idx_outbox_aggregate", "idx_outbox_waiting"} <= indexes
    row = EventOutbox.objects.get()
    assert (row.status, row.processing_attempts, row.created_at is not None) == ("pending", 0, True)


def test_a_member_that_a_newer_release_added_is_left_out_on_reading():
    payload = sample(events.CommodityUpdated)
    newer = {**payload, "colour": "white", "changes": {"key": {**payload["changes"]["key"], "by": "A"}}}
    assert registry.load("commodity.updated", 1, newer).model_dump(mode="json") == payload
