"""Journeys A and C as terms and facts: made with ``engine`` alone."""

from dataclasses import replace
from datetime import date
from decimal import Decimal
from fractions import Fraction

from apps.commodities.differences import Band, DifferenceLine, DifferenceSchedule, Form, Mode, Result
from apps.commodities.differences import Side as Off
from apps.commodities.exact import rounded
from apps.trades import engine
from apps.trades.engine import facts as f
from apps.trades.engine import terms as t

D = Decimal
SOMNATH, KOVAI, MUMBADEVI, SAURASHTRA = "somnath", "kovai", "mumbadevi", "saurashtra"


def day(text):
    return date.fromisoformat(text)


def line(order, parameter, method, form, **fields):
    return DifferenceLine(order=order, parameter=parameter, method=method, form=form, **fields)


def bands(*rows):
    return tuple(Band(a and D(a), b and D(b), D(effect)) for a, b, effect in rows)


DEMO_29 = t.Schedule(
    code="DEMO-29",
    version=3,
    rules=DifferenceSchedule(
        mode=Mode.ADDITIVE,
        lines=(
            line(1, "moisture", "OVEN", Form.WEIGHT, base_low=D("8.5"), base_high=D("8.5"), side=Off.ABOVE),
            line(
                2,
                "rd",
                "HVI",
                Form.BAND,
                reject_below=D("73.0"),
                bands=bands(
                    ("73.0", "74.0", "-3.5"),
                    ("74.0", "75.5", "-1.5"),
                    ("75.5", "77.1", "0"),
                    ("77.1", None, "1.0"),
                ),
            ),
            line(
                3,
                "trash",
                "GRAVIMETRIC",
                Form.LINEAR,
                base_low=D("3.0"),
                base_high=D("3.0"),
                side=Off.ABOVE,
                rate=D(1),
                reject_above=D("4.5"),
            ),
            line(
                4, "staple_length", "UHML_HVI", Form.NO_LIMIT, reject_below=D("28.0"), reject_above=D("31.0")
            ),
            line(5, "micronaire", "HVI", Form.NO_LIMIT, reject_below=D("3.5"), reject_above=D("4.9")),
        ),
    ),
)
METHODS = {row.parameter: row.method for row in DEMO_29.rules.lines}
CANDY = t.Unit(
    code="INR/CANDY",
    unit="CANDY",
    definition_version=1,
    source="trade convention in India",
    numerator=17781,
    denominator=50,
    currency="INR",
)
CENTS = t.Unit(
    code="USC/LB",
    unit="LB",
    definition_version=1,
    source="international pound",
    numerator=45359237,
    denominator=100000000,
    currency="USD",
    divisor=100,
)
SLABS = (
    t.Slab(days=15, annual_percent=D(15)),
    t.Slab(days=15, annual_percent=D(18)),
    t.Slab(days=None, annual_percent=D(24)),
)


def party(role, partner, state, **fields):
    return t.Party(
        role=t.Role(role),
        partner_id=partner,
        state_code=state,
        **{"tax_status": t.TaxStatus.REGISTERED, **fields},
    )


TERMS = t.Terms(
    trade_date=day("2026-01-12"),
    currency="INR",
    unit=CANDY,
    round_off=t.RoundOff.WHOLE,
    goods=t.Goods(commodity="COTTON", hsn="5201", variety="SHANKAR-6"),
    count=100,
    count_unit="BALE",
    weight_kg=D("17000.000"),
    lots=(t.Lot(lot_no="SSG-27", count=100, estimated_kg=D("17000.000")),),
    price=t.Flat(price=D(53500)),
    schedule=DEMO_29,
    quality=t.Quality(final_source="LAB"),
    weight=t.Weight(
        final=t.WeightFinal.ORIGIN, franchise_kind=t.Franchise.DEDUCTIBLE, franchise_percent=D("0.25")
    ),
    delivery=t.Delivery(
        basis="EX_GIN",
        from_state="24",
        to_state="33",
        window_start=day("2026-01-12"),
        window_end=day("2026-01-22"),
    ),
    payment=t.PaymentTerms(advance_percent=D(15), advance_days=2, balance_days=15, carrying_slabs=SLABS),
    brokerage=(t.Brokerage(side=t.Side.SELLER, basis=t.Basis.PERCENT, rate=D("0.25")),),
    parties=(
        party("SELLER", SOMNATH, "24"),
        party("BUYER", KOVAI, "33"),
        party("BROKER_SELLER", MUMBADEVI, "27"),
        party("TRANSPORTER", SAURASHTRA, "24"),
    ),
)


def row(kind, code, start, end=None, **fields):
    return f.TaxRow(
        kind=f.RowKind(kind),
        code=code,
        version=fields.pop("version", 1),
        source="practice",
        valid_from=day(start),
        valid_to=end and day(end),
        **fields,
    )


