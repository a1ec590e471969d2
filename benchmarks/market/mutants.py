"""Bugs to plant in the product's processes, which the books of a market must find."""


def prepare(fault: str) -> None:
    """Plant one when Django is ready. Raises KeyError for another name."""
    raise KeyError(fault)
