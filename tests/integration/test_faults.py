"""Bad input and faults: one clear sentence each, and nothing is lost."""

import json
import os
import pathlib
import resource
import shutil
import signal
import socket
import subprocess
import unittest

from harness import AT_ONCE as NOW, DEADLINE, TOPSMAN, Pidfd, TestCase, get, http_yaml as http, is_ours, main, \
    pool_yaml as pool, port_of

def setpriv(uid=65534):
    return ["setpriv", f"--reuid={uid}", f"--regid={uid}", "--clear-groups", "--inh-caps=-all"]


class Workers(TestCase):
    def test_a_command_that_is_not_executable(self):
        c = self.cluster(pool("[./plain.txt]"), files={"plain.txt": "no program"})
        c.start(wait_ready=False)
        self.assertIn("Permission denied", c.wait_event("worker.exited")["reason"])

    def test_a_folder_that_does_not_exist(self):
        c = self.cluster(pool("[sleep, '1000']", "    working_directory: /does/not/exist\n"))
        c.start(wait_ready=False)
        self.assertIn("/does/not/exist: No such file", c.wait_event("worker.exited")["reason"])

    def test_a_worker_that_forks_away_is_paced_and_its_orphans_are_reaped(self):
        c = self.cluster(pool("[sh, -c, 'setsid sleep 2 & exit 0']", "    backoff: { initial: 1m, max: 1m }\n"))
        c.start(wait_ready=False)
        c.wait_event("slot.waiting")
        # Two starts, two orphans: ours now, and reaped by us when they end.
        children = pathlib.Path(f"/proc/{c.master.pid}/task/{c.master.pid}/children").read_text().split()
        orphans = [Pidfd(int(pid)) for pid in children]
        for orphan in orphans:
            self.assertTrue(orphan.wait())
            orphan.close()
        seq = c.last_seq()
        c.cli("reset-failed", "web")
        c.wait_event("worker.exited", since=seq)  # by then it has turned over its earlier SIGCHLDs
        states = []
        for pid in children:
            try:
                states.append(pathlib.Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0])
            except OSError:
                pass
        self.assertEqual(states, [], "zombies were left")

    def test_a_flood_on_stderr_does_not_hold_up_the_master(self):
        flood = "import os\nwhile True: os.write(2, b'x' * 200 + b'\\n')\n"
        c = self.cluster(pool("[python3, flood.py]", NOW + "    output: { to: prefix }\n"),
                         files={"flood.py": flood}).start()
        for _ in range(3):
            self.assertEqual(c.status()["master"]["state"], "running")
            c.cli("restart", "web")
        c.stop("--now")

    def test_nobody_reads_the_log(self):
        flood = "import os\nwhile True: os.write(2, b'x' * 200 + b'\\n')\n"
        c = self.cluster(pool("[python3, flood.py]", NOW + "    output: { to: prefix }\n"),
                         files={"flood.py": flood})
        read, write = os.pipe()
        c.master = subprocess.Popen([TOPSMAN, "run", str(c.file)], stdin=subprocess.DEVNULL, stdout=write,
                                    stderr=write, env=c.env, cwd=c.dir)
        os.close(write)
        c.wait_up()
        c.cli("restart", "web")
        c.cli("stop", "--now")
        self.assertIsNotNone(c.master.wait(DEADLINE))  # its end does not wait for a reader
        os.close(read)

    def test_a_crash_loop_burns_no_cpu(self):
        c = self.cluster(pool("[/bin/false]", workers=4))
        c.start(wait_ready=False)
        seq = 0
        for _ in range(8):
            seq = c.wait_event("slot.waiting", since=seq)["seq"]
        starts = [e for e in c.events() if e["event"] == "worker.exited"]
        self.assertLess(len(starts), 60)

    def test_fork_that_fails_is_tried_again(self):
        if os.getuid() != 0:
            self.skipTest("needs root, to become a user with a limit")
        uid = 54321
        c = self.cluster(pool("[sleep, '1000']", NOW + "    backoff: { initial: 20ms, max: 50ms }\n"))
        shutil.copy(TOPSMAN, c.dir / "topsman")
        os.chown(c.dir, uid, uid)
        os.chown(c.runtime, uid, uid)
        with open(c.log_path, "ab") as log:
            c.master = subprocess.Popen([*setpriv(uid), str(c.dir / "topsman"), "run", str(c.file)], env=c.env,
                                        cwd=c.dir, stdin=subprocess.DEVNULL, stdout=log, stderr=log)
        c.enter = setpriv(uid)
        c.topsman = str(c.dir / "topsman")
        c.wait_up()

        def limit(processes):
            subprocess.run([*setpriv(uid), "prlimit", f"--pid={c.master.pid}", f"--nproc={processes}:"],
                           check=True)
        seq = c.last_seq()
        limit(1)
        os.kill(c.pids()[0], signal.SIGKILL)
        killed = c.wait_event("worker.exited", since=seq)
        event = c.wait_event("worker.exited", since=killed["seq"])
        self.assertIn("Resource temporarily unavailable", event["reason"])
        limit(100)
        c.wait_event("worker.ready", since=event["seq"])

    def test_descriptors_exhausted_is_tried_again(self):
        c = self.cluster(pool("[sleep, '1000']", NOW + "    backoff: { initial: 20ms, max: 50ms }\n", 2)).start()
        used = len(os.listdir(f"/proc/{c.master.pid}/fd"))
        seq = c.last_seq()
        resource.prlimit(c.master.pid, resource.RLIMIT_NOFILE, (used - 2, 20000))
        os.kill(c.pids()[0], signal.SIGKILL)
        event = c.wait_event("worker.exited", since=c.wait_event("worker.exited", since=seq)["seq"])
        self.assertIn("Too many open files", event["reason"])
        resource.prlimit(c.master.pid, resource.RLIMIT_NOFILE, (20000, 20000))
        c.wait_event("worker.ready", since=event["seq"])
        c.wait_up()