TDS = {"rate_percent": D("0.1"), "no_pan_percent": D(5), "threshold": D("5000000.00")}
COMMISSION = {
    "rate_percent": D(2),
    "no_pan_percent": D(20),
    "threshold": D("20000.00"),
    "threshold_mode": f.ThresholdMode.WHOLE,
}
ROWS = (
    row("GST", "GST-5201", "2017-07-01", "2025-09-21", hsn="5201", rate_percent=D(5)),
    row("GST", "GST-5201", "2025-09-22", hsn="5201", rate_percent=D(5), version=2),
    row("GST", "GST-BROKERAGE", "2017-07-01", hsn="9961", rate_percent=D(18)),
    row(
        "REVERSE_CHARGE",
        "RCM-RAW-COTTON",
        "2017-11-15",
        hsn="5201",
        supplier_status=t.TaxStatus.AGRICULTURIST,
    ),
    row("TDS_GOODS", "TDS-GOODS", "2021-07-01", "2026-03-31", section="194Q", **TDS),
    row("TDS_GOODS", "TDS-GOODS", "2026-04-01", version=2, section="1031", **TDS),
    row("TDS_BROKERAGE", "TDS-BROKERAGE", "2025-04-01", "2026-03-31", section="194H", **COMMISSION),
    row("TDS_BROKERAGE", "TDS-BROKERAGE", "2026-04-01", version=2, section="1006", **COMMISSION),
    row("NOTE_LIMIT", "GST-NOTE-LIMIT", "2022-10-01", month=11, day=30),
    row("MSME", "MSME-45", "2006-10-02", days=45, multiple=D(3)),
    row("BANK_RATE", "BANK-RATE", "2025-12-05", rate_percent=D("5.5")),
)


def position(counted="383625.78", **fields):
    return f.Position(
        **{
            "kind": f.RowKind.TDS_GOODS,
            "deductor": KOVAI,
            "deductee": SOMNATH,
            "financial_year": "2025-26",
            "liable": True,
            "opening_amount": D("3200000.00"),
            "counted": D(counted),
            **fields,
        }
    )


BROKER_POSITION = position(
    "0.00", kind=f.RowKind.TDS_BROKERAGE, deductor=SOMNATH, deductee=MUMBADEVI, opening_amount=D(0)
)


def results(**values):
    lot = {"rd": "75.1", "trash": "3.8", "moisture": "8.9", "staple_length": "29.2", "micronaire": "3.9"}
    return tuple(Result(name, METHODS[name], D(value)) for name, value in {**lot, **values}.items())


def weighing(number, stage, gross, tare="85.000", on="2026-01-16", lot="SSG-27", **fields):
    return f.Weighment(
        id=number,
        lot_no=lot,
        stage=f.Stage(stage),
        weighed_date=day(on),
        gross_kg=D(gross),
        tare_kg=D(tare),
        **fields,
    )


def goods(kg="17000.000", count=100, lot="SSG-27"):
    return f.Goods(lot_no=lot, weight_kg=D(kg), count=count)


def pay(number, kind, amount, on, payer=KOVAI, payee=SOMNATH, **fields):
    return f.Payment(
        id=f"p{number}",
        number=number,
        kind=f.PaymentKind(kind),
        payer=payer,
        payee=payee,
        amount=D(amount),
        paid_date=day(on),
        **fields,
    )


ORIGIN = weighing("WB-0116-7", "ORIGIN", "17023.500")
DISPATCH = f.Dispatch(
    id="d1",
    dispatched_date=day("2026-01-16"),
    lines=(goods(),),
    invoice_number="SSG/25-26/0412",
    invoice_date=day("2026-01-16"),
)
DELIVERY = f.Delivered(dispatch="d1", delivered_date=day("2026-01-22"), lines=(goods(),), final=True)
ARRIVAL = weighing("CBE-1", "DESTINATION", "16942.000", on="2026-01-22", dispatch="d1")
ADVANCE = pay(1, "ADVANCE", "383625.78", "2026-01-14")
BALANCE = pay(2, "BALANCE", "2219363.22", "2026-02-20")

# A20: what is known on the day of the dispatch.
DISPATCHED = f.Facts(
    as_of=day("2026-01-16"),
    weighments=(ORIGIN,),
    dispatches=(DISPATCH,),
    quality=(f.Governing(lot_no="SSG-27", source="LAB", results=results()),),
    payments=(ADVANCE,),
    tax_rows=ROWS,
    positions=(position(), BROKER_POSITION),
)
# A21 to A23.
ARRIVED = replace(DISPATCHED, weighments=(ORIGIN, ARRIVAL), deliveries=(DELIVERY,))
SETTLED = replace(ARRIVED, as_of=day("2026-02-23"), payments=(ADVANCE, BALANCE))

