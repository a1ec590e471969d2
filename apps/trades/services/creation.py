"""Making a trade of an approved match or an accepted negotiation, in one transaction."""

from datetime import date, timedelta
from decimal import Decimal
from typing import Any

from django.conf import settings

from apps.availability.models import Availability, Reservation, Stage
from apps.availability.models.base import part
from apps.availability.services import decisions as offers
from apps.availability.services import stock
from apps.matching.models import Match
from apps.matching.services import deals, problems
from apps.negotiations.models import Negotiation
from apps.negotiations.services import decisions as negotiating
from apps.negotiations.services import rules as of_negotiations
from apps.organization.models.identity import Organization
from apps.organization.services import series
from apps.requirement.models import Requirement
from apps.requirement.services import decisions as wants
from apps.risk.models.base import Verdict
from apps.risk.services import assessing, overrides
from apps.trades import capabilities, engine, events
from apps.trades.models import Deadline, Lot, Party, Refusal, RefusalClosing, Terms, Trade
from apps.trades.services import contract, effects, judging, rules
from apps.trades.services.approval import approvals_for
from apps.trades.services.rules import head, quantity_of
from erp import clock
from erp.access import Actor
from erp.errors import DomainError
from erp.ids import uuid7
from erp.services import Refusal as Refused
from erp.services import attempt, emit, refuse, service

NUMBER_ERRORS = series.allocate_number.raises
ERRORS = (
    rules.AlreadyCreated, rules.SourceNotOpen, rules.ReservationNotLive, rules.StaleSource, rules.PartnerNotReady,
    rules.SourceMismatch, rules.PriceTypeUnsupported, rules.RegistrationNotOfParty, rules.PartyInvalid,
    rules.TermFixed, rules.TermsIncomplete, rules.QuantityInvalid, rules.DateInFuture, rules.RiskBlocked,
    rules.FileUsed, problems.NotOpen, problems.ReservationMismatch, of_negotiations.TradeLinked,
    overrides.OverrideUsedUp, overrides.OverrideNotEffective, *rules.TERM_ERRORS,
    *effects.ERRORS, *NUMBER_ERRORS,
)  # fmt: skip


