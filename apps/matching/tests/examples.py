"""One successful request per endpoint of the matching module."""

from erp.api.examples import Example

EXAMPLES: dict[str, Example] = {}
