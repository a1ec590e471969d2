"""One successful request per endpoint of the negotiations module."""

from erp.api.examples import Example

EXAMPLES: dict[str, Example] = {}
