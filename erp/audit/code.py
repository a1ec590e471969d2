"""Checks of syntax trees: writes outside services, clients without breaker, events outside the outbox."""

import ast
from collections import defaultdict
from collections.abc import Iterable, Iterator
from functools import cache
from typing import Final

from django.apps import apps

from erp.audit.sources import Source, dotted

_MANAGERS: Final = frozenset({"objects", "_default_manager", "_base_manager"})
_ALWAYS: Final = frozenset(
    {"bulk_create", "bulk_update", "get_or_create", "update_or_create", "save_base", "_raw_delete"}
)
_SQL: Final = frozenset({"execute", "executemany", "callproc"})
_TO_MANY: Final = frozenset({"add", "set", "remove", "clear"})
_QUERIES: Final = frozenset(
    {
        "filter", "exclude", "annotate", "aggregate", "exists", "in_bulk", "values_list", "select_related",
        "prefetch_related", "select_for_update", "locked", "raw",
    }
)  # fmt: skip
_DECLARED: Final = frozenset({"get_queryset", "filter_queryset", "get_object", "paginate_queryset"})

CLIENTS: Final = (
    "httpx", "httpcore", "requests", "urllib.request", "urllib3", "http.client", "aiohttp", "socket",
    "smtplib", "ftplib", "pycurl", "websockets", "websocket",
)  # fmt: skip
MESSAGING: Final = ("google", "grpc")
_KERNEL_ONLY: Final = ("erp.outbox.publisher", "erp.outbox.flush")
LOG_TREE: Final = (
    "logging.basicConfig", "logging.config.dictConfig", "logging.config.fileConfig", "structlog.configure",
    "logging.StreamHandler", "logging.FileHandler", "logging.handlers",
)  # fmt: skip


def writes(source: Source, tree: ast.AST) -> Iterator[ast.Call]:
    """Calls below ``tree`` that change rows."""
    for node in ast.walk(tree):
        if (
            isinstance(node, ast.Call)
            and isinstance(node.func, ast.Attribute)
            and _writes(source, node, node.func)
        ):
            yield node


def _writes(source: Source, call: ast.Call, func: ast.Attribute) -> bool:
    name, receiver = func.attr, func.value
    name = name[1:] if name[:1] == "a" and (name[1:] in _ALWAYS or name in _ASYNC) else name
    if name in _ALWAYS:
        return True
    if name in _SQL:
        return not _only_reads(source, call)
    if source.is_module(receiver):
        return False  # services.create(…): the service itself
    if name == "create":
        return True
    if name in ("save", "delete"):  # of a row; with a place to write to it is a picture's
        return not call.args or isinstance(call.args[0], ast.Starred)
    if name == "update":  # of rows, not of a dictionary
        return not call.args and bool(call.keywords) and _may_be_rows(receiver)
    return name in _TO_MANY and isinstance(receiver, ast.Attribute) and receiver.attr in to_many()


def _may_be_rows(receiver: ast.AST) -> bool:
    return (
        not isinstance(receiver, ast.Attribute)
        or receiver.attr in to_many() | _MANAGERS | {"queryset"}
        or not _MANAGERS.isdisjoint(_chain(receiver))
    )


_ASYNC: Final = frozenset({"asave", "acreate", "adelete", "aupdate"})


def _only_reads(source: Source, call: ast.Call) -> bool:
    text = call.args[0] if call.args else None
    if isinstance(text, ast.Name):  # a constant of the file
        text = next(
            (
                node.value
                for node in source.tree.body
                if isinstance(node, ast.Assign)
                and any(isinstance(name, ast.Name) and name.id == text.id for name in node.targets)
            ),
            None,
        )
    return (
        isinstance(text, ast.Constant)
        and isinstance(text.value, str)
        and text.value.lstrip().upper().startswith(("SELECT", "SHOW", "SET TRANSACTION READ ONLY"))
        and " FOR " not in text.value.upper()
    )


@cache
def to_many() -> frozenset[str]:
    """Names of every relation to many rows, from either side."""
    names: set[str] = set()
    for model in apps.get_models():
        names |= {field.name for field in model._meta.many_to_many}
        names |= {
            str(relation.get_accessor_name())
            for relation in model._meta.related_objects
            if relation.one_to_many or relation.many_to_many
        }
    return frozenset(names)


