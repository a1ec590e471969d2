"""Pictures of the portal: their pages exist, and the repository keeps only small ones that a page shows."""

import re
import subprocess

from django.urls import resolve

from config.screenshots import FOLDER, PICTURES
from config.tests.test_readme import PAGES
from erp.audit.sources import PROJECT

MOST_BYTES = 120_000


def test_the_pages_of_all_pictures_exist() -> None:
    pictures = [picture for some in PICTURES.values() for picture in some]
    assert len({picture.name for picture in pictures}) == len(pictures) >= 20
    for picture in pictures:
        if picture.status == 200:
            assert resolve(picture.address.partition("?")[0])


def test_kept_pictures_are_shown_and_small() -> None:
    shown = {
        (page.parent / target).resolve()
        for page in PAGES
        for target in re.findall(r"!\[[^]]*\]\(([^)]+\.png)\)", page.read_text())
    }
    done = subprocess.run(
        ["git", "ls-files", "docs/screenshots"], cwd=PROJECT, capture_output=True, text=True, check=False
    )
    kept = {PROJECT / line for line in done.stdout.splitlines()} if not done.returncode else shown
    assert kept == shown
    assert FOLDER / "home.png" in shown
    for picture in shown:
        assert picture.stat().st_size <= MOST_BYTES, picture
