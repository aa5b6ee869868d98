"""The kernels of the problems to come, built while the present one is measured.

A process of its own, with a daemon that needs no GPU, exports each problem on the CPU and builds what its job
will begin with (kctl tune --build-only); the run takes the bundle in before that job. It uses neither the GPU nor the
cores that are left to the run. A problem whose bundle is not there in time is built by its job, as ever: nothing waits.

    python3 ahead.py FOLDER < {"problems", "jobs", "policy", "gpu_libraries", "exports"}

"problems" are keys, "exports" is a module of Python, the folder that it stands in, and the arguments of its
exports(**arguments): {key: write}, where write(folder) gives the ONNX file that it wrote there, the extents of the
dimensions that the file leaves open, and in a word how it was made.

In FOLDER: node.json, the description of the GPU's node, which the run writes; next, the number of problems that it has
begun; and what this writes, a problem's bundle (1_23.objects for 1/23) and key.pem. Before it builds, it leaves the
file that it exported, and what that has beside it, in a folder of the problem's (1_23): the run need not export it
again.
"""

import importlib
import json
import os
import pathlib
import shutil
import subprocess
import sys
import time

HERE = pathlib.Path(__file__).resolve().parent
CORES_LEFT = 4  # to the run: its job's workers, and the process that launches


def _written(path, content):
    """Whole or not there: the other process may look at any time."""
    beside = path.with_suffix(".part")
    beside.write_bytes(content)
    beside.rename(path)


def _bundle(folder, key):
    return folder / f"{key.replace('/', '_')}.objects"


def _exported(folder, key):
    return folder / key.replace("/", "_")


def _claimed(place, suffix):
    """`place` under a name that the other process does not look for; None when it is not there, or that has it."""
    try:
        return place.rename(place.with_suffix(suffix))
    except FileNotFoundError:
        return None


class Ahead:
    """The run's side. `problems`: in the order in which they are run, each with its `key`; `jobs`: how many may be
    built ahead; `exports`: (module, folder, arguments) of who writes their files."""

    def __init__(self, folder, options, problems, jobs, exports):
        self.folder, self.problems = pathlib.Path(folder), problems
        self.folder.mkdir()
        self._begun = 0
        self._described = False
        _written(self.folder / "next", b"0")
        module, where, arguments = exports
        asked = {"problems": [p.key for p in problems], "jobs": jobs, "policy": options.policy,
                 "gpu_libraries": options.gpu_libraries, "exports": [module, str(where), arguments]}
        environment = dict(os.environ, CUDA_VISIBLE_DEVICES="")
        with open(self.folder / "log", "wb") as log:
            self._process = subprocess.Popen([sys.executable, __file__, self.folder], stdin=subprocess.PIPE,
                                             stdout=log, stderr=log, env=environment)
        self._process.stdin.write(json.dumps(asked).encode())
        self._process.stdin.close()

    def begin(self, problem):
        """From here on the other side begins nothing for `problem`, nor for those before it."""
        self._begun = self.problems.index(problem) + 1
        _written(self.folder / "next", str(self._begun).encode())

    def exported(self, problem, folder):
        """Of `problem`, which has begun: (file, dimensions, how) of its export, moved to `folder` with what the file
        has beside it; None when there is none."""
        place = _claimed(_exported(self.folder, problem.key), ".taken")
        if not place:
            return None
        told = json.loads((place / "export.json").read_text())
        (place / "export.json").unlink()
        for part in place.iterdir():
            part.rename(folder / part.name)
        place.rmdir()
        return folder / told["file"], told["dimensions"], told["how"]

    def take(self, node, problem):
        """Before `problem` is tuned by `node`: {"objects", "added", "seconds"} of its bundle, {} when there is none."""
        self.begin(problem)
        _dropped(_exported(self.folder, problem.key))  # of who did not ask for it
        bundle = _bundle(self.folder, problem.key)
        if not bundle.exists():
            return {}
        begin = time.monotonic()
        key = (self.folder / "key.pem").read_text()
        told = node.post("/v1/objects", {"bundle": node.upload(bundle), "keys": [key]})
        bundle.unlink()
        return {"objects": told["objects"], "added": told["added"], "same_compiler": told["same_compiler"],
                "seconds": round(time.monotonic() - begin, 2)}

    def describe(self, node):
        """After a job: what it found of the node is what is built for."""
        if self._described:
            return
        facts = node.get("/v1/node")
        if facts.get("gpu"):
            _written(self.folder / "node.json", json.dumps(facts).encode())
            self._described = True

    def close(self):
        self._process.terminate()
        try:
            self._process.wait(timeout=30)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()


