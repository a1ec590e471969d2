"""Changes of the terms: one side proposes, the other accepts; after approval two people may have to agree, too."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from decimal import Decimal
from fractions import Fraction
from typing import Any, Final, get_type_hints
from uuid import UUID

from apps.approvals import services as approvals
from apps.approvals.models import ApprovalRequest
from apps.availability.models import Reservation
from apps.commodities.exact import rounded
from apps.locations.models import Location
from apps.partners.models import CreditAccount, Partner
from apps.partners.models.credit import Bucket
from apps.partners.services import exposure
from apps.risk.models import RiskAssessment
from apps.risk.models.base import Verdict
from apps.trades import capabilities, engine, events
from apps.trades.engine import records
from apps.trades.engine import terms as t
from apps.trades.engine.terms import Role
from apps.trades.models import Acknowledgement, Amendment, Deadline, Dispatch, Party, Trade
from apps.trades.services import contract, deadlines, effects, judging, rules
from apps.trades.services.approval import TRADE, WARNED, approvals_for, assess, involved, request_approval
from apps.trades.services.creation import write_terms
from apps.trades.services.rules import head
from erp import clock
from erp.access import Actor
from erp.approvals import ApprovalKind
from erp.services import emit, service

_Status, _Of = Trade.Status, Amendment.Status
# Groups of the terms and what of them can be amended; True: it touches value, tax or payment.
GROUPS: Final[dict[str, tuple[type, dict[str, bool]]]] = {
    "delivery": (t.Delivery, {"window_start": False, "window_end": False}),
    "payment": (
        t.PaymentTerms,
        dict.fromkeys(
            ("advance_percent", "advance_days", "balance_days", "balance_from", "day_kind", "carrying_slabs",
             "carrying_tax"),
            True,
        ),
    ),
    "weight": (
        t.Weight,
        {"final": True, "franchise_kind": True, "franchise_percent": True, "tolerance_percent": True,
         "claim_days": False},
    ),
    "quality": (t.Quality, {"final_source": True, "bales_per_sample": False, "claim_days": False}),
}  # fmt: skip
POINTERS: Final = (
    "/price", "/count", "/weight_kg", "/from_location_id", "/to_location_id", "/transporter_id", "/brokerage/SELLER",
    "/brokerage/BUYER", *(f"/{group}/{name}" for group, (_, names) in GROUPS.items() for name in names),
)  # fmt: skip
QUANTITY: Final = frozenset({"/count", "/weight_kg"})


def _people(request: ApprovalRequest) -> set[Any]:
    return involved(Amendment.objects.select_related("trade").get(pk=request.subject_id).trade)


class _Changed:
    """Terms with changes applied one after another, and whether any touches value, tax or payment."""

    def __init__(self, trade: Trade, terms: t.Terms) -> None:
        self.trade, self.terms, self.commercial = trade, terms, False
        self.transporter: contract.PartyRow | None = None
        self.written: list[dict[str, Any]] = []

    def apply(self, number: int, pointer: str, value: Any) -> None:
        """Apply one change. Raises NotAmendable, BadInput."""
        if pointer not in POINTERS:
            raise rules.NotAmendable.at(
                f"/changes/{number}/pointer", "not_listed", f"One of {', '.join(POINTERS)}."
            )
        place, before = f"/changes/{number}/value", self.terms
        group, _, name = pointer.strip("/").partition("/")
        if group == "brokerage":
            old = self._brokerage(t.Side(name), value, place)
        elif name:
            kind, names = GROUPS[group]
            part = getattr(self.terms, group)
            old = records.to_json(getattr(part, name))
            new = records.from_json(get_type_hints(kind, include_extras=True)[name], value, place)
            self.terms = replace(self.terms, **{group: replace(part, **{name: new})})
            self.commercial |= names[name] and self.terms != before
        else:
            old = getattr(self, f"_{group}")(value, place)
        if self.terms != before:
            self.written.append({"pointer": pointer, "old": old, "new": value})

    def _price(self, value: Any, place: str) -> Any:
        price = records.from_json(records.Positive, value, place)
        old = records.to_json(self.terms.price)["price"]
        self.terms = replace(self.terms, price=t.Flat(price=price))
        self.commercial = True
        return old

    def _count(self, value: Any, place: str) -> Any:
        count = records.from_json(records.Count, value, place)
        lot, old = self._only_lot(place), self.terms.count
        if old is None or count > old:
            raise rules.NotAmendable.at(place, "upwards", "The quantity can only be lowered.")
        kg = rounded(Fraction(lot.estimated_kg) * count / old, 3)
        lots = (replace(lot, count=count, estimated_kg=kg),)
        self.terms, self.commercial = replace(self.terms, count=count, weight_kg=kg, lots=lots), True
        return old

    def _weight_kg(self, value: Any, place: str) -> Any:
        kg = records.from_json(records.Positive, value, place)
        lot, old = self._only_lot(place), self.terms.weight_kg
        if kg > old:
            raise rules.NotAmendable.at(place, "upwards", "The weight can only be lowered.")
        self.terms = replace(self.terms, weight_kg=kg, lots=(replace(lot, estimated_kg=kg),))
        self.commercial = True
        return records.to_json(old)

    def _only_lot(self, place: str) -> t.Lot:
        if len(self.terms.lots) != 1:
            raise rules.NotAmendable.at(place, "several_lots", "Cancel what isn't wanted of several lots.")
        return self.terms.lots[0]

    def _from_location_id(self, value: Any, place: str) -> Any:
        return self._location("from", value, place)

    def _to_location_id(self, value: Any, place: str) -> Any:
        return self._location("to", value, place)

    def _location(self, end: str, value: Any, place: str) -> Any:
        found = Location.objects.filter(pk=value, status="ACTIVE").first() if _is_id(value) else None
        if found is None or found.country != "IN":
            raise rules.NotAmendable.at(place, "does_not_exist", "There is no such place in India.")
        old = self.terms.references.get(f"{end}_location_id")
        state: dict[str, Any] = {f"{end}_state": found.state_id or ""}
        self.commercial |= getattr(self.terms.delivery, f"{end}_state") != state[f"{end}_state"]
        self.terms = replace(
            self.terms,
            delivery=replace(self.terms.delivery, **state),
            references={**self.terms.references, f"{end}_location_id": str(found.pk)},
        )
        return old

    def _transporter_id(self, value: Any, place: str) -> Any:
        found = Partner.objects.filter(pk=value).first() if _is_id(value) else None
        if found is None or found.status != Partner.Status.ACTIVE:
            raise rules.NotAmendable.at(place, "does_not_exist", "There is no such partner.")
        old = self.terms.party(Role.TRANSPORTER)
        self.transporter = contract.party_of(Role.TRANSPORTER, found, {}, self.terms.trade_date, place)
        others = tuple(party for party in self.terms.parties if party.role is not Role.TRANSPORTER)
        self.terms = replace(self.terms, parties=(*others, self.transporter.frozen))
        return old and old.partner_id

    def _brokerage(self, side: t.Side, value: Any, place: str) -> Any:
        old = next((row for row in self.terms.brokerage if row.side is side), None)
        others = tuple(row for row in self.terms.brokerage if row.side is not side)
        new = (
            ()
            if value is None
            else (records.from_json(t.Brokerage, {**_mapping(value), "side": side.value}, place),)
        )
        self.terms = replace(self.terms, brokerage=(*others, *new))
        self.commercial |= (old and (old,)) != (new or None)
        return old and {"basis": old.basis.value, "rate": records.to_json(old.rate)}


def _mapping(value: Any) -> Mapping[str, Any]:
    return value if isinstance(value, dict) else {}


def _is_id(value: Any) -> bool:
    return isinstance(value, str) and len(value) == 36 and value.count("-") == 4


@service(
    requires=capabilities.AMEND,
    emits=[events.TradeAmendmentProposed],
    raises=dict.fromkeys([
        rules.InvalidState, rules.SnapshotDamaged, rules.NotASide, rules.EvidenceRequired, rules.AmendmentOpen,
        rules.NotAmendable, rules.NoChange, rules.RegistrationNotOfParty, rules.FileUsed, *rules.TERM_ERRORS,
    ]),
    label="Propose an amendment",
)  # fmt: skip
def propose_amendment(
    trade: Trade,
    *,
    actor: Actor,
    changes: Sequence[dict[str, Any]],
    reason: str,
    on_behalf_of: str | None = None,
    evidence: rules.Evidence | None = None,
) -> Amendment:
    """Propose a change of the terms, for the other side to accept."""
    terms = rules.require_writable(trade, *Trade.LIVE)
    side, on_behalf = rules.acting_side(trade, actor, on_behalf_of, evidence)
    if trade.amendments.filter(status__in=Amendment.OPEN).exists():
        raise rules.AmendmentOpen
    changed = _Changed(trade, terms)
    # Weight after count: a lower count brings its own weight.
    order = sorted(range(len(changes)), key=lambda n: changes[n]["pointer"] == "/weight_kg")
    for number in order:
        changed.apply(number, changes[number]["pointer"], changes[number]["value"])
    if not changed.written:
        raise rules.NoChange
    if changed.commercial and Dispatch.objects.filter(trade=trade, voided_at=None).exists():
        raise rules.NotAmendable.at(
            "/changes", "dispatched", "Goods were dispatched; only other terms can change."
        )
    body, digest = engine.terms.freeze(changed.terms)
    row = Amendment(
        trade=trade,
        side=side,
        changes=changed.written,
        commercial=changed.commercial,
        reason=reason,
        base_terms_version=trade.terms_version,
        proposed_body=body,
        proposed_hash=digest,
        on_behalf=on_behalf,
        proposal_evidence=rules.use_file(actor, evidence),
        created_by_id=actor.pk,
    )
    row.save()
    rules.touch(trade)
    emit(
        events.TradeAmendmentProposed(
            **head(trade), amendment_id=row.pk, side=side, pointers=[each["pointer"] for each in changed.written],
            commercial=changed.commercial,
        )
    )  # fmt: skip
    return row


def _other_side(
    row: Amendment, actor: Actor, on_behalf_of: str | None, evidence: rules.Evidence | None
) -> bool:
    """Require that the other side decides, by somebody else. Returns whether staff do it on its behalf."""
    if actor.pk == row.created_by_id:
        raise rules.OwnAmendment
    side, on_behalf = rules.acting_side(row.trade, actor, on_behalf_of, evidence)
    if side == row.side:
        raise rules.OwnAmendment
    return on_behalf


_DECISION: Final = (
    rules.InvalidState, rules.SnapshotDamaged, rules.NotASide, rules.EvidenceRequired, rules.OwnAmendment,
    rules.AmendmentStale, rules.FileUsed,
)  # fmt: skip


def _require_open(row: Amendment, *states: str) -> None:
    rules.require_writable(row.trade, *Trade.LIVE)
    if row.status not in states or row.base_terms_version != row.trade.terms_version:
        raise rules.AmendmentStale(status_now=row.status)


@service(
    requires=capabilities.AMEND,
    emits=[events.TradeAmendmentAccepted, events.TradeAmended],
    raises=dict.fromkeys([
        *_DECISION, *effects.ERRORS, approvals.PendingExists, approvals.ReasonMissing, rules.NotAmendable,
        rules.ReservationNotLive, rules.PartnerNotReady,
    ]),
    lock_via=rules.lock_trade,
    label="Accept an amendment",
)  # fmt: skip
def accept_amendment(
    amendment: Amendment,
    *,
    actor: Actor,
    on_behalf_of: str | None = None,
    evidence: rules.Evidence | None = None,
) -> Amendment:
    """Accept the other side's amendment. It applies at once, or waits for approval if it changes an approved value."""
    trade = amendment.trade
    _require_open(amendment, _Of.PROPOSED)
    on_behalf = _other_side(amendment, actor, on_behalf_of, evidence)
    if amendment.commercial and Dispatch.objects.filter(trade=trade, voided_at=None).exists():
        raise rules.NotAmendable.at(
            "/changes", "dispatched", "Goods were dispatched; only other terms can change."
        )
    evidence = rules.use_file(actor, evidence)
    amendment.decided_by_id, amendment.decided_at = actor.pk, clock.now()
    amendment.evidence, amendment.status = evidence, _Of.ACCEPTED
    waits = amendment.commercial and trade.approved_at is not None
    if waits:
        amendment.save()
        _ask(amendment, actor)
        rules.touch(trade)
    else:
        _apply(amendment, actor, on_behalf=on_behalf)
    emit(
        events.TradeAmendmentAccepted(
            **head(trade),
            amendment_id=amendment.pk,
            terms_version=trade.terms_version,
            contract_hash=trade.contract_hash,
            commercial=amendment.commercial,
            applied=not waits,
        )
    )
    return amendment


