"""What is in the artifact, and what keeps a wrong one from being built. `test_function` runs it."""

import importlib.util
import json
import marshal
import os
import platform
import subprocess
import sys
import zipfile
from importlib.metadata import distribution
from pathlib import Path
from types import CodeType

import pytest
from samtranslator.yaml_helper import yaml_parse

from tests.build.emulator import HANDLER, SETTINGS
from tests.engines import LOCAL, ROOT
from tools import build

RUNTIME = f"python3.{sys.version_info.minor}"
ARCH = {"aarch64": "arm64"}.get(platform.machine(), platform.machine())
OTHER_RUNTIME = next(runtime for runtime in build.RUNTIMES if runtime != RUNTIME)
OTHER_ARCH = next(arch for arch in build.MACHINES if arch != ARCH)


def run_build(*options: str, **environment: str) -> subprocess.CompletedProcess[str]:
    uv = LOCAL / "uv" / "bin" / "uv"
    path = f"{os.environ['PATH']}:{uv.parent}"
    return subprocess.run(
        [sys.executable, ROOT / "tools" / "build.py", *options],
        env={**os.environ, "PATH": path, **environment},
        capture_output=True,
        text=True,
        check=False,
    )


# --- what is in it ----------------------------------------------------------------------------------------------------


def test_every_deployed_module_imports_with_nothing_but_the_artifact(artifact: Path) -> None:
    modules = [
        ".".join(path.relative_to(artifact).with_suffix("").parts).removesuffix(".__init__")
        for room in build.ROOMS
        for path in sorted((artifact / room).rglob("*.py"))
    ]
    script = f"import sys, importlib; sys.path.insert(0, {str(artifact)!r})\n"
    script += f"for module in {modules!r}: importlib.import_module(module)"

    # -I and -S: neither site-packages, nor the working folder, nor PYTHONPATH.
    bare = subprocess.run(
        [sys.executable, "-IS", "-c", script],
        # The clockwork starts in a sandbox, and nowhere else.
        env={**SETTINGS, "REGULARS_SANDBOX": "on"},
        capture_output=True,
        text=True,
        check=False,
    )

    assert bare.returncode == 0, bare.stderr
    assert HANDLER.rpartition(".")[0] in modules


def test_what_only_a_developer_runs_is_left_out(artifact: Path) -> None:
    handlers = {path.stem for path in (artifact / "handlers").iterdir()}

    assert handlers.isdisjoint({"cli", "local", "program", "replay"})
    assert not (artifact / "boto3").exists()


def test_only_the_services_in_use_are_described(artifact: Path) -> None:
    data = artifact / "botocore" / "data"

    assert {path.name for path in data.iterdir() if path.is_dir()} == set(build.BOTOCORE_SERVICES)
    partitions = json.loads((data / "endpoints.json").read_text())["partitions"]
    assert {name for partition in partitions for name in partition["services"]} == set(build.BOTOCORE_SERVICES)


@pytest.mark.parametrize(
    ("region", "endpoint"),
    [
        ("eu-central-1", "https://dynamodb.eu-central-1.amazonaws.com"),
        ("us-gov-west-1", "https://dynamodb.us-gov-west-1.amazonaws.com"),
        ("cn-north-1", "https://dynamodb.cn-north-1.amazonaws.com.cn"),
    ],
)
def test_the_table_is_found_in_every_partition_of_aws(artifact: Path, region: str, endpoint: str) -> None:
    script = f"""
import sys
sys.path.insert(0, {str(artifact)!r})
import botocore.session
client = botocore.session.get_session().create_client("dynamodb", region_name={region!r})
print(client.meta.endpoint_url, client._request_signer.region_name)
"""
    bare = subprocess.run([sys.executable, "-IS", "-c", script], env={}, capture_output=True, text=True, check=True)

    assert bare.stdout.split() == [endpoint, region]


