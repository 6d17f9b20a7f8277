"""One line of the result, and all of them as a table."""

import dataclasses


@dataclasses.dataclass
class Row:
    name: str
    measured: str
    yardstick: str
    ratio: float | None
    compare: str | None = None  # "<=" or ">="; none: shown, no goal
    goal: float | None = None
    limit: str = ""  # what a ratio of 1 stands for, where the goal is no ratio
    raw: object = None

    @classmethod
    def skipped(cls, name, why):
        return cls(name, "skipped", why, None)

    @classmethod
    def failed(cls, name, why):
        return cls(name, "FAILED", why, None)

    @property
    def met(self):
        """None: nothing to meet, or not measured."""
        if self.compare is None or self.ratio is None:
            return None
        return self.ratio <= self.goal if self.compare == "<=" else self.ratio >= self.goal

    def cells(self):
        ratio = "" if self.ratio is None else f"{self.ratio:.2f}"
        goal = "" if self.compare is None else f"{self.compare} {self.limit or f'{self.goal:g}'}"
        verdict = {None: "", True: "met", False: "MISSED"}[self.met]
        if self.measured in ("skipped", "FAILED"):
            verdict = self.measured
        return [self.name, self.measured, self.yardstick, ratio, goal, verdict]

    def as_json(self):
        return {**dataclasses.asdict(self), "met": self.met}


HEADINGS = ["name", "measured", "yardstick in the same run", "ratio", "goal", ""]


def as_text(rows):
    lines = [HEADINGS] + [row.cells() for row in rows]
    widths = [max(len(line[i]) for line in lines) for i in range(len(HEADINGS))]
    text = []
    for number, line in enumerate(lines):
        cells = [cell.rjust(width) if i == 3 else cell.ljust(width)
                 for i, (cell, width) in enumerate(zip(line, widths))]
        text.append("  ".join(cells).rstrip())
        if number == 0:
            text.append("  ".join("-" * width for width in widths))
    return "\n".join(text)