class Start(TestCase):
    def test_an_unwritable_runtime_directory(self):
        c = self.cluster(http())
        c.env["RUNTIME_DIRECTORY"] = "/proc/nowhere"
        c.start(expect=1)
        self.assertIn("/proc/nowhere", c.log())

    @unittest.skipUnless(os.getuid() == 0, "needs root, to give up the right to")
    def test_a_privileged_port_says_what_it_takes(self):
        c = self.cluster(http(address="127.0.0.1:81"))
        shutil.copy(TOPSMAN, c.dir / "topsman")
        os.chown(c.runtime, 65534, 65534)
        done = subprocess.run([*setpriv(), str(c.dir / "topsman"), "run", str(c.file)], env=c.env, cwd=c.dir,
                              capture_output=True, text=True, timeout=DEADLINE)
        if "Permission denied" not in done.stderr:
            self.skipTest("net.ipv4.ip_unprivileged_port_start lets anybody bind here")
        self.assertEqual(done.returncode, 1)
        self.assertIn("listener http: bind 127.0.0.1:81: Permission denied", done.stderr)
        self.assertIn("1023", done.stderr)
        for name in os.listdir(c.runtime):
            os.chown(c.runtime / name, 0, 0)

    @unittest.skipUnless(os.getuid() == 0 and shutil.which("unshare"), "needs root and unshare")
    def test_a_full_dev_shm_says_how_much_is_needed(self):
        c = self.cluster(http())
        done = subprocess.run(
            ["unshare", "--mount", "sh", "-c",
             f"mount -t tmpfs -o size=64k tmpfs /dev/shm && exec {TOPSMAN} run {c.file}"],
            env=c.env, cwd=c.dir, capture_output=True, text=True, timeout=DEADLINE)
        self.assertEqual(done.returncode, 1, done.stderr)
        self.assertIn("/dev/shm", done.stderr)
        self.assertIn("--shm-size", done.stderr)

    @unittest.skipUnless(os.getuid() == 0 and shutil.which("unshare"), "needs root and unshare")
    def test_64_megabytes_of_dev_shm_are_enough(self):
        c = self.cluster(http())
        c.master = subprocess.Popen(
            ["unshare", "--mount", "sh", "-c",
             f"mount -t tmpfs -o size=64m tmpfs /dev/shm && exec {TOPSMAN} run {c.file}"],
            env=c.env, cwd=c.dir, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL)
        c.enter = ["nsenter", "-t", str(c.master.pid), "-m", "-r"]
        c.wait_up()

    def test_random_bytes_under_the_segment_s_name_are_put_aside(self):
        c = self.cluster(http())
        c.segment.write_bytes(os.urandom(100_000))
        os.chmod(c.segment, 0o600)
        stale = c.segment.with_name(c.segment.name + ".stale")
        self.addCleanup(lambda: stale.unlink(missing_ok=True))
        c.start()
        self.assertIn("put aside", c.log())
        self.assertTrue(stale.exists())

    def test_a_file_that_is_wrong_says_all_that_is_wrong_and_exits_78(self):
        c = self.cluster("pools:\n  web:\n    command: topsman-http\n    wrokers: 3\n    restart: sometimes\n")
        c.start(expect=78)
        log = c.log()
        for word in ("write [topsman-http]", "workers", "sometimes", "always"):
            self.assertIn(word, log)

    def test_sigterm_during_the_start_leaves_nothing(self):
        c = self.cluster(http(workers=20))
        c.start(wait_ready=False)
        c.master.terminate()
        self.assertEqual(c.wait_master(), 0)


