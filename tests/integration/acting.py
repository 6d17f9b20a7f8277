"""Scenarios (../differential): acted out by the real master, and told in a form in which two tellings
of the same thing are the same text.
"""

import difflib
import json
import pathlib
import re
import signal
import subprocess
import threading
import time

from harness import BIN, DEADLINE, Pidfd

PLAY = str(BIN / "topsman-play")
SCENARIOS = pathlib.Path(__file__).resolve().parents[1] / "differential"
HOW_NOBODY_KNOWS = "ended, how is unknown"
LOOKS_FOR = 10.0  # seconds, until what is looked at is as it should be; a safety net


class Scenario:
    """The sections of a file: YAML by name, and what is done."""

    def __init__(self, text):
        self.text = text
        self.files = {}
        self.deeds = []
        for part in text.split("\n--- ")[1:]:
            name, _, body = part.partition("\n")
            if name == "deeds":
                self.deeds = [line for line in body.splitlines() if line and not line.startswith("#")]
            else:
                self.files[name] = body + "\n"


def simulated(path):
    """What the core does in the simulated world."""
    done = subprocess.run([PLAY, str(path)], capture_output=True, text=True, timeout=DEADLINE)
    if done.returncode != 0:
        raise AssertionError(f"{done.stdout}{done.stderr}")
    return [json.loads(line) for line in done.stdout.splitlines()]


# ---- the normal form ----------------------------------------------------------------------------


def stream_of(line):
    """Whose story it belongs to. What happens to several at once has no order among them."""
    if "event" not in line:
        return f"answer to `{line['answer']}`" if "answer" in line else next(iter(line))
    if "pool" not in line:
        return "master"
    if "slot" in line:
        return f"{line['pool']}/{line['slot']}"
    return f"{line['pool']} spares" if "worker" in line else line["pool"]


def in_words(line, number):
    """Without process numbers, times and the file's name; workers are counted within their slot."""
    return re.sub(r"/[^ :']*\.yaml:", "FILE:", in_own_words(line, number))


def in_own_words(line, number):
    if "answer" in line:
        said = "" if line["answer"] == "upgrade" else f": {line.get('reason', '')} {line.get('lines', [])}"
        return line["result"] + said
    if "look" in line:
        return json.dumps(line["look"], sort_keys=True)
    if "exit" in line:
        return str(line["exit"])
    words = line["event"]
    if "worker" in line:
        words += f" #{number}"
    if "generation" in line:
        words += f" of generation {line['generation']}"
    for key in ("reason", "next"):
        # What a new program says of itself is the shell's alone.
        if key in line and line["event"] != "master.upgraded":
            words += f"; {key}: {line[key]}"
    return words


def normal(lines):
    """As text: each slot's, each pool's and the master's own story, one after the other."""
    streams, numbers, adopted, leaving = {}, {}, set(), set()
    for line in lines:
        event = line.get("event", "")
        if event.startswith("listener."):
            continue  # there is no network in the simulated world
        if event == "worker.adopted":
            adopted.add(line["worker"])
        if event == "worker.exited" and line["worker"] in adopted:
            # Whether anybody can know is up to the kernel, and to whoever inherited it.
            line = dict(line, reason=HOW_NOBODY_KNOWS)
        key = stream_of(line)
        known = numbers.setdefault(key, {})
        number = known.setdefault(line["worker"], len(known) + 1) if "worker" in line else 0
        words = in_words(line, number).replace(" (core dumped)", "")
        # Who leaves has no seat: its end and what happens there meanwhile have no order.
        streams.setdefault(f"{key} left by #{number}" if line.get("worker") in leaving else key, []).append(words)
        if event == "worker.draining":
            leaving.add(line["worker"])
    return [text for key in sorted(streams) for text in (key, *("    " + s for s in streams[key]))]


def difference(expected, told):
    """Empty where the two are the same."""
    return "\n".join(difflib.unified_diff(normal(expected), normal(told), "the core, simulated", "the master",
                                          lineterm="", n=30))


# ---- the real world -----------------------------------------------------------------------------


def seen(state):
    """The part of `topsman status` that the core decides, as topsman-play prints it."""
    keys = ("wanted", "ready", "breaker", "drained", "generation")
    return ordered([dict({k: pool[k] for k in keys}, pool=pool["name"], slots=[
        {k: slot[k] for k in ("slot", "role", "state", "generation", "restarts") if slot[k] is not None}
        for slot in pool["slots"]]) for pool in state["pools"]])


def ordered(pools):
    return sorted((dict(pool, slots=sorted(pool["slots"], key=lambda s: json.dumps(s, sort_keys=True)))
                   for pool in pools), key=lambda pool: pool["pool"])