def past_the_services(sources: Iterable[Source]) -> dict[str, list[str]]:
    """Faults by file: rows changed outside a service, queries of a viewset's own, the guard lifted."""
    guarded = [source for source in sources if _guarded(source)]
    faults: dict[str, list[str]] = {source.name: [] for source in guarded}
    for source in guarded:
        if not source.layer("services"):
            faults[source.name] += [
                f"{source.at(call)}: {_said(call)} outside a service" for call in writes(source, source.tree)
            ]
        if source.layer("viewsets"):
            faults[source.name] += _queries(source)
        if not source.in_("erp"):
            faults[source.name] += [
                f"{source.name}:{line}: lifts the guard with unguarded_writes"
                for name, line in source.imports
                if name == "erp.models.unguarded_writes"
            ]
    for fault_of, fault in _unreached(guarded):
        faults[fault_of].append(fault)
    return faults


def _guarded(source: Source) -> bool:
    """The kernel's own tables are machinery; of its packages only the layers that a module has count."""
    return not source.in_("erp") or source.layer(
        "viewsets", "serializers", "admin", "lookups", "urls", "services"
    )


def _unreached(sources: Iterable[Source]) -> Iterator[tuple[str, str]]:
    """Functions of ``services`` that change rows and neither are or make a service nor are called by one."""
    by_app: dict[str, list[Source]] = defaultdict(list)
    for source in sources:
        if source.layer("services") and not source.in_("erp.services"):
            by_app[source.app].append(source)
    for group in by_app.values():
        calls: dict[str, set[str]] = defaultdict(set)
        reached = {""}  # module-level code may be a callback of the kernel
        for source in group:
            for name, node in source.functions():
                calls[name] |= {
                    dotted(inner.func).rsplit(".", 1)[-1]
                    for inner in ast.walk(node)
                    if isinstance(inner, ast.Call)
                } | {inner.id for inner in ast.walk(node) if isinstance(inner, ast.Name)}
                if _makes_service(source, node):
                    reached.add(name)
        waiting = list(reached)
        while waiting:
            new = calls[waiting.pop()] & calls.keys() - reached
            reached |= new
            waiting += new
        for source in group:
            for name, node in source.functions():
                if name not in reached or not name:
                    where = f"{name}(), which no service calls" if name else "no function"
                    for call in writes(source, node):
                        yield source.name, f"{source.at(call)}: {_said(call)} in {where}"


def _makes_service(source: Source, node: ast.AST) -> bool:
    """Whether it is a service, or a function or class that makes services."""
    return any(
        isinstance(inner, ast.Call) and source.stands_for(inner.func) == "erp.services.service"
        for inner in ast.walk(node)
    )


def _queries(source: Source) -> Iterator[str]:
    """Queries of a viewset beside its declared queryset."""
    for node in source.nodes:
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) and node.name != "get_queryset":
            for inner in ast.walk(node):
                if isinstance(inner, ast.Attribute) and inner.attr in _MANAGERS:
                    yield f"{source.at(inner)}: queries {dotted(inner) or inner.attr} beside its queryset"
                elif isinstance(inner, ast.Call):
                    name = dotted(inner.func).rsplit(".", 1)[-1] or getattr(inner.func, "attr", "")
                    if name in ("get_object_or_404", "get_list_or_404") or (
                        name in _QUERIES
                        and isinstance(inner.func, ast.Attribute)
                        and not _from_declared(inner.func)
                        and not _from_manager(inner.func)
                    ):
                        yield f"{source.at(inner)}: queries with {name}() beside its queryset"


def _chain(node: ast.AST) -> Iterator[str]:
    while isinstance(node, ast.Attribute | ast.Call):
        if isinstance(node, ast.Attribute):
            yield node.attr
            node = node.value
        else:
            node = node.func


def _from_declared(node: ast.AST) -> bool:
    return not _DECLARED.isdisjoint(_chain(node))


def _from_manager(node: ast.AST) -> bool:
    return not _MANAGERS.isdisjoint(_chain(node))


def _said(call: ast.Call) -> str:
    return f"{ast.unparse(call.func)[-60:]}()"


_OPENS_NO_ROW: Final = frozenset(
    f"erp.access.{name}" for name in ("may_enter", "may_create", "authorize_entry")
)


