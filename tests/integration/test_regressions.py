"""What once broke, and must not break again: one test for each defect that was found by trying."""

import json
import os
import pathlib
import select
import shutil
import signal
import socket
import stat
import subprocess

from harness import AT_ONCE as NOW, DEADLINE, TOPSMAN, Pidfd, TestCase, main, wait_for_change


def pools(names, command="[sleep, '1000']", more=""):
    return "pools:\n" + "".join(
        f"  {name}:\n    command: {command}\n    workers: 1\n{NOW}{more}" for name in names)


def cpu_ticks(pid):
    fields = pathlib.Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()
    return int(fields[11]) + int(fields[12])


class Scoreboard(TestCase):
    def test_pools_that_leave_do_not_push_others_off_the_scoreboard(self):
        stubborn = "[sh, -c, 'trap : TERM; while :; do sleep 0.2; done']"
        lanes = "segment: { lanes: 520 }\n"
        first = [f"a{i}" for i in range(64)]
        second = [f"b{i}" for i in range(64)]
        c = self.cluster(lanes + pools(first, stubborn, "    stop_timeout: 2s\n"))
        c.start()
        c.write_yaml(lanes + pools(second))
        c.cli("reload", "--no-wait")
        state = c.wait_status(lambda s: [p["name"] for p in s["pools"]] == second and
                              all(p["ready"] == 1 for p in s["pools"]))
        self.assertTrue(all(len(p["slots"]) == 1 for p in state["pools"]))
        # Who leaves has left by itself, and nobody was given up on the way.
        c.wait_status(lambda s: all(s_["role"] == "current" for p in s["pools"] for s_ in p["slots"]))
        c.stop("--fast")


def post(cluster, path):
    """A request whose answer is read later with answer()."""
    s = socket.socket(socket.AF_UNIX)
    s.settimeout(DEADLINE)
    s.connect(str(cluster.runtime / f"{cluster.name}.sock"))
    s.sendall(f"POST {path} HTTP/1.1\r\nHost: t\r\nConnection: close\r\nContent-Length: 2\r\n\r\n{{}}".encode())
    return s


def answer(s):
    with s, s.makefile() as f:
        return json.loads(f.read().split("\n\n", 1)[1])


def slow(yaml):
    """Takes the master's reader a while: a megabyte of comments, all of it looked at."""
    return yaml + "# nothing here\n" * 60_000


class Requests(TestCase):
    def test_a_restart_behind_a_reload_starts_what_the_reload_brought(self):
        def yaml(word):
            return pools(["web"], f"[sh, -c, 'echo {word} >> $CLUSTER_DIR/said; exec sleep 1000']")
        c = self.cluster(yaml("old")).start()
        c.write_yaml(slow(yaml("new")))
        answers = [answer(s) for s in [post(c, "/v1/reload"), post(c, "/v1/restart")]]
        self.assertEqual([a["result"] for a in answers], ["done", "done"], c.log())
        seq = c.last_seq()
        os.kill(c.slot(0)["pid"], signal.SIGKILL)
        c.wait_event("worker.ready", since=seq)
        self.assertEqual(set(c.wait_file("said").split()[1:]), {"new"})

    def test_what_is_saved_while_the_file_is_being_read_is_read_too(self):
        def yaml(word):
            return pools(["web"], f"[sleep, '{word}']")
        c = self.cluster(yaml(1000)).start()
        c.write_yaml(slow(yaml(1001)))
        first = post(c, "/v1/reload")
        threads = pathlib.Path(f"/proc/{c.master.pid}/task")
        before = len(list(threads.iterdir()))
        while len(list(threads.iterdir())) == before and not select.select([first], [], [], 0)[0]:
            pass  # until the reader is there; all at once when it was there already
        select.select([first], [], [], 0.02)  # it holds the old text by now
        c.rename_yaml(yaml(1002))
        second = post(c, "/v1/reload")
        answer(first)  # that it was done, or overtaken by the second
        self.assertEqual(answer(second)["result"], "done", c.log())
        command = pathlib.Path(f"/proc/{c.slot(0)['pid']}/cmdline").read_bytes().split(b"\0")
        self.assertEqual(command[1], b"1002")

    def test_a_reload_for_which_there_is_no_thread_is_refused(self):
        if os.getuid() != 0:
            self.skipTest("needs root, to become a user with a limit")
        uid = 54322
        user = ["setpriv", f"--reuid={uid}", f"--regid={uid}", "--clear-groups", "--inh-caps=-all"]
        c = self.cluster(pools(["web"]))
        shutil.copy(TOPSMAN, c.dir / "topsman")
        for path in [c.dir, c.runtime]:
            os.chown(path, uid, uid)
        with open(c.log_path, "ab") as log:
            c.master = subprocess.Popen([*user, str(c.dir / "topsman"), "run", str(c.file)], env=c.env,
                                        cwd=c.dir, stdin=subprocess.DEVNULL, stdout=log, stderr=log)
        c.enter, c.topsman = user, str(c.dir / "topsman")
        c.wait_up()

        def limit(processes):
            subprocess.run([*user, "prlimit", f"--pid={c.master.pid}", f"--nproc={processes}:"], check=True)
        limit(1)
        for path in ["/v1/reload", "/v1/restart"]:
            self.assertIn("new thread", json.dumps(answer(post(c, path))))
        limit(100)
        c.cli("reload")
        c.cli("restart")

    def test_a_stop_answers_those_who_still_wait_for_a_file_to_be_read(self):
        c = self.cluster(pools(["web"])).start()
        c.write_yaml(slow(pools(["web", "more"])))
        waiting = [post(c, path) for path in ["/v1/reload", "/v1/restart", "/v1/stop"]]
        answers = [answer(s) for s in waiting]
        self.assertEqual(answers[2]["result"], "done")
        for a in answers[:2]:  # done already, where this test was slower than the reader
            self.assertIn((a["result"], a["reason"]), [("failed", "the master is stopping"), ("done", "")])
        self.assertEqual(c.wait_master(), 0, c.log())


