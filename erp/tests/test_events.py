"""The contract of events: files are complete, a version only grows by optional members."""

import json
from collections.abc import Callable, Iterator
from datetime import UTC, date, datetime
from decimal import Decimal
from enum import Enum
from io import StringIO
from pathlib import Path
from typing import Annotated, Any, Literal
from uuid import UUID, uuid4

import pytest
from django.core.exceptions import ImproperlyConfigured
from django.core.management import call_command
from jsonschema import Draft202012Validator
from pydantic import BaseModel, Field, ValidationError

from erp import events
from erp.audit import event_files
from erp.events import ALL, EVERYONE, DecimalText, Event, FieldChange, Money, Quantity, event, upcaster
from erp.identifiers import PanText
from erp.outbox import wire


@pytest.fixture(autouse=True)
def registry(monkeypatch: pytest.MonkeyPatch) -> events.EventRegistry:
    """An empty registry of events."""
    fresh = events.EventRegistry()
    monkeypatch.setattr(events, "registry", fresh)
    return fresh


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, settings: Any) -> Path:
    """An empty folder in place of ``docs/events``."""
    settings.BASE_DIR = tmp_path
    (tmp_path / "docs" / "events").mkdir(parents=True)
    return tmp_path / "docs" / "events"


def run(action: str, *, code: int = 0) -> dict[str, Any]:
    """Run the command; its object on standard output."""
    out = StringIO()
    if code:
        with pytest.raises(SystemExit) as left:
            call_command("events", action, "--json", stdout=out)
        assert left.value.code == code
    else:
        call_command("events", action, "--json", stdout=out)
    output: dict[str, Any] = json.loads(out.getvalue())
    return output


def declare(version: int = 1, **members: Any) -> type[Event]:
    """Declare ``bale.weighed``, with these members beside its id."""
    fields = {"bale_id": UUID} | {
        name: given[0] if isinstance(given, tuple) else given for name, given in members.items()
    }
    defaults = {name: given[1] for name, given in members.items() if isinstance(given, tuple)}
    model = type(Event)(
        "BaleWeighed", (Event,), {"__annotations__": fields, "__module__": __name__, **defaults}
    )
    return event("bale.weighed", version=version, aggregate=("bale", "bale_id"))(model)


def again(registry: events.EventRegistry, **members: Any) -> type[Event]:
    """Declare the event again, as a later release of the code would."""
    registry.types.clear()
    return declare(**members)


def write_all() -> None:
    run("write")
    run("asyncapi")


def test_check_asks_for_missing_files_and_write_makes_them(folder: Path) -> None:
    declare(quantity=Quantity)
    output = run("check", code=1)
    assert len(output["faults"]) == 3
    assert run("write")["written"] == ["bale.weighed.v1.sample.json", "bale.weighed.v1.schema.json"]
    assert run("asyncapi")["written"] == ["asyncapi.json"]
    assert run("check") == {"passed": True, "events": ["bale.weighed.v1"], "faults": []}
    assert run("write")["written"] == []
    assert sorted(path.name for path in folder.iterdir()) == [
        "asyncapi.json",
        "bale.weighed.v1.sample.json",
        "bale.weighed.v1.schema.json",
    ]


def test_an_optional_member_may_join_a_version(registry: events.EventRegistry, folder: Path) -> None:
    declare(quantity=Quantity)
    write_all()
    again(registry, quantity=Quantity, grade=(str | None, None))
    assert run("check", code=1)["faults"] == [
        "bale.weighed.v1.schema.json is out of date: run `manage.py events write`"
    ]
    assert run("write")["written"] == ["bale.weighed.v1.schema.json"]
    assert run("check")["passed"]
    schema = json.loads((folder / "bale.weighed.v1.schema.json").read_text())
    assert schema["required"] == ["bale_id", "quantity"]
    assert "grade" not in json.loads((folder / "bale.weighed.v1.sample.json").read_text())


class Inner(BaseModel):
    a: str


class InnerGrown(BaseModel):
    a: str
    b: str


