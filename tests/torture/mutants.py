#!/usr/bin/env python3
"""Proves that the torture discriminates: takes away commit points and repair steps one by one,
and expects the tests to notice. Needs a tree that is built, each source alone:

    cmake --preset dev -B build/mutants -DCMAKE_UNITY_BUILD=OFF
    cmake --build build/mutants --target torture_shm
    tests/torture/mutants.py build/mutants [PART OF A NAME]

A mutant is a file, what is replaced in it by what, and the tests that must kill it. Of a header it
says too which source includes it: that one is compiled against the mutant.
"""

import json
import os
import pathlib
import shlex
import subprocess
import sys
import tempfile

ROOT = pathlib.Path(__file__).resolve().parents[2]
PROGRAM = "torture_shm"
JOB_PATH = ("shm/job_queue_path.hpp", "shm/job_queue.cpp")

MUTANTS = [
    ("names: the sweep frees nothing", "shm/name_table.cpp",
     [("claim_of(dead) && !is_published(i)", "claim_of(dead) && false")], "*NameRegistration"),
    ("names: the sweep frees what is published", "shm/name_table.cpp",
     [("claim_of(dead) && !is_published(i)", "claim_of(dead)")], "*NameRegistration"),
    ("names: published before they are ready", "shm/name_table.cpp",
     [("                if (prepare) {\n                    prepare(*mine);\n                }\n", ""),
      ("            return *mine;", "            if (prepare) { prepare(*mine); } return *mine;")],
     "*NameRegistration"),
    ("names: the loser keeps its row", "shm/name_table.cpp",
     [("            if (mine) {\n                row_[*mine].claim.store(0, "
       "std::memory_order_release);\n            }\n            return checked", "            return checked")],
     "*NameRegistration"),
    ("names: a row is published without a look at what is there", "shm/name_table.cpp",
     [("order_[i].compare_exchange_strong(entry, *mine + 1, std::memory_order_acq_rel,\n"
       "                                              std::memory_order_acquire)",
       "(order_[i].store(*mine + 1), true)")], "*NameRegistration"),
    ("events: committed before they are written", "shm/event_ring.cpp",
     [("    last_.store(seq, std::memory_order_release);\n", ""),
      ("    entry.seq.store(0, std::memory_order_release);\n",
       "    last_.store(seq, std::memory_order_release);\n"
       "    entry.seq.store(0, std::memory_order_release);\n")], "*EventAppend"),
    ("events: the old entry stays valid while it is overwritten", "shm/event_ring.cpp",
     [("    entry.seq.store(0, std::memory_order_release);\n", "")], "*EventAppend"),
    ("last words: the old length stays", "shm/last_words.cpp",
     [("    length.store(0, std::memory_order_release);\n    const", "    const")], "*LastWords"),
    ("master: the old pid stays", "shm/segment.cpp",
     [("    impl_->header().master_pid.store(0, std::memory_order_release);\n", "")],
     "*MasterChange"),
    ("reserve: what is added begins with what lay there", "shm/segment_reserve.cpp",
     [("    std::memset(place_of(kind, last), 0, layout.bytes(kind, last));\n", "")],
     "*Added"),
    ("reserve: found before it is empty", "shm/segment_reserve.cpp",
     [("    layout.late.push_back(kind);\n",
       "    layout.late.push_back(kind);\n"
       "    std::atomic_ref(header().late[turn]).store(kind, std::memory_order_release);\n")],
     "*Added"),
    ("reserve: found before its shape is whole", "shm/segment_reserve.cpp",
     [("    impl_->header().queues[queues.size()] = entry_of(queue);\n", ""),
      ("    impl_->publish_last(Late::Queue);\n",
       "    impl_->publish_last(Late::Queue);\n"
       "    impl_->header().queues[queues.size() - 1] = entry_of(queue);\n")], "*QueueAdded"),
    ("TxCell: changed in place", "shm/tx_cell.cpp",
     [("copies_[(index + 1) & 1U], value", "copies_[index & 1U], value")], "*TxCellUpdate"),
    ("TxCell: committed before it is written", "shm/tx_cell.cpp",
     [("    store_words(copies_[(index + 1) & 1U], value, size);\n"
       "    index_.store(index + 1, std::memory_order_release);\n",
       "    index_.store(index + 1, std::memory_order_release);\n"
       "    store_words(copies_[(index + 1) & 1U], value, size);\n")], "*TxCellUpdate"),
    ("TxCell: nobody says that it is whole", "shm/tx_cell.cpp",
     [("        mutex_.repaired();\n", "")], "*TxCellUpdate"),
    ("mutex: not robust", "shm/robust_mutex.cpp",
     [("PTHREAD_MUTEX_ROBUST", "PTHREAD_MUTEX_STALLED")], "*MutexLockChangeUnlock"),
    ("mutex: never made consistent", "shm/robust_mutex.cpp",
     [("    (void)::pthread_mutex_consistent(&mutex_);\n", "")], "*MutexRepair"),
    ("mutex: released before it is poisoned", "shm/robust_mutex.cpp",
     [("    poisoned_.store(kNotRepaired, std::memory_order_release);\n    release();\n",
       "    release();\n    poisoned_.store(kNotRepaired, std::memory_order_release);\n")], "*MutexPoison"),
    ("mutex: the owner's death is not told", "shm/robust_mutex.cpp",
     [("return rc == EOWNERDEAD ? LockResult::OwnerDied : LockResult::Locked;",
       "if (rc == EOWNERDEAD) { repaired(); } return LockResult::Locked;")],
     "*MutexLockChangeUnlock"),
    ("mutex: the dead go on waiting", "shm/robust_mutex.cpp",
     [("    if (waiting_.contains(dead.lane)) {", "    if (false) {")], "*MutexWait"),
    ("mutex: who has left goes on waiting", "shm/robust_mutex.cpp",
     [("        waiting_.erase(owner.lane);\n", "")], "*MutexWait"),
    ("mutex: two die, and nobody is told of the first", "shm/robust_mutex.cpp",
     [("return rc == EOWNERDEAD ? LockResult::OwnerDied : LockResult::Locked;",
       "if (rc == EOWNERDEAD) { repaired(); } return LockResult::Locked;")],
     "TwoVictimsTest.MutexLockedAndChanged:TwoVictimsTest.MutexRepairedAndChanged"),
    ("mutex: nobody is told of a death amid a repair", "shm/robust_mutex.cpp",
     [("        unrepaired_.store(1, std::memory_order_relaxed);\n",
       "        rc = unrepaired_.exchange(1) == 0 ? rc : 0;\n")],
     "TwoVictimsTest.MutexRepairedAndChanged"),
    ("mutex: released before it is poisoned, by two", "shm/robust_mutex.cpp",
     [("    poisoned_.store(kNotRepaired, std::memory_order_release);\n    release();\n",
       "    release();\n    poisoned_.store(kNotRepaired, std::memory_order_release);\n")],
     "TwoVictimsTest.MutexPoisoned"),
    ("mutex: the dead owner is still shown", "shm/robust_mutex.cpp",
     [("    (void)owner_.compare_exchange_strong(shown, 0, std::memory_order_relaxed);\n",
       "    (void)shown;\n")], "TwoVictimsTest.Mutex*"),
    ("TxCell: changed in place, by two", "shm/tx_cell.cpp",
     [("copies_[(index + 1) & 1U], value", "copies_[index & 1U], value")],
     "TwoVictimsTest.CellChanged"),
    ("TxCell: nobody says that it is whole, after two deaths", "shm/tx_cell.cpp",
     [("        mutex_.repaired();\n", "")], "TwoVictimsTest.CellChanged"),
    ("sweep: the lane is free before all is given back", "shm/sweep.cpp",
     [("    word.phase = LanePhase::Dead;\n", "    word.phase = LanePhase::Free;\n")], "*.Sweep"),
    ("sweep: gauges keep counting the dead", "shm/sweep.cpp",
     [("kinds[row] == NameKind::Gauge", "false")], "*Gauge*:*.Sweep"),
    ("sweep: the dead stay idle", "shm/sweep.cpp",
     [("        idle.erase(dead.lane);\n", "        (void)idle;\n")], "*.Sweep"),
    ("sweep: claimed rows are forgotten", "shm/sweep.cpp",
     [("        names->sweep(dead);\n", "        (void)names;\n")], "*.Sweep"),
    ("sweep: a dead lane is left by the next master", "shm/sweep.cpp",
     [(" || word.phase == LanePhase::Dead) {", ") {")], "*.Sweep"),
    ("sweep: nobody is woken", "shm/sweep.cpp",
     [("    wake_everyone(segment.lanes());\n", "")], "*ParkingWake"),
    ("sweep: nobody is woken, at an event", "shm/sweep.cpp",
     [("    wake_everyone(segment.lanes());\n", "")], "TwoVictimsTest.Event*"),
    ("sweep: nobody is woken, at a barrier", "shm/sweep.cpp",
     [("    wake_everyone(segment.lanes());\n", "")], "TwoVictimsTest.Barrier*"),
    ("sweep: nobody is woken, who waits for an answer", "shm/sweep.cpp",
     [("    wake_everyone(segment.lanes());\n", "")], "TwoVictimsTest.Result*"),
    ("sweep: the dead go on waiting for an object", "shm/sweep.cpp",
     [("            segment.objects()[i].parking.forget(dead.lane);\n", "")],
     "*ParkingVisit"),
    ("sweep: the dead go on waiting for an event", "shm/sweep.cpp",
     [("            segment.objects()[i].parking.forget(dead.lane);\n", "")],
     "TwoVictimsTest.Event*"),
    ("sweep: the dead go on waiting for an array's element", "shm/sweep.cpp",
     [("        array.forget(dead.lane);\n", "        (void)array;\n")], "*ParkingVisitOfAnArray"),
    ("sweep: the dead keep their permits", "shm/sweep.cpp",
     [("            Semaphore(array).sweep(dead);\n", "")], "*SemaphoreAcquire"),
    ("semaphore: a permit is taken without a look", "shm/semaphore.cpp",
     [("            word.compare_exchange_strong(nobody, owner.pack())) {",
       "            (word.store(owner.pack()), nobody == 0)) {")], "*SemaphoreAcquire*"),
    ("semaphore: the waiting are not told", "shm/semaphore.cpp",
     [("    (void)storage_.parking[0].wake_one(lanes);\n", "")], "*SemaphoreRelease"),
    ("parking: a wake-up that was not used is not passed on", "shm/parking.cpp",
     [("            (void)parking_.wake(lanes_, 1);\n", "")], "*ParkingVisit"),
    ("parking: who leaves forgets the other threads of its lane", "shm/parking.cpp",
     [("            call(lane);  // Another", "            // Another")], "*ParkingVisitBesideASibling"),
    ("parking: who leaves stays in the set", "shm/parking.cpp",
     [("    if (is_inside_) {\n", "    if (false) {\n")], "*ParkingVisit"),
    ("parking: called without a word", "shm/parking.cpp",
     [("    lane.wake.fetch_add(1, std::memory_order_seq_cst);\n", "")], "*ParkingWake"),
    ("jobs: ready before the item is written", JOB_PATH,
     [("    write(record, item, terms);\n    const", "    record.word.store(JobWord{JobState::Ready, 0, 0, 0, "
       "JobWord::unpack(writing).version}.pack());\n    write(record, item, terms);\n    const")], "*JobSubmit"),
    ("jobs: never ringed", JOB_PATH,
     [("    ring(number, record, terms.priority);\n", "")], "*JobSubmit"),
    ("jobs: a claim without an owner", JOB_PATH,
     [("JobState::Writing, me.lane,", "JobState::Writing, 0,")], "*JobSubmit"),
    ("jobs: taken without a look at whose it is", JOB_PATH,
     [("    if (!record.word.compare_exchange_strong(packed, running, "
       "std::memory_order_seq_cst)) {\n        return 0;\n    }\n",
       "    record.word.store(running);\n")], "*JobTake*"),
    ("jobs: passed before it is claimed", "shm/job_queue.cpp",
     [("            running = take_this(me, number, clock);\n",
       "            ring_here.pass(place + 1);\n"
       "            running = take_this(me, number, clock);\n")],
     "*JobTake*:*JobQueueSweep:JobStorm*"),
    ("jobs: passed, and not looked at once more", "shm/job_queue.cpp",
     [("        look_again(std::span(passed).first(count));\n", "")], "*JobTakePast"),
    ("jobs: what was passed counts as in the ring", ("shm/job_ring.hpp", "shm/job_queue.cpp"),
     [("               ends_->head.load(std::memory_order_seq_cst) <= place;", "               true;")],
     "*JobTakePast:*JobQueueSweep"),
    ("jobs: taken by nobody", JOB_PATH,
     [("JobState::Running, me.lane,", "JobState::Running, 0,")], "*JobTake*"),
    ("jobs: freed without a look at whose it is", JOB_PATH,
     [("    if (record.word.load(std::memory_order_relaxed) != word) {\n        return false;\n    }\n", "")],
     "*JobLateAck"),
    ("jobs: an ack that no store tells", JOB_PATH,
     [("    record.word.store(free.pack(), std::memory_order_release);\n", "    (void)free;\n")],
     "*JobTakeAck"),
    ("jobs: found taken, and not looked at again", "shm/job_queue.cpp",
     [("    if (!may_be_marked(word.load(std::memory_order_seq_cst))) {\n        unmark",
       "    if (!may_be_marked(word.load(std::memory_order_seq_cst)) && false) {\n        unmark")],
     "*JobSubmit"),
    ("jobs: an ack frees nothing", JOB_PATH,
     [("    tell_of_room(number);\n    return true;\n", "    return true;\n")], "*JobTakeAck"),
    ("jobs: nacked and not ringed", "shm/job_queue.cpp",
     [("    ring(job_taken.number);\n", "")], "*JobNack"),
    ("jobs: nacked for ever", "shm/job_queue.cpp",
     [("    const bool is_over = running.attempts >= shape_.max_attempts;\n",
       "    const bool is_over = false;\n")], "*JobNack"),
    ("jobs: a retried dead letter is not ringed", "shm/job_queue.cpp",
     [("    ring_if_there_is_room(static_cast<std::uint32_t>(id));\n", "")], "*DeadLetters"),
    ("jobs: a dropped dead letter is no room", "shm/job_queue.cpp",
     [("    set_free(number);\n    tell(asker);\n", "    tell(asker);\n")], "*DeadLetters"),
    ("jobs: nobody is woken", JOB_PATH,
     [("        (void)parking.wake_one(lanes_);\n", "        (void)parking;\n")],
     "*JobSubmit:*JobTakeAck"),
    ("jobs: put off without a mark", "shm/job_queue.cpp",
     [("    later_.mark(job_taken.number);\n", "")], "*JobPutOff"),
    ("jobs: put off, and nobody knows until when", "shm/job_queue.cpp",
     [("    if (later_.bring_forward(not_before_ns)) {\n", "    if (false) {\n")], "*JobPutOff"),
    ("jobs: put off, and those who sleep are not told", "shm/job_queue.cpp",
     [("        (void)control_->takers.wake_all(lanes_);", "       ")], "*JobPutOff"),
    ("jobs: made ready in time without a look at what it is", "shm/job_queue.cpp",
     [("    if (record.word.compare_exchange_strong(packed, ready.pack(), "
       "std::memory_order_seq_cst)) {\n        ring(number);\n    }\n",
       "    record.word.store(ready.pack());\n    ring(number);\n")], "*JobLookForDue"),
    ("jobs: ready in time, and not ringed", "shm/job_queue.cpp",
     [("        ring(number);\n    }\n    return std::nullopt;\n",
       "    }\n    return std::nullopt;\n")], "*JobLookForDue"),
    ("jobs: the next look is put off whoever was added", "shm/later_jobs.cpp",
     [("(seen + 1) & kStampMask", "seen & kStampMask")], "*JobLookForDue"),
    ("jobs: found late without a look at what it is", JOB_PATH,
     [("        if (record.word.compare_exchange_strong(packed, late.pack(), "
       "std::memory_order_acq_rel)) {\n", "        if ((record.word.store(late.pack()), true)) {\n")],
     "*JobTakeLate"),
    ("jobs: executed late", JOB_PATH,
     [("deadline <= clock()", "false")], "*JobTakeLate"),
    ("jobs: tried again, and still late", "shm/job_queue.cpp",
     [("JobWord::kAnyTime : 0", "0 : 0")], "*JobRetryLate"),
    ("jobs: tried again, and late at the next attempt", JOB_PATH,
     [("        record.deadline_ns.store(0, std::memory_order_relaxed);", "       ")],
     "*JobRetryLate"),
    ("jobs: urgent ones wait with the others", "shm/job_queue.cpp",
     [("std::min(record.priority.load(std::memory_order_relaxed), shape_.priorities - 1)", "0")],
     "*JobSubmitUrgent"),
    ("keys: nobody looks for another one", "shm/job_queue_keys.cpp",
     [("    if (find(key, packed_name)) {", "    if (false) {")], "*.JobSubmitOnce"),
    ("keys: claimed for before it is decided about the last one", "shm/job_queue_keys.cpp",
     [("        decide(seen);\n", "")], "*.JobSubmitOnce"),
    ("keys: ready, and its name is nowhere", "shm/job_queue_keys.cpp",
     [("    } else if (enter(key, packed_name)) {", "    } else if (true) {")], "*.JobSubmitOnce"),
    ("keys: decided without a look at whether it was", "shm/job_queue_keys.cpp",
     [("    if (record.word.compare_exchange_strong(packed, next.pack(), std::memory_order_seq_cst) &&",
       "    if ((record.word.store(next.pack()), true) &&")], "*JobSubmitOnceLate"),
    ("keys: made ready for another, and not ringed", "shm/job_queue_keys.cpp",
     [("        ring(name.number);\n", "        (void)0;\n")], "*JobSubmitOnceBesideOthers"),
    ("keys: there is one, which is not in the ring", "shm/job_queue_keys.cpp",
     [("        ring_if_ready(static_cast<std::uint32_t>(*there));\n        return", "        return")],
     "*JobSubmitOnceLate"),
    ("keys: what was refused is no room", "shm/job_queue_keys.cpp",
     [("    job(number).word.store(free.pack(), std::memory_order_seq_cst);\n    set_free(number);\n", "")],
     "*.JobSubmitOnce"),
    ("keys: another name is put over one that is needed", "shm/job_queue_keys.cpp",
     [("(is_spent(seen) && here", "(seen != 1 && here")], "*JobSubmitOnceBesideOthers"),
    ("keys: another name is put over one that is not decided", "shm/job_queue_keys.cpp",
     [("(!is_there(word.state) && !is_undecided(word, name.version))", "!is_there(word.state)")],
     "*JobSubmitOnceBehindAFullBucket"),
    ("results: ready before it is said who asks", "shm/job_queue_results.cpp",
     [("    results_.asker(number).store(JobResults::done_word(me, version), std::memory_order_relaxed);\n", ""),
      ("    ring(number);\n    return job_id(number, writing);",
       "    results_.asker(number).store(JobResults::done_word(me, version));\n"
       "    ring(number);\n    return job_id(number, writing);")], "*JobAsk"),
    ("results: asked for, and not ringed", "shm/job_queue_results.cpp",
     [("    ring(number);\n    return job_id(number, writing);", "    return job_id(number, writing);")], "*JobAsk"),
    ("results: who has asked for another job there is answered", "shm/job_queue_results.cpp",
     [("done.version == version ? asker", "true ? asker")], "*JobFailureOfOneWhoWaits"),
    ("results: done before the result is there", "shm/job_queue_results.cpp",
     [("    results_.store(number, result);\n", ""),
      ("    if (is_done_for_nobody(number, done)) {\n        free_done(number, done);\n    } else {\n",
       "    results_.store(number, result);\n"
       "    if (is_done_for_nobody(number, done)) {\n        free_done(number, done);\n    } else {\n")],
     "*JobAnswer:*JobResultStorm*"),
    ("results: done without a look at whose it is", "shm/job_queue_results.cpp",
     [("    if (record.word.load(std::memory_order_acquire) != packed) {", "    if (false) {"),
      ("    if (!record.word.compare_exchange_strong(packed, done, std::memory_order_seq_cst)) {\n"
       "        return false;\n    }\n", "    record.word.store(done);\n")], "*JobAnswerTwice"),
    ("results: done, and nobody looks whether it is still asked for", "shm/job_queue_results.cpp",
     [("    if (is_done_for_nobody(number, done)) {\n", "    if (false) {\n")], "*JobAnswerForNobody"),
    ("results: who waits is not told", "shm/job_queue_results.cpp",
     [("    } else {\n        tell(done);\n    }\n", "    }\n")], "*JobAnswer"),
    ("results: withdrawn, and the place is not free", "shm/job_queue_results.cpp",
     [("std::memory_order_seq_cst)) {\n        free_done(number, done);\n", "std::memory_order_seq_cst)) {\n")],
     "*JobResultRead"),
    ("results: freed before it is withdrawn", "shm/job_queue_results.cpp",
     [("    std::uint64_t mine = done;\n", "    std::uint64_t mine = done;\n    free_done(number, done);\n"),
      ("std::memory_order_seq_cst)) {\n        free_done(number, done);\n", "std::memory_order_seq_cst)) {\n")],
     "*JobResultRead"),
    ("results: withdrawn without a look at whose it is", "shm/job_queue_results.cpp",
     [("    if (results_.asker(number).compare_exchange_strong(mine, 0, std::memory_order_seq_cst)) {\n",
       "    (void)mine;\n    results_.asker(number).store(0);\n    {\n")], "*JobResultWithdrawnTwice"),
    ("results: the dead go on asking", "shm/job_queue_results.cpp",
     [("JobWord::unpack(seen).lane == dead.lane", "false")], "*JobAsk:*JobResultSweep"),
    ("results: the sweep takes an asker back without a look", "shm/job_queue_results.cpp",
     [("        (void)asker.compare_exchange_strong(seen, 0, std::memory_order_seq_cst);\n",
       "        asker.store(0);\n")], "*JobResultSweep"),
    ("results: the sweep leaves what is done for nobody", "shm/job_queue_results.cpp",
     [("    if (is_done_for_nobody(number, word)) {\n        free_done", "    if (false) {\n        free_done")],
     "*JobResultSweep:*JobAnswerForNobody"),
    ("results: who waits does not hear of a dead letter", "shm/job_queue.cpp",
     [("        tell_asker(job_taken.number, running.version);\n", "")], "*JobFailureOfOneWhoWaits"),
    ("results: who waits does not hear of a deadline", JOB_PATH,
     [("            tell_asker(number, ready.version);\n", "")], "*JobFailureOfOneWhoWaits"),
    ("results: who waits does not hear of a dropped one", "shm/job_queue.cpp",
     [("    tell(asker);\n", "    (void)asker;\n")], "*JobFailureOfOneWhoWaits"),
    ("results: the dead go on waiting", "shm/job_queue_sweep.cpp",
     [("    control_->askers.forget(dead.lane);\n", "")], "*JobResultSweep"),
    ("results: two die, and the dead asker goes on asking", "shm/job_queue_results.cpp",
     [("        (void)asker.compare_exchange_strong(seen, 0, std::memory_order_seq_cst);\n", "")],
     "TwoVictimsTest.Result*"),
    ("results: two die, and what is done for nobody stays", "shm/job_queue_results.cpp",
     [("    if (is_done_for_nobody(number, word)) {\n", "    if (false) {\n")],
     "TwoVictimsTest.Result*"),
    ("results: done before it is there, and its consumer dies", "shm/job_queue_results.cpp",
     [("    results_.store(number, result);\n", ""),
      ("    if (is_done_for_nobody(number, done)) {\n",
       "    results_.store(number, result);\n    if (is_done_for_nobody(number, done)) {\n")],
     "TwoVictimsTest.Result*"),
    ("jobs: the sweep forgets what is later", "shm/job_queue_sweep.cpp",
     [("word.state == JobState::Later)", "false)")], "*JobSweepOfLater:*JobPutOff"),
    ("jobs: the sweep leaves half written items", "shm/job_queue_sweep.cpp",
     [("word.state == JobState::Writing", "false")], "*JobSubmit"),
    ("jobs: the sweep leaves what a master has half written", "shm/job_queue_sweep.cpp",
     [("(dead.lane == 0 && word.state != JobState::Writing)", "dead.lane == 0")],
     "*JobSubmitForAScript"),
    ("jobs: the sweep leaves what the dead had taken", "shm/job_queue_sweep.cpp",
     [("word.state == JobState::Running", "false")], "*JobTake*"),
    ("jobs: the sweep counts no attempts", "shm/job_queue_sweep.cpp",
     [("word.attempts >= shape_.max_attempts", "false")], "*JobNack"),
    ("jobs: the sweep rings nothing again", "shm/job_queue_sweep.cpp",
     [("        ring_if_there_is_room(number);\n", "")], "*JobSubmit:*JobTake"),
    ("jobs: the sweep does not free what is free", "shm/job_queue_sweep.cpp",
     [("            set_free(number);\n", "")], "*JobSubmit:*JobTakeAck:*JobQueueSweep"),
    ("jobs: the lane has left the queue before its jobs are given back", "shm/job_queue_sweep.cpp",
     [("    control_->users.erase(dead.lane);\n", ""),
      ("    std::uint64_t illegal = 0;\n",
       "    control_->users.erase(dead.lane);\n    std::uint64_t illegal = 0;\n")],
     "*JobQueueSweep:*JobTake"),
    ("events: set, and those who wait are not told", ("shm/event.hpp",
                                                      "tests/torture/meetings_test.cpp"),
     [("                (void)object_.parking.wake(lanes, (seen & kAuto) != 0 ? 1 : UINT32_MAX);\n",
       "                (void)lanes;\n")], "*EventSet"),
    ("events: taken without a look", ("shm/event.hpp", "tests/torture/meetings_test.cpp"),
     [("word().compare_exchange_weak(seen, seen & ~kSet)) {",
       "(word().store(seen & ~kSet), true)) {")], "*EventTake"),
    ("barrier: the last one lets nobody go", "shm/barrier.cpp",
     [("is_last ? 0 : there | bit(seat)", "there | bit(seat)")], "*BarrierLast"),
    ("barrier: the others are not told", "shm/barrier.cpp",
     [("        (void)others().wake_all(lanes);\n", "")], "*BarrierLast"),
    ("barrier: counted without a look at who is there", "shm/barrier.cpp",
     [("        if (arrivals().compare_exchange_weak(there, is_last ? 0 : there | bit(seat))) {",
       "        arrivals().store(is_last ? 0 : there | bit(seat));\n        {")], "*Barrier*"),
    ("barrier: too late to leave, and left all the same", "shm/barrier.cpp",
     [("take_back(*seat) ? Passed::No : Passed::Yes", "(take_back(*seat), Passed::No)")],
     "*BarrierVisit"),
    ("barrier: who leaves is still counted", "shm/barrier.cpp",
     [("    return (arrivals().fetch_and(~bit(seat)) & bit(seat)) != 0;",
       "    return (arrivals().load() & bit(seat)) != 0;")], "*BarrierVisit"),
    ("barrier: the sweep leaves the arrivals of the dead", "shm/barrier.cpp",
     [("            (void)take_back(seat);", "            ;")], "*BarrierVisit"),
    ("barrier: the sweep frees the seat first", "shm/barrier.cpp",
     [("            (void)take_back(seat);", "            word.store(0); (void)take_back(seat);")],
     "*BarrierSweep"),
    ("barrier: two die, and are still counted", "shm/barrier.cpp",
     [("            (void)take_back(seat);", "            ;")], "TwoVictimsTest.Barrier*"),
    ("events: taken by one without a look at the other", ("shm/event.hpp",
                                        "tests/torture/two_victims_meetings_test.cpp"),
     [("            if ((seen & kAuto) == 0 || word().compare_exchange_weak(seen, seen & ~kSet)) {",
       "            if ((seen & kAuto) == 0 || true) {")], "TwoVictimsTest.Event*"),
    ("sweep: barriers are forgotten", "shm/sweep.cpp",
     [("            Barrier(array).sweep(dead);\n", "")], "*BarrierVisit"),
    ("histograms: a cell is emptied before it is counted up", ("shm/metrics.hpp",
                                                               "tests/torture/counters_test.cpp"),
     [("    cell.store(cell.load(std::memory_order_relaxed) + amount, std::memory_order_relaxed);",
       "    const auto before = cell.exchange(0); cell.store(before + amount);")],
     "*HistogramRecord"),
    ("histograms: all lanes count in one cell", ("shm/histogram.hpp",
                                                 "tests/torture/counters_test.cpp"),
     [("lanes_[lane].cell[", "lanes_[lane * 0].cell[")], "*HistogramRecord"),
    ("histograms: the dead are not added up", "shm/histogram.cpp",
     [("    for (const HistogramCells& lane : lanes_) {",
       "    for (const HistogramCells& lane : lanes_.subspan(2)) {")], "*HistogramRecord"),
    ("lane: claimed without a look at whose it is", "shm/sweep.cpp",
     [("    return lane.word.compare_exchange_strong(word, started.pack(), "
       "std::memory_order_acq_rel);\n",
       "    (void)word; lane.word.store(started.pack()); return true;\n")], "*LaneClaim"),
    ("blocks: allocated without a look at the word", "shm/block_pool.cpp",
     [("        if (region.rows[index].word.compare_exchange_strong(word, owned.pack(),\n"
       "                                                            std::memory_order_acq_rel)) {\n",
       "        region.rows[index].word.store(owned.pack());\n        {\n")], "*BlockAllocate"),
    ("blocks: passed on and still owned", "shm/block_pool.cpp",
     [("                  {BlockState::Passed, ref.version, owner});",
       "                  {BlockState::Owned, ref.version, owner});")], "*BlockPass"),
    ("blocks: a ticket is good twice", "shm/block_pool.cpp",
     [("    return change(ref, passed, {BlockState::Owned, taken.version, owner}) ? ",
       "    return (row_of(ref.block)->word.store(BlockWord{BlockState::Owned, taken.version, "
       "owner}.pack()), passed.version == ref.version) ? ")], "*BlockTake"),
    ("blocks: freed under its readers", "shm/block_pool.cpp",
     [("word.state == BlockState::Closed && !readers_of(block)->any()",
       "word.state == BlockState::Closed")], "*BlockShare"),
    ("blocks: a reader looks before it says that it is there", "shm/block_pool.cpp",
     [("    readers->insert(lane);\n", ""),
      ("word.version == ref.version) {\n        return true;",
       "word.version == ref.version) {\n        readers->insert(lane);\n"
       "        return true;")], "*BlockRead"),
    ("blocks: the last reader does not look whether it is the last", "shm/block_pool.cpp",
     [("        readers->erase(lane);\n        free_if_unread(ref.block);\n",
       "        readers->erase(lane);\n")], "*BlockRead"),
    ("blocks: the publisher does not look whether somebody reads", "shm/block_pool.cpp",
     [("        return false;\n    }\n    free_if_unread(ref.block);\n    return true;",
       "        return false;\n    }\n    return true;")], "*BlockShare"),
    ("blocks: the sweep leaves what the dead owned", "shm/block_pool.cpp",
     [("word.owner == dead && word.state != BlockState::Free", "false")], "*BlockSweep"),
    ("blocks: the sweep leaves what the dead had passed", "shm/block_pool.cpp",
     [("        change(ref, {BlockState::Passed, ref.version, owner}, free)) {",
       "        false) {")], "*BlockPass"),
    ("blocks: the dead go on reading", "shm/block_pool.cpp",
     [("            readers->erase(dead.lane);\n", "")], "*BlockRead"),
    ("blocks: the sweep does not finish what the dead had closed", "shm/block_pool.cpp",
     [("        // Whether or not the dead one had a part in it: it may have died between its last "
       "step and\n        // the look at who is left.\n        free_if_unread(block);\n", "")],
     "*BlockRead:*BlockShare"),
    ("sweep: blocks are forgotten", "shm/sweep.cpp",
     [("    segment.blocks().sweep(dead);\n", "")], "*BlockAllocate"),
    ("channel: sent before it is copied", "shm/channel.cpp",
     [("        copy(to, bytes);\n", "        header.word.store(CellWord{CellState::Ready, "
       "run.lane, run.generation, i == 0 ? run.count : 1, turn_of(position)}.pack());\n"
       "        copy(to, bytes);\n")], "*.ChannelSend"),
    ("channel: the first of a run is sent first", "shm/channel.cpp",
     [("for (std::uint32_t i = run.count; i-- != 0;)",
       "for (std::uint32_t i = 0; i < run.count; ++i)")], "*.ChannelSend"),
    ("channel: nobody says whose the claim before is", "shm/channel.cpp",
     [("    (void)word.compare_exchange_strong(seen, claimed.pack(), std::memory_order_seq_cst);\n",
       "    (void)claimed;\n")], "*.ChannelSend*"),
    ("channel: a claim is called sent before it is", "shm/channel.cpp",
     [("        put(slot, claimed.run, messages);\n",
       "        inbox(slot).sent.store(claimed.run.pack());\n"
       "        put(slot, claimed.run, messages);\n")], "*.ChannelSend*"),
    ("channel: an old claim is written over a new message", "shm/channel.cpp",
     [("    if (inbox.tail.load(std::memory_order_seq_cst) != packed_tail) {", "    if (false) {")],
     "*.ChannelSend*"),
    ("channel: the receiver is not woken", "shm/channel.cpp",
     [("        (void)receivers.wake_all(lanes_);\n", "")], "*.ChannelSend"),
    ("channel: who waits for room is not woken", "shm/channel.cpp",
     [("        (void)senders.wake_one(lanes_);\n", "")], "*.ChannelSend:*.ChannelReceiveAndEnd"),
    ("channel: cells are claimed that are not free", "shm/channel.cpp",
     [("std::min<std::uint64_t>(most, shape_.capacity - used)", "most")],
     "*.ChannelSend"),
    ("channel: the sweep does not find the last claim", "shm/channel_sweep.cpp",
     [("    while (!record(inbox, slot, inbox.tail.load(std::memory_order_seq_cst))) {\n    }\n",
       "")], "*.ChannelS*"),
    ("channel: the sweep leaves what the dead had claimed", "shm/channel_sweep.cpp",
     [("seen.lane != dead.lane) {", "seen.lane == dead.lane) {")], "*.ChannelS*"),
    ("channel: the sweep forgets the sender before it has swept", "shm/channel_sweep.cpp",
     [("    if (!inbox.users.contains(dead.lane)) {\n        return;\n    }\n",
       "    if (!inbox.users.contains(dead.lane)) {\n        return;\n    }\n"
       "    inbox.users.erase(dead.lane);\n")], "*.ChannelS*"),
    ("channel: the dead go on receiving", "shm/channel_sweep.cpp",
     [("Owner::unpack(receiver).lane == dead.lane &&", "false &&")], "*.ChannelReceive*"),
    ("channel: received before it is ended", "shm/inbox_reader.cpp",
     [("    in_hand_ += row.count;\n",
       "    in_hand_ += row.count;\n    finish(row.first, row.count);\n")],
     "*.ChannelReceiveAndNotEnd"),
    ("channel: that it is received is not stored", "shm/inbox_reader.cpp",
     [("    inbox_->freed.store(freed_, std::memory_order_release);\n", "")],
     "*.ChannelReceiveAndEnd"),
    ("channel: at most once is not", "shm/inbox_reader.cpp",
     [("        inbox_->handed_out.store(end, std::memory_order_release);\n", "")],
     "*.ChannelReceiveAtMostOnce"),
    ("channel: a row is received one by one", "shm/inbox_reader.cpp",
     [("    if (row.first == freed_) {", "    if (false) {")], "*.ChannelReceiveRow"),
    ("channel: of a row only the first is handed out", "shm/inbox_reader.cpp",
     [("    const Position end = after(row.first, row.count);",
       "    const Position end = after(row.first, 1);")], "*.ChannelReceiveRow"),
    ("channel: a row grows after the look at what was a gap", "shm/inbox_reader.cpp",
     [("        row.count = 1 + ready_from(after(next_, 1), "
       "std::min<std::uint64_t>(most, unseen) - 1);\n", "        row.count = unseen != 0 ? 1 : 0;\n"),
      ("    next_ = after(next_, row.count);\n    return hand_out(row);",
       "    row.count = 1 + ready_from(after(next_, 1), most - 1);\n"
       "    next_ = after(next_, row.count);\n    return hand_out(row);")],
     "*.ChannelReceiveRowsPastAGap"),
    ("channel: who is not the receiver receives", "shm/inbox_reader.cpp",
     [("other.lane < channel_.lanes().size()) {\n        return false;",
       "other.lane < channel_.lanes().size()) {\n        if (!has_place_) { find_place(); }\n"
       "        return true;")], "*.ChannelReceiveA*"),
    ("channel: a sender that stands still holds up the others", "shm/inbox_reader.cpp",
     [("            gaps_.push_back({next_, count});\n            break;\n        default:",
       "            return Look::Nothing;\n        default:")], "*.ChannelSend"),
    ("channel: what was received past a gap is given again", "shm/inbox_reader.cpp",
     [("            channel_.cell(slot_, position).word.store(done.pack(), "
       "std::memory_order_release);\n", "            (void)done;\n")], "*.ChannelSend*"),
    ("sweep: channels are forgotten", "shm/sweep.cpp",
     [("        (void)segment.channel(i).sweep(dead);\n", "        (void)i;\n")], "*.ChannelSend"),
]


