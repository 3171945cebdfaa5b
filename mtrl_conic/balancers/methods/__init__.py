"""The methods, one per file; every module in this folder is imported and registers its balancer."""

import importlib
import pkgutil

for _module in pkgutil.iter_modules(__path__):
    importlib.import_module(f"{__name__}.{_module.name}")
