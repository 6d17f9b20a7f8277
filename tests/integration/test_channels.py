"""Channels of a whole cluster: messages go to slots, and outlive workers and masters."""

from harness import TestCase, main

YAML = """
pools:
  senders:
    command: [channel_worker, send, {text}, "{count}"]
    ready: {{ by: notify }}
    workers: 1
  receivers:
    command: [channel_worker, receive]
    ready: {{ by: notify }}
    backoff: {{ max: 100ms }}
    workers: 2
shared:
  counters: [received]
  channels:
    news: {{ to: receivers, slots: 4, capacity: 20, message_size: 16 }}
"""


class Channels(TestCase):
    def cluster_that_sends(self, text, count):
        return self.cluster(YAML.format(text=text, count=count))

    @staticmethod
    def of(status):
        [channel] = [line for line in status["shared"] if line["kind"] == "channel"]
        return channel

    def wait_channel(self, c, **expected):
        c.wait_status(lambda s: expected.items() <= self.of(s).items())

    def test_every_message_is_received_by_the_slots_that_it_was_for(self):
        c = self.cluster_that_sends("good", 500)
        c.start()
        self.wait_channel(c, unread=0, slots=2, receiving=2)
        self.assertEqual(c.counter("received"), 500)
        self.assertIn("0 unread, 2 of 2 workers of receivers receive", c.cli("status").stdout)

    def test_what_kills_its_receiver_is_received_by_the_slots_next_worker(self):
        c = self.cluster_that_sends("kill", 6)
        c.start(wait_ready=False)
        self.wait_channel(c, unread=0, receiving=2)
        self.assertEqual(c.counter("received"), 6)
        exits = [e for e in c.events() if e["event"] == "worker.exited"]
        self.assertEqual([e["pool"] for e in exits], ["receivers"])

    def test_there_are_as_many_slots_to_send_to_as_the_pool_has(self):
        c = self.cluster_that_sends("good", 1)
        c.start()
        self.wait_channel(c, slots=2)
        c.cli("scale", "receivers=3")
        self.wait_channel(c, slots=3, receiving=3)
        c.cli("scale", "receivers=1")
        self.wait_channel(c, slots=1, receiving=1)

    def test_messages_outlive_the_master_and_their_receivers(self):
        c = self.cluster_that_sends("hold", 6)
        c.start()
        self.wait_channel(c, unread=6, receiving=2)
        c.kill_master()
        c.start()
        self.wait_channel(c, unread=6, receiving=2)
        c.cli("restart", "receivers")
        self.wait_channel(c, unread=6, receiving=2)
        self.assertEqual(c.counter("received"), 0, "nobody has acknowledged any")


if __name__ == "__main__":
    main()