@service(
    requires=capabilities.CREATE,
    emits=[events.TradeCreated],
    raises=dict.fromkeys(ERRORS),
    writes_on_refusal=assessing.WRITES,
    label="Create a trade",
)
def create(
    *,
    actor: Actor,
    reservation: Reservation,
    match: Match | None = None,
    negotiation: Negotiation | None = None,
    organization: Organization | None = None,
    quantity: Decimal | None = None,
    trade_date: date | None = None,
    content: dict[str, Any] | None = None,
) -> Trade | Refused:
    """Make the contract of a match or negotiation, backed by its reservation. What isn't traded of it is freed.

    Stock, demand and credit follow, both sides learn each other's names, and the source is closed.
    """
    day = trade_date or clock.today()
    if day > clock.today():
        raise rules.DateInFuture.at("/trade_date", "future", f"Not after today, {clock.today()}.")
    if (match is None) == (negotiation is None):
        raise rules.SourceMismatch.at("/match_id", "one_source", "Name a match or a negotiation.")
    source = _source(match, negotiation, reservation)
    house = _organization(organization, actor)
    _require_live(source)
    offer, held = source.offer, source.reservation
    traded = _traded(offer, held, quantity)
    weight = held.weight_kg if traded == held.still_open else part(held.weight_kg, traded, held.still_open)
    drafted = contract.draft(source, trade_date=day, quantity=traded, weight_kg=weight, content=content or {})
    terms = drafted.terms
    needed = rules.permissions_of(terms, offer.seller_partner, held.holder_partner)
    rules.require_partners(offer.seller_partner, held.holder_partner, needed, clock.today())
    body, digest = engine.terms.freeze(terms)
    worth = engine.version(engine.CURRENT).value(terms)
    trade_id = uuid7()
    assessment = judging.judge(
        actor, source.requirement, offer, held, weight_kg=weight, price=source.price, match_id=source.match.pk
    )
    if (refusal := judging.blocked(assessment)) is not None:
        return refuse(refusal)
    overrides.use_override(assessment, actor=actor, value=overrides.worth_of(assessment), trade_id=trade_id)
    _lock(source)
    needs = approvals_for(house, worth.base_value, day)
    trade = Trade(
        id=trade_id,
        organization=house,
        match=match,
        negotiation=negotiation,
        reservation=held,
        availability=offer,
        requirement=source.requirement,
        commodity=offer.commodity,
        variety=offer.variety,
        seller=offer.seller_partner,
        buyer=held.holder_partner,
        trade_date=day,
        quantity=traded,
        count=terms.count,
        count_unit=terms.count_unit,
        weight_kg=weight,
        weight_basis=offer.weight_basis,
        price=source.price,
        currency=terms.currency,
        pricing_unit=offer.pricing_unit,
        unit_definition_version=terms.unit.definition_version,
        contract_value=worth.contract_value,
        fx_rate=terms.fx_rate,
        base_value=worth.base_value,
        contract_hash=digest,
        from_location_id=terms.references.get("from_location_id"),
        to_location_id=terms.references.get("to_location_id"),
        window_start_date=terms.delivery.window_start,
        window_end_date=terms.delivery.window_end,
        approvals_required=2 if assessment.status == Verdict.WARN else needs,
        acknowledge_until=clock.now() + timedelta(hours=settings.TRADE_ACKNOWLEDGE_HOURS),
        created_by_id=actor.pk,
    )
    for row in drafted.parties:
        rules.use_file(actor, row.declaration)
    _bind(trade, source, actor, traded)
    number = series.allocate_number(
        house, actor=actor, type="trade", document_date=day, reference_type="trade", reference_id=trade_id
    )
    trade.number = number.document_number
    trade.save()
    write_terms(trade, body, digest, actor)
    for row in drafted.parties:
        Party(
            trade=trade,
            role=row.role,
            partner=row.partner,
            registration=row.registration,
            state_code=row.frozen.state_code,
            tax_status=row.frozen.tax_status,
            has_pan=row.frozen.has_pan,
            share=row.frozen.share,
            external_ref=row.external_ref,
            declaration=row.declaration,
            created_by_id=actor.pk,
        ).save()
    for offered, lot in drafted.lots:
        Lot(
            trade=trade,
            offer_lot=offered,
            lot_no=lot.lot_no,
            press_mark=offered.press_mark if offered is not None else "",
            crop_year=offer.crop_year or "",
            pr_from=None if offered is None else offered.pr_from,
            pr_to=None if offered is None else offered.pr_to,
            count=lot.count,
            estimated_kg=lot.estimated_kg,
            created_by_id=actor.pk,
        ).save()
    offered_ids = [offered.pk for offered, _ in drafted.lots if offered is not None]
    judging.created(actor, trade, terms, offered_ids)
    until = rules.day_of(trade.acknowledge_until)
    Deadline(trade=trade, kind=Deadline.Kind.ACKNOWLEDGE, due_date=until, created_by_id=actor.pk).save()
    emit(
        events.TradeCreated(
            **head(trade),
            match_id=trade.match_id,
            negotiation_id=trade.negotiation_id,
            reservation_id=held.pk,
            availability_id=offer.pk,
            requirement_id=trade.requirement_id,
            commodity_id=trade.commodity_id,
            quantity=quantity_of(trade, traded),
            weight_kg=trade.weight_kg,
            price=trade.price,
            pricing_unit_id=trade.pricing_unit_id,
            unit_definition_version=trade.unit_definition_version,
            contract_value=trade.contract_value,
            trade_date=day,
            terms_version=trade.terms_version,
            contract_hash=digest,
            approvals_required=trade.approvals_required,
        )
    )
    return trade


def write_terms(trade: Trade, body: dict[str, Any], digest: str, actor: Actor, amendment: Any = None) -> None:
    """Store a version of the terms."""
    Terms(
        trade=trade,
        terms_version=trade.terms_version,
        schema_version=body["schema_version"],
        body=body,
        hash=digest,
        amendment=amendment,
        created_by_id=actor.pk,
    ).save()