def questions_without_a_row(source: Source) -> list[str]:
    """Checks that ask for a capability in any form where rows are chosen or shown: one grant would open them all."""
    whole = source.layer("models", "serializers")
    functions = [
        node
        for node in source.nodes
        if isinstance(node, ast.FunctionDef) and node.name in ("get_queryset", "visible_to", "belongs_to")
    ]
    nodes = source.nodes if whole else [inner for function in functions for inner in ast.walk(function)]
    return [
        f"{source.at(node)}: {node.func.attr if isinstance(node.func, ast.Attribute) else ast.unparse(node.func)}()"
        " names no row: ask holds_everywhere(), may() or permitted()"
        for node in nodes
        if isinstance(node, ast.Call) and source.stands_for(node.func) in _OPENS_NO_ROW
    ]


def _names(name: str, roots: Iterable[str]) -> bool:
    return any(name == root or name.startswith(f"{root}.") for root in roots)


def clients_past_the_breaker(source: Source) -> list[str]:
    """Imports of a library that speaks to other systems, outside the one client base."""
    if source.in_("erp.clients", "erp.embedded"):
        return []
    found = {line: name for name, line in source.imports if _names(name, CLIENTS)}
    faults = [
        f"{source.name}:{line}: imports {name} past erp.clients" for line, name in sorted(found.items())
    ]
    for node in source.nodes:
        if isinstance(node, ast.Attribute) and node.attr in ("_http", "_opened"):
            faults.append(f"{source.at(node)}: {node.attr} calls past the breaker")
    return faults


def events_past_the_outbox(source: Source) -> list[str]:
    """Ways to Pub/Sub, or into the outbox, that aren't ``emit``."""
    if source.in_("erp.outbox", "erp.embedded"):
        return []
    faults = []
    found = {line: name for name, line in source.imports if _names(name, MESSAGING)}
    faults += [
        f"{source.name}:{line}: imports {name} past erp.outbox" for line, name in sorted(found.items())
    ]
    kernel_only = ("erp.outbox.publisher",) if source.in_("erp.services") else _KERNEL_ONLY
    found = {line: name for name, line in reversed(source.imports) if _names(name, kernel_only)}
    faults += [
        f"{source.name}:{line}: imports {name}, which only the kernel may" for line, name in found.items()
    ]
    for node in source.nodes:
        if not isinstance(node, ast.Call):
            continue
        if (
            isinstance(node.func, ast.Attribute)
            and node.func.attr == "publish"
            and not source.is_module(node.func.value)
        ):
            faults.append(f"{source.at(node)}: publishes past the outbox")
        elif (
            source.stands_for(node.func) == "erp.services.emit"
            and not source.layer("services")
            and not source.in_("erp")
        ):
            faults.append(f"{source.at(node)}: emits outside a service")
    return list(dict.fromkeys(faults))


def lines_past_the_mask(source: Source) -> list[str]:
    """Output that doesn't go through the logging tree, or a change of that tree."""
    if source.in_("erp.logs", "erp.embedded", "config"):
        return []
    faults = []
    for node in source.nodes:
        if isinstance(node, ast.Call):
            name = source.stands_for(node.func)
            plain = dotted(node.func) or getattr(node.func, "attr", "")
            if (
                plain == "print"
                or _names(name, LOG_TREE)
                or plain.rsplit(".", 1)[-1] in ("addHandler", "setFormatter")
                or (
                    name in ("sys.stdout.write", "sys.stderr.write")
                    and not source.layer("commands", "__main__")
                )
            ):
                faults.append(f"{source.at(node)}: {plain}() writes past the masked log")
    return faults


def failures_past_the_handler(source: Source) -> list[str]:
    """A viewset that renders failures itself."""
    if not source.layer("viewsets"):
        return []
    faults = []
    for node in source.nodes:
        if isinstance(node, ast.ExceptHandler):
            faults.append(f"{source.at(node)}: a viewset catches an exception")
        elif isinstance(node, ast.FunctionDef) and node.name in (
            "handle_exception",
            "get_exception_handler",
            "raise_uncaught_exception",
        ):
            faults.append(f"{source.at(node)}: a viewset has its own {node.name}")
    return faults
