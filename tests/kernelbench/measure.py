"""Right and fast, by the benchmark's own rules: its two tolerances, and its way of timing, the contenders in turns."""

import time

import torch

FLUSH_BYTES = 256 << 20  # written before every trial, as KernelBench does to empty the second-level cache
TOLERANCES = {"1e-4": 1e-4, "1e-2": 1e-2}  # of the benchmark now, and of its versions up to v0.1


def tensors_of(result):
    return list(result) if isinstance(result, (tuple, list)) else [result]


def verdicts(run, reference, make_inputs, trials):
    """{tolerance: True when every output of every trial is allclose to the reference's}, and the largest difference."""
    close = {name: True for name in TOLERANCES}
    worst = 0.0
    for trial in range(trials):
        inputs = make_inputs(1000 + trial)
        with torch.no_grad():
            torch.manual_seed(trial)  # what either draws, the other draws too
            got = tensors_of(run(inputs))
            torch.manual_seed(trial)
            want = tensors_of(reference(*inputs))
        for a, b in zip(got, want, strict=True):
            if a.shape != b.shape and a.numel() == b.numel():
                a = a.reshape(b.shape)
            if a.shape != b.shape:
                return {name: False for name in TOLERANCES}, float("inf")
            for name, tolerance in TOLERANCES.items():
                close[name] = close[name] and torch.allclose(a.to(b.dtype), b, rtol=tolerance, atol=tolerance)
            worst = max(worst, (a - b).abs().max().item())
        del got, want, inputs
    return close, worst


class _Clock:
    """Milliseconds of one call: by CUDA events, or by the host's clock where there is no GPU."""

    def __init__(self, device):
        self.cuda = torch.device(device).type == "cuda"
        self.flush = torch.empty(FLUSH_BYTES, dtype=torch.int8, device=device)

    def time(self, call):
        self.flush.fill_(1)
        if not self.cuda:
            begin = time.perf_counter()
            call()
            return 1e3 * (time.perf_counter() - begin)
        begin, end = torch.cuda.Event(enable_timing=True), torch.cuda.Event(enable_timing=True)
        torch.cuda.synchronize()
        begin.record()
        call()
        end.record()
        torch.cuda.synchronize()
        return begin.elapsed_time(end)


def interleaved(contenders, device, trials, warmups=3):
    """{name: sorted milliseconds}; each round runs every contender once, in rotating order."""
    clock = _Clock(device)
    names = list(contenders)
    with torch.no_grad():
        for name in names:
            for _ in range(warmups):
                contenders[name]()
        times = {name: [] for name in names}
        for trial in range(trials):
            for i in range(len(names)):
                name = names[(i + trial) % len(names)]
                times[name].append(clock.time(contenders[name]))
    return {name: sorted(of) for name, of in times.items()}


def bytes_once(inputs, model, outputs):
    """Every input, parameter and output once: what no kernel can move less of."""
    tensors = [x for x in inputs if isinstance(x, torch.Tensor)] + list(model.parameters()) + outputs
    return sum(t.numel() * t.element_size() for t in tensors)
