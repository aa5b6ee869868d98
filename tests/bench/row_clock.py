"""Calls of a few microseconds, timed by turns: on a GPU many of them recorded into a CUDA graph, which is replayed.

Between two events lie as many calls as make their resolution small. Each waits for the one before, as in a network;
nothing of the host's time is in it. What is larger than WARM_BYTES is met in memory: the calls go round over sets of
tensors that are together larger than the second-level cache, outputs too. What is smaller stays in that cache, where
the kernel before it has left it in a network.
"""

import collections
import math
import time

import torch

WARM_BYTES = 16 << 20  # one call's, a third of the second-level cache of an H200
COLD_BYTES = 256 << 20  # of the sets together
SAMPLE_BYTES = 1 << 30  # of the calls between two events: a quarter of a millisecond
MOST_CALLS = 256
HOST_CALLS = 8  # where there is no GPU
HELD_CYCLES = 200_000  # before a sample, in which the host queues all of it


def sets_for(call_bytes):
    """How many sets of tensors the calls go round over."""
    return 1 if call_bytes <= WARM_BYTES else math.ceil(COLD_BYTES / call_bytes)


def calls_for(call_bytes, sets):
    """How many calls lie between two events: a multiple of `sets`."""
    wanted = min(MOST_CALLS, math.ceil(SAMPLE_BYTES / call_bytes))
    return sets * math.ceil(wanted / sets)


class Recorded:
    """`calls` calls of `function`, going round over `sets` of arguments, as one CUDA graph."""

    def __init__(self, function, sets, calls):
        self.calls = calls
        self._kept = collections.deque(maxlen=len(sets))  # outputs: while they are kept they share no memory
        beside = torch.cuda.Stream()
        beside.wait_stream(torch.cuda.current_stream())
        with torch.cuda.stream(beside):
            for i in range(3):
                function(*sets[i % len(sets)])
        torch.cuda.synchronize()
        self._graph = torch.cuda.CUDAGraph()
        with torch.cuda.graph(self._graph):
            for i in range(calls):
                self._kept.append(function(*sets[i % len(sets)]))

    def __call__(self):
        self._graph.replay()


class Called:
    """The same, called one by one: where there is no GPU, and for what records its own graphs."""

    def __init__(self, function, sets, calls):
        self.calls = calls if torch.cuda.is_available() else min(calls, HOST_CALLS)
        self._function, self._sets = function, sets
        self._kept = collections.deque(maxlen=len(sets))
        for i in range(3):
            function(*sets[i % len(sets)])

    def __call__(self):
        for i in range(self.calls):
            self._kept.append(self._function(*self._sets[i % len(self._sets)]))


def _sample_on_gpu(contenders, order):
    """{name: milliseconds}; all is queued before the first begins."""
    events = {}
    for name in order:
        begin, end = torch.cuda.Event(enable_timing=True), torch.cuda.Event(enable_timing=True)
        torch.cuda._sleep(HELD_CYCLES)
        begin.record()
        contenders[name]()
        end.record()
        events[name] = (begin, end)
        torch.cuda.synchronize()
    return {name: begin.elapsed_time(end) for name, (begin, end) in events.items()}


def _sample_on_host(contenders, order):
    out = {}
    for name in order:
        begin = time.perf_counter()
        contenders[name]()
        out[name] = 1e3 * (time.perf_counter() - begin)
    return out


def interleaved(contenders, device, rounds):
    """{name: sorted milliseconds of one call}; each round has every contender once, in rotating order."""
    sample = _sample_on_gpu if torch.device(device).type == "cuda" else _sample_on_host
    names = list(contenders)
    times = {name: [] for name in names}
    for turn in range(-2, rounds):  # the first two warm up
        order = [names[(i + turn) % len(names)] for i in range(len(names))]
        for name, took in sample(contenders, order).items():
            if turn >= 0:
                times[name].append(took / contenders[name].calls)
    return {name: sorted(of) for name, of in times.items()}