@pytest.mark.parametrize(
    ("before", "after", "fault"),
    [
        ({"grade": str}, {}, "/grade is gone"),
        ({"grade": str}, {"class_": str}, "/grade is gone"),
        ({}, {"grade": str}, "/grade is new and required"),
        ({"grade": str}, {"grade": int}, '/grade: was "string", is "integer"'),
        ({"grade": (str, "A")}, {"grade": str}, "/grade was optional, is required"),
        ({"grade": str}, {"grade": (str, "A")}, "/grade was required, is optional"),
        ({"grade": str}, {"grade": str | None}, "/grade: anyOf is new"),
        ({"grade": str | None}, {"grade": str}, "/grade: anyOf is gone"),
        ({"grade": Literal["A", "B"]}, {"grade": Literal["A"]}, '/grade: enum is gone (was ["A", "B"])'),
        ({"weight": int}, {"weight": (int, Field(le=5))}, "/weight: maximum is new (5)"),
        ({"price": Money}, {"price": Quantity}, "/price/amount is gone"),
        ({"inner": Inner}, {"inner": InnerGrown}, "/inner/b is new and required"),
        ({"inner": list[Inner]}, {"inner": list[InnerGrown]}, "/inner/b is new and required"),
    ],
)
def test_anything_else_breaks_the_version(
    registry: events.EventRegistry, folder: Path, before: dict[str, Any], after: dict[str, Any], fault: str
) -> None:
    declare(**before)
    write_all()
    contents = {path.name: path.read_text() for path in folder.iterdir()}
    again(registry, **after)
    output = run("check", code=1)["faults"]
    assert any(text.startswith(f"breaking change without a new version: {fault}") for text in output), output
    refused = run("write", code=1)["refused"]
    assert any(text.startswith(fault) for text in refused["bale.weighed.v1"])
    assert {path.name: path.read_text() for path in folder.iterdir()} == contents, "nothing was overwritten"


def test_another_aggregate_breaks_the_version(registry: events.EventRegistry) -> None:
    declare(lot_id=UUID)
    write_all()
    registry.types.clear()
    model = type(Event)(
        "BaleWeighed",
        (Event,),
        {"__annotations__": {"bale_id": UUID, "lot_id": UUID}, "__module__": __name__},
    )
    event("bale.weighed", version=1, aggregate=("lot", "lot_id"))(model)
    assert any(
        'x-aggregate-type: was "bale"' in text or '"bale", is "lot"' in text
        for text in run("check", code=1)["faults"]
    )


def test_words_for_readers_may_change(registry: events.EventRegistry) -> None:
    declare(grade=(str, Field(description="As classed.")))
    write_all()
    again(registry, grade=(str, Field(description="As classed by the controller.")))
    assert not any("breaking" in text for text in run("check", code=1)["faults"])
    assert run("write")["written"] == ["bale.weighed.v1.schema.json"]
    assert run("check")["passed"]


def test_a_new_version_reads_the_samples_of_the_old_one(registry: events.EventRegistry, folder: Path) -> None:
    declare(kilos=DecimalText)
    write_all()
    declare(version=2, weight=Quantity)
    with pytest.raises(ImproperlyConfigured, match="no upcaster from version 1 to 2"):
        registry.seal()

    @upcaster("bale.weighed", from_version=1)
    def _weight_has_a_unit(payload: dict[str, Any]) -> dict[str, Any]:
        return {"bale_id": payload["bale_id"], "weight": {"value": payload["kilos"], "unit": "KG"}}

    registry.seal()
    write_all()
    assert run("check")["passed"]
    sample = json.loads((folder / "bale.weighed.v1.sample.json").read_text())
    newest: Any = registry.load("bale.weighed", 1, sample)
    assert (str(newest.weight.value), newest.weight.unit) == ("100.000", "KG")
    registry.upcasters["bale.weighed", 1] = lambda payload: {"bale_id": payload["bale"]}
    assert any("its upcaster fails: KeyError('bale')" in text for text in run("check", code=1)["faults"])
    registry.upcasters["bale.weighed", 1] = lambda payload: {"bale_id": payload["bale_id"]}
    assert any("weight: Field required" in text for text in run("check", code=1)["faults"])


