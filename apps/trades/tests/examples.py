"""One successful request per endpoint of the trades module."""

from erp.api.examples import Example

EXAMPLES: dict[str, Example] = {}
