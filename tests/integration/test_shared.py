"""What workers share, changed by a reload: they live on, and find what is new by its name."""

import json

from harness import TestCase, http_yaml, main


def yaml(shared):
    return http_yaml(2) + f"shared: {shared}\n"


class Shared(TestCase):
    def up(self, shared):
        c = self.cluster(yaml(shared)).start()
        self.pids = c.pids()
        return c

    def reload(self, c, shared, expect=0):
        c.write_yaml(yaml(shared))
        return c.cli("reload", expect=expect)

    def test_what_is_named_by_a_reload_is_there_and_nobody_is_replaced(self):
        c = self.up("{ counters: [orders] }")
        c.cli("counters add", "orders", "5")
        c.cli("counters add", "refunds", expect=1)
        c.write_yaml(yaml("{ counters: [orders, refunds], mutexes: [till], semaphores: { db: 3 } }"))
        plan = c.cli("plan", expect=6)
        self.assertEqual(plan.stdout.splitlines(), [
            "shared.counters: refunds added, for all workers at once",
            "shared.mutexes: till added, for all workers at once",
            "shared.semaphores: db added, for all workers at once"])
        self.assertEqual(len(json.loads(c.cli("plan", "--json", expect=6).stdout)["plan"]["shared"]), 3)
        c.cli("reload")
        self.assertEqual(c.cli("plan").stdout, "nothing would change\n")
        self.assertEqual(c.cli("counters add", "refunds").stdout, "1\n")
        self.assertEqual(c.cli("counters get", "orders").stdout, "5\n")
        status = c.status()
        self.assertIn("till", status["mutexes"])
        self.assertEqual(c.pids(), self.pids)

    def test_what_is_not_named_any_more_stays_until_the_stop(self):
        c = self.up("{ counters: [orders] }")
        c.cli("counters add", "orders", "5")
        c.write_yaml(yaml("{}"))
        self.assertIn("not named any more, but there until topsman is stopped", c.cli("plan", expect=6).stdout)
        c.cli("reload")
        self.assertEqual(c.cli("counters get", "orders").stdout, "5\n")

    def test_numbers_change_and_a_rollback_puts_them_back(self):
        def permits():
            [db] = [one for one in c.status()["shared"] if one["name"] == "db"]
            return db["permits"]

        c = self.up("{ semaphores: { db: 3 } }")
        self.assertEqual(permits(), 3)
        self.assertIn("shared: as the configuration says now", self.reload(c, "{ semaphores: { db: 5 } }").stdout)
        self.assertEqual(permits(), 5)
        c.cli("rollback")
        self.assertEqual(permits(), 3)
        self.assertIn("the file differs from what runs", c.status()["master"]["note"])

    def test_what_has_no_room_is_refused_with_how_much_and_changes_nothing(self):
        c = self.up("{ counters: [orders] }")
        many = ", ".join(f"n{i}" for i in range(256))
        refused = self.reload(c, f"{{ counters: [{many}], mutexes: [till] }}", expect=1)
        # topsman-http has registered names of its own.
        self.assertRegex(refused.stdout, r"shared.counters: 256 new, and room for 2\d\d: \d+ too many\.")
        self.assertIn("nothing has changed", refused.stderr)
        self.assertNotIn("till", c.status()["mutexes"])
        self.assertIn("too many", c.cli("plan", expect=1).stdout)

    def test_queues_and_histograms_come_out_of_the_reserve(self):
        c = self.up("{ queues: { jobs: {} } }")
        c.cli("queue submit", "jobs", "one")
        self.reload(c, "{ queues: { mails: { capacity: 10 }, jobs: {} } }")
        c.cli("queue submit", "mails", "two")
        self.assertEqual({name: queue["ready"] for name, queue in c.status()["queues"].items()}, {"jobs": 1, "mails": 1})
        self.assertIn("a reload cannot change this", self.reload(c, "{ queues: { jobs: { capacity: 5 } } }", expect=1).stdout)
        refused = self.reload(c, "{ queues: { jobs: {}, huge: { capacity: 10000 } }, histograms: [ms] }", expect=1)
        self.assertRegex(refused.stdout, r"queue huge and histogram ms would take [0-9.]+M, and of segment.reserve are left "
                                         r"[0-9.]+[KM]: [0-9.]+M too little")
        self.assertEqual(list(c.status()["queues"]), ["jobs", "mails"])
        # Not named any more, also for the next master: it and its job are there.
        self.reload(c, "{ queues: { jobs: {} } }")
        c.kill_master()
        c.start()
        self.assertEqual(c.status()["queues"]["mails"]["ready"], 1)
        self.reload(c, "{ queues: { jobs: {}, mails: { capacity: 10 } } }")
        self.assertIn("another shape", self.reload(c, "{ queues: { jobs: {} } }").stdout +
                      self.reload(c, "{ queues: { jobs: {}, mails: { capacity: 11 } } }", expect=1).stdout)
        self.assertEqual(c.pids(), self.pids)

    def test_channels_and_blocks_come_out_of_the_reserve(self):
        def shared():
            return {line["name"]: line["state"] for line in c.status()["shared"] if line["kind"] in ("channel", "blocks")}

        c = self.up("{ blocks: { 4KiB: 4 } }")
        more = "{ blocks: { 1KiB: 8, 4KiB: 4 }, channels: { news: { to: web, slots: 4, capacity: 8 } } }"
        c.write_yaml(yaml(more))
        self.assertEqual(c.cli("plan", expect=6).stdout.splitlines(), [
            "shared.channels: news added, for all workers at once", "shared.blocks: 1KiB added, for all workers at once"])
        c.cli("reload")
        there = {"news": "0 unread, 0 of 2 workers of web receive", "1KiB": "0 of 8 in use", "4KiB": "0 of 4 in use"}
        self.assertEqual(shared(), there)
        c.cli("channel send", "news", "--slot", "0", "hello")
        there["news"] = "1 unread, 0 of 2 workers of web receive"
        refused = self.reload(c, "{ blocks: { 4KiB: 4 }, channels: { huge: { to: web, slots: 512 } } }", expect=1)
        self.assertRegex(refused.stdout, r"channel huge would take [0-9.]+M, and of segment.reserve are left [0-9.]+[KM]: "
                                         r"[0-9.]+M too little")
        self.assertIn("a reload cannot change this", self.reload(c, more.replace("1KiB: 8", "1KiB: 9"), expect=1).stdout)
        self.assertEqual(shared(), there)
        c.kill_master()
        c.write_yaml(yaml(more))
        c.start()
        self.assertEqual(shared(), there)
        self.assertEqual(c.pids(), self.pids)

    def test_the_next_master_knows_what_a_reload_has_named(self):
        c = self.up("{ counters: [orders] }")
        self.reload(c, "{ counters: [orders, refunds] }")
        c.cli("counters add", "refunds", "7")
        c.kill_master()
        c.write_yaml(yaml("{ counters: [orders, refunds, returns] }"))
        c.start()
        self.assertEqual(c.cli("counters add", "refunds").stdout, "8\n")
        self.assertEqual(c.cli("counters add", "returns").stdout, "1\n")
        self.assertEqual(c.pids(), self.pids)


if __name__ == "__main__":
    main()
