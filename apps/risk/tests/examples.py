"""One successful request per endpoint of the risk module."""

from erp.api.examples import Example

EXAMPLES: dict[str, Example] = {}
