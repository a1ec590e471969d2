"""Reference data that the product includes, and its files."""

from pathlib import Path
from typing import Final

FILES: Final = Path(__file__).parent
