"""Builds the deployable artifact: `regulars.zip`, and beside it the same files unpacked in `regulars/`.

    python tools/build.py --uv .local/uv/bin/uv --runtime python3.13 --arch arm64 --out build

The four rooms (without what only starts the program on a developer's machine), the packages of locks/lambda.txt for the
runtime and processor of the function, and bytecode from the runtime's own minor version: it halves the CPU of a cold
start, and /var/task is read-only, so Lambda could never keep any that it compiled itself. Sources stay in: a traceback
shows them.

Two builds of the same sources are the same bytes, so a deployment without changes changes nothing. Not part of the
program, and run before there is an environment for it: only the standard library.
"""

import argparse
import json
import os
import platform
import re
import shutil
import struct
import subprocess
import sys
import tempfile
import zipfile
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent

# The runtimes that template.yaml offers, with the minor version of their glibc 2: Amazon Linux 2 under the first, 2023
# under the others.
RUNTIMES = {"python3.11": 26, "python3.12": 34, "python3.13": 34, "python3.14": 34}
# Of the systems uv can choose wheels for, the newest that the later runtimes have; `fits` is strict with the first.
SYSTEM = "manylinux_2_28"
# Lambda's name of a processor: the name in wheels, and the number in the header of its binaries (ELF e_machine).
MACHINES = {"arm64": ("aarch64", 183), "x86_64": ("x86_64", 62)}

ROOMS = ("domain", "storage", "schema", "handlers")
# What starts the program elsewhere than in Lambda. A test imports all the rest without the packages that these need.
NEVER_DEPLOYED = (
    "handlers/asking.py",
    "handlers/cli.py",
    "handlers/client.py",
    "handlers/clock.py",
    "handlers/dlq.py",
    "handlers/events*",
    "handlers/failures.py",
    "handlers/ledger*",
    "handlers/local*",
    "handlers/program*",
    "handlers/replay*",
    "handlers/seed*",
    "handlers/uploading.py",
    "handlers/watching.py",
    "domain/verification*",
    "storage/audit*",
    "storage/memory*",
)

# Of botocore's descriptions of some 440 AWS services (25 MB), those of which `src` makes a client.
BOTOCORE_SERVICES = ("dynamodb", "events", "s3", "sqs")
# A page for browsing REST APIs, type stubs, commands, and the bookkeeping of the installation. The METADATA and the
# licenses of each package stay.
NEVER_USED = (
    "bin",
    "aws_lambda_powertools/event_handler/openapi/swagger_ui/*.css",
    "aws_lambda_powertools/event_handler/openapi/swagger_ui/*.js",
    "**/*.pyi",
    "**/py.typed",
    ".lock",
    "*.dist-info/INSTALLER",
    "*.dist-info/RECORD",
    "*.dist-info/REQUESTED",
    "*.dist-info/WHEEL",
    "*.dist-info/entry_points.txt",
    "*.dist-info/top_level.txt",
)

# Limits of AWS Lambda for a zip that is uploaded directly, and for its contents.
ZIPPED_BYTES_MAX = 50 * 1024**2
UNZIPPED_BYTES_MAX = 250 * 1024**2
# Where Lambda unpacks it; tracebacks name files there.
TASK_ROOT = "/var/task"


def build(*, runtime: str, arch: str, out: Path, uv: str) -> Path:
    """Writes `regulars.zip` and `regulars/` in `out`, all or nothing, and returns the path of the zip.

    Exits with a sentence for the reader when the interpreter of the runtime is missing, when a package does not fit
    the runtime or the processor, and when the artifact is too big for Lambda.
    """
    interpreter = find_interpreter(runtime, uv)
    out.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=".building-", dir=out) as building:
        unpacked, zipped = Path(building, "regulars"), Path(building, "regulars.zip")
        install_packages(unpacked, interpreter, runtime=runtime, arch=arch, uv=uv)
        if misfits := [*foreign_wheels(unpacked, runtime, arch), *foreign_binaries(unpacked, runtime, arch)]:
            sys.exit("\n".join([f"These do not run on {runtime} for {arch}:", *misfits]))
        strip(unpacked)
        copy_rooms(unpacked)
        compile_bytecode(unpacked, interpreter)
        write_zip(unpacked, zipped)
        print(summary(unpacked, zipped, f"{out / zipped.name} for {runtime} on {arch}"))
        if (out / unpacked.name).exists():
            (out / unpacked.name).rename(Path(building, "replaced"))
        unpacked.rename(out / unpacked.name)
        zipped.replace(out / zipped.name)
    return out / "regulars.zip"


# --- the interpreter --------------------------------------------------------------------------------------------------