class Events:
    """All events of a cluster as they come, whichever master they are of."""

    def __init__(self, cluster):
        self.lines = []
        self.changed = threading.Condition()
        self.follower = cluster.background("events", "--since", "0", "--follow")
        self.thread = threading.Thread(target=self.read)
        self.thread.start()

    def read(self):
        for text in self.follower.stdout:
            with self.changed:
                self.lines.append(json.loads(text))
                self.changed.notify_all()

    def wait_for(self, so):
        """Whether it ever becomes so."""
        with self.changed:
            return self.changed.wait_for(lambda: so(self.lines), DEADLINE)

    def all(self):
        """When there will be no more."""
        self.thread.join(DEADLINE)
        return self.lines

    def close(self):
        self.follower.kill()
        self.thread.join()
        self.follower.wait()
        self.follower.stdout.close()
        self.follower.stderr.close()


class Acting:
    """One scenario, acted out by a real master."""

    def __init__(self, cluster, scenario, looks):
        self.c = cluster
        self.scenario = scenario
        self.looks = looks  # what is waited for before a look is taken
        self.events = None
        self.told = []
        self.pending = []
        self.since = 0

    def act(self):
        try:
            for deed in self.scenario.deeds:
                self.do(deed)
            self.answers()
            return self.told + self.events.all()
        finally:
            self.give_up_asking()
            if self.events:
                self.events.close()

    def give_up_asking(self):
        for _, asking in self.pending:
            asking.kill()
            asking.communicate()
        self.pending = []

    def do(self, deed):
        verb, *words = deed.split()
        if verb == "until":
            self.until(deed, *words)
        elif verb == "look":
            self.look()
        elif verb == "answered":
            self.answers()
        elif verb == "ended":
            self.end()
        else:
            self.since = self.c.last_seq() if self.events else 0
            if verb == "start":
                self.start()
            elif verb == "kill":
                self.kill(*words)
            elif verb == "begin":
                self.ask(" ".join(words))
            elif verb == "save":
                self.c.rename_yaml(self.scenario.files[words[0]])
            else:
                self.ask(deed)
                self.answer(*self.pending.pop())

    def start(self):
        self.c.start(wait_ready=False)
        self.events = self.events or Events(self.c)

    def kill(self, whom, role="current"):
        if whom == "master":
            self.c.kill_master()
            self.give_up_asking()
            return
        pool, slot = whom.split("/")
        pid = next(s["pid"] for s in self.c.pool(pool)["slots"] if s["slot"] == int(slot) and s["role"] == role)
        with Pidfd(pid) as worker:
            worker.send(signal.SIGKILL)
            worker.wait()

    def ask(self, deed):
        verb, *words = deed.split()
        if verb == "reload" and words:
            self.c.write_yaml(self.scenario.files[words.pop()])
        if verb == "stop" and words:
            words = ["--" + words[0]]
        self.pending.append((deed, self.c.background(verb, "--json", *words)))

    def answers(self):
        while self.pending:
            self.answer(*self.pending.pop(0))

    def answer(self, deed, asking):
        try:
            out, err = asking.communicate(timeout=DEADLINE)
        except subprocess.TimeoutExpired:
            asking.kill()
            out, err = asking.communicate()
        if not out:
            raise AssertionError(f"{deed}: no answer: {err}{self.c.log()}")
        self.told.append(dict(json.loads(out), answer=deed))
        if deed.startswith("stop"):
            self.end()

    def end(self):
        self.told.append({"exit": self.c.wait_master()})

    def until(self, deed, place, event, times="x1"):
        pool, _, slot = place.partition("/")

        def is_it(line):
            return line["seq"] > self.since and line["event"] == event and \
                line.get("pool") == (None if pool == "master" else pool) and \
                line.get("slot") == (int(slot) if slot else None)

        if not self.events.wait_for(lambda lines: sum(map(is_it, lines)) >= int(times[1:])):
            raise AssertionError(f"{deed}: never; told was\n" + "\n".join(normal(self.events.lines)))

    def look(self):
        expected = next(self.looks, None)
        end = time.monotonic() + LOOKS_FOR
        while True:
            seq = self.c.last_seq()
            found = seen(self.c.status())
            if expected is None or found == expected or time.monotonic() >= end:
                self.told.append({"look": found})
                return
            self.c.wait_next(seq, min(0.2, end - time.monotonic()))


def act_out(test, path, real=None):
    """Both tellings of a scenario; `real`: another one, that only the master acts out."""
    scenario = Scenario(real or path.read_text())
    expected = simulated(path)
    for line in expected:
        if "look" in line:
            line["look"] = ordered(line["look"])
    # A master with another file is not waited for to come to the same.
    looks = iter([] if real else [line["look"] for line in expected if "look" in line])
    cluster = test.cluster(scenario.files["cluster"])
    return expected, Acting(cluster, scenario, looks).act()
