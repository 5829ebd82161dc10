"""A stand-in for GPUs: what `torch.cuda` and Triton's driver offer, on tensors that lie on the CPU.

Everything above it is the real thing, from the ops down to Triton's launcher. Kernels are compiled as for a GPU, and
what is launched is run by Triton's interpreter, at once; a capture keeps it for the replays. Calls are checked against
the signatures of what they stand for, and what CUDA refuses is refused here: a launch on another device than that of
its tensors or its binary, in another stream than the one that is captured, a capture of the default stream, loading or
waiting during a capture, reading an event that a graph does not record.
"""

from __future__ import annotations

import inspect
import threading
import time
import weakref
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from types import SimpleNamespace
from typing import Any
from unittest import mock

import torch
from torch.overrides import TorchFunctionMode

from ssmgen import targets
from ssmgen.targets import triton_kernel, triton_source

__all__ = ["StandIn", "stand_in"]

_FLUSH = 64 << 20  # bytes; a fill as large empties a cache, and is not worth its time here
_NAMES = ("is_available", "device_count", "current_device", "set_device", "device", "get_device_properties")
_NAMES += ("synchronize", "current_stream", "Stream", "stream", "Event", "CUDAGraph", "graph")
_NAMES += ("memory_allocated", "max_memory_allocated", "reset_peak_memory_stats")
_REAL = {name: getattr(torch.cuda, name) for name in _NAMES}


