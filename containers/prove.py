"""Carry out the Dockerfile's steps in a Debian root, where there is no container engine, and start what they make.

    sudo python -m containers.prove WORK --target api

Run by hand, as root, on Linux, in the repository's root; it needs debootstrap, util-linux and iproute2. The steps are
read from the Dockerfile itself. Debian's own Python in a root made by debootstrap stands for the base image; everything
else is as an engine would do it, one chroot per stage. Then the image's command runs with the user and the environment
of the Dockerfile, without capabilities, in a network of its own without a way out, with the root mounted read-only and
nothing writable but /data and /tmp. For `api` it makes a key, waits until the health check is content, and asks
/predict about an image; with --fit it also has a tiny network fitted. It prints the time of each step and the size of
the root, and exits with 1 where something is not as it must be.

WORK is a folder for the roots (about 6 GB for `api`). --bind and --env show the steps a folder of this machine and a
variable, as an index of packages in the house needs; --build-arg is as for docker build.
"""

import argparse
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path

from containers import asking, dockerfile
from containers.building import Builder, make_base, pairs
from containers.dockerfile import Config

PATIENCE = 300.0  # seconds until the service must answer


def main() -> None:
    """Build the roots, then start the last one, in new namespaces."""
    args = _arguments()
    arguments = dict(pair.split("=", 1) for pair in args.build_arg)
    stages = dockerfile.parse(Path("Dockerfile").read_text(encoding="utf-8"), arguments)
    root = args.work / args.target
    if args.inside:
        sys.exit(0 if _start(root, dockerfile.config(stages, args.target), args) else 1)
    if not args.only_start:
        base = args.work / "base"
        if not base.exists():
            make_base(base, args.mirror)
        Builder(stages, base, args.work, arguments, args.bind, _environment(args.env)).build(args.target)
    _report_size(root)
    again = [sys.executable, "-m", "containers.prove", *sys.argv[1:], "--inside"]
    sys.exit(subprocess.run(["unshare", "--mount", "--net", "--pid", "--fork", "--kill-child", *again]).returncode)


# --- inside the new namespaces -------------------------------------------------------------------------------------


def _start(root: Path, config: Config, args: argparse.Namespace) -> bool:
    """Mount the root read-only, start the image's command, and try it. Returns whether everything was as it must be."""
    data, environment = args.work / f"{args.target}-data", {**config.environment, **_environment(args.set)}
    shutil.rmtree(data, ignore_errors=True)
    # A new volume begins with the image's files.
    subprocess.run(["cp", "-a", root / "data", data], check=True)
    commands: list[list[str | Path]] = [
        ["mount", "--make-rprivate", "/"],
        ["mount", "-t", "proc", "proc", "/proc"],  # that of the new namespace
        ["ip", "link", "set", "lo", "up"],
        ["mount", "--bind", root, root],
        ["mount", "-t", "proc", "proc", root / "proc"],
        ["mount", "-t", "tmpfs", "-o", "mode=1777", "tmpfs", root / "tmp"],
        ["mount", "--bind", data, root / "data"],
        ["mount", "--bind", "/dev", root / "dev"],
        ["mount", "-t", "tmpfs", "-o", "mode=1777", "tmpfs", root / "dev/shm"],
        ["mount", "-o", "remount,bind,ro", root],
    ]
    for command in commands:
        subprocess.run(command, check=True)
    closed = _closed(root, config, environment)
    denied = subprocess.run([*closed, "touch", "/opt/fakeprint/written"], capture_output=True, text=True)
    checks = [_check("the root is read-only", "Read-only file system" in denied.stderr, denied.stderr.strip())]
    began = time.monotonic()
    key = _api_key(closed) if args.target == "api" else ""
    process = subprocess.Popen([*closed, *config.entrypoint, *config.command])
    try:
        if config.health:
            checks.append(_healthy(process, closed, config, began))
        else:
            time.sleep(args.seconds)
            checks.append(_check("it still runs", process.poll() is None, f"after {args.seconds:g} s"))
        checks.append(_not_root(process, config))
        if args.target == "api":
            url = f"http://127.0.0.1:{config.ports[0]}"
            checks += [_check(*each) for each in asking.answers(url, key)]
            checks += [_check(*each) for each in asking.fits(url, key)] if args.fit else []
    finally:
        process.terminate()
        status = process.wait(60)
    return all([*checks, _check("it ends when told to", status in (0, -15, 143), f"status {status}")])