@service(
    requires=capabilities.AMEND,
    emits=[events.TradeAmendmentRejected],
    raises=_DECISION,
    lock_via=rules.lock_trade,
    label="Reject an amendment",
)
def reject_amendment(
    amendment: Amendment,
    *,
    actor: Actor,
    reason: str,
    on_behalf_of: str | None = None,
    evidence: rules.Evidence | None = None,
) -> Amendment:
    """Reject the other side's amendment; the terms stay as they are."""
    _require_open(amendment, _Of.PROPOSED)
    _other_side(amendment, actor, on_behalf_of, evidence)
    evidence = rules.use_file(actor, evidence)
    amendment.status, amendment.decision_reason = _Of.REJECTED, reason
    amendment.decided_by_id, amendment.decided_at, amendment.evidence = actor.pk, clock.now(), evidence
    amendment.save()
    rules.touch(amendment.trade)
    emit(events.TradeAmendmentRejected(**head(amendment.trade), amendment_id=amendment.pk))
    return amendment


def _ask(amendment: Amendment, actor: Actor) -> None:
    trade, terms = amendment.trade, records.from_json(t.Terms, amendment.proposed_body)
    worth = engine.version(engine.CURRENT).value(terms)
    is_warned = _assess(amendment, actor, terms).status == Verdict.WARN
    needed = approvals_for(trade.organization, worth.base_value, trade.trade_date)
    approvals.request(
        actor=actor,
        kind=AMENDMENT,
        subject_id=amendment.pk,
        subject_version=amendment.version,
        reason=f"Amendment of trade {trade.number}: both sides agreed.",
        amount=worth.base_value,
        currency="INR",
        needed=max(needed, trade.approvals_required, WARNED if is_warned else 1),
        excluded=involved(trade),
        diff=[(row["pointer"], str(row["old"]), str(row["new"])) for row in amendment.changes],
    )


