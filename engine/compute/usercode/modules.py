"""A user's files as modules: run from the text that the study keeps, under names that no other program's share.

Imports in them are resolved here, by where the importing file lies, and never by sys.path: two users' `blocks.py` do
not meet, a `utils.py` or `engine.py` of the user's hides nobody else's, and no compiled cache is read.
"""

import builtins
import importlib
import importlib.util
import sys
from collections.abc import Callable, Mapping, Sequence
from functools import wraps
from importlib.machinery import ModuleSpec, SourceFileLoader
from pathlib import Path
from types import ModuleType
from typing import Any

from engine.errors import SecateurError
from engine.sources import Program, Sources
from engine.sources.closure import compiled, home_of
from engine.store.keys import content_hash

PREFIX = "secateur_user_"
"""What the names of users' modules begin with."""
NAMED = {
    "pkgutil": ("get_data",),
    "importlib.resources": (
        "files",
        "open_text",
        "open_binary",
        "read_text",
        "read_binary",
        "path",
        "is_resource",
    ),
}
"""Functions that read beside the package whose name is their first argument."""


class Space:
    """The modules of one program while it is loaded and called: each file is run once."""

    def __init__(self, sources: Sources, program: Program, identity: str) -> None:
        self._sources = sources
        self._folders = [Path(folder) for folder in program.folders]
        self._known = set(program.modules)
        self._others = program.others
        self._name = PREFIX + identity
        self._modules: dict[Path, ModuleType] = {}

    def run(self, file: Path) -> ModuleType:
        """The module of `file`, after the packages around it if it imports from within them."""
        content = self._sources.files[str(file)].content
        if any(asks in content for asks in (b"from .", b"__package__", b"files()")):
            self._package(file.parent)
        return self._module(file)

    def check(self) -> None:
        """Raises SecateurError where a file that the code reads by itself is not as the study keeps it."""
        for name in (*self._others, *self._sources.given.values()):
            path = Path(name)
            if not path.is_file() or content_hash(path) != self._sources.files[name].digest:
                raise SecateurError(
                    f"{name} was changed since the study began",
                    "Your own code or the preset's arguments name it, so the network may depend on it.",
                    "Put it back, or run the preset as a new study.",
                )

    def _module(self, file: Path) -> ModuleType:
        if file in self._modules:
            return self._modules[file]
        if str(file) not in self._known:
            name = file.parent.name if file.stem == "__init__" else file.stem
            raise SecateurError(
                f"Your own code imports {file}, which can't be seen in its text",
                "What a network's code runs is part of what identifies its results; this file was not found among it.",
                f"Write `import {name}` where the file that needs it is read, in a function if you like.",
            )
        content = self._sources.files[str(file)].content
        return self._run(self._new(file, is_package=file.name == "__init__.py"), file, content)

    def _run(self, module: ModuleType, file: Path, content: bytes) -> ModuleType:
        try:
            exec(compile(content, str(file), "exec", dont_inherit=True), vars(module))
        except BaseException:
            del self._modules[file], sys.modules[module.__name__]
            raise
        return module

    def _new(self, file: Path, *, is_package: bool) -> ModuleType:
        name = f"{self._name}.{self._dotted(file.parent if is_package else file.with_suffix(''))}"
        module = ModuleType(name)
        # The loader gives what lies beside the file; nothing is run by it.
        spec = ModuleSpec(name, SourceFileLoader(name, str(file)), origin=str(file), is_package=is_package)
        package = name if is_package else name.rpartition(".")[0]
        own: Mapping[str, Any] = {
            "__file__": str(file),
            "__package__": package,
            "__spec__": spec,
            "__builtins__": vars(builtins) | {"__import__": self._importer(file)},
        }
        vars(module).update(own)
        if is_package:
            module.__path__ = [str(file.parent)]
        self._modules[file] = sys.modules[name] = module
        return module

    def _dotted(self, path: Path) -> str:
        """A name for a file without its suffix: as it is imported, with the packages around it, else by its path."""
        above = [folder for folder in self._folders if path.is_relative_to(folder) and path != folder]
        inits = {folder: folder / "__init__.py" for folder in above}
        outside = [f for f, init in inits.items() if str(init) not in self._known and not init.is_file()]
        for folder in outside or above:
            return ".".join(path.relative_to(folder).parts)
        return ".".join(part for part in path.parts if part != path.anchor)

    def _importer(self, importer: Path) -> Any:
        """`__import__` for the code in `importer`."""

        def imported(
            name: str,
            globals: Mapping[str, object] | None = None,
            locals: Mapping[str, object] | None = None,
            fromlist: Sequence[str] | None = (),
            level: int = 0,
        ) -> ModuleType:
            parts = name.split(".") if name else []
            if level:
                base: Path | None = importer.parent
                for _ in range(level - 1):
                    base = base.parent if base else None
                first = self._package(base) if base else None
            else:
                base, first = home_of(parts[0], self._folders), None
            if base is None:
                module = builtins.__import__(name, globals, locals, fromlist or (), level)
                return self._own(module)
            return self._resolve(base, parts, first, fromlist or ())

        return imported

    def _resolve(
        self, base: Path, parts: list[str], first: ModuleType | None, fromlist: Sequence[str]
    ) -> ModuleType:
        """What `import a.b` or `from a.b import c` gives, below the folder `base`."""
        chain = [first] if first else []
        folder = base
        for part in parts:
            chain.append(self._member(folder, part, chain[-1] if chain else None))
            folder /= part
        module = chain[-1]
        if not fromlist:
            return chain[1 if first else 0]
        if hasattr(module, "__path__"):
            wanted = [*getattr(module, "__all__", ())] if "*" in fromlist else fromlist
            for name in wanted:
                if not hasattr(module, name) and self._file(folder, name):
                    self._member(folder, name, module)
        return module

    def _member(self, folder: Path, name: str, parent: ModuleType | None) -> ModuleType:
        """The module or package `name` in a folder, as an attribute of its parent."""
        if (file := self._file(folder, name)) is not None:
            module = self._module(file)
        elif extension := compiled(folder, name):
            module = self._extension(extension, name)
        elif (folder / name).is_dir():
            module = self._package(folder / name)
        else:
            where = f" in {folder}" if parent else ""
            raise ModuleNotFoundError(f"No module named {name!r}{where}", name=name)
        if parent is not None:
            setattr(parent, name, module)
        return module

    def _file(self, folder: Path, name: str) -> Path | None:
        """The file of a module or package: as the study keeps it, whether or not it lies there still."""
        for file in (folder / name / "__init__.py", folder / f"{name}.py"):
            if str(file) in self._known or file.is_file():
                return file
        return None

    def _package(self, folder: Path) -> ModuleType:
        """The package in a folder; where that has no `__init__.py`, an empty one."""
        file = folder / "__init__.py"
        if str(file) in self._known or file in self._modules:
            return self._module(file)
        return self._new(file, is_package=True)

    def _extension(self, file: Path, name: str) -> ModuleType:
        own = f"{self._name}.{name}"
        if own not in sys.modules:
            spec = importlib.util.spec_from_file_location(own, file)
            assert spec is not None and spec.loader is not None
            sys.modules[own] = module = importlib.util.module_from_spec(spec)
            spec.loader.exec_module(module)
        return sys.modules[own]

    def _own(self, module: ModuleType) -> ModuleType:
        """`module`; a copy of it where its functions take names of modules and are not told who asks for them."""
        if module is importlib:
            replaced = self._importlib()
        elif module.__name__ in NAMED:
            replaced = {n: self._near(vars(module)[n]) for n in NAMED[module.__name__] if n in vars(module)}
        else:
            return module
        own = ModuleType(module.__name__)
        vars(own).update(vars(module) | replaced)
        return own

    def _near(self, function: Callable[..., Any]) -> Callable[..., Any]:
        """`function`, whose first argument may name a package of the user's."""

        @wraps(function)
        def near(*given: Any, **named: Any) -> Any:
            if not given and not named:  # that of the caller
                given = (sys._getframe(1).f_globals["__package__"],)
            package = given[0] if given and isinstance(given[0], str) else ""
            base = home_of(package.partition(".")[0], self._folders) if package else None
            if base is not None:
                given = (self._resolve(base, package.split("."), None, ("",)).__name__, *given[1:])
            return function(*given, **named)

        return near

    def _importlib(self) -> dict[str, Any]:
        """`import_module` that finds the user's files, too."""

        def import_module(name: str, package: str | None = None) -> ModuleType:
            plain = name.lstrip(".")
            parts, level = plain.split("."), len(name) - len(plain)
            if level and package and package.startswith(self._name):
                home = sys.modules[package]
                folder = Path(str(home.__file__)).parent
                for _ in range(level - 1):
                    folder = folder.parent
                return self._resolve(folder, parts, self._package(folder), ("",))
            base = None if level else home_of(parts[0], self._folders)
            return self._resolve(base, parts, None, ("",)) if base else importlib.import_module(name, package)

        resources = vars(importlib).get("resources")
        return {"import_module": import_module} | ({"resources": self._own(resources)} if resources else {})