def _source(
    match: Match | None, negotiation: Negotiation | None, reservation: Reservation
) -> contract.Source:
    """Lock the source, and read what it fixes."""
    if negotiation is not None:
        negotiation = Negotiation.objects.locked().get(pk=negotiation.pk)
        if RefusalClosing.objects.filter(refusal__negotiation=negotiation).exists():
            raise rules.ReservationNotLive
    pair = Match.objects.locked().get(pk=match.pk if match is not None else negotiation.match_id)  # type: ignore[union-attr]
    requirement = Requirement.objects.select_related("buyer_partner", "commodity").get(pk=pair.requirement_id)
    offer = Availability.objects.select_related(
        "commodity", "variety", "seller_partner", "pricing_unit", "location", "quality_schedule"
    ).get(pk=pair.availability_id)
    held = offer.reservations.select_related("holder_partner").filter(pk=reservation.pk).first()
    made = Trade.objects.filter(match_id=pair.pk) | Trade.objects.filter(negotiation__match_id=pair.pk)
    if made.exists():
        raise rules.AlreadyCreated
    if held is None or held.holder_partner_id != pair.buyer_partner_id:
        raise rules.SourceMismatch.at("/reservation_id", "mismatch", "It isn't of this offer and buyer.")
    if negotiation is None:
        if pair.status != Match.Status.APPROVED:
            raise rules.SourceNotOpen(status_now=pair.status)
        if pair.reservation_id != held.pk or held.bound_negotiation_id is not None:
            raise rules.SourceMismatch.at("/reservation_id", "mismatch", "The match has another reservation.")
        if pair.availability_terms_version != offer.terms_version:
            raise rules.StaleSource
        if held.unit_price is None or offer.price_type not in ("FLAT", "NEGOTIABLE"):
            raise rules.PriceTypeUnsupported
        return contract.Source(
            match=pair,
            negotiation=None,
            requirement=requirement,
            offer=offer,
            reservation=held,
            price=held.unit_price,
            payment_term=held.payment_term or offer.payment_term,
            delivery_term=offer.delivery_term,
            passing_term=offer.passing_term,
            weighment_term=offer.weighment_term,
            window=None,
        )
    if negotiation.status != Negotiation.Status.ACCEPTED or negotiation.trade_id is not None:
        raise rules.SourceNotOpen(status_now=negotiation.status)
    if negotiation.reservation_id != held.pk:
        raise rules.SourceMismatch.at(
            "/reservation_id", "mismatch", "The negotiation has another reservation."
        )
    if offer.price_type not in ("FLAT", "NEGOTIABLE"):
        raise rules.PriceTypeUnsupported
    agreed: Any = negotiation.accepted_offer
    return contract.Source(
        match=pair,
        negotiation=negotiation,
        requirement=requirement,
        offer=offer,
        reservation=held,
        price=agreed.price,
        payment_term=agreed.payment_term or offer.payment_term,
        delivery_term=agreed.delivery_term or offer.delivery_term,
        passing_term=agreed.passing_term or offer.passing_term,
        weighment_term=agreed.weighment_term or offer.weighment_term,
        window=(agreed.window_from_date, agreed.window_until_date),
    )


def _lock(source: contract.Source) -> None:
    """Lock demand, stock and reservation, after the risk overrides. Raises StaleSource where they changed meanwhile."""
    requirement = Requirement.objects.locked().get(pk=source.requirement.pk)
    offer = Availability.objects.locked().get(pk=source.offer.pk)
    held = Reservation.objects.locked().get(pk=source.reservation.pk)
    same = (
        requirement.terms_version == source.requirement.terms_version
        and offer.terms_version == source.offer.terms_version
        and held.version == source.reservation.version
    )
    if not same:
        raise rules.StaleSource


def _require_live(source: contract.Source) -> None:
    held = source.reservation
    if held.status in Reservation.TRADED:
        raise rules.AlreadyCreated
    if held.status != Reservation.Status.HELD or held.expires_at is None or held.expires_at <= clock.now():
        raise rules.ReservationNotLive


def _organization(chosen: Organization | None, actor: Actor) -> Organization:
    """The house that books the trade: the one named, the user's own, or for SYSTEM the setting's."""
    wanted = settings.TRADE_ORGANIZATION if actor.is_system else actor.organization_id
    rows = Organization.objects.filter(pk=wanted) if wanted else Organization.objects.none()
    found = chosen or rows.first()
    if found is None:
        raise rules.TermsIncomplete.at("/organization_id", "required", "Name the organization of the trade.")
    return found


def _traded(offer: Availability, held: Reservation, quantity: Decimal | None) -> Decimal:
    traded = held.still_open if quantity is None else quantity
    counted = offer.commodity.is_counted_in(offer.unit)
    if traded > held.still_open or (counted and traded != traded.to_integral_value()):
        words = f"At most {held.still_open.normalize():f} {offer.unit}, whole packages."
        raise rules.QuantityInvalid.at("/quantity", "out_of_range", words)
    return traded


