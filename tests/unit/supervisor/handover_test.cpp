// What one program hands to the next: written, read again, and one sentence for all other bytes.

#include "supervisor/handover.hpp"

#include <gtest/gtest.h>

#include <algorithm>

namespace topsman::supervisor {
namespace {

using namespace std::chrono_literals;

core::LeftWorker left_worker() {
    core::LeftWorker left;
    left.worker = core::WorkerId{(1ULL << 62U) - 1};
    left.pool = "web";
    left.slot = 3;
    left.generation = core::Generation{7};
    left.role = core::Role::Leaving;
    left.spare = core::SpareStage::Parked;
    left.state = core::WorkerState::Draining;
    left.spawned_at = core::TimePoint(5s);
    left.ready_at = core::TimePoint(6s);
    left.course = core::Course{core::TimePoint(8s),
                               core::TimePoint(9s),
                               true,
                               true,
                               true,
                               "why",
                               -0.25,
                               core::TimePoint(10s),
                               true};
    return left;
}

HandedWorker worker() {
    HandedWorker worker;
    worker.worker = left_worker().worker;
    worker.pid = 4'711;
    worker.start_ticks = 1ULL << 63U;
    worker.lane = 5;
    worker.lane_generation = 9;
    worker.fingerprint = ~0ULL;
    worker.output_inode = 17;
    worker.wake_number = 6;
    worker.status = "quoted \" and \xff and \n";
    worker.error_number = 13;
    worker.output_rest = {"half a li", true, "one\ntwo\n"};
    worker.is_looked_at = true;
    worker.pidfd = 20;
    worker.output = 22;
    worker.sockets = {10, 11};
    return worker;
}

Handover whole() {
    Handover handover;
    handover.version = "1.2.3";
    handover.program = {"/usr/bin/topsman", {"topsman", "run", "shop.yaml"}};
    handover.directory = "/run/topsman";
    handover.config_file = "shop.yaml";
    handover.control_path = "/run/topsman/shop.sock";
    handover.generations = "{\"a\": \"b\"}\n";
    handover.refused = "shop.yaml:1:1: no";
    handover.manager = "@notify";
    handover.manager_watchdog_us = 30'000'000;
    handover.left.same_master = true;
    handover.left.generation = core::Generation{7};
    handover.left.last_worker = left_worker().worker;
    handover.left.workers = {left_worker()};
    handover.left.pools = {{"web",
                            4,
                            2,
                            core::Generation{7},
                            false,
                            true,
                            3,
                            core::TimePoint(1s),
                            {core::TimePoint(2s), core::TimePoint(3s)},
                            core::Generation{7},
                            4,
                            core::TimePoint(11s)}};
    handover.left.is_up = true;
    handover.left.slots = {{"web", 3, core::SlotPhase::Waiting, 12, 2, core::TimePoint(2s),
                            core::Generation{6}, core::WorkerId{9}}};
    handover.workers = {worker()};
    HandedListener listener;
    listener.spec = {"http", "unix:/run/x", 99, config::Accept::ReusePort, 0660, "www-data:adm"};
    listener.address = "unix:/run/x";
    listener.sockets = {10, 11};
    listener.inode = 123;
    listener.path_inode = 124;
    listener.row = 1;
    listener.in_force = false;
    listener.gate_closed = true;
    handover.listeners = {listener};
    handover.leavers = {{left_worker().worker, true, core::TimePoint(3s), core::TimePoint(4s)}};
    handover.exits = {{"web", 3, "killed by SIGKILL", 1'234}};
    handover.stored = {"topsman.http.4711"};
    handover.spare_sockets = {12};
    handover.clients = {30, 31};
    handover.lock = 3;
    handover.control = 4;
    handover.caller = 32;
    return handover;
}

TEST(HandoverTest, WhatIsWrittenIsRead) {
    const Handover before = whole();
    const auto after = parse_handover(to_text(before));
    ASSERT_TRUE(after) << after.error().message;
    EXPECT_EQ(to_text(*after), to_text(before));
    EXPECT_EQ(after->workers, before.workers);
    EXPECT_EQ(after->listeners, before.listeners);
    EXPECT_EQ(after->leavers, before.leavers);
    EXPECT_EQ(after->left.workers, before.left.workers);
    EXPECT_EQ(after->left.slots, before.left.slots);
    EXPECT_EQ(after->left.pools, before.left.pools);
    EXPECT_TRUE(after->left.same_master);
    EXPECT_EQ(after->program.words, before.program.words);
    EXPECT_EQ(after->generations, before.generations);
    EXPECT_EQ(after->watch, -1);
}

TEST(HandoverTest, EachDescriptorIsNamed) {
    std::vector<int> fds = descriptors_of(whole());
    std::sort(fds.begin(), fds.end());
    EXPECT_EQ(fds, (std::vector<int>{3, 4, 10, 10, 11, 11, 12, 20, 22, 30, 31, 32}));
}

bool is_one_sentence(const Error& error) {
    return error.message == "handed-over state: is not what this version of topsman understands";
}

TEST(HandoverTest, WhatIsCutOffIsOneSentence) {
    const std::string text = to_text(whole());
    for (std::size_t size = 0; size < text.size(); ++size) {
        const auto parsed = parse_handover(std::string_view(text).substr(0, size));
        ASSERT_FALSE(parsed) << size;
        ASSERT_TRUE(is_one_sentence(parsed.error())) << parsed.error().message;
    }
}

// Another byte may make another number, which nobody can tell; but nothing worse.
TEST(HandoverTest, AWrongByteIsNeverACrash) {
    const std::string text = to_text(whole());
    for (std::size_t at = 0; at < text.size(); ++at) {
        for (const char byte : {'\0', '"', '-', '9', 'x', '}', '\xff'}) {
            std::string wrong = text;
            wrong[at] = byte;
            const auto parsed = parse_handover(wrong);
            ASSERT_TRUE(parsed || is_one_sentence(parsed.error())) << parsed.error().message;
        }
    }
}

TEST(HandoverTest, WhatMakesNoSenseIsRefused) {
    const std::string text = to_text(whole());
    ASSERT_TRUE(parse_handover(text));
    for (const auto& [from, to] : std::vector<std::pair<std::string, std::string>>{
             {R"("format":1)", R"("format":2)"},
             {R"("lock":3)", R"("lock":2)"},           // standard error is nobody's lock
             {R"("lock":3)", R"("lock":-1)"},          // a master has one
             {R"("pidfd":20)", R"("pidfd":-1)"},       // a worker has one
             {R"("control":4)", R"("control":1e99)"},  // no number that a descriptor has
             {R"("state":2)", R"("state":5)"},         // no state of a worker
             {R"("sockets":[10,11])", R"("sockets":[])"},
             {R"("pid":4711)", R"("pid":-4711)"},
             {R"("row":1)", R"("row":100000)"},
             {R"("words":["topsman","run","shop.yaml"])", R"("words":[])"},
             // a process of which the core knows nothing
             {R"("left_workers":[{"worker":4611686018427387903)", R"("left_workers":[{"worker":8)"},
         }) {
        std::string wrong = text;
        const std::size_t at = wrong.rfind(from);
        ASSERT_NE(at, std::string::npos) << from;
        wrong.replace(at, from.size(), to);
        const auto parsed = parse_handover(wrong);
        ASSERT_FALSE(parsed) << to;
        EXPECT_TRUE(is_one_sentence(parsed.error())) << to;
    }
}

}  // namespace
}  // namespace topsman::supervisor