def idle_seconds(record):
    """Of one problem, when the GPU had nothing to do for it: all but the job's probes, checks and measurements and the
    run's own comparison and timing, by the host's clock."""
    seconds, facts = record.get("seconds", {}), record.get("facts", {})
    busy = sum(facts.get(kind, 0) for kind in ("node", "check", "measure"))
    busy += seconds.get("compare", 0) + seconds.get("time", 0)
    return round(max(0, sum(seconds.values()) - busy), 2)


def _begun(folder):
    return int((folder / "next").read_text())


def _dropped(place):
    late = _claimed(place, ".late")
    if late:
        shutil.rmtree(late)


def _build(node, key, write, description, asked, folder):
    from export import external_data, workload_name
    place = _exported(folder, key)
    beside = place.with_suffix(".part")
    shutil.rmtree(beside, ignore_errors=True)  # of a run that was stopped
    beside.mkdir()
    file, dimensions, how = write(beside)
    external = {location: node.upload(beside / location) for location in external_data(file)}
    model = node.upload(file)
    (beside / "export.json").write_text(json.dumps({"file": file.name, "dimensions": dimensions, "how": how}))
    beside.rename(place)
    if asked["problems"].index(key) < _begun(folder):  # too late, perhaps: who has begun looks for it once
        _dropped(place)
    workload = node.post("/v1/workloads", {"name": workload_name(model, external, dimensions), "model": model,
                                           "file_name": file.name, "external": external, "dimensions": dimensions})
    body = {"workload": workload["id"],
            "build_only": {"architecture": description["gpu"]["architecture"], "node": description}}
    if asked["policy"]:
        body["policy_text"] = pathlib.Path(asked["policy"]).read_text()
    job = node.wait(node.post("/v1/jobs", body)["id"])
    if job["state"] != "done":
        raise RuntimeError(job["error"])
    _written(_bundle(folder, key),
             node.request("GET", f"/v1/jobs/{job['id']}/artifacts/bundle.objects"))
    return job["result"]["ahead"]


def main(folder):
    asked = json.loads(sys.stdin.read())
    cores = sorted(os.sched_getaffinity(0))
    os.sched_setaffinity(0, cores[CORES_LEFT:] or cores)  # its daemon's workers too
    os.nice(10)
    module, where, arguments = asked["exports"]
    for path in (where, HERE, HERE.parent / "e2e"):
        sys.path.insert(0, str(path))
    import node as private
    exports = importlib.import_module(module).exports(**arguments)
    node = private.Node()
    try:
        config = node.folder / "kilnd.toml"
        if asked["gpu_libraries"]:
            config.write_text(f'[paths]\ngpu_libraries = "{asked["gpu_libraries"]}"\n')
            node.arguments = ["--config", config]
        node.start()
        _written(folder / "key.pem", node.get("/v1/key")["pem"].encode())
        while not (folder / "node.json").exists():
            time.sleep(0.1)
        description = json.loads((folder / "node.json").read_text())
        for index, key in enumerate(asked["problems"]):
            while index >= _begun(folder) + asked["jobs"]:
                time.sleep(0.1)
            if index < _begun(folder):
                continue  # it has begun without
            begin = time.monotonic()
            try:
                said = _build(node, key, exports[key], description, asked, folder)
            except Exception as error:  # its job will say what is wrong with it, if anything is
                said = f"{type(error).__name__}: {str(error)[:300]}"
            print(f"{key} in {time.monotonic() - begin:.1f} s: {said}", flush=True)
    finally:
        node.close()


if __name__ == "__main__":
    import signal
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))  # so that the daemon is ended too
    main(pathlib.Path(sys.argv[1]))
