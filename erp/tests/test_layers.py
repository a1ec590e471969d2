"""The modules of the kernel depend on each other in one direction."""

from graphlib import CycleError, TopologicalSorter

import grimp
import pytest


@pytest.fixture(scope="module")
def imports() -> dict[str, set[str]]:
    """Module of the kernel → modules of the kernel that it imports, in functions and for types, too."""
    graph = grimp.build_graph("erp", cache_dir=None)
    modules = {module for module in graph.modules if ".tests" not in module}
    return {module: graph.find_modules_directly_imported_by(module) & modules for module in modules}


def test_no_module_imports_itself_through_others(imports: dict[str, set[str]]) -> None:
    try:
        TopologicalSorter(imports).prepare()
    except CycleError as error:
        pytest.fail(f"a circle of imports: {' ← '.join(error.args[1])}")


def test_the_embedded_servers_are_imported_by_nothing_in_the_kernel(imports: dict[str, set[str]]) -> None:
    found = {
        module
        for module, imported in imports.items()
        if not module.startswith("erp.embedded") and any(name.startswith("erp.embedded") for name in imported)
    }
    assert not found