class StandIn:
    """Some GPUs of one kind, and a log of what they were asked to do.

    Attributes:
        log: `("launch", function, device, stream)`, `("flush", device, stream)`, `("record", event)`, ...
        current: The current device of this thread.
        gpus: What each device is to Triton; an error where its driver is not to start.
        kernel_seconds: How long every launch is to take; None for as long as it takes the interpreter.
        launches: The grid and the arguments of each launch.
        captures: Whether captures succeed.
        held: Bytes of the tensors that were asked for on a device and live.
    """

    def __init__(self, kind: str, devices: int) -> None:
        from triton.backends.compiler import GPUTarget

        self.log: list[tuple[Any, ...]] = []
        self._current = threading.local()
        self.gpus: Any = [
            GPUTarget("hip", "gfx942", 64) if kind == "hip" else GPUTarget("cuda", 90, 32)
        ] * devices
        self.kernel_seconds: float | None = None
        self.captures = True
        self.captured: list[Callable[[], None]] | None = None
        self.launches: list[tuple[tuple[int, int, int], tuple[Any, ...]]] = []
        self.held = self.most_held = 0
        self._busy = 0.0
        self._streams = [self._stream(device, 0) for device in range(devices)]
        self._made = 0

    @property
    def current(self) -> int:
        return getattr(self._current, "device", 0)

    @current.setter
    def current(self, device: int) -> None:
        self._current.device = device

    def asked(self, what: str) -> list[tuple[Any, ...]]:
        """What the log holds of one kind, without its name."""
        return [entry[1:] for entry in self.log if entry[0] == what]

    # What `torch.cuda` offers, by its names.

    def is_available(self) -> bool:
        return True

    def device_count(self) -> int:
        return len(self.gpus)

    def current_device(self) -> int:
        return self.current

    def set_device(self, device: int) -> None:
        self.current = device

    @contextmanager
    def device(self, device: int) -> Iterator[None]:
        before, self.current = self.current, device
        try:
            yield
        finally:
            self.current = before

    def get_device_properties(self, device: torch.device | None = None) -> Any:
        kind = getattr(torch._C, "_CudaDeviceProperties", None)  # no PyTorch without CUDA has it
        found = SimpleNamespace() if kind is None else mock.create_autospec(kind, instance=True)
        found.name, found.major, found.minor, found.warp_size = "Stand-in", 9, 0, self.gpus[0].warp_size
        found.shared_memory_per_block_optin, found.shared_memory_per_block = 232448, 49152
        found.L2_cache_size, found.gcnArchName = 50 << 20, "gfx942:sramecc+"
        return found

    def memory_allocated(self) -> int:
        return self.held

    def max_memory_allocated(self) -> int:
        return self.most_held

    def reset_peak_memory_stats(self) -> None:
        self.most_held = self.held

    def hold(self, x: torch.Tensor) -> None:
        """Count a tensor's bytes while it lives."""
        self.held += x.nbytes
        self.most_held = max(self.held, self.most_held)
        weakref.finalize(x, self._release, x.nbytes)

    def _release(self, size: int) -> None:
        self.held -= size

    def synchronize(self) -> None:
        self._refuse_in_capture("waiting")
        self.log.append(("synchronize", self.current))

    def current_stream(self) -> Any:
        return self._streams[self.current]

    def Stream(self) -> Any:
        self._made += 1
        return self._stream(self.current, self._made)

    @contextmanager
    def stream(self, stream: Any) -> Iterator[None]:
        with self.device(stream.device):
            before, self._streams[stream.device] = self._streams[stream.device], stream
            try:
                yield
            finally:
                self._streams[stream.device] = before

    def Event(self, enable_timing: bool, external: bool) -> Any:
        event = mock.create_autospec(_REAL["Event"], instance=True)
        event.time, event.external = None, external

        def record() -> None:
            if self.captured is not None and (not external or torch.version.hip):
                return  # in a graph it orders streams, and no replay records it; on ROCm, none at all

            def now() -> None:
                event.time = time.perf_counter() if self.kernel_seconds is None else self._busy
                self.log.append(("record", external))

            self.do(now)

        def elapsed_time(end: Any) -> float:
            if not enable_timing or event.time is None or end.time is None:
                raise RuntimeError("both events must be recorded with their times")
            return 1e3 * (end.time - event.time)

        event.record.side_effect, event.elapsed_time.side_effect = record, elapsed_time
        return event

    def CUDAGraph(self) -> Any:
        graph = mock.create_autospec(_REAL["CUDAGraph"], instance=True)

        def replay() -> None:
            self.log.append(("replay", self.current_stream().cuda_stream))
            for action in graph.actions:
                action()

        graph.replay.side_effect = replay
        return graph

    @contextmanager
    def graph(self, graph: Any, stream: Any) -> Iterator[None]:
        if stream.cuda_stream == 0:
            raise RuntimeError("the default stream cannot be captured")
        self.captured = []
        try:
            with self.stream(stream):
                yield
            if not self.captures:
                raise RuntimeError("operation failed due to a previous error during capture")
            graph.actions = self.captured
        finally:
            self.captured = None

    def _stream(self, device: int, number: int) -> Any:
        found = mock.create_autospec(_REAL["Stream"], instance=True)
        found.device, found.cuda_stream = device, number
        found.wait_stream.side_effect = lambda other: self.log.append(("wait", number, other.cuda_stream))
        return found

    def do(self, action: Callable[[], None]) -> None:
        """Do something in the current stream: now, or in every replay."""
        if self.captured is None:
            action()
        else:
            self.captured.append(action)

    def _refuse_in_capture(self, what: str) -> None:
        if self.captured is not None:
            raise RuntimeError(f"{what} is not permitted while a stream is captured")

    # What Triton's driver offers, by its names.

    @property
    def utils(self) -> Any:
        return SimpleNamespace(
            get_device_properties=lambda device: {"max_shared_mem": 232448},
            load_binary=self.load_binary,
            unload_module=lambda module: None,
        )

    def get_current_target(self) -> Any:
        if isinstance(self.gpus, RuntimeError):
            raise self.gpus
        return self.gpus[self.current]

    def get_current_device(self) -> int:
        return self.current

    def get_current_stream(self, device: int) -> int:
        return int(self._streams[device].cuda_stream)

    def load_binary(self, name: str, kernel: bytes, shared: int, device: int) -> tuple[Any, ...]:
        self._refuse_in_capture("loading")
        self.log.append(("load", name, device))
        return "module", (name, device), 32, 0, 1024

    def launcher_cls(self, source: Any, metadata: Any) -> Any:
        module = triton_source._interpreted_module(Path(source.fn.fn.__code__.co_filename))
        interpreted = getattr(module, source.fn.fn.__name__)

        def launch(
            x: int,
            y: int,
            z: int,
            stream: int,
            function: Any,
            packed: Any,
            facts: Any,
            enter: Any,
            leave: Any,
            *args: Any,
        ) -> None:
            name, device = function
            where = {_place(given) for given in args if isinstance(given, torch.Tensor)}
            if not {device} == where == {self.current}:
                raise RuntimeError(f"{name} of device {device} with tensors on {where}, on {self.current}")
            if self.captured is not None and stream != self.current_stream().cuda_stream:
                raise RuntimeError(f"{name} in stream {stream} while another is captured")

            def run() -> None:
                self._busy += self.kernel_seconds or 0.0
                self.launches.append(((x, y, z), args))
                self.log.append(("launch", name, device, stream))
                with torch._C.DisableTorchFunction():
                    # The interpreter knows no complex numbers: kernels see them as interleaved pairs.
                    interpreted[x, y, z](*(torch.view_as_real(a) if _is_complex(a) else a for a in args))

            self.do(run)

        return launch