def test_an_outdated_sample_is_reported_and_not_overwritten(folder: Path) -> None:
    declare(quantity=Quantity)
    write_all()
    file = folder / "bale.weighed.v1.sample.json"
    sample = json.loads(file.read_text())
    sample["quantity"]["value"] = "a lot"
    file.write_text(json.dumps(sample))
    assert any(
        "bale.weighed.v1.sample.json.quantity.value" in text for text in run("check", code=1)["faults"]
    )
    assert "bale.weighed.v1" in run("write", code=1)["refused"]
    assert json.loads(file.read_text()) == sample
    file.write_text("no json")
    assert run("check", code=1)["faults"]


def test_a_version_that_the_code_forgot_is_found(registry: events.EventRegistry) -> None:
    declare()
    write_all()
    registry.types.clear()
    output = run("check", code=1)["faults"]
    assert "bale.weighed.v1.schema.json: no event in the code belongs to this file" in output
    assert any(text.startswith("asyncapi.json is out of date") for text in output)


class Grade(Enum):
    A = "A"
    B = "B"


def test_a_sample_has_one_plausible_value_per_member() -> None:
    model = declare(
        quantity=Quantity,
        price=Money | None,
        rate=DecimalText,
        rates=list[DecimalText],
        day=date,
        at=datetime,
        yes=bool,
        count=int,
        kind=Literal["first", "second"],
        grade=Grade,
        notes=dict[str, Inner],
        code=(str, Field(pattern="^[0-9]{4}$", examples=["5201"])),
        anything=Any,
    )
    sample = events.sample(model)
    assert sample == {
        "bale_id": "01890a5d-ac96-774b-bcce-b302099a8057",
        "quantity": {"value": "100.000", "unit": "BALE"},
        "price": {"amount": "100.000", "currency": "INR"},
        "rate": "100.000",
        "rates": ["100.000"],
        "day": "2026-01-12",
        "at": "2026-01-12T10:00:00Z",
        "yes": True,
        "count": 1,
        "kind": "first",
        "grade": "A",
        "notes": {"key": {"a": "a"}},
        "code": "5201",
        "anything": "anything",
    }
    Draft202012Validator.check_schema(events.schema(model))
    assert Draft202012Validator(events.schema(model)).is_valid(sample)


def test_a_sample_that_cannot_be_generated_names_the_member() -> None:
    declare(code=(str, Field(pattern="^[0-9]{4}$")))
    assert "code" in run("write", code=1)["refused"]["bale.weighed.v1"][0]


def test_a_schema_describes_the_payload_and_allows_new_members() -> None:
    schema = events.schema(declare(weight=DecimalText, grade=(str | None, None)))
    assert schema["properties"]["weight"]["type"] == "string", "decimals travel as text"
    assert schema["required"] == ["bale_id", "weight"]
    sample = {"bale_id": str(uuid4()), "weight": "170.000"}
    assert Draft202012Validator(schema).is_valid({**sample, "colour": "white"})
    assert not Draft202012Validator(schema).is_valid({**sample, "weight": 170})


@pytest.fixture
def document(folder: Path) -> dict[str, Any]:
    declare(quantity=Quantity)
    write_all()
    read: dict[str, Any] = json.loads((folder / "asyncapi.json").read_text())
    return read


def test_the_asyncapi_document_names_every_message(document: dict[str, Any], folder: Path) -> None:
    assert document["asyncapi"] == "3.1.0"
    channel = document["channels"]["cotton-erp-events"]
    assert channel["address"] == "cotton-erp-events"
    assert set(channel["messages"]) == {"bale.weighed.v1", "erp.gap.v1"}

    def resolved(node: Any) -> Iterator[str]:
        if isinstance(node, dict):
            if "$ref" in node:
                yield node["$ref"]
            for value in node.values():
                yield from resolved(value)
        elif isinstance(node, list):
            for value in node:
                yield from resolved(value)

    for reference in resolved(document):
        if reference.startswith("#/"):
            target: Any = document
            for part in reference.removeprefix("#/").split("/"):
                target = target[part]
        else:
            assert (folder / reference).exists()