def find_interpreter(runtime: str, uv: str) -> Path:
    """An interpreter of the runtime's minor version. Bytecode of another version is ignored by Lambda, in silence."""
    for candidate in interpreters(runtime, uv):
        if runtime_of(candidate) == runtime:
            return candidate
    version = runtime.removeprefix("python")
    here = [name for name in RUNTIMES if name in map(runtime_of, interpreters(name, uv))]
    sys.exit(
        f"No Python {version} on this machine, and the bytecode for the runtime {runtime} has to be compiled by it.\n"
        f"Install it (for example: {uv} python install {version}), or build for another runtime and deploy with that\n"
        f"as the parameter Runtime. Possible here: {', '.join(f'make build RUNTIME={name}' for name in here) or 'none'}."
    )


def interpreters(runtime: str, uv: str) -> Iterator[Path]:
    """Where an interpreter of that version may be: this one, on the PATH, kept by pyenv, kept by uv."""
    yield Path(sys.executable)
    for directory in os.get_exec_path():
        if (candidate := Path(directory, runtime)).exists():
            yield candidate
    # pyenv's commands on the PATH refuse to start a version that is installed but not switched on.
    pyenv = Path(os.environ.get("PYENV_ROOT", "~/.pyenv")).expanduser()
    yield from sorted(pyenv.glob(f"versions/*/bin/{runtime}"), reverse=True)
    command = [uv, "python", "find", "--managed-python", "--no-python-downloads", runtime.removeprefix("python")]
    kept = subprocess.run(command, capture_output=True, text=True, check=False)
    if kept.returncode == 0:
        yield Path(kept.stdout.strip())


def runtime_of(interpreter: Path) -> str | None:
    """The runtime whose bytecode this interpreter makes; None when it does not even start."""
    # Of all implementations, only CPython's bytecode is Lambda's.
    script = "import sys; print(sys.implementation.name.replace('cpython', 'python') + '%d.%d' % sys.version_info[:2])"
    try:
        answer = subprocess.run([interpreter, "-ISc", script], capture_output=True, text=True, check=False)
    except OSError:
        return None
    return answer.stdout.strip() or None


# --- what goes in -----------------------------------------------------------------------------------------------------


def install_packages(target: Path, interpreter: Path, *, runtime: str, arch: str, uv: str) -> None:
    """Installs locks/lambda.txt, each file compared with its hash, as it would be on the function's machine."""
    machine, _ = MACHINES[arch]
    version = runtime.removeprefix("python")
    command = [uv, "pip", "install", "--quiet", "--require-hashes", "-r", str(ROOT / "locks" / "lambda.txt")]
    command += ["--target", str(target), "--python", str(interpreter)]
    command += ["--python-version", version, "--python-platform", f"{machine}-{SYSTEM}"]
    # A source package would be compiled for this machine.
    command += ["--only-binary", ":all:"]
    # Links into uv's cache would let a change here change other environments.
    command += ["--link-mode", "copy"]
    subprocess.run(command, check=True)


def copy_rooms(target: Path) -> None:
    """Copies the four rooms, without NEVER_DEPLOYED."""
    for room in ROOMS:
        shutil.copytree(ROOT / "src" / room, target / room, ignore=shutil.ignore_patterns("__pycache__", "*.pyc"))
    for pattern in NEVER_DEPLOYED:
        remove(target, pattern)


def strip(target: Path) -> None:
    """Removes what is in the packages and never used."""
    for pattern in NEVER_USED:
        remove(target, pattern)
    data = target / "botocore" / "data"
    for service in data.iterdir():
        if service.is_dir() and service.name not in BOTOCORE_SERVICES:
            shutil.rmtree(service)
    # Where every service is in every region: reading it all is 15 ms of CPU in each cold start.
    endpoints = json.loads((data / "endpoints.json").read_text())
    for partition in endpoints["partitions"]:
        services = partition["services"]
        partition["services"] = {name: services[name] for name in BOTOCORE_SERVICES if name in services}
    (data / "endpoints.json").write_text(json.dumps(endpoints))


def remove(target: Path, pattern: str) -> None:
    """Removes the files and folders that a glob pattern finds in `target`."""
    for path in list(target.glob(pattern)):
        if path.is_dir():
            shutil.rmtree(path)
        else:
            path.unlink()


# --- what must fit ----------------------------------------------------------------------------------------------------


def foreign_wheels(target: Path, runtime: str, arch: str) -> Iterator[str]:
    """Packages none of whose tags (PEP 425: python-abi-platform) is one of the runtime and processor."""
    for wheel in sorted(target.glob("*.dist-info/WHEEL")):
        tags = re.findall(r"^Tag: (\S+)", wheel.read_text(), re.MULTILINE)
        if not any(fits(tag, runtime, arch) for tag in tags):
            yield f"{wheel.parent.name.removesuffix('.dist-info')}: its wheel is for {', '.join(tags)}"


