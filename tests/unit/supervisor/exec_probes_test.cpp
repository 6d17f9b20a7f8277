// Real probes: they fail, succeed, hang, flood and are not needed any more.

#include "supervisor/exec_probes.hpp"

#include "tests/unit/temp_dir.hpp"

#include <boost/asio/io_context.hpp>
#include <gmock/gmock.h>

#include <chrono>
#include <fstream>
#include <poll.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>
#include <utility>
#include <vector>

namespace topsman::supervisor {
namespace {

using namespace std::chrono_literals;
using core::WorkerId;
using testing::StartsWith;

constexpr auto kSafetyNet = 30s;
constexpr WorkerId kWorker{1};

class ExecProbesTest : public testing::Test {
  protected:
    /// Nothing is left for the next test.
    ~ExecProbesTest() override {
        for (std::uint64_t worker = 1; worker <= ExecProbes::kMostAtOnce + 2; ++worker) {
            probes_.end(WorkerId{worker});
        }
        const auto end = std::chrono::steady_clock::now() + kSafetyNet;
        while (!runs().empty() && std::chrono::steady_clock::now() < end) {
            (void)io_.run_one_for(1s);
        }
    }

    static ExecProbes::Plan plan(std::vector<std::string> command,
                                 config::Duration run_timeout = config::Duration(30'000)) {
        ExecProbes::Plan plan;
        plan.setup.command = std::move(command);
        plan.setup.environment = {"PATH=/usr/bin:/bin"};
        plan.interval = config::Duration(16);
        plan.run_timeout = run_timeout;
        return plan;
    }

    static ExecProbes::Plan shell(const std::string& script,
                                  config::Duration run_timeout = config::Duration(30'000)) {
        return plan({"sh", "-c", script}, run_timeout);
    }

    template <class Good>
    void run_until(Good good) {
        const auto end = std::chrono::steady_clock::now() + kSafetyNet;
        while (!good()) {
            ASSERT_LT(std::chrono::steady_clock::now(), end);
            (void)io_.run_one_for(1s);
        }
    }

    /// What the next run comes to.
    std::optional<std::string> next_result() {
        const std::size_t before = results_.size();
        run_until([&] { return results_.size() > before; });
        return results_.size() > before ? results_.back().second : "nothing";
    }

    [[nodiscard]] std::vector<pid_t> runs() const {
        std::vector<pid_t> found;
        std::ifstream children("/proc/self/task/" + std::to_string(::gettid()) + "/children");
        for (pid_t pid = 0; children >> pid;) {
            if (probes_.owns(pid)) {
                found.push_back(pid);
            }
        }
        return found;
    }

    boost::asio::io_context io_;
    std::vector<std::pair<WorkerId, std::optional<std::string>>> results_;
    ExecProbes probes_{io_, [this](WorkerId worker, std::optional<std::string> result) {
                           results_.emplace_back(worker, std::move(result));
                       }};
};

TEST_F(ExecProbesTest, IsRunAgainUntilItSucceedsAndNeverAfter) {
    const std::string path = "/tmp/topsman-exec-probes-" + std::to_string(::getpid());
    probes_.begin(kWorker, shell("test -e " + path + " || { echo first; echo not yet; exit 3; }"));
    EXPECT_EQ(next_result(), "exited with code 3: not yet");
    EXPECT_EQ(next_result(), "exited with code 3: not yet");
    EXPECT_TRUE(probes_.is_probing(kWorker));
    std::ofstream(path) << "here";
    run_until([&] { return !results_.back().second; });
    EXPECT_FALSE(probes_.is_probing(kWorker));
    EXPECT_TRUE(runs().empty());
    const std::size_t runs_so_far = results_.size();
    io_.restart();
    (void)io_.run_for(kSafetyNet);
    EXPECT_TRUE(io_.stopped()) << "there is nothing to do any more";
    EXPECT_EQ(results_.size(), runs_so_far);
    EXPECT_EQ(::waitpid(-1, nullptr, WNOHANG), -1) << "and nobody left to reap";
    (void)::unlink(path.c_str());
}

TEST_F(ExecProbesTest, ARunThatTakesTooLongIsKilledWithAllThatItStarted) {
    probes_.begin(kWorker, shell("sleep 1000 & echo $!; wait", config::Duration(300)));
    const std::string result = next_result().value_or("succeeded");
    ASSERT_THAT(result, StartsWith("was not done within 300ms: "));
    const pid_t grandchild = std::stoi(result.substr(result.rfind(' ')));
    const UniqueFd gone(static_cast<int>(::syscall(SYS_pidfd_open, grandchild, 0)));
    pollfd entry{gone.get(), POLLIN, 0};
    EXPECT_TRUE(!gone || ::poll(&entry, 1, 30'000) == 1);
    probes_.end(kWorker);
}

TEST_F(ExecProbesTest, ARunThatDiesOfASignalHasFailed) {
    probes_.begin(kWorker, shell("kill -SEGV $$"));
    EXPECT_THAT(next_result().value_or("succeeded"), StartsWith("killed by SIGSEGV"));
}

TEST_F(ExecProbesTest, AProgramThatIsNotThereIsSaidAndTriedAgain) {
    probes_.begin(kWorker, plan({"no-such-probe"}));
    for (int i = 0; i < 2; ++i) {
        EXPECT_EQ(next_result(),
                  "cannot be run: exec no-such-probe: not found in PATH (/usr/bin:/bin)");
    }
}

TEST_F(ExecProbesTest, AFloodOfOutputHoldsUpNobodyAndItsLastLineIsKept) {
    probes_.begin(kWorker, shell("head -c 1000000 /dev/zero | tr '\\0' x; echo; printf 'l\\033st';"
                                 "exit 1"));
    EXPECT_EQ(next_result(), "exited with code 1: l st");
}

TEST_F(ExecProbesTest, WhatRunsIsTold) {
    EXPECT_EQ(probes_.under_way(kWorker), std::nullopt);
    probes_.begin(kWorker, shell("echo connecting; exec sleep 1000"));
    run_until([&] {
        const auto words = probes_.under_way(kWorker);
        return words && words->ends_with(": connecting");
    });
    EXPECT_THAT(probes_.under_way(kWorker).value(), StartsWith("has not ended after "));
}

TEST_F(ExecProbesTest, WhatTheOneBeforeHasComeToCountsUntilTheNextHasRunForAnInterval) {
    const test::TempDir folder;
    ExecProbes::Plan failing = shell("test -e second && exec sleep inf; touch second; exit 7");
    failing.setup.working_directory = folder.path();
    failing.interval = config::Duration(1'600);
    probes_.begin(kWorker, failing);
    EXPECT_EQ(next_result(), "exited with code 7");
    run_until([&] { return !runs().empty(); });
    EXPECT_EQ(probes_.under_way(kWorker), std::nullopt);
    run_until([&] { return probes_.under_way(kWorker).has_value(); });
    EXPECT_THAT(probes_.under_way(kWorker).value(), StartsWith("has not ended after "));
}

TEST_F(ExecProbesTest, WhoNeedsItNoMoreHasItKilledAndReaped) {
    probes_.begin(kWorker, plan({"sleep", "1000"}));
    run_until([&] { return runs().size() == 1; });
    probes_.end(kWorker);
    EXPECT_FALSE(probes_.is_probing(kWorker));
    run_until([&] { return runs().empty(); });
    EXPECT_EQ(::waitpid(-1, nullptr, WNOHANG), -1);
    EXPECT_TRUE(results_.empty()) << "nobody wants to know how it ended";
}

TEST_F(ExecProbesTest, NotMoreThanSomeRunAtOnceAndTheOthersHaveTheirTurn) {
    constexpr std::uint64_t kWorkers = ExecProbes::kMostAtOnce + 2;
    for (std::uint64_t worker = 1; worker <= kWorkers; ++worker) {
        probes_.begin(WorkerId{worker}, plan({"sleep", "1000"}));
    }
    run_until([&] { return runs().size() == ExecProbes::kMostAtOnce; });
    while (io_.poll() > 0) {
    }
    EXPECT_EQ(runs().size(), ExecProbes::kMostAtOnce);
    EXPECT_FALSE(probes_.under_way(WorkerId{kWorkers}));
    probes_.end(WorkerId{1});
    probes_.end(WorkerId{2});
    run_until([&] { return probes_.under_way(WorkerId{kWorkers}).has_value(); });
}

TEST_F(ExecProbesTest, WhatIsCutShortIsBegunAgain) {
    probes_.begin(kWorker, plan({"sleep", "1000"}));
    run_until([&] { return runs().size() == 1; });
    const pid_t first = runs().at(0);
    probes_.cut_short();
    run_until([&] { return runs().size() == 1 && runs()[0] != first; });
}

}  // namespace
}  // namespace topsman::supervisor
