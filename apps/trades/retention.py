"""What trades hold about people. Books of account and their vouchers stay eight years (Companies Act 2013 s.128(5))."""

from apps.trades.models import Acknowledgement, Dispatch, Payment
from erp.retention import declare

declare(Dispatch, category="registration number of a vehicle", purpose="carriage and e-way bills", erased={})
declare(Payment, category="bank reference of a payment", purpose="books of account", erased={})
declare(Acknowledgement, category="who agreed for a side", purpose="proof of the contract", erased={})