def test_every_source_has_bytecode_of_this_runtime_that_is_never_compared_with_the_source(artifact: Path) -> None:
    sources = list(artifact.rglob("*.py"))

    for source in sources:
        bytecode = Path(importlib.util.cache_from_source(str(source))).read_bytes()
        # PEP 552: a magic number, then flags, of which 0b01 alone is "by hash, and unchecked".
        assert (bytecode[:4], bytecode[4:8]) == (importlib.util.MAGIC_NUMBER, b"\x01\0\0\0"), source
    assert len(sources) > 100


def test_a_traceback_names_the_place_in_lambda(artifact: Path) -> None:
    source = artifact / "handlers" / "graphql.py"

    code = marshal.loads(Path(importlib.util.cache_from_source(str(source))).read_bytes()[16:])

    assert isinstance(code, CodeType)
    assert code.co_filename == "/var/task/handlers/graphql.py"


def test_the_zip_is_the_folder_in_order_and_without_dates(artifact: Path) -> None:
    with zipfile.ZipFile(artifact.with_suffix(".zip")) as archive:
        entries = archive.infolist()
        contents = {entry.filename: archive.read(entry) for entry in entries}

    files = (path for path in artifact.rglob("*") if path.is_file())
    assert contents == {path.relative_to(artifact).as_posix(): path.read_bytes() for path in files}
    assert {entry.date_time for entry in entries} == {(1980, 1, 1, 0, 0, 0)}
    assert {entry.external_attr >> 16 for entry in entries} == {0o100644}


def test_two_builds_are_the_same_bytes(artifact: Path, tmp_path: Path) -> None:
    done = run_build("--out", str(tmp_path / "in" / "another" / "folder"))

    assert done.returncode == 0, done.stderr
    (built,) = tmp_path.glob("in/another/folder/*.zip")
    assert built.read_bytes() == artifact.with_suffix(".zip").read_bytes()
    assert sorted(path.name for path in built.parent.iterdir()) == ["regulars", "regulars.zip"]


# --- what is refused --------------------------------------------------------------------------------------------------


def test_a_runtime_without_its_interpreter_is_refused_with_what_to_do(tmp_path: Path) -> None:
    nowhere = {"PATH": "/usr/bin:/bin", "PYENV_ROOT": str(tmp_path), "UV_PYTHON_INSTALL_DIR": str(tmp_path)}
    uv = tmp_path / "uv"
    uv.write_text("#!/bin/sh\nexit 2\n")
    uv.chmod(0o755)
    # None of the system's interpreters can be counted on to be missing, one of these versions can.
    missing = next(name for name in reversed(build.RUNTIMES) if not Path("/usr/bin", name).exists() and name != RUNTIME)

    refused = run_build("--runtime", missing, "--uv", str(uv), "--out", str(tmp_path / "out"), **nowhere)

    version = missing.removeprefix("python")
    assert refused.returncode == 1
    assert refused.stderr.startswith(f"No Python {version} on this machine, and the bytecode for the runtime {missing}")
    assert f"{uv} python install {version}" in refused.stderr
    assert f"make build RUNTIME={RUNTIME}" in refused.stderr
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("tag", "runtime", "arch", "fits"),
    [
        ("py3-none-any", "python3.13", "arm64", True),
        ("py2-none-any", "python3.13", "arm64", False),
        ("cp313-cp313-manylinux_2_28_aarch64", "python3.13", "arm64", True),
        ("cp313-cp313-manylinux_2_28_x86_64", "python3.13", "arm64", False),
        ("cp312-cp312-manylinux_2_28_aarch64", "python3.13", "arm64", False),
        ("cp39-abi3-manylinux_2_28_aarch64", "python3.13", "arm64", True),
        ("cp314-abi3-manylinux_2_28_aarch64", "python3.13", "arm64", False),
        ("cp313-cp313-musllinux_1_2_aarch64", "python3.13", "arm64", False),
        ("cp313-cp313-macosx_11_0_arm64", "python3.13", "arm64", False),
        ("cp313-cp313-manylinux_2_39_aarch64", "python3.13", "arm64", False),
        ("cp311-cp311-manylinux2014_x86_64", "python3.11", "x86_64", True),
        # Amazon Linux 2 has glibc 2.26.
        ("cp311-cp311-manylinux_2_28_x86_64", "python3.11", "x86_64", False),
    ],
)
def test_a_wheel_fits_by_its_tag(tag: str, runtime: str, arch: str, fits: bool) -> None:
    assert build.fits(tag, runtime, arch) is fits