def _is_complex(x: object) -> bool:
    return isinstance(x, torch.Tensor) and x.is_complex()


def _place(x: torch.Tensor) -> int | None:
    """The device that a tensor is taken to lie on; None for the CPU."""
    return getattr(x, "_stand_in", None)


class _Placed(TorchFunctionMode):
    """Tensors that are asked for on a GPU lie on the CPU, and say that they lie on the GPU."""

    def __init__(self, owner: StandIn) -> None:
        super().__init__()
        self._owner = owner

    def __torch_function__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        owner, kwargs = self._owner, dict(kwargs or {})
        if func == torch.Tensor.get_device:
            return -1 if _place(args[0]) is None else _place(args[0])
        if func == torch.Tensor.is_cpu.__get__:
            return _place(args[0]) is None
        if func == torch.Tensor.device.__get__:
            place = _place(args[0])
            return torch.device("cpu") if place is None else torch.device("cuda", place)
        places = [_place(x) for x in _flat(args) if isinstance(x, torch.Tensor)]
        place = next((found for found in places if found is not None), None)
        if kwargs.get("device") is not None:
            device = torch.device(kwargs["device"])
            place = None
            if device.type == "cuda":
                place = owner.current if device.index is None else device.index
                kwargs["device"] = "cpu"
        elif func == torch.Tensor.cpu:
            place = None
        if place is None:
            return func(*args, **kwargs)
        name = getattr(func, "__name__", "")
        if name == "zero_" and args[0].nbytes >= _FLUSH:
            stream = owner.current_stream().cuda_stream
            owner.do(lambda: owner.log.append(("flush", place, stream)))
            return args[0]
        if owner.captured is not None and name.endswith("_") and not name.endswith("__"):
            owner.do(lambda: func(*args, **kwargs))
            return args[0]
        result = func(*args, **kwargs)
        for x in _flat((result,)):
            if isinstance(x, torch.Tensor):
                if "device" in kwargs:
                    owner.hold(x)
                x._stand_in = place  # type: ignore[attr-defined]
                if owner.captured is not None:
                    owner.do(lambda x=x: x.copy_(func(*args, **kwargs)))
        return result


def _flat(values: Any) -> Iterator[Any]:
    for value in values:
        if isinstance(value, (tuple, list)):
            yield from _flat(value)
        else:
            yield value


def _checked(real: Callable[..., Any], fake: Callable[..., Any]) -> Callable[..., Any]:
    """The fake, which takes what the real one takes."""
    signature = inspect.signature(real)

    def call(*args: Any, **kwargs: Any) -> Any:
        signature.bind(*args, **kwargs)
        return fake(*args, **kwargs)

    return call


@contextmanager
def stand_in(kind: str = "cuda", devices: int = 1) -> Iterator[StandIn]:
    """Within it this machine has GPUs; kernels for `hip` hold no assembly, which the interpreter could not run."""
    from triton.compiler import compiler
    from triton.runtime import driver

    fake = StandIn(kind, devices)
    with ExitStack() as stack:
        for name, real in _REAL.items():
            stack.enter_context(mock.patch.object(torch.cuda, name, _checked(real, getattr(fake, name))))
        stack.enter_context(mock.patch.object(torch.version, "hip", "6.4" if kind == "hip" else None))
        stack.enter_context(mock.patch.object(driver, "_active", fake))
        stack.enter_context(mock.patch.object(triton_kernel, "_COMPILED", {}))
        compiler.max_shared_mem.cache_clear()
        targets.target.cache_clear()
        try:
            with _Placed(fake):
                yield fake
        finally:
            # Nothing was loaded that Triton would have to unload, once the stand-in is gone.
            for compiled in triton_kernel._COMPILED.values():
                compiled.module = None
            targets.target.cache_clear()
            compiler.max_shared_mem.cache_clear()
