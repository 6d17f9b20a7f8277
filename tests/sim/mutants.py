#!/usr/bin/python3
"""Breaks the core by hand, one line at a time, and demands that the simulation notices.

For each mutant one file is compiled with the line changed, linked in place of the real one, and run
over the seeds until the property that the mutant is meant for reports. mutants.md says the same
in words.
"""
import argparse
import concurrent.futures
import os
import pathlib
import re
import shutil
import subprocess
import sys
import time
from typing import NamedTuple


class Mutant(NamedTuple):
    property: str
    file: str  # below supervisor/core; a header's change is compiled into `compiled`
    before: str
    after: str
    compiled: str = ""


MUTANTS = [
    Mutant("NoSignalAfterReap", "death.cpp",
           "workers.erase(event.worker);",
           "workers.erase(event.worker);\n"
           "    out->emplace_back(Signal{event.worker, SignalKind::Kill});"),
    Mutant("OneCurrentPerSlot", "lifecycle.cpp",
           "send_away(old, pool.rollout ? \"\" : recycling_in_words(old, pool.spec));",
           "(void)old;"),
    Mutant("SurgeWithinLimit", "pool.cpp",
           "census.successors < pool.max_surge()", "census.successors <= pool.max_surge()"),
    Mutant("AvailabilityFloorDuringRollout", "pool.cpp",
           "expected - census.serving < pool.spec",
           "expected - census.serving <= pool.spec"),
    Mutant("BadGenerationNeverEmptiesPool", "rollout.cpp",
           "if (replacement.leaves_first) {", "if (true) {"),
    Mutant("RolloutStopsAtFirstFailure", "death.cpp",
           "fail_rollout(pool, why);", "slot.renewal = Renewal::Wanted;"),
    Mutant("CanaryIsObserved", "rollout.cpp",
           "if (until && *until <= now &&", "if (until &&"),
    Mutant("RolloutKeepsDelay", "lifecycle.cpp",
           "now + clock_duration(pool.spec.rollout.delay)", "now"),
    Mutant("RollbackGoesBack", "rollout.cpp",
           "(goes_back && !slot.current())", "goes_back"),
    Mutant("BackoffRespected", "death.cpp",
           "pool.spec.backoff, slot.failures, jitter", "pool.spec.backoff, slot.failures - 1, jitter"),
    Mutant("PoolIsPaced", "pool.cpp",
           "waiting->paced && census.serving == 0", "waiting->paced && census.serving != 0"),
    Mutant("IntensityRespected", "start_limit.cpp",
           "failures_.size() >= limit.burst", "failures_.size() > limit.burst"),
    Mutant("EveryWorkerHasDeadline", "snapshot.cpp",
           "keep_earlier(earliest, state.deadline(worker));",
           "if (worker.state != WorkerState::Draining) {\n"
           "            keep_earlier(earliest, state.deadline(worker));\n        }"),
    Mutant("EscalationOrder", "transition.hpp",
           "{Aborting, Abort}, {Aborting, Abort}, {Killing, Kill}}},\n    /* Serving",
           "{Aborting, Abort}, {Killing, Kill}, {Killing, Kill}}},\n    /* Serving",
           "worker.cpp"),
    Mutant("StallDoesNotKill", "lifecycle.cpp",
           "renew_after_stall(worker, now, by);", "renew_after_stall(worker, now, by / 2);"),
    Mutant("ReadyIsTrue", "lifecycle.cpp",
           "if (worker != nullptr && counts_as_ready(pool_of(*worker).spec.ready, event.by)) {",
           "if (worker != nullptr) {"),
    Mutant("StaleEventsHarmless", "death.cpp",
           "if (find(event.worker) == nullptr) {",
           "if (find(event.worker) == nullptr) {\n"
           "        announce(Notice::WorkerExited, pools.front(), \"once more\");"),
    Mutant("BoundedMemory", "supervisor_core.cpp",
           "return workers.size() + 1 < config.segment.lanes;", "return true;"),
    Mutant("NoSpawnWhileStopping", "reconcile.cpp",
           "if (phase == Phase::Running) {", "if (phase != Phase::Stopped) {"),
    Mutant("EveryTicketAnsweredOnce", "tickets.cpp",
           "reply(it->first, result, wait.undone, std::move(wait.lines), out);\n"
           "            it = waits_.erase(it);",
           "reply((it++)->first, result, wait.undone, {}, out);"),
    Mutant("DoneMeansDone", "lifecycle.cpp",
           "tickets.worker_replaced(pool.id, replaced);", ""),
    Mutant("OneObituaryPerDeath", "death.cpp",
           "out->emplace_back(std::move(obituary));",
           "if (role != Role::Leaving) {\n        out->emplace_back(std::move(obituary));\n    }"),
    Mutant("LeavingIsNoFailure", "death.cpp",
           "!dead.asked_to_leave && !death.clean", "!death.clean"),
    Mutant("DrainedStaysEmpty", "pool.cpp",
           "if (has_given_up(slot.phase()) || slot.phase() == SlotPhase::Waiting) {",
           "if (!slot.current()) {"),
    Mutant("DrainLeavesSomebody", "drain.cpp",
           "worker.state != WorkerState::Serving", "worker.state > WorkerState::Serving"),
    Mutant("LeastBusyLeave", "leavers.cpp",
           "return weight(a, workers) > weight(b, workers);",
           "return weight(a, workers) < weight(b, workers);"),
    Mutant("SpareIsNoWorker", "pool.cpp",
           "worker.state == WorkerState::Serving && role != Role::Spare;",
           "worker.state == WorkerState::Serving;"),
    Mutant("SpareTakesTheSeat", "spares.cpp",
           "if (!next) {", "if (next || !next) {"),
    Mutant("SparesAreBounded", "spares.cpp",
           "const std::size_t allowed = wanted +", "const std::size_t allowed = 1 + wanted +"),
    Mutant("SparesArePaced", "spares.cpp",
           "pool.spare_not_before = now + pause;", "pool.spare_not_before = now;"),
    Mutant("ParkedIsTrue", "spares.cpp",
           "return park != nullptr && park->worker == worker.id;", "return false && park == nullptr;"),
    Mutant("SpareKnowsItsSlot", "inheritance.cpp",
           "if (signs.is_let_go) {", "if (false) {"),
    Mutant("OldGenerationsBounded", "leavers.cpp",
           "began.size() > most", "began.size() > most + 1"),
    Mutant("NoBusyTick", "lifecycle.cpp",
           "slot->failures == 0 && pool.failures == 0", "false"),
    Mutant("SpecIsKnown", "snapshot.cpp",
           "state_->previous ? &*state_->previous : nullptr}", "static_cast<Version*>(nullptr)}"),
    Mutant("EverybodyIsAdopted", "adoption.cpp",
           "    return workers;\n", "    workers.pop_back();\n    return workers;\n"),
    Mutant("DecisionsOutliveTheMaster", "adoption.cpp",
           "was_scaled ? before->wanted : pool.spec.workers", "pool.spec.workers"),
    Mutant("UpgradeIsUnnoticed", "adoption.cpp",
           "worker.since = left.course->since;", ""),
    Mutant("SameSeedSameTrace", "lifecycle.cpp",
           "worker.recycle_jitter = jitter.next();",
           "static double last = 0;\n    last += jitter.next();\n"
           "    worker.recycle_jitter = last - static_cast<int>(last);"),
    Mutant("HealsInTime", "rollout.cpp",
           "vacant->after && workers.contains(*vacant->after)", "vacant->after.has_value()"),
    Mutant("EndsAfterStop", "reconcile.cpp",
           "reply(ticket, Reply::Result::Done, \"\", {\"stopped\"}, *out);", "(void)ticket;"),
]


