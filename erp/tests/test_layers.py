"""The modules of the kernel depend on each other in one direction; their layers are listed in ``.importlinter``."""

from graphlib import CycleError, TopologicalSorter

import grimp
import pytest


def test_no_module_of_the_kernel_imports_itself_through_others() -> None:
    graph = grimp.build_graph("erp", cache_dir=None)  # imports in functions and for types are among them
    modules = {module for module in graph.modules if ".tests" not in module}
    imports = {module: graph.find_modules_directly_imported_by(module) & modules for module in modules}
    try:
        TopologicalSorter(imports).prepare()
    except CycleError as error:
        pytest.fail(f"a circle of imports: {' ← '.join(error.args[1])}")
