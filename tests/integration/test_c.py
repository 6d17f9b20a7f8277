"""topsman.h in a real cluster, called from Python: what C can call, every language can."""

import sys

from harness import BIN, TestCase, main

LIBRARY = BIN.parent / "lib" / "libtopsman.so.0"

WORKER = """
import ctypes, os, signal, sys

t = ctypes.CDLL(os.environ["LIBTOPSMAN"])
t.topsman_last_error.restype = ctypes.c_char_p
t.topsman_name.restype = ctypes.c_char_p
t.topsman_job_item.restype = ctypes.c_void_p
t.topsman_counter_add.argtypes = [ctypes.c_void_p, ctypes.c_uint64]
t.topsman_queue_take.argtypes = [ctypes.c_void_p, ctypes.c_int64, ctypes.c_void_p]
t.topsman_queue_submit.argtypes = [ctypes.c_void_p, ctypes.c_char_p, ctypes.c_size_t, ctypes.c_void_p,
                                   ctypes.c_int64, ctypes.c_void_p]
t.topsman_job_nack.argtypes = [ctypes.c_void_p, ctypes.c_int64]
t.topsman_job_item.argtypes = [ctypes.c_void_p, ctypes.c_void_p]
FOREVER = -1

def check(result):
    if result < 0:
        sys.exit(t.topsman_last_error().decode())
    return result

def opened(kind, *name_and_more):
    handle = ctypes.c_void_p()
    check(getattr(t, f"topsman_{kind}_open")(worker, *name_and_more, ctypes.byref(handle)))
    return handle

def item_of(job):
    size = ctypes.c_size_t()
    return ctypes.string_at(t.topsman_job_item(job, ctypes.byref(size)), size.value)

worker = ctypes.c_void_p()
check(t.topsman_attach(signal.SIGTERM, ctypes.byref(worker)))
assert t.topsman_is_supervised(worker) == 1
done, busy = opened("counter", b"done"), opened("gauge", b"busy")
jobs, results = opened("queue", b"jobs"), opened("queue", b"results")
check(t.topsman_ready(worker))
job = ctypes.c_void_p()
while check(t.topsman_queue_take(jobs, FOREVER, ctypes.byref(job))) == 1:
    t.topsman_gauge_add(busy, ctypes.c_int64(1))
    item = item_of(job)
    if item == b"fatal" and t.topsman_job_attempt(job) == 1:
        os.kill(os.getpid(), signal.SIGKILL)
    result = item.upper() + b" by " + t.topsman_name(worker)
    check(t.topsman_queue_submit(results, result, len(result), None, 0, None))
    t.topsman_counter_add(done, 1)
    t.topsman_gauge_add(busy, ctypes.c_int64(-1))
    check(t.topsman_job_ack(job))
"""

YAML = f"""
pools:
  python:
    command: [{sys.executable}, worker.py]
    environment: {{ LIBTOPSMAN: {LIBRARY} }}
    ready: {{ by: notify }}
    workers: 2
shared:
  queues:
    jobs: {{ item_size: 16 }}
    results: {{}}
"""


class C(TestCase):
    def up(self):
        return self.cluster(YAML, files={"worker.py": WORKER}).start()

    def wait_done(self, c, number):
        c.wait_status(lambda s: s["counters"].get("done", {}).get("total") == number and
                      s["queues"]["jobs"]["running"] == 0)

    def test_jobs_are_done_counted_and_answered(self):
        c = self.up()
        for _ in range(3):
            c.cli("queue submit", "jobs", "cat.jpg")
        self.wait_done(c, 3)
        self.assertEqual(c.status()["queues"]["results"]["ready"], 3)
        # Whoever waits for a job stops waiting when it is told to leave.
        self.assertEqual(c.stop(), 0)
        self.assertNotIn("SIGKILL", c.log())

    def test_a_worker_that_is_killed_over_a_job_leaves_it_to_the_others(self):
        c = self.up()
        c.cli("queue submit", "jobs", "fatal")
        exited = c.wait_event("worker.exited")
        self.assertIn("SIGKILL", str(exited))
        self.wait_done(c, 1)
        c.wait_up()
        self.assertEqual(c.status()["gauges"]["busy"]["total"], 0, "the dead one's part was taken back")


if __name__ == "__main__":
    main()
