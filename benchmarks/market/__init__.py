"""A market at work: partners and staff deal over HTTP while servers die, and at the end all books must agree."""
