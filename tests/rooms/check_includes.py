#!/usr/bin/env python3
"""Holds the table of docs/architecture.md: which room may include which, who may name SQLite, sockets and devices.

Usage: check_includes.py [ROOT]. Prints one line per violation, "file:line: cannot ...", and exits 1 if there is any.
"""
import os
import re
import sys

# room -> what it may include beside itself. An entry is a folder, or one header. The longest room that is a prefix of
# a file's path is the file's room.
ROOMS = {
    "runtime/base": [],
    "runtime": ["runtime/base"],
    "policies": ["runtime/base"],
    "store": ["runtime/base"],
    "agents/graph": ["runtime/base"],
    "agents": ["store/corpus", "policies", "agents/graph", "runtime/base"],
    "daemon/targets": ["runtime"],
    "daemon/worker": ["daemon/targets", "runtime", "agents/graph", "agents/artifacts", "agents/workbench.h"],
    "daemon/control": ["agents", "store", "policies", "runtime/base"],
    "daemon/kilnd": ["daemon", "agents", "store", "policies", "runtime"],
    "daemon/kctl": ["daemon/control", "store/signing", "policies", "runtime/base"],
    "tests": [""],
}

# (pattern of a system header, rooms that may name it, what it is)
SYSTEM = [
    (re.compile(r"^sqlite3"), ["store"], "SQLite"),
    (re.compile(r"^(sys/socket|sys/un|netinet/|arpa/|netdb|boost/asio|boost/beast)"), ["daemon"], "a socket"),
    (re.compile(r"^(cuda|nvrtc|nvml|cupti|cublas|cudnn|hip/|rocm|rocblas)"), ["daemon/targets", "runtime"],
     "a device header"),
    (re.compile(r"^(onnx/)"), ["agents/graph/onnx"], "ONNX"),
]

SOURCE = (".h", ".hpp", ".c", ".cpp", ".cu", ".hip", ".py", ".sql")
LINE_LIMIT = 800
SKIPPED = {".git", "build", "install", ".cache", "__pycache__"}
INCLUDE = re.compile(r'^\s*#\s*include\s*([<"])([^>"]+)[>"]')
TOP = {room.split("/")[0] for room in ROOMS}


def below(path, folder):
    return folder == "" or path == folder or path.startswith(folder + "/")


def room_of(path):
    rooms = [room for room in ROOMS if below(path, room)]
    return max(rooms, key=len) if rooms else None


def include_fault(path, quote, name):
    """Why `path` may not include `name`, or None."""
    room = room_of(path)
    if room == "tests":
        return None
    if quote == "<":
        for pattern, rooms, what in SYSTEM:
            if pattern.match(name) and not any(below(path, r) for r in rooms):
                return f"cannot include <{name}> from room '{room}': {what} is named only in {', '.join(rooms)}"
        return None
    if name.split("/")[0] not in TOP:
        return f"cannot include \"{name}\": an include is written by its path from the project's root"
    target = room_of(name)
    if name == "runtime/kernel_abi.h" and below(path, "agents/writer"):
        return None  # in the text of the kernels that the writer renders
    if target == room or any(below(name, allowed) for allowed in ROOMS[room]):
        return None
    return f"cannot include \"{name}\" from room '{room}': room '{target}' is not among what it may include"


def check_file(path, text):
    """Violations of one file, `path` relative to the root."""
    faults = []
    lines = text.splitlines()
    if len(lines) > LINE_LIMIT:
        faults.append(f"{path}:{LINE_LIMIT + 1}: cannot hold {len(lines)} lines: {LINE_LIMIT} is the end; "
                      "split the file")
    room = room_of(path)
    if room is None or path.startswith("store/corpus/templates/") or not path.endswith((".h", ".hpp", ".c", ".cpp",
                                                                                        ".cu", ".hip")):
        return faults
    for number, line in enumerate(lines, 1):
        match = INCLUDE.match(line)
        fault = match and include_fault(path, match.group(1), match.group(2))
        if fault:
            faults.append(f"{path}:{number}: {fault}")
    return faults


def check_docs(text):
    """Rooms that docs/architecture.md does not name."""
    named = set(re.findall(r"`([a-z/]+?)/?`", text))
    return [f"docs/architecture.md:1: cannot find room '{room}' in the table of rooms" for room in ROOMS
            if room not in named and room + "/" not in text]


def sources(root):
    for folder, folders, files in os.walk(root):
        folders[:] = sorted(f for f in folders if f not in SKIPPED)
        for name in sorted(files):
            if name.endswith(SOURCE):
                yield os.path.relpath(os.path.join(folder, name), root)


def check_tree(root):
    faults = []
    for path in sources(root):
        with open(os.path.join(root, path), encoding="utf-8", errors="replace") as file:
            faults += check_file(path, file.read())
    with open(os.path.join(root, "docs/architecture.md"), encoding="utf-8") as file:
        faults += check_docs(file.read())
    return faults


def main(arguments):
    root = arguments[0] if arguments else os.path.join(os.path.dirname(os.path.abspath(__file__)), "../..")
    faults = check_tree(root)
    print("\n".join(faults) if faults else "every include follows the table of docs/architecture.md")
    return 1 if faults else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
