"""A real Slurm cluster of virtual nodes on this machine, for tests, benchmarks and trying things out.

    python -m tools.slurm_cluster start DIR [--nodes 2] [--cpus 2]     prints what to export
    python -m tools.slurm_cluster stop DIR

It listens on the loopback only, writes below DIR alone (keep that short: paths of sockets have at most 108 bytes), and
is up in about a second. Needs `apt-get install slurm-wlm munge`; root or not.
"""

import argparse
import contextlib
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

PROGRAMS = ("slurmctld", "slurmd", "munged", "sbatch", "squeue")
PATH = f"{os.environ.get('PATH', '')}:/usr/sbin:/sbin"
UP_WITHIN_S = 20.0
CONFIG = """\
ClusterName=virtual
SlurmctldHost=localhost(127.0.0.1)
SlurmctldPort={ports[0]}
{addresses}
SlurmUser={user}
SlurmdUser={user}
AuthType=auth/munge
CredType=cred/munge
AuthInfo=socket={folder}/munge/munge.socket,cred_expire=5
StateSaveLocation={folder}/state
SlurmdSpoolDir={folder}/spool/%n
SlurmctldPidFile={folder}/run/slurmctld.pid
SlurmdPidFile={folder}/run/%n.pid
SlurmctldLogFile={folder}/log/slurmctld.log
SlurmdLogFile={folder}/log/%n.log
MailProg=/bin/true
MpiDefault=none
SwitchType=switch/none
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
JobAcctGatherType=jobacct_gather/none
AccountingStorageType=accounting_storage/none
SchedulerType=sched/builtin
SchedulerParameters=batch_sched_delay=0,sched_min_interval=100000,sched_interval=1
SelectType=select/cons_tres
SelectTypeParameters=CR_CPU
SlurmdParameters=config_overrides
ReturnToService=2
JobRequeue=1
KillWait=2
MinJobAge=300
SlurmctldTimeout=30
SlurmdTimeout={node_timeout}
"""


def missing() -> str:
    """Why no cluster can be started here; empty if one can."""
    absent = [program for program in PROGRAMS if shutil.which(program, path=PATH) is None]
    return f"no {', '.join(absent)} here (apt-get install slurm-wlm munge)" if absent else ""