@pytest.fixture
def installed(tmp_path: Path) -> Path:
    """A folder with a real package whose binary is for this machine: the client of Lambda's runtime."""
    for file in distribution("awslambdaric").files or []:
        if file.name == "WHEEL" or file.suffix == ".so":
            copy = tmp_path / file
            copy.parent.mkdir(parents=True, exist_ok=True)
            copy.write_bytes(Path(str(file.locate())).read_bytes())
    return tmp_path


def test_a_binary_of_this_machine_is_accepted_for_it(installed: Path) -> None:
    assert list(build.foreign_binaries(installed, RUNTIME, ARCH)) == []
    assert len(list(installed.rglob("*.so"))) == 1


def test_a_binary_for_another_processor_is_refused(installed: Path) -> None:
    (binary,) = build.foreign_binaries(installed, RUNTIME, OTHER_ARCH)

    assert "for another processor" in binary


def test_a_binary_for_another_python_is_refused(installed: Path) -> None:
    (binary,) = build.foreign_binaries(installed, OTHER_RUNTIME, ARCH)

    assert "for another version of Python" in binary


def test_a_binary_for_another_system_is_refused(tmp_path: Path) -> None:
    (tmp_path / "speedups.cpython-313-darwin.so").write_bytes(b"\xcf\xfa\xed\xfe" + bytes(28))

    (binary,) = build.foreign_binaries(tmp_path, "python3.13", "arm64")

    assert binary == "speedups.cpython-313-darwin.so: not a Linux binary"


@pytest.mark.parametrize(("runtime", "arch"), [(OTHER_RUNTIME, ARCH), (RUNTIME, OTHER_ARCH)])
def test_a_package_for_another_machine_is_refused(installed: Path, runtime: str, arch: str) -> None:
    (package,) = build.foreign_wheels(installed, runtime, arch)

    assert package.startswith("awslambdaric-")


def test_an_artifact_that_lambda_would_not_take_is_refused(artifact: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(build, "UNZIPPED_BYTES_MAX", 1024**2)

    with pytest.raises(SystemExit, match="more than Lambda accepts"):
        build.summary(artifact, artifact.with_suffix(".zip"), "artifact")


# --- what the template says -------------------------------------------------------------------------------------------


def test_make_builds_what_the_template_deploys_by_default() -> None:
    template = yaml_parse((ROOT / "template.yaml").read_text())
    parameters = template["Parameters"]
    asked = subprocess.run(
        ["make", "--dry-run", "--always-make", "build"], cwd=ROOT, capture_output=True, text=True, check=True
    ).stdout

    assert f"--runtime {parameters['Runtime']['Default']} --arch {parameters['Architecture']['Default']}" in asked
    assert template["Resources"]["GraphqlFunction"]["Properties"]["CodeUri"] == "build/regulars.zip"
    assert template["Resources"]["GraphqlFunction"]["Properties"]["Handler"] == HANDLER


def test_every_runtime_and_processor_of_the_template_can_be_built() -> None:
    parameters = yaml_parse((ROOT / "template.yaml").read_text())["Parameters"]

    assert parameters["Runtime"]["AllowedValues"] == list(build.RUNTIMES)
    assert parameters["Architecture"]["AllowedValues"] == list(build.MACHINES)
