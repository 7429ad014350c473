"""What the sources may not do: run what a file holds, fetch code, or wait for connections from outside."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).parents[1] / "tui"
RUNS = {"pickle", "cPickle", "_pickle", "dill", "cloudpickle", "marshal", "shelve", "joblib", "yaml"}
"""Modules whose files run code when they are read."""


def calls(path: Path) -> Iterator[tuple[str, ast.Call]]:
    """Every call with the name of what is called."""
    for node in ast.walk(ast.parse(path.read_text("utf-8"))):
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name | ast.Attribute):
            named = node.func
            if isinstance(named, ast.Name):
                yield named.id, node
            else:
                yield f"{named.value.id if isinstance(named.value, ast.Name) else '…'}.{named.attr}", node


def modules() -> list[Path]:
    return sorted(ROOT.rglob("*.py"))


def option(call: ast.Call, name: str) -> str:
    """How a call sets an option; empty if it does not."""
    return next((ast.unparse(one.value) for one in call.keywords if one.arg == name), "")


def test_nothing_is_run_that_a_file_holds() -> None:
    """No pickles: weights alone are read from ``.pt`` and ``.bin``; numpy reads no objects; nothing is evaluated."""
    for path in modules():
        for node in ast.walk(ast.parse(path.read_text("utf-8"))):
            names = [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
            names += [node.module or ""] if isinstance(node, ast.ImportFrom) and not node.level else []
            assert not {name.partition(".")[0] for name in names} & RUNS, f"{path}: {names}"
        for name, call in calls(path):
            where = f"{path}:{call.lineno}"
            assert name not in ("eval", "exec", "__import__"), where
            assert name != "torch.load" or option(call, "weights_only") == "True", where
            assert option(call, "allow_pickle") in ("", "False"), where
            assert option(call, "shell") in ("", "False"), where


def test_no_code_of_a_hub_is_run_unasked() -> None:
    """``trust_remote_code`` is never true by itself, and there is no option that makes it so."""
    for path in modules():
        for _, call in calls(path):
            assert option(call, "trust_remote_code") in ("", "False"), f"{path}:{call.lineno}"


def test_only_the_way_to_another_machine_knows_sockets_and_none_of_the_network() -> None:
    for path in modules():
        text, here = path.read_text("utf-8"), path.relative_to(ROOT).as_posix()
        imports = [node for node in ast.walk(ast.parse(text)) if isinstance(node, ast.Import)]
        known = {alias.name for node in imports for alias in node.names}
        assert here.startswith(("remote/", "cluster/")) or not known & {"socket", "socketserver", "http.server"}, here
        for word in ("AF_INET", "create_server", "start_server", "serve_forever"):
            assert word not in text, f"{here}: {word}"