@pytest.fixture
def headers(document: dict[str, Any]) -> Callable[[str, dict[str, str]], bool]:
    """Return whether attributes match the headers that the document declares for a message."""

    def fit(name: str, attributes: dict[str, str]) -> bool:
        output = {**document["components"]["messages"][name]["headers"], "components": document["components"]}
        return bool(Draft202012Validator(output).is_valid(attributes))

    return fit


def test_what_the_relay_sends_fits_the_asyncapi_document(
    headers: Callable[[str, dict[str, str]], bool], document: dict[str, Any]
) -> None:
    bale = uuid4()
    envelope = wire.Envelope(
        event_id=uuid4(),
        event_type="bale.weighed",
        event_version=1,
        stream=wire.Stream("bale", bale),
        sequence=7,
        occurred_at=datetime.now(UTC),
        data="{}",
        correlation_id="request-1",
    )
    attributes = wire.attributes(envelope)
    assert headers("bale.weighed.v1", attributes)
    assert attributes.keys() <= document["components"]["schemas"]["Headers"]["properties"].keys()
    assert not headers("bale.weighed.v1", {**attributes, "eventversion": "2"})
    assert not headers("bale.weighed.v1", {k: v for k, v in attributes.items() if k != "sequence"})
    gap = envelope.gap()
    assert gap.event_type == event_files.GAP
    assert headers("erp.gap.v1", wire.attributes(gap))


def declare_read(readers: Any, *, rows: bool = True) -> type[Event]:
    """Declare ``bale.sold`` with these readers."""
    model = type(Event)(
        "BaleSold",
        (Event,),
        {
            "__annotations__": {
                "bale_id": UUID,
                "seller_id": UUID,
                "buyer_id": UUID | None,
                "grade": str,
                "price": str,
            },
            "__module__": __name__,
        },
    )
    if rows:
        events.rows_of("bale", model="yard.Bale", reads=VIEW)
    return event("bale.sold", version=1, aggregate=("bale", "bale_id"), readers=readers)(model)


VIEW: Any = None  # whoever asks for rows asks for it, not these tests
BALE, SELLER, BUYER, STRANGER = (uuid4() for _ in range(4))
SOLD = {
    "bale_id": str(BALE),
    "seller_id": str(SELLER),
    "buyer_id": str(BUYER),
    "grade": "29 mm",
    "price": "53500",
}


def sold(*ids: UUID, **changes: Any) -> dict[str, Any] | None:
    """Return the event's members that are not null for readers with these ids."""
    seen = events.seen_by(ids, "bale.sold", 1, SOLD | changes)
    if seen is None:
        return None
    assert list(seen) == list(SOLD), "the shape is the same for everybody"
    return {name: value for name, value in seen.items() if value is not None}


def test_each_reader_learns_its_members_its_own_id_and_the_rows() -> None:
    declare_read({"seller_id": ALL, "buyer_id": ["price"], EVERYONE: ["grade"]})
    row = {"bale_id": str(BALE), "grade": "29 mm"}
    assert sold(SELLER) == SOLD
    assert sold(BUYER) == row | {"buyer_id": str(BUYER), "price": "53500"}
    assert sold(STRANGER) == row
    assert sold(STRANGER, buyer_id=str(STRANGER)) == row | {"buyer_id": str(STRANGER), "price": "53500"}
    assert events.readers_of("bale.sold", 1, SOLD) == {SELLER, BUYER, events.ANYBODY}


