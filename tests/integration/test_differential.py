"""The same scenario, acted out by the core in the simulated world and by the real master: the same
has to come of it, for each slot, each pool, and whoever asked."""

from acting import SCENARIOS, act_out, difference, simulated
from harness import TestCase, main


class Differential(TestCase):
    """One test for each scenario."""

    maxDiff = None

    def agree(self, path):
        expected, told = act_out(self, path)
        found = difference(expected, told)
        self.assertEqual(found, "", f"{path.name}: the master does not do what its core does:\n{found}")


def add_tests():
    for path in sorted(SCENARIOS.glob("*.scenario")):
        def test(self, path=path):
            self.agree(path)
        setattr(Differential, f"test_{path.stem}", test)


add_tests()


class Controls(TestCase):
    """What the comparison is worth: it must not find the same what is not."""

    def test_whatever_line_of_a_story_is_another_one_is_found(self):
        for path in SCENARIOS.glob("*.scenario"):
            told = simulated(path)
            adopted = [line["worker"] for line in told if line.get("event") == "worker.adopted"]
            self.assertEqual(difference(told, told), "")
            for at, line in enumerate(told):
                left_out = told[:at] + told[at + 1:]
                twice = told[:at] + [line] + told[at:]
                others = [told[:at] + [one] + told[at + 1:] for one in changed(line, adopted)]
                for other in [left_out, twice, *others]:
                    self.assertNotEqual(difference(told, other), "", f"{path.name}: {line}")

    def test_an_order_within_a_slot_is_compared_and_one_among_slots_is_not(self):
        def event(slot, name, worker):
            return {"event": name, "pool": "web", "slot": slot, "worker": worker}

        told = [event(0, "worker.spawned", 1), event(1, "worker.spawned", 2),
                event(0, "worker.ready", 1), event(1, "worker.ready", 2)]
        self.assertEqual(difference(told, [told[1], told[0], told[3], told[2]]), "")
        self.assertNotEqual(difference(told, [told[2], told[1], told[0], told[3]]), "")

    def test_whose_end_it_was_is_compared(self):
        def event(name, worker):
            return {"event": name, "pool": "web", "slot": 0, "worker": worker}

        told = [event("worker.spawned", 1), event("worker.spawned", 2), event("worker.exited", 1)]
        again = [event("worker.spawned", 7), event("worker.spawned", 9), event("worker.exited", 7)]
        self.assertEqual(difference(told, again), "")
        self.assertNotEqual(difference(told, told[:2] + [event("worker.exited", 2)]), "")

    def test_a_master_with_another_file_is_found(self):
        for name, words, others in [("start_and_stop", "workers: 3", "workers: 4"),
                                    ("crash_with_backoff", "factor: 3", "factor: 2"),
                                    ("clean_exit", "restart: on-failure", "restart: always")]:
            with self.subTest(name):
                path = SCENARIOS / f"{name}.scenario"
                text = path.read_text()
                self.assertIn(words, text)
                expected, told = act_out(self, path, text.replace(words, others))
                self.assertNotEqual(difference(expected, told), "")


def changed(line, adopted):
    """The same line with one thing in it that is another, of those that are compared."""
    for key in ("event", "reason", "next", "result"):
        how_unknown = line.get("event") == "worker.exited" and line["worker"] in adopted
        if key in line and not (key == "reason" and how_unknown):
            yield dict(line, **{key: line[key] + "."})
    for key in ("generation", "exit", "slot"):
        if key in line:
            yield dict(line, **{key: line[key] + 1})
    if "lines" in line:
        yield dict(line, lines=line["lines"] + ["one more"])
    for at, pool in enumerate(line.get("look", [])):
        yield dict(line, look=line["look"][:at] + [dict(pool, ready=pool["ready"] + 1)] + line["look"][at + 1:])


if __name__ == "__main__":
    main()
