"""Documents of a trade as PDF: drawn from stored rows, stored once with their SHA-256 (trades §5.13)."""

import hashlib
from collections.abc import Iterator, Set
from typing import Final, NamedTuple

from django.db.models import Exists, OuterRef, Q

from apps.partners.models import Partner
from apps.trades import capabilities, events, papers
from apps.trades import engine as engines
from apps.trades.engine import terms as t
from apps.trades.models import Party, Settlement, Terms, Trade, TradeDocument
from apps.trades.services import rules, settlement
from erp.access import Actor
from erp.files import Upload
from erp.services import emit, service
from erp.uploads import services as uploads

PURPOSE: Final = "trade.document"
PDF: Final = "application/pdf"
Kind = TradeDocument.Kind


class Paper(NamedTuple):
    """A document that a trade should have. ``number``: of a note."""

    kind: str
    number: str
    version: int
    content: bytes


@service(
    requires=capabilities.CREATE,
    emits=[events.TradeDocumentGenerated],
    label="Store a document",
)
def store_document(trade: Trade, *, actor: Actor, paper: Paper) -> TradeDocument:
    """Store a document unless the trade has it already. The trade's version stays: nothing that was agreed changes."""
    found: TradeDocument | None = TradeDocument.objects.filter(
        trade=trade, kind=paper.kind, subject=paper.number, subject_version=paper.version
    ).first()
    if found is not None:
        return found
    digest = hashlib.sha256(paper.content).hexdigest()
    name = f"{paper.kind.lower().replace('_', '-')}-{paper.number or trade.number}.pdf".replace("/", "-")
    file = Upload(name=name, media_type=PDF, content=paper.content)
    stored = uploads.create(actor=actor, file=file, purpose=PURPOSE, used_by=TradeDocument._meta.label)
    row = TradeDocument(
        trade=trade,
        kind=paper.kind,
        subject=paper.number,
        subject_version=paper.version,
        file=stored,
        sha256=digest,
        size=len(paper.content),
        created_by_id=actor.pk,
    )
    row.save()
    emit(
        events.TradeDocumentGenerated(
            **rules.head(trade),
            document_id=row.pk,
            kind=row.kind,
            subject_version=row.subject_version,
            sha256=digest,
        )
    )
    return row


def missing(trade: Trade) -> Iterator[Paper]:
    """Draw the documents that the trade should have and doesn't."""
    rows = TradeDocument.objects.filter(trade=trade)
    yield from draw(trade, there=set(rows.values_list("kind", "subject", "subject_version")))


def draw(trade: Trade, *, there: Set[tuple[str, str, int]]) -> Iterator[Paper]:
    """Draw contract notes, statements and notes but for those that are ``there``: the same bytes each time."""
    for terms in Terms.objects.filter(trade=trade).order_by("terms_version"):
        if (Kind.CONTRACT_NOTE.value, "", terms.terms_version) not in there:
            yield Paper(Kind.CONTRACT_NOTE.value, "", terms.terms_version, _contract_note(trade, terms))
    for row in Settlement.objects.filter(trade=trade).order_by("revision"):
        yield from _of_settlement(trade, row, there)


def _of_settlement(trade: Trade, row: Settlement, there: Set[tuple[str, str, int]]) -> Iterator[Paper]:
    notes = [
        each for each in row.documents if each["kind"] in (Kind.CREDIT_NOTE.value, Kind.DEBIT_NOTE.value)
    ]
    wanted = [(Kind.STATEMENT.value, "", row.revision)]
    wanted += [(each["kind"], each["number"], row.revision) for each in notes]
    if there >= set(wanted):
        return
    terms, stored = settlement.terms_behind(row)
    subject = _subject(trade, stored, terms)
    found = papers.Figures(
        number=row.number,
        revision=row.revision,
        settled_date=row.settled_date,
        settlement=settlement.recompute(row),
        note_numbers={each["key"]: each["number"] for each in notes},
    )
    for each, key in zip(notes, wanted[1:], strict=True):
        if key not in there:
            yield Paper(*key, papers.note(subject, found, each["key"]))
    if wanted[0] not in there:  # last: it is by the statement that the sweep tells what is complete
        yield Paper(*wanted[0], papers.statement(subject, found))


def _contract_note(trade: Trade, row: Terms) -> bytes:
    terms = t.thaw(row.body, row.hash)
    value = engines.version(engines.CURRENT).value(terms).contract_value
    return papers.contract_note(_subject(trade, row, terms), value)


def _subject(trade: Trade, row: Terms, terms: t.Terms) -> papers.Subject:
    partners = Partner.objects.filter(pk__in=Party.objects.filter(trade=trade).values("partner"))
    return papers.Subject(
        number=trade.number,
        organization=trade.organization.legal_name,
        names={str(partner.pk): partner.legal_name for partner in partners},
        terms=terms,
        terms_version=row.terms_version,
        contract_hash=row.hash,
    )


def without_document(most: int) -> Iterator[Trade]:
    """Trades with terms or a settlement of which there is no document, the oldest first."""
    drawn = TradeDocument.objects.filter(trade=OuterRef("trade"))
    terms = Terms.objects.exclude(
        Exists(drawn.filter(kind=Kind.CONTRACT_NOTE, subject_version=OuterRef("terms_version")))
    )
    settled = Settlement.objects.exclude(
        Exists(drawn.filter(kind=Kind.STATEMENT, subject_version=OuterRef("revision")))
    )
    waiting = Q(pk__in=terms.values("trade")) | Q(pk__in=settled.values("trade"))
    yield from Trade.objects.filter(waiting).select_related("organization").order_by("pk")[:most]