def fits(tag: str, runtime: str, arch: str) -> bool:
    """Whether wheels with this tag run there."""
    machine, _ = MACHINES[arch]
    version = runtime.removeprefix("python3.")
    python, abi, system = tag.split("-")
    if system == "any":
        return abi == "none" and python in ("py3", f"py3{version}")
    # A stable ABI serves every later version.
    right_python = int(python[3:]) <= int(version) if abi == "abi3" else python == f"cp3{version}"
    # manylinux2014 is an older name of manylinux_2_17. musllinux is not what Lambda runs on.
    manylinux = re.fullmatch(rf"manylinux_2_(\d+)_{machine}", system.replace("linux2014_", "linux_2_17_"))
    return right_python and manylinux is not None and int(manylinux[1]) <= RUNTIMES[runtime]


def foreign_binaries(target: Path, runtime: str, arch: str) -> Iterator[str]:
    """Compiled files for another processor or system, and extension modules for another version of Python."""
    _, number = MACHINES[arch]
    version = runtime.removeprefix("python").replace(".", "")
    for binary in sorted(path for path in target.rglob("*") if re.search(r"\.(so|dylib|dll|pyd)(\.|$)", path.name)):
        header = binary.read_bytes()[:20]
        if not header.startswith(b"\x7fELF"):
            yield f"{binary.relative_to(target)}: not a Linux binary"
        elif (machine := struct.unpack("<H", header[18:20])[0]) != number:
            yield f"{binary.relative_to(target)}: for another processor (ELF machine {machine}, not {number})"
        elif (made_for := re.search(r"\.cpython-(\d+)", binary.name)) and made_for[1] != version:
            yield f"{binary.relative_to(target)}: for another version of Python"


# --- what comes out ---------------------------------------------------------------------------------------------------


def compile_bytecode(target: Path, interpreter: Path) -> None:
    """Compiles everything, so that Python neither looks at a source nor at its date (PEP 552, unchecked hashes)."""
    command = [str(interpreter), "-sSP", "-m", "compileall", "-q", "--invalidation-mode", "unchecked-hash"]
    # One process and a fixed seed: the order of sets and of shared constants is part of the bytes.
    environment = {"PATH": os.environ["PATH"], "PYTHONHASHSEED": "0"}
    subprocess.run([*command, "-s", str(target), "-p", TASK_ROOT, str(target)], check=True, env=environment)


def write_zip(target: Path, zipped: Path) -> None:
    """The same files give the same bytes: in the order of their names, with one date and one mode."""
    with zipfile.ZipFile(zipped, "w", zipfile.ZIP_DEFLATED, compresslevel=9) as archive:
        for path in sorted(path for path in target.rglob("*") if path.is_file()):
            entry = zipfile.ZipInfo(path.relative_to(target).as_posix())
            entry.compress_type = zipfile.ZIP_DEFLATED
            entry.create_system = 3  # Unix, where the mode below has a meaning: Lambda's user must be able to read.
            entry.external_attr = 0o100644 << 16
            archive.writestr(entry, path.read_bytes())


def summary(target: Path, zipped: Path, title: str) -> str:
    """Sizes against the limits of Lambda, and where the bytes are. Exits when a limit is passed."""
    sizes = {path.relative_to(target): path.stat().st_size for path in target.rglob("*") if path.is_file()}
    unzipped_bytes, zipped_bytes = sum(sizes.values()), zipped.stat().st_size
    packages: Counter[str] = Counter()
    for path, size in sizes.items():
        packages[path.parts[0]] += size
    biggest = ", ".join(f"{name} {megabytes(size)}" for name, size in packages.most_common(6))
    text = (
        f"{title}: {megabytes(zipped_bytes)} of {megabytes(ZIPPED_BYTES_MAX)}, "
        f"unzipped {megabytes(unzipped_bytes)} of {megabytes(UNZIPPED_BYTES_MAX)} in {len(sizes):,} files\n"
        f"biggest: {biggest}"
    )
    if zipped_bytes > ZIPPED_BYTES_MAX or unzipped_bytes > UNZIPPED_BYTES_MAX:
        sys.exit(f"{text}\nThis is more than Lambda accepts.")
    return text


def megabytes(size: int) -> str:
    """A size in bytes, to be read by a person."""
    return f"{size / 1024**2:.1f} MB"


def main() -> None:
    """Builds with the options of the command line."""
    # What the operating systems call the two processors.
    arches = {"aarch64": "arm64", "arm64": "arm64", "x86_64": "x86_64", "AMD64": "x86_64"}
    runtime, arch = runtime_of(Path(sys.executable)), arches.get(platform.machine())
    parser = argparse.ArgumentParser(description="Build the deployable artifact; without options, for this machine.")
    parser.add_argument("--runtime", choices=RUNTIMES, default=runtime, required=runtime not in RUNTIMES)
    parser.add_argument("--arch", choices=MACHINES, default=arch, required=arch is None)
    parser.add_argument("--out", type=Path, default=ROOT / "build")
    parser.add_argument("--uv", default="uv")
    options = parser.parse_args()
    build(runtime=options.runtime, arch=options.arch, out=options.out, uv=options.uv)


if __name__ == "__main__":
    main()
