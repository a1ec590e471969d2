"""Reference data of all modules, each kind after those that it names; what is there already stays as it is."""

from apps.commodities.services import reference_goods, reference_units, tax, terms
from apps.locations.services import reference
from apps.trades.services import tax_rules
from erp.access import SYSTEM


def places() -> list[str]:
    """Load reference data of India: states, districts, ports, cotton places; return what was created."""
    states, others = reference.load_states(actor=SYSTEM), reference.load_places(actor=SYSTEM)
    return [f"{states + others} places"] if states + others else []


def goods() -> list[str]:
    """Load reference data of the trade, each kind after those it refers to; return what was created."""
    loaded = {
        "units and pricing units": reference_units.load_units(actor=SYSTEM),
        "terms": terms.load_terms(actor=SYSTEM),
        "tax rules": tax_rules.load_tax_rules(actor=SYSTEM),
        "approval bands": tax_rules.load_approval_bands(actor=SYSTEM),
        "HSN codes": tax.load_hsn_codes(actor=SYSTEM),
        "rates of tax": tax.load_tax_rates(actor=SYSTEM),
        "commodities and their parts": reference_goods.load_commodities(actor=SYSTEM),
        "schedules": reference_goods.load_schedules(actor=SYSTEM),
        "pack weights": reference_units.load_pack_weights(actor=SYSTEM),
    }
    return [f"{number} {what}" for what, number in loaded.items() if number]
