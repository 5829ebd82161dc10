"""The C compiler of the machine: which one, with which flags, and its objects kept on disk."""

from __future__ import annotations

import functools
import hashlib
import os
import shutil
import subprocess
import tempfile
from dataclasses import dataclass
from pathlib import Path

from ssmgen import settings
from ssmgen.codegen import Source, cache_errors
from ssmgen.errors import CompileError, TargetUnavailableError
from ssmgen.trust import own_cache, require_own

__all__ = ["Compiler", "find_compiler"]

# Never -ffast-math: linking with it turns denormals off for the whole process. These change no result that is finite.
_FLAGS = ("-O3", "-std=gnu11", "-ffp-contract=fast", "-fno-math-errno", "-fno-trapping-math", "-fPIC")
_TIMEOUT_SECONDS = 120
_MESSAGE_LINES = 20


@dataclass(frozen=True)
class Compiler:
    """A C compiler and the flags that it takes.

    Attributes:
        path: The executable.
        version: First line of `--version`.
        flags: What every kernel is compiled with.
    """

    path: str
    version: str
    flags: tuple[str, ...]

    def library(self, source: Source, machine: str) -> Path:
        """The shared library of a source, compiled unless it is cached.

        Args:
            source: The rendered C.
            machine: What the code is compiled for, since `-march=native` does not say.

        Raises:
            CompileError: The compiler refused, or took longer than two minutes.
            TargetUnavailableError: The cache cannot be written, or somebody else can write it.
        """
        parts = (source.hash, machine, self.path, self.version, *self.flags)
        key = hashlib.sha256("\n".join(parts).encode()).hexdigest()[:16]
        path = settings.cache_dir() / "kernels" / f"{source.name}_{source.hash}_{key}.so"
        with cache_errors(path.parent):
            own_cache("kernels")
        require_own(path)
        if not path.exists():
            self._compile(source, ("-shared",), path)
        return path

    def assembly(self, source: Source) -> str:
        """The assembly that the library is made of."""
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / "kernel.s"
            self._compile(source, ("-S", "-fno-asynchronous-unwind-tables"), path)
            return path.read_text()

    def _compile(self, source: Source, mode: tuple[str, ...], path: Path) -> None:
        # Another process may be compiling the same kernel: each writes a file of its own, and the last rename wins.
        with cache_errors(path.parent):
            descriptor, temporary = tempfile.mkstemp(
                dir=path.parent, prefix=f".{path.stem}.", suffix=path.suffix
            )
        os.close(descriptor)
        try:
            text = source.path()
            _run(
                [self.path, *self.flags, *mode, str(text), "-o", temporary, "-lm"], f"{source.name} ({text})"
            )
            Path(temporary).chmod(0o755)
            Path(temporary).replace(path)
        except BaseException:
            Path(temporary).unlink(missing_ok=True)
            raise


def find_compiler() -> Compiler:
    """The C compiler: SSMGEN_CC, then CC, then cc, gcc or clang, whichever is there first.

    Raises:
        TargetUnavailableError: There is none, or the one that is named does not run.
    """
    # CC may carry flags ("gcc -m64") that we do not need; its first word is the compiler.
    words = os.environ.get("CC", "").split()
    chosen = settings.get("SSMGEN_CC")
    named = chosen or (words[0] if words else "")
    return _find(named, "SSMGEN_CC" if chosen else "CC", os.environ.get("PATH", ""))


@functools.cache
def _find(named: str, variable: str, search_path: str) -> Compiler:
    for name in (named,) if named else ("cc", "gcc", "clang"):
        path = shutil.which(name, path=search_path)
        if path is not None:
            return _probe(path)
    if named:
        missing = f"the C compiler {named!r}, which {variable} names, was not found"
        remedy = f"unset {variable}, or set SSMGEN_CC to one that is there"
    else:
        missing = "no C compiler (cc, gcc, clang) was found"
        remedy = "install gcc or clang, set SSMGEN_CC"
    raise TargetUnavailableError(
        f"{missing}, and target 'cpu' needs one; {remedy}, or use target='reference'."
    )


def _probe(path: str) -> Compiler:
    """Ask a compiler for its version and which of the flags that differ between machines it takes."""
    try:
        listed = subprocess.run([path, "--version"], capture_output=True, text=True, timeout=_TIMEOUT_SECONDS)
    except (OSError, subprocess.TimeoutExpired) as error:
        raise TargetUnavailableError(
            f"the C compiler {path} does not run ({error}); install gcc or clang, set SSMGEN_CC, "
            "or use target='reference'."
        ) from error
    version = (listed.stdout.splitlines() or ["unknown"])[0]
    flags: tuple[str, ...] = _FLAGS
    for choice in (("-march=native", "-mprefer-vector-width=512"), ("-march=native",), ("-mcpu=native",)):
        if _takes(path, choice):
            flags += choice
            break
    # Without OpenMP the pragmas mean nothing and kernels run in one thread: Apple's clang brings none.
    if _takes(path, ("-fopenmp",)):
        flags += ("-fopenmp",)
    else:
        flags += ("-Wno-unknown-pragmas",)
    return Compiler(path, version, flags)


def _takes(path: str, flags: tuple[str, ...]) -> bool:
    """Whether the compiler builds a shared library with these flags."""
    with tempfile.TemporaryDirectory() as folder:
        probe = Path(folder) / "probe.c"
        probe.write_text("int probe(void) { return 0; }\n")
        command = [
            path,
            *flags,
            "-Werror",
            "-fPIC",
            "-shared",
            str(probe),
            "-o",
            str(probe.with_suffix(".so")),
        ]
        return subprocess.run(command, capture_output=True, timeout=_TIMEOUT_SECONDS).returncode == 0


def _run(command: list[str], what: str) -> None:
    try:
        done = subprocess.run(
            command, capture_output=True, text=True, errors="replace", timeout=_TIMEOUT_SECONDS
        )
    except subprocess.TimeoutExpired as error:
        raise CompileError(f"{what}: {command[0]} took longer than {_TIMEOUT_SECONDS} s.") from error
    except OSError as error:
        raise CompileError(f"{what}: {command[0]} does not run: {error}.") from error
    if done.returncode != 0:
        lines = [line for line in done.stderr.splitlines() if line.strip()]
        said = "\n".join(lines[:_MESSAGE_LINES]) or f"exit code {done.returncode}, no message"
        raise CompileError(f"{what}: {command[0]} refused:\n{said}")