class Cluster:
    """A controller and `nodes` virtual nodes n0, n1, … of `cpus` processors each, with the features `f0`, `f1`, …"""

    def __init__(self, folder: Path, *, nodes: int = 1, cpus: int = 2, node_timeout: int = 30) -> None:
        self.folder = folder
        self.names = [f"n{number}" for number in range(nodes)]
        self._cpus, self._node_timeout = cpus, node_timeout
        self.variables = {"SLURM_CONF": str(folder / "slurm.conf"), "PATH": PATH}

    def __enter__(self) -> "Cluster":
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    def start(self) -> None:
        """Bring it up. Raises RuntimeError with the end of its logs when it does not come."""
        for name in ("munge", "state", "spool", "log", "run"):
            (self.folder / name).mkdir(parents=True, exist_ok=True)
        key = self.folder / "munge" / "munge.key"
        if not key.exists():
            key.touch(mode=0o600)
            key.write_bytes(os.urandom(128))
        config = self.folder / "slurm.conf"
        if not config.exists():
            config.write_text(self._config())
        munge = self.folder / "munge"
        # --force: folders above that others may write to do not matter here.
        self._run(
            *("munged", "--force", "--num-threads=2", "-S", f"{munge}/munge.socket", f"--key-file={key}"),
            *(
                f"--log-file={munge}/munged.log",
                f"--pid-file={munge}/munged.pid",
                f"--seed-file={munge}/seed",
            ),
        )
        self.start_controller()
        for name in self.names:
            self.start_node(name)
        self._wait()

    def start_controller(self) -> None:
        self._run("slurmctld")

    def start_node(self, name: str) -> None:
        self._run("slurmd", "-N", name)

    def ask(self, *command: str) -> str:
        """The output of one of Slurm's programs, as this cluster's user."""
        environment = {**os.environ, **self.variables}
        return subprocess.run(
            command, env=environment, capture_output=True, text=True, check=False, timeout=30
        ).stdout

    def kill_controller(self, number: signal.Signals = signal.SIGKILL) -> None:
        self._kill("slurmctld", number)

    def kill_node(self, name: str) -> None:
        """End a node's daemon; its jobs go on until they are noticed."""
        self._kill(name, signal.SIGKILL)

    def jobs_processes(self) -> list[int]:
        """Processes of this cluster's jobs, by what they have in their environment."""
        mark = f"SLURM_CONF={self.variables['SLURM_CONF']}".encode()
        pids = []
        for path in Path("/proc").glob("[0-9]*"):
            with contextlib.suppress(OSError):
                values = (path / "environ").read_bytes().split(b"\0")
                if mark in values and any(value.startswith(b"SLURM_JOB_ID=") for value in values):
                    pids.append(int(path.name))
        return pids

    def stop(self) -> None:
        """End the jobs, then the daemons, then what is left of jobs."""
        if self._pid("slurmctld"):
            with contextlib.suppress(subprocess.SubprocessError):
                self.ask("scancel", "-u", str(os.getuid()))
                self._until(lambda: not self.ask("squeue", "-h").strip(), 9.0)
        for name in (*self.names, "slurmctld"):
            self._kill(name, signal.SIGTERM)
        self._end("munge/munged.pid", "munged", signal.SIGTERM)
        for process in self.jobs_processes():
            with contextlib.suppress(ProcessLookupError):
                os.kill(process, signal.SIGKILL)

    def _config(self) -> str:
        with contextlib.ExitStack() as stack:
            sockets = [stack.enter_context(socket.socket()) for _ in range(len(self.names) + 1)]
            for one in sockets:
                one.bind(("127.0.0.1", 0))
            ports = [one.getsockname()[1] for one in sockets]
        loopback = socket.gethostbyname(socket.gethostname()).startswith("127.")
        text = CONFIG.format(
            ports=ports,
            user=self._user(),
            folder=self.folder,
            node_timeout=self._node_timeout,
            # These bind to what our host's name is; elsewhere the daemons listen everywhere, and munge guards.
            addresses="CommunicationParameters=NoInAddrAny,NoCtldInAddrAny" if loopback else "",
        )
        for name, port in zip(self.names, ports[1:], strict=True):
            text += (
                f"NodeName={name} NodeHostname={socket.gethostname()} NodeAddr=127.0.0.1 Port={port} "
                f"CPUs={self._cpus} RealMemory=4000 Feature=f{name[1:]} State=UNKNOWN\n"
            )
        nodes = ",".join(self.names)
        return (
            text + f"PartitionName=test Nodes={nodes} Default=YES MaxTime=INFINITE DefaultTime=5 State=UP\n"
        )

    def _user(self) -> str:
        import pwd

        return pwd.getpwuid(os.getuid()).pw_name

    def _run(self, *command: str) -> None:
        done = subprocess.run(
            command, env={**_outside(), **self.variables}, capture_output=True, text=True, check=False
        )
        if done.returncode:
            raise RuntimeError(f"{command[0]}: {done.stderr.strip()}")

    def _wait(self) -> None:
        well = ("idle", "mixed", "allocated", "completing")

        def up() -> bool:
            states = self.ask("sinfo", "-h", "-N", "-o", "%T").split()
            return len(states) >= len(self.names) and all(state in well for state in states)

        if not self._until(up, UP_WITHIN_S):
            logs = "\n".join(path.read_text()[-1500:] for path in (self.folder / "log").glob("*.log"))
            raise RuntimeError(f"The cluster did not come up:\n{logs}")

    def _until(self, true: Callable[[], bool], seconds: float) -> bool:
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            if true():
                return True
            time.sleep(0.1)
        return False

    def _kill(self, name: str, number: signal.Signals) -> None:
        self._end(f"run/{name}.pid", "slurmctld" if name == "slurmctld" else "slurmd", number)

    def _pid(self, name: str) -> int:
        return _alive(self.folder / "run" / f"{name}.pid", "slurmctld" if name == "slurmctld" else "slurmd")

    def _end(self, file: str, program: str, number: signal.Signals) -> None:
        path = self.folder / file
        process = _alive(path, program)
        if not process:
            return
        os.kill(process, number)
        if not self._until(lambda: not _alive(path, program), 5.0):
            with contextlib.suppress(ProcessLookupError):
                os.kill(process, signal.SIGKILL)
        path.unlink(missing_ok=True)


def _alive(file: Path, program: str) -> int:
    """The process in a pid file, if it is that program's and no zombie; else 0."""
    try:
        process = int(file.read_text())
        if Path(f"/proc/{process}/comm").read_text().strip() != program:
            return 0
        state = Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()[0]
    except (OSError, ValueError):
        return 0
    return process if state != "Z" else 0


def _outside() -> dict[str, str]:
    return {name: v for name, v in os.environ.items() if not name.startswith(("SLURM_", "SBATCH_"))}


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("what", choices=("start", "stop"))
    parser.add_argument("folder", type=Path)
    parser.add_argument("--nodes", type=int, default=1)
    parser.add_argument("--cpus", type=int, default=2)
    args = parser.parse_args()
    if why := missing():
        print(why, file=sys.stderr)
        return 1
    cluster = Cluster(args.folder.absolute(), nodes=args.nodes, cpus=args.cpus)
    if args.what == "stop":
        cluster.names = sorted(path.stem for path in (cluster.folder / "run").glob("n*.pid"))
        cluster.stop()
        return 0
    cluster.start()
    for name, value in cluster.variables.items():
        print(f"export {name}={value}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