def _assess(amendment: Amendment, actor: Actor, terms: t.Terms) -> RiskAssessment:
    price = getattr(terms.price, "price", amendment.trade.price)
    sold = (Reservation.Status.SOLD,)
    return assess(amendment.trade, actor, terms, price=price, states=sold)


@service(
    requires=capabilities.APPROVE,
    emits=[events.TradeAmended],
    raises=dict.fromkeys([
        rules.InvalidState, rules.SnapshotDamaged, rules.AmendmentStale, rules.OnHold, rules.ReservationNotLive,
        rules.PartnerNotReady, rules.RiskBlocked, *effects.ERRORS,
    ]),
    lock_via=rules.lock_trade,
    label="Apply an approved amendment",
)  # fmt: skip
def apply_amendment(amendment: Amendment, *, actor: Actor, request: ApprovalRequest) -> Amendment:
    """Put an accepted amendment into force once it is approved; a dispatch meanwhile makes it stale."""
    _require_open(amendment, _Of.ACCEPTED)
    if Dispatch.objects.filter(trade=amendment.trade, voided_at=None).exists():
        raise rules.AmendmentStale
    if amendment.trade.hold_code is not None:
        raise rules.OnHold
    terms = engine.terms.thaw(amendment.proposed_body, amendment.proposed_hash)
    refusal = judging.blocked(_assess(amendment, actor, terms))
    if refusal is not None:
        raise refusal
    _apply(amendment, actor, on_behalf=amendment.evidence_id is not None)
    return amendment