def break_core(mutant: Mutant, source: pathlib.Path, scratch: pathlib.Path) -> pathlib.Path:
    """A copy of the core's folder with the one change. Returns the file to compile."""
    copy = scratch / "supervisor" / "core"
    copy.parent.mkdir(parents=True)
    shutil.copytree(source / "supervisor" / "core", copy)
    text = (copy / mutant.file).read_text()
    if text.count(mutant.before) != 1:
        raise SystemExit(f"{mutant.property}: its line is {text.count(mutant.before)} times in "
                         f"{mutant.file}: {mutant.before!r}")
    (copy / mutant.file).write_text(text.replace(mutant.before, mutant.after))
    return copy / (mutant.compiled or mutant.file)


def try_mutant(mutant: Mutant, args: argparse.Namespace) -> tuple[bool, str]:
    # Always the same folder, so that the compiler's cache knows the file again.
    scratch = args.scratch / mutant.property
    shutil.rmtree(scratch, ignore_errors=True)
    file = break_core(mutant, args.source, scratch)
    cache = [shutil.which("ccache")] if shutil.which("ccache") else []
    compile_it = [*cache, args.compiler, "-std=c++20", "-O1", f"-I{scratch}", f"-I{args.source}",
                  "-c", str(file), "-o", str(scratch / "mutant.o")]
    link_it = [args.compiler, str(scratch / "mutant.o"), *args.link, "-o", str(scratch / "sim")]
    for command in (compile_it, link_it):
        made = subprocess.run(command, capture_output=True, text=True, check=False)
        if made.returncode != 0:
            return False, "does not compile:\n" + made.stderr
    env = dict(os.environ, PROPERTY=mutant.property, SEEDS="400", STEPS="400")
    env.pop("SEED", None)
    try:
        run = subprocess.run([str(scratch / "sim")], env=env, capture_output=True, text=True,
                             check=False, timeout=120)
    except subprocess.TimeoutExpired:
        return False, "it took too long"
    found = run.returncode == 1 and run.stdout.startswith(mutant.property + ":")
    return found, run.stdout.strip() or f"ended with {run.returncode}: {run.stderr.strip()}"


def check_the_list(source: pathlib.Path) -> None:
    """Each property of the oracle has a mutant and a row in mutants.md."""
    header = (source / "tests/sim/oracle.hpp").read_text()
    table = re.search(r"kProperties\{(.*?)\}", header, re.S)
    properties = re.findall(r'"(\w+)"', table.group(1))
    told = (source / "tests/sim/mutants.md").read_text()
    for name in properties:
        if name not in [mutant.property for mutant in MUTANTS] or f"| {name} |" not in told:
            raise SystemExit(f"{name} has no mutant, or none in mutants.md")


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--compiler", required=True)
    parser.add_argument("--source", type=pathlib.Path, required=True)
    parser.add_argument("--scratch", type=pathlib.Path, required=True)
    parser.add_argument("--link", nargs="+", required=True, help="what the changed file replaces")
    parser.add_argument("--only", nargs="*", default=[])
    args = parser.parse_args()
    check_the_list(args.source)
    mutants = [m for m in MUTANTS if not args.only or m.property in args.only]
    began = time.monotonic()
    survivors = 0
    with concurrent.futures.ThreadPoolExecutor(max_workers=2) as pool:
        for mutant, (found, said) in zip(mutants, pool.map(lambda m: try_mutant(m, args), mutants)):
            print(f"{'killed  ' if found else 'SURVIVED'} {mutant.property}: {said}", flush=True)
            survivors += not found
    print(f"{len(mutants)} mutants, {survivors} survived, {time.monotonic() - began:.0f} s")
    return 1 if survivors else 0


if __name__ == "__main__":
    sys.exit(main())
