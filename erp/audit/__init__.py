"""The compliance audit: eight rules, proved from the running code (core §10)."""

from erp.audit.report import Report, audit
from erp.audit.rules import RULES, Check, Product

__all__ = ["RULES", "Check", "Product", "Report", "audit"]