@service(
    requires=capabilities.APPROVE,
    emits=[events.TradeAmendmentClosed],
    lock_via=rules.lock_trade,
    label="Close an amendment",
)
def close_amendment(amendment: Amendment, *, actor: Actor, request: ApprovalRequest) -> Amendment:
    """The approval was refused, or the amendment was overtaken: the old terms stand."""
    if amendment.status == _Of.ACCEPTED:
        refused = request.status == ApprovalRequest.Status.REFUSED
        amendment.status = _Of.REFUSED if refused else _Of.STALE
        amendment.save()
        rules.touch(amendment.trade)
        emit(
            events.TradeAmendmentClosed(
                **head(amendment.trade), amendment_id=amendment.pk, amendment_status=amendment.status
            )
        )
    return amendment


def _lock_trade_of(amendment_id: UUID) -> None:
    list(Trade.objects.locked().filter(amendments=amendment_id))


AMENDMENT = ApprovalKind(
    name="trade.amend",
    title="Amendment of a trade",
    subject="trade_amendment",
    model="trade.Amendment",
    capability=capabilities.APPROVE,
    days=None,
    excludes=_people,
    locks=_lock_trade_of,
    apply=apply_amendment,
    ended=close_amendment,
)


def _apply(amendment: Amendment, actor: Actor, *, on_behalf: bool) -> None:
    """New terms in force, acknowledged by both sides; stock, demand and credit follow the difference."""
    trade = amendment.trade
    terms = engine.terms.thaw(amendment.proposed_body, amendment.proposed_hash)
    worth = engine.version(engine.CURRENT).value(terms)
    amendment.status = _Of.APPLIED
    amendment.save()
    quantity = Decimal(terms.count) if terms.count is not None else rounded(
        Fraction(trade.quantity) * Fraction(terms.weight_kg) / Fraction(trade.weight_kg), 3
    )  # fmt: skip
    less, cheaper = trade.quantity - quantity, worth.contract_value - trade.contract_value
    if amendment.commercial:
        _move(trade, actor, amendment, terms, less=less, value=cheaper)
    trade.terms_version += 1
    trade.contract_hash = amendment.proposed_hash
    trade.price = getattr(terms.price, "price", trade.price)
    trade.count, trade.weight_kg, trade.quantity = terms.count, terms.weight_kg, quantity
    trade.from_location_id = terms.references.get("from_location_id")
    trade.to_location_id = terms.references.get("to_location_id")
    trade.window_start_date, trade.window_end_date = terms.delivery.window_start, terms.delivery.window_end
    trade.contract_value, trade.base_value = worth.contract_value, worth.base_value
    needs = approvals_for(trade.organization, worth.base_value, trade.trade_date)
    trade.approvals_required = max(needs, trade.approvals_required)
    write_terms(trade, amendment.proposed_body, amendment.proposed_hash, actor, amendment)
    _write_parts(trade, amendment, terms, actor)
    for side, user, behalf, evidence in (
        (amendment.side, amendment.created_by_id, amendment.on_behalf, amendment.proposal_evidence),
        (
            "BUYER" if amendment.side == "SELLER" else "SELLER",
            amendment.decided_by_id,
            on_behalf,
            amendment.evidence,
        ),
    ):
        Acknowledgement(
            trade=trade, terms_version=trade.terms_version, role=side, contract_hash=trade.contract_hash,
            on_behalf=behalf, evidence=evidence, amendment=amendment, created_by_id=user,
        ).save()  # fmt: skip
    if trade.approved_at is None:
        approvals.mark_stale(actor=actor, row_type=TRADE.subject, row_id=trade.pk)
        deadlines.close(trade, Deadline.Kind.ACKNOWLEDGE)
        rules.touch(trade, status=_Status.PENDING_APPROVAL)
        request_approval(trade, actor)
    else:
        rules.touch(trade)
        _move_deadlines(trade, terms, actor)
    emit(
        events.TradeAmended(
            **head(trade), amendment_id=amendment.pk, terms_version=trade.terms_version,
            contract_hash=trade.contract_hash,
        )
    )  # fmt: skip


