"""One successful request per endpoint of the trades module."""

from apps.trades.tests import money_examples as money
from erp.api.examples import Example

EXAMPLES: dict[str, Example] = {**money.EXAMPLES}
WHOLES = {**money.WHOLES}
LISTS = {**money.LISTS}
