"""The step in which a sweep finds the orphan from before the operator came, and a person approves its erasure."""

from __future__ import annotations

import gzip
import json
import re

from sandbox.demo.commands import run
from sandbox.demo.kubectl import shown
from sandbox.demo.people import State
from sandbox.demo.stage import RESOURCE, Stage
from sandbox.later import LaterLayer
from sandbox.proxy import Proxy

APPROVE = "humangov.io/approve-sweep"
SAFETY_CHECK_FAILED, NO_ORPHANS_LEFT = 3, 0
_HOUR = 3600


def a_sweep_erases_the_orphan(stage: Stage) -> str:
    state = stage.aws.state("california")
    orphan = state.employees[0]
    stage.narrator.say(
        "A sweep lists the bucket, then reads the table, and finds the files that no record names. In the cluster a "
        "CronJob runs it every night. It erases only what two sweeps have found, 20 hours apart, and that is older "
        "than a day."
    )
    endpoint = stage.sandbox.aws_endpoint_url
    if endpoint is None:
        stage.narrator.say(
            "S3's clock can't be moved in a real account, so try it tomorrow: docs/install.md has the commands. As the "
            "table is younger than 14 days, you approve the orphan list before its files are erased."
        )
        return "not tried: it takes two days in a real account"
    later = LaterLayer()
    stage.narrator.say(
        "Meanwhile the application changes a record every second. A sweep follows the table's stream until it shows a "
        "change that is younger than the reading of the table; on a table at rest it waits ten seconds instead."
    )
    with stage.aws.in_use(state), Proxy(endpoint, layers=[later.layer]) as proxy:
        stage.narrator.say("The demo does not wait: a proxy shows this sweep S3's clock a day ahead.")
        later.seconds = 25 * _HOUR
        sha256 = _first(stage, state, url=proxy.url)
        _approved(stage, state, sha256=sha256)
        stage.narrator.say("The sweep of the next night, 21 hours later:")
        later.seconds = 46 * _HOUR
        printed = _sweep(stage, state, url=proxy.url, expected=NO_ORPHANS_LEFT)
        stage.narrator.output(printed)
    stage.aws.files_due[state.name].discard(orphan.pdf)
    files = stage.aws.files(state)
    due = stage.aws.files_due[state.name]
    stage.observer.require(files == due, expected=f"in {state.bucket} exactly {sorted(due)}", seen=sorted(files))
    return f"{orphan.pdf} was erased by the second sweep, after a person had approved the first one's orphan list"


def _first(stage: Stage, state: State, *, url: str) -> str:
    """The sweep that finds the orphan and erases nothing; the checksum of its orphan list."""
    printed = _sweep(stage, state, url=url, expected=SAFETY_CHECK_FAILED)
    stage.narrator.output(printed)
    stage.observer.require(
        "safety check failed, no orphan was erased: the table was created at" in printed,
        expected="a safety check for a young table", seen=printed,
    )  # fmt: skip
    found = re.search(rf"{APPROVE}=([0-9a-f]{{64}})", printed)
    stage.observer.require(found is not None, expected="how to approve the orphan list", seen=printed)
    return found[1] if found else ""


def _approved(stage: Stage, state: State, *, sha256: str) -> None:
    """A person reads the list, compares, and approves it."""
    stage.narrator.say(
        "The table is a minute old. If it had been restored from a backup, or if an import were still running, the "
        "files of the missing records would look like orphans, and no reading of the table could show that. So a "
        "person makes sure that the table is complete, and reads the orphan list:"
    )
    where = {"Bucket": state.bucket, "Key": _list(stage, state)}
    stage.narrator.by_hand("s3", "get_object", where)
    body = stage.aws.clients["s3"].get_object(**where)["Body"].read()
    keys = [line["key"] for line in map(json.loads, gzip.decompress(body).splitlines()) if "key" in line]
    stage.narrator.output("\n".join(keys))
    orphan = state.employees[0]
    stage.observer.require(keys == [orphan.pdf], expected=f"the orphan {orphan.pdf} alone", seen=keys)
    stage.narrator.say(f"{orphan.name} has left indeed. The approval names this list by its checksum, and no other:")
    name = state.manifest["metadata"]["name"]
    approval = (f"{APPROVE}={sha256}", f"{APPROVE}-by={_username(stage)}")
    stage.kubectl.show("annotate", RESOURCE, name, "-n", stage.namespace, *approval, "--overwrite")


def _username(stage: Stage) -> str:
    """An approval is signed."""
    return str(stage.kubectl.read("auth", "whoami")["status"]["userInfo"]["username"])


def _list(stage: Stage, state: State) -> str:
    """The key of the newest orphan list: their names begin with the time."""
    return max(key for key in stage.aws.keys(state) if key.startswith(".humangov/sweeps/"))


def _sweep(stage: Stage, state: State, *, url: str, expected: int) -> str:
    """Runs `humangov sweep` as a person does who has permissions for the table and the bucket; what it prints."""
    command = ["sweep", "--mode", "delete", f"{stage.namespace}/{state.manifest['metadata']['name']}"]
    stage.narrator.command(shown("humangov", *command))
    done = stage.observer.until(
        lambda: run(stage, command, url=url),  # in bad weather, more than once
        lambda done: done.returncode == expected,
        expected=f"a sweep with exit code {expected}",
    )
    return done.stdout