def _move(
    trade: Trade, actor: Actor, amendment: Amendment, terms: t.Terms, *, less: Decimal, value: Decimal
) -> None:
    key, approved = f"amend:{amendment.pk}", trade.approved_at is not None
    effects.locked(trade)
    if less or value:
        effects.follow_amendment(trade, actor, less=less, value=value, approved=approved, key=key)
    amount, source = effects.exposure_of(trade, terms, terms.weight_kg), effects.source_of(trade)
    if approved:
        effects.contract_again(trade, actor, amount, key)
        return
    account = CreditAccount.objects.filter(pk=trade.buyer_id).first()
    held = exposure.open_amount(account, source, Bucket.HOLD) if account is not None else Decimal(0)
    change = amount - held
    if change > 0:
        exposure.take_hold(actor=actor, partner=trade.buyer, amount=change, source=source, entry_key=key)
    elif change < 0:
        exposure.release_hold(actor=actor, partner=trade.buyer, source=source, entry_key=key, amount=-change)


def _write_parts(trade: Trade, amendment: Amendment, terms: t.Terms, actor: Actor) -> None:
    """Lots and transporter as the new terms say."""
    for lot in terms.lots:
        stored = trade.lots.get(lot_no=lot.lot_no)
        stored.count, stored.estimated_kg = lot.count, lot.estimated_kg
        stored.save()
    carrier, old = terms.party(Role.TRANSPORTER), trade.parties.filter(role=Role.TRANSPORTER).first()
    if carrier is not None and (old is None or str(old.partner_id) != carrier.partner_id):
        row = old or Party(trade=trade, role=Role.TRANSPORTER, created_by_id=actor.pk)
        row.partner_id, row.state_code = carrier.partner_id, carrier.state_code
        row.tax_status, row.has_pan, row.registration = carrier.tax_status, carrier.has_pan, None
        row.save()


def _move_deadlines(trade: Trade, terms: t.Terms, actor: Actor) -> None:
    """Deadlines of delivery follow another window."""
    moved = Deadline.objects.filter(trade=trade, kind=Deadline.Kind.DELIVERY, status=Deadline.Status.OPEN)
    if not moved.exists() or moved.filter(due_date=terms.delivery.window_end).exists():
        return
    deadlines.close(trade, Deadline.Kind.DELIVERY, Deadline.Kind.LIFTING, status=Deadline.Status.VOID)
    deadlines.start(trade, terms, actor)
