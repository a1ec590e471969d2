"""One successful request per endpoint of uploads."""

from erp.api.examples import Example
from erp.files import PDF, Upload
from erp.uploads import services

PAPER = Upload("licence.pdf", PDF, b"%PDF-1.4 a licence")

EXAMPLES = {
    "create": Example(
        lambda world, target: world.user("SELLER"), {"file": PAPER, "purpose": "partner.document"}
    )
}


def upload(world, viewer):
    return services.create(actor=viewer, file=PAPER, purpose="partner.document")


LISTS = {"/api/v1/uploads": ("SELLER", upload)}