class Segments(TestCase):
    def test_living_workers_are_seen_in_a_segment_with_other_lanes_too(self):
        c = self.cluster("segment: { lanes: 16 }\n" + pools(["web"])).start()
        with Pidfd(c.pids()[0]) as old:
            c.kill_master()
            c.write_yaml("segment: { lanes: 32 }\n" + pools(["web"]))
            c.start(expect=1)
            self.assertIn("its workers web/0", c.log())
            c.start(wait_ready=None, args=["--take-over"])
            self.assertTrue(old.wait())
        # Its segment is a new one: not to be looked at before it is whole.
        while json.loads((c.runtime / f"{c.name}.json").read_text())["pid"] != c.master.pid:
            self.assertIsNone(c.master.poll(), c.log())
            wait_for_change(c.runtime, 0.2)
        c.wait_up()
        os.unlink(f"{c.segment}.stale")

    def test_an_adopted_segment_is_shared_as_the_file_says_now(self):
        def mode():
            return stat.S_IMODE(os.stat(c.segment).st_mode)
        c = self.cluster(pools(["web"])).start()
        self.assertEqual(mode(), 0o600)
        c.kill_master()
        own = os.getgid()  # anybody may give to a group that they are in
        c.write_yaml(f"control: {{ group: {own} }}\n" + pools(["web"]))
        c.start(args=["--take-over"])
        self.assertEqual(mode(), 0o640)
        c.kill_master()
        c.write_yaml(pools(["web"]))
        c.start(args=["--take-over"])
        self.assertEqual(mode(), 0o600)


class Starts(TestCase):
    def test_a_runtime_directory_too_long_for_the_workers_sockets_is_refused(self):
        c = self.cluster(pools(["web"]))
        fits = c.runtime / ("r" * (106 - len(f"{c.runtime}/{c.name}.sock")))
        fits.mkdir()  # long enough for CLUSTER.sock, not for CLUSTER.notify.256
        c.env["RUNTIME_DIRECTORY"] = str(fits)
        c.start(expect=1)
        self.assertIn("notify.256 is longer than 107 characters", c.log())
        self.assertFalse(c.segment.exists())
        shutil.rmtree(fits)


class Watch(TestCase):
    def releases(self, c, number):
        release = c.dir / f"release{number}"
        release.mkdir()
        (release / "cluster.yaml").write_text(c.text("watch: true\n" + pools(["web"], f"[sleep, '{number}']")))
        return release

    def loaded(self, c, number):
        """The worker is the one of that release, without anybody asking for a reload."""
        def is_so(state):
            slot = state["pools"][0]["slots"][0]
            try:
                command = pathlib.Path(f"/proc/{slot['pid']}/cmdline").read_bytes()
            except OSError:
                return False
            return slot["state"] == "serving" and command == f"sleep\0{number}\0".encode()
        c.wait_status(is_so)

    def test_a_link_to_the_directory_of_the_file_is_swapped_again_and_again(self):
        c = self.cluster("")
        os.symlink(self.releases(c, 1001), c.dir / "current")
        c.file = c.dir / "current" / "cluster.yaml"
        c.start()
        for number in [1002, 1003]:
            os.symlink(self.releases(c, number), c.dir / "next")
            os.rename(c.dir / "next", c.dir / "current")
            self.loaded(c, number)

    def test_the_directory_of_the_file_is_replaced(self):
        c = self.cluster("")
        os.rename(self.releases(c, 1001), c.dir / "etc")
        c.file = c.dir / "etc" / "cluster.yaml"
        c.start()
        for number in [1002, 1003]:
            release = self.releases(c, number)
            os.rename(c.dir / "etc", c.dir / f"before{number}")
            os.rename(release, c.dir / "etc")
            self.loaded(c, number)
        c.file.write_text(c.text("watch: true\n" + pools(["web"], "[sleep, '1004']")))
        self.loaded(c, 1004)


class Outputs(TestCase):
    def test_a_worker_that_closes_its_output_costs_the_master_nothing(self):
        c = self.cluster(pools(["web"], "[sh, -c, 'echo last words; exec sleep 1000 >&- 2>&-']",
                               "    output: { to: prefix }\n")).start()
        before = cpu_ticks(c.master.pid)
        c.wait_next(c.last_seq(), 2)
        self.assertLess(cpu_ticks(c.master.pid) - before, 50)
        self.assertIn("web/0 | last words", c.log())


if __name__ == "__main__":
    main()
