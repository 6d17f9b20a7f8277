"""The file: reload by signal, by command and by saving; scaling by editing; what is refused."""

import json
import os
import signal

from harness import DEADLINE, TestCase, get, http_yaml, main, pool_yaml, port_of

def yaml(workers=2, more="", watch="false"):
    return http_yaml(workers, more=more + "\n") + f"watch: {watch}\n"


class Reload(TestCase):
    def workers(self, c):
        return {s["slot"]: s["pid"] for s in c.pool()["slots"] if s["role"] == "current"}

    def test_scaling_by_command_reload_starts_and_ends_exactly_the_difference(self):
        c = self.cluster(yaml(2)).start()
        two = self.workers(c)
        c.write_yaml(yaml(5))
        done = c.cli("reload")
        self.assertIn("2 -> 5", done.stdout)
        five = self.workers(c)
        self.assertEqual(len(five), 5)
        self.assertEqual({k: five[k] for k in two}, two)
        c.write_yaml(yaml(1))
        c.cli("reload")
        self.assertEqual(self.workers(c), {0: two[0]})

    def test_of_too_many_generations_that_drain_the_oldest_is_ended(self):
        def pool(generation):  # it does not stop when it is told to
            return pool_yaml(f"[sh, -c, 'trap : TERM; while :; do sleep inf; done', {generation}]",
                             "    ready: { min_uptime: 10ms }\n    stop_timeout: 1h\n"
                             "    rollout: { observe: 0s, max_surge: 3 }\n    max_old_generations: 1\n")
        c = self.cluster(pool("first")).start()
        first = c.pids()[0]
        c.write_yaml(pool("second"))
        c.cli("reload", "--no-wait")
        c.wait_event("worker.draining", pid=first)
        second = c.wait_event("worker.ready", since=c.wait_event("worker.ready")["seq"])["pid"]
        c.write_yaml(pool("third"))
        c.cli("reload", "--no-wait")
        self.assertIn("max_old_generations: more than 1", c.wait_event("worker.exited", pid=first)["reason"])
        states = {s["pid"]: s["state"] for s in c.pool()["slots"]}
        self.assertEqual(states[second], "draining")
        c.cli("stop", "--now")

    def test_sighup_reloads(self):
        c = self.cluster(yaml(1)).start()
        c.write_yaml(yaml(2))
        seq = c.last_seq()
        c.master.send_signal(signal.SIGHUP)
        c.wait_event("config.loaded", since=seq)
        c.wait_event("worker.ready", since=seq, slot=1)

    def test_saving_in_place_and_by_rename_scales(self):
        c = self.cluster(yaml(1, watch="true")).start()
        seq = c.last_seq()
        c.write_yaml(yaml(2, watch="true"))
        c.wait_event("worker.ready", since=seq, slot=1)
        seq = c.last_seq()
        c.rename_yaml(yaml(3, watch="true"))
        c.wait_event("worker.ready", since=seq, slot=2)
        seq = c.last_seq()
        c.rename_yaml(yaml(1, watch="true"))
        c.wait_event("worker.exited", since=seq, slot=2)

    def test_a_broken_file_changes_nothing_and_says_what_and_where(self):
        c = self.cluster(yaml(2)).start()
        before = self.workers(c)
        seq = c.last_seq()
        c.write_yaml(yaml(2, more="    restrat: always"))
        done = c.cli("reload", expect=1)
        said = done.stdout + done.stderr
        self.assertIn("restrat", said)
        self.assertIn("restart", said)
        self.assertIn(str(c.file), said)
        c.wait_event("config.refused", since=seq)
        self.assertEqual(self.workers(c), before)
        self.assertIn("the file was refused: cluster.yaml:", c.status()["master"]["note"])
        c.status()  # also with a broken file, by -n; and by -c
        import subprocess
        from harness import TOPSMAN
        by_file = subprocess.run([TOPSMAN, "status", "-c", str(c.file), "--json"], env=c.env,
                                 capture_output=True, text=True, timeout=DEADLINE)
        self.assertEqual(json.loads(by_file.stdout)["cluster"], c.name)

    def test_a_new_command_replaces_one_by_one_and_the_port_never_stops_answering(self):
        c = self.cluster(yaml(3)).start()
        port = port_of(c)
        old = self.workers(c)
        c.write_yaml(yaml(3, more="    environment: { COLOR: blue }"))
        c.cli("reload")
        new = self.workers(c)
        self.assertEqual(set(new) , {0, 1, 2})
        self.assertEqual(set(new.values()) & set(old.values()), set())
        self.assertEqual({s["generation"] for s in c.pool()["slots"]}, {2})
        self.assertEqual(get(port)[0], 200)

    BAD = "[sh, -c, 'echo no database >&2; exit 3']"

    def test_a_bad_new_command_is_rolled_back_and_costs_nobody(self):
        c = self.cluster(yaml(3)).start()
        port = port_of(c)
        old = self.workers(c)
        seq = c.last_seq()
        c.write_yaml(yaml(3, more="    output: { to: prefix }").replace("[topsman-http]", self.BAD))
        done = c.cli("reload", expect=4)
        self.assertIn("rolled back: web/0: new worker exited with code 3; its last words: no database",
                      done.stderr)
        self.assertEqual(self.workers(c), old)
        self.assertEqual(get(port)[0], 200)
        events = [e["event"] for e in c.events(seq) if e["event"].startswith(("rollout", "config"))]
        self.assertEqual(events, ["rollout.started", "config.loaded", "rollout.failed",
                                  "rollout.rolled_back", "config.loaded"])
        state = c.status()
        self.assertIn("the file differs from what runs", state["master"]["note"])
        self.assertEqual(state["pools"][0]["rollout"], "rolled back")
        self.assertIn("rolled back: web/0: new worker", c.cli("status").stdout)
        # The next death brings back what worked; the same file once more fails once more.
        seq = c.last_seq()
        os.kill(old[1], signal.SIGKILL)
        c.wait_event("worker.ready", since=seq, slot=1)
        self.assertEqual(c.slot(1)["generation"], 1)
        c.cli("reload", expect=4)
        c.write_yaml(yaml(3))
        c.cli("reload")
        self.assertEqual(c.status()["master"]["note"], "")

    def test_saving_what_was_rolled_back_does_not_try_it_again(self):
        c = self.cluster(yaml(2, watch="true")).start()
        bad = yaml(2, watch="true").replace("[topsman-http]", self.BAD)
        seq = c.last_seq()
        c.write_yaml(bad)
        c.wait_event("rollout.rolled_back", since=seq)
        seq = c.last_seq()
        c.rename_yaml(bad)
        c.wait_log("it says what was rolled back")
        c.rename_yaml(yaml(3, watch="true"))
        c.wait_event("worker.ready", since=seq, slot=2)
        self.assertEqual([e for e in c.events(seq) if e["event"] == "rollout.started"], [])

    def test_a_paused_reload_stays_until_it_goes_on_or_back(self):
        c = self.cluster(yaml(2)).start()
        more = "    rollout: { on_failure: pause, observe: 100ms }\n    environment: { COLOR: blue }"
        flag = c.dir / "good"
        program = f"[sh, -c, 'test -e {flag} && exec topsman-http; exit 3']"
        c.write_yaml(yaml(2, more=more).replace("[topsman-http]", program))
        old = self.workers(c)
        done = c.cli("reload", expect=1)
        self.assertIn("web is paused", done.stderr)
        self.assertEqual(c.pool()["rollout"], "paused")
        self.assertEqual(self.workers(c), old)
        c.write("good", "")
        c.cli("reload")
        self.assertEqual(set(self.workers(c).values()) & set(old.values()), set())
        c.cli("rollback")
        self.assertEqual({s["generation"] for s in c.pool()["slots"]}, {1})
        self.assertIn("the file differs", c.status()["master"]["note"])

    def test_rollback_goes_to_what_was_before_and_forth_again(self):
        c = self.cluster(yaml(2)).start()
        done = c.cli("rollback", expect=1)
        self.assertIn("nothing to go back to", done.stderr)
        c.write_yaml(yaml(3, more="    environment: { COLOR: blue }"))
        c.cli("reload")
        self.assertEqual({s["generation"] for s in c.pool()["slots"]}, {2})
        c.cli("rollback")
        self.assertEqual([(s["slot"], s["generation"]) for s in c.pool()["slots"]], [(0, 1), (1, 1)])
        self.assertIn("the file differs", c.status()["master"]["note"])
        c.cli("rollback")
        self.assertEqual({s["generation"] for s in c.pool()["slots"]}, {2})
        self.assertEqual(c.pool()["ready"], 3)
        self.assertEqual(c.status()["master"]["note"], "")

    def test_a_newer_reload_wins_and_the_older_caller_is_told(self):
        c = self.cluster(yaml(2)).start()
        never = "    rollout: { observe: 1h }\n    environment: { COLOR: blue }"
        c.write_yaml(yaml(2, more=never))
        seq = c.last_seq()
        with c.background("reload") as older:
            c.wait_event("worker.ready", since=seq)
            c.write_yaml(yaml(2))
            c.cli("reload")
            out, err = older.communicate(timeout=DEADLINE)
        self.assertEqual(older.returncode, 1)
        self.assertIn("overtaken by a newer reload", err)
        self.assertEqual({s["generation"] for s in c.pool()["slots"]}, {1})

    def test_a_restart_after_a_failed_reload_reads_the_env_file_again(self):
        def said(last):
            return (f"pools:\n  web:\n    command: [sh, -c, 'echo $COLOR >> $CLUSTER_DIR/said; {last}']\n"
                    "    workers: 1\n    ready: { min_uptime: 10ms }\n    env_file: extra.env\n")
        c = self.cluster(said("exec sleep 1000"), files={"extra.env": "COLOR=red\n"}).start()
        c.write_yaml(said("exit 3"))
        c.cli("reload", expect=4)
        c.write("extra.env", "COLOR=blue\n")
        c.cli("restart", "web")
        self.assertEqual(c.wait_file("said").split()[-1], "blue")

    def test_policies_apply_at_once_to_living_workers(self):
        c = self.cluster(yaml(1)).start()
        before = self.workers(c)
        c.write_yaml(yaml(1, more="    restart: \"no\""))
        c.cli("reload")
        self.assertEqual(self.workers(c), before)
        seq = c.last_seq()
        os.kill(before[0], signal.SIGKILL)
        c.wait_event("worker.exited", since=seq)
        c.wait_status(lambda s: s["pools"][0]["slots"][0]["state"] == "finished")

    def test_pools_are_added_and_removed(self):
        c = self.cluster(yaml(1)).start()
        extra = "  extra:\n    command: [sleep, '1000']\n    workers: 2\n    ready: { min_uptime: 10ms }\n"
        c.write_yaml(yaml(1, more=extra))
        c.cli("reload")
        c.wait_up()
        self.assertEqual(len(c.pids("extra")), 2)
        c.write_yaml(yaml(1))
        c.cli("reload")
        self.assertEqual([p["name"] for p in c.status()["pools"]], ["web"])

    def test_a_thousand_reloads_in_a_row_leak_nothing(self):
        c = self.cluster(yaml(2)).start()
        c.cli("reload")
        fds = len(os.listdir(f"/proc/{c.master.pid}/fd"))
        before = self.workers(c)
        for i in range(1000):
            seq = c.last_seq() if i % 250 == 0 else 0
            c.master.send_signal(signal.SIGHUP)
            if i % 250 == 0:
                c.wait_event("config.loaded", since=seq)
        c.cli("reload")
        self.assertLessEqual(len(os.listdir(f"/proc/{c.master.pid}/fd")), fds + 1)
        self.assertEqual(self.workers(c), before)


