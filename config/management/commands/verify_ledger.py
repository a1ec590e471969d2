"""``verify_ledger``: whether what was counted once still adds up."""

from argparse import ArgumentParser
from typing import Any

from django.core.management.base import BaseCommand

from apps.organization.models import DocumentSeries
from erp.commands import FAILED, OK, finish


class Command(BaseCommand):
    """The numbers of each document series run from its first to its last without a hole; exit 1 otherwise."""

    help = "Check that the numbers of each document series run without a hole."

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("--json", action="store_true")

    def handle(self, *args: Any, **options: Any) -> None:
        checked = DocumentSeries.objects.count()
        holes = [
            {
                "series": str(series.pk),
                "organization": str(series.organization_id),
                "document_type": series.document_type,
                "start_number": series.start_number,
                "last_number": series.last_number,
                "given": series.given,
                "lowest": series.lowest,
                "highest": series.highest,
            }
            for series in DocumentSeries.objects.with_a_hole().order_by("pk")
        ]
        lines = [
            f"hole  {hole['document_type']} {hole['series']}: {hole['given']} numbers between "
            f"{hole['lowest']} and {hole['highest']}, of {hole['start_number']} to {hole['last_number']}"
            for hole in holes
        ] or [f"{checked} series, each without a hole"]
        told = {"passed": not holes, "series": checked, "holes": holes}
        finish(self, told, lines, as_json=options["json"], code=FAILED if holes else OK)