def command_of(build, source):
    for entry in json.loads((build / "compile_commands.json").read_text()):
        if entry["file"] == str(source):
            return shlex.split(entry["command"]), entry["directory"]
    sys.exit(f"{source} is not part of {build}, or not compiled alone there (CMAKE_UNITY_BUILD)")


def link_command(build):
    lines = subprocess.run(["ninja", "-C", build, "-t", "commands", PROGRAM], check=True,
                           capture_output=True, text=True).stdout.splitlines()
    return next(line for line in reversed(lines) if f"-o bin/{PROGRAM}" in line)


def compile_mutant(build, source, edits, directory):
    mutant, source = source if isinstance(source, tuple) else (source, source)
    text = (ROOT / mutant).read_text()
    for old, new in edits:
        if text.count(old) < 1:
            sys.exit(f"{mutant} has changed: the mutant's text is not there:\n{old}")
        text = text.replace(old, new, 1)
    # A header lies where an include of it finds it before its original.
    mutated = pathlib.Path(directory) / (mutant if mutant != source else pathlib.Path(source).name)
    mutated.parent.mkdir(exist_ok=True)
    mutated.write_text(text)
    made = pathlib.Path(directory) / "mutant.o"
    command, where = command_of(build, ROOT / source)
    if mutant == source:
        command[command.index("-c") + 1] = str(mutated)
    original = command[command.index("-o") + 1]
    command[command.index("-o") + 1] = str(made)
    command = [word for word in command if not word.startswith("-M") and not word.endswith(".d")
               and not word.endswith(".o") or word == str(made)]
    subprocess.run([command[0], f"-I{directory}", *command[1:], "-w"], cwd=where, check=True)
    return made, original


