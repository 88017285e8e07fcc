"""One training on two nodes of a real SLURM, whose daemons all run on this machine."""

from __future__ import annotations

import contextlib
import os
import shutil
import socket
import subprocess
import sys
import time
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
DAEMONS = ("munged", "slurmctld", "slurmd")
TINY = [
    "trainer=ddp", "trainer.accelerator=cpu", "callbacks.progress=null", "callbacks.samples=null",
    "model/generator=mlp", "model/discriminator=mlp", "model.generator.width=8",
    "model.discriminator.width=8", "datamodule.image_size=8", "datamodule.batch_size=8",
    "datamodule.train_val_test_split=[80,0,0]", "logger=csv",
]  # fmt: skip
TWO_NODES = ["trainer.devices=1", "+trainer.num_nodes=2"]

SETTINGS = """
ClusterName=test
SlurmctldHost={host}(127.0.0.1)
SlurmctldPort={ports[0]}
AuthType=auth/munge
AuthInfo=socket={place}/munge
SlurmUser=root
StateSaveLocation={place}/state
SlurmdSpoolDir={place}/%n
SlurmdPidFile={place}/%n.pid
SlurmdLogFile={place}/%n.log
SlurmctldLogFile={place}/control.log
SlurmctldPidFile={place}/control.pid
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
SelectType=select/cons_tres
SelectTypeParameters=CR_CPU
JobAcctGatherType=jobacct_gather/none
KillWait=2
NodeName=n1 NodeHostname={host} NodeAddr=127.0.0.1 Port={ports[1]} CPUs=2
NodeName=n2 NodeHostname={host} NodeAddr=127.0.0.1 Port={ports[2]} CPUs=2
PartitionName=all Nodes=n1,n2 Default=YES State=UP
"""


def free_ports(count):
    sockets = [socket.socket() for _ in range(count)]
    for one in sockets:
        one.bind(("127.0.0.1", 0))
    ports = [one.getsockname()[1] for one in sockets]
    for one in sockets:
        one.close()
    return ports


@pytest.fixture(scope="module")
def slurm(tmp_path_factory):
    """The environment in which SLURM's commands reach a cluster of two nodes."""
    if os.name != "posix" or os.geteuid() or not all(map(shutil.which, DAEMONS)):
        pytest.skip("needs SLURM (apt-get install slurm-wlm) and root, who may start its daemons")
    place = tmp_path_factory.mktemp("slurm")
    (place / "state").mkdir()
    (place / "key").write_bytes(os.urandom(1024))
    (place / "key").chmod(0o400)
    conf = place / "slurm.conf"
    host = socket.gethostname().partition(".")[0]
    conf.write_text(SETTINGS.format(host=host, place=place, ports=free_ports(3)))
    environment = {
        **{k: v for k, v in os.environ.items() if not k.startswith("SLURM")},
        "SLURM_CONF": str(conf), "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1",
        "MASTER_ADDR": "127.0.0.1",  # where the names of the nodes lead on a real cluster
    }  # fmt: skip
    munged = ["munged", "--foreground", "--force", f"--key-file={place}/key"]
    munged += [f"--{name}-file={place}/munge.{name}" for name in ("pid", "log", "seed")]
    daemons = [
        subprocess.Popen([*command], env=environment, cwd=place, stderr=subprocess.DEVNULL)
        for command in (
            [*munged, f"--socket={place}/munge"],
            ["slurmctld", "-D"],
            ["slurmd", "-D", "-N", "n1"],
            ["slurmd", "-D", "-N", "n2"],
        )
    ]
    try:
        until(lambda: states(environment) == ["idle", "idle"], "the nodes to be idle")
        yield environment
    finally:
        for daemon in reversed(daemons):
            daemon.terminate()
        for daemon in daemons:
            with contextlib.suppress(subprocess.TimeoutExpired):
                daemon.wait(timeout=10)
            daemon.kill()
            daemon.wait()


def states(environment):
    command = ["sinfo", "--Node", "--noheader", "--format=%t"]
    told = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    return told.stdout.split()


def until(holds, what):
    end = time.monotonic() + 120
    while not holds():
        assert time.monotonic() < end, f"waited in vain for {what}"
        time.sleep(0.2)


def srun(environment, folder, *arguments, tasks=("--nodes=2", "--ntasks-per-node=1")):
    command = ["srun", "--job-name=zoo", *tasks, sys.executable, str(ROOT / "run.py"), *arguments]
    return subprocess.Popen(
        command, cwd=folder, env=environment, text=True,
        stdout=subprocess.PIPE, stderr=subprocess.PIPE,
    )  # fmt: skip


def test_what_srun_started_is_held_against_the_trainer(slurm, tmp_path):
    training = srun(slurm, tmp_path, *TINY, *TWO_NODES, tasks=("--nodes=1", "--ntasks=2"))
    _, errors = training.communicate(timeout=300)
    assert training.returncode == 1
    assert errors.count("error: srun started 2 processes (2 on its nodes)") == 1
    assert "trainer.devices=1 with trainer.num_nodes=2 needs 2: call srun --nodes=2" in errors


def test_two_nodes_train_one_model_and_go_on_after_the_warning_before_the_end(slurm, tmp_path):
    training = srun(slurm, tmp_path, *TINY, *TWO_NODES, "trainer.max_steps=-1",
                    "trainer.max_epochs=-1", "hydra.run.dir=out")  # fmt: skip
    log = tmp_path / "out/csv/version_0/metrics.csv"
    until(lambda: log.is_file() or training.poll() is not None, "the first step")
    subprocess.run(["scancel", "--signal=USR1", "--name=zoo"], env=slurm, check=True)
    printed, errors = training.communicate(timeout=300)
    assert errors.count("stopped by SIGUSR1, with which SLURM warns") == 1, printed + errors
    assert printed.count("cpu × 2") == 1
    assert "resume=out" in errors
    until(lambda: states(slurm) == ["idle", "idle"], "the job not to be queued again")
    resumed = srun(slurm, tmp_path, "resume=out", "trainer.max_steps=999999",
                   "+trainer.max_time=00:00:00:01")  # fmt: skip
    printed, errors = resumed.communicate(timeout=300)
    assert resumed.returncode == 0, printed + errors
    assert printed.count("in total") == 1
