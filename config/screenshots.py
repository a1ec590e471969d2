"""``make screenshots``: pictures of the main pages of the demo, by a headless Chromium.

``python -m config.screenshots --width 900 --dark --folder pictures`` makes others to look at.
"""

import argparse
import os
import shutil
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final, NamedTuple

from playwright.sync_api import sync_playwright

from config.run import choose_port, manage, prepare, processes, report
from erp.embedded import state
from erp.embedded.process import CannotStart
from erp.embedded.supervisor import PROJECT, Stack

FOLDER: Final = PROJECT / "docs/screenshots"
HEIGHT: Final = 720
SCALE: Final = 0.75  # of the pictures to the window: docs hold small ones
DIRECTOR, KEEPER = "director@demo.example", "masterdata@demo.example"


class Picture(NamedTuple):
    """A page: its address, and if ``part`` is set that part of the page of the list's first row."""

    name: str
    address: str
    part: str | None = None
    status: int = 200


OFFERS: Final = "/admin/availability/availability/"
WAITING: Final = f"{OFFERS}?status__exact=PENDING_APPROVAL"
PICTURES: Final = {
    "": (
        Picture("sign-in", "/admin/login/"),
        Picture("problems", "/api/problems"),
        Picture("not-found", "/no-such-page", status=404),
    ),
    DIRECTOR: (
        Picture("home", "/admin/"),
        Picture("offers", OFFERS),
        Picture("offer", WAITING, "change"),
        Picture("approve-offer", WAITING, "run/approve"),
        Picture("offer-history", f"{OFFERS}?status__exact=ACTIVE", "history"),
        Picture("approvals", "/admin/approval/approvalrequest/"),
        Picture("approval", "/admin/approval/approvalrequest/", "change"),
        Picture("partners", "/admin/partner/partner/"),
        Picture("partner", "/admin/partner/partner/", "change"),
        Picture("organization", "/admin/organization/organization/", "change"),
        Picture("calendar", "/admin/organization/calendar/", "change"),
        Picture("messages", "/admin/notification/message/?status__exact=failed"),
        Picture("events", "/admin/outbox/eventoutbox/"),
        Picture("dead-letters", "/admin/outbox/deadletter/"),
        Picture("relays", "/admin/relays/"),
        Picture("jobs", "/admin/job/job/"),
    ),
    KEEPER: (
        Picture("commodities", "/admin/commodity/commodity/"),
        Picture("commodity", "/admin/commodity/commodity/?q=COTTON", "change"),
        Picture("commodity-form", "/admin/commodity/commodity/add/"),
        Picture("schedule-form", "/admin/commodity/qualityschedule/add/"),
        Picture("import", "/admin/commodity/commodity/start/bulk_upload/"),
    ),
}


@contextmanager
def demo() -> Iterator[tuple[Stack, str]]:
    """The stack with the demo's business, and the address of its web process."""
    with Stack(
        Path(os.environ.get("ERP_DATA_DIR") or state.data_dir() / "screenshots"), echo=report
    ) as stack:
        port = choose_port()
        stack.set_public_url(base := f"http://127.0.0.1:{port}")
        prepare(stack, "--business")
        stack.run_processes(processes(port))
        yield stack, base


def sign_in(page: Any, base: str, email: str, stack: Stack) -> None:
    """Sign in with password and code; a code that was used already is followed by the next."""
    from config.management.commands.seed_demo import PASSWORD

    page.goto(f"{base}/admin/login/")
    page.fill("[name=username]", email)
    page.fill("[name=password]", PASSWORD)
    page.click("button[type=submit]")
    page.fill("[name=code]", manage(stack, "demo_code", email).split()[0])
    page.click("button[type=submit]")
    page.wait_for_url("**/admin/")


def take(page: Any, base: str, picture: Picture, folder: Path) -> str:
    """Save a picture; return what is wrong with the page, empty if nothing is."""
    answer = page.goto(base + picture.address)
    if picture.part is not None:
        row = page.locator("#result_list tbody a").first.get_attribute("href")
        answer = page.goto(f"{base}{row.partition('?')[0].removesuffix('change/')}{picture.part}/")
    page.wait_for_load_state("networkidle")
    page.screenshot(path=folder / f"{picture.name}.png")
    faults = []
    if (wide := page.evaluate("document.documentElement.scrollWidth")) > page.viewport_size["width"]:
        faults.append(f"the page is {wide} px wide")
    if answer.status != picture.status:
        faults.append(f"it answers {answer.status}")
    return ", ".join(faults)


def main() -> int:
    """Make the pictures; return 1 where a page answers otherwise or is wider than its window."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--width", type=int, default=1280, help="of the window, in pixels; default: 1280")
    parser.add_argument("--scale", type=float, default=SCALE, help=f"of the pictures; default: {SCALE}")
    parser.add_argument("--dark", action="store_true", help="in dark mode")
    parser.add_argument("--folder", type=Path, default=FOLDER, help="default: docs/screenshots")
    options = parser.parse_args()
    options.folder.mkdir(parents=True, exist_ok=True)
    failed = False
    try:
        with demo() as (stack, base), sync_playwright() as playwright:
            chromium = playwright.chromium.launch(
                executable_path=os.environ.get("CHROMIUM") or shutil.which("chromium"), args=["--no-sandbox"]
            )
            for email, pictures in PICTURES.items():
                context = chromium.new_context(
                    viewport={"width": options.width, "height": HEIGHT},
                    device_scale_factor=options.scale,
                    color_scheme="dark" if options.dark else "light",
                    reduced_motion="reduce",
                    locale="en-IN",
                    timezone_id="Asia/Kolkata",
                )
                page = context.new_page()
                if email:
                    sign_in(page, base, email, stack)
                for picture in pictures:
                    fault = take(page, base, picture, options.folder)
                    report(f"{picture.name}: {fault or 'ok'}")
                    failed = failed or bool(fault)
                context.close()
            chromium.close()
    except CannotStart as error:
        report(str(error))
        return error.exit_code
    return int(failed)


if __name__ == "__main__":
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "config.settings")
    import django

    django.setup()
    sys.exit(main())