def _bind(trade: Trade, source: contract.Source, actor: Actor, traded: Decimal) -> None:
    """Close the source, commit demand, stock and credit, and show both listings to the other side."""
    rest = source.reservation.still_open - traded
    if rest:
        stock.release(
            source.offer, actor=actor, reservation_id=trade.reservation_id, quantity=rest,
            cause="by_match" if source.negotiation is None else "by_negotiation",
        )  # fmt: skip
    if source.negotiation is not None:
        negotiating.link_trade(source.negotiation, actor=actor, trade_id=trade.pk)
    deals.convert(source.match, actor=actor, trade_id=trade.pk, reservation_id=trade.reservation_id)
    effects.commit(trade, actor, traded)
    shown: dict[str, Any] = {"source_type": "trade", "source_id": trade.pk, "stage": Stage.TRADE}
    offers.disclose(source.offer, actor=actor, partner=trade.buyer, **shown)
    wants.disclose(source.requirement, actor=actor, partner=trade.seller, **shown)


@service(
    requires=capabilities.CREATE,
    emits=[events.TradeRefused],
    label="Note a refused trade",
)
def refuse_negotiation(*, actor: Actor, negotiation: Negotiation, code: str) -> Refusal:
    """Note that no trade could be made of an accepted negotiation, once."""
    row, new = Refusal.objects.get_or_create(negotiation=negotiation, defaults={"code": code[:64]})
    if new:
        emit(events.TradeRefused(negotiation_id=negotiation.pk, refusal=row.code))
    return row


@service(
    requires=capabilities.CREATE,
    emits=[events.TradeCreated],
    raises=dict.fromkeys(ERRORS),
    writes_on_refusal=assessing.WRITES,
    label="Create the trade",
    description="Create the trade of this negotiation, with what was missing.",
)
def create_refused(
    refusal: Refusal,
    *,
    actor: Actor,
    organization: Organization | None = None,
    trade_date: date | None = None,
    content: dict[str, Any] | None = None,
) -> Trade | Refused:
    """Make the trade of a negotiation that was refused before, once its cause is mended."""
    negotiation = refusal.negotiation
    made: Trade | Refused = create(
        actor=actor, negotiation=negotiation, reservation=_held(negotiation), organization=organization,
        trade_date=trade_date, content=content,
    )  # fmt: skip
    return made


@service(
    requires=capabilities.CREATE,
    emits=[events.TradeRefusalClosed],
    raises=[rules.AlreadyCreated, rules.ReservationLive],
    label="Close without a trade",
    description="The reservation has ended, so no trade can be created any more.",
)
def close_refused(refusal: Refusal, *, actor: Actor, reason: str) -> Refusal:
    """Close a refusal whose reservation has ended. A repeat changes nothing."""
    # Whoever creates the trade locks it too.
    negotiation = Negotiation.objects.locked().get(pk=refusal.negotiation_id)
    if negotiation.trade_id is not None:
        raise rules.AlreadyCreated
    if hasattr(refusal, "closing"):
        return refusal
    if refusal.holds_goods():
        raise rules.ReservationLive
    RefusalClosing(refusal=refusal, reason=reason, created_by_id=actor.pk).save()
    emit(events.TradeRefusalClosed(negotiation_id=refusal.negotiation_id, refusal=refusal.code))
    return refusal


def _held(negotiation: Negotiation) -> Reservation:
    """The reservation of a negotiation. Raises ReservationNotLive."""
    row: Reservation | None = Reservation.objects.filter(
        pk=negotiation.reservation_id or negotiation.pk
    ).first()
    if row is None:
        raise rules.ReservationNotLive
    return row


def create_accepted(negotiation: Negotiation, *, actor: Actor) -> None:
    """Make the trade of an accepted negotiation as SYSTEM, or note why it can't be made. A repeat changes nothing."""
    if Trade.objects.filter(negotiation=negotiation).exists():
        return
    try:
        with attempt():
            made = create(actor=actor, negotiation=negotiation, reservation=_held(negotiation))
            code = made.problem.code if isinstance(made, Refused) else ""
    except rules.StaleSource:
        raise  # something changed meanwhile: the message is delivered again
    except (rules.AlreadyCreated, of_negotiations.TradeLinked):
        return  # by staff meanwhile
    except DomainError as problem:
        code = problem.code
    if code:
        refuse_negotiation(actor=actor, negotiation=negotiation, code=code)