# Journey C: 500 bales on call, shipped FOB.
EXPORT = replace(
    TERMS,
    currency="USD",
    unit=CENTS,
    count=500,
    weight_kg=D("85000.000"),
    lots=(t.Lot(lot_no="EXP-1", count=500, estimated_kg=D("85000.000")),),
    price=t.OnCall(futures="CT H6", basis_points=D(950), call=t.Side.BUYER, deadline=day("2026-02-15")),
    schedule=None,
    weight=t.Weight(final=t.WeightFinal.ORIGIN),
    payment=t.PaymentTerms(),
    delivery=replace(TERMS.delivery, basis="FOB", to_state=""),
    brokerage=(),
    parties=(
        party("SELLER", SOMNATH, "24"),
        party("BUYER", "mill-abroad", "96", tax_status=t.TaxStatus.FOREIGN),
    ),
    direction=t.Direction.EXPORT,
    round_off=t.RoundOff.NONE,
    fx_rate=D("88.75"),
)
FIXINGS = (
    f.Fixation(number=1, fixed_date=day("2026-02-02"), quantity=D("93696.461"), futures_price=D("63.42")),
    f.Fixation(number=2, fixed_date=day("2026-02-10"), quantity=D("93696.462"), futures_price=D("64.10")),
)
SHIPPED = f.Facts(
    as_of=day("2026-02-28"),
    weighments=(weighing("WB-1", "ORIGIN", "85425.000", "425.000", "2026-02-11", "EXP-1"),),
    dispatches=(
        f.Dispatch(
            id="d1",
            dispatched_date=day("2026-02-12"),
            lines=(goods("85000.000", 500, "EXP-1"),),
            invoice_number="EXP/25-26/0007",
            invoice_date=day("2026-02-12"),
        ),
    ),
    deliveries=(
        f.Delivered(
            dispatch="d1",
            delivered_date=day("2026-02-20"),
            lines=(goods("85000.000", 500, "EXP-1"),),
            final=True,
        ),
    ),
    payments=(pay(1, "BALANCE", "137284.06", "2026-02-25", "mill-abroad"),),
    fixations=FIXINGS,
    tax_rows=ROWS,
)

# Helpers of the tests.

K = Fraction(35562, 100)
UNTAXED = replace(DISPATCHED, positions=(position(liable=False), BROKER_POSITION))
LOTS = replace(UNTAXED, quality=())


def preview(terms=TERMS, facts=DISPATCHED):
    return engine.preview(1, terms, facts)


def settle(terms=TERMS, facts=SETTLED):
    return engine.settle(1, terms, facts)


def amount(settlement, name, subject="", document=""):
    return str(settlement.line(name, subject, document).amount)


def half_up(exact, places=2):
    return str(rounded(Fraction(exact), places))


def named(settlement, name):
    """The amounts of all lines of a name."""
    return [str(line.amount) for line in settlement.lines if line.name == name]


def codes(settlement):
    return [fact.code for fact in settlement.missing]


def governed(facts=DISPATCHED, source="LAB", award_price=None, allowance=None, **values):
    governing = f.Governing(
        lot_no="SSG-27",
        source=source,
        results=results(**values),
        award_price=award_price,
        award_allowance_percent=allowance,
    )
    return replace(facts, quality=(governing,))


def two_lots(terms=TERMS, **fields):
    lots = (
        t.Lot(lot_no="A", count=60, estimated_kg=D("10000.000")),
        t.Lot(lot_no="B", count=40, estimated_kg=D("7000.000")),
    )
    return replace(terms, lots=lots, schedule=None, **fields)


def dispatch(number, *lines, invoice="", on="2026-01-16", **fields):
    return f.Dispatch(
        id=number,
        dispatched_date=day(on),
        lines=lines,
        invoice_number=invoice,
        invoice_date=day(on) if invoice else None,
        **fields,
    )


WEIGHED = (
    weighing("1", "ORIGIN", "10000.000", "0", lot="A"),
    weighing("2", "ORIGIN", "7000.000", "0", lot="B"),
)
TWO_INVOICES = replace(
    LOTS,
    dispatches=(
        dispatch("d1", goods("10000.000", 60, "A"), invoice="I-1"),
        dispatch("d2", goods("7000.000", 40, "B"), invoice="I-2"),
    ),
    weighments=WEIGHED,
)


def charge(kind, basis, rate, **fields):
    return t.Charge(kind=t.ChargeKind(kind), basis=t.Basis(basis), rate=D(rate), **fields)


def charged(*charges, terms=TERMS, facts=DISPATCHED):
    return preview(replace(terms, charges=charges), facts)


# One of each form of price.
BY_ALL = (
    TERMS,
    EXPORT,
    replace(
        TERMS,
        price=t.Provisional(
            price=D(53000),
            final=t.Formula(
                source="CAI spot",
                average_from=day("2026-01-12"),
                average_to=day("2026-01-14"),
                difference=D("-250.50"),
            ),
        ),
        charges=(charge("FREIGHT", "FIXED", "100"),),
        references={"payment_term_id": "7"},
    ),
)
