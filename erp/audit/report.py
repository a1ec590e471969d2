"""The audit's report: a table of modules by rules, and every write with its service."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from erp import services
from erp.audit.rules import RULES, Check, Product, Write, emitted

_ABSENT = "not built yet"


@dataclass(frozen=True)
class Report:
    """The result of one audit."""

    product: Product
    checks: list[Check]

    @property
    def passed(self) -> bool:
        """Return whether every rule holds."""
        return not any(check.faults for check in self.checks)

    @property
    def modules(self) -> list[str]:
        """The register's modules in its order, then what else the product has."""
        known = dict.fromkeys(row.module for row in self.product.register.rows)
        return list(known | dict.fromkeys(sorted(check.module for check in self.checks)))

    def of(self, rule: str, module: str) -> list[Check]:
        """What a rule looked at in a module."""
        return [check for check in self.checks if check.rule == rule and check.module == module]

    def as_dict(self) -> dict[str, Any]:
        """For machines."""
        return {
            "passed": self.passed,
            "rules": [
                {
                    "rule": rule,
                    "module": module,
                    "checked": len(checks),
                    "violations": [f"{c.subject}: {fault}" for c in checks for fault in c.faults],
                }
                for module in self.modules
                for rule in RULES
                for checks in (self.of(rule, module),)
            ],
            "endpoints": [self._line(*pair) for pair in self._writes()],
        }

    def _writes(self) -> Iterator[tuple[Any, Write | None]]:
        """Every row of the register with the write that is built for it, then writes beyond the register."""
        built = {write.row.key: write for write in self.product.writes if write.row is not None}
        for row in self.product.register.rows:
            yield row, built.get(row.key)
        for write in self.product.writes:
            if write.row is None:
                yield None, write

    @staticmethod
    def _line(row: Any, write: Write | None) -> dict[str, Any]:
        endpoint = write.endpoint if write is not None else None
        summary = {
            "service": write.service.name if write is not None and write.service is not None else None,
            "idempotent": endpoint is not None and endpoint.idempotent,
            "events": write.emits if write is not None else [],
        }
        if write is None:
            named = {"method": row.method, "path": row.path, "kind": row.kind, "module": row.module}
            return named | {"capability": row.capability or None} | summary
        capability = endpoint.capability if endpoint is not None else None
        return {
            "method": write.method,
            "path": write.route.path,
            "kind": endpoint.kind if endpoint is not None else "unbound",
            "module": write.module,
            "capability": capability.name if capability is not None else None,
        } | summary

    def lines(self) -> Iterator[str]:
        """The whole report as text."""
        yield from self._table()
        yield ""
        yield from self._listing()
        yield from self._exempt()
        yield from self._without_endpoint()
        faults = [(check, fault) for check in self.checks for fault in check.faults]
        if faults:
            yield ""
            yield "Violations"
            for check, fault in faults:
                yield f"  {check.rule} · {check.module} · {check.subject}: {fault}"
        yield ""
        rows, built = self._built("")
        summary = f"{built} of {rows} writes of the register are built"
        yield f"failed: {len(faults)} violations; {summary}" if faults else f"passed; {summary}"

    def _built(self, module: str) -> tuple[int, int]:
        rows = [row for row in self.product.register.rows if not module or row.module == module]
        keys = {write.row.key for write in self.product.writes if write.row is not None}
        return len(rows), sum(row.key in keys for row in rows)

    def _table(self) -> Iterator[str]:
        yield f"{'module':15}{'built':>11}" + "".join(f"{rule[0]:>11}" for rule in RULES)
        for module in self.modules:
            rows, built = self._built(module)
            cells = [f"{built} of {rows}" if rows else "–"]
            for rule in RULES:
                checks = self.of(rule, module)
                cells.append(f"{sum(not c.faults for c in checks)} of {len(checks)}" if checks else "–")
            yield f"{module:15}" + "".join(f"{cell:>11}" for cell in cells)
        yield "  ".join(RULES)

    def _listing(self) -> Iterator[str]:
        for row, write in self._writes():
            line = self._line(row, write)
            head = f"{line['method']:7}{line['path']}"
            if write is None:
                yield f"{head}  {_ABSENT}"
                continue
            key = "key" if line["idempotent"] else "no key"
            events = ", ".join(line["events"]) or "no event"
            service = line["service"] or ("asks only" if line["kind"] == "lookup" else "no service")
            asks = line["capability"] or "no capability"
            yield f"{head}  {line['kind']} · {service} · {asks} · {key} · {events}"

    def _exempt(self) -> Iterator[str]:
        exempt = [w for w in self.product.writes if w.endpoint is not None and w.endpoint.anonymous]
        if exempt:
            yield ""
            yield "Open to anybody, and why"
            for write in exempt:
                assert write.endpoint is not None
                key = "without a key" if not write.endpoint.idempotent else "with a key"
                yield f"  {write.name}, {key}: {write.endpoint.reason}"
        if self.product.register.extras:
            yield ""
            yield "Beyond the register, and why"
            for extra in self.product.register.extras.values():
                yield f"  {extra.kind} {extra.name}: {extra.reason}"

    def _without_endpoint(self) -> Iterator[str]:
        yield ""
        yield "Services without an HTTP endpoint"
        channels = self.product.channels
        for name in sorted(services.registry):
            found = channels.get(name, [])
            if not any(channel.startswith(("POST ", "PUT ")) for channel in found):
                service = services.registry[name]
                asks = service.requires or f"public: {service.public}"
                events = ", ".join(emitted(service)) or f"no event: {service.machinery}"
                yield f"  {name} · {asks} · {events} · {', '.join(found) or 'no channel found'}"


def audit(product: Product | None = None) -> Report:
    """Run all eight rules over the running product, or over ``product``. Needs no database."""
    product = product or Product()
    return Report(product, list(product.checks()))
