"""topsman.h in a real cluster, called from Python: what C can call, every language can."""

import sys

from harness import BIN, TestCase, main

LIBRARY = BIN.parent / "lib" / "libtopsman.so.0"

COMMON = """
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
t.topsman_message_data.restype = ctypes.c_void_p
t.topsman_message_data.argtypes = [ctypes.c_void_p, ctypes.c_void_p]
t.topsman_channel_send.argtypes = [ctypes.c_void_p, ctypes.c_int32, ctypes.c_char_p, ctypes.c_size_t, ctypes.c_int64]
t.topsman_channel_receive.argtypes = [ctypes.c_void_p, ctypes.c_int64, ctypes.c_void_p]
t.topsman_channel_receive_all.argtypes = [ctypes.c_void_p, ctypes.c_size_t, ctypes.c_int64, ctypes.c_void_p]
t.topsman_messages_data.restype = ctypes.c_void_p
t.topsman_messages_data.argtypes = [ctypes.c_void_p, ctypes.c_size_t, ctypes.c_void_p]
FOREVER, TO_ANY, TO_ALL = -1, -1, -2

def check(result):
    if result < 0:
        sys.exit(t.topsman_last_error().decode())
    return result

def opened(kind, *name_and_more):
    handle = ctypes.c_void_p()
    check(getattr(t, f"topsman_{kind}_open")(worker, *name_and_more, ctypes.byref(handle)))
    return handle

def bytes_of(get, handle):
    size = ctypes.c_size_t()
    return ctypes.string_at(get(handle, ctypes.byref(size)), size.value)

worker = ctypes.c_void_p()
check(t.topsman_attach(signal.SIGTERM, ctypes.byref(worker)))
assert t.topsman_is_supervised(worker) == 1
"""

JOBS = COMMON + """
done, busy = opened("counter", b"done"), opened("gauge", b"busy")
jobs, results = opened("queue", b"jobs"), opened("queue", b"results")
check(t.topsman_ready(worker))
job = ctypes.c_void_p()
while check(t.topsman_queue_take(jobs, FOREVER, ctypes.byref(job))) == 1:
    t.topsman_gauge_add(busy, ctypes.c_int64(1))
    item = bytes_of(t.topsman_job_item, job)
    if item == b"fatal" and t.topsman_job_attempt(job) == 1:
        os.kill(os.getpid(), signal.SIGKILL)
    result = item.upper() + b" by " + t.topsman_name(worker)
    check(t.topsman_queue_submit(results, result, len(result), None, 0, None))
    t.topsman_counter_add(done, 1)
    t.topsman_gauge_add(busy, ctypes.c_int64(-1))
    check(t.topsman_job_ack(job))
"""

# The first asks, the second answers; both wait in poll, as event loops do.
MESSAGES = COMMON + """
import select

is_first = t.topsman_name(worker) == b"python/0"
news, answers = opened("channel", b"news"), opened("counter", b"answers")
poll = select.poll()
poll.register(check(t.topsman_channel_event_fd(news)), select.POLLIN)
poll.register(check(t.topsman_drain_fd(worker)), select.POLLIN)
check(t.topsman_ready(worker))
wanted = [b"fatal", b"good"]
if is_first:
    assert check(t.topsman_channel_send(news, TO_ALL, b"fatal", 5, FOREVER)) == 1
    assert check(t.topsman_channel_send(news, 1, b"good", 4, FOREVER)) == 1
message = ctypes.c_void_p()
while not t.topsman_draining(worker):
    poll.poll()
    while check(t.topsman_channel_receive(news, 0, ctypes.byref(message))) == 1:
        text = bytes_of(t.topsman_message_data, message)
        if is_first:
            assert text == wanted.pop(0), text
            t.topsman_counter_add(answers, 1)
        elif text == b"fatal" and not os.path.exists("killed"):
            open("killed", "w").close()
            os.kill(os.getpid(), signal.SIGKILL)
        else:
            check(t.topsman_channel_send(news, 0, text, len(text), FOREVER))
        check(t.topsman_message_ack(message))
"""

