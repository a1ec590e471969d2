"""The modules of the kernel depend on each other in one direction; their layers are listed in ``.importlinter``."""

import sys
from graphlib import CycleError, TopologicalSorter
from importlib import import_module
from pathlib import Path

import grimp
import pytest

from erp.apps import load_topics


def test_no_module_of_the_kernel_imports_itself_through_others() -> None:
    graph = grimp.build_graph("erp", cache_dir=None)  # imports in functions and for types are among them
    modules = {module for module in graph.modules if ".tests" not in module}
    imports = {module: graph.find_modules_directly_imported_by(module) & modules for module in modules}
    try:
        TopologicalSorter(imports).prepare()
    except CycleError as error:
        pytest.fail(f"a circle of imports: {' ← '.join(error.args[1])}")


def test_a_layer_that_is_a_package_is_loaded_with_its_topics(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    layer = tmp_path / "planted" / "services"
    layer.mkdir(parents=True)
    (layer / "__init__.py").touch()
    (layer / "cotton.py").touch()
    monkeypatch.syspath_prepend(tmp_path)
    import_module("planted.services")
    try:
        load_topics("planted.services")
        load_topics("planted.tasks")  # which it doesn't have
        assert "planted.services.cotton" in sys.modules
    finally:
        for name in [name for name in sys.modules if name.startswith("planted")]:
            del sys.modules[name]
