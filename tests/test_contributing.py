"""The copy-me op of CONTRIBUTING.md: its C++ compiles at every width and agrees with itself; as proof, the three steps in a copy of the checkout."""

from __future__ import annotations

import ast
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from accelnn.deploy import toolchain as tc

ROOT = Path(__file__).resolve().parents[1]
WIDTHS = ("x86_avx2", "x86_avx512") if tc.machine() == "x86_64" else ()
MAIN = """
#include <cstdio>
#include "scale_rows/scale_rows.h"
using namespace accelnn;
namespace accelnn { extern const Table table_scale_rows; }
int main() {
  const int64_t columns[] = {0, 1, 3, 4, 7, 16, 33};
  int ran = 0;
  for (int64_t n : columns) {
    float x[3 * 33], s[3] = {2, -0.5f, 3}, y[3 * 33], want[3 * 33];
    for (int i = 0; i < 99; i++) x[i] = float(i) / 7;
    const auto view = [](float* p, int rank, int64_t a, int64_t b) { TensorView v; v.data = p; v.rank = rank; v.shape[0] = a; v.shape[1] = b;
                                                                              v.set_contiguous(); return v; };
    const TensorView in[] = {view(x, 2, 3, n), view(s, 1, 3, 0)}, out = view(y, 2, 3, n), truth = view(want, 2, 3, n);
    Call call = {in, 2, &out, 1, nullptr}, reference = {in, 2, &truth, 1, nullptr};
    if (!table_scale_rows.op->check(call).ok()) return 1;
    const Row* const* rows = table_scale_rows.rows;
    if (!rows[table_scale_rows.n_rows - 1]->run(reference).ok()) return 2;
    for (int r = 0; r < table_scale_rows.n_rows; r++) {
      if ((rows[r]->isa & detect_isa()) != rows[r]->isa) continue;
      if (!rows[r]->run(call).ok()) return 3;
      for (int64_t i = 0; i < 3 * n; i++) if (y[i] != want[i]) return 4;
      ran++;
    }
  }
  printf("%d", ran);
  return 0;
}
"""


def write_op(root: Path) -> list[Path]:
    """Step 1, from the page: the files of the folder, and the two that it says are like base.cpp."""
    page = (ROOT / "CONTRIBUTING.md").read_text()
    made = []
    for path, text in re.findall(r"^```cpp\n// (\S+)\n(.*?)^```", page, re.M | re.S):
        made.append(root / path)
        made[-1].parent.mkdir(parents=True, exist_ok=True)
        made[-1].write_text(text)
    base = next(p for p in made if p.name == "base.cpp")
    for width in WIDTHS:
        made.append(base.with_name(f"{width}.cpp"))
        made[-1].write_text(base.read_text().replace("_base(", f"_{width}("))
    return made


def imported(init: Path, name: str) -> None:
    """Step 3's line: one more name in the list of modules."""
    text, lists = re.subn(r"^from \. import \((.*)$", rf"from . import (\1\n    {name},", init.read_text(), count=1, flags=re.M)
    assert lists == 1, f"{init} has no list of modules"
    init.write_text(text)


def test_the_new_file_is_imported(tmp_path: Path) -> None:
    init = tmp_path / "__init__.py"
    init.write_text((ROOT / "accelnn/ops/__init__.py").read_text())
    imported(init, "scale_rows")
    names = [alias.name for node in ast.parse(init.read_text()).body if isinstance(node, ast.ImportFrom) and not node.module for alias in node.names]
    assert "scale_rows" in names and "activation" in names


def test_the_copy_me_op_compiles_and_agrees(tmp_path: Path) -> None:
    chain = tc.native()
    library = ROOT / "accelnn/lib/libaccelnn.a"
    if chain is None or not library.exists():
        pytest.skip("needs a C++ compiler and libaccelnn.a beside the sources")
    (tmp_path / "kernels").mkdir()
    sources = [p for p in write_op(tmp_path) if p.suffix == ".cpp"]
    main = tmp_path / "main.cpp"
    main.write_text(MAIN)
    objects = []
    for path in [*sources, main]:
        source = tc.Source(path.name, "kernels", path.stem if path.stem in tc.SUFFIX_FLAGS else "base")
        objects.append(str(path.with_suffix(".o")))
        tc.run([*chain.cxx, *tc.flags(source, chain), "-Werror", *tc.includes(ROOT), f"-I{tmp_path / 'kernels'}", "-c", str(path), "-o", objects[-1]])
    tc.run([*chain.cxx, *objects, str(library), "-o", str(tmp_path / "check"), "-pthread"])
    done = subprocess.run([tmp_path / "check"], capture_output=True, text=True)
    assert done.returncode == 0 and int(done.stdout) >= 2 * 7, f"{done.returncode} {done.stdout}"


@pytest.mark.proof
def test_three_steps_make_an_op(tmp_path: Path) -> None:
    """Eager, gradient, contract tests and a built program of a new op, without touching anything else."""
    copy = tmp_path / "checkout"
    shutil.copytree(ROOT, copy, ignore=shutil.ignore_patterns(".git", ".venv", "build", "out", "dist", "*.so", "lib", "__pycache__", ".*_cache", "*.egg-info"))
    write_op(copy)
    with open(copy / "kernels/ops.inc", "a") as table:
        table.write("OP(scale_rows)\n")
    page = (ROOT / "CONTRIBUTING.md").read_text()
    path, text = re.findall(r"^```python\n# (\S+)\n(.*?)^```", page, re.M | re.S)[0]
    (copy / path).write_text(text)
    imported(copy / "accelnn/ops/__init__.py", "scale_rows")
    environment = {**os.environ, "PYTHONPATH": str(copy), "PYTHONSAFEPATH": "1"}
    built = subprocess.run([sys.executable, "setup.py", "-q", "build_ext", "--inplace"], capture_output=True, text=True, cwd=copy, env=environment)
    assert built.returncode == 0, built.stderr
    tests = ["tests/contracts", "tests/test_gradients.py", "tests/test_tables.py"]
    done = subprocess.run([sys.executable, "-m", "pytest", "-q", "-k", "scale_rows", "-p", "no:cacheprovider", *tests], capture_output=True, text=True,
                          cwd=copy, env=environment)  # fmt: skip
    assert done.returncode == 0 and "passed" in done.stdout, done.stdout + done.stderr
    code = """
import numpy as np, accelnn as an
from accelnn.core.tensor import apply
assert an.__file__.startswith(%r), an.__file__
s = an.tensor(np.arange(3, dtype=np.float32))
model = an.freeze(lambda x: apply("scale_rows", x, s), np.ones((3, 5), np.float32), dynamic_batch=False)
print(an.build(model, %r, verify=True))
""" % (str(copy), str(tmp_path / "net"))  # noqa: UP031
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, env=environment, cwd=tmp_path)
    assert "equal bit for bit" in done.stdout, done.stdout + done.stderr