def test_a_reader_sees_another_under_a_pseudonym_of_the_row() -> None:
    declare_read({"seller_id": ALL, "buyer_id": ["price"]})
    events.registry.rows["bale"] = events.Rows(
        ("x.Bale",), VIEW, lambda *ids: UUID(int=sum(map(int, ids)) % 2**128)
    )

    def shown(viewer: UUID) -> Any:
        return events.seen_by([viewer], "bale.sold", 1, SOLD, viewer=viewer)

    assert shown(SELLER) == SOLD
    assert UUID(shown(BUYER)["seller_id"]) == UUID(int=(int(BUYER) + int(SELLER) + int(BALE)) % 2**128)
    assert (shown(BUYER)["buyer_id"], shown(BUYER)["grade"], shown(STRANGER)) == (str(BUYER), None, None)


def test_a_caller_who_is_not_a_reader_gets_no_event() -> None:
    declare_read({"buyer_id": ["price"]})
    assert sold(SELLER, STRANGER, events.ANYBODY) is None
    assert sold(STRANGER, buyer_id=None) is None
    assert events.readers_of("bale.sold", 1, SOLD | {"buyer_id": None}) == frozenset()


@pytest.mark.parametrize("readers", [None, {}])
def test_an_event_without_readers_stays_in_the_company(readers: Any) -> None:
    declare_read(readers, rows=False).__event__  # noqa: B018
    assert sold(SELLER, BUYER, STRANGER, events.ANYBODY) is None
    assert events.readers_of("bale.sold", 1, SOLD) == frozenset()


def test_a_member_that_only_a_later_release_knows_is_hidden() -> None:
    declare_read({"seller_id": ALL})
    seen = events.seen_by([SELLER], "bale.sold", 1, SOLD | {"margin": "900"})
    assert seen == SOLD | {"margin": None}


@pytest.mark.parametrize(
    ("readers", "words"),
    [
        ({"price": ALL}, "price is not the id"),
        ({"nobody": ALL}, "nobody is not the id"),
        ({EVERYONE: ["grades"]}, "has no grades"),
        ({EVERYONE: "grade"}, "list of members"),
    ],
)
def test_readers_that_can_not_be_are_refused_at_import(readers: Any, words: str) -> None:
    with pytest.raises(ImproperlyConfigured, match=words):
        declare_read(readers)


@pytest.mark.parametrize("field", ["bale_id", "weight"])
def test_an_aggregate_that_no_uuid_field_names_is_refused(field: str) -> None:
    with pytest.raises(ImproperlyConfigured, match=f"bale.weighed: {field} must be a UUID field"):

        @events.event("bale.weighed", version=1, aggregate=("bale", field))
        class Weighed(events.Event):
            weight: int


def test_readers_without_declared_rows_are_refused(registry: events.EventRegistry) -> None:
    declare_read({"seller_id": ALL}, rows=False)
    with pytest.raises(ImproperlyConfigured, match="where the rows of bale are"):
        registry.seal()


def test_the_rows_of_an_aggregate_are_declared_once() -> None:
    declare_read({})
    with pytest.raises(ImproperlyConfigured, match="twice"):
        events.rows_of("bale", model="yard.Bale", reads=VIEW)


class Contact(BaseModel):
    email: str


@pytest.mark.parametrize(
    "members", [{"email": str}, {"tax_number": PanText}, {"numbers": list[PanText]}, {"contact": Contact}]
)
def test_an_event_with_personal_data_is_refused_by_name_or_by_type(members: Any) -> None:
    with pytest.raises(ImproperlyConfigured, match="personal data"):
        declare(**members)


@pytest.mark.parametrize(
    ("value", "member"),
    [
        (Quantity(value=Decimal(1), unit="BALE"), "unit"),
        (Money(amount=Decimal(1), currency="INR"), "currency"),
        (FieldChange(old="a", new="b"), "new"),
    ],
)
def test_values_of_an_event_cannot_be_changed(value: BaseModel, member: str) -> None:
    with pytest.raises(ValidationError, match="frozen"):
        setattr(value, member, "other")


def test_a_sample_takes_the_first_example_of_a_nested_member() -> None:
    class Code(BaseModel):
        code: Annotated[str, Field(examples=["first", "second"])]

    assert events.sample(declare(code=Code))["code"] == {"code": "first"}