class Stop(TestCase):
    def test_sigterm_during_a_reload_and_a_scaling(self):
        slow = pool("[sh, -c, 'trap \"exit 0\" TERM; sleep 1000 & wait']", "    ready: { min_uptime: 5s }\n", 2)
        for change in ("reload", "scale"):
            with self.subTest(change=change):
                c = self.cluster(pool("[sleep, '1000']", NOW, 2)).start()
                seq = c.last_seq()
                args = ["web=9"]
                if change == "reload":
                    c.write_yaml(slow)
                    args = []
                asking = subprocess.Popen([TOPSMAN, change, "-n", c.name, *args], env=c.env, text=True,
                                          stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
                c.wait_event("worker.spawned", since=seq)
                c.master.terminate()
                text, _ = asking.communicate(timeout=DEADLINE)
                self.assertEqual(c.wait_master(), 0)
                if change == "reload":
                    self.assertEqual(asking.returncode, 1)
                    self.assertIn("stopping", text)

    def test_ctrl_c_twice_ends_at_once(self):
        c = self.cluster(pool("[sh, -c, 'trap : TERM; while :; do sleep 1000 & wait; done']", NOW)).start()
        seq = c.last_seq()
        c.master.send_signal(signal.SIGINT)
        c.wait_event("worker.draining", since=seq)
        c.master.send_signal(signal.SIGINT)
        self.assertEqual(c.wait_master(), 0)


class Looking(TestCase):
    def test_status_works_beside_a_hung_and_a_dead_master(self):
        c = self.cluster(http()).start()
        port = port_of(c)
        get(port)
        c.stop_master()
        by_file = [TOPSMAN, "status", "-c", str(c.file), "--json"]
        c.file.write_text("this: is: no: configuration")
        state = json.loads(subprocess.run(by_file, env=c.env, capture_output=True, text=True).stdout)
        self.assertEqual(state["master"]["state"], "hung")
        self.assertEqual(state["counters"]["http_requests"]["total"], 1)
        self.assertEqual(get(port)[0], 200)
        c.kill_master()
        state = json.loads(subprocess.run(by_file, env=c.env, capture_output=True, text=True).stdout)
        self.assertEqual(state["master"]["state"], "dead")
        self.assertEqual(get(port)[0], 200)
        text = c.cli("status").stdout
        self.assertIn("no master", text)
        self.assertEqual(c.counter("http_requests"), 3)
        done = c.cli("reload", expect=3)
        self.assertIn("topsman run", done.stderr)

    def test_a_hung_master_does_not_hang_a_command(self):
        c = self.cluster(http()).start()
        c.stop_master()
        done = c.cli("reload", "--timeout", "300ms", expect=5)
        self.assertTrue(done.stderr.strip())

    def test_a_worker_stopped_by_hand_is_named(self):
        c = self.cluster(http()).start()
        pid = c.pids()[0]
        os.kill(pid, signal.SIGSTOP)
        # kill(2) returns before the process has come to its stop.
        c.wait_status(lambda s: any(w["pid"] == pid and w["stopped"] for w in s["pools"][0]["slots"]))
        os.kill(pid, signal.SIGCONT)


if __name__ == "__main__":
    main()