def _closed(root: Path, config: Config, environment: dict[str, str]) -> list[str]:
    """The command that starts another inside the root: as the image's user, without capabilities."""
    user, group = config.user.split(":")
    rights = [f"--reuid={user}", f"--regid={group}", "--clear-groups", "--no-new-privs", "--bounding-set=-all"]
    inside = ["env", "-i", f"--chdir={config.folder}", *pairs(environment)]
    return ["chroot", str(root), "setpriv", *rights, "--inh-caps=-all", *inside]


def _healthy(process: subprocess.Popen, closed: list[str], config: Config, began: float) -> bool:
    """Wait until the image's own health check is content."""
    while process.poll() is None and time.monotonic() - began < PATIENCE:
        if not subprocess.run([*closed, *config.health], capture_output=True).returncode:
            return _check("the health check is content", True, f"after {time.monotonic() - began:.1f} s")
        time.sleep(1)
    return _check("the health check is content", False, f"status {process.poll()}")


def _not_root(process: subprocess.Popen, config: Config) -> bool:
    status = Path(f"/proc/{process.pid}/status")
    lines = status.read_text(encoding="utf-8").splitlines() if process.poll() is None else []
    found = dict(line.split(":\t", 1) for line in lines if ":\t" in line)
    uids, capabilities = found.get("Uid", "").split(), found.get("CapEff", "")
    fits = set(uids) == {config.user.partition(":")[0]} and set(capabilities) == {"0"}
    return _check("it is not root and has no capabilities", fits, f"user {uids[:1]}, capabilities {capabilities}")


def _api_key(closed: list[str]) -> str:
    """Make a key, as an operator does."""
    command = [*closed, "fakeprint", "keys", "add", "proof", "--scopes", "predict,fit"]
    done = subprocess.run(command, capture_output=True, text=True)
    if done.returncode:
        sys.exit(f"error: no key could be made: {done.stderr.strip()}")
    return done.stdout.split()[-1]


# --- words ---------------------------------------------------------------------------------------------------------


def _report_size(root: Path) -> None:
    """The size of the root, and of the largest packages in it."""
    largest = [path for path in root.glob("opt/fakeprint/lib/python3*/site-packages/*") if path.is_dir()]
    sizes = sorted(((_megabytes(path), path.name) for path in largest), reverse=True)
    packages = _megabytes(root / "opt/fakeprint")
    print(f"size: {_megabytes(root):,} MB, of which packages {packages:,} MB")
    print("      " + ", ".join(f"{name} {size:,}" for size, name in sizes[:12]), flush=True)


def _megabytes(path: Path) -> int:
    done = subprocess.run(["du", "-sx", "--block-size=1000000", path], capture_output=True, text=True, check=True)
    return int(done.stdout.split()[0])


def _check(what: str, holds: bool, shown: str) -> bool:
    print(f"{'ok  ' if holds else 'FAIL'}  {what}: {shown}", flush=True)
    return holds


def _environment(given: Sequence[str]) -> dict[str, str]:
    """NAME=VALUE, or NAME for the value that it has here."""
    pairs = (each.partition("=") for each in given)
    return {name: value if equals else os.environ.get(name, "") for name, equals, value in pairs}


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("work", type=lambda text: Path(text).resolve(), help="folder for the roots")
    parser.add_argument("--target", default="api", help="the stage (default: %(default)s)")
    parser.add_argument("--mirror", help="of Debian's packages (default: debootstrap's own)")
    parser.add_argument("--build-arg", action="append", default=[], metavar="NAME=VALUE")
    parser.add_argument("--bind", action="append", default=[], type=Path, metavar="PATH", help="shown to the steps")
    parser.add_argument("--env", action="append", default=[], metavar="NAME[=VALUE]", help="given to the steps")
    parser.add_argument("--set", action="append", default=[], metavar="NAME[=VALUE]", help="given to the command")
    parser.add_argument("--seconds", type=float, default=20.0, help="how long a command without a port must run")
    parser.add_argument("--fit", action="store_true", help="of api: also fit a tiny network, by the API's own worker")
    parser.add_argument("--only-start", action="store_true", help="the root is there from an earlier run")
    parser.add_argument("--inside", action="store_true", help=argparse.SUPPRESS)
    return parser.parse_args()


if __name__ == "__main__":
    main()
