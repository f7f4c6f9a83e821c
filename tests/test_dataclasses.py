"""Defaults of dataclass fields on every supported CPython."""

import dataclasses
import importlib
import sys
import types


def test_no_default_is_refused_by_python_3_11():
    """CPython 3.11 refuses unhashable defaults; mapping proxies are hashable from 3.12 on."""
    importlib.import_module("mukoe.layouts.common.checkpointing")
    found = [
        f"{module}.{name}.{field.name}"
        for module, content in list(sys.modules.items())
        if module.startswith("mukoe.")
        for name, kind in vars(content).items()
        if dataclasses.is_dataclass(kind) and isinstance(kind, type)
        for field in dataclasses.fields(kind)
        if isinstance(field.default, types.MappingProxyType)
    ]
    assert found == []
