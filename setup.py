"""Builds libaccelnn.a (runtime + kernels + engine), the extension module accelnn._C and the prebuilt runner. Objects lie in build/ and are made again
only when their command or a file they include has changed. The flags are those of accelnn/deploy/toolchain.py, which the binary builder shares.

  ACCELNN_CUDA=auto|0|1   compile the CUDA images: when nvcc is there, never, or fail without it
  ACCELNN_CUDA_ARCHS=...  for which GPUs: all, or a list (80,90a); default: one for a build in place, all for a wheel
  ACCELNN_JOBS=N          compilers at a time (default: the cores of this process)
  ACCELNN_PARTIAL=1       while writing kernels: leave out files that do not compile, and stand in for the ops and rows that are not there"""

import fcntl
import importlib.util
import os
import re
import subprocess
import sys
import sysconfig
import time
from pathlib import Path

from setuptools import Extension, find_namespace_packages, setup
from setuptools.command.build_ext import build_ext as setuptools_build_ext

ROOT = Path(__file__).resolve().parent
spec = importlib.util.spec_from_file_location("accelnn_toolchain", ROOT / "accelnn/deploy/toolchain.py")
tc = sys.modules[spec.name] = importlib.util.module_from_spec(spec)
spec.loader.exec_module(tc)
ROOMS = ("kernels", "runtime", "engine", "deploy", "bindings")
PARTIAL = os.environ.get("ACCELNN_PARTIAL") == "1"


def say(text):
    print(f"accelnn: {text}", file=sys.stderr, flush=True)