def is_killed(program, tests):
    """Failing, aborting and hanging are all ways to notice."""
    try:
        return subprocess.run([program, f"--gtest_filter={tests}"], capture_output=True,
                              timeout=300, check=False).returncode != 0
    except subprocess.TimeoutExpired:
        return True


def main():
    if len(sys.argv) not in (2, 3):
        sys.exit(__doc__)
    wanted = sys.argv[2] if len(sys.argv) == 3 else ""
    build = pathlib.Path(sys.argv[1]).resolve()
    survivors = 0
    chosen = [mutant for mutant in MUTANTS if wanted in mutant[0]]
    for name, source, edits, tests in chosen:
        with tempfile.TemporaryDirectory() as directory:
            mutant, original = compile_mutant(build, source, edits, directory)
            program = os.path.join(directory, PROGRAM)
            # Before the library: what the mutant defines is not looked up there any more.
            link = link_command(build).replace(f" {original} ", " ")
            link = link.replace(f"-o bin/{PROGRAM}", f"-o {program} {mutant}")
            subprocess.run(link, shell=True, cwd=build, check=True)
            killed = is_killed(program, tests)
            survivors += not killed
            print(f"{'killed  ' if killed else 'SURVIVED'}  {name}", flush=True)
    print(f"{len(chosen) - survivors} of {len(chosen)} mutants killed")
    return survivors != 0


if __name__ == "__main__":
    sys.exit(main())