class Commands(TestCase):
    def test_scale_holds_until_the_next_reload(self):
        c = self.cluster(yaml(2)).start()
        done = c.cli("scale", "web=4")
        self.assertEqual(c.pool()["ready"], 4)
        self.assertIn("2 -> 4", done.stdout)
        done = c.cli("reload")
        self.assertIn("4 -> 2", done.stdout)
        self.assertEqual(c.pool()["wanted"], 2)

    def test_ttin_and_ttou_add_and_remove_one(self):
        c = self.cluster(yaml(2)).start()
        seq = c.last_seq()
        c.master.send_signal(signal.SIGTTIN)
        c.wait_event("worker.ready", since=seq, slot=2)
        seq = c.last_seq()
        c.master.send_signal(signal.SIGTTOU)
        c.wait_event("worker.exited", since=seq, slot=2)

    def test_restart_replaces_all_one_pool_or_one_slot(self):
        c = self.cluster(yaml(3)).start()
        first = c.pids()
        c.cli("restart", "web/1")
        second = c.pids()
        self.assertEqual(first[0], second[0])
        self.assertNotEqual(first[1], second[1])
        self.assertEqual(first[2], second[2])
        c.cli("restart", "web")
        self.assertEqual(set(c.pids()) & set(second), set())
        c.cli("restart")

    def test_wrong_words_get_one_sentence(self):
        c = self.cluster(yaml(1)).start()
        for args, words in [(("scale", "wbe=3"), "web"), (("scale", "web=0"), "1"),
                            (("restart", "web/7"), "web"), (("restart", "nope"), "web"),
                            (("reset-failed", "nope"), "web")]:
            done = c.cli(*args, expect=None)
            self.assertIn(done.returncode, (1, 2), args)
            self.assertIn(words, done.stdout + done.stderr)

    def test_stop_fast_and_now(self):
        c = self.cluster(yaml(2)).start()
        self.assertEqual(c.stop("--fast"), 0)
        c = self.cluster(yaml(2)).start()
        self.assertEqual(c.stop("--now"), 0)

    def test_commands_without_a_cluster_exit_3(self):
        c = self.cluster(yaml(1))
        for command in ("status", "reload", "stop", "counters", "events"):
            done = c.cli(command, expect=3)
            self.assertTrue(done.stderr.strip())


if __name__ == "__main__":
    main()