class build_ext(setuptools_build_ext):
    def run(self):
        self.objects = ROOT / "build" / f"{tc.machine()}-{sysconfig.get_config_var('SOABI')}"
        self.objects.mkdir(parents=True, exist_ok=True)
        with open(self.objects / "lock", "w") as lock:      # two builds of one checkout take turns
            fcntl.flock(lock, fcntl.LOCK_EX)
            self.build()

    def build(self):
        began = time.time()
        self.chain = tc.native()
        if not self.chain:
            raise SystemExit("accelnn needs a C++17 compiler: install g++ or clang++, or name one in CXX")
        import pybind11
        extra = {room: ["-fPIC"] for room in ROOMS}
        extra["bindings"] += [f"-isystem{sysconfig.get_path('include')}", f"-isystem{pybind11.get_include()}"]
        found = tc.sources(ROOT, tc.machine(), ROOMS)
        objects, compiled = tc.compile_all(found, ROOT, self.objects, self.chain, extra, self.failed if PARTIAL else None)
        bindings = [o for o in objects if self.objects / "csrc/bindings" in o.parents]
        every_op = self.objects / "csrc/deploy/runner.cpp.o"
        library, module, runner = self.objects / "libaccelnn.a", self.objects / "_C.so", self.objects / "runner"
        tc.archive([o for o in objects if o not in bindings and o != every_op] + [self.cuda_images()], library)
        stand_ins = self.link_module(bindings, library, module)
        self.link([every_op, library, *stand_ins], runner, ["-Wl,--gc-sections", "-s", "-lm", "-pthread"])
        for made, target in zip((library, module, runner), self.get_outputs()):
            os.makedirs(os.path.dirname(target), exist_ok=True)
            beside = f"{target}.{os.getpid()}"               # whoever has the old one open keeps it whole
            self.copy_file(str(made), beside)
            os.replace(beside, target)
        say(f"{compiled} of {len(found)} files compiled in {time.time() - began:.1f} s")

    def link(self, inputs, out, options):
        tc.run([*self.chain.cxx, *self.chain.link, *map(str, inputs), "-o", str(out), *options])

    def link_module(self, bindings, library, module):
        options = ["-shared", "-Wl,--gc-sections", "-Wl,--exclude-libs,ALL", "-pthread"]
        self.link([*bindings, library], module, options)
        # Python's symbols come with the interpreter; one of ours that is missing would only be noticed at import.
        missing = self.missing(module)
        if missing and not PARTIAL:
            raise SystemExit("accelnn: these are declared but defined nowhere (ACCELNN_PARTIAL=1 builds without them):\n  " + "\n  ".join(sorted(missing)))
        if not missing:
            return []
        stub = self.objects / "partial.cpp"
        stub.write_text(self.stand_ins(missing))
        tc.run([*self.chain.cxx, "-std=c++17", "-fPIC", *tc.includes(ROOT), "-c", str(stub), "-o", f"{stub}.o"])
        self.link([*bindings, library, f"{stub}.o"], module, options)
        say(f"stand-ins for {len(missing)} missing symbols: {' '.join(sorted(missing))}")
        return [f"{stub}.o"]

    def missing(self, module):
        listing = subprocess.run(["nm", "-Du", str(module)], capture_output=True, text=True, check=True).stdout
        ours = [name for name in listing.split() if re.match(r"_ZN?K?7accelnn|accelnn_", name)]
        shown = subprocess.run(["c++filt", *ours], capture_output=True, text=True, check=True).stdout.splitlines() if ours else []
        return dict(zip(shown, ours))

    def stand_ins(self, missing):
        lines = ['#include "op.h"', "namespace accelnn {", "static Status absent(const Call&) { return fail(Code::unsupported, \"not built\"); }"]
        for shown, symbol in missing.items():
            if op := re.fullmatch(r"accelnn::table_(\w+)", shown):
                lines.append(f'static const Op op_{op[1]} = {{"{op[1]}", nullptr, 0, 0, 0, 0, absent, refuse_nothing, no_workspace}};')
                lines.append(f"extern const Table table_{op[1]}; const Table table_{op[1]} = {{&op_{op[1]}, nullptr, 0}};")
            elif row := re.fullmatch(r"accelnn::(\w+)\(accelnn::Call const&\)", shown):
                lines.append(f'Status {row[1]}(const Call&) {{ return fail(Code::unsupported, "{row[1]}: not built"); }}')
            else:
                lines.append(f'asm(".global {symbol}\\n{symbol}: ret\\n");')
        return "\n".join(lines) + "\n}\n"

    def failed(self, source, error):
        say(f"LEFT OUT {source.path}:\n" + "\n".join(error.splitlines()[1:25]))

    def cuda_images(self):
        """An object with the images of every cuda_*.cu, none without nvcc: runtime/cuda_image.h. Nothing links libcuda or libcudart."""
        nvcc, images, compiled = tc.find_nvcc(), {}, 0
        try:
            if nvcc:
                images, compiled = tc.compile_images(ROOT, self.objects, nvcc, tc.cuda_archs(release=not (self.inplace or self.editable_mode)))
        except RuntimeError as error:
            if os.environ.get("ACCELNN_CUDA") == "1":
                raise
            say(f"no CUDA images, {nvcc} failed:\n{error}")
        assembly, made = self.objects / "cuda_images.S", [p.stat().st_mtime_ns for p in images.values()]
        text = f"# {made}\n{tc.image_list(images)}"
        if not Path(f"{assembly}.o").exists() or assembly.read_text() != text:
            assembly.write_text(text)
            tc.run([*self.chain.cxx, "-c", str(assembly), "-o", f"{assembly}.o"])
            say(f"cuda: {f'{len(images)} images, {compiled} compiled' if images else 'not built'}")
        return Path(f"{assembly}.o")

    # Where the results belong: beside the Python files for an editable install, below build_lib for a wheel.
    def get_outputs(self):
        package = ROOT if self.inplace or self.editable_mode else Path(self.build_lib)
        names = ("lib/libaccelnn.a", "_C" + sysconfig.get_config_var("EXT_SUFFIX"), "lib/runner")
        return [str(package / "accelnn" / name) for name in names]

    def get_output_mapping(self):
        return {}

    def get_source_files(self):
        return [s.path for s in tc.sources(ROOT, tc.machine(), ROOMS)]


# csrc and kernels travel as packages of files: a user's machine compiles them for every target but its own (toolchain.source_root()).
setup(packages=[*find_namespace_packages(include=["accelnn", "accelnn.*"], exclude=["accelnn.lib"]), "accelnn.kernels", "accelnn.csrc"],
      package_dir={"accelnn.kernels": "kernels", "accelnn.csrc": "csrc"},
      package_data={"accelnn": ["py.typed", "*.pyi"], "accelnn.bench": ["*.toml"], "accelnn.kernels": ["*.*", "**/*.*"], "accelnn.csrc": ["**/*.*"]},
      ext_modules=[Extension("accelnn._C", sources=[])], cmdclass={"build_ext": build_ext})