# The first sends, the second dies over the row that it has received, and its successor has all of it again.
ROWS = COMMON + """
news, received = opened("channel", b"news"), opened("counter", b"received")
sent = [b"one", b"two", b"three"]
if t.topsman_name(worker) == b"python/0":
    for text in sent:
        assert check(t.topsman_channel_send(news, 1, text, len(text), FOREVER)) == 1
check(t.topsman_ready(worker))
row, size = ctypes.c_void_p(), ctypes.c_size_t()
while (count := check(t.topsman_channel_receive_all(news, 4, FOREVER, ctypes.byref(row)))) != 0:
    for number in range(count):
        data = t.topsman_messages_data(row, number, ctypes.byref(size))
        text = ctypes.string_at(data, size.value)
        assert text == sent.pop(0), text
    if not os.path.exists("killed"):
        open("killed", "w").close()
        os.kill(os.getpid(), signal.SIGKILL)
    check(t.topsman_messages_ack(row))
    t.topsman_counter_add(received, count)
"""

# Submits the same key again and again; takes one in between.
ONCE = COMMON + """
class Options(ctypes.Structure):
    _fields_ = [("size", ctypes.c_size_t), ("deadline_ns", ctypes.c_int64), ("priority", ctypes.c_uint32),
                ("key", ctypes.c_char_p), ("key_size", ctypes.c_size_t)]

once, numbers = opened("queue", b"once"), set()
options = Options(ctypes.sizeof(Options), 0, 0, b"cat", 3)
id, job = ctypes.c_uint64(), ctypes.c_void_p()

def submit():
    there = check(t.topsman_queue_submit(once, b"x", 1, ctypes.byref(options), FOREVER, ctypes.byref(id)))
    numbers.add(id.value)
    return there

if t.topsman_name(worker) == b"python/0":
    assert [submit(), submit()] == [0, 1] and len(numbers) == 1
    assert check(t.topsman_queue_take(once, FOREVER, ctypes.byref(job))) == 1
    assert submit() == 1 and len(numbers) == 1, "it runs"
    check(t.topsman_job_ack(job))
    assert [submit(), submit()] == [0, 1] and len(numbers) == 2
check(t.topsman_ready(worker))
signal.sigwait([signal.SIGINT])
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
    once: {{ dedup: true }}
  channels:
    news: {{ to: python, capacity: 8, message_size: 16 }}
"""


class C(TestCase):
    def up(self, worker=JOBS):
        return self.cluster(YAML, files={"worker.py": worker}).start()

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

    def test_of_a_key_there_is_one_job(self):
        c = self.up(ONCE)
        self.assertEqual(c.status()["queues"]["once"]["ready"], 1)
        c.cli("stop", "--now")

    def test_messages_are_answered_by_whoever_has_the_slot_by_then(self):
        c = self.up(MESSAGES)
        c.wait_status(lambda s: s["counters"]["answers"]["total"] == 2)
        c.wait_up()
        self.assertEqual([(e["pool"], e["slot"]) for e in c.events() if e["event"] == "worker.exited"],
                         [("python", 1)], "who asked got what it wanted, in the order in which it had asked")
        # Whoever waits in poll for a message stops waiting when it is told to leave.
        self.assertEqual(c.stop(), 0)
        self.assertEqual(c.log().count("SIGKILL"), 1, "nobody had to be killed at the end")

    def test_a_row_of_messages_is_received_again_if_its_receiver_dies_over_it(self):
        c = self.up(ROWS)
        c.wait_status(lambda s: s["counters"]["received"]["total"] == 3)
        c.wait_up()
        self.assertEqual([(e["pool"], e["slot"]) for e in c.events() if e["event"] == "worker.exited"],
                         [("python", 1)], "the row was not whole, or not in its order")
        self.assertEqual(c.stop(), 0)
        self.assertEqual(c.log().count("SIGKILL"), 1, "whoever waits for messages leaves when it is told to")


if __name__ == "__main__":
    main()
